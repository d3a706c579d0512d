"""Every kind of event side by side: what the platform sends, and what a backend sees of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.records import KINDS
from tests.sandbox.received import value_of
from tests.shipper.following import attributes, followed
from tests.shipper.support import REQUEST_ID, event
from tests.shipper.test_telemetry import FIXTURES, JSON

TRACING = {
    "spanId": "24cd7d670fa455f0",
    "type": "X-Amzn-Trace-Id",
    "value": "Root=1-6352a70e-1e2c502e358361800241fd45;Parent=35465b3a9e2f7c6a;Sampled=1",
}
TRACE_ID = "6352a70e1e2c502e358361800241fd45"
INIT = {"initializationType": "on-demand", "phase": "init"}
SPANS = [{"name": "responseLatency", "start": "2024-05-20T16:29:45.008Z", "durationMs": 2.215}]
REQUEST = {"requestId": REQUEST_ID}

# With TAILRACE_PLATFORM_LOGS=1: type, record, the line, its severity.
PLATFORM = [
    pytest.param(
        "platform.initStart",
        {**INIT, "runtimeVersion": "nodejs:20.v22", "functionName": "hello", "functionVersion": "$LATEST"},
        "INIT START Type: on-demand Phase: init Runtime Version: nodejs:20.v22",
        "INFO",
        id="initStart",
    ),
    pytest.param(
        "platform.initRuntimeDone",
        {**INIT, "status": "error", "errorType": "Runtime.ImportModuleError"},
        "INIT RUNTIME DONE Phase: init Status: error Error Type: Runtime.ImportModuleError",
        "ERROR",
        id="initRuntimeDone, failed",
    ),
    pytest.param(
        "platform.initReport",
        {**INIT, "status": "success", "metrics": {"durationMs": 173.778}},
        "INIT REPORT Duration: 173.778 ms Phase: init",
        "INFO",
        id="initReport",
    ),
    pytest.param(
        "platform.restoreStart",
        {"runtimeVersion": "python:3.13", "functionName": "hello", "instanceMaxMemory": "256"},
        "RESTORE START Runtime Version: python:3.13",
        "INFO",
        id="restoreStart, a number as text",
    ),
    pytest.param("platform.restoreRuntimeDone", {"status": "success"}, "RESTORE RUNTIME DONE", "INFO", id="restored"),
    pytest.param(
        "platform.restoreReport",
        {"status": "success", "metrics": {"durationMs": 150.5}},
        "RESTORE REPORT Duration: 150.5 ms",
        "INFO",
        id="restoreReport",
    ),
    pytest.param(
        "platform.start",
        {**REQUEST, "version": "$LATEST", "tracing": TRACING},
        f"START RequestId: {REQUEST_ID} Version: $LATEST",
        "INFO",
        id="start",
    ),
    pytest.param(
        "platform.runtimeDone",
        {**REQUEST, "status": "success", "metrics": {"durationMs": 11.185, "producedBytes": 40}, "spans": SPANS},
        f"RUNTIME DONE RequestId: {REQUEST_ID} Duration: 11.185 ms Produced: 40 bytes",
        "INFO",
        id="runtimeDone",
    ),
    pytest.param(
        "platform.runtimeDone",
        {**REQUEST, "status": "timeout", "metrics": {"durationMs": 5001.182, "producedBytes": 0}},
        f"RUNTIME DONE RequestId: {REQUEST_ID} Duration: 5001.182 ms Produced: 0 bytes Status: timeout",
        "ERROR",
        id="runtimeDone, timed out",
    ),
    pytest.param(
        "platform.report",
        {
            **REQUEST,
            "status": "success",
            "metrics": {
                "durationMs": 11.642,
                "billedDurationMs": 12,
                "memorySizeMB": 128,
                "maxMemoryUsedMB": "67",
                "initDurationMs": 174.055,
            },
        },
        f"REPORT RequestId: {REQUEST_ID} Duration: 11.642 ms Billed Duration: 12 ms Memory Size: 128 MB "
        "Max Memory Used: 67 MB Init Duration: 174.055 ms",
        "INFO",
        id="report",
    ),
    pytest.param("platform.end", REQUEST, f"END RequestId: {REQUEST_ID}", "INFO", id="the Logs API's end"),
    pytest.param(
        "platform.extension",
        {"name": "my-extension", "state": "Ready", "events": ["INVOKE", "SHUTDOWN"]},
        "EXTENSION Name: my-extension State: Ready Events: INVOKE, SHUTDOWN",
        "INFO",
        id="extension",
    ),
    pytest.param(
        "platform.telemetrySubscription",
        {"name": "tailrace", "state": "Subscribed", "types": ["platform", "function"]},
        "TELEMETRY Name: tailrace State: Subscribed Types: platform, function",
        "INFO",
        id="telemetrySubscription",
    ),
    pytest.param(
        "platform.logsSubscription",
        {"name": "tailrace", "state": "Subscribed", "types": ["function"]},
        "LOGS Name: tailrace State: Subscribed Types: function",
        "INFO",
        id="the Logs API's logsSubscription",
    ),
    pytest.param(
        "platform.logsDropped",
        {"droppedBytes": 12345, "droppedRecords": 123, "reason": "Some logs were dropped because …"},
        "LOGS DROPPED 123 records, 12345 bytes. Some logs were dropped because …",
        "WARN",
        id="logsDropped",
    ),
]


@pytest.mark.parametrize(("kind", "record", "line", "level"), PLATFORM)
def test_a_platform_event_is_a_readable_line_where_it_is_asked_for(
    kind: str, record: dict[str, Any], line: str, level: str
) -> None:
    """One line as CloudWatch has it, and the record whole as an attribute."""
    (log,) = followed([event(record, kind)], TAILRACE_PLATFORM_LOGS="1").logs
    assert (log["body"], log["severityText"]) == ({"stringValue": line}, level)
    found = attributes(log)
    assert found["aws.lambda.event.type"] == kind
    assert found["aws.lambda.event.record"] == record
    assert found.get("faas.invocation_id") == record.get("requestId")


def test_every_known_kind_has_its_line() -> None:
    """The table above leaves none out."""
    assert {str(case.values[0]) for case in PLATFORM} == set(KINDS)


@pytest.mark.parametrize(("kind", "record"), [case.values[:2] for case in PLATFORM])
def test_a_platform_event_is_no_line_where_it_is_not(kind: str, record: dict[str, Any]) -> None:
    """It is counted: as shipped where it is part of a span or a metric, else under the setting's name."""
    seen = followed([event(record, kind)])
    assert seen.logs == []
    assert seen.events + seen.dropped.get("platform_logs", 0) == 1
    assert followed([event(record, kind)], TAILRACE_SIGNALS="logs").dropped == {"platform_logs": 1}


