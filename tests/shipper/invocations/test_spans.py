"""How an invocation becomes a span, which ids it has, and which lines point to it."""

from tests.shipper.following import attributes, followed, only
from tests.shipper.story import PARENT_ID, R1, R2, SPAN_ID, TRACE_ID, done, init, invocation, line, ns, report, start

OK = {"code": "STATUS_CODE_OK"}


def test_start_done_and_report_make_one_span_with_its_parts() -> None:
    """AWS's mapping, field by field."""
    parts = [
        {"name": "responseLatency", "start": "2024-05-20T16:29:45.000Z", "durationMs": 9},
        {"name": "runtimeOverhead", "start": "2024-05-20T16:29:45.009Z", "durationMs": 1},
    ]
    overhead = [{"name": "extensionOverhead", "start": "2024-05-20T16:29:45.010Z", "durationMs": 2}]
    seen = followed([start(0), line(5), done(10, spans=parts), report(12, spans=overhead)])
    span, latency, runtime, extension = seen.spans
    assert {name: span[name] for name in ("name", "kind", "traceId", "spanId", "parentSpanId", "status")} == {
        "name": "shop",
        "kind": "SPAN_KIND_SERVER",
        "traceId": TRACE_ID,
        "spanId": SPAN_ID,
        "parentSpanId": PARENT_ID,
        "status": OK,
    }
    assert (span["startTimeUnixNano"], span["endTimeUnixNano"]) == (ns(0), ns(12))
    assert attributes(span) == {
        "faas.invocation_id": R1,
        "faas.coldstart": False,
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


def test_a_trace_that_is_not_sampled_gets_no_span() -> None:
    """Unless one wants them all; lines and metrics are there either way."""
    story = [start(0, sampled="0"), line(5), done(10), report(12)]
    left_out = followed(story)
    assert left_out.spans == []
    assert (left_out.logs[0]["traceId"], left_out.logs[0]["flags"]) == (TRACE_ID, 0)
    assert left_out.metric("faas.invocations") == 1
    span = only(followed(story, TAILRACE_TRACE_UNSAMPLED="1"))
    assert (span["traceId"], span["flags"] & 1) == (TRACE_ID, 0)


def test_a_trace_that_is_not_decided_gets_one() -> None:
    """X-Ray leaves the decision open when nobody has made it yet."""
    assert only(followed([start(0, sampled=""), done(10), report(12)]))["traceId"] == TRACE_ID
