"""Metrics in protobuf: what OpenTelemetry's own definitions read is what the JSON says."""

from hypothesis import given
from hypothesis import strategies as st

from shipper.destinations.otlp import json_metrics, protobuf_metrics
from shipper.destinations.otlp.protobuf_values import field
from shipper.model.metrics import CUMULATIVE, DELTA, Export, Histogram, Metric, Point
from tests.sandbox.otlp import from_json, from_protobuf

TEXTS = st.text(max_size=200)
COUNTS = st.integers(0, 2**63 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
ATTRIBUTES = st.dictionaries(TEXTS, TEXTS, max_size=3)
HISTOGRAMS = st.builds(
    Histogram,
    count=COUNTS,
    total=FLOATS,
    least=FLOATS,
    most=FLOATS,
    buckets=st.lists(COUNTS, max_size=30),
    bounds=st.lists(FLOATS, max_size=30).map(tuple),
)


def metrics_of(values: st.SearchStrategy[int] | st.SearchStrategy[Histogram]) -> st.SearchStrategy[Metric]:
    return st.builds(
        Metric, TEXTS, TEXTS, TEXTS, st.lists(st.builds(Point, values, ATTRIBUTES), min_size=1, max_size=3)
    )


EXPORTS = st.builds(
    Export,
    since_ns=st.integers(0, 2**64 - 1),
    until_ns=st.integers(0, 2**64 - 1),
    temporality=st.sampled_from([DELTA, CUMULATIVE]),
    metrics=st.lists(st.one_of(metrics_of(COUNTS), metrics_of(HISTOGRAMS)), max_size=4),
)


def in_protobuf(export: Export) -> bytes:
    """A request without resource and scope."""
    return field(b"\x0a", field(b"\x12", b"".join(protobuf_metrics.encoded(export))))


def export(name: str, unit: str, value: int | Histogram) -> Export:
    return Export(since_ns=1, until_ns=2, temporality=DELTA, metrics=[Metric(name, unit, "", [Point(value)])])


def test_a_histogram_is_these_bytes() -> None:
    """As opentelemetry-proto writes it: sum, least and most are optional, so their zeros are written."""
    histogram = Histogram(count=3, total=0.0, least=0.0, most=1.0, buckets=[1, 2], bounds=(0.5,))
    assert in_protobuf(export("h", "s", histogram)).hex() == (
        "0a621260125e0a01681a01734a560a52110100000000000000190200000000000000210300000000000000290000000000000000321001"
        "0000000000000002000000000000003a08000000000000e03f59000000000000000061000000000000f03f1001"
    )


def test_a_sum_is_these_bytes() -> None:
    """As opentelemetry-proto writes it: its value is a member of a oneof, so its zero is written."""
    assert in_protobuf(export("c", "1", 0)).hex() == (
        "0a2d122b12290a01631a01313a210a1b11010000000000000019020000000000000031000000000000000010011801"
    )


@given(EXPORTS)
def test_metrics_are_what_the_json_encoder_says(export: Export) -> None:
    """Field by field, zeros and what is empty included."""
    body = b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[%b]}]}]}' % b",".join(json_metrics.encoded(export))
    assert from_protobuf("metrics", in_protobuf(export)) == from_json("metrics", body)