STRANGE = [
    ("platform.neverHeardOf", {"a": {"b": [1, None]}}),
    ("platform.fault", "RequestId: 6f7f0961 Process exited before completing request"),
    ("platform.runtimeDone", "Unknown application error occurred"),
    ("platform.report", [1, 2]),
    ("platform.start", None),
    ("platform.initReport", 7.5),
]


@pytest.mark.parametrize(("kind", "record"), STRANGE)
def test_what_is_not_understood_is_a_line_whatever_is_asked_for(kind: str, record: Any) -> None:
    """With its JSON intact."""
    (log,) = followed([event(record, kind)]).logs
    text = log["body"]["stringValue"]
    assert text == record if isinstance(record, str) else json.loads(text) == record
    assert attributes(log)["aws.lambda.event.type"] == kind


LINE = {"timestamp": "2024-05-20T16:29:44.123Z", "level": "WARN", "message": "stock is low", "requestId": REQUEST_ID}

# A JSON line, and what of a record it becomes: body, attributes, everything else.
JSON_LINES = [
    pytest.param(
        {**LINE, "logger": "shop.stock", "sku": "A-7", "left": 2, "tags": ["x", {"deep": None}]},
        "stock is low",
        {"sku": "A-7", "left": 2, "tags": ["x", {"deep": None}], "faas.invocation_id": REQUEST_ID},
        {
            "severityText": "WARN",
            "severityNumber": 13,
            "scope": "shop.stock",
            "timeUnixNano": "1716222584123000000",
        },
        id="Lambda's own JSON format: each member in its place, the others beside",
    ),
    pytest.param(
        {
            "timestamp": "2024-05-20T16:29:45Z",
            "level": "ERROR",
            "requestId": REQUEST_ID,
            "errorType": "ValueError",
            "errorMessage": "no",
            "stackTrace": ['  File "app.py", line 3\n', "  raise\n"],
        },
        "no",
        {
            "exception.type": "ValueError",
            "exception.message": "no",
            "faas.invocation_id": REQUEST_ID,
            "exception.stacktrace": '  File "app.py", line 3\n  raise',
        },
        # A time to the second says less than the event's own.
        {"severityText": "ERROR", "severityNumber": 17, "timeUnixNano": "1716222585008000000"},
        id="an exception that Python's runtime tells, its time to the second",
    ),
    pytest.param(
        {"level": 50, "time": 1716222584123, "msg": "no", "err": {"type": "Error", "message": "no", "stack": "at x"}},
        "no",
        {
            "err": {"type": "Error", "message": "no", "stack": "at x"},
            "exception.type": "Error",
            "exception.message": "no",
            "exception.stacktrace": "at x",
        },
        {"severityText": "ERROR", "severityNumber": 17, "timeUnixNano": "1716222584123000000"},
        id="pino: levels and times are numbers",
    ),
    pytest.param(
        {
            "level": "INFO",
            "message": {"order": 7},
            "service": "shop",
            "function_request_id": REQUEST_ID,
            "xray_trace_id": "1-6352a70e-1e2c502e358361800241fd45",
        },
        {"order": 7},
        {"service": "shop", "faas.invocation_id": REQUEST_ID},
        {"severityText": "INFO", "severityNumber": 9, "traceId": TRACE_ID},
        id="Powertools: a structured message, X-Ray's trace id",
    ),
    pytest.param(
        {"event": "paid", "level": "info", "trace_id": TRACE_ID, "span_id": "24cd7d670fa455f0"},
        "paid",
        {},
        {"severityText": "info", "severityNumber": 9, "traceId": TRACE_ID, "spanId": "24cd7d670fa455f0"},
        id="structlog, within a span",
    ),
    pytest.param(
        {
            **LINE,
            "message": {"errorType": "TypeError", "errorMessage": "no", "stackTrace": ["TypeError: no", "  at x"]},
        },
        {"errorType": "TypeError", "errorMessage": "no", "stackTrace": ["TypeError: no", "  at x"]},
        {
            "exception.type": "TypeError",
            "exception.message": "no",
            "exception.stacktrace": "TypeError: no\n  at x",
            "faas.invocation_id": REQUEST_ID,
        },
        {"severityText": "WARN", "severityNumber": 13},
        id="Node.js's JSON format: an error is the message",
    ),
    pytest.param(
        {"level": "ERROR", "message": "no: a.B\na.B: no\n\tat c.D(E.java:1)", "AWSRequestId": REQUEST_ID},
        "no: a.B\na.B: no\n\tat c.D(E.java:1)",
        {"faas.invocation_id": REQUEST_ID},
        {"severityText": "ERROR", "severityNumber": 17},
        id="Java's JSON format: what does not end like an exception's name is none",
    ),
    pytest.param(
        {
            "level": "ERROR",
            "message": "no: a.BError\na.BError: no\n\tat c.D(E.java:1)",
            "AWSRequestId": REQUEST_ID,
            "timestamp": "2024-05-20 16:29:44,123+0000",
        },
        "no: a.BError\na.BError: no\n\tat c.D(E.java:1)",
        {
            "exception.type": "a.BError",
            "exception.message": "no",
            "exception.stacktrace": "a.BError: no\n\tat c.D(E.java:1)",
            "faas.invocation_id": REQUEST_ID,
        },
        {"severityText": "ERROR", "severityNumber": 17, "timeUnixNano": "1716222584123000000"},
        id="Java's JSON format: an exception in the message; a time as Python's libraries write it",
    ),
    pytest.param(
        {
            "event": "x",
            "level": "error",
            "exception": [{"exc_type": "E", "exc_value": "no", "frames": [{"name": "h"}]}],
        },
        "x",
        {
            "exception": [{"exc_type": "E", "exc_value": "no", "frames": [{"name": "h"}]}],
            "exception.type": "E",
            "exception.message": "no",
        },
        {"severityText": "error", "severityNumber": 17},
        id="structlog: an exception as objects, which stay",
    ),
    pytest.param(
        {"@mt": "paid {n}", "@l": "Error", "@x": "a.BException: no\n   at c.D()", "n": 1},
        "paid {n}",
        {
            "n": 1,
            "exception.type": "a.BException",
            "exception.message": "no",
            "exception.stacktrace": "a.BException: no\n   at c.D()",
        },
        {"severityText": "Error", "severityNumber": 17},
        id="Serilog: a stack trace says whose it is",
    ),
    pytest.param(
        {"errorType": "E", "errorMessage": "no", "stackTrace": [{"path": "a.go", "column": 3}], "order": 7},
        "no",
        {
            "exception.type": "E",
            "exception.message": "no",
            "stackTrace": [{"path": "a.go", "column": 3}],
            "order": 7,
        },
        {"severityText": "ERROR", "severityNumber": 17},
        id="frames with more in them than a line would show stay as they are",
    ),
    pytest.param(
        {"timestamp": "16:29", "time": 1716222584123, "level": "loud", "severity": "WARN", "message": None, "msg": "x"},
        "x",
        {"timestamp": "16:29", "level": "loud", "message": None},
        {"severityText": "WARN", "severityNumber": 13, "timeUnixNano": "1716222584123000000"},
        id="of several members that may be one thing the first that fits",
    ),
    pytest.param(
        {"order": 1, "paid": True, "total": 59.7, "none": None},
        {"order": 1, "paid": True, "total": 59.7, "none": None},
        {},
        {},
        id="no message: all of it is the body",
    ),
    pytest.param({"level": "INFO"}, {"level": "INFO"}, {}, {"severityText": "INFO", "severityNumber": 9}, id="a level"),
    pytest.param({}, {}, {}, {}, id="nothing in it"),
    pytest.param(
        {"message": "x", "level": "loud", "timestamp": "noon", "requestId": 7, "log.record.uid": "mine"},
        "x",
        {"level": "loud", "timestamp": "noon", "requestId": 7, "log.log.record.uid": "mine"},
        {"timeUnixNano": "1716222585008000000"},
        id="members that are not what they are called stay as they are; ours are not overwritten",
    ),
]


