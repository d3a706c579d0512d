"""How an invocation becomes a span, which ids it has, and which lines point to it."""

from typing import Any

import pytest

from tests.shipper.following import Seen, attributes, followed, only
from tests.shipper.story import (
    PARENT_ID,
    R1,
    R2,
    SPAN_ID,
    TRACE_ID,
    done,
    init,
    invocation,
    line,
    ns,
    report,
    start,
    tracing,
)


def test_start_done_and_report_make_one_span_with_its_parts() -> None:
    """AWS's mapping, field by field."""
    parts = [
        {"name": "responseLatency", "start": "2024-05-20T16:29:45.000Z", "durationMs": 9},
        {"name": "runtimeOverhead", "start": "2024-05-20T16:29:45.009Z", "durationMs": 1},
    ]
    overhead = [{"name": "extensionOverhead", "start": "2024-05-20T16:29:45.010Z", "durationMs": 2}]
    seen = followed([start(0), line(5), done(10, spans=parts), report(12, spans=overhead)])
    span, latency, runtime, extension = seen.spans
    assert {name: span.get(name) for name in ("name", "kind", "traceId", "spanId", "parentSpanId", "status")} == {
        "name": "shop",
        "kind": "SPAN_KIND_SERVER",
        "traceId": TRACE_ID,
        "spanId": SPAN_ID,
        "parentSpanId": PARENT_ID,
        "status": None,
    }
    assert (span["startTimeUnixNano"], span["endTimeUnixNano"]) == (ns(0), ns(12))
    assert attributes(span) == {
        "faas.invocation_id": R1,
        "faas.coldstart": False,
        "faas.trigger": "other",
        "aws.lambda.version": "$LATEST",
        "aws.lambda.status": "success",
        "aws.lambda.produced_bytes": 40,
        "aws.lambda.duration_ms": 12.0,
        "aws.lambda.billed_duration_ms": 12.0,
        "aws.lambda.memory_size_mb": 128,
        "aws.lambda.max_memory_used_mb": 67,
    }
    for part, name, begin, end in (
        (latency, "responseLatency", 0, 9),
        (runtime, "runtimeOverhead", 9, 10),
        (extension, "extensionOverhead", 10, 12),
    ):
        assert (part["name"], part["traceId"], part["parentSpanId"]) == (name, TRACE_ID, SPAN_ID)
        assert (part["startTimeUnixNano"], part["endTimeUnixNano"]) == (ns(begin), ns(end))
        assert part["kind"] == "SPAN_KIND_INTERNAL"
    assert len({one["spanId"] for one in seen.spans}) == 4
    assert seen.context.open == ()


def test_a_part_keeps_what_nobody_has_heard_of() -> None:
    """Unknown members of a span's part are its attributes."""
    parts = [{"name": "responseLatency", "start": "2024-05-20T16:29:45.000Z", "durationMs": 9, "coldPath": True}]
    seen = followed([start(0), done(10, spans=parts), report(12)])
    (part,) = (span for span in seen.spans if span["name"] == "responseLatency")
    assert attributes(part) == {"aws.lambda.cold_path": True}


def test_lines_carry_the_trace_of_their_invocation() -> None:
    """A line points to the span it was logged in; those before the first start belong to the init."""
    seen = followed([*init(-200), line(-100), *invocation(0), line(13), *invocation(20, R2)])
    during_init, first, late, second = seen.logs
    assert during_init["spanId"] == seen.servers()[0]["spanId"]
    assert "faas.invocation_id" not in attributes(during_init)
    for log, request_id in ((first, R1), (late, R1), (second, R2)):
        assert (log["traceId"], log["spanId"], log["flags"]) == (TRACE_ID, SPAN_ID, 1)
        assert attributes(log)["faas.invocation_id"] == request_id


def test_an_invocation_without_trace_context_gets_ids_of_its_own() -> None:
    """A request id is a UUID: it is the trace id, and what is made twice has the same ids."""
    once, twice = (followed([start(0, sampled=None), line(5), done(10), report(12)]) for _ in range(2))
    span = only(once)
    assert span["traceId"] == R1.replace("-", "")
    assert "parentSpanId" not in span
    assert (once.logs[0]["traceId"], once.logs[0]["spanId"]) == (span["traceId"], span["spanId"])
    assert once.spans == twice.spans


def test_no_ids_are_made_up_where_no_spans_are() -> None:
    """X-Ray's are given to lines all the same: other parts of the trace exist."""
    bare = followed([start(0, sampled=None), line(5)], TAILRACE_SIGNALS="logs")
    assert "traceId" not in bare.logs[0]
    traced = followed([start(0), line(5)], TAILRACE_SIGNALS="logs")
    assert (traced.logs[0]["traceId"], traced.logs[0]["spanId"]) == (TRACE_ID, SPAN_ID)


