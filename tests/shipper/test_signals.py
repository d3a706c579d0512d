"""Every signal through the shipper's process: commands in, requests and reports out, over real pipes and sockets."""

import json
import time
from typing import Any

import pytest

from lifecycle.contract import wire
from lifecycle.contract.settings import Settings
from lifecycle.contract.wire import Ship, Shipped, Stalled
from shipper.model.context import unpacked
from tests.sandbox.otlp import decoded
from tests.shipper.backend import EVERY, Backend, settled
from tests.shipper.story import R2, done, invocation, line, start
from tests.shipper.support import Server, backlog_of, http
from tests.shipper.test_worker import Supervisor


def test_each_signal_has_a_request_of_its_own(server: Server) -> None:
    """An event counts once, whatever it became."""
    backlog, end = backlog_of(invocation(0))
    backend = Backend(server)
    supervisor = Supervisor(backlog, server.port, **EVERY)
    supervisor.command(end)
    report = settled(supervisor, end)
    assert (report.past, report.dropped, report.owes) == (4, {}, False)
    assert [backend.count(signal) for signal in ("logs", "traces", "metrics")] == [1, 1, 1]
    supervisor.close()


def test_lines_go_first_whatever_came_first(server: Server) -> None:
    """A destination that takes some signals only, or a deadline that is near, has them by then."""
    backlog, end = backlog_of([*invocation(0), line(20)][3:], [start(30, R2), done(40, R2), line(41)])
    Backend(server)
    supervisor = Supervisor(backlog, server.port, **EVERY)
    supervisor.command(end)
    settled(supervisor, end)
    supervisor.close()
    sent = [
        line for line in supervisor.lines.written if line["event"] in ("shipper.request_begun", "shipper.request_sent")
    ]
    assert [line["destination"].rpartition("/v1/")[2] for line in sent] == ["logs", "traces", "metrics"]


def test_requests_that_follow_one_upon_the_other_share_a_report(server: Server) -> None:
    """Each report wakes the supervisor. Metrics are a batch of their own, and bring the end's report."""
    backlog, end = backlog_of(invocation(0))
    Backend(server)
    supervisor = Supervisor(backlog, server.port, **EVERY)
    supervisor.command(end)
    first, last = supervisor.reports_until(end)
    assert (first.past, first.requests, last.past, last.requests) == (4, 3, 0, 0)
    supervisor.close()


def test_what_was_taken_is_reported_while_another_request_takes_long(server: Server) -> None:
    """The lines before the first row of a span count as shipped, whatever becomes of the span."""
    backlog, end = backlog_of([line(1), *invocation(10)])
    supervisor = Supervisor(backlog, server.port, **EVERY)

    Backend(server, traces=[b""])
    supervisor.command(end)
    first = supervisor.report()
    assert isinstance(first, Shipped)
    assert (first.through, first.past, first.requests) == (0, 4, 3)
    server.over.set()
    supervisor.close()


def test_a_replaced_shipper_loses_neither_span_nor_count(server: Server) -> None:
    """Killed between the end of a function and its report: what it knew was in its last report."""
    story = [start(0), line(1), done(10)]
    backlog, end = backlog_of(story, invocation(0)[3:])
    middle = next(backlog.frames(0, end)).end
    backend = Backend(server)
    first = Supervisor(backlog, server.port, **EVERY)
    first.command(middle)
    report = settled(first, middle)
    assert report.owes
    assert len(unpacked(report.context).open) == 1
    first.close()
    second = Supervisor(backlog, server.port, **EVERY)
    second.command(end, since=middle, context=report.context)
    assert not settled(second, end).owes or backend.spans()
    (span,) = backend.spans()
    assert span["startTimeUnixNano"] == "1716222585000000000"
    second.close()


