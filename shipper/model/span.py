"""A span, in no destination's form."""

import msgspec

from shipper.model.context import Child
from shipper.model.semconv import ERROR_TYPE
from shipper.model.trace_ids import child_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
else:
    Any = object

# What a span is of (opentelemetry/proto/trace/v1/trace.proto), and how it ended.
INTERNAL, SERVER = 1, 2
# What went well has no status: to say that it did is the user's alone (semantic conventions, "Recording errors").
UNSET, ERROR = 0, 2

# Bits of `flags`: it is known whether the parent is remote; it is.
_IS_KNOWN, _IS_REMOTE = 0x100, 0x200


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """One span, its parts included.

    Attributes:
        parent_id: "" for the root of a trace.
        error: What went wrong, as `error.type` has it; "" when all went well.
        message: More about it.
        attributes: By name; numbers, text, or what else the platform's records have.
        children: Its parts, which become spans of their own.
        link: Trace and span id of another span that this one has to do with; two "" for none.
    """

    name: str
    trace_id: str
    span_id: str
    parent_id: str = ""
    is_sampled: bool = True
    start_ns: int
    end_ns: int
    error: str = ""
    message: str = ""
    attributes: dict[str, Any] = {}
    children: tuple[Child, ...] = ()
    link: tuple[str, str] = ("", "")


class SpanData(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One span as OpenTelemetry's data model has it, on its own.

    Attributes:
        parent_id: "" for the root of a trace.
        flags: Trace flags (W3C Trace Context), and what is known of the parent.
        kind: `INTERNAL` or `SERVER`.
        status: `UNSET` or `ERROR`.
        message: More about the status.
        link: Trace and span id of another span; two "" for none.
    """

    trace_id: str
    span_id: str
    parent_id: str
    flags: int
    name: str
    kind: int
    start_ns: int
    end_ns: int
    attributes: dict[str, Any] = {}
    status: int = UNSET
    message: str = ""
    link: tuple[str, str] = ("", "")


def spans_of(span: Span) -> list[SpanData]:
    """A span and its parts, each on its own."""
    sampled = int(span.is_sampled)
    whole = SpanData(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_id=span.parent_id,
        flags=sampled | _IS_KNOWN | _IS_REMOTE if span.parent_id else sampled,
        name=span.name,
        kind=SERVER,
        start_ns=span.start_ns,
        end_ns=span.end_ns,
        attributes={**span.attributes, ERROR_TYPE: span.error} if span.error else span.attributes,
        status=ERROR if span.error else UNSET,
        message=span.message if span.error else "",
        link=span.link,
    )
    parts = [
        SpanData(
            trace_id=span.trace_id,
            span_id=child_id(span.span_id, number, child.name),
            parent_id=span.span_id,
            flags=sampled | _IS_KNOWN,
            name=child.name,
            kind=INTERNAL,
            start_ns=child.start_ns,
            end_ns=child.end_ns,
            attributes=child.attributes,
        )
        for number, child in enumerate(span.children)
    ]
    return [whole, *parts]
