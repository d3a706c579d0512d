"""Every signal from the built layer: each line a log record, each invocation one span, counts that add up."""

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import NAME, Run, Start
from tests.e2e.handler.runtimes import LINES
from tests.sandbox import Platform
from tests.sandbox.otlp import decoded

pytestmark = pytest.mark.e2e

# What a user has who sets nothing but an endpoint.
BARE = {"TAILRACE_PLATFORM_LOGS": "0"}


def total(run: Run, name: str) -> int:
    """A counter's value over all exports."""
    points = [p for m in run.backend.metrics() if m.body == name for p in m.raw["sum"]["dataPoints"]]
    return sum(int(point["asInt"]) for point in points)


def measured(run: Run, name: str) -> int:
    """How often a histogram was measured, over all exports."""
    points = [p for m in run.backend.metrics() if m.body == name for p in m.raw["histogram"]["dataPoints"]]
    return sum(int(point["count"]) for point in points)


def servers(run: Run, name: str = "demo") -> list[Any]:
    """Spans of a name, each id once: what was sent twice after a fault has the same."""
    spans = {span.raw["spanId"]: span for span in run.backend.spans() if span.body == name}
    return list(spans.values())


def by_request(run: Run) -> dict[str, Any]:
    """Spans of invocations by request id; fails if one has two."""
    spans = servers(run)
    found = {span.attributes["faas.invocation_id"]: span for span in spans}
    assert len(found) == len(spans)
    return found


def lines_by_request(run: Run) -> Counter[str]:
    return Counter(record.attributes.get("faas.invocation_id", "") for record in run.backend.unique())


@pytest.mark.parametrize("flush", ["adaptive", "end", "interval"])
def test_nothing_is_lost_of_any_signal(start: Start, flush: str) -> None:
    """Success, exception, timeout, a new environment: lines, spans and counts tell the same story."""
    run = start(timeout_s=1.0, TAILRACE_FLUSH=flush, TAILRACE_LOG_LEVEL="info", **BARE)
    good = [run.invoke(lines=3).request_id for _ in range(3)]
    raised = run.invoke(lines=3, **{"raise": "no"}).request_id
    slow = run.env.invoke({"lines": 3, "sleep_s": 5})
    assert slow.status == "timeout"
    last = run.invoke(lines=3).request_id
    run.end()
    ids = [*good, raised, slow.request_id, last]
    spans = by_request(run)
    assert set(spans) == set(ids)
    failed = {request_id: span.attributes.get("error.type") for request_id, span in spans.items()}
    assert failed == {**dict.fromkeys([*good, last]), raised: "ValueError", slow.request_id: "timeout"}
    counts = lines_by_request(run)
    assert [counts[request_id] for request_id in ids] == [3, 3, 3, 4, 3, 3]
    assert (total(run, "faas.invocations"), total(run, "faas.errors"), total(run, "faas.timeouts")) == (4, 1, 1)
    assert measured(run, "faas.invoke_duration") == measured(run, "aws.lambda.billed_duration") == 6
    # Two environments: each began cold.
    assert len(servers(run, "demo init")) == total(run, "faas.coldstarts") == 2
    ledgers = run.events("lifecycle.ended")
    assert len(ledgers) == 2
    assert all(one["waiting"] == 0 and set(one["dropped"]) <= {"platform_logs"} for one in ledgers)
    assert sum(one["accepted"] for one in ledgers) == len(run.env.telemetry(NAME).emitted)


@pytest.mark.parametrize(
    ("setting", "sampled", "has_spans"),
    [("", False, True), ("auto", True, True), ("1", False, True), ("0", False, False)],
)
def test_a_function_that_x_ray_does_not_trace_has_spans_all_the_same(
    start: Start, setting: str, *, sampled: bool, has_spans: bool
) -> None:
    """Lambda says of every invocation without active tracing that it is not sampled; one may want it to count."""
    run = start(
        platform=Platform(sampled=sampled),
        TAILRACE_FLUSH="end",
        TAILRACE_LOG_LEVEL="info",
        TAILRACE_TRACE_UNSAMPLED=setting,
        **BARE,
    )
    ids = {run.invoke(lines=1).request_id for _ in range(3)}
    run.end()
    assert set(by_request(run)) == (ids if has_spans else set())
    (ledger,) = run.events("lifecycle.ended")
    assert ledger["dropped"].get("unsampled") == (None if has_spans else 3)
    assert len(run.events("shipper.spans_unsampled")) == (not has_spans)
    assert total(run, "faas.invocations") == 3


