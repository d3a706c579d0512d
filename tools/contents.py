"""What a built zip is, read from the zip itself: by those who describe it, publish it and release it."""

import base64
import hashlib
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from lifecycle import finder
from tools import sbom
from tools.layer import LAUNCHER, LIBRARY, first_line_of
from tools.target import Version, dotted

# Lambda's names of the architectures.
ARCHITECTURES = {"x86_64": "x86_64", "aarch64": "arm64"}

# A package that is vendored for each Python and architecture: its modules tell which those are.
TELLING = f"{LIBRARY}/msgspec/"
COMPILED = re.compile(r"\.cpython-3(\d+)-(\w+)-linux-gnu\.so$")

# Measured on 3.13, from start to registered.
COST = "there it is compiled at every cold start, and registers after about 70 ms instead of 20"


class ContentsError(Exception):
    """Not a zip that we built."""


@dataclass(frozen=True)
class Contents:
    """A zip, and what it runs on.

    Attributes:
        path: The zip.
        data: Its bytes.
        version: Tailrace's.
        pythons: What it has compiled modules for.
        architectures: Lambda's names.
        brings_python: Whether the interpreter is in the zip.
        uncompiled: Those of its Pythons that it has no bytecode of.
    """

    path: Path
    data: bytes
    version: str
    pythons: tuple[Version, ...]
    architectures: tuple[str, ...]
    brings_python: bool
    uncompiled: tuple[Version, ...]

    @property
    def runtimes(self) -> tuple[str, ...]:
        """Lambda's names; empty: any."""
        return () if self.brings_python else tuple(f"python{dotted(version)}" for version in self.pythons)

    @property
    def runs_on(self) -> str:
        """For people."""
        first, last = dotted(self.pythons[0]), dotted(self.pythons[-1])
        pythons = f"Python {first}" + f" to {last}" * (first != last)
        return f"{'any runtime' if self.brings_python else pythons} on {' and '.join(self.architectures)}"

    @property
    def described(self) -> str:
        """In a line: what it is for, and what it lacks."""
        text = f"{self.path}: {len(self.data):,} bytes, for {self.runs_on}"
        return f"{text}; {self.lack}" if self.lack else f"{text}, all of it compiled"

    @property
    def lack(self) -> str:
        """What is missing, and what that costs; "" if nothing is."""
        names = ", ".join(map(dotted, self.uncompiled))
        return f"no bytecode for Python {names}: {COST}" if names else ""

    @property
    def sha256(self) -> str:
        """As Lambda tells it."""
        return base64.b64encode(hashlib.sha256(self.data).digest()).decode()


def read(path: Path) -> Contents:
    """Reads a zip that `make layer` or `make layer-standalone` built.

    Raises:
        ContentsError: It is none.
    """
    try:
        with zipfile.ZipFile(path) as packed:
            names = frozenset(packed.namelist())
            launcher = packed.read(LAUNCHER).decode()
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ContentsError(f"{path} is no layer of Tailrace: {error}") from error
    found = [match.groups() for name in names if name.startswith(TELLING) and (match := COMPILED.search(name))]
    if not found:
        raise ContentsError(f"{path} is no layer of Tailrace: no compiled module in {TELLING}")
    versions = sorted({(3, int(minor)) for minor, _ in found})
    return Contents(
        path,
        path.read_bytes(),
        sbom.own_version(path),
        tuple(versions),
        tuple(sorted({ARCHITECTURES[architecture] for _, architecture in found}, reverse=True)),
        first_line_of(launcher).startswith("#!/opt/"),
        tuple(version for version in versions if bundle_of(version) not in names),
    )


def bundle_of(version: Version) -> str:
    """The entry that holds the bytecode of a version."""
    return finder.path_in(LIBRARY, f"cpython-{version[0]}{version[1]}")
