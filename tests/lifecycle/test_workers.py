"""A worker's life: forked, messaged, heard, reaped; and what becomes of commands that find no room or no process."""

import gc
import os
import resource
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lifecycle.contract import wire
from lifecycle.contract.backlog import Backlog, Writer
from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings
from lifecycle.machine import commands
from lifecycle.machine.commands import COLLECTOR, SHIPPER
from lifecycle.workers import ROOM_BYTES, Worker, WorkerPool

# Longer than anything here takes.
GIVE_UP_S = 20.0

SILENT = Log("lifecycle", write=lambda _line: None)


def nothing() -> None:
    """Closes nothing."""


@contextmanager
def spawned(run: Callable[[int, int, Log], None], log: Log = SILENT) -> Iterator[Worker]:
    """A worker that is ended and reaped in the end."""
    worker = Worker(COLLECTOR, run, log)
    worker.spawn(nothing)
    try:
        yield worker
    finally:
        worker.kill()
        os.waitpid(worker.pid, 0)
        worker.forget()


@contextmanager
def no_descriptors() -> Iterator[None]:
    """While in it, no descriptor can be had."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def descriptors() -> int:
    """How many are open, without what other tests have left for the next collection of garbage."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def reports_of(worker: Worker, count: int) -> list[wire.CollectorReport]:
    """The next reports, or those before the pipe was closed."""
    packets: list[bytes] = []
    while len(packets) < count and worker.reports >= 0:
        assert select.select([worker.reports], [], [], GIVE_UP_S)[0], "nothing came"
        packets += worker.packets()
    return [wire.collector_reports.decode(packet) for packet in packets]


def sleeps(_commands: int, _reports: int, _log: Log) -> None:
    """A worker that reads no commands."""
    select.select([], [], [], GIVE_UP_S)


def counts(their_commands: int, their_reports: int, _log: Log) -> None:
    """A worker that reads commands once it was asked to by a signal of readiness, and says what it read."""
    select.select([], [], [], 0.2)
    while packet := wire.receive(their_commands):
        match wire.collector_commands.decode(packet):
            case wire.Released(through=through):
                wire.send(their_reports, wire.Repeated(events=through, digest=b""))
            case wire.Restored(digest_key=key):
                wire.send(their_reports, wire.Repeated(events=-1, digest=key))


def test_child_reads_commands_and_is_heard() -> None:
    """Its reports come over its own pipe, and it ends when its command pipe is closed."""
    with spawned(counts) as worker:
        worker.send(wire.Released(through=7))
        assert reports_of(worker, 1) == [wire.Repeated(events=7, digest=b"")]
        worker.close_commands()
        assert reports_of(worker, 1) == []


def test_message_that_repeats_nothing_is_not_lost_in_a_full_pipe() -> None:
    """Of each kind the last one waits for room, in order."""
    with spawned(counts) as worker:
        count = 0
        while not worker.unsent:
            count += 1
            worker.send(wire.Released(through=count))
        worker.send(wire.Restored(digest_key=b"key", instance_id="new"))
        worker.send(wire.Released(through=99_999))
        seen: list[wire.CollectorReport] = []
        while not seen or seen[-1] != wire.Repeated(events=-1, digest=b"key"):
            seen += reports_of(worker, 1)
            worker.flush()
        assert wire.Repeated(events=99_999, digest=b"") in seen
        assert len(seen) == count + 1


def test_command_for_a_worker_that_is_dead_waits_for_nothing() -> None:
    """Its successor is forked with all that it must know; there is nothing to wait on meanwhile."""
    with spawned(sleeps) as worker:
        worker.kill()
    worker.send(wire.Released(through=7))
    assert not worker.unsent
    pool = WorkerPool(-1, Backlog(65_536), Settings({}), {SHIPPER: Settings({})}, SILENT, warms=False, close=nothing)
    pool.release(7)
    pool.ship(commands.Ship(0, 0, 7, 1.0, "due"), {}, "")
    assert pool.watched() == []


def lacks_room(their_commands: int, their_reports: int, _log: Log) -> None:
    """A collector that says of how much room it was told, and each time that it is not enough."""
    while packet := wire.receive(their_commands):
        told = wire.collector_commands.decode(packet)
        assert isinstance(told, wire.Released)
        wire.send(their_reports, wire.Repeated(events=told.through, digest=b""))
        wire.send(their_reports, wire.Crowded())


def test_collector_is_told_of_room_once_that_is_worth_it_or_it_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """To be woken costs more than to go on in a ring that has room; one that waits is told of all there is, at once."""
    monkeypatch.setattr(WorkerPool, "_run_collector", lambda _pool, *args: lacks_room(*args))
    pool = WorkerPool(-1, Backlog(1_048_576), Settings({}), {SHIPPER: Settings({})}, SILENT, warms=False, close=nothing)

    def next_reports(count: int) -> list[wire.Report]:
        heard: list[wire.Report] = []
        while len(heard) < count:
            ((reports, _),) = pool.watched()
            assert select.select([reports], [], [], GIVE_UP_S)[0], "nothing came"
            heard += pool.reports(COLLECTOR)
        return heard

    pool.spawn(COLLECTOR, 0)
    try:
        pool.release(ROOM_BYTES - 1)
        pool.release(ROOM_BYTES)
        pool.release(ROOM_BYTES + 1)
        assert next_reports(4) == [
            *(wire.Repeated(events=ROOM_BYTES, digest=b""), wire.Crowded()),  # the first was not worth it
            *(wire.Repeated(events=ROOM_BYTES + 1, digest=b""), wire.Crowded()),  # nor the last, but it was asked for
        ]
        pool.release(ROOM_BYTES + 2)
        assert next_reports(2)[0] == wire.Repeated(events=ROOM_BYTES + 2, digest=b"")
    finally:
        pool.kill()
        while not [*pool.reap()]:
            select.select([], [], [], 0.001)
        pool.forget(COLLECTOR)


