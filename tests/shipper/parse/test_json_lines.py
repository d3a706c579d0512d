"""Lines that are JSON, as each runtime and library writes them, and the log records they become."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipper.model.context import Context, Past
from shipper.parse.json_lines import line_of, members_of
from tests.sandbox.received import value_of
from tests.shipper.following import attributes, followed
from tests.shipper.model.test_events import JSON
from tests.shipper.support import REQUEST_ID, event

TRACING = {
    "spanId": "24cd7d670fa455f0",
    "type": "X-Amzn-Trace-Id",
    "value": "Root=1-6352a70e-1e2c502e358361800241fd45;Parent=35465b3a9e2f7c6a;Sampled=1",
}
TRACE_ID = "6352a70e1e2c502e358361800241fd45"
REQUEST = {"requestId": REQUEST_ID}

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
        {},
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
    (log,) = followed([event(record)], context=Context(recent=(Past(REQUEST_ID),))).logs
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


@settings(deadline=None)
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


@pytest.mark.parametrize("order", [1, -1])
def test_lines_with_the_same_members_are_told_apart_by_what_is_in_them(order: int) -> None:
    """What is remembered of a set of members is where to look, never what was found there."""
    lines = {
        b'{"level":"INFO","severity":"x","msg":"a","ts":1716222586}': ("INFO", b'"a"', {"severity", "order"}),
        b'{"level":"none","severity":"warn","msg":null,"ts":1716222586}': ("warn", None, {"level", "msg", "order"}),
        b'{"level":{"a":1},"severity":30,"msg":"b","ts":"no time"}': ("INFO", b'"b"', {"level", "ts", "order"}),
    }
    for raw, (level, message, rest) in list(lines.items())[::order] * 2:
        members = members_of(raw[:-1] + b',"order":1}')
        assert members is not None
        line = line_of(members)
        assert (line.level, line.message, set(line.rest)) == (level, message, rest)


def test_an_exception_is_seen_where_a_line_with_the_same_members_had_none() -> None:
    for raw, kind in (
        (b'{"error":"no","msg":"a"}', ""),
        (b'{"error":{"type":"KeyError","message":"x"},"msg":"a"}', "KeyError"),
        (b'{"error":"no","msg":"a"}', ""),
    ):
        line = line_of(members_of(raw) or {})
        assert (line.exception.type if line.exception else "") == kind
