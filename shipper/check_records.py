"""One record of each signal, to find out whether a destination takes it.

They say what they are, so that nobody takes them for a function's: the metric is that of the extension's own requests,
of which this is one.
"""

import os
import time

import msgspec

from lifecycle.contract.frames import DIGEST_BYTES, Frame
from shipper.destinations.interfaces import Destination
from shipper.model.context import NOTHING, Meters
from shipper.model.events import Event
from shipper.model.signals import LOGS, TRACES
from shipper.model.span import Span
from shipper.model.trace_ids import SPAN_DIGITS, TRACE_DIGITS

TEXT = "A test record from Tailrace: lifecycle.check --send"
SPAN_NAME = "tailrace.check"
LEDGER = {"requests": 1}

_NS_PER_S = 1_000_000_000


def specimen(destination: Destination, signal: str, *, is_cumulative: bool) -> list[bytes]:
    """The test record of a signal, as the destination's requests have it.

    Args:
        destination: Writes it.
        signal: One that the destination takes.
        is_cumulative: What a metric counts from.
    """
    now_ns = time.time_ns()
    if signal == LOGS or destination.shapes is None:
        return [_line(destination, now_ns)]
    if signal == TRACES:
        return [destination.shapes.span(_span(now_ns))]
    meters = Meters(since_ns=now_ns - _NS_PER_S, until_ns=now_ns)
    return destination.shapes.metrics(meters, LEDGER, is_cumulative=is_cumulative)


def _line(destination: Destination, now_ns: int) -> bytes:
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now_ns // _NS_PER_S))
    event = Event(f"{moment}.000Z", "function", msgspec.Raw(msgspec.json.encode(TEXT)))
    payload = memoryview(msgspec.json.encode([event]))
    destination.encoder.begin(Frame(0, len(payload), 1, now_ns, os.urandom(DIGEST_BYTES), payload))
    return destination.encoder.encode(event, 0, NOTHING)


def _span(now_ns: int) -> Span:
    return Span(
        name=SPAN_NAME,
        trace_id=os.urandom(TRACE_DIGITS // 2).hex(),
        span_id=os.urandom(SPAN_DIGITS // 2).hex(),
        start_ns=now_ns - _NS_PER_S,
        end_ns=now_ns,
        attributes={"tailrace.test": TEXT},
    )
