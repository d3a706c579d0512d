"""Spans in protobuf: what OpenTelemetry's own definitions read is what the JSON says."""

from hypothesis import given
from hypothesis import strategies as st

from shipper.destinations.otlp import json_spans, protobuf_spans
from shipper.destinations.otlp.protobuf_values import field
from shipper.model.context import Child
from shipper.model.span import ERROR, SERVER, Span, SpanData
from tests.sandbox.otlp import from_json, from_protobuf, without_nulls

TRACE, SPAN, PARENT = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174", "0102030405060708"

TEXTS = st.text(max_size=200)
TIMES = st.integers(0, 2**64 - 1)
ATTRIBUTES = st.dictionaries(
    TEXTS,
    st.one_of(TEXTS, st.integers(-(2**70), 2**70), st.floats(), st.booleans(), st.none(), st.lists(TEXTS, max_size=3)),
    max_size=4,
)


def ids(digits: int) -> st.SearchStrategy[str]:
    return st.binary(min_size=digits // 2, max_size=digits // 2).map(bytes.hex)


SPANS = st.builds(
    Span,
    name=TEXTS,
    trace_id=ids(32),
    span_id=ids(16),
    parent_id=st.one_of(st.just(""), ids(16)),
    is_sampled=st.booleans(),
    start_ns=TIMES,
    end_ns=TIMES,
    error=TEXTS,
    message=TEXTS,
    attributes=ATTRIBUTES,
    children=st.lists(st.builds(Child, TEXTS, TIMES, TIMES, ATTRIBUTES), max_size=3).map(tuple),
    link=st.one_of(st.just(("", "")), st.tuples(ids(32), ids(16))),
)


def in_protobuf(records: list[bytes]) -> bytes:
    """A request without resource and scope."""
    return field(b"\x0a", field(b"\x12", b"".join(records)))


def in_json(records: list[bytes]) -> bytes:
    return b'{"resourceSpans":[{"scopeSpans":[{"spans":[%b]}]}]}' % b",".join(records)


def test_a_span_is_these_bytes() -> None:
    """As opentelemetry-proto writes it."""
    span = SpanData(
        trace_id=TRACE,
        span_id=SPAN,
        parent_id=PARENT,
        flags=0x301,
        name="a",
        kind=SERVER,
        start_ns=1,
        end_ns=2,
        status=ERROR,
        message="m",
        link=(TRACE, SPAN),
    )
    assert in_protobuf([protobuf_spans.encoded_alone(span)]).hex() == (
        "0a6c126a12680a105b8efff798038103d269b633813fc60c1208eee19b7ec3c1b174220801020304050607082a0161300239010000"
        "00000000004102000000000000006a1c0a105b8efff798038103d269b633813fc60c1208eee19b7ec3c1b1747a0512016d1802850101"
        "030000"
    )


@given(SPANS)
def test_a_span_and_its_parts_are_what_the_json_encoder_says(span: Span) -> None:
    """Field by field, zeros and what is empty included."""
    protobuf = from_protobuf("traces", in_protobuf([protobuf_spans.encoded(span)]))
    assert protobuf == without_nulls(from_json("traces", in_json([json_spans.encoded(span)])))
    assert len(protobuf.resource_spans[0].scope_spans[0].spans) == 1 + len(span.children)
