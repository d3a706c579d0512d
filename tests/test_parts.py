"""`make test` runs every test once, whichever part it is of, and says of all of them what became of it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from tests import __main__ as program
from tests import parts

if TYPE_CHECKING:
    from collections.abc import Sequence

SUITE = '<testsuite errors="0" failures="{}" skipped="1" tests="3" time="1.5"><testcase/></testsuite>'
OK, FAILED, INTERRUPTED, NONE = 0, 1, 2, 5


def test_every_place_that_is_named_is_there() -> None:
    """One that was renamed would have its tests run alone, and nobody would notice."""
    assert parts.misplaced() == []


def test_each_part_runs_what_is_its_own_of_what_was_named(tmp_path: Path) -> None:
    """By file or by test, and the results are those of both."""
    results = tmp_path / "tests.xml"
    named = ["tests/test_parts.py::test_every_place_that_is_named_is_there", "tests/lifecycle/contract/test_counts.py"]
    assert program.main([*named, "-q", "-p", "no:cacheprovider"], results) == OK
    found = {
        (one.get("classname"), one.get("name", ""))
        for one in ET.parse(results).iter("testcase")  # noqa: S314 - our own
    }
    assert found == {
        ("tests.test_parts", "test_every_place_that_is_named_is_there"),
        ("tests.lifecycle.contract.test_counts", "test_what_a_process_counted_is_there_when_it_is_dead"),
    }


@pytest.mark.parametrize(
    ("ends", "status", "tests"),
    [
        ((OK, OK), OK, 6),
        ((FAILED, OK), FAILED, 6),
        ((OK, FAILED), FAILED, 6),
        ((NONE, OK), OK, 6),
        ((OK, NONE), OK, 6),
        ((NONE, NONE), NONE, 6),
        ((INTERRUPTED,), INTERRUPTED, 3),
    ],
)
def test_it_ends_as_the_first_part_that_did_not_end_well(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ends: tuple[int, ...], status: int, tests: int
) -> None:
    """One that has none of the tests asked for is no failure; an interrupt ends it all."""
    left = list(ends)

    def run(command: Sequence[str], *, check: bool) -> subprocess.CompletedProcess[str]:
        assert not check
        (path,) = [Path(word.partition("=")[2]) for word in command if word.startswith("--junit-xml=")]
        path.write_text(f"<testsuites>{SUITE.format(left[0])}</testsuites>", encoding="utf-8")
        return subprocess.CompletedProcess(list(command), left.pop(0))

    monkeypatch.setattr(subprocess, "run", run)
    assert program.main([], tmp_path / "tests.xml") == status
    assert left == []
    suite = ET.parse(tmp_path / "tests.xml").getroot()[0]  # noqa: S314 - likewise
    assert [int(suite.get(name, "")) for name in ("tests", "skipped", "failures")] == [tests, len(ends), sum(ends)]
    assert len(suite) == len(ends)
