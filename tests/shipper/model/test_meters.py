"""Counts and distributions: what is measured, when it leaves, and that it adds up."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.ledger import INTENDED
from shipper.model import meters
from shipper.model.context import Context, Meters
from tests.shipper.following import MANAGED, Seen, followed
from tests.shipper.story import BEGIN_NS, R1, R2, done, init, invocation, line, ns, report, start

SECOND_MS = 1000


def test_a_healthy_invocation_measures_what_the_conventions_name() -> None:
    """Names, units and values as a backend has them."""
    seen = followed([*init(-200), *invocation(0)])
    assert {metric["name"]: metric["unit"] for metric in seen.metrics} == {
        "faas.invocations": "{invocation}",
        "faas.coldstarts": "{coldstart}",
        "faas.invoke_duration": "s",
        "faas.init_duration": "s",
        "faas.mem_usage": "By",
        "aws.lambda.billed_duration": "s",
        "aws.lambda.produced_bytes": "By",
        "aws.lambda.extension_overhead": "s",
    }
    assert seen.metric("faas.invocations") == seen.metric("faas.coldstarts") == 1
    assert seen.metric("faas.invoke_duration") == (1, 0.01)
    assert seen.metric("faas.init_duration") == (1, 0.17)
    assert seen.metric("faas.mem_usage") == (1, 67 * 1024 * 1024)
    assert seen.metric("aws.lambda.billed_duration") == (1, 0.012)
    assert seen.metric("aws.lambda.produced_bytes") == (1, 40)
    assert seen.metric("aws.lambda.extension_overhead") == (1, 0.002)


def test_a_point_says_what_it_spans() -> None:
    """From the environment's beginning to the last measurement; delta unless asked otherwise."""
    (count,) = (m["sum"] for m in followed([*init(-200), *invocation(0)]).metrics if m["name"] == "faas.invocations")
    assert count["aggregationTemporality"] == "AGGREGATION_TEMPORALITY_DELTA"
    assert count["isMonotonic"] is True
    (point,) = count["dataPoints"]
    assert (point["startTimeUnixNano"], point["timeUnixNano"]) == (ns(-200), ns(12))


@pytest.mark.parametrize("story", [invocation(0), [start(0), report(12)], [*init(-200), *invocation(0)]])
def test_no_point_is_without_extent(story: list[object]) -> None:
    """A backend that derives rates divides by it: the first begins with the init, or the first invocation."""
    for metric in followed(story).metrics:
        for point in (metric.get("sum") or metric["histogram"])["dataPoints"]:
            assert int(point["startTimeUnixNano"]) < int(point["timeUnixNano"])


def test_no_point_ends_before_it_begins() -> None:
    """Where the report of one from before comes after the first start."""
    for metric in followed([start(107, R2), report(57, R1)]).metrics:
        for point in (metric.get("sum") or metric["histogram"])["dataPoints"]:
            assert int(point["startTimeUnixNano"]) <= int(point["timeUnixNano"])


def many(first: int, last: int) -> list[object]:
    """An invocation a second."""
    ids = [f"{n:08}-0000-0000-0000-000000000000" for n in range(first, last)]
    return [one for n, request_id in enumerate(ids, first) for one in invocation(n * SECOND_MS, request_id)]


def times(seen: Seen) -> tuple[str, str]:
    point = seen.metrics[0]["sum"]["dataPoints"][0]
    return point["startTimeUnixNano"], point["timeUnixNano"]


def test_counts_leave_once_an_interval_and_nothing_is_counted_twice() -> None:
    """The first at once; what is measured meanwhile travels in the context, and leaves with the last shipment."""
    first = followed(many(0, 1))
    assert first.metric("faas.invocations") == 1
    soon = followed(many(1, 5), context=first.context)
    assert soon.metrics == []
    due = followed(many(5, 12), context=soon.context)
    assert due.metric("faas.invocations") == 11
    assert times(due)[0] == times(first)[1]
    rest = followed(many(12, 14), context=due.context)
    assert rest.metrics == []
    last = followed([line(14 * SECOND_MS)], context=rest.context, is_final=True)
    assert last.metric("faas.invocations") == 2
    assert times(last) == (times(due)[1], ns(13 * SECOND_MS + 12))
    assert followed([], context=last.context, is_final=True).metrics == []


