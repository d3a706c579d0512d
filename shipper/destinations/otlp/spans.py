"""Spans in OTLP's JSON. Source: opentelemetry/proto/trace/v1/trace.proto."""

import msgspec

from shipper.destinations.otlp.json_values import attribute
from shipper.model.context import Child
from shipper.model.span import Span
from shipper.model.trace_ids import child_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_INTERNAL, _SERVER = 1, 2
_OK, _ERROR = 1, 2

# Bits of `flags`: sampled; it is known whether the parent is remote; it is.
_SAMPLED, _IS_KNOWN, _IS_REMOTE = 0x01, 0x100, 0x200

_to_json = msgspec.json.Encoder().encode


def encoded(span: Span) -> bytes:
    """A span and its parts, one after another: one record, so that an invocation is taken or refused whole."""
    ids = b'"traceId":"%b","spanId":"%b"' % (span.trace_id.encode(), span.span_id.encode())
    flags = int(span.is_sampled)
    parent = b""
    if span.parent_id:
        parent = b',"parentSpanId":"%b"' % span.parent_id.encode()
        flags |= _IS_KNOWN | _IS_REMOTE
    attributes: dict[str, Any] = dict(span.attributes)
    if span.error:
        attributes["error.type"] = span.error
        status = b'{"code":%d,"message":%b}' % (_ERROR, _to_json(span.message))
    else:
        status = b'{"code":%d}' % _OK
    links = b""
    if span.link[0]:
        links = b',"links":[{"traceId":"%b","spanId":"%b"}]' % (span.link[0].encode(), span.link[1].encode())
    whole = (
        b'{%b%b,"flags":%d,"name":%b,"kind":%d,"startTimeUnixNano":"%d","endTimeUnixNano":"%d",'
        b'"attributes":[%b]%b,"status":%b}'
    ) % (
        ids,
        parent,
        flags,
        _to_json(span.name),
        _SERVER,
        span.start_ns,
        span.end_ns,
        b",".join([attribute(name, value) for name, value in attributes.items()]),
        links,
        status,
    )
    return b",".join([whole, *(_child(span, child, number) for number, child in enumerate(span.children))])


def _child(span: Span, child: Child, number: int) -> bytes:
    said = b""
    if child.attributes:
        pairs = b",".join([attribute(name, value) for name, value in child.attributes.items()])
        said = b',"attributes":[%b]' % pairs
    return (
        b'{"traceId":"%b","spanId":"%b","parentSpanId":"%b","flags":%d,"name":%b,"kind":%d,'
        b'"startTimeUnixNano":"%d","endTimeUnixNano":"%d"%b}'
    ) % (
        span.trace_id.encode(),
        child_id(span.span_id, number, child.name).encode(),
        span.span_id.encode(),
        int(span.is_sampled) | _IS_KNOWN,
        _to_json(child.name),
        _INTERNAL,
        child.start_ns,
        child.end_ns,
        said,
    )
