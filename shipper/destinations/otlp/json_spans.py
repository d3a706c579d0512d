"""Spans in OTLP's JSON. Source: opentelemetry/proto/trace/v1/trace.proto."""

import msgspec

from shipper.destinations.otlp.json_values import attribute
from shipper.model.span import Span, SpanData, spans_of

_to_json = msgspec.json.Encoder().encode


def encoded(span: Span) -> bytes:
    """A span and its parts, one after another: one record, so that an invocation is taken or refused whole."""
    return b",".join([encoded_alone(one) for one in spans_of(span)])


def encoded_alone(span: SpanData) -> bytes:
    """One span."""
    parent = b',"parentSpanId":"%b"' % span.parent_id.encode() if span.parent_id else b""
    attributes = links = status = b""
    if span.attributes:
        pairs = b",".join([attribute(name, value) for name, value in span.attributes.items()])
        attributes = b',"attributes":[%b]' % pairs
    if span.link[0]:
        links = b',"links":[{"traceId":"%b","spanId":"%b"}]' % (span.link[0].encode(), span.link[1].encode())
    if span.status:
        message = b',"message":%b' % _to_json(span.message) if span.message else b""
        status = b',"status":{"code":%d%b}' % (span.status, message)
    return (
        b'{"traceId":"%b","spanId":"%b"%b,"flags":%d,"name":%b,"kind":%d,'
        b'"startTimeUnixNano":"%d","endTimeUnixNano":"%d"%b%b%b}'
    ) % (
        span.trace_id.encode(),
        span.span_id.encode(),
        parent,
        span.flags,
        _to_json(span.name),
        span.kind,
        span.start_ns,
        span.end_ns,
        attributes,
        links,
        status,
    )