def test_a_traces_endpoint_that_is_down_costs_neither_lines_nor_time(start: Start) -> None:
    """Lines and metrics arrive as if nothing were wrong; spans are given up at the end, and counted."""
    down = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces"}
    run = start(TAILRACE_FLUSH="end", TAILRACE_LOG_LEVEL="info", **down, **BARE)
    ids = [run.invoke(lines=3).request_id for _ in range(6)]
    run.end()
    counts = lines_by_request(run)
    assert [counts[request_id] for request_id in ids] == [3] * 6
    assert run.backend.duplicates() == {}
    assert total(run, "faas.invocations") == 6
    assert run.backend.spans() == []
    (ledger,) = run.events("lifecycle.ended")
    # Six reports, and the end of the init.
    assert (ledger["waiting"], ledger["dropped"]["undelivered"]) == (0, 7)
    assert ledger["accepted"] == ledger["shipped"] + sum(ledger["dropped"].values())
    failing = [line for line in run.lines() if line["event"] == "shipper.delivery_failing"]
    assert [line["signal"] for line in failing] == ["traces"]
    overhead = [p for m in run.backend.metrics() if m.body == "aws.lambda.extension_overhead" for p in _points(m)]
    # The first is held for a second try, none for the whole of the budget every time.
    assert sum(point["sum"] for point in overhead) < 6 * 0.25


def test_a_line_points_to_the_span_it_was_logged_in(start: Start) -> None:
    """And the span to the trace that X-Ray began; its parts lie within."""
    run = start(**BARE)
    result = run.invoke(lines=2)
    run.end()
    (span,) = servers(run)
    logs = [
        record for record in run.backend.unique() if record.attributes.get("faas.invocation_id") == result.request_id
    ]
    assert {(log.raw["traceId"], log.raw["spanId"]) for log in logs} == {(span.raw["traceId"], span.raw["spanId"])}
    assert len(span.raw["parentSpanId"]) == 16
    parts = [one for one in run.backend.spans() if one.raw.get("parentSpanId") == span.raw["spanId"]]
    names = {part.body for part in parts}
    assert names == {"responseLatency", "responseDuration", "runtimeOverhead", "extensionOverhead"}
    (cold,) = servers(run, "demo init")
    assert span.raw["links"] == [{"traceId": cold.raw["traceId"], "spanId": cold.raw["spanId"]}]


def test_a_runtime_that_crashes_leaves_its_span(start: Start) -> None:
    """The process is gone in the middle of an invocation; the next one has a new environment."""
    run = start(**BARE)
    crashed = run.env.invoke({"lines": 2, "exit": 3})
    assert crashed.status == "error"
    fine = run.invoke(lines=1)
    run.end()
    spans = by_request(run)
    assert set(spans) == {crashed.request_id, fine.request_id}
    assert spans[crashed.request_id].attributes["error.type"] == "Runtime.ExitError"
    assert (total(run, "faas.errors"), total(run, "faas.invocations")) == (1, 1)


@pytest.mark.parametrize("frozen", [False, True], ids=["while it runs", "while frozen"])
def test_a_shipper_killed_in_every_invocation_loses_no_span_and_no_count(start: Start, *, frozen: bool) -> None:
    """What is open and what was counted survive it; what was sent twice has the same ids."""
    run = start(platform=Platform(freeze=frozen), TAILRACE_FLUSH="end", **BARE)
    ids = []
    for _ in range(6):
        ids.append(run.invoke(lines=2).request_id)
        run.env.kill(NAME, "tr-shipper")
    run.end()
    assert set(by_request(run)) == set(ids)
    assert all(lines_by_request(run)[request_id] == 2 for request_id in ids)
    # A request that was answered, and not reported before the kill, is made again: never less than there were.
    assert total(run, "faas.invocations") >= 6
    assert measured(run, "aws.lambda.billed_duration") >= 6


