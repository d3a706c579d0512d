"""Modules that were compiled ahead are found where they lie; all others by the interpreter, as ever."""

import subprocess
import sys
from pathlib import Path

import pytest

from lifecycle import finder
from tests.tools.bundles import FINDING, SOURCE
from tools import bytecode, layer

# Packages that the layer has, with modules that it has not.
TREE = {
    "lifecycle/__init__.py": "",
    "lifecycle/mine.py": "def fail():\n    raise ValueError('on purpose')\n",
    "lifecycle/inner/__init__.py": "WHERE = 'the package'\n",
    "lifecycle/inner/leaf.py": "WHERE = 'the leaf'\n",
    "other/__init__.py": "",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The tree, compiled."""
    for name, text in (*TREE.items(), (layer.FINDER, SOURCE.read_text())):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert bytecode.run(Path(sys.executable), tmp_path, str(tmp_path), layer.FINDER) == ""
    return tmp_path


def said(tree: Path, program: str) -> list[str]:
    """What a program prints that has the finder, and the tree on its path."""
    command = [sys.executable, "-IBS", "-c", f"{FINDING}sys.path.insert(0, sys.argv[1])\n{program}", str(tree)]
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
    assert mine.split() == ["Finder", "lifecycle.mine", "lifecycle", f"{folder}/mine.py", finder.path_in(str(tree))]
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


@pytest.mark.parametrize("damage", ["absent", "of another Python"])
def test_without_a_bundle_of_this_python_the_interpreter_compiles(tree: Path, damage: str) -> None:
    """Nothing of another one's is loaded: that ends the process."""
    path = Path(finder.path_in(str(tree)))
    data = path.read_bytes()
    path.unlink()
    if damage == "of another Python":
        path.write_bytes(bytes(4) + data[4:])
    program = """
import lifecycle.mine as mine
print(type(mine.__loader__).__name__, mine.fail.__name__, [finder for finder in sys.meta_path if "Tail" in str(finder)])
"""
    assert said(tree, program) == ["SourceFileLoader fail []"]


def test_what_is_not_in_the_bundle_is_left_to_the_interpreter(tree: Path) -> None:
    """Beside what is, in the same package; the standard library; what is nowhere."""
    (tree / "lifecycle" / "later.py").write_text("WHERE = 'the source'\n")
    (tree / "lifecycle" / "mine.py").unlink()
    program = """
import lifecycle.mine, lifecycle.later, json
print(*[type(module.__loader__).__name__ for module in (lifecycle, lifecycle.mine, lifecycle.later, json)])
try:
    import lifecycle.absent
except ModuleNotFoundError as exc:
    print(exc)
"""
    loaders, absent = said(tree, program)
    assert loaders == "Finder Finder SourceFileLoader SourceFileLoader"
    assert absent == "No module named 'lifecycle.absent'"


def test_processes_that_were_forked_load_from_the_same_file(tree: Path) -> None:
    """Each for itself, since nobody moves the offset that they share; who is started anew does not have it."""
    program = """
import os
child = os.fork()
import lifecycle.inner.leaf
if child == 0:
    os._exit(lifecycle.inner.leaf.WHERE != "the leaf")
file = sys.meta_path[0]._file
print(os.waitpid(child, 0)[1], lifecycle.inner.leaf.WHERE, os.lseek(file, 0, os.SEEK_CUR), os.get_inheritable(file))
"""
    assert said(tree, program) == ["0 the leaf 0 False"]
