"""The shipper as the supervisor sees it: commands in, reports out, over real pipes."""

import gzip
import json
import os
import select
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from lifecycle.contract import wire
from lifecycle.contract.backlog import Backlog, Writer
from lifecycle.contract.frames import Frame
from lifecycle.contract.wire import Ship, Shipped, Stalled
from shipper.delivery.batch import Batch, Position
from shipper.model.context import Context, packed, unpacked
from shipper.pipeline import Pipeline
from shipper.worker import run
from tests.sandbox.otlp import decoded
from tests.sandbox.received import attributes_of
from tests.shipper.support import Lines, Server, backlog_of, event, http, settings_of, start
from tests.shipper.transport.test_tls import tls

LINES: list[object] = [event(f"line {n}\n") for n in range(10)]
OWN = event('{"logger":"tailrace.shipper"}\n', "extension")


def sizes_of(several: Sequence[object]) -> list[int]:
    """Bytes of events as the platform writes them."""
    return [len(json.dumps(one, separators=(",", ":"))) for one in several]


# Longer than any shipment here takes.
GIVE_UP_S = 30.0


class Supervisor:
    """Runs the worker in a thread, and talks to it."""

    def __init__(self, backlog: Backlog, port: int, **environ: str) -> None:
        self.commands_in, self.commands_out = os.pipe2(os.O_DIRECT)
        self.reports_in, self.reports_out = os.pipe2(os.O_DIRECT)
        self.lines = Lines(environ.get("TAILRACE_LOG_LEVEL", "debug"))
        settings = settings_of(
            **{
                "TAILRACE_DESTINATION": f"otlp+http://127.0.0.1:{port}",
                "TAILRACE_RETRY_BASE_MS": "5",
                "TAILRACE_SIGNALS": "logs",
                "TAILRACE_PLATFORM_LOGS": "1",
                **environ,
            }
        )
        self.thread = threading.Thread(
            target=run,
            daemon=True,  # a test that fails is not to keep the others waiting for ever
            kwargs={
                "commands": self.commands_in,
                "reports": self.reports_out,
                "backlog": backlog,
                "settings": settings,
                "log": self.lines.log,
            },
        )
        self.thread.start()
        self.deadline = 0.0

    def command(
        self,
        until: int,
        since: int = 0,
        skip: int = 0,
        *,
        budget_s: float = 10,
        context: bytes = b"",
        is_final: bool = False,
    ) -> None:
        """Sends a command."""
        self.deadline = time.monotonic() + budget_s
        ship = Ship(since=since, skip=skip, until=until, deadline=self.deadline, context=context, is_final=is_final)
        wire.send(self.commands_out, ship)

    def wait_until_read(self) -> None:
        """Waits until no command is left in the pipe."""
        until = time.monotonic() + GIVE_UP_S
        while select.select([self.commands_in], [], [], 0)[0]:
            assert time.monotonic() < until, "a command was not read"
            time.sleep(0.001)

    def is_there(self) -> bool:
        """Asks whether the worker is there, and waits for the answer."""
        wire.send(self.commands_out, wire.Ping())
        assert select.select([self.reports_in], [], [], GIVE_UP_S)[0], "no answer came"
        return bool(wire.shipper_reports.decode(wire.receive(self.reports_in)) == wire.Pong())

    def report(self) -> Shipped | Stalled:
        """Waits for a report."""
        assert select.select([self.reports_in], [], [], GIVE_UP_S)[0], "no report came"
        report = wire.shipper_reports.decode(wire.receive(self.reports_in))
        assert isinstance(report, Shipped | Stalled)
        return report

    def reports_until(self, until: int) -> list[Shipped]:
        """Waits for the reports of a shipment that is delivered."""
        reports = []
        while True:
            report = self.report()
            assert isinstance(report, Shipped), report
            reports.append(report)
            if report.through >= until:
                return reports

    def close(self) -> None:
        """Dies, and sees the worker end."""
        os.close(self.commands_out)
        self.thread.join(5)
        assert not self.thread.is_alive()
        for fd in (self.commands_in, self.reports_in, self.reports_out):
            os.close(fd)


def bodies(server: Server) -> list[str]:
    """Every line that arrived, in order."""
    found = []
    for _, body in server.requests:
        (resource,) = decoded("logs", gzip.decompress(body))["resourceLogs"]
        found += [record["body"]["stringValue"] for record in resource["scopeLogs"][0]["logRecords"]]
    return found