@pytest.mark.parametrize("log_format", ["Text", "JSON"])
def test_what_the_real_runtime_logs_is_understood(start: Start, log_format: str) -> None:
    """Awslambdaric in both of its formats: level, logger, request, exception, extra members."""
    run = start(log_format=log_format, **BARE)
    warned = run.invoke(log="stock is low")
    raised = run.invoke(**{"raise": "no card"})
    run.end()
    records = {record.attributes["faas.invocation_id"]: record for record in run.backend.unique()}
    warning, error = records[warned.request_id], records[raised.request_id]
    assert (warning.raw["severityNumber"], error.raw["severityNumber"]) == (13, 17)
    assert str(warning.body).endswith("stock is low")
    assert error.attributes["exception.type"] == "ValueError"
    assert error.attributes["exception.message"] == "no card"
    assert "raise ValueError" in error.attributes["exception.stacktrace"]
    assert by_request(run)[raised.request_id].attributes["error.type"] == "ValueError"
    if log_format == "JSON":
        assert (warning.body, error.body) == ("stock is low", "no card")
        scopes = [scope["scope"]["name"] for scope in _scopes(run)]
        assert "root" in scopes


def test_what_a_handler_of_each_runtime_logs_is_understood(start: Start) -> None:
    """In text and in JSON: how severe it is, and which invocation it belongs to; the words stay."""
    run = start(**BARE)
    results = {run.invoke(runtime=name).request_id: name for name in LINES}
    run.end()
    spans = by_request(run)
    records = {record.attributes["faas.invocation_id"]: record for record in run.backend.unique()}
    assert {results[request_id] for request_id in records} == set(LINES)
    for request_id, record in records.items():
        name, span = results[request_id], spans[request_id]
        assert record.raw["severityNumber"] == 13, name
        assert "stock is low" in str(record.body), name
        assert (record.raw["traceId"], record.raw["spanId"]) == (span.raw["traceId"], span.raw["spanId"]), name
        if "JSON" in name:
            assert (record.body, record.attributes["left"]) == ("stock is low", 2), name


def _points(metric: Any) -> list[Any]:
    points: list[Any] = metric.raw["histogram"]["dataPoints"]
    return points


def _scopes(run: Run) -> list[Any]:
    bodies = [decoded("logs", request.body) for request in run.backend.requests if request.signal == "logs"]
    return [scope for body in bodies for resource in body["resourceLogs"] for scope in resource["scopeLogs"]]


def test_a_restored_snapshot_has_a_span_for_it(start: Start) -> None:
    """SnapStart: a restore is what the first caller waits for."""
    run = start(platform=Platform(flavour="snap-start"), **BARE)
    run.env.start()
    result = run.invoke(lines=2)
    run.invoke(lines=2)
    run.end()
    (restored,) = servers(run, "demo restore")
    first = by_request(run)[result.request_id]
    assert first.attributes["faas.coldstart"] is True
    assert first.raw["links"][0]["spanId"] == restored.raw["spanId"]
    assert measured(run, "aws.lambda.restore_duration") == total(run, "faas.coldstarts") == 1
    assert total(run, "faas.invocations") == 2


def test_provisioned_concurrency_starts_warm(start: Start) -> None:
    run = start(platform=Platform(flavour="provisioned-concurrency"), **BARE)
    run.env.start()
    result = run.invoke(lines=2)
    run.end()
    assert by_request(run)[result.request_id].attributes["faas.coldstart"] is False
    assert len(servers(run, "demo init")) == 1
    assert total(run, "faas.coldstarts") == 0