def test_a_replaced_shipper_exports_the_very_same_window(server: Server) -> None:
    """Killed while a metrics request is under way: start, end and values are the same, whatever has come meanwhile."""
    backlog, end = backlog_of(invocation(0), invocation(20_000, R2))
    middle = next(backlog.frames(0, end)).end
    backend = Backend(server, metrics=[b"", http(200)])
    first = Supervisor(backlog, server.port, **EVERY)
    first.command(middle)
    report = first.report()
    while not (isinstance(report, Shipped) and report.skip == 4):
        report = first.report()
    assert report.through == 0
    first.close()
    second = Supervisor(backlog, server.port, **EVERY)
    second.command(end, since=0, skip=4, context=report.context)
    assert settled(second, end).past == 4
    lost, again, after = (decoded("metrics", body)["resourceMetrics"][0] for body in backend.bodies["metrics"])
    assert again["scopeMetrics"] == lost["scopeMetrics"]
    ends = {_window(metric)[1] for metric in again["scopeMetrics"][0]["metrics"]}
    assert {_window(metric)[0] for metric in after["scopeMetrics"][0]["metrics"]} == ends
    assert backend.count("logs") == 2
    second.close()


def _window(metric: dict[str, Any]) -> tuple[str, str]:
    (point,) = (metric.get("sum") or metric["histogram"])["dataPoints"]
    return point["startTimeUnixNano"], point["timeUnixNano"]


def test_the_last_order_of_all_brings_what_is_open_to_an_end(server: Server) -> None:
    """Though nothing waits in the backlog; a span and what was measured since the last export."""
    backlog, end = backlog_of([start(0), line(1)])
    backend = Backend(server)
    supervisor = Supervisor(backlog, server.port, **EVERY)
    supervisor.command(end)
    report = settled(supervisor, end)
    assert report.owes
    assert backend.spans() == []
    order(supervisor, end, report.context)
    last = supervisor.report()
    assert isinstance(last, Shipped)
    assert (last.through, last.past, last.owes) == (end, 0, False)
    (span,) = backend.spans()
    assert span["status"]["code"] == 2
    (resource,) = decoded("metrics", backend.bodies["metrics"][-1])["resourceMetrics"]
    assert "faas.errors" in [metric["name"] for metric in resource["scopeMetrics"][0]["metrics"]]
    order(supervisor, end, last.context)
    assert supervisor.report() == Shipped(through=end, context=last.context, is_final=True)
    supervisor.close()


def order(supervisor: Supervisor, at: int, context: bytes) -> None:
    deadline = time.monotonic() + 10
    wire.send(
        supervisor.commands_out, Ship(since=at, skip=0, until=at, deadline=deadline, context=context, is_final=True)
    )


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_signal_the_destination_does_not_know_is_left_out_and_said(server: Server, status: int) -> None:
    """The others go on; what was lost by it is counted."""
    backlog, end = backlog_of(invocation(0), invocation(20, R2))
    middle = next(backlog.frames(0, end)).end
    backend = Backend(server, traces=[http(status)])
    supervisor = Supervisor(backlog, server.port, TAILRACE_LOG_LEVEL="warning", **EVERY)
    supervisor.command(middle)
    report = settled(supervisor, middle)
    assert (report.past, report.dropped) == (3, {"unsupported": 1})
    supervisor.command(end, since=middle, context=report.context)
    assert settled(supervisor, end).dropped == {}
    assert [backend.count(signal) for signal in ("logs", "traces")] == [2, 1]
    assert supervisor.lines.events() == ["shipper.signal_unsupported"]
    supervisor.close()


def test_a_path_that_is_wrong_for_every_signal_loses_nothing(server: Server) -> None:
    """Then it is the address that is wrong: all is held."""
    backlog, end = backlog_of([start(0), done(10)], invocation(0)[3:])
    backend = Backend(server, logs=[http(404)], traces=[http(404)], metrics=[http(404)])
    supervisor = Supervisor(backlog, server.port, **EVERY)
    supervisor.command(end)
    stalled = supervisor.report()
    assert isinstance(stalled, Stalled)
    assert stalled.reason == "status_404"
    assert backend.count("traces") == 1
    supervisor.close()


def test_spans_and_points_that_are_rejected_never_make_more_than_there_were(server: Server) -> None:
    """Partial success counts them; the ledger counts events."""
    backlog, end = backlog_of(invocation(0))
    rejected = http(200, b'{"partialSuccess":{"rejectedDataPoints":"900","rejectedSpans":"7"}}')
    Backend(server, traces=[rejected], metrics=[rejected])
    supervisor = Supervisor(backlog, server.port, **EVERY)
    supervisor.command(end)
    reports = supervisor.reports_until(end)
    assert all(report.past >= 0 for report in reports)
    assert sum(report.past + sum(report.dropped.values()) for report in reports) == 4
    supervisor.close()


