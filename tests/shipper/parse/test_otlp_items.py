"""Items of OTLP requests as log records."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from shipper.model.log_record import Origin
from shipper.parse.otlp_items import containers_of, items_of, level_of, log_of, plain, span_of

NAMES = ("resourceLogs", "scopeLogs", "logRecords")
ORIGIN = Origin(request_id="r", trace_id="0a" * 16, span_id="0b" * 8, flags=1, observed_ns=7, batch_id="d")


def pair(name: str, **value: Any) -> dict[str, Any]:
    return {"key": name, "value": value}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"stringValue": "a"}, "a"),
        ({"intValue": "-5"}, -5),
        ({"intValue": 5}, 5),
        ({"boolValue": False}, False),
        ({"doubleValue": 0.5}, 0.5),
        ({"doubleValue": "NaN"}, "NaN"),
        ({"bytesValue": "AQ=="}, "AQ=="),
        ({"arrayValue": {"values": [{"intValue": 1}, {}]}}, [1, None]),
        ({"arrayValue": {}}, []),
        ({"kvlistValue": {"values": [pair("a", boolValue=True)]}}, {"a": True}),
        ({}, None),
        (None, None),
    ],
)
def test_values_are_as_json_has_them(value: Any, expected: Any) -> None:
    assert plain(value) == expected


def test_a_log_record_says_all_that_it_says() -> None:
    """Its own trace goes before that of the invocation; an exception is one."""
    item = {
        "timeUnixNano": "1716222585008000000",
        "severityNumber": 17,
        "body": {"stringValue": "no"},
        "traceId": "0c" * 16,
        "eventName": "order.refused",
        "attributes": [pair("a", intValue="1"), pair("exception.type", stringValue="Error")],
    }
    record = log_of(item, "shop", ORIGIN, 3)
    assert (record.uid, record.scope, record.severity_text, record.severity_number) == ("d-3", "shop", "ERROR", 17)
    assert (record.body, record.time_ns) == (b'"no"', 1_716_222_585_008_000_000)
    assert record.attributes == (("a", b"1"), ("event.name", b'"order.refused"'))
    assert record.exception is not None
    assert record.exception.type == "Error"
    origin = record.origin
    assert (origin.request_id, origin.trace_id, origin.span_id, origin.flags) == ("r", "0c" * 16, "", 0)


def test_a_log_record_without_a_trace_is_in_that_of_its_invocation() -> None:
    origin = log_of({}, "", ORIGIN, 0).origin
    assert (origin.trace_id, origin.span_id, origin.flags) == ("0a" * 16, "0b" * 8, 1)


def test_a_span_is_a_record_at_its_start() -> None:
    """With its duration, and an error's message."""
    item = {
        "name": "charge",
        "startTimeUnixNano": "1000000000000000000",
        "endTimeUnixNano": "1000000000005000000",
        "kind": 3,
        "parentSpanId": "0d" * 8,
        "status": {"code": 2, "message": "declined"},
        "events": [{"name": "retry", "attributes": [pair("n", intValue=2)]}],
        "attributes": [pair("order", intValue=4)],
    }
    record = span_of(item, "shop", ORIGIN, 0)
    assert (record.body, record.severity_text, record.time_ns) == (b'"charge"', "ERROR", 10**18)
    assert {name: msgspec.json.decode(raw) for name, raw in record.attributes} == {
        "order": 4,
        "duration_ms": 5.0,
        "parent_span_id": "0d" * 8,
        "span.kind": "client",
        "error.message": "declined",
        "events": [{"name": "retry", "n": 2}],
    }


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({}, ""),
        ({"severityText": "Warning", "severityNumber": 13}, "Warning"),
        ({"severityText": "odd", "severityNumber": 14}, "WARN"),
        ({"severityText": "odd"}, "odd"),
        ({"severityNumber": 1}, "TRACE"),
        ({"severityNumber": 24}, "FATAL"),
        ({"severityNumber": 99}, ""),
    ],
)
def test_a_level_is_that_which_is_told(item: dict[str, Any], expected: str) -> None:
    assert level_of(item) == expected


def test_what_items_lie_in_comes_without_them() -> None:
    """And has them again afterwards."""
    message = {
        "resourceLogs": [{"resource": {"a": 1}, "scopeLogs": [{"scope": {"name": "s"}, "logRecords": [{"b": 2}]}]}]
    }
    before = msgspec.json.encode(message)
    assert [dict(one) for one in containers_of(message, NAMES)] == [{"resource": {"a": 1}}, {"scope": {"name": "s"}}]
    assert msgspec.json.encode(message) == before
    assert list(items_of(message, NAMES)) == [({"b": 2}, "s", {"a": 1})]
    assert list(items_of({"resourceLogs": None}, NAMES)) == []
