"""Metrics in CloudWatch's Embedded Metric Format: what a line of it becomes, and what stays a line."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.shipper.following import Seen, attributes, followed
from tests.shipper.story import BEGIN_NS, R1, at, done, line, ns, report, start

AT_MS = BEGIN_NS // 1_000_000 + 7

# Unit, by CloudWatch's name, and by UCUM.
UNITS = [
    ("Seconds", "s"),
    ("Milliseconds", "ms"),
    ("Microseconds", "us"),
    ("Bytes", "By"),
    ("Kilobytes", "kBy"),
    ("Megabytes", "MBy"),
    ("Gigabytes", "GBy"),
    ("Terabytes", "TBy"),
    ("Bits", "bit"),
    ("Kilobits", "kbit"),
    ("Terabits", "Tbit"),
    ("Percent", "%"),
    ("Count", "1"),
    ("None", "1"),
    ("Bytes/Second", "By/s"),
    ("Megabits/Second", "Mbit/s"),
    ("Count/Second", "1/s"),
    ("Furlongs", "Furlongs"),
    ("Bytes/Second/Second", "Bytes/Second/Second"),
]


def emf(values: dict[str, Any], *defined: tuple[str, str], dimensions: Any = (("service",),), **more: Any) -> Any:
    """A line as Powertools prints it."""
    metrics = [{"Name": name, "Unit": unit} for name, unit in defined]
    directive = {"Namespace": "shop", "Dimensions": dimensions, "Metrics": metrics}
    return {"_aws": {"Timestamp": AT_MS, "CloudWatchMetrics": [directive]}, "service": "till", **values, **more}


def told(seen: Seen) -> dict[str, tuple[str, Any, dict[str, Any]]]:
    """Metrics of the function's own: by name, their unit, value or values, and attributes."""
    found = {}
    for one in seen.metrics:
        if not one["name"].startswith(("faas.", "aws.lambda.", "tailrace.")):
            (kind,) = {"sum", "gauge", "histogram"} & set(one)
            (point,) = one[kind]["dataPoints"]
            number = point.get("asInt", point.get("asDouble"))
            value = (kind, number) if kind != "histogram" else (kind, int(point["count"]), point["sum"], point["max"])
            found[one["name"]] = (one.get("unit", ""), value, attributes(point))
    return found


ATTRIBUTES = {"aws.cloudwatch.namespace": "shop", "service": "till"}


@pytest.mark.parametrize("is_text", [False, True], ids=["an object", "text"])
def test_a_line_becomes_metrics_with_their_dimensions_and_units(*, is_text: bool) -> None:
    """And nothing else, where it says nothing else: the dimensions are told."""
    record: Any = emf({"orders": 2, "took": 12.5}, ("orders", "Count"), ("took", "Milliseconds"))
    record = json.dumps(record) + "\n" if is_text else record
    seen = followed([start(0), line(8, record), done(10), report(12)])
    assert told(seen) == {
        "orders": ("1", ("sum", "2"), ATTRIBUTES),
        "took": ("ms", ("histogram", 1, 12.5, 12.5), ATTRIBUTES),
    }
    assert (seen.logs, seen.events, seen.dropped) == ([], 4, {})
    (orders,) = (one for one in seen.metrics if one["name"] == "orders")
    assert (orders["sum"]["isMonotonic"], orders["sum"]["aggregationTemporality"]) == (
        True,
        "AGGREGATION_TEMPORALITY_DELTA",
    )
    (point,) = orders["sum"]["dataPoints"]
    assert (point["startTimeUnixNano"], point["timeUnixNano"]) == (ns(0), ns(7))


def test_what_a_line_says_beside_its_metrics_stays_a_line() -> None:
    """Members that are neither a metric nor a dimension; a metric's value is told once."""
    record = emf({"orders": 2}, ("orders", "Count"), requestId=R1, level="INFO", message="paid", order={"id": 7})
    (log,) = followed([start(0), line(8, record)]).logs
    found = attributes(log)
    del found["log.record.uid"]
    assert (log["body"], found) == (
        {"stringValue": "paid"},
        {"service": "till", "order": {"id": 7}, "faas.invocation_id": R1},
    )


