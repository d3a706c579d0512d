"""The command line that builds a layer: what it is asked for, what it says, and when it fails."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.tools.conftest import ROOT
from tests.tools.stub import write_source
from tools import build_layer, layer, pythons
from tools.target import (
    ARCHITECTURES,
    VERSIONS,
    Target,
    TargetError,
    dotted,
    read_architectures,
    read_versions,
    real_interpreter,
)


def built(tmp_path: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Builds the stub."""
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("", encoding="utf-8")
    for version in VERSIONS:
        for architecture in ARCHITECTURES:
            (tmp_path / "cache" / f"e3b0c44298fc-{Target(version, architecture, None).name}").mkdir(parents=True)
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "tools.build_layer",
        "--source",
        write_source(tmp_path / "source"),
    ]
    command += ["--requirements", requirements, "--cache", tmp_path / "cache", "--output", tmp_path / "out.zip"]
    return subprocess.run([*command, *arguments], cwd=ROOT, check=False, capture_output=True, text=True, timeout=60)


def bytecode(zip_path: Path) -> set[str]:
    """The Pythons whose bytecode a zip holds."""
    with zipfile.ZipFile(zip_path) as packed:
        return {Path(name).stem for name in packed.namelist() if name.endswith(".bundle")}


def test_everything_is_built_unless_narrowed(tmp_path: Path) -> None:
    """Sizes and places are printed."""
    done = built(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "for Python 3.10 3.11 3.12 3.13 3.14 on x86_64 and aarch64" in done.stdout
    assert f"{(tmp_path / 'out.zip').stat().st_size:,} bytes" in done.stdout
    assert (tmp_path / "out.cdx.json").exists()


def test_it_is_narrowed_by_versions_and_architectures(tmp_path: Path) -> None:
    """One Python, one architecture."""
    version = sys.version_info[:2]
    done = built(tmp_path, "--pythons", dotted(version), "--archs", "arm64")
    assert f"for Python {dotted(version)} on aarch64 …" in done.stdout
    assert bytecode(tmp_path / "out.zip") == {sys.implementation.cache_tag}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--pythons", "3.9"), "got Python 3.9, expected 3.10, 3.11, 3.12, 3.13, 3.14"),
        (("--archs", "riscv64"), "got architecture riscv64, expected x86_64, aarch64"),
        (("--interpreter", "python3"), "got interpreter 'python3', expected an absolute path"),
    ],
)
def test_what_cannot_be_built_is_said(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    """In one line."""
    done = built(tmp_path, *arguments)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_lists_take_commas_and_spaces_and_keep_our_order() -> None:
    """As people write them."""
    assert read_versions("3.13, 3.11") == ((3, 11), (3, 13))
    assert read_versions("") == VERSIONS
    assert read_architectures("arm64 x86_64") == ARCHITECTURES
    with pytest.raises(TargetError):
        read_architectures("x86")


class TestMissingInterpreter:
    """A version that no interpreter of this machine can compile for."""

    PLAN = layer.Plan(Path(), (Target((3, 14), "x86_64", None), Target((3, 14), "aarch64", None)))
    SAID = (
        "no interpreter for Python 3.14, so that there is no bytecode of it: there it is compiled at every cold start, "
        "and registers after about 70 ms instead of 20"
    )

    def test_it_is_said(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Once for both architectures."""
        build_layer.say_missing(self.PLAN, strict=False)
        assert capsys.readouterr().err == f"Warning: {self.SAID}.\n"

    def test_strict_fails(self) -> None:
        """For those who publish."""
        with pytest.raises(layer.LayerError, match=self.SAID):
            build_layer.say_missing(self.PLAN, strict=True)

    @pytest.mark.parametrize("asked", [["--strict"], []], ids=["strict", "as it is"])
    def test_command_line_fails_if_strict_and_warns_if_not(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        asked: tuple[str, ...],
    ) -> None:
        """No zip is left behind that lacks what was asked for."""
        monkeypatch.setattr(pythons, "folders", lambda: iter([str(tmp_path)]))
        monkeypatch.setattr(layer, "vendor", lambda _plan, _library: layer.Carried())
        output = tmp_path / "out.zip"
        command = ["--source", str(write_source(tmp_path / "source")), "--output", str(output), *asked]
        monkeypatch.setattr(sys, "argv", ["tools.build_layer", *command])
        if asked:
            with pytest.raises(SystemExit, match=r"tools\.build_layer: no interpreter for Python .*3\.14"):
                build_layer.main()
            assert not output.exists()
        else:
            build_layer.main()
            assert capsys.readouterr().err.startswith("Warning: no interpreter for Python ")
            assert bytecode(output) == {sys.implementation.cache_tag}

    @pytest.mark.parametrize(("word", "is_strict"), [("STRICT=1", True), ("STRICT=0", False), ("STRICT=", False)])
    def test_makefile_passes_it_on(self, word: str, *, is_strict: bool) -> None:
        """As STRICT=1."""
        command = ["make", "--dry-run", "--always-make", "-f", "layer.mk", "build/tailrace-layer.zip", word]
        # Not what the make that runs this test was told.
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        done = subprocess.run(command, cwd=ROOT, env=environ, check=True, capture_output=True, text=True, timeout=60)
        assert ("--strict" in done.stdout) is is_strict

    def test_it_is_found_out_on_the_command_line(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """With no Python anywhere but the one that runs this."""
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setattr(pythons, "folders", lambda: iter([str(tmp_path)]))
        targets = pythons.targets(VERSIONS, ARCHITECTURES)
        plan = layer.Plan(tmp_path, targets)
        assert plan.missing == [version for version in VERSIONS if version != sys.version_info[:2]]
        assert plan.compiled == {sys.version_info[:2]: real_interpreter()}


class TestFinding:
    """Interpreters at hand."""

    def fake(self, path: Path, text: str) -> Path:
        """A program that prints something."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        path.chmod(0o755)
        return path

    @pytest.mark.parametrize(
        "text",
        ["exit 1", "echo 3 12 cpython /x", "echo 3 13 pypy /x", "echo", "exec /nowhere"],
        ids=["fails", "another version", "another implementation", "nothing", "not there"],
    )
    def test_what_is_not_that_python_is_passed_over(self, tmp_path: Path, text: str) -> None:
        """The shims of pyenv are scripts that know of no such version, and names can lie."""
        assert pythons.answered(self.fake(tmp_path / "python3.13", text), (3, 13)) is None

    def test_script_that_starts_one_stands_for_it(self, tmp_path: Path) -> None:
        """Its own path is what is used from then on."""
        running = Target.running()
        script = self.fake(tmp_path / "python3", f'exec {running.interpreter} "$@"')
        assert pythons.answered(script, running.version) == running.interpreter

    def test_search_path_goes_before_pyenv_and_newer_before_older(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The same one every time."""
        for name in ("versions/3.13.0/bin", "versions/3.13.1/bin"):
            (tmp_path / name).mkdir(parents=True)
        monkeypatch.setenv("PATH", "/one:/two")
        monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
        folders = list(pythons.folders())
        assert folders[:2] == ["/one", "/two"]
        assert folders[2:4] == [str(tmp_path / "versions/3.13.1/bin"), str(tmp_path / "versions/3.13.0/bin")]


def test_zip_larger_than_promised_is_refused(tmp_path: Path) -> None:
    """Better found here than at every cold start."""
    (tmp_path / "x.zip").write_bytes(bytes(11))
    with pytest.raises(layer.LayerError, match=r"has 11 bytes, expected no more than 10"):
        build_layer.held(tmp_path / "x.zip", limit_bytes=10)
