"""OTLP from one encoding to the other, by a table of its messages.

Written records need no second look at what they were made of. What a table does not know is left out: a field that is
newer than it, and the string tables of profiles.

Source: opentelemetry/proto/{common,resource,logs,trace,metrics}/v1, 1.10; OTLP specification, "JSON Protobuf Encoding".
"""

import binascii
import math
import struct

import msgspec

from lifecycle.contract.otlp_wire import FIXED32, FIXED64, LENGTH, VARINT, WireError, fields, varint_at
from shipper.destinations.otlp.protobuf_values import field, varint
from shipper.destinations.otlp.values import scope_of, scoped
from shipper.model.signals import LOGS, METRICS, TRACES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any
else:
    Any = object

# An item is what stands in its scope: one or several of the scope's members.
_SCOPES = {
    LOGS: ("ScopeLogs", b'{"logRecords":[', b"]}"),
    TRACES: ("ScopeSpans", b'{"spans":[', b"]}"),
    METRICS: ("ScopeMetrics", b'{"metrics":[', b"]}"),
}

# What reading or writing a message comes to that is none; what is no JSON or no protobuf is a ValueError.
_UNREADABLE = (msgspec.MsgspecError, ValueError, struct.error, AttributeError, TypeError, RecursionError)

_UINT64, _INT64_BIT = 2**64 - 1, 2**63

_to_json = msgspec.json.Encoder().encode
_from_json = msgspec.json.Decoder().decode


class TranscodeError(ValueError):
    """Bytes that are no such message in the encoding they are said to be in."""


class Scalar(msgspec.Struct, frozen=True):
    """How values of a type are written.

    Attributes:
        wire: Its wire type.
        packed: From JSON to what follows the tag.
        shown: From what was read after the tag to JSON.
    """

    wire: int
    packed: "Callable[[Any], bytes]"
    shown: "Callable[[Any], Any]"


def _fixed(wire: int, layout: str, shown: "Callable[[Any], Any]", number: "Callable[[Any], Any]" = int) -> Scalar:
    known = struct.Struct(layout)
    return Scalar(wire, lambda value: known.pack(number(value)), lambda content: shown(known.unpack(content)[0]))


def _sized(content: bytes) -> bytes:
    return varint(len(content)) + content


def _double(number: float) -> float | str:
    """JSON has no number for these; protobuf has names."""
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _zigzag(number: int) -> int:
    return (number << 1 ^ number >> 63) & _UINT64


# Receivers built on Rust's opentelemetry-proto take times and int64 values as text, counts as numbers only.
STRING = Scalar(
    LENGTH, lambda text: _sized(text.encode("utf-8", "replace")), lambda content: content.decode("utf-8", "replace")
)
HEX = Scalar(LENGTH, lambda digits: _sized(bytes.fromhex(digits)), bytes.hex)
BYTES = Scalar(
    LENGTH,
    lambda text: _sized(binascii.a2b_base64(text)),
    lambda content: binascii.b2a_base64(content, newline=False).decode(),
)
BOOL = Scalar(VARINT, lambda value: b"\x01" if value else b"\x00", bool)
UINT = Scalar(VARINT, lambda value: varint(int(value) & _UINT64), int)
INT64 = Scalar(VARINT, lambda value: varint(int(value) & _UINT64), lambda value: str(value - (value & _INT64_BIT) * 2))
SINT32 = Scalar(VARINT, lambda value: varint(_zigzag(int(value))), lambda value: value >> 1 ^ -(value & 1))
TIME = _fixed(FIXED64, "<Q", str)
COUNT = _fixed(FIXED64, "<Q", int)
SFIXED64 = _fixed(FIXED64, "<q", int)
FIXED = _fixed(FIXED32, "<I", int)
DOUBLE = _fixed(FIXED64, "<d", _double, float)


class Field(msgspec.Struct, frozen=True):
    """A field of a message.

    Attributes:
        name: In JSON.
        type: A scalar, or the name of a message.
        is_repeated: It may come several times, and is an array in JSON.
        has_zero: Also its zero is written: it is optional, or a member of a oneof.
    """

    name: str
    type: Scalar | str
    is_repeated: bool = False
    has_zero: bool = False


