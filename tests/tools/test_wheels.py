"""What of a wheel goes into the layer."""

import zipfile
from pathlib import Path

import pytest

from tests.tools.test_elf import shared_object
from tools import wheels
from tools.target import Target

LICENCE: dict[str, str | bytes] = {"thing-1.0.dist-info/licenses/vendor/LICENSE": "Do as you like."}
TARGET = Target((3, 11), "x86_64", Path("/nowhere"))


def wheel(path: Path, files: dict[str, str | bytes]) -> Path:
    """Writes a wheel of the given files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def test_only_modules_and_licences_are_taken(tmp_path: Path) -> None:
    """Stubs, Cython's sources, metadata and pruned integrations stay behind."""
    packed = wheel(
        tmp_path / "thing-1.0-py3-none-any.whl",
        {
            "thing/__init__.py": "",
            "thing/core.cpython-311-x86_64-linux-gnu.so": shared_object(b"symbols"),
            "thing/core.pyi": "",
            "thing/core.pyx": "",
            "thing/core.pxd": "",
            "thing/py.typed": "",
            "thing/inner/README.md": "",
            "thing/inner/LICENSE.md": "Do so, too.",
            "structlog/twisted.py": "",
            "zlib_ng/zlib_ng.cpython-310-x86_64-linux-gnu.so": shared_object(b"symbols"),
            "httptools/parser/url_parser.cpython-311-x86_64-linux-gnu.so": shared_object(b"symbols"),
            "thing-1.0.dist-info/METADATA": "",
            "thing-1.0.dist-info/RECORD": "",
            **LICENCE,
        },
    )
    licences = wheels.add(packed, tmp_path / "tree")
    files = {path.relative_to(tmp_path / "tree").as_posix() for path in (tmp_path / "tree").rglob("*.*")}
    assert files == {"thing/__init__.py", "thing/core.cpython-311-x86_64-linux-gnu.so"}
    assert licences == [
        wheels.Licence("thing 1.0", "vendor/LICENSE", "Do as you like."),
        wheels.Licence("thing 1.0", "inner/LICENSE.md", "Do so, too."),
    ]


@pytest.mark.parametrize("name", ["thing/table.bin", "thing-1.0.data/purelib/thing.py", "thing.libs/x.so.1"])
def test_unknown_content_is_refused(tmp_path: Path, name: str) -> None:
    """A new version that brings something new is looked at by a person."""
    packed = wheel(tmp_path / "thing-1.0-py3-none-any.whl", {name: "", **LICENCE})
    with pytest.raises(wheels.WheelError, match="expected modules, stubs and licences only"):
        wheels.add(packed, tmp_path / "tree")


def test_compiled_module_for_no_lambda_is_refused(tmp_path: Path) -> None:
    """A .so that is not 64-bit ELF would fail at the first import, in production."""
    packed = wheel(tmp_path / "thing-1.0-py3-none-any.whl", {"thing.so": "not ELF", **LICENCE})
    with pytest.raises(wheels.WheelError, match=r"holds thing\.so: begins with b'not EL'"):
        wheels.add(packed, tmp_path / "tree")


def test_wheel_without_licence_is_refused(tmp_path: Path) -> None:
    """What we pass on, we pass on with its licence."""
    packed = wheel(tmp_path / "thing-1.0-py3-none-any.whl", {"thing.py": ""})
    with pytest.raises(wheels.WheelError, match="holds no licence"):
        wheels.add(packed, tmp_path / "tree")


def test_targets_share_files_only_when_they_agree(tmp_path: Path) -> None:
    """Wheels of several targets lie side by side; a module that differs between them cannot."""
    for number, text in enumerate(("same", "same", "other")):
        packed = wheel(tmp_path / str(number) / "thing-1.0-py3-none-any.whl", {"thing.py": text, **LICENCE})
        if text == "other":
            with pytest.raises(wheels.WheelError, match=r"another thing\.py"):
                wheels.add(packed, tmp_path / "tree")
        else:
            wheels.add(packed, tmp_path / "tree")


def test_wheels_are_fetched_once_for_the_same_requirements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache answers until the requirements change."""
    fetched = []

    def download(requirements: Path, target: Target, directory: Path) -> None:
        fetched.append((requirements.read_text(encoding="utf-8"), target.name))
        wheel(directory / "thing-1.0-py3-none-any.whl", LICENCE)

    monkeypatch.setattr(wheels, "download", download)
    requirements = tmp_path / "requirements.txt"
    for text in ("thing==1.0", "thing==1.0", "thing==1.1"):
        requirements.write_text(text, encoding="utf-8")
        found = wheels.fetch(requirements, TARGET, tmp_path / "cache")
        assert [path.name for path in found] == ["thing-1.0-py3-none-any.whl"]
    assert fetched == [("thing==1.0", "cp311-x86_64"), ("thing==1.1", "cp311-x86_64")]


def test_failed_download_leaves_nothing_in_the_cache(tmp_path: Path) -> None:
    """The next build tries again, rather than taking half of the wheels for all of them."""
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("thing @ file:///nowhere/thing-1.0-py3-none-any.whl --hash=sha256:" + 64 * "0")
    with pytest.raises(wheels.WheelError, match="could not fetch the wheels"):
        wheels.fetch(requirements, TARGET, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
