"""Whatever each signal's endpoint answers, and when: every event is told of once, and so is every request."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lifecycle.contract import wire
from lifecycle.contract.wire import Ship, Shipped, Stalled
from shipper import worker as worker_module
from shipper.commands import Commands
from shipper.delivery import health
from shipper.delivery.interfaces import Request
from shipper.delivery.outcome import DONE, Outcome, Verdict
from shipper.destinations.destination import Destination, Endpoint
from shipper.destinations.lines import joined
from shipper.destinations.registry import create
from shipper.model.signals import SIGNALS
from shipper.worker import Worker
from tests.shipper.backend import EVERY
from tests.shipper.exports import Stream, spans
from tests.shipper.story import stories
from tests.shipper.support import Lines, backlog_of, settings_of

HELD = Outcome(verdict=Verdict.HELD, reason="unauthorised")
UNAVAILABLE = Outcome(verdict=Verdict.RETRY, reason="status_503", retry_after_s=1e6)
DEADLINE = Outcome(verdict=Verdict.HELD, reason="deadline")
TIMEOUT = Outcome(verdict=Verdict.RETRY, reason="timeout")
REFUSED = Outcome(verdict=Verdict.REFUSED, reason="status_400")
REJECTED = Outcome(verdict=Verdict.DONE, rejected=1)
UNSUPPORTED = Outcome(verdict=Verdict.UNSUPPORTED, reason="status_404")

FRAMES = 5
EVENTS = 4

# What a request meets: an answer, at once or after a wait that is long, or so long that the deadline passes; it may
# still be there for the next shipment then.
answers = st.tuples(
    st.sampled_from([DONE, DONE, DONE, HELD, UNAVAILABLE, REFUSED, REJECTED, UNSUPPORTED]),
    st.sampled_from(["at once", "at once", "late", "never", "pending", "pending for nothing"]),
)
# What a shipment is: frames more than the last one had, and whether a new shipper makes it.
shipments = st.tuples(st.integers(0, 2), st.booleans())


class Sleepless(Commands):
    """Pauses take no time."""

    def pause(self, seconds: float) -> None:
        """Is over."""


class Script:
    """A destination of every signal that meets what it is told to."""

    def __init__(self, commands: Commands, script: Iterator[tuple[Outcome, str]], *, is_several: bool) -> None:
        environ = {"TAILRACE_DESTINATION": "otlp+http://localhost:1", "TAILRACE_RETRY_BASE_MS": "1"}
        self.settings = settings_of(**environ, **EVERY)
        otlp = create(self.settings, commands, Lines("error").log)
        assert otlp.shapes is not None
        self.shapes = otlp.shapes
        self.is_several = is_several
        self.requests = 0
        self._commands = commands
        self._script = script
        endpoints = {signal: Endpoint(joined, ScriptedSender(self)) for signal in SIGNALS}
        self.destination = Destination(otlp.encoder, endpoints, otlp.shapes)

    def answered(self) -> Outcome:
        """Answers as told."""
        self.requests += 1
        outcome, moment = next(self._script, (DONE, "at once"))
        if moment != "at once":
            self._commands.report()
        if moment == "never":
            self._commands.deadline = 0.0
            return TIMEOUT
        if moment.startswith("pending"):
            self._commands.deadline = 0.0
            late = outcome if moment == "pending" else DEADLINE
            return Outcome(verdict=Verdict.HELD, reason="deadline", pending=lambda: late)
        return outcome


class ScriptedSender:
    """That of one signal."""

    label = "memory:"
    place = None
    secrets = ()
    is_ready = True

    def __init__(self, script: Script) -> None:
        self._script = script

    def send(self, request: Request) -> Outcome:
        """Answers as told."""
        del request
        return self._script.answered()

    def begin(self, request: Request, within_s: float) -> Callable[[], Outcome] | None:
        """Likewise, later."""
        del within_s
        return (lambda: self.send(request)) if self._script.is_several else None

    def warm(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Told:
    """The supervisor's end: adds up what it is told, and holds every report to it."""

    def __init__(self, backlog: Any, end: int) -> None:
        self.ends = [frame.end for frame in backlog.frames(0, end)]
        self.reading, self.writing = os.pipe2(os.O_DIRECT | os.O_NONBLOCK)
        fcntl.fcntl(self.writing, fcntl.F_SETPIPE_SZ, 1 << 20)
        self.events = self.items = self.requests = 0
        self.last = Shipped(through=0)

    def hear(self) -> list[Shipped | Stalled]:
        """The reports of one shipment; each moves on by as many events as it counts."""
        heard: list[Shipped | Stalled] = []
        while True:
            try:
                report = wire.shipper_reports.decode(wire.receive(self.reading))
            except BlockingIOError:
                return heard
            assert isinstance(report, Shipped | Stalled)
            heard.append(report)
            self.requests += report.requests
            if isinstance(report, Shipped):
                self.events += report.past + sum(report.dropped.values())
                self.items += sum(report.otlp_shipped.values()) + sum(report.otlp_dropped.values())
                done = EVENTS * sum(end <= report.through for end in self.ends) + report.skip
                assert self.events == done, report
                self.last = report

    def close(self) -> None:
        """Closes the pipe."""
        os.close(self.reading)
        os.close(self.writing)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(answers, max_size=40),
    st.lists(shipments, min_size=1, max_size=6),
    st.booleans(),
    st.sampled_from([3, 2000]),
    st.sampled_from([1e-9, 60.0]),
    st.sampled_from([12_000, 4_000_000]),
    st.sampled_from([500, 4_000_000]),
    st.sets(st.integers(0, FRAMES - 1)),
)
@example(
    [(HELD, "at once"), (HELD, "at once"), (UNSUPPORTED, "at once")],
    [(0, False)],
    True,
    2000,
    60.0,
    4_000_000,
    4_000_000,
    set(),
)
@example(
    [*[(DONE, "at once")] * 2, *[(UNSUPPORTED, "at once")] * 2, *[(DONE, "at once")] * 2, (DONE, "never")],
    [(2, False)],
    False,
    3,
    1e-9,
    12_000,
    4_000_000,
    set(),
)
@example(
    [(REFUSED, "at once"), (DONE, "at once"), (HELD, "at once")],
    [(1, False)],
    False,
    2000,
    60.0,
    4_000_000,
    4_000_000,
    {0},
)
def test_every_event_is_reported_once(
    script: list[tuple[Outcome, str]],
    shipments_made: list[tuple[int, bool]],
    is_several: bool,  # noqa: FBT001 - drawn
    batch_records: int,
    pause_s: float,
    room: int,
    most_deferred: int,
    exported: set[int],
) -> None:
    """Taken, deferred, given up, rejected, stalled, in one batch or several, by one shipper or by successors.

    Some frames are requests of the function's own SDK, whose spans are events as well, and divided where need be.
    """
    stream = Stream(room)
    for number, events in enumerate(stories(FRAMES)):
        if number in exported:
            stream.request(spans(*[f"{number} {at}" for at in range(EVENTS)]))
        else:
            stream.batch(*events)
    backlog = stream.backlog
    told = Told(backlog, stream.end)
    pipe, supervisor = os.pipe()
    commands = Sleepless(pipe)
    scripted = Script(commands, iter(script), is_several=is_several)
    scripted.settings.batch_records = batch_records
    worker: Worker | None = None
    shipped = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(health, "FIRST_PAUSE_S", pause_s)
        patch.setattr(worker_module, "_MOST_DEFERRED_BYTES", most_deferred)
        for number, (more, is_new) in enumerate([*shipments_made, (FRAMES, False), (0, False), (0, False)]):
            if worker is None or is_new:
                worker = Worker(
                    commands, told.writing, backlog, scripted.settings, scripted.destination, Lines("error").log
                )
            shipped = min(FRAMES, shipped + more)
            commands.until = told.ends[shipped - 1] if shipped else 0
            commands.deadline = time.monotonic() + 1000
            commands.is_final = number >= len(shipments_made)
            worker.ship(
                Ship(
                    since=told.last.through,
                    skip=told.last.skip,
                    until=commands.until,
                    deadline=commands.deadline,
                    context=told.last.context,
                    is_final=commands.is_final,
                )
            )
            heard = told.hear()
            assert commands.waiting_report is None
            # Nothing is left for later that could be told of.
            for batch in list(worker._reports.open)[:1]:  # noqa: SLF001
                assert batch.settled == batch.floor() or not batch.is_begun
            last = heard[-1]
            assert isinstance(last, Stalled) or last.waits or last.through >= commands.until
            assert told.requests == scripted.requests
            if commands.is_final and isinstance(last, Shipped):
                assert told.events == EVENTS * FRAMES
                assert told.items == EVENTS * len(exported)
    for fd in (pipe, supervisor):
        os.close(fd)
    told.close()


