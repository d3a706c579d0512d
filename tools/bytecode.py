"""Compiles a tree ahead of time: `python -S bytecode.py TREE PREFIX LEVEL`.

A program of its own, because each Python compiles its own bytecode: it imports nothing of the project. Run
it in a fresh interpreter with PYTHONHASHSEED=0. The same sources then give the same bytes: before Python 3.11
the order of a set of constants depends on the seed, and in every version the marks that marshal puts on what
it may refer to again depend on who else holds the object.
"""

import py_compile
import sys
from importlib.util import cache_from_source
from pathlib import Path

# Our own modules go without docstrings, which every process of the three would otherwise keep in memory. What is
# vendored stays as the interpreter would compile it by itself: a library may read its docstrings.
OURS = frozenset({"lifecycle", "collector", "shipper"})
WITHOUT_DOCSTRINGS = 2
AS_WRITTEN = 0

# Without column numbers, which nothing but the carets of a traceback needs: a third of what is read at cold start, and
# over a megabyte of memory in three processes. Python 3.10 knows neither them nor the option, and takes no notice.
OPTIONS = ("-sS", "-W", "ignore", "-X", "no_debug_ranges")


def run(interpreter: Path, tree: Path, prefix: str, level: int = AS_WRITTEN) -> str:
    """Has an interpreter compile a tree, none of this process's environment in the result.

    Returns:
        What went wrong; "" if nothing.
    """
    import subprocess

    command = [str(interpreter), *OPTIONS, __file__, str(tree), prefix, str(level)]
    environment = {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(  # noqa: S603 - an interpreter of ours, with this very script
        command, env=environment, check=False, capture_output=True, text=True
    )
    return (done.stderr or f"status {done.returncode}") if done.returncode else ""


def compile_tree(tree: Path, prefix: str, level: int) -> None:
    """Writes `__pycache__` beside every module.

    The bytecode carries its source's hash and is never checked against it (PEP 552): it stays valid whatever
    times the files are unpacked with, and no source is read to import it.

    Args:
        tree: A directory of sources.
        prefix: Where the tree will lie when it runs, which is what tracebacks name.
        level: What to optimise that is not ours.

    Raises:
        py_compile.PyCompileError: A source is not valid for this Python.
    """
    for source in sorted(tree.rglob("*.py")):
        inside = source.relative_to(tree)
        py_compile.compile(
            str(source),
            # Named, because the default name tells the level and -IS looks for level 0 only.
            cfile=cache_from_source(str(source), optimization=""),
            dfile=f"{prefix}/{inside.as_posix()}",
            doraise=True,
            optimize=WITHOUT_DOCSTRINGS if inside.parts[0] in OURS else level,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )


if __name__ == "__main__":
    compile_tree(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