def test_a_shipment_that_has_to_wait_for_an_outcome_says_so(server: Server) -> None:
    """It ends where it got to, and is no failure."""
    backlog, end = backlog_of(invocation(0), [start(20, R2), line(21)])
    Backend(server)
    supervisor = Supervisor(backlog, server.port, TAILRACE_SAMPLE="0", **EVERY)
    supervisor.command(end)
    reports: list[Shipped] = []
    while not reports or not reports[-1].waits:
        report = supervisor.report()
        assert isinstance(report, Shipped)
        reports.append(report)
    assert reports[-1].through < end
    assert sum(report.past + sum(report.dropped.values()) for report in reports) == 5
    assert unpacked(reports[-1].context).open[0].request_id == R2
    supervisor.close()


def test_other_extensions_lines_are_shipped_and_our_own_never(server: Server) -> None:
    """Whatever form ours come back in, and at whatever level; nothing loops."""
    own = '{"logger":"tailrace.shipper","level":"debug","event":"x"}\n'
    lines = [
        {"time": "2024-05-20T16:29:45.000Z", "type": "extension", "record": record}
        for record in ("[INFO] from another\n", own, json.loads(own), {"level": "INFO", "message": "structured"})
    ]
    backlog, end = backlog_of(lines)
    backend = Backend(server)
    supervisor = Supervisor(backlog, server.port, **EVERY)
    supervisor.command(end)
    assert settled(supervisor, end).dropped == {"own_line": 2}
    (resource,) = decoded("logs", backend.bodies["logs"][0])["resourceLogs"]
    records = [record for scope in resource["scopeLogs"] for record in scope["logRecords"]]
    assert [record["body"]["stringValue"] for record in records] == ["[INFO] from another", "structured"]
    assert all(record["severityText"] == "INFO" for record in records)
    supervisor.close()


def test_where_each_signal_goes_is_said_by_opentelemetrys_variables(server: Server) -> None:
    """A signal's own endpoint is used as it is, its headers go over the general ones."""
    backlog, end = backlog_of(invocation(0))
    base = f"http://127.0.0.1:{server.port}"
    Backend(server)
    supervisor = Supervisor(
        backlog,
        server.port,
        TAILRACE_DESTINATION="",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"{base}/base",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{base}/own/traces",
        OTEL_EXPORTER_OTLP_HEADERS="k=all",
        OTEL_EXPORTER_OTLP_METRICS_HEADERS="k=metrics",
        **EVERY,
    )
    supervisor.command(end)
    settled(supervisor, end)
    heads = {head.split(b" ", 2)[1]: head for head, _ in server.requests}
    assert set(heads) == {b"/base/v1/logs", b"/own/traces", b"/base/v1/metrics"}
    assert b"\r\nk: metrics" in heads[b"/base/v1/metrics"]
    assert b"\r\nk: all" in heads[b"/own/traces"]
    supervisor.close()


@pytest.mark.parametrize(
    ("environ", "signals"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h"}, ("logs", "traces", "metrics")),
        ({"TAILRACE_DESTINATION": "otlp"}, ("logs", "traces", "metrics")),
        ({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://h"}, ("logs",)),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://h"}, ("traces",)),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h", "TAILRACE_SIGNALS": "metrics,logs"}, ("logs", "metrics")),
        ({"TAILRACE_DESTINATION": "stdout:"}, ("logs",)),
        ({"TAILRACE_DESTINATION": "https://h/in", "TAILRACE_SIGNALS": "traces"}, ("traces",)),
        ({"TAILRACE_DESTINATION": "stdout:", "TAILRACE_SIGNALS": "traces"}, ("logs",)),
    ],
)
def test_signals_are_those_asked_for_as_far_as_the_destination_takes_them(
    environ: dict[str, str], signals: tuple[str, ...]
) -> None:
    assert Settings(environ).exported_signals() == signals
