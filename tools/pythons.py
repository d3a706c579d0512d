"""The Pythons of this machine: which of Lambda's versions an interpreter is at hand for.

Looks where people keep them and starts each once; installs nothing.
"""

import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from tools.target import Target, Version, dotted

# What `make pythons` fetches.
FETCHED = Path(__file__).parents[1] / "build" / "pythons"

# Long enough for a wrapper script that starts other programs, short enough for one that waits for ever.
START_S = 10.0


def targets(versions: Iterable[Version], architectures: Iterable[str]) -> tuple[Target, ...]:
    """Every version on every architecture, with the interpreter to compile with where there is one."""
    interpreters = {version: found(version) for version in versions}
    architectures = tuple(architectures)
    return tuple(
        Target(version, architecture, interpreter)
        for version, interpreter in interpreters.items()
        for architecture in architectures
    )


def found(version: Version) -> Path | None:
    """An interpreter of a version, by its own path; the one that runs this if it is of that version."""
    running = Target.running()
    if version == running.version:
        return running.interpreter
    name = f"python{dotted(version)}"
    for folder in folders():
        path = Path(folder, name)
        if os.access(path, os.X_OK):
            interpreter = answered(path, version)
            if interpreter:
                return interpreter
    return None


def folders() -> Iterator[str]:
    """Where to look, in this order: the search path, pyenv, uv, the usual prefixes, what was fetched."""
    yield from os.get_exec_path()
    home = Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv")
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or home / ".local/share/uv/python")
    for root in (pyenv / "versions", uv, Path("/opt"), FETCHED):
        # Of several patch levels the same one every time: the layer is to be the same every time.
        yield from sorted(map(str, root.glob("*/bin")), reverse=True)
    yield from ("/usr/local/bin", "/usr/bin")


def answered(path: Path, version: Version) -> Path | None:
    """The interpreter that a command starts, if it starts one of that version; pyenv's are scripts that may not."""
    program = "import sys; print(*sys.version_info[:2], sys.implementation.name, sys.executable)"
    try:
        done = subprocess.run(  # noqa: S603 - a Python of this machine's, with a program of ours
            [path, "-IS", "-c", program], check=False, capture_output=True, text=True, timeout=START_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    major, minor, implementation, executable = (done.stdout.split(maxsplit=3) + [""] * 4)[:4]
    if done.returncode or (major, minor, implementation) != (*map(str, version), "cpython"):
        return None
    return Path(executable.strip()).resolve()


def running_and_others(versions: Iterable[Version]) -> list[Target]:
    """The targets of this machine's own architecture that have an interpreter, the running one first."""
    running = Target.running()
    others = [(version, found(version)) for version in versions if version != running.version]
    return [running, *(Target(version, running.architecture, path) for version, path in others if path)]
