"""Finds the layer's modules where they are known to lie: one file opened and read each.

The interpreter's own finder goes along the path, keeps lists of its folders and asks for the times of each source,
which bytecode that is not checked against it (PEP 552) needs no more. That is half of what importing a small module
costs, and an environment imports over a hundred. What was not compiled ahead is left to the interpreter's finder.
"""

import os
import sys
from _frozen_importlib import ModuleSpec  # importlib would have to be loaded
from _frozen_importlib_external import MAGIC_NUMBER
from marshal import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType

PACKAGES = frozenset({"lifecycle", "collector", "shipper", "msgspec", "httptools", "structlog", "tenacity"})

# A file of bytecode begins with who compiled it and that its source is not looked at; behind that stands a hash.
_HEADER = MAGIC_NUMBER + (0b01).to_bytes(4, "little")
_CODE_AT = 16


def install(root: str) -> None:
    """Has modules looked for by this finder first.

    Args:
        root: The directory that the packages lie in.
    """
    sys.meta_path.insert(0, Finder(root))


class Finder:
    """Finder and loader of modules that were compiled ahead.

    Args:
        root: The directory that the packages lie in.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._suffix = f".{sys.implementation.cache_tag}.pyc"

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """What the interpreter loads a module by; None: it is to look further itself.

        Args:
            name: The module's, dotted.
            path: Of its package; not asked.
            target: What it would replace; not asked.
        """
        del path, target
        if name.partition(".")[0] not in PACKAGES:
            return None
        folder, _, module = f"{self._root}/{name.replace('.', '/')}".rpartition("/")
        found = self._read(name, folder, module)
        if found is None:
            folder = f"{folder}/{module}"
            found = self._read(name, folder, "__init__")
            if found is not None:
                found.submodule_search_locations = [folder]
        return found

    def create_module(self, spec: ModuleSpec) -> None:
        """Leaves it to the interpreter."""

    def exec_module(self, module: "ModuleType") -> None:
        """Runs a module's code."""
        spec = module.__spec__
        if spec is not None:
            code: CodeType = spec.loader_state
            spec.loader_state = None
            exec(code, module.__dict__)  # noqa: S102 - that is what importing is

    def _read(self, name: str, folder: str, module: str) -> ModuleSpec | None:
        compiled = f"{folder}/__pycache__/{module}{self._suffix}"
        try:
            file = os.open(compiled, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            data = os.read(file, os.fstat(file).st_size)
        finally:
            os.close(file)
        if not data.startswith(_HEADER):
            return None
        source = f"{folder}/{module}.py"
        if sys.flags.verbose:
            sys.stderr.write(f"# {compiled} matches {source}\n")
        code = loads(memoryview(data)[_CODE_AT:])  # noqa: S302 - as the interpreter does
        spec = ModuleSpec(name, self, origin=source, loader_state=code)  # type: ignore[arg-type]
        spec.has_location = True
        spec.cached = compiled
        return spec
