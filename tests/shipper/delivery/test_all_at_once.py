"""The very last shipment: every signal is under way at once, since there may be time for one answer only."""

import socket
import threading

import pytest

from lifecycle.contract.wire import Shipped, Stalled
from tests.shipper.backend import EVERY, Backend, settled
from tests.shipper.story import R2, invocation, stories
from tests.shipper.support import Server, backlog_of, http
from tests.shipper.test_worker import Supervisor

SIGNALS = ("logs", "traces", "metrics")


def all_together(server: Server, requests: int) -> None:
    """A backend that answers nobody before it has so many requests, and everybody after that."""
    together, is_over = threading.Barrier(requests), threading.Event()

    def behave(connection: socket.socket) -> None:
        while True:
            server.read(connection)
            if not is_over.is_set():
                together.wait(10)
                is_over.set()
            connection.sendall(http(200))

    server.behaviours = [behave]


def test_signals_of_a_last_shipment_are_under_way_together(server: Server) -> None:
    """A backend that takes 1.5 s has time for one answer."""
    backlog, end = backlog_of(invocation(0), invocation(20, R2))
    all_together(server, 3)
    supervisor = Supervisor(backlog, server.port, **EVERY)
    supervisor.command(end, is_final=True)
    report = settled(supervisor, end)
    supervisor.close()
    assert (report.past, report.dropped, report.owes) == (8, {}, False)
    assert (len(server.requests), server.connections) == (3, 3)


def test_what_earlier_batches_owe_is_under_way_with_the_last_lines(server: Server) -> None:
    """And the spans for which the shipment before had no time when their answer does not come after all."""
    backlog, end = backlog_of(invocation(0), invocation(20_000, R2))
    middle = next(backlog.frames(0, end)).end
    taken = [http(200, b"", "Connection: close")]
    Backend(server, logs=taken, metrics=taken, traces=[b""])
    supervisor = Supervisor(backlog, server.port, **EVERY)
    supervisor.command(middle, budget_s=0.3)
    first = supervisor.report()
    assert isinstance(first, Shipped)
    assert isinstance(supervisor.report(), Stalled)
    server.requests.clear()
    all_together(server, 3)
    supervisor.command(end, first.through, first.skip, is_final=True)
    last = settled(supervisor, end)
    supervisor.close()
    assert (first.past + last.past, last.dropped) == (8, {})
    targets = [head.split(b" ", 2)[1] for head, _ in server.requests]
    assert sorted(targets) == [b"/v1/logs", b"/v1/metrics", b"/v1/traces", b"/v1/traces"]


def test_batches_of_a_last_shipment_share_their_connections(server: Server) -> None:
    """Six at most are under way at a time, however many requests there are."""
    backlog, end = backlog_of(*[invocation(20 * n, f"r{n}") for n in range(12)])
    backend = Backend(server)
    supervisor = Supervisor(backlog, server.port, TAILRACE_BATCH_RECORDS="8", **EVERY)
    supervisor.command(end, is_final=True)
    settled(supervisor, end)
    supervisor.close()
    assert [backend.count(signal) for signal in SIGNALS] == [6, 6, 1]
    assert server.connections == 6


def test_signals_of_any_shipment_are_under_way_together(server: Server) -> None:
    """A hold costs one answer's time, and not one for each signal."""
    backlog, end = backlog_of(invocation(0))
    all_together(server, 2)
    supervisor = Supervisor(backlog, server.port, TAILRACE_SIGNALS="logs,traces", TAILRACE_PLATFORM_LOGS="0")
    supervisor.command(end)
    settled(supervisor, end)
    assert sorted(head.split(b" ", 2)[1] for head, _ in server.requests) == [b"/v1/logs", b"/v1/traces"]
    supervisor.close()


def test_shipments_of_one_signal_keep_to_one_connection(server: Server) -> None:
    """Whoever pays for a handshake pays once."""
    backlog, end = backlog_of(invocation(0), invocation(20, R2))
    Backend(server)
    supervisor = Supervisor(backlog, server.port, TAILRACE_BATCH_RECORDS="2", TAILRACE_SIGNALS="logs")
    supervisor.command(end)
    settled(supervisor, end)
    supervisor.close()
    assert (len(server.requests), server.connections) == (4, 1)