def test_with_a_redaction_that_cannot_be_read_all_is_dropped_at_once_and_nothing_held(server: Server) -> None:
    """The supervisor is told before anything else, and no connection is made."""
    backlog, end = backlog_of(LINES[:4], LINES[4:])
    supervisor = Supervisor(backlog, server.port, TAILRACE_REDACT="card;[")
    assert wire.shipper_reports.decode(wire.receive(supervisor.reports_in)) == wire.RedactionFailed()
    supervisor.command(end, is_final=True)
    report = supervisor.report()
    assert isinstance(report, Shipped)
    assert (report.through, report.events, report.dropped, report.requests) == (end, 0, {"unredactable": 10}, 0)
    supervisor.close()
    assert supervisor.lines.events("warning", "error") == ["rules.redaction_unreadable"]
    assert server.connections == 0


def test_a_shipment_is_delivered_and_reported(server: Server) -> None:
    """One request for several frames, everything counted, one report."""
    backlog, end = backlog_of(LINES[:4], LINES[4:])
    server.behaviours = [server.answering(http(200))]
    supervisor = Supervisor(backlog, server.port)
    supervisor.command(end)
    report = supervisor.report()
    sent = len(server.requests[0][1])
    context = packed(Context(learnt={"logs": "http/protobuf, gzip"}))
    assert report == Shipped(through=end, events=10, requests=1, wire_bytes=sent, context=context)
    assert bodies(server) == [f"line {n}" for n in range(10)]
    supervisor.close()
    assert supervisor.lines.events() == [
        "shipper.started",
        "shipper.request_sent",
        "shipper.connection_opened",
        "shipper.answer_received",
        "shipper.batch_shipped",
        "shipper.shipment_ended",
        "shipper.stopped",
    ]


def test_what_a_server_repeats_of_a_secret_is_in_no_line_and_in_no_report(server: Server) -> None:
    """The supervisor says why a shipment stalled, too."""
    backlog, end = backlog_of([event("to bob@example.com\n")])
    said = b'{"message":"no such key: bob@example.com, b\\u006fb\\u0040example.com"}'
    server.behaviours = [server.answering(http(401, said))]
    supervisor = Supervisor(backlog, server.port, TAILRACE_REDACT="email")
    supervisor.command(end)
    report = supervisor.report()
    supervisor.close()
    assert isinstance(report, Stalled)
    shown = json.dumps([report.reason, supervisor.lines.written])
    assert "no such key" in shown
    assert ("bob" in shown, "u006f" in shown) == (False, False)


def test_a_healthy_run_prints_nothing_at_warning(server: Server) -> None:
    backlog, end = backlog_of(LINES)
    server.behaviours = [server.answering(http(200))]
    supervisor = Supervisor(backlog, server.port, TAILRACE_LOG_LEVEL="warning")
    supervisor.command(end)
    supervisor.reports_until(end)
    supervisor.close()
    assert supervisor.lines.written == []


def test_a_shipper_that_is_asked_whether_it_is_there_answers(server: Server) -> None:
    """With nothing to do, and in the middle of a request."""
    backlog, end = backlog_of(LINES)
    is_asked, may_answer = threading.Event(), threading.Event()

    def behave(connection: socket.socket) -> None:
        server.read(connection)
        is_asked.set()
        may_answer.wait(10)
        connection.sendall(http(200))

    server.behaviours = [behave]
    supervisor = Supervisor(backlog, server.port)
    assert supervisor.is_there()
    supervisor.command(end)
    assert is_asked.wait(10)
    assert supervisor.is_there()
    may_answer.set()
    supervisor.reports_until(end)
    supervisor.close()


def test_every_request_is_reported_with_the_position_it_reached(server: Server) -> None:
    """A frame larger than a batch is split; positions never go back; the counts add up."""
    backlog, end = backlog_of([start("r1"), *LINES], [OWN, *LINES, OWN])
    server.behaviours = [server.answering(*[http(200)] * 9)]
    supervisor = Supervisor(backlog, server.port, TAILRACE_BATCH_RECORDS="5")
    supervisor.command(end)
    reports = supervisor.reports_until(end)
    assert [(report.through, report.skip) for report in reports[:2]] == [(0, 5), (0, 10)]
    assert (sum(report.events for report in reports), reports[-1].through) == (21, end)
    assert sum(report.dropped.get("own_line", 0) for report in reports) == 2
    assert all(len(report.context) < 500 for report in reports)
    supervisor.close()