def traced(ms: int, sampled: str | None, late: str | None = None) -> list[Any]:
    """An invocation of which X-Ray decided something: as its start tells, and as its report does."""
    request_id = f"{ms:08}-0000-4000-8000-000000000000"
    said_late: dict[str, Any] = {} if late is None else {"tracing": tracing(late)}
    return [
        start(ms, request_id, sampled=sampled),
        line(ms + 5),
        done(ms + 10, request_id),
        report(ms + 12, request_id, **said_late),
    ]


@pytest.mark.parametrize(
    ("setting", "decisions", "spans"),
    [
        # Nobody samples here: active tracing is off, and no caller is traced.
        ("", [("0", "0")] * 3, "yyy"),
        ("auto", [("0", None)] * 3, "yyy"),
        ("", [(None, None)] * 2, "yy"),
        ("", [("", "")] * 2, "yy"),
        # X-Ray samples, and is seen to: at the start that is sampled, from then on.
        ("", [("0", "0"), ("1", "1"), ("0", "0"), ("1", "1")], "yy-y"),
        ("", [("1", None), ("0", None), ("", None)], "y-y"),
        # By the Logs API only reports tell of X-Ray, and where they do it is active: the next ones are its decision.
        ("", [(None, "0"), ("0", None)], "y-"),
        ("", [(None, "1"), ("0", "0")], "y-"),
        # As one says.
        ("1", [("1", "1"), ("0", "0")], "yy"),
        ("true", [("1", "1"), ("0", "0")], "yy"),
        ("0", [("0", "0"), ("1", "1"), ("", ""), (None, None)], "-yyy"),
    ],
)
@pytest.mark.parametrize("is_one_shipment", [True, False])
def test_who_is_not_sampled_gets_a_span_where_nobody_is(
    setting: str, decisions: list[tuple[str | None, str | None]], spans: str, *, is_one_shipment: bool
) -> None:
    """Each span that is left out is counted, lines and counts are there; a replaced shipper decides the same."""
    stories = [traced(number * 100, *decision) for number, decision in enumerate(decisions)]
    seen = Seen()
    for frames in [stories] if is_one_shipment else [[story] for story in stories]:
        more = followed(
            *frames, context=seen.context, TAILRACE_TRACE_UNSAMPLED=setting, TAILRACE_FLUSH_INTERVAL_MS="100"
        )
        dropped = {reason: seen.dropped.get(reason, 0) + count for reason, count in more.dropped.items()}
        seen.spans, seen.logs, seen.metrics = (
            seen.spans + more.spans,
            seen.logs + more.logs,
            seen.metrics + more.metrics,
        )
        seen.dropped, seen.context = {**seen.dropped, **dropped}, more.context
    made = {attributes(span)["faas.invocation_id"] for span in seen.servers()}
    assert [story[0]["record"]["requestId"] in made for story in stories] == [one == "y" for one in spans]
    assert seen.dropped == ({"unsampled": spans.count("-")} if "-" in spans else {})
    assert len(seen.logs) == len(decisions)
    assert seen.metric("faas.invocations") == len(decisions)


def test_a_span_that_is_left_out_is_said_once() -> None:
    """With what one can do about it; who asked for it knows."""
    story = [*traced(0, "1"), *traced(100, "0"), *traced(200, "0")]
    assert followed(story).said == ["shipper.spans_unsampled"]
    assert followed(story, TAILRACE_TRACE_UNSAMPLED="0").said == []
    assert followed(story, TAILRACE_TRACE_UNSAMPLED="1").said == []


def test_without_metrics_nothing_is_made_of_who_is_not_sampled() -> None:
    """All that the platform says of it is counted; where its events are log records, they are shipped."""
    story = [*traced(0, "1"), *traced(100, "0")]
    bare = followed(story, TAILRACE_SIGNALS="logs,traces")
    assert (bare.dropped, bare.events) == ({"unsampled": 3}, 5)
    assert followed(story, TAILRACE_SIGNALS="logs,traces", TAILRACE_PLATFORM_LOGS="1").dropped == {}
    assert followed(story, TAILRACE_SIGNALS="logs,traces", TAILRACE_PLATFORM_LOGS="start").dropped == {"unsampled": 2}


def test_lines_of_who_is_not_sampled_say_so() -> None:
    """Whether there is a span or not: the decision is X-Ray's, and a tail sampler may want to know it."""
    for setting in ("1", "0"):
        seen = followed(traced(0, "0"), TAILRACE_TRACE_UNSAMPLED=setting)
        assert (seen.logs[0]["traceId"], seen.logs[0]["flags"]) == (TRACE_ID, 0)
        assert all((span["traceId"], span["flags"] & 1) == (TRACE_ID, 0) for span in seen.servers())


def test_a_trace_that_is_not_decided_gets_one() -> None:
    """X-Ray leaves the decision open when nobody has made it yet."""
    assert only(followed([start(0, sampled=""), done(10), report(12)]))["traceId"] == TRACE_ID