@pytest.mark.parametrize("is_text", [False, True], ids=["as an object", "as text that holds one"])
@pytest.mark.parametrize(("sent", "body", "beside", "more"), JSON_LINES)
def test_a_json_line(
    sent: dict[str, Any], body: Any, beside: dict[str, Any], more: dict[str, Any], *, is_text: bool
) -> None:
    """Body, attributes and places of its own, without losing a key."""
    record = json.dumps(sent) + "\n" if is_text else sent
    (log,) = followed([event(record)]).logs
    found = attributes(log)
    assert found.pop("log.record.uid").endswith("-0")
    assert value_of(log["body"]) == body
    assert found == beside
    assert {**log, **more} == log
    assert ("severityText" in log) == ("severityText" in more)


@pytest.mark.parametrize(
    ("ids", "trace", "span"),
    [
        ({"xray_trace_id": f"1-{TRACE_ID[:8]}-{TRACE_ID[8:]}"}, TRACE_ID, "24cd7d670fa455f0"),
        ({"span_id": "aaaaaaaaaaaaaaaa"}, TRACE_ID, "aaaaaaaaaaaaaaaa"),
        ({"trace_id": "b" * 32, "span_id": "aaaaaaaaaaaaaaaa"}, "b" * 32, "aaaaaaaaaaaaaaaa"),
        ({"trace_id": "b" * 32}, "b" * 32, None),
    ],
    ids=["the invocation's trace", "a span in it", "another trace", "another trace, no span"],
)
def test_a_line_with_ids_of_its_own_is_tied_to_the_invocations_span_where_it_can_be(
    ids: dict[str, str], trace: str, span: str | None
) -> None:
    """A trace alone is that of the invocation's span if it is its trace; a span alone lies in it."""
    begun = event({**REQUEST, "tracing": TRACING}, "platform.start")
    (log,) = followed([begun, event({"message": "x", **ids})]).logs
    assert (log["traceId"], log.get("spanId")) == (trace, span)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_no_member_of_a_json_line_is_lost(sent: dict[str, Any]) -> None:
    """Whatever it is called and whatever it holds, every leaf of it is somewhere in the record."""
    (log,) = followed([event(sent)]).logs
    whole = json.dumps(log)
    for text in _texts(sent):
        assert json.dumps(text)[1:-1] in whole


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    return [value.rstrip("\n")] if isinstance(value, str) else []


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("[0-9]*.json")), ids=lambda path: path.name)
def test_every_recorded_event_is_accounted_for(path: Path) -> None:
    """Real captures, read in place: each a valid record, or part of a span or metric, or dropped under a name."""
    sent = json.loads(path.read_bytes())
    asked = followed(sent, TAILRACE_PLATFORM_LOGS="1", is_final=True)
    assert (len(asked.logs), asked.events, asked.dropped) == (len(sent), len(sent), {})
    bare = followed(sent, is_final=True)
    assert bare.events + sum(bare.dropped.values()) == len(sent)
    assert set(bare.dropped) <= {"platform_logs"}
    lines = [one for one in sent if one["type"] in ("function", "extension")]
    assert len(bare.logs) >= len(lines)
    starts = {one["record"]["requestId"] for one in sent if one["type"] == "platform.start"}
    spans = {
        attributes(span)["faas.invocation_id"] for span in bare.servers() if "faas.invocation_id" in attributes(span)
    }
    assert starts <= spans


