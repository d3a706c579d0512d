"""The vendored packages: fetched by hash, reduced to what is imported at run time.

Fetching is pip's; this module decides what of a wheel goes into the layer and refuses what it does not know.
"""

import contextlib
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tools import elf
from tools.target import Target

# What nothing imports, without its suffixes: a version that is told twice, integrations with what the layer does not
# carry, and what the layer loads its libraries without (`lifecycle.contract.lean`).
PRUNED = frozenset(
    {
        "httptools/parser/protocol",
        "httptools/parser/url_parser",
        "msgspec/_json_schema",
        "msgspec/_typing_utils",
        "msgspec/_utils",
        "msgspec/inspect",
        "msgspec/toml",
        "msgspec/yaml",
        "structlog/_greenlets",
        "structlog/_native",
        "structlog/_output",
        "structlog/contextvars",
        "structlog/dev",
        "structlog/stdlib",
        "structlog/testing",
        "structlog/threadlocal",
        "structlog/tracebacks",
        "structlog/twisted",
        "structlog/types",
        "structlog/typing",
        "tenacity/_version",
        "tenacity/after",
        "tenacity/asyncio/__init__",
        "tenacity/asyncio/retry",
        "tenacity/before",
        "tenacity/before_sleep",
        "tenacity/tornadoweb",
        "zlib_ng/_version",
        "zlib_ng/gzip_ng",
        "zlib_ng/gzip_ng_threaded",
    }
)

# Compiled modules that the oldest Python does without, since the standard library has the same, slower: 0.2 MB of a zip
# that is fetched at every cold start.
SPARED = ("zlib_ng/zlib_ng.cpython-310-",)

CARRIED = frozenset({".py", ".so"})

# For type checkers, for building and for people: stubs, Cython's sources, what a library in C says of itself.
LEFT_OUT = frozenset({".pyi", ".typed", ".pyx", ".pxd", ".md"})

# pip waits for the network most of the time.
FETCHES_AT_ONCE = 4

LICENCE_NAMES = ("LICENSE", "LICENCE", "NOTICE", "COPYING", "AUTHORS")


class WheelError(Exception):
    """A wheel could not be had, or is not what this module knows how to reduce."""


@dataclass(frozen=True)
class Licence:
    """The text of one licence file.

    Attributes:
        package: Name and version of the package it came with.
        file: Its name there.
        text: What it says.
    """

    package: str
    file: str
    text: str


def fetch_all(requirements: Path, targets: Iterable[Target], cache: Path) -> list[list[Path]]:
    """The wheels of several targets, in the targets' order.

    Raises:
        WheelError: pip could not fetch one of them.
    """
    with ThreadPoolExecutor(FETCHES_AT_ONCE) as fetches:
        return list(fetches.map(lambda target: fetch(requirements, target, cache), targets))


def fetch(requirements: Path, target: Target, cache: Path) -> list[Path]:
    """The wheels a target needs, from the cache if the requirements have not changed since.

    Args:
        requirements: Names, exact versions and hashes, as pip reads them.
        target: Python and architecture to fetch for.
        cache: Directory that keeps wheels between builds.

    Returns:
        The wheels' paths, sorted.

    Raises:
        WheelError: pip could not fetch one of them.
    """
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    kept = cache / f"{digest}-{target.name}"
    if not kept.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            fetched = Path(scratch) / "fetched"
            download(requirements, target, fetched)
            # A build at the same time may have been first; what it fetched is the same.
            with contextlib.suppress(OSError):
                fetched.replace(kept)
    return sorted(kept.glob("*.whl"))


def download(requirements: Path, target: Target, directory: Path) -> None:
    """Has pip fetch a target's wheels.

    Raises:
        WheelError: pip failed; it has said why on standard error.
    """
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
    command += ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--implementation", "cp"]
    command += ["--python-version", "{}.{}".format(*target.version), "--platform", target.platform]
    command += ["--requirement", str(requirements), "--dest", str(directory)]
    if subprocess.run(command, check=False).returncode:  # noqa: S603 - pip, with arguments of ours
        raise WheelError(f"pip could not fetch the wheels of {requirements} for {target.name}; see above")


def add(wheel: Path, tree: Path) -> list[Licence]:
    """Unpacks what of a wheel is imported at run time.

    Args:
        wheel: The wheel.
        tree: The directory that imports will find it in. Files of the same name, which another target's wheel
            brought, must have the same content.

    Returns:
        The licences that came with it.

    Raises:
        WheelError: It holds something unknown, or contradicts what another wheel brought.
    """
    package = " ".join(wheel.name.split("-")[:2])
    licences = []
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            path = PurePosixPath(name)
            if name.endswith("/") or name.partition(".")[0] in PRUNED or name.startswith(SPARED):
                continue
            if path.name.startswith(LICENCE_NAMES) and path.suffix not in CARRIED:
                file = "/".join(path.parts[1:]).removeprefix("licenses/")
                licences.append(Licence(package, file, archive.read(name).decode()))
            elif path.parts[0].endswith(".dist-info"):
                continue
            elif path.suffix in CARRIED and ".data" not in path.parts[0] and ".libs" not in path.parts[0]:
                place(carried(name, archive.read(name), wheel), tree / name, wheel)
            elif path.suffix not in LEFT_OUT:
                raise WheelError(f"{wheel.name} holds {name}: expected modules, stubs and licences only")
    if not licences:
        raise WheelError(f"{wheel.name} holds no licence, expected at least one")
    return licences


def carried(name: str, content: bytes, wheel: Path) -> bytes:
    """A file as the layer carries it: compiled modules without debugging data, all else as it is.

    Raises:
        WheelError: A compiled module is not one that Lambda could load.
    """
    if not name.endswith(".so"):
        return content
    try:
        return elf.stripped(elf.without_unwinding(content))
    except elf.ElfError as error:
        raise WheelError(f"{wheel.name} holds {name}: {error}") from error


def place(content: bytes, path: Path, wheel: Path) -> None:
    """Writes a file that several targets' wheels may bring.

    Raises:
        WheelError: It is there already and differs.
    """
    if path.exists() and path.read_bytes() != content:
        raise WheelError(f"{wheel.name} has another {path.name} than the wheel of the same package before it")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
