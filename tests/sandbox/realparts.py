"""AWS's own emulator and a real collector, fetched from PyPI once, pinned by version and by digest; and a database.

They come out of wheels (`aws-sam-cli` carries the emulator, `rotel` the collector) into `build/real/`. VictoriaMetrics
comes from Debian's unstable suite, whatever version that has: apt checks the signatures.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tools.debian import DebianError, Suite, site

CACHE = Path(__file__).resolve().parents[2] / "build" / "real"
DOWNLOAD_LIMIT_S = 180.0


class UnavailableError(Exception):
    """A real part cannot be had or run on this machine; the text says why. Tests skip with it."""


@dataclass(frozen=True)
class Part:
    """One executable inside one wheel."""

    requirement: str
    wheel: str
    sha256: str
    member: str
    pip_options: tuple[str, ...] = ()


RIE = Part(
    requirement="aws-sam-cli==1.170.0",
    wheel="aws_sam_cli-1.170.0-py3-none-any.whl",
    sha256="24ebaf5ecba38dc1758089968cb89ab61e124b84e92a344fc7a2771a47f4d0bf",
    member="samcli/local/rapid/aws-lambda-rie-{arch}",
)
ROTEL = Part(
    requirement="rotel==0.0.1a15",
    wheel="rotel-0.0.1a15-cp311-cp311-manylinux_2_34_x86_64.whl",
    sha256="2f4117e58410c933e0dc042a268ef738dab2e3a5d63b5831209acdac2a6ddcb7",
    member="rotel/rotel-agent",
    # The binary does not depend on the Python it is packed for: one wheel serves all.
    pip_options=(
        *("--only-binary=:all:", "--implementation=cp", "--python-version=3.11"),
        "--platform=manylinux_2_34_x86_64",
    ),
)


def rie_path() -> Path:
    """AWS's Runtime Interface Emulator for this machine.

    Raises:
        UnavailableError: No such machine, no network, or a wrong digest.
    """
    arch = {"x86_64": "x86_64", "aarch64": "arm64"}.get(platform.machine())
    if arch is None:
        raise UnavailableError(f"no emulator for {platform.machine()}")
    return _executable(RIE, RIE.member.format(arch=arch))


def rotel_path() -> Path:
    """The rotel agent, an OpenTelemetry collector in Rust.

    Raises:
        UnavailableError: No such machine, no network, or a wrong digest.
    """
    if platform.machine() != "x86_64":
        raise UnavailableError(f"no pinned rotel wheel for {platform.machine()}")
    path = _executable(ROTEL, ROTEL.member)
    require_loadable(path)
    return path


def victoria_path() -> Path:
    """VictoriaMetrics, a database of metrics that takes OTLP in protobuf alone.

    Raises:
        UnavailableError: This machine is no Debian, has no network, or cannot run what is made for a newer one.
    """
    target = CACHE / "victoria-metrics"
    if not target.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as directory:
            try:
                suite = Suite(Path(directory) / "debian", site(), platform.machine())
                suite.prepare()
                suite.unpack(target.name)
            except (DebianError, KeyError) as exc:
                raise UnavailableError(f"{target.name}: {exc}") from exc
            (suite.root / "usr/bin" / target.name).replace(target)
    require_loadable(target)
    return target


def require_loadable(program: Path) -> None:
    """Asks the dynamic loader whether a program can start, which runs nothing of it.

    Raises:
        UnavailableError: It lacks a library, or a version of one; the text says which, in the loader's words.
    """
    # ld.so(8). The loader's own switch --list would need its path, which differs by architecture.
    done = subprocess.run(
        [program], env={**os.environ, "LD_TRACE_LOADED_OBJECTS": "1"}, check=False, capture_output=True, text=True
    )
    missing = [line.strip() for line in (done.stdout + done.stderr).splitlines() if "not found" in line]
    if done.returncode or missing:
        reason = "; ".join(missing) or done.stderr.strip() or f"status {done.returncode}"
        raise UnavailableError(f"{program.name} cannot start on this machine: {reason}")


def _executable(part: Part, member: str) -> Path:
    target = CACHE / Path(member).name
    if target.exists():
        return target
    wheel = CACHE / part.wheel
    if not wheel.exists():
        _download(part)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != part.sha256:
        wheel.unlink()
        raise UnavailableError(f"{part.wheel}: got sha256 {digest}, expected {part.sha256}")
    with zipfile.ZipFile(wheel) as archive, tempfile.NamedTemporaryFile(dir=CACHE, delete=False) as file:
        file.write(archive.read(member))
    unpacked = Path(file.name)
    unpacked.chmod(0o755)
    # Renamed when complete: a second test run sees all of it or nothing.
    return unpacked.replace(target)


def _download(part: Part) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    with tempfile.TemporaryDirectory(dir=CACHE) as directory:
        try:
            subprocess.run(
                [*command, *part.pip_options, "--dest", directory, part.requirement],
                check=True,
                capture_output=True,
                timeout=DOWNLOAD_LIMIT_S,
            )
        except (OSError, subprocess.SubprocessError) as exc:
            detail = getattr(exc, "stderr", b"") or b""
            raise UnavailableError(f"{part.requirement}: {detail.decode()[-300:] or exc}") from exc
        found = Path(directory) / part.wheel
        if not found.exists():
            got = ", ".join(os.listdir(directory))  # noqa: PTH208
            raise UnavailableError(f"{part.requirement}: got {got}, expected {part.wheel}")
        found.replace(CACHE / part.wheel)


def main() -> None:
    """Fetches all of them; says which tests will be skipped for what, which is no error."""
    for name, path_of in (("AWS's emulator", rie_path), ("the OTLP agent", rotel_path)):
        try:
            path_of()
        except UnavailableError as exc:
            print(f"The tests that need {name} will be skipped: {exc}", file=sys.stderr)


if __name__ == "__main__":
    main()