def test_nothing_to_deliver_ends_with_a_report(server: Server) -> None:
    """An empty range, an empty batch, nothing but own lines: no request."""
    backlog, end = backlog_of([], [OWN, OWN])
    supervisor = Supervisor(backlog, server.port)
    supervisor.command(0)
    assert supervisor.report() == Shipped(through=0)
    supervisor.command(end)
    own_bytes = 2 * len(json.dumps(OWN, separators=(",", ":")))
    assert supervisor.report() == Shipped(through=end, dropped={"own_line": 2}, dropped_bytes={"own_line": own_bytes})
    supervisor.close()
    assert server.connections == 0


def test_a_replaced_shipper_goes_on_within_a_frame(server: Server) -> None:
    """From position and context, as the last report gave them."""
    backlog, end = backlog_of([start("r1"), *LINES])

    def once(connection: socket.socket) -> None:
        server.answering(http(200))(connection)
        server.over.wait(2)

    server.behaviours = [once, server.hanging]
    first = Supervisor(backlog, server.port, TAILRACE_BATCH_RECORDS="5")
    first.command(end, budget_s=0.5)
    report = first.report()
    assert isinstance(report, Shipped)
    assert isinstance(first.report(), Stalled)
    first.close()
    server.behaviours = [server.answering(*[http(200)] * 5)]
    server.requests.clear()
    second = Supervisor(backlog, server.port)
    second.command(end, report.through, report.skip, context=report.context)
    (last,) = second.reports_until(end)
    second.close()
    assert (report.skip, report.events, last.events) == (5, 5, 6)
    assert bodies(server)[-6:] == [f"line {n}" for n in range(4, 10)]
    (resource,) = decoded("logs", gzip.decompress(server.requests[-1][1]))["resourceLogs"]
    records = resource["scopeLogs"][0]["logRecords"]
    assert {attributes_of(record["attributes"])["faas.invocation_id"] for record in records} == {"r1"}


def test_an_order_older_than_the_last_report_sends_nothing_twice(server: Server) -> None:
    """It crossed the report on its way."""
    backlog, end = backlog_of(LINES)
    server.behaviours = [server.answering(*[http(200)] * 5)]
    supervisor = Supervisor(backlog, server.port)
    supervisor.command(end)
    supervisor.reports_until(end)
    supervisor.command(end)
    assert supervisor.report() == Shipped(through=end, context=packed(Context(learnt={"logs": "http/protobuf, gzip"})))
    supervisor.close()
    assert len(server.requests) == 1


def test_a_replaced_shipper_knows_which_encoding_is_taken(server: Server) -> None:
    """It asks for no other, and takes a 400 for one about the records."""
    backlog, end = backlog_of(LINES[:3], LINES[3:])
    middle = next(backlog.frames(0, end)).end
    types: list[bytes] = []

    def takes_json(connection: socket.socket) -> None:
        while True:
            head, _ = server.read(connection)
            types.append(head.lower().partition(b"content-type: ")[2].partition(b"\r")[0])
            connection.sendall(http(200 if types[-1] == b"application/json" else 415))

    server.behaviours = [takes_json]
    first = Supervisor(backlog, server.port)
    first.command(middle)
    reports = first.reports_until(middle)
    report = reports[-1]
    assert sum(one.requests for one in reports) == 2
    first.close()
    second = Supervisor(backlog, server.port)
    second.command(end, since=middle, context=report.context)
    assert second.reports_until(end)[-1].events == 7
    second.close()
    assert types == [b"application/x-protobuf", b"application/json", b"application/json"]
    assert first.lines.events("warning") == ["shipper.encoding_found"]
    assert second.lines.events("warning") == []
    assert bodies(server)[3:] == [f"line {n}" for n in range(10)]


@pytest.mark.parametrize("is_final", [False, True])
def test_an_order_during_a_shipment_extends_it(server: Server, *, is_final: bool) -> None:
    """Also the last one, which leaves a moment to what is about to end: a request just made is not made again."""
    backlog, end = backlog_of(LINES[:5], LINES[5:])
    middle = next(backlog.frames(0, end)).end
    supervisor = Supervisor(backlog, server.port)

    def behave(connection: socket.socket) -> None:
        server.read(connection)
        supervisor.command(end, is_final=is_final)
        supervisor.wait_until_read()
        connection.sendall(http(200))
        server.answering(http(200))(connection)

    server.behaviours = [behave]
    supervisor.command(middle)
    reports = supervisor.reports_until(end)
    supervisor.close()
    assert [(report.through, report.events) for report in reports] == [(middle, 5), (end, 5)]
    assert (bodies(server), server.connections) == ([f"line {n}" for n in range(10)], 1)