@pytest.mark.parametrize("preference", ["cumulative", "CUMULATIVE"])
def test_cumulative_counts_begin_with_the_environment(preference: str) -> None:
    """OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE means what it means everywhere."""
    more = {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": preference}
    first = followed(many(0, 1), more=more)
    second = followed(many(20, 22), context=first.context, more=more)
    assert second.metric("faas.invocations") == 3
    assert times(second)[0] == times(first)[0]
    temporality = second.metrics[0]["sum"]["aggregationTemporality"]
    assert temporality == "AGGREGATION_TEMPORALITY_CUMULATIVE"


def test_low_memory_is_delta_for_counters_and_histograms() -> None:
    more = {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "lowmemory"}
    kinds = {
        (m.get("sum") or m["histogram"])["aggregationTemporality"] for m in followed(many(0, 1), more=more).metrics
    }
    assert kinds == {"AGGREGATION_TEMPORALITY_DELTA"}


def test_the_extensions_own_ledger_is_exported_beside() -> None:
    """As differences from what was exported last; drops by reason."""
    counts = {"accepted": 50, "shipped": 40, "dropped.refused": 2, "dropped.drop": 8, "wire_bytes": 0, "unheard_of": 3}
    first = followed(many(0, 1), ledger=counts)
    assert first.metric("tailrace.events.accepted") == 50
    assert first.metric("tailrace.events.dropped") == 10
    assert first.metric("tailrace.requests.size") is None
    dropped = next(m for m in first.metrics if m["name"] == "tailrace.events.dropped")
    reasons = {p["attributes"][0]["value"]["stringValue"]: int(p["asInt"]) for p in dropped["sum"]["dataPoints"]}
    assert reasons == {"refused": 2, "drop": 8}
    later = {**counts, "accepted": 70, "shipped": 70}
    second = followed(many(20, 21), context=first.context, ledger=later)
    assert (second.metric("tailrace.events.accepted"), second.metric("tailrace.events.shipped")) == (20, 30)
    assert second.metric("tailrace.events.dropped") is None


def test_bytes_that_were_dropped_are_exported_by_reason() -> None:
    """Beside the events; what the platform lost likewise."""
    seen = followed(many(0, 1), ledger={"dropped_bytes.refused": 200, "lost_by_platform_bytes": 77})
    assert seen.metric("tailrace.events.dropped.size") == 200
    assert seen.metric("tailrace.events.lost_by_platform.size") == 77
    assert {m["unit"] for m in seen.metrics if m["name"].endswith(".size")} == {"By"}


def test_what_a_report_has_no_room_for_is_counted_all_the_same() -> None:
    """On Managed Instances more are open at a time than another shipper can be told of.

    What another environment has counted, one before a reset, is not counted again.
    """
    ids = [f"{n:08}-0000-0000-0000-000000000000" for n in range(40)]
    begun = [start(n, request_id) for n, request_id in enumerate(ids)]
    ended = [report(100 + n, one, status="error" if n % 2 else "success") for n, one in enumerate(ids)]
    seen = followed(begun, more=MANAGED)
    assert len(seen.context.open) < 40
    later = followed(ended, [report(200, R1)], context=seen.context, is_final=True, more=MANAGED)
    assert (later.metric("faas.invocations"), later.metric("faas.errors")) == (20, 20)
    assert later.metric("faas.invoke_duration") == (40, 0.48)
    assert later.context.forgotten == 0


def test_metrics_that_are_not_asked_for_are_not_measured() -> None:
    seen = followed(many(0, 2), TAILRACE_SIGNALS="logs,traces")
    assert (seen.metrics, seen.context.meters) == ([], Meters())
    assert len(seen.servers()) == 2


def test_metrics_alone_make_neither_lines_nor_spans() -> None:
    seen = followed(many(0, 2), TAILRACE_SIGNALS="metrics")
    assert (seen.logs, seen.spans, seen.dropped) == ([], [], {"signals": 2})
    assert seen.metric("faas.invocations") == 2


@given(st.lists(st.floats(0, 2000) | st.sampled_from([0.001, 0.005, 900.0, 1e-9]), min_size=1, max_size=30))
def test_a_histogram_adds_up(values: list[float]) -> None:
    """Count, sum, least and most, and each value in the bucket whose bound is the next."""
    state = Meters()
    for value in values:
        state = meters.measured(state, BEGIN_NS, (meters.INVOKE_DURATION, value))
    count, total, least, most, *buckets = state.values[meters.INVOKE_DURATION]
    assert (count, least, most) == (len(values), min(values), max(values))
    assert total == pytest.approx(math.fsum(values))
    bounds = (*meters.SECONDS, math.inf)
    lower = -math.inf
    for bound, bucket in zip(bounds, buckets, strict=True):
        assert bucket == sum(lower < value <= bound for value in values)
        lower = bound


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_what_is_no_measurement_is_none(value: float) -> None:
    state = meters.measured(Meters(), 1, (meters.INVOKE_DURATION, value))
    assert bool(state.values) == (0 <= value < math.inf)


def test_buckets_tell_milliseconds_from_minutes() -> None:
    """Of the conventions' own none is missing, and they go on to Lambda's longest timeout."""
    conventional = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
    assert set(conventional) < set(meters.SECONDS)
    assert (meters.SECONDS[0], meters.SECONDS[-1]) == (0.001, 900)
    assert list(meters.SECONDS) == sorted(meters.SECONDS)


def test_all_that_is_measured_fits_a_context() -> None:
    """Every instrument with large counts, two open invocations, and a ledger."""
    from shipper.model.context import MOST_PACKED, packed, unpacked

    values: dict[int, list[int | float]] = {
        n: [10**6] * (meters.HEAD + len(i.bounds) + 1 if i.bounds else 1) for n, i in enumerate(meters.TABLE)
    }
    reasons = (*INTENDED, "unmappable", "damaged", "refused", "too_large", "rejected", "unsupported")
    ledger = {f"{what}.{reason}": 10**6 for what in ("dropped", "dropped_bytes") for reason in reasons}
    opened = followed([start(0), done(10), start(20, "r2"), report(30)]).context.open
    context = Context(request_id=R1, open=opened, meters=Meters(BEGIN_NS, BEGIN_NS, values, ledger, BEGIN_NS))
    assert len(packed(context)) <= MOST_PACKED
    assert unpacked(packed(context)) == context
