"""Builds the layer: from a plan to a tree, a zip and its bill of materials.

The zip unpacks to `extensions/tailrace`, the launcher, and to `tailrace/`, our packages beside the vendored
ones, compiled ahead. Nothing lies under `python/` or `lib/`, where the function's own interpreter looks.
"""

import shutil
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tools import archive, bytecode, loading, sbom, sources, wheels
from tools.target import Target, Version

PACKAGES = ("lifecycle", "collector", "shipper")
LAUNCHER = "extensions/tailrace"
LIBRARY = "tailrace"
WRAPPER = "tailrace/wrap"

# In the library: what reads the bundles of bytecode.
FINDER = "lifecycle/finder.py"

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

# Each compiler starts a process; more at a time than a small machine has processors only makes them wait.
COMPILERS = 2

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

    @property
    def compiled(self) -> dict[Version, Path]:
        """The interpreters to compile with, one a version: bytecode is the same on every architecture."""
        return {target.version: target.interpreter for target in self.targets if target.interpreter}

    @property
    def missing(self) -> list[Version]:
        """Versions that will have no bytecode, for want of an interpreter."""
        return sorted({target.version for target in self.targets} - set(self.compiled))


@dataclass
class Carried:
    """What was vendored.

    Attributes:
        licences: Of the packages, each once.
        wheels: What they came in, each once.
    """

    licences: list[wheels.Licence] = field(default_factory=list)
    wheels: list[Path] = field(default_factory=list)


def build(plan: Plan, output: Path) -> None:
    """Builds the zip, and beside it the bill of materials.

    Args:
        plan: What from.
        output: Where to; replaced only once it is complete.

    Raises:
        LayerError: The plan cannot be carried out.
        wheels.WheelError: A vendored package is not to be had or not as expected.
    """
    with tempfile.TemporaryDirectory(prefix="tailrace-layer-") as scratch:
        root = Path(scratch)
        carried = furnish(plan, root)
        archive.write(root, output, is_executable=(LAUNCHER, WRAPPER).__contains__)
    sbom.write(carried.wheels, plan.targets, output)


def furnish(plan: Plan, root: Path) -> Carried:
    """Makes the tree that the zip holds.

    Raises:
        LayerError: The plan cannot be carried out.
        wheels.WheelError: A vendored package is not to be had or not as expected.
    """
    library = root / LIBRARY
    for package in PACKAGES:
        copy_package(plan.source / package, library / package)
    carried = vendor(plan, library)
    if wrong := [line for path in sorted(library.rglob("*.so")) for line in loading.complaints(path)]:
        raise LayerError("Lambda could not load what the wheels brought:\n" + "\n".join(wrong))
    with ThreadPoolExecutor(COMPILERS) as compilers:
        list(compilers.map(lambda interpreter: compile_ahead(library, interpreter), plan.compiled.values()))
    launcher = root / LAUNCHER
    launcher.parent.mkdir()
    launcher.write_text(launcher_text(plan.interpreter), encoding="utf-8")
    shutil.copyfile(TOOLS / "wrap", root / WRAPPER)
    own = (plan.source / "LICENSE").read_text(encoding="utf-8")
    text = licences_text([wheels.Licence("tailrace", "LICENSE", own), *carried.licences])
    (library / "LICENSES").write_text(text, encoding="utf-8")
    return carried


def copy_package(source: Path, destination: Path) -> None:
    """Copies a package's modules without their explanations, and nothing that lies beside them.

    Raises:
        LayerError: There is no such package.
    """
    modules = sorted(source.rglob("*.py"))
    if not modules:
        raise LayerError(f"no module in {source}, expected one of our packages")
    for module in modules:
        path = destination / module.relative_to(source)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(sources.bare(module.read_text(encoding="utf-8")), encoding="utf-8")


def vendor(plan: Plan, library: Path) -> Carried:
    """Adds the vendored packages of every target."""
    if plan.requirements is None:
        return Carried()
    licences: dict[wheels.Licence, None] = {}
    packed: dict[str, Path] = {}
    for found in wheels.fetch_all(plan.requirements, plan.targets, plan.cache):
        for wheel in found:
            # A pure package's wheel is every target's; looked at once.
            if packed.setdefault(wheel.name, wheel) == wheel:
                licences.update(dict.fromkeys(wheels.add(wheel, library)))
    if any(target.version <= SHIMMED for target in plan.targets):
        for shim in sorted((TOOLS / "shims").glob("*.py")):
            shutil.copyfile(shim, library / shim.name)
    ordered = sorted(licences, key=lambda licence: (licence.package, licence.file))
    return Carried(ordered, [packed[name] for name in sorted(packed)])


def compile_ahead(library: Path, interpreter: Path) -> None:
    """Compiles everything with an interpreter, none of this process's environment in the result.

    Raises:
        LayerError: A module does not compile.
    """
    failed = bytecode.run(interpreter, library, UNPACKED, FINDER)
    if failed:
        raise LayerError(f"{interpreter} could not compile the layer:\n{failed}")


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


def first_line_of(launcher: str) -> str:
    """The line that names a launcher's interpreter."""
    return launcher.partition("\n")[0]


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
