"""Inits, restores, and what differs between the ways to run a function."""

from typing import Any

import pytest

from tests.shipper.following import MANAGED, attributes, followed, only
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
    restore,
    said,
    start,
    tracing,
)


def test_a_cold_start_is_a_span_of_its_own_and_the_first_invocation_points_to_it() -> None:
    seen = followed([*init(-200), *invocation(0), *invocation(20, R2)])
    cold, first, second = seen.servers()
    assert (cold["name"], cold.get("status")) == ("shop init", None)
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
    assert (attributes(second)["aws.lambda.phase"], second.get("status")) == ("invoke", None)
    assert attributes(served)["faas.coldstart"] is True
    assert (seen.metric("faas.coldstarts"), seen.metric("faas.init_duration")[0]) == (1, 2)


def test_an_init_inside_an_invocation_that_has_begun_is_part_of_it() -> None:
    """Should the start be told before it: lines belong to the invocation, which began cold."""
    inside = init(1, phase="invoke")
    failed = init(-500, status="error", errorType="Runtime.ImportModuleError")
    story = [*failed, start(0), inside[0], line(2), *inside[1:], line(200), done(210), report(212)]
    seen = followed(story)
    assert [ids(log) for log in seen.logs] == [(TRACE_ID, SPAN_ID)] * 2
    assert [attributes(log)["faas.invocation_id"] for log in seen.logs] == [R1, R1]
    _, within, served = seen.servers()
    assert attributes(served)["faas.coldstart"] is True
    assert [ids(link) for link in served["links"]] == [ids(within)]
    assert seen.metric("faas.coldstarts") == 1


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


def test_a_durable_function_says_so_in_its_init() -> None:
    """Which Lambda tells in the runtime's version, and nowhere else."""
    for version, durable in (("python:3.14.DurableFunction.v6", True), ("python:3.14.v6", None)):
        span = only(
            followed([said(0, "initStart", initializationType="on-demand", runtimeVersion=version), *init(0)[1:]])
        )
        assert attributes(span).get("aws.lambda.durable_function") is durable
        assert attributes(span)["aws.lambda.runtime_version"] == version


@pytest.mark.parametrize("first", ["initStart", "restoreStart"])
@pytest.mark.parametrize("sampled", ["1", ""])
def test_an_init_that_is_traced_lies_in_that_trace(first: str, sampled: str) -> None:
    """It, its lines, and the first invocation's link to it."""
    begun, *rest = (init if first == "initStart" else restore)(-200)
    begun["record"]["tracing"] = tracing(sampled, span_id="1" * 16)
    seen = followed([begun, line(-150), *rest, *invocation(0)])
    cold, served = seen.servers()
    assert (*ids(cold), cold["parentSpanId"]) == (TRACE_ID, "1" * 16, PARENT_ID)
    assert ids(seen.logs[0]) == ids(cold)
    assert (seen.logs[0]["flags"], cold["flags"] & 1) == (1, 1)
    assert served["links"] == [{"traceId": TRACE_ID, "spanId": "1" * 16}]
    assert "aws.lambda.tracing" not in attributes(cold)


def test_an_init_whose_trace_only_its_report_names_lies_in_it_where_nothing_else_was_told() -> None:
    (*_, told) = init(-200)
    told["record"]["tracing"] = tracing(span_id="1" * 16)
    assert ids(only(followed([told]))) == (TRACE_ID, "1" * 16)


@pytest.mark.parametrize(("setting", "has_span"), [("auto", True), ("1", True), ("0", False)])
def test_an_init_that_is_not_sampled_is_like_an_invocation(setting: str, *, has_span: bool) -> None:
    begun, *rest = init(-200)
    begun["record"]["tracing"] = tracing("0", span_id="1" * 16)
    seen = followed([begun, line(-150), *rest], TAILRACE_TRACE_UNSAMPLED=setting)
    assert len(seen.servers()) == has_span
    assert seen.dropped == ({} if has_span else {"unsampled": 1})
    assert (*ids(seen.logs[0]), seen.logs[0].get("flags", 0)) == (TRACE_ID, "1" * 16, 0)
