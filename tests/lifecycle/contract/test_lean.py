"""How libraries are loaded: with stand-ins that nobody meets later."""

import subprocess
import sys

import pytest

from tests.test_budget import FOUND


def run(code: str) -> str:
    """Standard output of `code` after a lean start from the layer; what it raises is the test's failure."""
    start = f"{FOUND}from lifecycle.contract import lean; lean.load()"
    program = f"{start}; lean.load_structlog()\n{code}"
    return subprocess.run([sys.executable, "-IS", "-c", program], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("typing", "get_type_hints"),
        ("uuid", "uuid4"),
        ("decimal", "Context"),
        ("asyncio", "sleep"),
        ("logging", "getLogger"),
        ("pickle", "dumps"),
        ("enum", "IntFlag"),
        ("re", "fullmatch"),
        ("types", "FrameType"),
    ],
)
def test_who_imports_a_module_later_gets_the_real_one(module: str, name: str) -> None:
    """TLS and retries bring some of them in when they are loaded."""
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


def test_a_first_line_brings_neither_asyncio_nor_tls_nor_logging() -> None:
    """They would be most of what a process that says something has loaded."""
    code = """
from lifecycle.contract.log import Log
Log("shipper").warning("shipper.something_said", count=1)
print(*{"asyncio", "ssl", "logging", "socket", "pickle"} & set(sys.modules))
"""
    line, loaded = run(code).splitlines()
    assert '"event":"shipper.something_said"' in line
    assert '"time":"' in line
    assert loaded == ""


def test_a_first_retry_brings_nothing_for_asyncio() -> None:
    """Of which the layer carries nothing; all else of tenacity's works as ever."""
    code = """
lean.load_tenacity()
import tenacity
retrying = tenacity.Retrying(stop=tenacity.stop_after_attempt(2), retry_error_callback=lambda state: "given up")
print(retrying(lambda: 1 / 0), *{"asyncio", "tenacity.asyncio"} & set(sys.modules))
"""
    assert run(code) == "given up\n"


def test_large_bodies_bring_one_module() -> None:
    """And nothing for files, which the library around it is for; the layer has none for the oldest Python."""
    code = """
before = set(sys.modules)
try:
    lean.load_zlib_ng()
    print(*sorted(set(sys.modules) - before))
except ImportError:
    print(sys.version_info < (3, 11))
"""
    assert run(code) in ("zlib_ng zlib_ng.zlib_ng\n", "True\n")
