"""X-Ray's trace context to OpenTelemetry's ids.

`Root=1-8hex-24hex` becomes the trace id of 32 digits (AWS, "Converting Lambda Telemetry API Event objects to
OpenTelemetry Spans"; OpenTelemetry's X-Ray propagator does the same). What is no valid id is none.
"""

import re

import msgspec

_ROOT = re.compile(r"\d-([0-9a-f]{8})-([0-9a-f]{24})", re.IGNORECASE)
_HEX = frozenset("0123456789abcdefABCDEF")

TRACE_DIGITS = 32
SPAN_DIGITS = 16


class Tracing(msgspec.Struct, frozen=True):
    """What a header says.

    Attributes:
        trace_id: 32 digits; "" without a valid one.
        parent_id: 16 digits; "" without a valid one.
        sampled: The decision; None when none was made yet.
    """

    trace_id: str = ""
    parent_id: str = ""
    sampled: bool | None = None


def parsed(header: str) -> Tracing:
    """An `X-Amzn-Trace-Id` header, or the value in an event's `tracing`."""
    fields: dict[str, str] = {}
    for part in header.split(";"):
        name, _, value = part.partition("=")
        fields[name.strip().lower()] = value.strip()
    sampled = {"1": True, "0": False}.get(fields.get("sampled", ""))
    return Tracing(trace_id_of(fields.get("root", "")), hex_id(fields.get("parent", ""), SPAN_DIGITS), sampled)


def trace_id_of(text: str) -> str:
    """A trace id in X-Ray's form or in W3C's; "" when it is neither."""
    root = _ROOT.fullmatch(text)
    return hex_id(root[1] + root[2] if root else text, TRACE_DIGITS)


def hex_id(text: str, digits: int) -> str:
    """An id in lower case; "" when it is not `digits` hex digits or nothing but zeros (W3C Trace Context)."""
    if len(text) != digits or not _HEX.issuperset(text) or not text.strip("0"):
        return ""
    return text.lower()
