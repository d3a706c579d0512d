"""Invocations, inits and restores as stories: what the events say together, as spans, metrics and context."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.correlate import MOST_PACKED, NOTHING, Context, Invocation, Meters, packed, unpacked
from tests.shipper.following import Seen, attributes, followed
from tests.shipper.story import (
    PARENT_ID,
    R1,
    R2,
    SPAN_ID,
    TRACE_ID,
    at,
    done,
    init,
    invocation,
    line,
    ns,
    report,
    restore,
    said,
    start,
    tracing,
)

OK = {"code": "STATUS_CODE_OK"}
MANAGED = {"AWS_LAMBDA_INITIALIZATION_TYPE": "lambda-managed-instances"}


def only(seen: Seen) -> dict[str, Any]:
    """The one span that is no part of another."""
    (span,) = seen.servers()
    return span


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


def test_a_cold_start_is_a_span_of_its_own_and_the_first_invocation_points_to_it() -> None:
    seen = followed([*init(-200), *invocation(0), *invocation(20, R2)])
    cold, first, second = seen.servers()
    assert (cold["name"], cold["status"]) == ("shop init", OK)
    assert (cold["startTimeUnixNano"], cold["endTimeUnixNano"]) == (ns(-200), ns(-30))
    assert attributes(cold)["faas.coldstart"] is True
    assert attributes(cold)["aws.lambda.runtime_version"] == "python:3.13.v1"
    assert cold["traceId"] != TRACE_ID
    assert [attributes(span)["faas.coldstart"] for span in (first, second)] == [True, False]
    assert first["links"] == [{"traceId": cold["traceId"], "spanId": cold["spanId"]}]
    assert "links" not in second


def ids(record: dict[str, Any]) -> tuple[str | None, str | None]:
    return record.get("traceId"), record.get("spanId")


def test_lines_before_the_first_start_belong_to_the_init() -> None:
    """To its trace and span, and to no request; so do those of a restore, and of an init inside an invocation."""
    first, failed, second = init(-900, status="error"), init(-500, phase="invoke"), restore(-200)
    story = [first[0], line(-890), *first[1:], failed[0], line(-490), *failed[1:], second[0], line(-190), *second[1:]]
    seen = followed([*story, line(-1), start(0), line(1)])
    inits = [ids(span) for span in seen.servers()]
    assert len(set(inits)) == 3
    assert [ids(log) for log in seen.logs] == [*inits, inits[2], (TRACE_ID, SPAN_ID)]
    assert all(log["flags"] == 1 for log in seen.logs)
    assert [attributes(log).get("faas.invocation_id") for log in seen.logs] == [None, None, None, None, R1]


def test_lines_of_an_init_that_gets_no_span_belong_to_none() -> None:
    """Because no spans are wanted, or because a restored snapshot told it again."""
    cold = init(-900)
    bare = followed([cold[0], line(-890), *cold[1:]], TAILRACE_SIGNALS="logs")
    snapshot = init(-5 * 3_600_000, kind="snap-start", phase="snap-start")
    stale = followed([snapshot[0], line(-5 * 3_600_000 + 1), *snapshot[1:]])
    assert ids(bare.logs[0]) == ids(stale.logs[0]) == (None, None)
    assert not {"flags"} & {*bare.logs[0], *stale.logs[0]}


@pytest.mark.parametrize(
    ("end", "error", "counted"),
    [
        ([done(10), report(12)], None, "faas.invocations"),
        ([done(3000, status="timeout", took_ms=3000), report(3001, status="timeout")], "timeout", "faas.timeouts"),
        ([done(3000, status="error", errorType="Sandbox.Timedout")], "Sandbox.Timedout", "faas.timeouts"),
        ([line(3000, f"{at(3000)} {R1} Task timed out after 3.00 seconds\n\n")], "timeout", "faas.timeouts"),
        ([done(10, status="error", errorType="Runtime.ExitError"), report(12)], "Runtime.ExitError", "faas.errors"),
        ([done(10, status="failure"), report(12, status="failure")], "failure", "faas.errors"),
        (
            [line(8, "[ERROR] KeyError: 'x'\rTraceback (most recent call last):\r"), done(10), report(12)],
            *("KeyError", "faas.errors"),
        ),
        (
            [line(8, {"errorType": "KeyError", "errorMessage": "'x'", "requestId": R1}), done(10), report(12)],
            *("KeyError", "faas.errors"),
        ),
        (
            [line(8, {"errorType": "KeyError", "errorMessage": "x", "logger": "shop"}), done(10), report(12)],
            *(None, "faas.invocations"),
        ),
        (
            # As Node.js's and .NET's runtimes write what a function logs with an error beside its words.
            [line(8, {"errorType": "E", "errorMessage": "x", "message": "caught E", "level": "ERROR"}), done(10)],
            *(None, "faas.invocations"),
        ),
        (
            [line(8, {"level": "ERROR", "message": "no: a.E\na.BError: no\n\tat c.D"}), done(10)],
            None,
            "faas.invocations",
        ),
        (
            [line(8, {"level": "ERROR", "message": "no: a.BError\na.BError: no\n\tat c.D(E.java:1)"}), done(10)],
            *("a.BError", "faas.errors"),
        ),
    ],
    ids=[
        *(
            "success",
            "timeout",
            "timeout, by its type",
            "timeout, told by the line alone",
            "crash",
            "failure",
            "raised, text",
            "raised, JSON",
            "logged by the function itself",
        ),
        *("logged with words", "logged with a stack trace", "raised, Java's JSON"),
    ],
)
def test_status_tells_how_it_went(end: list[Any], error: str | None, counted: str) -> None:
    """From status, error type, and what the runtime itself says of an exception that nothing caught."""
    seen = followed([start(0), *end], is_final=True)
    span = only(seen)
    assert attributes(span).get("error.type") == error
    assert span["status"]["code"] == ("STATUS_CODE_ERROR" if error else "STATUS_CODE_OK")
    counters = {name: seen.metric(name) for name in ("faas.invocations", "faas.errors", "faas.timeouts")}
    assert counters == {name: 1 if name == counted else None for name in counters}


def test_an_invocation_that_is_never_reported_gets_its_span_at_the_end() -> None:
    """Not before: its report may be late."""
    story = [start(0), line(5), done(3000, status="timeout", took_ms=3000)]
    waiting = followed(story)
    assert waiting.spans == []
    assert len(waiting.context.open) == 1
    last = followed([], context=waiting.context, is_final=True)
    span = only(last)
    assert (span["startTimeUnixNano"], span["endTimeUnixNano"]) == (ns(0), ns(3000))
    assert span["status"]["code"] == "STATUS_CODE_ERROR"
    assert last.metric("faas.timeouts") is None  # it was counted when it was told
    assert last.context.open == ()


def test_an_invocation_of_which_only_the_start_is_known_failed() -> None:
    """The environment ended under it."""
    seen = followed([start(0), line(5)], is_final=True)
    assert attributes(only(seen))["error.type"] == "unreported"
    assert seen.metric("faas.errors") == 1


def test_a_report_that_comes_to_the_next_environment_makes_the_same_span_and_counts_nothing_twice() -> None:
    """After a reset: the ids are the same, so a backend knows the two for one."""
    before = followed([start(0), done(10, status="timeout")], is_final=True)
    after = followed([report(12, status="timeout", tracing=tracing(), took_ms=12)])
    assert [span["spanId"] for span in after.servers()] == [span["spanId"] for span in before.servers()]
    assert only(after)["startTimeUnixNano"] == ns(0)
    assert (before.metric("faas.timeouts"), after.metric("faas.timeouts")) == (1, None)
    assert after.metric("aws.lambda.billed_duration") == (1, 0.012)


@pytest.mark.parametrize(
    "story",
    [
        [done(10, status="error", errorType="Runtime.OutOfMemory"), report(12, status="error")],
        [
            done(10, status="error", errorType="Runtime.ExitError"),
            report(12, status="error", metrics={"maxMemoryUsedMB": 128}),
        ],
        [line(8, "[ERROR] MemoryError\rTraceback (most recent call last):\r"), done(10), report(12)],
        [
            line(8, "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n"),
            *(done(10, status="error"), report(12, status="error")),
        ],
        [line(8, "fatal error: runtime: out of memory\n"), done(10, status="error"), report(12, status="error")],
        [
            line(8, "x: java.lang.OutOfMemoryError\njava.lang.OutOfMemoryError: Java heap space\n\tat a.b.C(D.java)\n"),
            *(done(10), report(12)),
        ],
        [
            line(8, f"RequestId: {R1} Error: Runtime exited with error: signal: killed\nRuntime.ExitError\n"),
            *(done(10, status="error"), report(12, status="error")),
        ],
    ],
    ids=["error type", "memory used equals size", "Python", "Node.js", "Go", "Java", "killed"],
)
def test_out_of_memory_is_told_by_whatever_sign_there_is(story: list[Any]) -> None:
    seen = followed([start(0), *story])
    assert seen.metric("aws.lambda.out_of_memory") == 1
    assert seen.metric("faas.errors") == 1
    assert attributes(only(seen))["aws.lambda.out_of_memory"] is True


def test_a_success_that_used_all_memory_is_not_out_of_memory() -> None:
    seen = followed(
        [start(0), line(5, "no memory left, almost\n"), done(10), report(12, metrics={"maxMemoryUsedMB": 128})]
    )
    assert seen.metric("aws.lambda.out_of_memory") is None


# Flavours.


def test_provisioned_concurrency_is_no_cold_start() -> None:
    """Its init is a span, but nobody waited for it."""
    seen = followed([*init(-60_000, kind="provisioned-concurrency"), *invocation(0)])
    assert [span["name"] for span in seen.servers()] == ["shop init", "shop"]
    assert attributes(seen.servers()[1])["faas.coldstart"] is False
    assert seen.metric("faas.coldstarts") is None
    assert seen.metric("faas.init_duration") == (1, 0.17)


def test_a_restore_is_a_span_and_a_cold_start() -> None:
    """SnapStart: the init is that of the snapshot, which every copy tells again, under one id."""
    snapshot = init(-1000, kind="snap-start", phase="snap-start")
    one, other = (followed([*snapshot, *restore(-200), *invocation(0)], [line(n)]) for n in (1, 2))
    made, restored, first = one.servers()
    assert [span["name"] for span in (made, restored, first)] == ["shop init", "shop restore", "shop"]
    assert (restored["startTimeUnixNano"], restored["endTimeUnixNano"]) == (ns(-200), ns(-50))
    assert attributes(first)["faas.coldstart"] is True
    assert first["links"][0]["spanId"] == restored["spanId"]
    assert one.metric("aws.lambda.restore_duration") == (1, 0.15)
    assert one.metric("faas.init_duration") is None
    assert one.metric("faas.coldstarts") == 1
    assert made["spanId"] == other.servers()[0]["spanId"]


def test_the_init_of_a_stale_snapshot_is_recognised() -> None:
    """Told again hours after it happened: no span, no metric, no beginning for counts."""
    hours_ms = -5 * 3_600_000
    seen = followed([*init(hours_ms, kind="snap-start", phase="snap-start"), *restore(-200), *invocation(0)])
    assert [span["name"] for span in seen.servers()] == ["shop restore", "shop"]
    assert all(int(point["startTimeUnixNano"]) >= int(ns(-300)) for point in seen.metrics[0]["sum"]["dataPoints"])


def test_a_restore_that_fails_is_an_error() -> None:
    span = only(followed(restore(0, status="failure", errorType="RestoreError")))
    assert (attributes(span)["error.type"], span["status"]["code"]) == ("RestoreError", "STATUS_CODE_ERROR")


def test_an_init_that_fails_is_followed_by_one_inside_the_invocation() -> None:
    """Two spans, one of them an error; one cold start."""
    failed = init(-500, status="error", errorType="Runtime.ImportModuleError")
    seen = followed([*failed, *init(-300, phase="invoke"), *invocation(0)])
    first, second, served = seen.servers()
    assert attributes(first)["error.type"] == "Runtime.ImportModuleError"
    assert (attributes(second)["aws.lambda.phase"], second["status"]) == ("invoke", OK)
    assert attributes(served)["faas.coldstart"] is True
    assert (seen.metric("faas.coldstarts"), seen.metric("faas.init_duration")[0]) == (1, 2)


def test_an_init_that_never_ends_gets_its_span_at_the_end() -> None:
    span = only(followed(init(0)[:1], is_final=True))
    assert (span["name"], attributes(span)["error.type"]) == ("shop init", "unreported")


def test_on_managed_instances_invocations_interleave() -> None:
    """No runtimeDone; a JSON line belongs to the request it names, any other to none."""
    cold = init(-200, kind="lambda-managed-instances")
    seen = followed(
        [
            *(cold[0], line(-190, {"message": "loading"}), *cold[1:]),
            start(0, R1),
            start(1, R2, sampled=None, tracing=tracing(span_id="1111111111111111")),
            line(2, {"message": "a", "requestId": R1}),
            line(3, {"message": "b", "requestId": R2}),
            line(4, "from whom?\n"),
            said(20, "report", requestId=R2, status="success", metrics={"durationMs": 19.5}),
            said(30, "report", requestId=R1, status="error", errorType="Function.Unknown", metrics={"durationMs": 30}),
        ],
        more=MANAGED,
    )
    told = [(attributes(log).get("faas.invocation_id"), log.get("spanId")) for log in seen.logs]
    loaded, *served = seen.servers()
    assert told == [(None, loaded["spanId"]), (R1, SPAN_ID), (R2, "1111111111111111"), (None, None)]
    spans = {attributes(span)["faas.invocation_id"]: span for span in served}
    assert (spans[R1]["startTimeUnixNano"], spans[R2]["endTimeUnixNano"]) == (ns(0), ns(20))
    assert attributes(spans[R1])["error.type"] == "Function.Unknown"
    assert (seen.metric("faas.invocations"), seen.metric("faas.errors")) == (1, 1)
    assert seen.metric("faas.invoke_duration") == (2, 0.0495)


def test_tenant_and_durable_members_are_attributes() -> None:
    """What a record says that nobody has heard of, too."""
    durable = {"executionArn": "arn:…", "attempt": 2}
    seen = followed(
        [start(0, tenantId="t-1", durableExecution=durable, functionArn="arn:f"), done(10), report(12, odd=[1])]
    )
    found = attributes(only(seen))
    assert found["aws.lambda.tenant_id"] == "t-1"
    assert found["aws.lambda.durable_execution"] == durable
    assert found["aws.lambda.invoked_arn"] == "arn:f"
    assert found["aws.lambda.odd"] == [1]


def test_the_logs_api_tells_of_an_init_in_the_report_only() -> None:
    """2020-08-15 has neither init events nor runtimeDone, and a crash is a platform.fault."""
    cold = report(12, metrics={"initDurationMs": 792.41})
    del cold["record"]["status"]
    seen = followed([start(0), said(10, "end", requestId=R1), cold])
    assert attributes(only(seen))["faas.coldstart"] is True
    assert (seen.metric("faas.coldstarts"), seen.metric("faas.init_duration")) == (1, (1, 0.79241))
    assert seen.metric("faas.invoke_duration") == (1, 0.012)
    fault = {**said(10, "fault"), "record": f"RequestId: {R1}\tStatus: error\tErrorType: Runtime.ExitError\n"}
    crashed = followed([start(0), fault, report(12)])
    assert attributes(only(crashed))["error.type"] == "Runtime.ExitError"


# What a replaced shipper goes on with.


@given(st.integers(0, 8), st.booleans())
def test_a_shipper_replaced_at_any_event_goes_on_as_if_nothing_had_happened(cut: int, is_final: bool) -> None:  # noqa: FBT001
    """Spans and metrics of two halves are those of the whole; the state travels in the report."""
    story = [*init(-200), *invocation(0), start(20, R2), done(30, R2, status="timeout")]
    whole = followed(story, is_final=is_final)
    first = followed(story[:cut])
    second = followed(story[cut:], context=first.context, is_final=is_final)
    # An init without an origin of its own is named by its batch.
    assert [s["name"] for s in first.spans + second.spans] == [s["name"] for s in whole.spans]
    ours = [s["spanId"] for s in first.spans + second.spans if s["name"] == "shop"]
    assert ours == [s["spanId"] for s in whole.spans if s["name"] == "shop"]
    assert len(packed(second.context)) <= MOST_PACKED


def test_a_context_stays_within_its_packet() -> None:
    """Whatever is open: parts go first, then the oldest; never more than a packet bears."""
    big = {f"aws.lambda.{n}": "x" * 40 for n in range(9)}
    many = tuple(Invocation(request_id=f"{n:036}", trace_id=TRACE_ID, attributes=big) for n in range(200))
    context = Context(request_id=R1, open=many, meters=Meters(1, 2, {4: [1] * 30}))
    data = packed(context)
    assert len(data) <= MOST_PACKED
    kept = unpacked(data)
    assert kept.open[-1].request_id == many[-1].request_id
    assert (kept.request_id, kept.meters) == (R1, context.meters)
    assert packed(NOTHING) == b""
    assert len(packed(Context(open=many[:2]))) < 1200


def test_invocations_whose_reports_are_lost_do_not_pile_up() -> None:
    """The oldest gets its span as it is known, and counts as failed if its end was never told."""
    ids = [f"{n:08}-0000-0000-0000-000000000000" for n in range(10)]
    story = [one for n, i in enumerate(ids) for one in (start(n, i, sampled=None), done(n, i))]
    seen = followed(story)
    assert [attributes(span)["faas.invocation_id"] for span in seen.servers()] == ids[:6]
    assert len(seen.context.open) == 4
    assert seen.metric("faas.invocations") == 10
    managed = followed([start(n, f"{n:036}") for n in range(300)], more=MANAGED)
    assert len(managed.servers()) == 44


def test_a_record_with_much_to_say_does_not_fill_a_packet() -> None:
    """As many members are kept as may travel with every report, from the first."""
    much = {f"member{n}": "x" * 50 for n in range(100)}
    context = followed([start(0, **much)]).context
    assert len(packed(context)) < 1000
    kept = context.open[0].attributes
    assert 3 < len(kept) < 10
    assert kept["aws.lambda.member0"] == "x" * 50
