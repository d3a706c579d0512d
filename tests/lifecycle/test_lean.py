"""How msgspec and httptools are loaded: with stand-ins that nobody meets later."""

import subprocess
import sys

import pytest

from tests.test_budget import LAYER


def run(code: str) -> str:
    """Standard output of `code` after a lean start from the layer; what it raises is the test's failure."""
    program = f"import sys; sys.path.insert(0, {str(LAYER)!r}); from lifecycle import lean; lean.load()\n{code}"
    return subprocess.run([sys.executable, "-IS", "-c", program], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("typing", "get_type_hints"),
        ("uuid", "uuid4"),
        ("decimal", "Context"),
        ("msgspec.inspect", "type_info"),
        ("msgspec.yaml", "decode"),
        ("httptools.parser.url_parser", "parse_url"),
    ],
)
def test_who_imports_a_module_later_gets_the_real_one(module: str, name: str) -> None:
    """structlog, TLS and retries bring typing in when they are loaded."""
    assert run(f"import importlib; print(hasattr(importlib.import_module({module!r}), {name!r}))") == "True\n"


def test_types_of_ours_are_decoded_and_checked_as_ever() -> None:
    """Optional, nested, of any shape, inherited: and what does not fit is refused by its field's name."""
    code = """
import msgspec
class Base(msgspec.Struct, tag=True):
    a: int | None = None
class Nested(msgspec.Struct):
    anything: object
class Message(Base):
    b: dict[str, list[Nested]] = {}
    c: tuple[str, ...] = ()
decoder = msgspec.json.Decoder(Message | None)
print(decoder.decode(b'{"type":"Message","a":1,"b":{"k":[{"anything":[null,{}]}]},"c":["x"]}'))
print(decoder.decode(b"null"))
try:
    decoder.decode(b'{"type":"Message","a":"1"}')
except msgspec.ValidationError as exc:
    print(exc)
"""
    assert run(code) == (
        "Message(a=1, b={'k': [Nested(anything=[None, {}])]}, c=('x',))\n"
        "None\n"
        "Expected `int | null`, got `str` - at `$.a`\n"
    )


def test_annotation_in_quotes_is_refused() -> None:
    """It could only be evaluated, in a namespace that lacks what it names."""
    code = """
import msgspec
class Message(msgspec.Struct):
    later: "list[int]"
try:
    msgspec.json.Decoder(Message)
except TypeError as exc:
    print(exc)
"""
    assert run(code) == "got later: 'list[int]' in Message, expected a type that is not in quotes\n"
