"""Bundles of bytecode, read by those who test what is in them."""

import marshal
from pathlib import Path
from types import CodeType

from lifecycle import finder

SOURCE = Path(finder.__file__)

# What a person's program compiles before it can find anything in a bundle.
BEFORE_THE_BUNDLE = frozenset({"lifecycle/__init__.py", "lifecycle/finder.py"})

# The beginning of a program for this Python: modules of the bundle in the directory that it is given are found.
FINDING = f"""
import sys
reader = {{"__name__": "finder"}}
exec(open({str(SOURCE)!r}).read(), reader)
reader["install"](sys.argv[1])
"""

# A function for programs of the Python that a bundle is for: each module's code by its name, the finder's too.
CODES = f"""
def codes_of(bundle):
    import marshal
    finder, packages = marshal.loads(bundle[4:{finder.HEAD_BYTES}])
    codes = {{"lifecycle.finder": finder}}
    for places in packages.values():
        for name, place in marshal.loads(places).items():
            at, size = place >> 1 + {finder.SIZE_BITS}, place >> 1 & (1 << {finder.SIZE_BITS}) - 1
            codes[name] = marshal.loads(bundle[at : at + size])
    return codes
"""


def codes(bundle: bytes) -> dict[str, CodeType]:
    """The code of each module in a bundle of this Python by its name, the finder's included."""
    program: dict[str, object] = {}
    exec(CODES, program)  # noqa: S102 - the above
    found: dict[str, CodeType] = program["codes_of"](bundle)  # type: ignore[operator]
    return found


def load_from_source(library: Path, module: str) -> None:
    """Has a module compiled from its source by whoever loads it from the bundle of this Python, from now on.

    Args:
        library: The directory that the packages lie in.
        module: Its dotted name.

    Raises:
        LookupError: It is not in the bundle.
    """
    with Path(finder.path_in(str(library))).open("r+b") as bundle:
        _, index = marshal.loads(bundle.read(finder.HEAD_BYTES)[4:])  # noqa: S302 - what we have built
        place = finder.Finder(str(library), bundle.fileno(), index).place(module)
        if not place:
            raise LookupError(f"{module} is not in {bundle.name}")
        source = str(library / module.replace(".", "/")) + ".py"
        code = compile(f"exec(compile(open({source!r}).read(), {source!r}, 'exec'))", source, "exec")
        bundle.seek(place >> 1 + finder.SIZE_BITS)
        bundle.write(marshal.dumps(code))
