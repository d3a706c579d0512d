"""Spans in OTLP's protobuf. Source: opentelemetry/proto/trace/v1/trace.proto."""

from shipper.destinations.otlp.protobuf_values import attribute, field, fixed32, fixed64, text_field, varint
from shipper.model.span import Span, SpanData, spans_of


def encoded(span: Span) -> bytes:
    """A span and its parts, one after another: one record, so that an invocation is taken or refused whole."""
    return b"".join([encoded_alone(one) for one in spans_of(span)])


def encoded_alone(span: SpanData) -> bytes:
    """One span."""
    link = status = b""
    if span.link[0]:
        link = field(b"\x6a", _ids(*span.link))
    if span.status:
        status = field(b"\x7a", b"%b\x18%b" % (text_field(b"\x12", span.message), varint(span.status)))
    content = b"%b%b%b\x30%b\x39%b\x41%b%b%b%b\x85\x01%b" % (
        _ids(span.trace_id, span.span_id),
        field(b"\x22", bytes.fromhex(span.parent_id)) if span.parent_id else b"",
        text_field(b"\x2a", span.name),
        varint(span.kind),
        fixed64(span.start_ns),
        fixed64(span.end_ns),
        b"".join([attribute(b"\x4a", name, value) for name, value in span.attributes.items()]),
        link,
        status,
        fixed32(span.flags),
    )
    return field(b"\x12", content)


def _ids(trace_id: str, span_id: str) -> bytes:
    return field(b"\x0a", bytes.fromhex(trace_id)) + field(b"\x12", bytes.fromhex(span_id))
