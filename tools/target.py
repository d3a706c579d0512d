"""A Python and an architecture that a layer is built for."""

import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ARCHITECTURES = ("x86_64", "aarch64")

# What Amazon Linux 2 (glibc 2.26) still loads, and every later one: manylinux2014 means glibc 2.17 at most.
PLATFORM = "manylinux2014"


@dataclass(frozen=True)
class Target:
    """One Python on one architecture.

    Attributes:
        version: Major and minor version.
        architecture: As the kernel and wheels name it.
        interpreter: A Python of that version that runs on this machine, to compile with.
    """

    version: tuple[int, int]
    architecture: str
    interpreter: Path

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
