"""What makes a release, what keeps one from being made, and what is put on GitHub."""

import os
import subprocess
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.tools.test_makefile import made
from tools import contents, release
from tools.target import VERSIONS, Version

CHANGELOG = """# Changelog

## Unreleased

- What is to come.

## 1.2.3

- What has come.

## 1.2.2

- What was before.
"""


def packed(
    path: Path,
    architectures: Iterable[str],
    pythons: Iterable[Version],
    *,
    launcher: str = "#!/var/lang/bin/python3",
    version: str = "1.2.3",
    lacks: str = "",
) -> None:
    """A zip that has of a layer what tells what it is, and its bill of materials."""
    modules = ("tailrace/lifecycle/__main__", "tailrace/shipper/model/resource")
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("extensions/tailrace", f"{launcher} -IS\n")
        for name in modules:
            file.writestr(f"{name}.py", f'VERSION = "{version}"\n')
        for _, minor in pythons:
            for architecture in architectures:
                file.writestr(f"tailrace/msgspec/_core.cpython-3{minor}-{architecture}-linux-gnu.so", b"")
            if str(minor) != lacks:
                file.writestr(contents.bundle_of((3, minor)), b"")
    path.with_suffix(".cdx.json").write_text("{}", encoding="utf-8")


OWN = "#!/opt/tailrace/python/bin/python3"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """What `make release` builds."""
    built = tmp_path / "release"
    built.mkdir()
    packed(built / "tailrace-layer.zip", ("x86_64", "aarch64"), VERSIONS)
    packed(built / "tailrace-standalone-x86_64.zip", ("x86_64",), [(3, 13)], launcher=OWN)
    packed(built / "tailrace-standalone-arm64.zip", ("aarch64",), [(3, 13)], launcher=OWN)
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG, encoding="utf-8")
    return built


def checked(directory: Path, tag: str = "v1.2.3") -> int:
    """Checks a release, as `make release` does."""
    return release.main(
        ["check", str(directory), "--tag", tag, "--changelog", str(directory.with_name("CHANGELOG.md"))]
    )