def _one(name: str, kind: Scalar | str) -> Field:
    return Field(name, kind)


def _many(name: str, kind: Scalar | str) -> Field:
    return Field(name, kind, is_repeated=True)


def _optional(name: str, kind: Scalar) -> Field:
    return Field(name, kind, has_zero=True)


_DROPPED = _one("droppedAttributesCount", UINT)
_START, _TIME = _one("startTimeUnixNano", TIME), _one("timeUnixNano", TIME)
_ATTRIBUTES, _EXEMPLARS = _many("attributes", "KeyValue"), _many("exemplars", "Exemplar")
_TEMPORALITY = _one("aggregationTemporality", UINT)
_SUM, _MIN, _MAX = _optional("sum", DOUBLE), _optional("min", DOUBLE), _optional("max", DOUBLE)
_INT, _DOUBLE = _optional("asInt", SFIXED64), _optional("asDouble", DOUBLE)
_FLAGS, _SCHEMA = _one("flags", UINT), _one("schemaUrl", STRING)
_TRACE_ID, _SPAN_ID, _TRACE_STATE = _one("traceId", HEX), _one("spanId", HEX), _one("traceState", STRING)
_RESOURCE, _SCOPE = _one("resource", "Resource"), _one("scope", "InstrumentationScope")

MESSAGES: dict[str, dict[int, Field]] = {
    "logs": {1: _many("resourceLogs", "ResourceLogs")},
    "traces": {1: _many("resourceSpans", "ResourceSpans")},
    "metrics": {1: _many("resourceMetrics", "ResourceMetrics")},
    "ResourceLogs": {1: _RESOURCE, 2: _many("scopeLogs", "ScopeLogs"), 3: _SCHEMA},
    "ResourceSpans": {1: _RESOURCE, 2: _many("scopeSpans", "ScopeSpans"), 3: _SCHEMA},
    "ResourceMetrics": {1: _RESOURCE, 2: _many("scopeMetrics", "ScopeMetrics"), 3: _SCHEMA},
    "ScopeLogs": {1: _SCOPE, 2: _many("logRecords", "LogRecord"), 3: _SCHEMA},
    "ScopeSpans": {1: _SCOPE, 2: _many("spans", "Span"), 3: _SCHEMA},
    "ScopeMetrics": {1: _SCOPE, 2: _many("metrics", "Metric"), 3: _SCHEMA},
    "Resource": {1: _ATTRIBUTES, 2: _DROPPED, 3: _many("entityRefs", "EntityRef")},
    "EntityRef": {
        1: _SCHEMA,
        2: _one("type", STRING),
        3: _many("idKeys", STRING),
        4: _many("descriptionKeys", STRING),
    },
    "InstrumentationScope": {1: _one("name", STRING), 2: _one("version", STRING), 3: _ATTRIBUTES, 4: _DROPPED},
    "KeyValue": {1: _one("key", STRING), 2: _one("value", "AnyValue")},
    "AnyValue": {
        1: _optional("stringValue", STRING),
        2: _optional("boolValue", BOOL),
        3: _optional("intValue", INT64),
        4: _optional("doubleValue", DOUBLE),
        5: _one("arrayValue", "ArrayValue"),
        6: _one("kvlistValue", "KeyValueList"),
        7: _optional("bytesValue", BYTES),
    },
    "ArrayValue": {1: _many("values", "AnyValue")},
    "KeyValueList": {1: _many("values", "KeyValue")},
    "LogRecord": {
        1: _TIME,
        2: _one("severityNumber", UINT),
        3: _one("severityText", STRING),
        5: _one("body", "AnyValue"),
        6: _ATTRIBUTES,
        7: _DROPPED,
        8: _one("flags", FIXED),
        9: _TRACE_ID,
        10: _SPAN_ID,
        11: _one("observedTimeUnixNano", TIME),
        12: _one("eventName", STRING),
    },
    "Span": {
        1: _TRACE_ID,
        2: _SPAN_ID,
        3: _TRACE_STATE,
        4: _one("parentSpanId", HEX),
        5: _one("name", STRING),
        6: _one("kind", UINT),
        7: _START,
        8: _one("endTimeUnixNano", TIME),
        9: _ATTRIBUTES,
        10: _DROPPED,
        11: _many("events", "Event"),
        12: _one("droppedEventsCount", UINT),
        13: _many("links", "Link"),
        14: _one("droppedLinksCount", UINT),
        15: _one("status", "Status"),
        16: _one("flags", FIXED),
    },
    "Event": {1: _TIME, 2: _one("name", STRING), 3: _ATTRIBUTES, 4: _DROPPED},
    "Link": {1: _TRACE_ID, 2: _SPAN_ID, 3: _TRACE_STATE, 4: _ATTRIBUTES, 5: _DROPPED, 6: _one("flags", FIXED)},
    "Status": {2: _one("message", STRING), 3: _one("code", UINT)},
    "Metric": {
        1: _one("name", STRING),
        2: _one("description", STRING),
        3: _one("unit", STRING),
        5: _one("gauge", "Gauge"),
        7: _one("sum", "Sum"),
        9: _one("histogram", "Histogram"),
        10: _one("exponentialHistogram", "ExponentialHistogram"),
        11: _one("summary", "Summary"),
        12: _many("metadata", "KeyValue"),
    },
    "Gauge": {1: _many("dataPoints", "NumberDataPoint")},
    "Sum": {1: _many("dataPoints", "NumberDataPoint"), 2: _TEMPORALITY, 3: _one("isMonotonic", BOOL)},
    "Histogram": {1: _many("dataPoints", "HistogramDataPoint"), 2: _TEMPORALITY},
    "ExponentialHistogram": {1: _many("dataPoints", "ExponentialHistogramDataPoint"), 2: _TEMPORALITY},
    "Summary": {1: _many("dataPoints", "SummaryDataPoint")},
    "NumberDataPoint": {2: _START, 3: _TIME, 4: _DOUBLE, 5: _EXEMPLARS, 6: _INT, 7: _ATTRIBUTES, 8: _FLAGS},
    "HistogramDataPoint": {
        2: _START,
        3: _TIME,
        4: _one("count", COUNT),
        5: _SUM,
        6: _many("bucketCounts", COUNT),
        7: _many("explicitBounds", DOUBLE),
        8: _EXEMPLARS,
        9: _ATTRIBUTES,
        10: _FLAGS,
        11: _MIN,
        12: _MAX,
    },
    "ExponentialHistogramDataPoint": {
        1: _ATTRIBUTES,
        2: _START,
        3: _TIME,
        4: _one("count", COUNT),
        5: _SUM,
        6: _one("scale", SINT32),
        7: _one("zeroCount", COUNT),
        8: _one("positive", "Buckets"),
        9: _one("negative", "Buckets"),
        10: _FLAGS,
        11: _EXEMPLARS,
        12: _MIN,
        13: _MAX,
        14: _one("zeroThreshold", DOUBLE),
    },
    "Buckets": {1: _one("offset", SINT32), 2: _many("bucketCounts", UINT)},
    "SummaryDataPoint": {
        2: _START,
        3: _TIME,
        4: _one("count", COUNT),
        5: _one("sum", DOUBLE),
        6: _many("quantileValues", "ValueAtQuantile"),
        7: _ATTRIBUTES,
        8: _FLAGS,
    },
    "ValueAtQuantile": {1: _one("quantile", DOUBLE), 2: _one("value", DOUBLE)},
    "Exemplar": {
        2: _TIME,
        3: _DOUBLE,
        4: _SPAN_ID,
        5: _TRACE_ID,
        6: _INT,
        7: _many("filteredAttributes", "KeyValue"),
    },
}


