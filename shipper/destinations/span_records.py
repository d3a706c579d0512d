"""Spans as log records: what a destination gets that takes records and no traces.

A record a span, with its parts as members: `aws.lambda.event.type` is `span`, the time is its beginning, `trace_id` and
`span_id` are its own. Loaded only where spans are asked for.
"""

import msgspec

from shipper.model import semconv
from shipper.model.events import OddEvent
from shipper.model.log_record import Encoder, LogRecord, Origin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from shipper.model.metrics import Export
    from shipper.model.span import Span

EVENT_TYPE = "span"

_NS_PER_MS = 1_000_000

# Nobody's event: a span is made of several.
_EVENT = OddEvent("", b"{}")

_to_json = msgspec.json.Encoder().encode


class SpanRecords:
    """Writes spans as log records; metrics are not asked for.

    Args:
        encoder: The destination's.

    Attributes:
        unsupported: Signals that the destination turned out not to know.
        passing: Nothing: it takes no OTLP.
    """

    passing = None

    def __init__(self, encoder: Encoder) -> None:
        self.unsupported: set[str] = set()
        self._encoder = encoder

    def span(self, span: "Span") -> bytes:
        """A span as a record."""
        return self._encoder.log(record_of(span))

    def metrics(self, export: "Export") -> list[bytes]:
        """None."""
        del export
        return []


def record_of(span: "Span") -> LogRecord:
    """A span as a log record."""
    attributes: dict[str, Any] = {"duration_ms": _ms(span.start_ns, span.end_ns)}
    if span.parent_id:
        attributes["parent_span_id"] = span.parent_id
    if span.children:
        attributes["spans"] = {child.name: _ms(child.start_ns, child.end_ns) for child in span.children}
    if span.link[1]:
        attributes["link"] = {"trace_id": span.link[0], "span_id": span.link[1]}
    if span.error:
        attributes[semconv.ERROR_TYPE] = span.error
    if span.error and span.message:
        attributes["error.message"] = span.message
    own = {**span.attributes}
    origin = Origin(
        event_type=EVENT_TYPE,
        request_id=str(own.pop(semconv.FAAS_INVOCATION_ID, "")),
        trace_id=span.trace_id,
        span_id=span.span_id,
        flags=int(span.is_sampled),
        observed_ns=span.end_ns,
        # Ids are never random: a span that is made again is the same record.
        batch_id=f"{span.trace_id}-{span.span_id}",
    )
    return LogRecord(
        event=_EVENT,
        index=0,
        origin=origin,
        body=_to_json(span.name),
        time_ns=span.start_ns,
        severity_text="ERROR" if span.error else "INFO",
        attributes=tuple((name, _to_json(value)) for name, value in (own | attributes).items()),
    )


def _ms(start_ns: int, end_ns: int) -> float:
    return round((end_ns - start_ns) / _NS_PER_MS, 3)
