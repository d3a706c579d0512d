"""A Python and an architecture that a layer is built for."""

import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ARCHITECTURES = ("x86_64", "aarch64")

Version = tuple[int, int]

# The Pythons of Lambda's Python runtimes.
VERSIONS: tuple[Version, ...] = tuple((3, minor) for minor in range(10, 15))

# What Amazon Linux 2 (glibc 2.26) still loads, and every later one: manylinux2014 means glibc 2.17 at most.
PLATFORM = "manylinux2014"


class TargetError(Exception):
    """Not a Python or an architecture that layers are built for."""


@dataclass(frozen=True)
class Target:
    """One Python on one architecture.

    Attributes:
        version: Major and minor version.
        architecture: As the kernel and wheels name it.
        interpreter: A Python of that version that runs on this machine, to compile with; None: there is none,
            and the layer has no bytecode of that version.
    """

    version: Version
    architecture: str
    interpreter: Path | None

    @property
    def name(self) -> str:
        """What tells the target from others, in file names and lines: cp311-x86_64."""
        return f"cp{self.version[0]}{self.version[1]}-{self.architecture}"

    @property
    def platform(self) -> str:
        """The platform tag of the wheels to take."""
        return f"{PLATFORM}_{self.architecture}"

    @classmethod
    def at_hand(cls, interpreter: Path) -> "Target":
        """The target that an interpreter of this machine is itself."""
        asked = "import sys; print(*sys.version_info[:2])"
        told = subprocess.run(  # noqa: S603 - the interpreter is the caller's choice
            [interpreter, "-IS", "-c", asked], capture_output=True, check=True, text=True
        ).stdout
        major, minor = told.split()
        return cls((int(major), int(minor)), platform.machine(), interpreter)

    @classmethod
    def running(cls) -> "Target":
        """The target that runs this very code; of a virtual environment, the interpreter it was made from."""
        return cls(sys.version_info[:2], platform.machine(), real_interpreter())


def real_interpreter() -> Path:
    """The interpreter at hand by its own path; through a virtual environment it would look for more files."""
    return Path(sys.executable).resolve()


def dotted(version: Version) -> str:
    """A version as people write it: 3.11."""
    return f"{version[0]}.{version[1]}"


def read_versions(text: str) -> tuple[Version, ...]:
    """The versions named in a list separated by commas or spaces; all of them if it is empty.

    Raises:
        TargetError: One of them is not one that Lambda has.
    """
    known = {dotted(version): version for version in VERSIONS}
    return tuple(known[name] for name in _chosen(text, tuple(known), "Python"))


def read_architectures(text: str) -> tuple[str, ...]:
    """The architectures named in a list separated by commas or spaces, by the kernel's names or AWS's.

    Raises:
        TargetError: One of them is not one that Lambda has.
    """
    return _chosen(text.replace("arm64", "aarch64"), ARCHITECTURES, "architecture")


def _chosen(text: str, known: tuple[str, ...], what: str) -> tuple[str, ...]:
    asked = text.replace(",", " ").split()
    for word in asked:
        if word not in known:
            raise TargetError(f"got {what} {word}, expected {', '.join(known)}")
    return tuple(word for word in known if word in asked or not asked)