@pytest.mark.parametrize(("answer", "budget_s", "tries"), [(http(401), 10, 2), (b"", 0.4, 1)], ids=["401", "none"])
def test_lines_that_are_held_at_the_end_keep_no_other_from_being_taken(
    server: Server, answer: bytes, budget_s: float, tries: int
) -> None:
    """There is no later for the others: what they were answered counts, and lines that were not taken do, too."""
    backlog, end = backlog_of(invocation(0))
    backend = Backend(server, logs=[answer])
    supervisor = Supervisor(backlog, server.port, **EVERY)
    supervisor.command(end, is_final=True, budget_s=budget_s)
    report = settled(supervisor, end)
    supervisor.close()
    assert (report.past, report.dropped) == (3, {"undelivered": 1})
    assert [backend.count(signal) for signal in SIGNALS] == [tries, 1, 1]


@pytest.mark.parametrize(("refused", "lost"), [("traces", {"undelivered": 1}), ("metrics", {})])
def test_signal_that_is_not_taken_at_the_end_is_given_up(server: Server, refused: str, lost: dict[str, int]) -> None:
    """After one more try; what was sent ahead and taken is not sent again. Metrics are no events."""
    backlog, end = backlog_of(invocation(0))
    backend = Backend(server, **{refused: [http(401)]})
    supervisor = Supervisor(backlog, server.port, **EVERY)
    supervisor.command(end, is_final=True)
    report = settled(supervisor, end)
    supervisor.close()
    assert (report.past, report.dropped) == (4 - len(lost), lost)
    assert [backend.count(signal) for signal in SIGNALS] == [1 + (signal == refused) for signal in SIGNALS]


def test_signal_that_was_deferred_is_not_sent_ahead_of_lines(server: Server) -> None:
    """To find out that its endpoint still is down may take a while; it has one try when they have left."""
    backlog, end = backlog_of(*stories(2))
    middle = next(backlog.frames(0, end)).end
    backend = Backend(server, traces=[http(403), http(200)])
    supervisor = Supervisor(backlog, server.port, **EVERY)
    supervisor.command(middle)
    first = supervisor.report()
    assert isinstance(first, Shipped)
    while not first.waits:
        first = supervisor.report()
        assert isinstance(first, Shipped)
    server.requests.clear()
    supervisor.command(end, 0, 3, is_final=True)
    settled(supervisor, end)
    supervisor.close()
    targets = [head.split(b" ", 2)[1] for head, _ in server.requests]
    assert targets.index(b"/v1/traces") > targets.index(b"/v1/logs")
    assert [backend.count(signal) for signal in SIGNALS] == [2, 3, 2]


def test_endpoint_that_cannot_be_reached_takes_a_share_of_the_time_at_most(server: Server) -> None:
    """Here its TLS handshake hangs: lines are taken all the same."""
    backlog, end = backlog_of(invocation(0))
    backend = Backend(server)
    hanging = Server()
    hanging.behaviours = [hanging.hanging]
    own = f"https://127.0.0.1:{hanging.port}/v1/traces"
    base = f"http://127.0.0.1:{server.port}"
    supervisor = Supervisor(
        backlog,
        server.port,
        TAILRACE_DESTINATION="",
        OTEL_EXPORTER_OTLP_ENDPOINT=base,
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=own,
        **EVERY,
    )
    supervisor.command(end, is_final=True, budget_s=2)
    report = settled(supervisor, end)
    supervisor.close()
    hanging.close()
    assert (report.past, report.dropped) == (3, {"undelivered": 1})
    assert [backend.count(signal) for signal in SIGNALS] == [1, 0, 1]


def test_request_sent_ahead_that_fails_is_repeated(server: Server) -> None:
    """As any other: with a pause, and counted."""
    backlog, end = backlog_of(invocation(0))
    backend = Backend(server, traces=[http(503), http(200)])
    supervisor = Supervisor(backlog, server.port, **EVERY)
    supervisor.command(end, is_final=True)
    reports = supervisor.reports_until(end)
    supervisor.close()
    assert [backend.count(signal) for signal in SIGNALS] == [1, 2, 1]
    assert (sum(report.requests for report in reports), sum(report.retries for report in reports)) == (4, 1)
    assert backend.bodies["traces"][0] == backend.bodies["traces"][1]


def test_backend_that_takes_one_connection_gets_one_signal_after_the_other(server: Server) -> None:
    """A request sent ahead to which no answer comes is made again."""
    backlog, end = backlog_of(invocation(0))
    backend = Backend(server)
    (serve,) = server.behaviours

    def hang_up(_connection: socket.socket) -> None:
        return

    server.behaviours = [hang_up, hang_up, serve]
    supervisor = Supervisor(backlog, server.port, **EVERY)
    supervisor.command(end, is_final=True)
    report = settled(supervisor, end)
    supervisor.close()
    assert report.past == 4
    assert [backend.count(signal) for signal in SIGNALS] == [1, 1, 1]