def test_managed_instances_tell_interleaved_invocations_apart(start: Start) -> None:
    """JSON lines name their request; each has its span, though there is no runtimeDone."""
    platform = Platform(flavour="lambda-managed-instances", concurrency=2)
    run = start(platform=platform, log_format="JSON", TAILRACE_FLUSH_INTERVAL_MS="200", **BARE)
    run.env.start()
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(run.env.invoke({"log": "x"}))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run.end()
    assert [result.status for result in results] == ["success"] * 6
    spans = by_request(run)
    assert set(spans) == {result.request_id for result in results}
    for record in run.backend.unique():
        span = spans[record.attributes["faas.invocation_id"]]
        assert (record.raw["traceId"], record.raw["spanId"]) == (span.raw["traceId"], span.raw["spanId"])
    assert total(run, "faas.invocations") == 6


def test_an_init_that_fails_is_tried_again_inside_the_invocation(start: Start, tmp_path: Path) -> None:
    """Both are spans, the first an error."""
    (tmp_path / "breaks").touch()
    run = start(runtime_environ={"BREAKS_ONCE": str(tmp_path / "breaks")}, **BARE)
    result = run.env.invoke({"lines": 1})
    run.end()
    assert result.status == "success", result
    spans = servers(run, "demo init")
    # That the other one went well is nobody's to say but the user's.
    assert [span.raw.get("status", {}).get("code") for span in spans] == [2, None]
    assert [span.attributes["aws.lambda.phase"] for span in spans] == ["init", "invoke"]


def test_the_superseded_logs_api_delivers_every_line_and_span(start: Start) -> None:
    """One subscribes by it where it is asked for; there are no init events then."""
    run = start(TAILRACE_API="logs", **BARE)
    ids = [run.invoke(lines=3).request_id for _ in range(2)]
    run.end()
    assert set(by_request(run)) == set(ids)
    assert all(lines_by_request(run)[request_id] == 3 for request_id in ids)
    assert total(run, "faas.invocations") == 2
    assert any(call.api == "logs" or "logs" in str(call.api) for call in run.env.calls)


def test_rules_are_counted_and_what_they_stop_never_leaves(start: Start) -> None:
    """Least severity, a pattern dropped, one redacted, one that would take for ever."""
    run = start(
        TAILRACE_MIN_LEVEL="warn",
        TAILRACE_DROP="line 1$;(a+)+$",
        TAILRACE_REDACT="email;secret-\\d+=>[gone]",
        TAILRACE_LOG_LEVEL="info",
        **BARE,
    )
    run.invoke(lines=3, json={"level": "INFO", "message": "chatty"})
    run.invoke(json={"message": "to jane@example.com", "deep": ["secret-42"]})
    run.invoke(lines=1, say="a" * 40 + "!")
    run.end()
    assert run.bodies() == ["line 0", "line 2", "to ***", "a" * 40 + "! 0"]
    assert not any(b"jane" in request.body for request in run.backend.requests)
    assert run.backend.unique()[2].attributes["deep"] == ["[gone]"]
    (ledger,) = run.events("lifecycle.ended")
    assert (ledger["dropped"]["min_level"], ledger["dropped"]["drop"]) == (1, 1)
    assert ledger["dropped"].keys() == ledger["dropped_bytes"].keys()
    assert min(ledger["dropped_bytes"].values()) > 60
    assert ledger["level"] == "info"
    assert len(run.events("rules.pattern_slow")) <= 1


def test_with_a_redaction_that_cannot_be_read_nothing_leaves_and_nobody_waits(start: Start) -> None:
    """Every event is dropped at once and counted; the budget is not touched."""
    run = start(TAILRACE_REDACT="email;[", TAILRACE_FLUSH="end", TAILRACE_LOG_LEVEL="info", **BARE)
    results = [run.invoke(lines=3) for _ in range(3)]
    run.end()
    assert {result.status for result in results} == {"success"}
    assert run.backend.requests == []
    (ledger,) = run.events("lifecycle.ended")
    assert (ledger["shipped"], ledger["waiting"], ledger["requests"]) == (0, 0, 0)
    assert ledger["dropped"] == {"unredactable": ledger["accepted"]}
    assert ledger["level"] == "warning"
    # Beside the first one the shipper is still to look at its rules.
    assert max(result.held_ms for result in results[1:]) < 200
    (said,) = run.events("rules.redaction_unreadable")
    assert (said["level"], said["variable"]) == ("error", "TAILRACE_REDACT")