def test_the_last_order_does_not_wait_for_an_answer_to_the_one_before(server: Server) -> None:
    """There may be no time for one after the other; what is under way stays so, and nothing is sent twice."""
    backlog, end = backlog_of(LINES[:5], LINES[5:])
    middle = next(backlog.frames(0, end)).end
    supervisor = Supervisor(backlog, server.port)
    has_rest = threading.Event()

    def slow(connection: socket.socket) -> None:
        server.read(connection)
        supervisor.command(end, is_final=True)
        if has_rest.wait(5):
            connection.sendall(http(200))

    def quick(connection: socket.socket) -> None:
        server.read(connection)
        has_rest.set()
        connection.sendall(http(200))

    server.behaviours = [slow, quick]
    supervisor.command(middle)
    reports = supervisor.reports_until(end)
    supervisor.close()
    assert sum(report.events for report in reports) == 10
    assert sorted(bodies(server)) == [f"line {n}" for n in range(10)]
    assert supervisor.lines.events("warning") == []


def test_lines_that_go_on_coming_do_not_keep_the_last_shipment_from_leaving(server: Server, certificate: Path) -> None:
    """Each is an order that asks for more than is under way, which is a handshake that takes longer than they do."""
    backlog, end = backlog_of(*[[line] for line in LINES])
    ends = [frame.end for frame in backlog.frames(0, end)]
    has_rest = threading.Event()

    def far(connection: socket.socket) -> None:
        has_rest.wait(0.3)
        tls(certificate, server.answering(*[http(200)] * 10))(connection)

    server.behaviours = [far]
    supervisor = Supervisor(
        backlog,
        server.port,
        TAILRACE_DESTINATION=f"otlp+https://localhost:{server.port}",
        OTEL_EXPORTER_OTLP_CERTIFICATE=str(certificate / "cert.pem"),
        TAILRACE_LOG_LEVEL="info",
    )
    for until in ends:
        supervisor.command(until, is_final=True)
        supervisor.wait_until_read()
        time.sleep(0.03)  # the lines' own pace
    has_rest.set()
    assert sum(report.events for report in supervisor.reports_until(end)) == 10
    supervisor.close()
    assert (sorted(bodies(server)), server.connections) == ([f"line {n}" for n in range(10)], 1)
    assert supervisor.lines.events("warning") == []


