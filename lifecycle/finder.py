"""Finds the layer's modules in the bundle of this Python: one piece of one open file read each.

A bundle is all bytecode that was compiled ahead for one Python. The interpreter's own finder goes along the path, keeps
lists of its folders, asks for the times of each source, and opens a file a module. That is half of what importing a
small one costs, and an environment imports over a hundred. What is in no bundle is left to it, and compiled.

The launcher loads this module from the bundle's head, where it lies with the index.
"""

import os
import sys
from _frozen_importlib import ModuleSpec  # importlib would have to be loaded
from _frozen_importlib_external import MAGIC_NUMBER
from marshal import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType

# The head: the interpreter's magic number, then as one marshalled pair this module's code and the index. It is read at
# once, and whoever makes a bundle sees to it that it fits.
HEAD_BYTES = 16_384

# The index has one for each package at the root, marshalled: who loads nothing of the largest does not read its. There,
# by its dotted name, a module's place in one number, which takes a fifth of the memory of three: the first byte of its
# code in the bundle, its bytes, and whether it is a package.
SIZE_BITS = 20
_MOST_BYTES = (1 << SIZE_BITS) - 1


def path_in(root: str, tag: str | None = sys.implementation.cache_tag) -> str:
    """Where a bundle lies.

    Args:
        root: The directory that the packages lie in.
        tag: Of the Python that it is for; else of this one.
    """
    return f"{root}/{tag}.bundle"


def install(root: str) -> None:
    """Has modules looked for in the bundle first, if there is one of this Python.

    Args:
        root: The directory that the packages lie in.
    """
    try:
        file = os.open(path_in(root), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    head = os.pread(file, HEAD_BYTES, 0)
    if head.startswith(MAGIC_NUMBER):
        _, index = loads(memoryview(head)[len(MAGIC_NUMBER) :])  # noqa: S302 - as the interpreter does
        sys.meta_path.insert(0, Finder(root, file, index))
    else:
        os.close(file)


class Finder:
    """Finder and loader of modules that were compiled ahead.

    Args:
        root: The directory that the packages lie in.
        file: The bundle, open; processes that are forked share it, and nobody moves its offset.
        index: Where modules lie in it.
    """

    def __init__(self, root: str, file: int, index: dict[str, bytes | dict[str, int]]) -> None:
        self._root = root
        self._file = file
        self._index = index
        self._bundle = path_in(root)

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """What the interpreter loads a module by; None: it is to look further itself.

        Args:
            name: The module's, dotted.
            path: Of its package; not asked.
            target: What it would replace; not asked.
        """
        del path, target
        place = self.place(name)
        if not place:
            return None
        try:
            data = os.pread(self._file, place >> 1 & _MOST_BYTES, place >> 1 + SIZE_BITS)
        except OSError:
            return None
        folder = f"{self._root}/{name.replace('.', '/')}"
        source = f"{folder}/__init__.py" if place & 1 else f"{folder}.py"
        if sys.flags.verbose:
            sys.stderr.write(f"# {self._bundle} matches {source}\n")
        spec = ModuleSpec(name, self, origin=source, loader_state=loads(data))  # type: ignore[arg-type] # noqa: S302
        spec.has_location = True
        spec.cached = self._bundle
        if place & 1:
            spec.submodule_search_locations = [folder]
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """Leaves it to the interpreter."""

    def exec_module(self, module: "ModuleType") -> None:
        """Runs a module's code."""
        spec = module.__spec__
        if spec is not None:
            code: CodeType = spec.loader_state
            spec.loader_state = None
            exec(code, module.__dict__)  # noqa: S102 - that is what importing is

    def place(self, name: str) -> int:
        """A module's place, as the index has it; 0: it is not in the bundle."""
        package = name.partition(".")[0]
        index = self._index.get(package)
        if index is None:
            return 0
        if isinstance(index, bytes):
            index = self._index[package] = loads(index)  # noqa: S302 - as the interpreter does
        return index.get(name, 0)
