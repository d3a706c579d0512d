"""Every kind of event side by side: what the platform sends, and what a backend sees of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shipper.model.platform_records import KINDS
from tests.shipper.following import attributes, followed
from tests.shipper.model.test_events import JSON, RECORDED
from tests.shipper.support import REQUEST_ID, event, settings_of

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
    """The table above leaves none out, and neither do the names that one may ask for."""
    assert {str(case.values[0]) for case in PLATFORM} == set(KINDS)
    assert {f"platform.{name}" for name in settings_of(TAILRACE_PLATFORM_LOGS="1").platform_logs} == set(KINDS)


@pytest.mark.parametrize(("kind", "record"), [case.values[:2] for case in PLATFORM])
def test_a_platform_event_can_be_asked_for_by_name(kind: str, record: dict[str, Any]) -> None:
    """It alone; many want the report, and no other."""
    others = [(other, told) for other, told in (case.values[:2] for case in PLATFORM) if other != kind]
    sent = [event(record, kind), *(event(told, str(other)) for other, told in others)]
    (log,) = followed(sent, TAILRACE_PLATFORM_LOGS=kind.removeprefix("platform.")).logs
    assert attributes(log)["aws.lambda.event.type"] == kind


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


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name)
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


@example([event({"x": [[-(2**63) - 1]]}, "platform.start")])
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
