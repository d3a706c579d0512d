"""Builds the layer: `python -m tools.layer`.

The zip unpacks to `extensions/tailrace`, the launcher, and to `tailrace/`, our packages beside the vendored
ones, compiled ahead. Nothing lies under `python/` or `lib/`, where the function's own interpreter looks.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tools import archive, wheels
from tools.target import ARCHITECTURES, Target, real_interpreter

PACKAGES = ("lifecycle", "collector", "shipper")
LAUNCHER = "extensions/tailrace"
LIBRARY = "tailrace"

# Where Lambda unpacks layers: what tracebacks name, and what spares an import the renaming of its code.
UNPACKED = "/opt/" + LIBRARY

# The Python of Lambda's Python runtimes.
LAMBDA_INTERPRETER = "/var/lang/bin/python3"

# Isolated, no `site`. The kernel passes all that follows the interpreter as one argument (execve(2)).
FLAGS = "-IS"

# execve(2): what the kernel reads of a script's first line.
FIRST_LINE_BYTES = 255

# The last Python whose `typing` lacks a name that structlog imports.
SHIMMED = (3, 10)

TOOLS = Path(__file__).parent
RULE = "=" * 110


class LayerError(Exception):
    """The layer cannot be built from what was given."""


@dataclass(frozen=True)
class Plan:
    """What a layer is built from.

    Attributes:
        source: Directory that holds our packages and LICENSE.
        targets: Pythons and architectures it is to run on.
        interpreter: What the launcher's first line names.
        requirements: The vendored packages with their hashes; None: none.
        cache: Directory that keeps wheels between builds.
    """

    source: Path
    targets: tuple[Target, ...]
    interpreter: str = LAMBDA_INTERPRETER
    requirements: Path | None = None
    cache: Path = Path("build/wheels")


def build(plan: Plan, output: Path) -> None:
    """Builds the zip.

    Args:
        plan: What from.
        output: Where to; replaced only once it is complete.

    Raises:
        LayerError: The plan cannot be carried out.
        wheels.WheelError: A vendored package is not to be had or not as expected.
    """
    with tempfile.TemporaryDirectory(prefix="tailrace-layer-") as scratch:
        root = Path(scratch)
        library = root / LIBRARY
        for package in PACKAGES:
            copy_package(plan.source / package, library / package)
        licences = vendor(plan, library)
        for target in distinct_versions(plan.targets):
            compile_ahead(library, target)
        launcher = root / LAUNCHER
        launcher.parent.mkdir()
        launcher.write_text(launcher_text(plan.interpreter), encoding="utf-8")
        own = (plan.source / "LICENSE").read_text(encoding="utf-8")
        text = licences_text([wheels.Licence("tailrace", "LICENSE", own), *licences])
        (library / "LICENSES").write_text(text, encoding="utf-8")
        archive.write(root, output, is_executable=lambda name: name == LAUNCHER)


def copy_package(source: Path, destination: Path) -> None:
    """Copies a package's modules, and nothing that lies beside them.

    Raises:
        LayerError: There is no such package.
    """
    modules = sorted(source.rglob("*.py"))
    if not modules:
        raise LayerError(f"no module in {source}, expected one of our packages")
    for module in modules:
        path = destination / module.relative_to(source)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(module.read_bytes())


def vendor(plan: Plan, library: Path) -> list[wheels.Licence]:
    """Adds the vendored packages of every target.

    Returns:
        Their licences, each once.
    """
    licences: dict[wheels.Licence, None] = {}
    if plan.requirements is None:
        return []
    for target in plan.targets:
        for wheel in wheels.fetch(plan.requirements, target, plan.cache):
            licences.update(dict.fromkeys(wheels.add(wheel, library)))
    if any(target.version <= SHIMMED for target in plan.targets):
        for shim in sorted((TOOLS / "shims").glob("*.py")):
            shutil.copyfile(shim, library / shim.name)
    return sorted(licences, key=lambda licence: (licence.package, licence.file))


def distinct_versions(targets: Iterable[Target]) -> list[Target]:
    """One target for each version: bytecode is the same on every architecture."""
    return list({target.version: target for target in targets}.values())


def compile_ahead(library: Path, target: Target) -> None:
    """Compiles everything with a target's own interpreter, none of this process's environment in the result.

    Raises:
        LayerError: A module does not compile.
    """
    script = str(TOOLS / "bytecode.py")
    command = [str(target.interpreter), "-sS", "-W", "ignore", script, str(library), UNPACKED]
    environment = {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(  # noqa: S603 - an interpreter of ours, with our script
        command, env=environment, check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise LayerError(f"{target.interpreter} could not compile the layer:\n{done.stderr}")


def first_line(interpreter: str) -> str:
    """The line by which the kernel finds a script's interpreter.

    Raises:
        LayerError: The kernel would not.
    """
    line = f"#!{interpreter} {FLAGS}\n"
    if not interpreter.startswith("/") or len(interpreter.split()) != 1:
        raise LayerError(f"got interpreter {interpreter!r}, expected an absolute path without spaces")
    if len(line.encode()) > FIRST_LINE_BYTES:
        raise LayerError(f"got a first line of {len(line)} bytes, expected no more than {FIRST_LINE_BYTES}")
    return line


def launcher_text(interpreter: str) -> str:
    """The launcher: a first line for the kernel, and the template."""
    return first_line(interpreter) + (TOOLS / "launcher.py").read_text(encoding="utf-8")


def licences_text(licences: Iterable[wheels.Licence]) -> str:
    """All licences in one text, the same text once."""
    sources: dict[str, list[str]] = {}
    for licence in licences:
        sources.setdefault(licence.text.strip("\n"), []).append(f"{licence.package}: {licence.file}")
    parts = []
    for text, files in sources.items():
        parts += [RULE, *files, RULE, "", text, ""]
    return "\n".join(parts)


def unpack(zip_path: Path, directory: Path, interpreter: str) -> None:
    """Unpacks a layer to run on this machine: as Lambda would, but the launcher names another interpreter."""
    archive.unpack(zip_path, directory)
    launcher = directory / LAUNCHER
    _, _, rest = launcher.read_text(encoding="utf-8").partition("\n")
    launcher.write_text(first_line(interpreter) + rest, encoding="utf-8")


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tools.layer", description="Builds the layer.")
    parser.add_argument("--source", type=Path, default=Path(), help="directory of our packages")
    parser.add_argument("--requirements", type=Path, default=Path("requirements-layer.txt"))
    parser.add_argument("--cache", type=Path, default=Path("build/wheels"), help="where wheels are kept")
    parser.add_argument("--output", type=Path, default=Path("build/tailrace-layer.zip"))
    parser.add_argument("--interpreter", default=LAMBDA_INTERPRETER, help="what the launcher names")
    parser.add_argument(
        "--unpack", type=Path, metavar="DIRECTORY", help="only unpack the zip there, to run on this machine"
    )
    return parser.parse_args()


def main() -> None:
    """Builds the layer for the Python that runs this, or unpacks it."""
    asked = arguments()
    if asked.unpack:
        unpack(asked.output, asked.unpack, str(real_interpreter()))
        return
    started_s = time.monotonic()
    target = Target.running()
    if target.architecture not in ARCHITECTURES:
        sys.exit(f"tools.layer: this machine is {target.architecture}, expected {' or '.join(ARCHITECTURES)}")
    print(f"Building {asked.output} for {target.name} …", flush=True)
    plan = Plan(asked.source, (target,), asked.interpreter, asked.requirements, asked.cache)
    try:
        build(plan, asked.output)
    except (LayerError, wheels.WheelError) as error:
        sys.exit(f"tools.layer: {error}")
    size_bytes = asked.output.stat().st_size
    print(f"Built {asked.output}: {size_bytes:,} bytes, in {time.monotonic() - started_s:.1f} s")


if __name__ == "__main__":
    main()
