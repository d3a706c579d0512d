"""Signals whose endpoint is not well: the others go on, nothing is sent twice, and what is given up is counted."""

import time
from collections.abc import Callable

import pytest

from lifecycle.contract.wire import Shipped, Stalled
from shipper.delivery import health
from tests.shipper.backend import EVERY, Backend, settled
from tests.shipper.story import R2, invocation, ns, stories
from tests.shipper.support import Server, backlog_of, http
from tests.shipper.test_worker import Supervisor


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal that is deferred is tried again as soon as there is an occasion."""
    monkeypatch.setattr(health, "FIRST_PAUSE_S", 1e-6)


def until_it_waits(supervisor: Supervisor) -> list[Shipped]:
    """The reports of a shipment that ends with some signal deferred."""
    reports = []
    while True:
        report = supervisor.report()
        assert isinstance(report, Shipped), report
        reports.append(report)
        if report.waits:
            return reports


@pytest.mark.usefixtures("hasty")
def test_a_signal_that_is_deferred_repeats_nothing_that_was_taken(server: Server) -> None:
    """And sends the same metrics again, to the byte and in order, though more has come meanwhile."""
    backlog, end = backlog_of(invocation(0), invocation(20_000, R2))
    middle = next(backlog.frames(0, end)).end
    backend = Backend(server, metrics=[http(401), http(401), http(200)])
    supervisor = Supervisor(backlog, server.port, **EVERY)
    supervisor.command(middle)
    first = until_it_waits(supervisor)
    # Every event is shipped, and the end not reached before what was measured is, too.
    assert (first[-1].through, first[-1].skip, sum(report.past for report in first)) == (0, 4, 4)
    supervisor.command(end, since=0, skip=4, context=first[-1].context)
    assert settled(supervisor, end).past == 4
    assert [backend.count(signal) for signal in ("logs", "traces", "metrics")] == [2, 2, 4]
    one, again, taken, second = backend.bodies["metrics"]
    assert one == again == taken != second
    assert [span["spanId"] for span in backend.spans()] == ["24cd7d670fa455f0"] * 2
    supervisor.close()


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("answer", [http(503), http(403), http(429, b"", "Retry-After: 60")], ids=["503", "403", "429"])
def test_lines_go_on_while_another_signal_is_not_taken(server: Server, answer: bytes) -> None:
    """Each once; the rest waits, no invocation for it; at the end it is given up, said once and counted."""
    backlog, end = backlog_of(*stories(4))
    backend = Backend(server, traces=[answer])
    supervisor = Supervisor(backlog, server.port, TAILRACE_LOG_LEVEL="warning", **EVERY)
    since = (0, 0)
    events = 0
    for number, frame in enumerate(backlog.frames(0, end)):
        # The first time it is tried until the time is over, like any.
        supervisor.command(frame.end, *since, budget_s=0.3 if number == 0 else 10)
        reports = until_it_waits(supervisor)
        since = reports[-1].through, reports[-1].skip
        events += sum(one.past for one in reports)
        assert backend.lines() == [f"line {n}" for n in range(number + 1)]
    assert since == (0, 3)
    assert backend.count("metrics") == 4
    supervisor.command(end, *since, is_final=True)
    last = settled(supervisor, end)
    assert (events + last.past, last.dropped) == (12, {"undelivered": 4})
    assert backend.count("logs") == 4
    assert supervisor.lines.events() == ["shipper.delivery_failing", "shipper.signal_given_up"]
    assert [line["signal"] for line in supervisor.lines.written] == ["traces", "traces"]
    supervisor.close()


@pytest.mark.usefixtures("hasty")
def test_what_was_deferred_arrives_when_it_is_taken_again(server: Server) -> None:
    """Every span and every line once, every event counted as shipped."""
    backlog, end = backlog_of(*stories(3))
    ends = [frame.end for frame in backlog.frames(0, end)]
    backend = Backend(server, traces=[http(403)] * 3 + [http(200)])
    supervisor = Supervisor(backlog, server.port, **EVERY)
    supervisor.command(ends[0])
    first = until_it_waits(supervisor)
    supervisor.command(ends[1], 0, 3)
    second = until_it_waits(supervisor)
    assert second[-1].through == 0
    supervisor.command(end, 0, 3)
    last = settled(supervisor, end)
    assert sum(one.past for one in first + second) + last.past == 12
    assert last.dropped == {}
    assert backend.lines() == ["line 0", "line 1", "line 2"]
    assert backend.count("traces") == 3 + 3
    began = sorted(span["startTimeUnixNano"] for span in backend.spans()[3:])
    assert began == [ns(0), ns(60_000), ns(120_000)]
    supervisor.close()


@pytest.mark.usefixtures("hasty")
def test_what_was_deferred_is_tried_again_and_again_in_the_last_shipment(server: Server) -> None:
    """There is no later for it, and once the others have left, the time is all its own."""
    backlog, end = backlog_of(*stories(1))
    backend = Backend(server, traces=[http(403)] * 2 + [http(503)] * 4 + [http(200)])
    supervisor = Supervisor(backlog, server.port, **EVERY)
    supervisor.command(end)
    first = until_it_waits(supervisor)
    supervisor.command(end, first[-1].through, first[-1].skip, is_final=True)
    last = settled(supervisor, end)
    assert (sum(one.past for one in first) + last.past, last.dropped) == (4, {})
    assert (backend.count("traces"), backend.lines()) == (7, ["line 0"])
    supervisor.close()


@pytest.mark.usefixtures("hasty")
def test_lines_that_are_rejected_while_an_earlier_span_is_owed_are_counted(server: Server) -> None:
    """They are told of only when the span is done with, shipments later."""
    backlog, end = backlog_of(*stories(2))
    middle = next(backlog.frames(0, end)).end
    rejected = http(200, b'{"partialSuccess":{"rejectedLogRecords":"1"}}')
    Backend(server, logs=[http(200), rejected], traces=[http(403), http(403), http(403), http(200)])
    supervisor = Supervisor(backlog, server.port, **EVERY)
    supervisor.command(middle)
    first = until_it_waits(supervisor)
    supervisor.command(end, 0, 3)
    second = until_it_waits(supervisor)
    supervisor.command(end, 0, 3)
    last = settled(supervisor, end)
    assert (sum(one.past for one in first + second) + last.past, last.dropped) == (7, {"rejected": 1})
    supervisor.close()


@pytest.mark.usefixtures("hasty")
def test_what_is_deferred_is_given_up_where_the_backlog_has_no_room_for_it(server: Server) -> None:
    """What one endpoint does not take must never keep the others from being taken."""
    backlog, end = backlog_of(*stories(40), size=40_000)
    backend = Backend(server, traces=[http(403)])
    supervisor = Supervisor(backlog, server.port, **EVERY)
    supervisor.command(end)
    report = settled(supervisor, end)
    assert (report.past, report.dropped) == (120, {"undelivered": 40})
    assert len(backend.lines()) == 40
    supervisor.close()


def test_a_signal_that_hangs_takes_no_line_with_it(server: Server) -> None:
    """The shipment had no time for it, which is a stall; the next one sends it alone."""
    backlog, end = backlog_of(*stories(1))
    backend = Backend(server, traces=[b"", b"", http(200)])
    supervisor = Supervisor(backlog, server.port, **EVERY)
    supervisor.command(end, budget_s=0.4)
    first = supervisor.report()
    assert isinstance(first, Shipped)
    stalled = supervisor.report()
    assert isinstance(stalled, Stalled)
    assert stalled.reason == "deadline"
    supervisor.command(end, first.through, first.skip)
    assert first.past + settled(supervisor, end).past == 4
    assert backend.lines() == ["line 0"]
    assert [backend.count(signal) for signal in ("traces", "metrics")] == [3, 1]
    supervisor.close()


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_destination_for_spans_alone_gets_them(server: Server, status: int) -> None:
    """It has no logs: that is said once and counted, and nothing waits for them, nor asks for them again."""
    backlog, end = backlog_of(*stories(2))
    middle = next(backlog.frames(0, end)).end
    backend = Backend(server, logs=[http(status)])
    supervisor = Supervisor(backlog, server.port, TAILRACE_LOG_LEVEL="warning", **EVERY)
    supervisor.command(middle)
    report = settled(supervisor, middle)
    assert (report.past, report.dropped) == (3, {"unsupported": 1})
    supervisor.command(end, since=middle, context=report.context)
    report = settled(supervisor, end)
    assert (report.past, report.dropped) == (3, {"unsupported": 1})
    assert [backend.count(signal) for signal in ("logs", "traces", "metrics")] == [1, 2, 2]
    assert supervisor.lines.events() == ["shipper.signal_unsupported"]
    supervisor.close()


class MovesOn(Backend):
    """Sends the shipper a further command while one request of a signal is under way."""

    def __init__(
        self, server: Server, signal: str, at: int, command: Callable[[], None], **answers: list[bytes]
    ) -> None:
        super().__init__(server, **answers)
        self._when = signal, at
        self._command = command

    def answer(self, signal: str) -> bytes:
        """As told, after the command."""
        if (signal, self.count(signal)) == self._when:
            self._command()
            time.sleep(0.05)
        return super().answer(signal)


@pytest.mark.usefixtures("hasty")
def test_a_command_that_comes_while_what_was_deferred_is_tried_is_kept(server: Server) -> None:
    """The supervisor waits for the end that it named last: the shipment goes on to there."""
    backlog, end = backlog_of(*stories(2))
    middle = next(backlog.frames(0, end)).end
    backend = MovesOn(server, "traces", 2, lambda: supervisor.command(end, 0, 3), traces=[http(403), http(200)])
    supervisor = Supervisor(backlog, server.port, **EVERY)
    supervisor.command(middle)
    assert settled(supervisor, end).past == 8
    assert backend.lines() == ["line 0", "line 1"]
    supervisor.close()


@pytest.mark.usefixtures("hasty")
def test_what_is_deferred_is_given_up_by_a_shipment_that_becomes_the_last_meanwhile(server: Server) -> None:
    """SHUTDOWN may come at any moment: what nobody takes is counted, and lines that were taken are, too."""
    backlog, end = backlog_of(*stories(1))
    backend = MovesOn(server, "traces", 2, lambda: supervisor.command(end, is_final=True), traces=[http(403)])
    supervisor = Supervisor(backlog, server.port, **EVERY)
    supervisor.command(end)
    report = settled(supervisor, end)
    assert (report.past, report.dropped) == (3, {"undelivered": 1})
    assert backend.lines() == ["line 0"]
    supervisor.close()