def test_the_last_order_is_not_lost_where_what_was_under_way_crashes(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It came meanwhile, and is begun all the same."""
    long: list[object] = [event(f"line {n} {'x' * 20_000}\n") for n in range(10)]  # enough to leave at once
    backlog, end = backlog_of(long[:5], long[5:])
    supervisor = Supervisor(backlog, server.port)
    made = Pipeline.batches
    crashed: list[int] = []

    def batches(self: Pipeline, frames: Iterator[Frame], start: Position) -> Iterator[Batch]:
        yield from made(self, frames, start)
        if not crashed:
            crashed.append(1)
            raise RuntimeError

    monkeypatch.setattr(Pipeline, "batches", batches)

    def behave(connection: socket.socket) -> None:
        server.read(connection)
        supervisor.command(end, is_final=True)
        supervisor.wait_until_read()
        connection.sendall(http(200))

    server.behaviours = [behave, server.answering(http(200))]
    supervisor.command(next(backlog.frames(0, end)).end)
    reports = [supervisor.report()]
    while getattr(reports[-1], "through", 0) < end:
        reports.append(supervisor.report())
    supervisor.close()
    assert [report.reason for report in reports if isinstance(report, Stalled)] == ["crashed"]
    assert sum(report.events for report in reports if isinstance(report, Shipped)) == 10


@pytest.mark.parametrize(
    ("answer", "reason", "retry_after_s"),
    [
        (http(503), "status_503", 0),
        (http(429, b"", "Retry-After: 60"), "status_429", 60),
        (http(401), "unauthorised", 0),
        (http(404), "status_404", 0),
        (http(302, b"", "Location: http://elsewhere/"), "status_302", 0),
    ],
)
def test_what_cannot_be_delivered_is_held(server: Server, answer: bytes, reason: str, retry_after_s: float) -> None:
    """By the deadline at the latest, said once, nothing counted as past."""
    backlog, end = backlog_of(LINES)
    server.behaviours = [server.answering(*[answer] * 1000)]
    supervisor = Supervisor(backlog, server.port, TAILRACE_LOG_LEVEL="warning")
    for _ in range(2):
        supervisor.command(end, budget_s=0.2)
        report = supervisor.report()
        assert isinstance(report, Stalled)
        assert (report.reason, report.retry_after_s) == (reason, retry_after_s)
        assert report.requests - report.retries == 1
    supervisor.close()
    assert supervisor.lines.events() == ["shipper.delivery_failing"]


def test_a_deadline_ends_a_shipment_that_hangs(server: Server) -> None:
    backlog, end = backlog_of(LINES)
    server.behaviours = [server.hanging]
    supervisor = Supervisor(backlog, server.port)
    started = time.monotonic()
    supervisor.command(end, budget_s=0.1)
    stalled = supervisor.report()
    assert isinstance(stalled, Stalled)
    assert (stalled.reason, stalled.deadline, stalled.requests) == ("deadline", supervisor.deadline, 1)
    assert stalled.wire_bytes > 0
    assert time.monotonic() - started < 5
    supervisor.close()


@pytest.mark.parametrize("status", [200, 503])
def test_a_deadline_moved_to_now_ends_a_request_and_a_pause(server: Server, status: int) -> None:
    """The report names the command that it answers: the supervisor may have sent another meanwhile."""
    backlog, end = backlog_of(LINES)
    server.behaviours = [server.hanging if status == 200 else server.answering(http(status, b"", "Retry-After: 5"))]
    supervisor = Supervisor(backlog, server.port)
    supervisor.command(end)
    time.sleep(0.1)
    started = time.monotonic()
    supervisor.command(end, budget_s=0)
    report = supervisor.report()
    assert time.monotonic() - started < 4
    assert isinstance(report, Stalled)
    assert report.deadline == supervisor.deadline
    supervisor.close()


def test_what_came_meanwhile_goes_with_what_was_not_taken(server: Server) -> None:
    """A destination that takes seconds has time for one request at shutdown: all is in it."""
    backlog, end = backlog_of(LINES[:4], LINES[4:])
    middle = next(backlog.frames(0, end)).end
    server.behaviours = [server.answering(http(404), http(200))]
    supervisor = Supervisor(backlog, server.port)
    supervisor.command(middle)
    assert isinstance(supervisor.report(), Stalled)
    supervisor.command(end)
    supervisor.reports_until(end)
    supervisor.close()
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [200, 503])
def test_the_supervisors_death_ends_a_request_and_a_pause(server: Server, status: int) -> None:
    """No orphan stays."""
    backlog, end = backlog_of(LINES)
    server.behaviours = [server.hanging if status == 200 else server.answering(http(status, b"", "Retry-After: 5"))]
    supervisor = Supervisor(backlog, server.port)
    supervisor.command(end)
    time.sleep(0.1)
    started = time.monotonic()
    supervisor.close()
    assert time.monotonic() - started < 4


def test_partial_success_is_counted_as_dropped(server: Server) -> None:
    backlog, end = backlog_of(LINES)
    server.behaviours = [server.answering(http(200, b'{"partialSuccess":{"rejectedLogRecords":"3"}}'))]
    supervisor = Supervisor(backlog, server.port)
    supervisor.command(end)
    (report,) = supervisor.reports_until(end)
    assert (report.events, report.dropped) == (7, {"rejected": 3})
    assert report.dropped_bytes == {"rejected": 3 * sizes_of(LINES)[0]}
    supervisor.close()


def test_size_of_rejected_is_exact_where_all_are_and_the_mean_where_some_are(server: Server) -> None:
    """The answer says how many, not which."""
    sizes = sizes_of([event("a"), event("b" * 100)])
    for rejected, size in ((2, sum(sizes)), (1, round(sum(sizes) / 2))):
        backlog, end = backlog_of([event("a"), event("b" * 100)])
        answer = http(200, b'{"partialSuccess":{"rejectedLogRecords":%d}}' % rejected)
        server.behaviours = [server.answering(answer)]
        supervisor = Supervisor(backlog, server.port)
        supervisor.command(end)
        (report,) = supervisor.reports_until(end)
        supervisor.close()
        assert report.dropped_bytes == {"rejected": size}


def test_size_of_refused_record_is_looked_up_where_it_still_is(server: Server) -> None:
    """In whatever frame of the batch; what was taken is not measured."""

    def behave(connection: socket.socket) -> None:
        while True:
            _, body = server.read(connection)
            plain = gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body
            connection.sendall(http(400 if b"poison" in plain else 200))

    frames = [LINES[:3], [*LINES[3:6], event("poison" * 50), LINES[6]]]
    backlog, end = backlog_of(*frames)
    server.behaviours = [behave]
    supervisor = Supervisor(backlog, server.port)
    supervisor.command(end)
    reports = supervisor.reports_until(end)
    supervisor.close()
    told = [(report.dropped, report.dropped_bytes) for report in reports if report.dropped]
    assert told == [({"refused": 1}, {"refused": sizes_of(frames[1])[3]})]


def test_every_way_to_drop_tells_bytes(server: Server) -> None:
    """Under the same reason as the count."""
    dropped = [event("x health"), event("short"), event({}, "platform.end"), OWN]
    backlog, end = backlog_of([*LINES, *dropped])
    server.behaviours = [server.answering(*[http(200)] * 5)]
    supervisor = Supervisor(
        backlog, server.port, TAILRACE_PLATFORM_LOGS="", TAILRACE_DROP="health", TAILRACE_KEEP="line|health"
    )
    supervisor.command(end)
    reports = supervisor.reports_until(end)
    supervisor.close()
    sizes = dict(zip(("drop", "keep", "platform_logs", "own_line"), sizes_of(dropped), strict=True))
    assert [report.dropped_bytes for report in reports if report.dropped] == [sizes]
    assert [report.dropped for report in reports if report.dropped] == [dict.fromkeys(sizes, 1)]


def test_an_offset_that_is_none_is_an_error_and_not_a_crash(server: Server) -> None:
    backlog, _ = backlog_of(LINES)
    supervisor = Supervisor(backlog, server.port)
    supervisor.command(17)
    assert supervisor.report() == Stalled(reason="broken_frame", deadline=supervisor.deadline)
    supervisor.close()


def test_no_secret_is_in_any_line(server: Server) -> None:
    """User, query and headers, at debug, while all goes wrong that can."""
    backlog, end = backlog_of(LINES)
    server.behaviours = [server.answering(http(503), http(400), http(200), http(401))]
    supervisor = Supervisor(
        backlog,
        server.port,
        TAILRACE_DESTINATION=f"otlp+http://user:hunter22@127.0.0.1:{server.port}/in?key=hunter23",
        TAILRACE_HEADERS="X-Key=hunter24",
        OTEL_EXPORTER_OTLP_HEADERS="api-key=hunter25",
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
    )
    supervisor.command(end)
    supervisor.report()
    supervisor.report()
    supervisor.close()
    head = server.requests[0][0]
    assert head.startswith(b"POST /in/v1/logs?key=hunter23 HTTP/1.1")
    assert all(secret in head for secret in (b"hunter24", b"hunter25", b"Authorization: Basic "))
    assert "hunter" not in str(supervisor.lines.written)
    assert "line " not in str(supervisor.lines.written)


def test_memory_is_bounded_by_a_batch_and_not_by_the_backlog(server: Server) -> None:
    """20,000 lines of 150 bytes at the default settings."""
    frames = [[event("x" * 149 + "\n") for _ in range(1000)] for _ in range(20)]
    backlog, end = backlog_of(*frames, size=8_000_000)
    server.behaviours = [server.answering(*[http(200)] * 100)]
    server.keeps = False
    supervisor = Supervisor(backlog, server.port, TAILRACE_LOG_LEVEL="warning")
    del frames
    tracemalloc.start()
    try:
        supervisor.command(end, budget_s=60)
        reports = supervisor.reports_until(end)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    supervisor.close()
    assert sum(report.events for report in reports) == 20_000
    assert peak_bytes < 4_500_000


def test_restored_copy_of_a_snapshot_ships_under_its_own_name_over_a_new_connection(server: Server) -> None:
    """Connections of the snapshot are shared with every other copy of it."""
    backlog, end = backlog_of(LINES[:4], LINES[4:])
    first_end = next(iter(backlog.frames(0, end))).end
    server.behaviours = [server.answering(http(200)), server.answering(http(200))]
    supervisor = Supervisor(backlog, server.port)
    supervisor.command(first_end)
    supervisor.reports_until(first_end)
    wire.send(supervisor.commands_out, wire.Restored(digest_key=b"k", instance_id="copy-2"))
    supervisor.command(end, since=first_end)
    supervisor.reports_until(end)
    supervisor.close()
    resources = [decoded("logs", gzip.decompress(body))["resourceLogs"][0]["resource"] for _, body in server.requests]
    names = [attributes_of(resource["attributes"]).get("faas.instance") for resource in resources]
    assert names == [None, "copy-2"]
    assert server.connections == 2


def test_answer_for_which_a_shipment_had_no_time_is_read_by_the_next_one(server: Server) -> None:
    """What lies in the socket is read first: the request is not made again, and its lines arrive once."""
    backlog, end = backlog_of(LINES[:4], LINES[4:])
    middle = next(backlog.frames(0, end)).end
    proceed = threading.Event()

    def late(connection: socket.socket) -> None:
        server.read(connection)
        proceed.wait(10)
        connection.sendall(http(200))
        server.answering(http(200))(connection)

    server.behaviours = [late]
    supervisor = Supervisor(backlog, server.port)
    supervisor.command(middle, budget_s=0.3)
    stalled = supervisor.report()
    assert isinstance(stalled, Stalled)
    assert (stalled.reason, stalled.requests) == ("deadline", 1)
    proceed.set()
    time.sleep(0.05)  # it is on its way while nothing is shipped
    supervisor.command(end)
    reports = supervisor.reports_until(end)
    supervisor.close()
    assert (sum(one.events for one in reports), sum(one.requests for one in reports)) == (10, 1)
    assert sorted(bodies(server)) == [f"line {n}" for n in range(10)]


def test_answer_on_a_connection_from_before_is_read_by_the_next_shipment_too(server: Server) -> None:
    """That is as good as a new one once its server has what was written."""
    backlog, end = backlog_of(LINES[:4], LINES[4:])
    middle = next(backlog.frames(0, end)).end
    proceed = threading.Event()

    def late(connection: socket.socket) -> None:
        server.answering(http(200))(connection)
        server.read(connection)
        proceed.wait(10)
        connection.sendall(http(200))

    server.behaviours = [late]
    supervisor = Supervisor(backlog, server.port)
    supervisor.command(middle)
    reports = supervisor.reports_until(middle)
    supervisor.command(end, middle, budget_s=0.2)
    assert isinstance(supervisor.report(), Stalled)
    proceed.set()
    time.sleep(0.05)  # it is on its way while nothing is shipped
    supervisor.command(end, middle)
    reports += supervisor.reports_until(end)
    supervisor.close()
    assert sum(one.events for one in reports) == 10
    assert bodies(server) == [f"line {n}" for n in range(10)]
    assert server.connections == 1


def test_answer_that_does_not_come_after_all_is_asked_for_again(server: Server) -> None:
    """On a new connection, after a share of the time."""
    backlog, end = backlog_of(LINES)
    server.behaviours = [server.hanging, server.answering(http(200))]
    supervisor = Supervisor(backlog, server.port)
    supervisor.command(end, budget_s=0.3)
    assert isinstance(supervisor.report(), Stalled)
    supervisor.command(end, budget_s=5)
    reports = supervisor.reports_until(end)
    supervisor.close()
    assert (sum(one.events for one in reports), sum(one.retries for one in reports)) == (10, 1)
    assert bodies(server) == [f"line {n}" for n in range(10)]


def passing(supervisor: Supervisor, at_least: int, at_most: int, *, since: int = 0, skip: int = 0) -> list[Shipped]:
    """Has what waits passed by; the reports up to the last one."""
    order = wire.GiveUp(since=since, skip=skip, context=b"", has_gap=False, at_least=at_least, at_most=at_most)
    wire.send(supervisor.commands_out, order)
    reports: list[Shipped] = []
    while not reports or reports[-1].through < at_least:
        report = supervisor.report()
        assert isinstance(report, Shipped), report
        assert report.gives_up
        reports.append(report)
    return reports


def frames_of(backlog: Backlog, end: int) -> list[int]:
    """Where the frames begin, and where the last one ends."""
    return [*(frame.start for frame in backlog.frames(0, end)), end]


def dropped_in(reports: list[Shipped]) -> int:
    return sum(report.dropped.get("lagging", 0) for report in reports)


def test_what_is_given_up_is_read_and_not_sent(server: Server) -> None:
    """To the next frame, with exact counts; what stands behind it is delivered as ever."""
    backlog, end = backlog_of(LINES[:4], LINES[4:7], LINES[7:])
    starts = frames_of(backlog, end)
    server.behaviours = [server.answering(http(200))]
    supervisor = Supervisor(backlog, server.port)
    reports = passing(supervisor, starts[0] + 1, starts[2])
    assert reports[-1].through == starts[1]
    assert (dropped_in(reports), sum(report.events for report in reports)) == (4, 0)
    sizes = sum(report.dropped_bytes.get("lagging", 0) for report in reports)
    assert sizes == sum(sizes_of(LINES[:4]))
    assert server.requests == []
    supervisor.command(end, since=starts[1], context=reports[-1].context)
    delivered = supervisor.reports_until(end)
    assert sum(report.events for report in delivered) == 6
    assert not any(report.gives_up for report in delivered)
    supervisor.close()
    assert bodies(server) == [f"line {n}" for n in range(4, 10)]


def test_what_is_left_to_the_rings_end_is_given_up_as_well(server: Server) -> None:
    """Nothing is read there again: others write over it."""
    backlog = Backlog(4096)
    writer = Writer(backlog, end=0, released=0)

    def append(name: str, size: int = 1200) -> int:
        events = [event(name * size)]
        writer.append(json.dumps(events).encode(), events=1, observed_ns=1, digest=name.encode() * 8)
        return writer.end

    server.behaviours = [server.answering(http(200))]
    second, third = append("a", 1700), append("b")
    supervisor = Supervisor(backlog, server.port)
    passing(supervisor, 1, second)
    writer.release(second)
    assert append("c") > 4096 > third
    reports = passing(supervisor, 4096, 4096, since=second)
    assert (reports[-1].through, dropped_in(reports)) == (4096, 1)
    writer.release(4096)
    append("d", 1900)
    end = append("e", 300)
    assert end % 4096 > third
    supervisor.command(end, since=4096)
    supervisor.reports_until(end)
    supervisor.close()
    assert [body[0] for body in bodies(server)] == ["c", "d", "e"]


def test_giving_up_ends_a_shipment_that_hangs(server: Server) -> None:
    """In the middle of a wait, and what had been delivered of it is told apart."""
    backlog, end = backlog_of(LINES[:4], LINES[4:])
    starts = frames_of(backlog, end)
    server.behaviours = [server.hanging]
    supervisor = Supervisor(backlog, server.port)
    supervisor.command(end, budget_s=30)
    deadline = supervisor.deadline
    while not server.connections:
        time.sleep(0.005)
    order = wire.GiveUp(since=0, skip=0, context=b"", has_gap=False, at_least=1, at_most=starts[1])
    wire.send(supervisor.commands_out, order)
    stalled = supervisor.report()
    assert isinstance(stalled, Stalled)
    assert stalled.deadline == deadline
    report = supervisor.report()
    assert isinstance(report, Shipped)
    assert (report.through, report.dropped, report.events) == (starts[1], {"lagging": 4}, 0)
    supervisor.close()


def test_what_was_delivered_of_what_is_given_up_counts_as_delivered(server: Server) -> None:
    """A request of half of it was taken, the other one not."""
    backlog, end = backlog_of(LINES)
    server.behaviours = [server.answering(http(200)), server.hanging]
    supervisor = Supervisor(backlog, server.port, TAILRACE_BATCH_RECORDS="5")
    supervisor.command(end, budget_s=0.3)
    events = 0
    while isinstance(report := supervisor.report(), Shipped):
        events += report.events
    assert events == 5
    reports = passing(supervisor, end, end, skip=5)
    assert (reports[-1].through, dropped_in(reports), sum(one.events for one in reports)) == (end, 5, 0)
    supervisor.close()


def test_context_and_meters_go_on_through_what_is_given_up(server: Server) -> None:
    """An invocation whose start is passed by has its span when its end is delivered."""
    story = [start("r1"), event("one"), event("two")]
    backlog, end = backlog_of(story, [event("three")])
    starts = frames_of(backlog, end)
    supervisor = Supervisor(backlog, server.port, TAILRACE_SIGNALS="", TAILRACE_PLATFORM_LOGS="0")
    reports = passing(supervisor, 1, starts[1])
    assert unpacked(reports[-1].context).request_id == "r1"
    assert [one.request_id for one in unpacked(reports[-1].context).open] == ["r1"]
    assert dropped_in(reports) == 2
    supervisor.close()


def test_successor_knows_that_it_has_not_seen_what_was_passed_by(server: Server) -> None:
    """What is open in the context may have ended in between: lines are not given to it."""
    backlog, end = backlog_of([event("a")], [event("b")])
    starts = frames_of(backlog, end)
    context = Context(request_id="r1", trace_id="1" * 32, span_id="2" * 16, flags=1)
    server.behaviours = [server.answering(http(200))]
    supervisor = Supervisor(backlog, server.port)
    deadline = time.monotonic() + 10
    ship = Ship(since=starts[1], skip=0, until=end, deadline=deadline, context=packed(context), has_gap=True)
    wire.send(supervisor.commands_out, ship)
    supervisor.reports_until(end)
    supervisor.close()
    assert b"r1" not in gzip.decompress(server.requests[0][1])
