"""Every compiled module that is carried can be loaded by the Lambda runtime it is for."""

import zipfile
from pathlib import Path

import msgspec
import pytest

from tests.tools.test_elf import shared_object
from tools import elf, loading
from tools.target import ARCHITECTURES, VERSIONS

ZLIB_NG = "zlib_ng/zlib_ng"
MODULES = ("httptools/parser/parser", "msgspec/_core")


@pytest.fixture(scope="session")
def compiled(universal_zip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled modules of the universal zip."""
    directory = tmp_path_factory.mktemp("compiled")
    with zipfile.ZipFile(universal_zip) as packed:
        packed.extractall(directory, [name for name in packed.namelist() if name.endswith(".so")])
    return directory / "tailrace"


def test_there_is_one_for_every_python_and_architecture(compiled: Path) -> None:
    """Side by side, told apart by their suffixes; for the oldest the zip has no room for zlib-ng."""
    found = {path.relative_to(compiled).as_posix() for path in compiled.rglob("*.so")}
    expected = {
        f"{module}.cpython-3{minor}-{architecture}-linux-gnu.so"
        for module in (*MODULES, ZLIB_NG)
        for _, minor in VERSIONS
        for architecture in ARCHITECTURES
        if module != ZLIB_NG or minor > 10
    }
    assert found == expected


def test_each_can_be_loaded_by_its_runtime(compiled: Path) -> None:
    """Machine, C library, other libraries, and the function that an import calls."""
    assert [line for path in compiled.rglob("*.so") for line in loading.complaints(path)] == []


def test_none_wants_a_newer_c_library_than_the_oldest_amazon_linux(compiled: Path) -> None:
    """manylinux2014 promises 2.17; what is read here is not just nothing."""
    wanted = {loading.needs(path.read_bytes()).glibc for path in compiled.rglob("*.so")}
    assert (0, 0) not in wanted
    assert max(wanted) <= (2, 17)


def test_what_is_read_is_what_the_file_says() -> None:
    """Before and after it was stripped, of a module that this very Python has loaded."""
    content = next(Path(msgspec.__file__).parent.glob("_core.*.so")).read_bytes()
    asked = loading.needs(content)
    assert asked == loading.needs(elf.stripped(content))
    assert "libc.so.6" in asked.libraries
    assert {"PyInit__core", "PyObject_GetAttr"} <= asked.strings
    assert (2, 2) <= asked.glibc < (3, 0)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("_core.cpython-311-aarch64-linux-gnu.so", "for machine 62, expected 183"),
        ("_other.cpython-311-x86_64-linux-gnu.so", "has no PyInit__other"),
        ("_core.abi3.so", "expected a name such as"),
    ],
)
def test_module_under_a_wrong_name_is_complained_of(compiled: Path, tmp_path: Path, name: str, said: str) -> None:
    """A file is what its name says, or the import fails in production."""
    path = tmp_path / name
    path.write_bytes((compiled / "msgspec" / "_core.cpython-311-x86_64-linux-gnu.so").read_bytes())
    (line,) = loading.complaints(path)
    assert line.startswith(f"{name}: ")
    assert said in line


def test_library_and_c_library_that_are_too_much_are_complained_of(
    compiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Amazon Linux 2 neither would be there."""
    path = tmp_path / "_core.cpython-310-x86_64-linux-gnu.so"
    path.write_bytes((compiled / "msgspec" / "_core.cpython-310-x86_64-linux-gnu.so").read_bytes())
    monkeypatch.setattr(loading, "GLIBC_2", (2, 3))
    monkeypatch.setattr(loading, "LIBRARIES", frozenset())
    newer, stranger = loading.complaints(path)
    assert newer.endswith("expected 2.3 at most on Python 3.10")
    assert "needs libc.so.6" in stranger


@pytest.mark.parametrize("content", [b"", b"text", shared_object()], ids=["empty", "text", "no dynamic segment"])
def test_what_is_no_module_is_complained_of(tmp_path: Path, content: bytes) -> None:
    """Rather than raised over."""
    path = tmp_path / "x.cpython-313-x86_64-linux-gnu.so"
    path.write_bytes(content)
    assert len(list(loading.complaints(path))) == 1


@pytest.mark.parametrize(("version", "glibc"), [((3, 10), (2, 26)), ((3, 11), (2, 26)), ((3, 12), (2, 34))])
def test_limit_is_that_of_the_runtimes_amazon_linux(version: tuple[int, int], glibc: tuple[int, int]) -> None:
    """Amazon Linux 2 up to Python 3.11, 2023 from 3.12 on."""
    assert loading.glibc_of(version) == glibc