@given(
    st.lists(
        st.builds(event, JSON, st.sampled_from(["function", "extension", *KINDS, "platform.fault", "platform.x"])),
        max_size=8,
    )
)
def test_whatever_the_records_every_request_is_valid(sent: list[Any]) -> None:
    """The official definitions read it, nothing is lost, nothing is unmappable."""
    seen = followed(sent, TAILRACE_PLATFORM_LOGS="1", is_final=True)
    assert len(seen.logs) == len(sent)
    assert (seen.events, seen.dropped, seen.said) == (len(sent), {}, [])


_RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "requestId": st.sampled_from([REQUEST_ID, "r2", "", 7, None]),
        "status": st.sampled_from(["success", "error", "timeout", 5]),
        "errorType": st.sampled_from(["Runtime.ExitError", "", None]),
        "initializationType": st.sampled_from(["on-demand", "snap-start", 1]),
        "tracing": st.sampled_from([TRACING, {"value": "Root=nonsense;Parent=;Sampled="}, "x", {}]),
        "metrics": st.dictionaries(
            st.sampled_from(["durationMs", "maxMemoryUsedMB", "memorySizeMB", "producedBytes", "odd"]),
            st.sampled_from([1, 2.5, -1, "3", "x", "nan", 1e300, None]),
        ),
        "spans": st.just(SPANS) | st.sampled_from([None, [], [1], [{"name": 5, "start": 6, "durationMs": "x"}]]),
    },
)


@given(st.lists(st.builds(event, _RECORDS, st.sampled_from(sorted(KINDS))), max_size=8))
def test_records_of_odd_types_are_tolerated(sent: list[Any]) -> None:
    """Strings for numbers, numbers for strings, missing members, in any order."""
    seen = followed(sent, is_final=True)
    assert seen.said == []
    assert seen.events + sum(seen.dropped.values()) == len(sent)
    assert seen.context.open == ()