class TestCheck:
    """What `make release` ends with."""

    def test_checksums_are_of_every_file_that_is_downloaded(self, directory: Path) -> None:
        """As sha256sum reads them."""
        assert checked(directory) == 0
        subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=directory, check=True)
        names = {line.split()[1] for line in (directory / "SHA256SUMS").read_text(encoding="utf-8").splitlines()}
        assert names == {path.name for path in directory.iterdir()} - {"SHA256SUMS", "NOTES.md"}
        assert len(names) == 6

    def test_notes_are_the_changelogs_of_this_version(self, directory: Path) -> None:
        """And how to verify what one downloads."""
        checked(directory)
        notes = (directory / "NOTES.md").read_text(encoding="utf-8")
        assert notes.startswith("- What has come.\n")
        assert "gh attestation verify" in notes
        assert "before" not in notes

    def test_without_a_tag_they_are_of_what_is_to_come(self, directory: Path) -> None:
        """For a trial on a laptop."""
        assert checked(directory, tag="") == 0
        assert (directory / "NOTES.md").read_text(encoding="utf-8").startswith("- What is to come.\n")

    def test_what_each_zip_is_for_is_printed(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A line each."""
        checked(directory)
        lines = [line.rpartition("bytes, ")[2] for line in capsys.readouterr().out.splitlines()]
        assert lines == [
            "for Python 3.10 to 3.14 on x86_64 and arm64, all of it compiled",
            "for any runtime on x86_64, all of it compiled",
            "for any runtime on arm64, all of it compiled",
        ]

    def test_tag_of_another_version_is_refused(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Nothing is written."""
        assert checked(directory, tag="v1.2.4") == 1
        assert "got the tag v1.2.4, expected v1.2.3" in capsys.readouterr().err
        assert not (directory / "SHA256SUMS").exists()

    def test_changelog_must_say_something_of_it(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """1.2.3 is not 1.2."""
        directory.with_name("CHANGELOG.md").write_text("## 1.2.30\n\n- x\n\n## 1.2.3\n\n", encoding="utf-8")
        assert checked(directory) == 1
        assert "CHANGELOG.md says nothing of 1.2.3" in capsys.readouterr().err

    def test_zips_of_two_versions_are_refused(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """One was built from another checkout."""
        packed(directory / "tailrace-standalone-arm64.zip", ("aarch64",), [(3, 13)], launcher=OWN, version="1.2.2")
        assert checked(directory) == 1
        assert "got zips of the versions 1.2.2 and 1.2.3, expected one" in capsys.readouterr().err

    def test_zip_that_lacks_bytecode_is_refused(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Slow at every cold start is no release."""
        packed(directory / "tailrace-layer.zip", ("x86_64", "aarch64"), VERSIONS, lacks="12")
        assert checked(directory) == 1
        assert "tailrace-layer.zip has no bytecode for Python 3.12" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("name", "architectures", "pythons", "launcher"),
        [
            ("tailrace-layer.zip", ("x86_64",), VERSIONS, "#!/var/lang/bin/python3"),
            ("tailrace-layer.zip", ("x86_64", "aarch64"), [(3, 13)], "#!/var/lang/bin/python3"),
            ("tailrace-standalone-arm64.zip", ("x86_64",), [(3, 13)], OWN),
            ("tailrace-standalone-arm64.zip", ("aarch64",), [(3, 13)], "#!/var/lang/bin/python3"),
        ],
        ids=["one architecture", "one Python", "the other architecture", "no Python of its own"],
    )
    def test_zip_that_is_not_what_its_name_says_is_refused(
        self,
        directory: Path,
        capsys: pytest.CaptureFixture[str],
        name: str,
        architectures: tuple[str, ...],
        pythons: Iterable[Version],
        launcher: str,
    ) -> None:
        """It would fail every function that it is attached to, or be slow there."""
        packed(directory / name, architectures, pythons, launcher=launcher)
        assert checked(directory) == 1
        assert "which is not what its name says" in capsys.readouterr().err

    @pytest.mark.parametrize("name", ["tailrace-layer.zip", "tailrace-standalone-arm64.cdx.json"])
    def test_file_that_is_missing_is_named(
        self, directory: Path, capsys: pytest.CaptureFixture[str], name: str
    ) -> None:
        """A zip, or its bill of materials."""
        (directory / name).unlink()
        assert checked(directory) == 1
        assert name.partition(".")[0] in capsys.readouterr().err


GH = """#!/bin/sh
printf '%s\\n' "$@" >"$SAID"
cat >"$SAID.notes"
exit "$STATUS"
"""


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for GitHub's command line: where it writes what it was told."""
    program = tmp_path / "bin/gh"
    program.parent.mkdir()
    program.write_text(GH, encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SAID", str(tmp_path / "said"))
    monkeypatch.setenv("STATUS", "0")
    return tmp_path / "said"


class TestPublish:
    """`make github-release`."""

    def test_everything_is_uploaded_to_a_tag_that_is_there(self, directory: Path, github: Path) -> None:
        """Zips, bills of materials, checksums; the notes are not a file to download."""
        checked(directory)
        assert release.main(["publish", str(directory), "--tag", "v1.2.3"]) == 0
        words = github.read_text(encoding="utf-8").splitlines()
        assert words[:4] == ["release", "create", "v1.2.3", "--verify-tag"]
        uploaded = {Path(word).name for word in words if "/" in word}
        assert uploaded == {path.name for path in directory.iterdir()} - {"NOTES.md"}
        assert "Layers" not in Path(f"{github}.notes").read_text(encoding="utf-8")

    def test_table_of_arns_is_in_the_notes_and_beside_the_zips(self, directory: Path, github: Path) -> None:
        """Where layer versions were published."""
        checked(directory)
        (directory / "LAYERS.md").write_text("### tailrace\n", encoding="utf-8")
        release.main(["publish", str(directory), "--tag", "v1.2.3"])
        assert Path(f"{github}.notes").read_text(encoding="utf-8").endswith("\n## Layers\n\n### tailrace\n")
        assert str(directory / "LAYERS.md") in github.read_text(encoding="utf-8").splitlines()

    def test_what_fails_is_said(
        self, directory: Path, github: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """No tag, nothing built, GitHub says no, no command line of GitHub's."""
        command = ["publish", str(directory), "--tag"]
        assert release.main([*command, ""]) == 1
        assert release.main([*command, "v1.2.3"]) == 1
        assert not github.exists()
        checked(directory)
        monkeypatch.setenv("STATUS", "4")
        assert release.main([*command, "v1.2.3"]) == 1
        monkeypatch.setenv("PATH", "/nowhere")
        assert release.main([*command, "v1.2.3"]) == 1
        said = capsys.readouterr().err.splitlines()
        assert [line.removeprefix("tools.release: ").partition(":")[0] for line in said] == [
            "no tag is named",
            f"there is no {directory / 'NOTES.md'}. First",
            "gh release create",
            "gh, GitHub's command line",
        ]


def test_makefile_builds_three_zips_with_all_bytecode() -> None:
    """And holds them to the tag."""
    said = made("--dry-run", "release", "TAG=v1.2.3", "PYTHON_DIST_ARM64=/dist").stdout
    assert "tools.build_layer --strict --output build/release/tailrace-layer.zip" in said
    assert "--archs x86_64 --python-dist ''" in said
    assert "--archs arm64 --python-dist '/dist'" in said
    assert "tools.release check build/release --tag 'v1.2.3'" in said


def test_makefile_publishes_each_zip_under_its_name() -> None:
    """In every region that is named, and with one table."""
    lines = made("--dry-run", "publish-release", "REGIONS=all", "PUBLIC=1").stdout
    script = lines.replace(".venv/bin/python -m tools.publish", "echo")
    done = subprocess.run(["sh", "-c", script], check=True, capture_output=True, text=True)
    flags = "--regions all --profile  --public --zip build/release"
    assert done.stdout.splitlines() == [
        f"{flags}/{zip_name} --name {name} --table build/release/LAYERS.md"
        for zip_name, name in (
            ("tailrace-layer.zip", "tailrace"),
            ("tailrace-standalone-x86_64.zip", "tailrace-standalone-x86_64"),
            ("tailrace-standalone-arm64.zip", "tailrace-standalone-arm64"),
        )
    ]