def to_json(message: str, content: bytes) -> bytes:
    """A message in protobuf as OTLP's JSON.

    Args:
        message: Its name in `MESSAGES`; a request's is its signal.
        content: The message.

    Raises:
        TranscodeError: It is no such message.
    """
    try:
        return _to_json(_read(message, content))
    except _UNREADABLE as exc:
        raise TranscodeError(f"got no {message} in protobuf: {exc}") from exc


def to_protobuf(message: str, content: bytes) -> bytes:
    """A message in OTLP's JSON as protobuf; as `to_json`."""
    try:
        return _written(message, _from_json(content))
    except _UNREADABLE as exc:
        raise TranscodeError(f"got no {message} in JSON: {exc}") from exc


def decoded(signal: str, content: bytes, *, is_json: bool) -> dict[str, Any]:
    """A request as OTLP's JSON has it, decoded.

    Raises:
        TranscodeError: It is no such request.
    """
    try:
        return msgspec.convert(_from_json(content), dict) if is_json else _read(signal, content)
    except _UNREADABLE as exc:
        raise TranscodeError(f"got no request of {signal}: {exc}") from exc


def encoded(signal: str, message: dict[str, Any], *, is_json: bool) -> bytes:
    """A request that was decoded; as `decoded`."""
    try:
        return _to_json(message) if is_json else _written(signal, message)
    except _UNREADABLE as exc:
        raise TranscodeError(f"got no request of {signal}: {exc}") from exc


