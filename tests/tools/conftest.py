"""Layers to test: one of a stub, one of the project itself, one of the project for everything."""

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools.stub import write_source
from tools import archive, contents, layer, sbom
from tools.target import VERSIONS, Target, real_interpreter

ROOT = Path(__file__).parents[2]


def made_read_only(directory: Path) -> None:
    """Takes every write permission away, as `/opt` has none."""
    for path in [directory, *directory.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222)


def made_writable(directory: Path) -> None:
    """Lets the directory be removed."""
    for path in [directory, *directory.rglob("*")]:
        path.chmod(path.stat().st_mode | 0o200)


@pytest.fixture
def stub_zip(tmp_path: Path) -> Path:
    """The layer of a stub, without vendored packages, for the interpreter at hand."""
    plan = layer.Plan(write_source(tmp_path / "source"), (Target.running(),), str(real_interpreter()))
    output = tmp_path / "stub.zip"
    layer.build(plan, output)
    return output


@pytest.fixture
def stub_layer(stub_zip: Path, tmp_path: Path) -> Iterator[Path]:
    """The stub's layer, unpacked and read-only."""
    directory = tmp_path / "opt"
    archive.unpack(stub_zip, directory)
    made_read_only(directory)
    yield directory
    made_writable(directory)


@pytest.fixture(scope="session")
def real_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's layer for the interpreter at hand; wheels come from the build's cache if it has them."""
    requirements = ROOT / "requirements-layer.txt"
    cache = ROOT / "build" / "wheels"
    plan = layer.Plan(ROOT, (Target.running(),), requirements=requirements, cache=cache)
    output = tmp_path_factory.mktemp("layer") / "tailrace-layer.zip"
    layer.build(plan, output)
    return output


@pytest.fixture(scope="session")
def real_layer(real_zip: Path) -> Iterator[Path]:
    """The project's layer, unpacked and read-only."""
    directory = real_zip.with_name("opt")
    archive.unpack(real_zip, directory)
    made_read_only(directory)
    yield directory
    made_writable(directory)


def is_made() -> bool:
    """Whether what `make layer` has built is for everything, and of what there is now: it asks the same."""
    made, inputs = ROOT / "build/tailrace-layer.zip", ROOT / "build/layer-inputs.txt"
    if not (made.exists() and inputs.exists()):
        return False
    interpreter, _, versions, architectures, _, *names = inputs.read_text(encoding="utf-8").splitlines()
    sources = {path for package in (*layer.PACKAGES, "tools") for path in (ROOT / package).rglob("*.py")}
    sources |= {ROOT / name for name in ("tools/wrap", "LICENSE", "requirements-layer.txt")}
    fetched = set((ROOT / "build/pythons").glob("*/bin"))
    return (
        (interpreter, versions, architectures) == (layer.LAMBDA_INTERPRETER, "", "")
        and {ROOT / name for name in names} == sources | fetched
        and max(path.stat().st_mtime for path in sources) <= made.stat().st_mtime
    )


@pytest.fixture(scope="session")
def universal_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's layer for every Python and architecture, built as `make layer` builds it, and by it if it has."""
    output = tmp_path_factory.mktemp("universal") / "tailrace-layer.zip"
    if is_made():
        for name in (output.name, sbom.beside(output).name):
            shutil.copyfile(ROOT / "build" / name, output.with_name(name))
        return output
    subprocess.run([sys.executable, "-m", "tools.build_layer", "--output", output], cwd=ROOT, check=True, timeout=300)
    return output


@pytest.fixture(scope="session")
def whole_zip(universal_zip: Path) -> Path:
    """The universal zip as a machine with every Python builds it: what bytecode this one lacks is there, but empty."""
    output = universal_zip.with_name("whole.zip")
    shutil.copyfile(universal_zip, output)
    with zipfile.ZipFile(output, "a") as packed:
        names = frozenset(packed.namelist())
        for version in VERSIONS:
            if contents.bundle_of(version) not in names:
                packed.writestr(contents.bundle_of(version), b"")
    return output
