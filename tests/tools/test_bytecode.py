"""What the layer's bytecode leaves away, and what it keeps."""

import subprocess
import sys
from pathlib import Path

import pytest

from lifecycle import finder
from tests.tools.bundles import FINDING, SOURCE, codes
from tools import bytecode, layer


def bundled(tree: Path, prefix: str = "/opt/tailrace") -> bytes:
    """Compiles a tree into a bundle; what that holds."""
    reader = tree / layer.FINDER
    reader.parent.mkdir(exist_ok=True)
    reader.write_text(SOURCE.read_text())
    assert bytecode.run(Path(sys.executable), tree, prefix, layer.FINDER) == ""
    return Path(finder.path_in(str(tree))).read_bytes()


def ask(tree: Path, program: str) -> str:
    """What a program prints that finds the modules of a tree in its bundle."""
    command = [sys.executable, "-IS", "-c", FINDING + program, str(tree)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


OURS = '''"""Says what it is."""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from nowhere import Absent
else:
    Absent = object

limit: int = 3
unset: int


class Message:
    """Has fields, which are read."""

    field: int = 1

    def only_explained(self, count: "Absent", *rest: 1 / 0) -> 1 / 0:
        """Says."""

    class Inner:
        """Says."""

        def at(self) -> int:
            found: int = limit
            return found


async def wait(seconds: 1 / 0) -> None:
    """Says."""
'''

ASKED = """
from lifecycle import ours
assert ours.__cached__.endswith(".bundle")
assert ours.__doc__ is None and "unset" not in vars(ours)
assert not hasattr(ours, "__annotations__") or not ours.__annotations__
assert ours.Message.__annotations__ == {"field": int}
assert ours.Message.only_explained.__annotations__ == {} and ours.Message().only_explained(1) is None
assert (ours.limit, ours.Absent, ours.Message.Inner().at()) == (3, object, 3)
"""


def test_what_only_readers_need_is_not_there(tmp_path: Path) -> None:
    """No annotation is evaluated but a field's; the line that a traceback names is the source's."""
    source = tmp_path / "lifecycle" / "ours.py"
    source.parent.mkdir()
    source.write_text(OURS)
    (source.parent / "__init__.py").touch()
    assert codes(bundled(tmp_path))["lifecycle.ours"].co_filename == "/opt/tailrace/lifecycle/ours.py"
    ask(tmp_path, ASKED)


NEARER = """
import os
import struct
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from struct import calcsize

given: Iterator[int]


class Message:
    call: Callable[[], None]


def at(path: Callable[[], None]) -> str:
    return os.path.join("a", "b")
"""

NEARER_ASKED = """
from lifecycle import ours
assert "Iterator" not in vars(ours) and "Callable" in vars(ours)
assert ours.at(None) == "a/b" and ours.OrderedDict and ours.deque and ours.calcsize("Q") == 8
assert ours.struct.__name__ == "_struct" and "struct" not in sys.modules
"""


def test_of_a_module_around_one_in_c_that_one_is_loaded_where_it_has_all_that_is_used(tmp_path: Path) -> None:
    """What is used of it alone says so: whole names, attributes, and nothing for annotations."""
    source = tmp_path / "lifecycle" / "ours.py"
    source.parent.mkdir()
    source.write_text(NEARER)
    (source.parent / "__init__.py").touch()
    (source.parent / "others.py").write_text("import os\nimport struct\nos.getpid()\nname = struct\n")
    bundled(tmp_path)
    ask(tmp_path, NEARER_ASKED)
    said = ask(tmp_path, "from lifecycle import others as o; print(o.os.__name__, o.name)")
    assert said.startswith("posix <module 'struct'")


PATTERNS = r"""
import time
from lifecycle.contract import late

WORD = r"[a-z]+"
_NOW = late.pattern(str(time.time()))
_PAIR = late.pattern(r"(?i)(?P<name>" + WORD + r")=(\d{1,3})")
_BOTH = tuple([late.pattern(start + rb"\d") for start in (b"a", b"b")])
"""

PATTERNS_ASKED = """
from shipper.parse import times
found = times._PAIR.fullmatch("Size=12")
assert found.groupdict() == {"name": "Size"} and found[2] == "12" and times._PAIR.fullmatch("12") is None
assert times._BOTH[1].sub(b"-", b"b1") == b"-" and times._PAIR.groupindex == {"name": 1}
assert "re" not in sys.modules
assert times._NOW.search("x") is None and "re" in sys.modules
"""


def test_patterns_are_compiled_ahead_where_lines_are_looked_at(tmp_path: Path) -> None:
    """With the groups and the flags that they have; what is not constant is compiled when it is used."""
    root = Path(__file__).parents[2]
    for name, text in (
        ("lifecycle/contract/late.py", (root / "lifecycle/contract/late.py").read_text()),
        ("shipper/parse/times.py", PATTERNS),
        *((f"{folder}/__init__.py", "") for folder in ("lifecycle", "lifecycle/contract", "shipper", "shipper/parse")),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    bundled(tmp_path)
    ask(tmp_path, PATTERNS_ASKED)


@pytest.mark.parametrize(("package", "is_there"), [("lifecycle", False), ("msgspec", True)])
def test_libraries_keep_their_annotations(tmp_path: Path, package: str, *, is_there: bool) -> None:
    """They may read what ours does not; nobody reads a docstring."""
    source = tmp_path / package / "__init__.py"
    source.parent.mkdir()
    source.write_text('"""Says what it is."""\ndef at(moment: "A_MOMENT"): ...\n')
    compiled = bundled(tmp_path)
    assert b"Says what it is." not in compiled
    assert (b"A_MOMENT" in compiled) is is_there


LONG = """
def told(value):
    try:
        found = [one.name for one in value if one.name and one.number + value.first * value.second - value.third > 0]
        return (
            found[value.first + value.second],
            found[value.third : value.fourth],
        )
    except (KeyError, ValueError) as exc:

        raise LookupError(f"{value.first}, {value.second}, {exc}") from exc
    finally:
        value.close()
"""

LONG_ASKED = """
from shipper import long
with open(long.__file__) as file:
    expected = {}
    exec(compile(file.read(), long.__file__, "exec", optimize=2), expected)
def lines(code):
    found = [[line for start, end, line in code.co_lines() for _ in range(start, end, 2)]]
    return found + [lines(one) for one in code.co_consts if hasattr(one, "co_lines")]
ours, whole = long.told.__code__, expected["told"].__code__
assert lines(ours) == lines(whole), (lines(ours), lines(whole))
assert sys.version_info < (3, 11) or len(ours.co_linetable) < len(whole.co_linetable) / 3
"""


def test_every_instruction_has_its_line_though_the_table_of_lines_is_short(tmp_path: Path) -> None:
    """Within comprehensions and behind exceptions, too."""
    source = tmp_path / "shipper" / "long.py"
    source.parent.mkdir()
    source.write_text(LONG)
    (source.parent / "__init__.py").touch()
    bundled(tmp_path, str(tmp_path))
    ask(tmp_path, LONG_ASKED)


ALIKE = """
TEXT = "a text"


class First:
    def told(self, count, *, is_long=False):
        try:
            return [f"{count:>4} {TEXT}", 1.5, 10**30, -7, b"bytes", (1, "ä", None), is_long in {1, 2}]
        finally:
            self.count = count


class Second:
    def said(self, count, *, is_long=False):
        try:
            return [f"{count:>4} {TEXT}", 1.5, 10**30, -7, b"bytes", (1, "ä", None), is_long in {1, 2}]
        finally:
            self.count = count

    def counted(self, most):
        def more(one):
            return [one + most for _ in range(3)]
        return [more(one) for one in range(most)]
"""

ALIKE_ASKED = """
from shipper import alike
told, said = alike.First.told.__code__, alike.Second.said.__code__
assert told.co_consts is said.co_consts and told.co_names is said.co_names and told.co_code == said.co_code
assert told.co_firstlineno == 6 and (told.co_name, said.co_name) == ("told", "said")
assert alike.First().told(7, is_long=True) == ["   7 a text", 1.5, 10**30, -7, b"bytes", (1, "ä", None), True]
assert alike.First().told(7) == alike.Second().said(7) and alike.Second().counted(2) == [[2, 2, 2], [3, 3, 3]]
assert alike.Second.__qualname__ == "Second" and said.co_varnames == ("self", "count", "is_long")
"""


def test_what_is_alike_in_a_module_is_there_once(tmp_path: Path) -> None:
    """Each function would have its own else, in three processes."""
    source = tmp_path / "shipper" / "alike.py"
    source.parent.mkdir()
    source.write_text(ALIKE)
    (source.parent / "__init__.py").touch()
    bundled(tmp_path)
    ask(tmp_path, ALIKE_ASKED)


@pytest.mark.parametrize(
    ("modules", "said"),
    [
        ({"large": f"data = {bytes(2**20)!r}\n"}, "shipper/large.py has"),
        ({f"with_quite_a_long_name_{number}": "" for number in range(400)}, "expected 16384 at most"),
    ],
    ids=["module", "index"],
)
def test_what_a_bundle_has_no_room_for_is_named(tmp_path: Path, modules: dict[str, str], said: str) -> None:
    """Before there is one that could not be read."""
    texts = {f"shipper/{name}.py": text for name, text in modules.items()} | {layer.FINDER: SOURCE.read_text()}
    for path, text in texts.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    assert said in bytecode.run(Path(sys.executable), tmp_path, "/opt", layer.FINDER)
    assert not list(tmp_path.glob("*.bundle"))