def test_why_a_worker_failed_is_said_before_it_dies() -> None:
    """With its traceback, and its exit tells the supervisor."""
    read, write = os.pipe()

    def fails(_commands: int, _reports: int, _log: Log) -> None:
        raise ValueError("a fault")

    worker = Worker(SHIPPER, fails, Log("lifecycle", write=lambda line: os.write(write, line)))
    worker.spawn(nothing)
    _, status = os.waitpid(worker.pid, 0)
    worker.forget()
    line = os.read(read, 65_536)
    os.close(read)
    os.close(write)
    assert os.waitstatus_to_exitcode(status) == 1
    assert line.startswith(b'{"logger":"tailrace.shipper","level":"error","event":"worker.failed"')
    assert b"a fault" in line


@pytest.mark.parametrize("spare", [0, 2, 3])
def test_without_descriptors_nothing_is_left_of_the_try(spare: int) -> None:
    """None at all, or too few for the second pipe: it raises, and the next one works."""
    worker = Worker(COLLECTOR, sleeps, SILENT)
    before = descriptors()
    with no_descriptors():
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft + spare, hard))
        with pytest.raises(OSError, match="Too many open files"):
            worker.spawn(nothing)
    assert (worker.pid, worker.commands, worker.reports) == (0, -1, -1)
    assert descriptors() == before
    worker.spawn(nothing)
    worker.kill()
    os.waitpid(worker.pid, 0)
    worker.forget()
    assert descriptors() == before


def test_what_is_passed_by_for_a_dead_shipper_is_counted_frame_by_frame() -> None:
    """What it had delivered of the first one is not given up; its successor is told of the gap."""
    backlog = Backlog(65_536)
    writer = Writer(backlog, end=0, released=0)
    ends = [writer.append(b"[1,2,3]", events=3, observed_ns=0, digest=bytes(8))[1] for _ in range(3)]
    pool = WorkerPool(-1, backlog, Settings({}), {SHIPPER: Settings({})}, SILENT, warms=False, close=nothing)
    report = pool.pass_by(commands.PassBy(SHIPPER, at_least=ends[0] + 1, at_most=ends[2]), 0, 2)
    assert (report.through, report.dropped, report.gives_up) == (ends[1], {"lagging": 4}, True)
    assert report.dropped_bytes == {"lagging": 9}
    report = pool.pass_by(commands.PassBy(SHIPPER, at_least=ends[2], at_most=ends[2]), ends[1], 0)
    assert (report.through, report.dropped) == (ends[2], {"lagging": 3})


@pytest.mark.parametrize("name", [COLLECTOR, SHIPPER])
def test_what_a_worker_loads_is_not_looked_through_for_what_can_go(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """That takes some of the first hold and finds nothing; afterwards cycles are looked for as ever."""
    told = tmp_path / "told"

    def tell() -> None:
        with told.open("a", encoding="ascii") as file:
            file.write(f"{gc.isenabled():d}")

    monkeypatch.setattr("lifecycle.workers.name_process", lambda _name: tell())
    monkeypatch.setattr("shipper.worker.run", lambda **_: tell())
    monkeypatch.setattr("collector.server.run", lambda **_: tell())
    settings = Settings({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
    pool = WorkerPool(-1, Backlog(65_536), settings, {SHIPPER: settings}, SILENT, warms=False, close=nothing)
    pool.end_init()
    pool.spawn(name, 0)
    os.waitpid(pool._workers[name].pid, 0)  # noqa: SLF001 - a pool reaps without waiting
    pool.forget(name)
    assert told.read_text(encoding="ascii") == "01"


@pytest.mark.parametrize("what_ends_it", ["the platform's answer", "an export", "a while"])
def test_first_collector_loads_nothing_during_the_functions_init(
    what_ends_it: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would take its processor; an export is not kept waiting, and an init that goes on is listened to."""
    monkeypatch.setattr("lifecycle.workers.INIT_S", 0.05 if what_ends_it == "a while" else GIVE_UP_S)
    monkeypatch.setattr("collector.server.run", lambda **_: sleeps(-1, -1, SILENT))
    exporter, intake = socket.socketpair()
    pool = WorkerPool(
        *(-1, Backlog(65_536), Settings({}), {SHIPPER: Settings({})}, SILENT),
        warms=False,
        close=nothing,
        intake=(intake.fileno(),),
    )
    pool.spawn(COLLECTOR, 0)
    ((reports, _),) = pool.watched()
    try:
        if what_ends_it != "a while":
            assert not select.select([reports], [], [], 0.05)[0]
        if what_ends_it == "an export":
            exporter.send(b"POST")
        elif what_ends_it == "the platform's answer":
            pool.end_init()
        assert select.select([reports], [], [], GIVE_UP_S / 2)[0], "it loads nothing"
        assert [*pool.reports(COLLECTOR)] == [wire.Ready()]
    finally:
        exporter.close()
        intake.close()
        pool.kill()
        while not [*pool.reap()]:
            select.select([], [], [], 0.001)
        pool.forget(COLLECTOR)
