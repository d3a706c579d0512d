"""Modules that were compiled ahead are found where they lie; all others by the interpreter, as ever."""

import subprocess
import sys
from pathlib import Path

import pytest

from lifecycle import finder
from tools import bytecode

# Packages that the layer has, with modules that it has not.
TREE = {
    "lifecycle/__init__.py": "",
    "lifecycle/mine.py": "def fail():\n    raise ValueError('on purpose')\n",
    "lifecycle/inner/__init__.py": "WHERE = 'the package'\n",
    "lifecycle/inner/leaf.py": "WHERE = 'the leaf'\n",
    "other/__init__.py": "",
}
FOUND_BY = """
import sys
sys.path.insert(0, {tree!r})
sys.path.insert(0, {root!r})
from lifecycle.finder import Finder
import lifecycle
del sys.modules["lifecycle"]
sys.meta_path.insert(0, Finder({tree!r}))
sys.path.pop(0)
"""
ROOT = Path(__file__).parents[2]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The tree, compiled."""
    for name, text in TREE.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert bytecode.run(Path(sys.executable), tmp_path, str(tmp_path)) == ""
    return tmp_path


def compiled(tree: Path, module: str) -> Path:
    """The bytecode of a module in `lifecycle`."""
    return tree / "lifecycle" / "__pycache__" / f"{module}.{sys.implementation.cache_tag}.pyc"


def said(tree: Path, program: str) -> list[str]:
    """What a program prints that has the finder, and the tree on its path."""
    command = [sys.executable, "-IS", "-c", FOUND_BY.format(tree=str(tree), root=str(ROOT)) + program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_modules_and_packages_are_found_in_their_bytecode(tree: Path) -> None:
    """With what the interpreter would have told of them."""
    program = """
import lifecycle.mine, lifecycle.inner.leaf
for module in (lifecycle.mine, lifecycle.inner, lifecycle.inner.leaf):
    print(type(module.__loader__).__name__, module.__name__, module.__package__, module.__file__, module.__cached__)
print(lifecycle.inner.WHERE, lifecycle.inner.leaf.WHERE, lifecycle.inner.__path__, hasattr(lifecycle.mine, "__path__"))
"""
    mine, inner, leaf, rest = said(tree, program)
    folder = tree / "lifecycle"
    assert mine.split() == ["Finder", "lifecycle.mine", "lifecycle", f"{folder}/mine.py", str(compiled(tree, "mine"))]
    assert inner.split()[:4] == ["Finder", "lifecycle.inner", "lifecycle.inner", f"{folder}/inner/__init__.py"]
    assert leaf.split()[:4] == ["Finder", "lifecycle.inner.leaf", "lifecycle.inner", f"{folder}/inner/leaf.py"]
    assert rest == f"the package the leaf {[f'{folder}/inner']} False"


def test_a_traceback_shows_the_source(tree: Path) -> None:
    """Which is not looked at before."""
    program = """
from lifecycle.mine import fail
import traceback
try:
    fail()
except ValueError:
    print(traceback.format_exc())
"""
    assert "    raise ValueError('on purpose')" in said(tree, program)


@pytest.mark.parametrize("damage", ["absent", "of another Python", "checked against its source"])
def test_other_modules_are_left_to_the_interpreter(tree: Path, damage: str) -> None:
    """What was not compiled ahead, or not for this Python, is compiled from its source."""
    path = compiled(tree, "mine")
    data = path.read_bytes()
    path.unlink()
    if damage == "of another Python":
        path.write_bytes(bytes(4) + data[4:])
    if damage == "checked against its source":
        path.write_bytes(data[:4] + bytes(4) + data[8:])
    program = "import lifecycle.mine as mine; print(type(mine.__loader__).__name__, mine.fail.__name__)"
    assert said(tree, program) == ["SourceFileLoader fail"]


def test_names_of_others_are_not_looked_for(tree: Path) -> None:
    """Neither the standard library's nor what else lies beside ours; nor what is nowhere."""
    found = finder.Finder(str(tree))
    assert [found.find_spec(name) for name in ("json", "other", "lifecycle.absent")] == [None] * 3
    assert found.find_spec("lifecycle") is not None
