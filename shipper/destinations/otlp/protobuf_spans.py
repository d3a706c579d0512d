"""Spans in OTLP's protobuf. Source: opentelemetry/proto/trace/v1/trace.proto."""

import struct

from shipper.destinations.otlp.protobuf_values import attribute, field, text_field, varint
from shipper.model.span import Span, SpanData, spans_of

# Ids of a trace and of a span have a length of their own each; kind and moments are of one size, as are the flags.
_TRACE_ID, _SPAN_ID, _PARENT_ID = b"\x0a\x10", b"\x12\x08", b"\x22\x08"
_moments = struct.Struct("<cBcQcQ").pack
_flags = struct.Struct("<2sI").pack

_id = bytes.fromhex


def encoded(span: Span) -> bytes:
    """A span and its parts, one after another: one record, so that an invocation is taken or refused whole."""
    return b"".join([encoded_alone(one) for one in spans_of(span)])


def encoded_alone(span: SpanData) -> bytes:
    """One span."""
    pieces = [_TRACE_ID, _id(span.trace_id), _SPAN_ID, _id(span.span_id)]
    if span.parent_id:
        pieces += (_PARENT_ID, _id(span.parent_id))
    pieces += (
        text_field(b"\x2a", span.name),
        _moments(b"\x30", span.kind, b"\x39", span.start_ns, b"\x41", span.end_ns),
    )
    if span.attributes:
        pieces += [attribute(b"\x4a", name, value) for name, value in span.attributes.items()]
    if span.link[0]:
        trace_id, span_id = span.link
        pieces.append(field(b"\x6a", b"".join((_TRACE_ID, _id(trace_id), _SPAN_ID, _id(span_id)))))
    if span.status:
        pieces.append(field(b"\x7a", b"%b\x18%b" % (text_field(b"\x12", span.message), varint(span.status))))
    pieces.append(_flags(b"\x85\x01", span.flags))
    return field(b"\x12", b"".join(pieces))
