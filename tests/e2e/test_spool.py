"""The spool, from the built layer: what a backlog that stays full does not take."""

import time
from pathlib import Path

import pytest

from lifecycle.contract.frames import first_of
from lifecycle.contract.spool import Spool
from tests.e2e.conftest import NAME, Run, Start
from tests.sandbox import Destination, Platform

pytestmark = pytest.mark.e2e

SMALL_BACKLOG = "2097152"
BIG_LINE = "x" * 900


def spooling(start: Start, directory: Path, timeout_s: float) -> Run:
    """A small backlog with a spool, and a backend that has just gone down."""
    run = start(
        platform=Platform(freeze=False),
        timeout_s=timeout_s,
        TAILRACE_BACKLOG_BYTES=SMALL_BACKLOG,
        TAILRACE_SPOOL_BYTES="16777216",
        TAILRACE_SPOOL_PATH=str(directory),
        TAILRACE_LOG_LEVEL="info",
    )
    run.invoke(lines=1)
    run.backend.refuse()
    return run


def test_more_than_the_backlog_holds_goes_to_files_and_arrives(start: Start, tmp_path: Path) -> None:
    """The backend is down while 5 MB are logged; nothing is lost, nothing is refused, the files are gone at the end."""
    directory = tmp_path / "spool"
    run = spooling(start, directory, timeout_s=30.0)
    run.invoke(lines=5000, say=BIG_LINE)
    _wait_for_files(directory)
    run.backend.accept()
    run.env.idle(0.2)
    _invoke_until_arrived(run, 5000)
    run.end()
    assert run.lost() == 0
    assert run.env.telemetry(NAME).refused_events == 0
    assert not list(directory.glob("*"))


def test_reset_environment_ships_what_the_last_one_spooled(start: Start, tmp_path: Path) -> None:
    """The function times out while the backend is down; the next environment delivers it, under the same ids."""
    directory = tmp_path / "spool"
    run = spooling(start, directory, timeout_s=8.0)
    assert run.env.invoke({"lines": 3000, "say": BIG_LINE, "sleep_s": 20}).status == "timeout"
    _wait_for_files(directory)
    run.backend.accept()
    run.invoke(lines=1)
    run.end()
    (recovered,) = run.events("collector.spool_recovered")
    left = run.events("lifecycle.ended")[0]["waiting"]
    assert 0 < recovered["events"] <= left
    assert run.lost() == left - recovered["events"]
    assert not list(directory.glob("*"))


def test_each_route_goes_on_in_the_files_where_it_was(start: Start, tmp_path: Path) -> None:
    """One has taken what was spooled, the other nothing; after a reset the first gets none of it twice."""
    directory = tmp_path / "spool"
    with Destination() as archive:
        run = start(
            platform=Platform(freeze=False),
            timeout_s=6.0,
            TAILRACE_BACKLOG_BYTES=SMALL_BACKLOG,
            TAILRACE_SPOOL_BYTES="33554432",
            TAILRACE_SPOOL_PATH=str(directory),
            TAILRACE_LOG_LEVEL="info",
            TAILRACE_DESTINATION_ARCHIVE=f"otlp+{archive.url}",
            TAILRACE_SIGNALS="logs",
        )
        run.invoke(lines=1, sleep_s=0.3)
        archive.refuse()
        assert run.env.invoke({"lines": 3000, "say": BIG_LINE, "sleep_s": 10}).status == "timeout"
        _wait_for_files(directory)
        before = len(run.backend.records())
        assert before > 3000
        archive.accept()
        run.invoke(lines=1, sleep_s=1.0)
        run.end()
        copies = len(run.backend.records()) - len(run.backend.unique())
        assert copies == 0
        first, last = run.events("lifecycle.ended")
        (recovered,) = run.events("collector.spool_recovered")
        assert last["routes"]["archive"]["shipped"] == last["accepted"] == last["routes"]["default"]["shipped"]
        assert recovered["events"] <= first["routes"]["archive"]["waiting"]
        assert first["routes"]["default"]["waiting"] == 0
    assert not list(directory.glob("*"))


def test_position_in_files_that_are_gone_keeps_nothing_back(start: Start, tmp_path: Path) -> None:
    """The function clears its /tmp, all but one file: what it logs from then on is shipped like any other."""
    directory = tmp_path / "spool"
    directory.mkdir(mode=0o700)
    spool = Spool(str(directory), 1 << 24, frame_limit_bytes=1 << 20)
    spool.keep_cursor("default", first_of(1) + 5000, 0)
    run = start(TAILRACE_SPOOL_BYTES="16777216", TAILRACE_SPOOL_PATH=str(directory), TAILRACE_LOG_LEVEL="info")
    for _ in range(2):
        run.invoke(lines=5)
    run.end()
    assert run.lost() == 0
    assert run.events("lifecycle.ended")[0]["requests"] > 0


def _invoke_until_arrived(run: Run, records: int) -> None:
    """What is stored after an invocation's shipment was ordered leaves with one of the next."""
    deadline = time.monotonic() + 60
    while len(run.backend.unique()) < records:
        assert time.monotonic() < deadline, f"only {len(run.backend.unique())} records arrived"
        run.invoke(lines=1)
        run.env.idle(0.2)


def _wait_for_files(directory: Path) -> None:
    deadline = time.monotonic() + 30
    while not list(directory.glob("*")):
        assert time.monotonic() < deadline, "nothing was spooled"
        time.sleep(0.02)