def item_in_json(signal: str, item: bytes) -> bytes:
    """An item of a request in protobuf as one in JSON, under the same scope.

    Raises:
        TranscodeError: It is no such item.
    """
    scope, start, end = _SCOPES[signal]
    return scoped(to_json(scope, item)[len(start) : -len(end)], scope_of(item))


def item_in_protobuf(signal: str, item: bytes) -> bytes:
    """An item of a request in JSON as one in protobuf; as `item_in_json`."""
    scope, start, end = _SCOPES[signal]
    return scoped(to_protobuf(scope, start + item + end), scope_of(item))


def _read(message: str, content: bytes, at: int = 0, stop: int | None = None) -> dict[str, Any]:
    table = MESSAGES[message]
    found: dict[str, Any] = {}
    for tag, _, start, end in fields(content, at, stop):
        known, wire = table.get(tag >> 3), tag & 7
        if known is None:
            continue
        kind = known.type
        values: list[Any]
        if isinstance(kind, str) and wire == LENGTH:
            values = [_read(kind, content, start, end)]
        elif isinstance(kind, Scalar) and wire == kind.wire:
            values = [kind.shown(varint_at(content, start)[0] if wire == VARINT else content[start:end])]
        elif isinstance(kind, Scalar) and wire == LENGTH and known.is_repeated:
            values = [kind.shown(item) for item in _unpacked(kind.wire, content[start:end])]
        else:
            raise WireError(f"got wire type {wire} for {known.name}")
        if known.is_repeated:
            found.setdefault(known.name, []).extend(values)
        else:
            found[known.name] = values[0]
    if message == "KeyValue":
        found.setdefault("value", {})  # null, as our own JSON has it
    return found


def _unpacked(wire: int, content: bytes) -> "list[int | bytes]":
    """The values of a packed field."""
    if wire != VARINT:
        size = 8 if wire == FIXED64 else 4
        return [content[at : at + size] for at in range(0, len(content), size)]
    values: list[int | bytes] = []
    at = 0
    while at < len(content):
        value, at = varint_at(content, at)
        values.append(value)
    return values


def _written(message: str, members: dict[str, Any]) -> bytes:
    pieces: list[bytes] = []
    for number, known in MESSAGES[message].items():
        value = members.get(known.name)
        if value is None:
            continue
        kind = known.type
        if isinstance(kind, str):
            tag = varint(number << 3 | LENGTH)
            pieces += [field(tag, _written(kind, item)) for item in (value if known.is_repeated else (value,))]
        elif known.is_repeated and kind.wire != LENGTH:
            packed = b"".join([kind.packed(item) for item in value])
            if packed:
                pieces.append(field(varint(number << 3 | LENGTH), packed))
        elif known.is_repeated:
            pieces += [varint(number << 3 | kind.wire) + kind.packed(item) for item in value]
        else:
            packed = kind.packed(value)
            if known.has_zero or packed.strip(b"\0"):
                pieces.append(varint(number << 3 | kind.wire) + packed)
    return b"".join(pieces)