class Failing:
    """A backlog that cannot be read at first, for a reason that nobody thought of."""

    def __init__(self, backlog: Any, failures: int) -> None:
        self._backlog = backlog
        self._failures = failures

    def __getattr__(self, name: str) -> Any:
        """The backlog's own."""
        return getattr(self._backlog, name)

    def frames(self, since: int, until: int) -> Any:
        """Fails, or does not."""
        if self._failures:
            self._failures -= 1
            raise ZeroDivisionError
        return self._backlog.frames(since, until)


@pytest.mark.parametrize("failures", [1, 2])
def test_exception_that_nobody_expected_ends_a_shipment_and_not_the_stream(failures: int) -> None:
    """Once, and the next shipment makes good for it; at the same place again a successor has its turn."""
    backlog, end = backlog_of(*stories(2))
    told = Told(backlog, end)
    pipe, supervisor = os.pipe()
    commands = Sleepless(pipe)
    script = Script(commands, iter([]), is_several=False)
    failing: Any = Failing(backlog, failures)
    lines = Lines("error")
    worker = Worker(commands, told.writing, failing, script.settings, script.destination, lines.log)
    commands.until, commands.deadline, commands.is_final = end, time.monotonic() + 1000, True
    ship = Ship(since=0, skip=0, until=end, deadline=commands.deadline, is_final=True)
    worker.ship(ship)
    stalled = told.hear()[-1]
    assert isinstance(stalled, Stalled)
    assert stalled.reason == "crashed"
    if failures == 1:
        worker.ship(ship)
        told.hear()
        assert told.events == 2 * EVENTS
    else:
        with pytest.raises(ZeroDivisionError):
            worker.ship(ship)
    assert lines.events() == ["shipper.shipment_crashed"]
    for fd in (pipe, supervisor):
        os.close(fd)
    told.close()