@pytest.mark.parametrize("is_whole", [True, False], ids=["alone", "with more"])
@pytest.mark.parametrize(
    "wrapped",
    [
        lambda text: f"{at(6)}\t{R1}\tINFO\t{text}\n",
        lambda text: {"timestamp": at(6), "level": "INFO", "requestId": R1, "message": text},
        lambda text: {"timestamp": at(6), "level": "INFO", "requestId": R1, "message": json.loads(text)},
        lambda text: json.dumps({"timestamp": at(6), "level": "INFO", "requestId": R1, "message": text}),
    ],
    ids=["text", "JSON, text in it", "JSON, an object in it", "JSON as text"],
)
def test_a_line_may_stand_behind_what_a_runtime_writes_and_in_its_json(wrapped: Any, *, is_whole: bool) -> None:
    """What it says beside its metrics keeps what was around it."""
    more: Any = {} if is_whole else {"level": "warn", "message": "paid", "order": 7}
    record = wrapped(json.dumps(emf({"orders": 2}, ("orders", "Count"), service="t\u00ea", **more), ensure_ascii=False))
    seen = followed([start(0), line(8, record)], TAILRACE_REDACT="blue")
    assert told(seen) == {"orders": ("1", ("sum", "2"), {**ATTRIBUTES, "service": "t\u00ea"})}
    found = [(log["body"]["stringValue"], log["severityText"], log["timeUnixNano"]) for log in seen.logs]
    assert found == ([] if is_whole else [("paid", "warn", ns(6))])
    kept = [
        {name: attributes(log).get(name) for name in ("service", "order", "faas.invocation_id")} for log in seen.logs
    ]
    assert kept == ([] if is_whole else [{"service": "t\u00ea", "order": 7, "faas.invocation_id": R1}])


@pytest.mark.parametrize(("unit", "ours"), UNITS)
def test_units_are_those_of_ucum(unit: str, ours: str) -> None:
    """One that nobody has heard of stays as it is."""
    assert told(followed([line(8, emf({"n": 2}, ("n", unit)))]))["n"][0] == ours


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (1.5, "Count", ("sum", 1.5)),
        ([1, 2, 3], "Count", ("sum", "6")),
        (-1, "Count", ("sum", "-1")),
        ([1, 2.5], "Seconds", ("histogram", 2, 3.5, 2.5)),
        (0, "None", ("histogram", 1, 0.0, 0.0)),
    ],
)
def test_a_value_is_a_number_or_a_list_of_them(value: Any, unit: str, shown: Any) -> None:
    """What is counted is a sum, anything else a distribution, as CloudWatch has it."""
    assert told(followed([line(8, emf({"n": value}, ("n", unit)))]))["n"][1] == shown


@pytest.mark.parametrize(
    ("dimensions", "expected"),
    [
        ([], {}),
        ([[]], {}),
        ([["service"], ["service", "region"]], {"service": "till", "region": "north"}),
        ([["service"], ["region"]], {"service": "till", "region": "north"}),
        ([["absent"]], {}),
        ([["version"]], {"version": "7"}),
    ],
)
def test_each_dimension_is_an_attribute_once(dimensions: Any, expected: dict[str, str]) -> None:
    """CloudWatch makes a metric of each set of them; here one point has all, so that a sum over it counts once."""
    record = emf({"n": 2}, ("n", "Count"), dimensions=dimensions, region="north", version=7)
    found = told(followed([line(8, record)]))["n"][2]
    assert found == {"aws.cloudwatch.namespace": "shop", **expected}


def test_a_duration_has_the_buckets_of_one() -> None:
    (one,) = (m for m in followed([line(8, emf({"n": [1, 40]}, ("n", "Milliseconds")))]).metrics if m["name"] == "n")
    (point,) = one["histogram"]["dataPoints"]
    assert point["explicitBounds"][:5] == [1.0, 2.5, 5.0, 10.0, 25.0]
    assert [int(count) for count in point["bucketCounts"][:6]] == [1, 0, 0, 0, 0, 1]


