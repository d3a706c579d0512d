"""Trace and span ids: read as X-Ray and W3C write them, made where nobody names one.

X-Ray's `Root=1-8hex-24hex` becomes a trace id of 32 digits (AWS, "Converting Lambda Telemetry API Event objects to
OpenTelemetry Spans"; OpenTelemetry's X-Ray propagator does the same). What is no valid id is none.

Ids are never random: a span made a second time, by a replaced shipper, from a repeated batch or by an environment after
a reset, has the ids it had the first time.
"""

import msgspec

from lifecycle.contract import late
from lifecycle.contract.quick import cache, lru_cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from shipper.model.context import Invocation

# W3C Trace Context, "traceparent": a version, a trace id, a span id, flags.
_TRACEPARENT = late.pattern(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_SAMPLED = 1
# Of X-Ray's ids: version, time, what is unique.
_ROOT_LENGTHS = (1, 8, 24)
_HEX = frozenset("0123456789abcdefABCDEF")

TRACE_DIGITS = 32
SPAN_DIGITS = 16


class TraceHeader(msgspec.Struct, frozen=True):
    """What an `X-Amzn-Trace-Id` header says.

    Attributes:
        trace_id: 32 digits; "" without a valid one.
        parent_id: 16 digits; "" without a valid one.
        sampled: The decision; None when none was made yet.
    """

    trace_id: str = ""
    parent_id: str = ""
    sampled: bool | None = None


@lru_cache(maxsize=2)
def trace_header(text: str) -> TraceHeader:
    """An `X-Amzn-Trace-Id` header, or the value in an event's `tracing`: every event of an invocation has the same."""
    fields: dict[str, str] = {}
    for part in text.split(";"):
        name, _, value = part.partition("=")
        fields[name.strip().lower()] = value.strip()
    sampled = {"1": True, "0": False}.get(fields.get("sampled", ""))
    return TraceHeader(trace_id_of(fields.get("root", "")), hex_id(fields.get("parent", ""), SPAN_DIGITS), sampled)


def trace_context(text: str) -> TraceHeader:
    """What a line says of its trace: an id, X-Ray's header, W3C's `traceparent`, or X-Ray's SDK's `trace@segment`."""
    if "=" in text:
        return trace_header(text)
    found = _TRACEPARENT.fullmatch(text)
    if found is not None:
        is_sampled = bool(int(found[3], 16) & _SAMPLED)
        return TraceHeader(hex_id(found[1], TRACE_DIGITS), hex_id(found[2], SPAN_DIGITS), is_sampled)
    trace, _, segment = text.partition("@")
    return TraceHeader(trace_id_of(trace), hex_id(segment, SPAN_DIGITS))


def trace_id_of(text: str) -> str:
    """A trace id in X-Ray's form or in W3C's; "" when it is neither."""
    # Every invocation has one, so it is taken apart without a pattern: nothing else that is usual has `re` loaded.
    version, _, rest = text.partition("-")
    epoch, _, unique = rest.partition("-")
    is_root = version.isdecimal() and (len(version), len(epoch), len(unique)) == _ROOT_LENGTHS
    return hex_id(epoch + unique if is_root else text, TRACE_DIGITS)


def hex_id(text: str, digits: int) -> str:
    """An id in lower case; "" when it is not `digits` hex digits or nothing but zeros (W3C Trace Context)."""
    if len(text) != digits or not _HEX.issuperset(text) or not text.strip("0"):
        return ""
    return text.lower()


def ids_of(invocation: "Invocation") -> tuple[str, str]:
    """Trace and span id of an invocation: the platform's, else made from the request id.

    A request id is a UUID, which has as many digits as a trace id: then it is one.
    """
    request_id = invocation.request_id
    trace_id = invocation.trace_id or hex_id(request_id.replace("-", ""), TRACE_DIGITS)
    return (
        trace_id or generated(f"trace {request_id}", TRACE_DIGITS),
        invocation.span_id or generated(f"span {request_id}", SPAN_DIGITS),
    )


def child_id(parent_id: str, number: int, name: str) -> str:
    """Span id of a part of a span."""
    return generated(f"{parent_id} {number} {name}", SPAN_DIGITS)


def generated(seed: str, digits: int) -> str:
    """An id made from what it stands for: the same for the same, never all zeros."""
    made: str = _blake2b()(seed.encode("utf-8", "replace"), digest_size=digits // 2, person=b"tailrace").hexdigest()
    return made


@cache
def _blake2b() -> "Callable[..., Any]":
    """Loaded with the first id that is made."""
    from _blake2 import blake2b

    return blake2b