def test_a_sample_ships_whole_invocations_and_every_failure(start: Start) -> None:
    """Lines and spans; the counts are of all."""
    run = start(TAILRACE_SAMPLE="0", TAILRACE_FLUSH="end", **BARE)
    for _ in range(4):
        run.invoke(lines=3)
    failed = run.invoke(lines=3, **{"raise": "no"})
    run.end()
    assert lines_by_request(run) == {failed.request_id: 4}
    assert set(by_request(run)) == {failed.request_id}
    assert (total(run, "faas.invocations"), total(run, "faas.errors")) == (4, 1)


def test_a_long_invocation_outside_the_sample_waits_for_its_end(start: Start) -> None:
    """And is then dropped, or shipped if it failed; the interval passes meanwhile without a failure."""
    run = start(timeout_s=5.0, TAILRACE_SAMPLE="0", TAILRACE_FLUSH_INTERVAL_MS="100", TAILRACE_LOG_LEVEL="info", **BARE)
    run.invoke(lines=3, sleep_s=0.6)
    failed = run.invoke(lines=3, sleep_s=0.6, **{"raise": "no"})
    run.end()
    assert lines_by_request(run) == {failed.request_id: 4}
    assert [line for line in run.lines() if line["level"] != "info"] == []


def test_the_resource_names_function_environment_and_cloud(start: Start) -> None:
    """On every signal alike."""
    run = start(OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=staging,service.version=7", **BARE)
    run.invoke(lines=1)
    run.end()
    resources = [record.resource for record in run.backend.all_records()]
    assert all(resource == resources[0] for resource in resources)
    assert {record.signal for record in run.backend.all_records()} == {"logs", "traces", "metrics"}
    instance = resources[0].pop("faas.instance")
    assert len(instance) == 16
    assert resources[0].pop("service.instance.id") == instance
    assert resources[0] == {
        "service.name": "demo",
        "service.version": "7",
        "faas.name": "demo",
        "faas.version": "$LATEST",
        "faas.max_memory": 128 * 1024 * 1024,
        "cloud.provider": "aws",
        "cloud.platform": "aws_lambda",
        "cloud.region": "us-east-1",
        "cloud.account.id": "123456789012",
        "cloud.resource_id": "arn:aws:lambda:us-east-1:123456789012:function:demo",
        "telemetry.distro.name": "tailrace",
        "telemetry.distro.version": resources[0]["telemetry.distro.version"],
        "deployment.environment.name": "staging",
    }


@pytest.mark.parametrize(
    ("protocol", "content_type"), [("http/protobuf", "application/x-protobuf"), ("http/json", "application/json")]
)
def test_every_signal_arrives_in_the_encoding_that_is_set(start: Start, protocol: str, content_type: str) -> None:
    """And says the same: lines, a span for each invocation and one for the init, metrics."""
    run = start(OTEL_EXPORTER_OTLP_PROTOCOL=protocol, TAILRACE_FLUSH="end", **BARE)
    results = [run.invoke(lines=2, json={"message": "as JSON", "left": 2}) for _ in range(2)]
    run.end()
    assert {request.headers["content-type"] for request in run.backend.requests} == {content_type}
    assert run.bodies() == ["line 0", "line 1", "as JSON"] * 2
    invocations = {span.attributes.get("faas.invocation_id") for span in run.backend.spans()}
    assert {result.request_id for result in results} <= invocations
    assert "faas.invocations" in {metric.body for metric in run.backend.metrics()}
    assert [line for line in run.lines() if line["level"] != "info"] == []