def test_where_values_count_since_the_beginning_they_are_gauges() -> None:
    """Nobody can keep sums for names and dimensions without bound."""
    record = emf({"orders": [1, 2], "took": [5, 7]}, ("orders", "Count"), ("took", "Milliseconds"))
    seen = followed([line(8, record)], more={"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "cumulative"})
    assert {name: value for name, (_, value, _) in told(seen).items()} == {
        "orders": ("gauge", "3"),
        "took": ("gauge", "7"),
    }


SOUND = emf({"n": 2}, ("n", "Count"))


@pytest.mark.parametrize(
    "environ", [{"TAILRACE_EMF": "0"}, {"TAILRACE_SIGNALS": "logs"}, {"TAILRACE_SIGNALS": "logs,traces"}], ids=str
)
def test_a_line_stays_one_where_it_is_to_or_no_metrics_are_taken(environ: dict[str, str]) -> None:
    """All of it."""
    seen = followed([line(8, SOUND)], more=environ)
    assert (len(seen.logs), told(seen)) == (1, {})
    found = {one["key"] for one in seen.logs[0]["body"]["kvlistValue"]["values"]}
    assert found == {"_aws", "service", "n"}


@pytest.mark.parametrize(
    "record",
    [
        {"_aws": "CloudWatchMetrics"},
        {"_aws": {"CloudWatchMetrics": []}, "n": 2},
        {"_aws": {"CloudWatchMetrics": [{"Namespace": "shop", "Metrics": [{"Name": "absent"}]}]}, "n": 2},
        {"_aws": {"CloudWatchMetrics": [{"Namespace": "shop", "Metrics": [{"Unit": "Count"}]}]}, "n": 2},
        {**SOUND, "n": "2"},
        {**SOUND, "n": True},
        {**SOUND, "n": None},
        {**SOUND, "n": []},
        {**SOUND, "n": ["2"]},
        {**SOUND, "n": {"Values": [1]}},
        {**SOUND, "n": 10**30},
        {"message": "it is about CloudWatchMetrics"},
        "CloudWatchMetrics\n",
        '{"CloudWatchMetrics\n',
    ],
    ids=str,
)
def test_what_is_not_of_this_format_stays_as_it_is(record: Any) -> None:
    seen = followed([line(8, record)])
    assert (len(seen.logs), told(seen), seen.events, seen.said) == (1, {}, 1, [])


def test_rules_stop_lines_and_no_metrics() -> None:
    """What they stop is counted; the metrics are taken."""
    record = emf({"orders": 2}, ("orders", "Count"), level="DEBUG", message="paid")
    seen = followed([line(8, record)], TAILRACE_MIN_LEVEL="info")
    assert (seen.logs, seen.dropped, set(told(seen))) == ([], {"min_level": 1}, {"orders"})


def test_metrics_alone_are_taken_where_lines_are_not() -> None:
    record = emf({"orders": 2}, ("orders", "Count"), message="paid")
    seen = followed([line(8, record)], TAILRACE_SIGNALS="metrics")
    assert (seen.dropped, seen.events, set(told(seen))) == ({}, 1, {"orders"})


def test_what_is_redacted_is_so_in_metrics() -> None:
    """Names, dimensions and namespaces; a value in which something is to be redacted is none any more."""
    record = emf({"blue": 2, "n": 4711}, ("blue", "Count"), ("n", "Count"), service="blue", message="x")
    seen = followed([line(8, record)], TAILRACE_REDACT="blue;4711;shop")
    assert told(seen) == {"***": ("1", ("sum", "2"), {"aws.cloudwatch.namespace": "***", "service": "***"})}
    assert not any(word in str((seen.logs, told(seen))) for word in ("blue", "4711", "shop"))


def test_a_line_of_another_time_than_its_own_says_so() -> None:
    """Without a time of its own it is the event's."""
    record = emf({"n": 2}, ("n", "Count"))
    del record["_aws"]["Timestamp"]
    (one,) = (m for m in followed([line(8, record)]).metrics if m["name"] == "n")
    assert one["sum"]["dataPoints"][0]["timeUnixNano"] == ns(8)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
WORDS = st.sampled_from(["n", "service", "_aws", "", "é", "Count", "Seconds", "Bytes/Second"])
DEFINED = st.fixed_dictionaries({"Name": WORDS | ANY}, optional={"Unit": WORDS | ANY, "StorageResolution": ANY})
DIRECTIVES = st.fixed_dictionaries(
    {"Namespace": WORDS | ANY, "Metrics": st.lists(DEFINED, max_size=3) | ANY},
    optional={"Dimensions": st.lists(st.lists(WORDS, max_size=3), max_size=3) | ANY},
)
METADATA = st.fixed_dictionaries(
    {"CloudWatchMetrics": st.lists(DIRECTIVES, max_size=2) | ANY}, optional={"Timestamp": st.integers() | ANY}
)
LINES = st.builds(
    lambda metadata, rest: {**rest, "_aws": metadata}, METADATA | ANY, st.dictionaries(WORDS, ANY, max_size=4)
)


@given(LINES, st.sampled_from([{}, {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "cumulative"}]))
@settings(max_examples=40)
def test_whatever_a_line_says_what_is_made_of_it_is_valid(record: dict[str, Any], more: dict[str, str]) -> None:
    """The official definitions read it, in both encodings; it is shipped once, as a line, as metrics, or as both."""
    seen = followed([line(8, record)], more=more)
    assert (seen.events, seen.dropped, seen.said) == (1, {}, [])
    assert seen.logs or seen.metrics
