"""Requests of OTLP, walked without being decoded: how many items are in one, and where they begin and end.

An item is what the ledger counts: a span, a data point, a log record. The collector counts those of what it takes, the
shipper cuts between them, so both ask this module. What is in an item is not looked at: that is for whoever reads it.

Source: opentelemetry/proto/collector/{logs,trace,metrics}/v1, whose messages have the same numbers for all signals;
"Encoding" of the Protocol Buffers documentation; OTLP specification, "JSON Protobuf Encoding".
"""

import msgspec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    Body = bytes | bytearray | memoryview

# A varint holds 64 bits, seven a byte.
_MOST_VARINT_BYTES = 10
_MORE = 0x80

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {FIXED64: 8, FIXED32: 4}

# Tags of fields with a length: a request's resources; what a resource, and then a scope, consists of; a metric's kinds
# (gauge, sum, histogram, exponential histogram, summary), and their points.
RESOURCE_TAG, SCOPE_TAG, ITEM_TAG, POINT_TAG = 0x0A, 0x12, 0x12, 0x0A
KIND_TAGS = frozenset((0x2A, 0x3A, 0x4A, 0x52, 0x5A))

# By signal, what holds the items of a request in JSON; and what a metric's points are held by.
NAMES = {
    "logs": ("resourceLogs", "scopeLogs", "logRecords"),
    "traces": ("resourceSpans", "scopeSpans", "spans"),
    "metrics": ("resourceMetrics", "scopeMetrics", "metrics"),
}
KIND_NAMES = ("gauge", "sum", "histogram", "exponentialHistogram", "summary")
POINTS_NAME = "dataPoints"

# Each object that is counted takes memory while it is. No more than this are in 16 MiB of what anybody exports, whose
# attributes are two objects of 34 bytes. Nor are there more items in protobuf, which have 16 bytes each at the least.
_MOST_OBJECTS = 2**20

# Each field that is walked on the way to the items takes a few microseconds, and gzip makes next to nothing of it. A
# metric has seven, however many points it has, and a resource or scope three: these are 37,000 metrics.
_MOST_FIELDS = 2**18


class WireError(ValueError):
    """Bytes that are no such message."""


def count(signal: str, body: "Body", *, is_json: bool) -> int:
    """How many items are in a request.

    Args:
        signal: `logs`, `traces` or `metrics`: what its items are.
        body: The request, inflated.
        is_json: Whether it is in JSON, else in protobuf.

    Raises:
        WireError: It is no request, as far as one has to look for its items.
    """
    if is_json:
        return _count_in_json(signal, body)
    return _Walk(body).count(signal)


def fields(message: "Body", at: int = 0, end: int | None = None) -> "Iterator[tuple[int, int, int, int]]":
    """The fields of a protobuf message, as they come.

    Args:
        message: What it lies in.
        at: Where it begins.
        end: Where it ends; None: where `message` does.

    Yields:
        Of each its tag (number and wire type), where it begins, where its value begins, and where both end.

    Raises:
        WireError: It is no message.
    """
    end = len(message) if end is None else end
    while at < end:
        begin = at
        tag, at = varint_at(message, at)
        wire = tag & 7
        if not tag >> 3:
            raise WireError(f"got a field without a number at byte {begin}")
        if wire == LENGTH:
            size, at = varint_at(message, at)
            stop = at + size
        elif wire == VARINT:
            stop = varint_at(message, at)[1]
        elif wire in _FIXED_BYTES:
            stop = at + _FIXED_BYTES[wire]
        else:
            raise WireError(f"got wire type {wire} at byte {begin}, expected 0, 1, 2 or 5")
        if stop > end:
            raise WireError(f"got {end - at} bytes of a field, expected {stop - at}")
        yield tag, begin, at, stop
        at = stop


def varint_at(message: "Body", at: int) -> tuple[int, int]:
    """The number that begins at a byte, and where it ends.

    Raises:
        WireError: There is none.
    """
    value = shift = 0
    for byte in message[at : at + _MOST_VARINT_BYTES]:
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < _MORE:
            return value & (2**64 - 1), at
        shift += 7
    raise WireError(f"got a varint that does not end at byte {at}")


class _Walk:
    """A way through a request in protobuf to all its items, which may be only so long.

    Args:
        body: The request.
    """

    def __init__(self, body: "Body") -> None:
        self._body = body
        self._fields = self._items = 0

    def count(self, signal: str) -> int:
        """How many items of a signal are in it."""
        for resource, last in self._messages(0, len(self._body), RESOURCE_TAG):
            for at, end in self._messages(resource, last, SCOPE_TAG):
                if signal == "metrics":
                    self._pass_points(at, end)
                else:
                    self._pass_items(at, end, ITEM_TAG)
        return self._items

    def _fields_of(self, at: int, end: int) -> "Iterator[tuple[int, int, int, int]]":
        for field in fields(self._body, at, end):
            self._fields += 1
            if self._fields > _MOST_FIELDS:
                raise WireError(f"got more than {_MOST_FIELDS} fields that are no items")
            yield field

    def _messages(self, at: int, end: int, tag: int) -> "Iterator[tuple[int, int]]":
        """Where the messages in fields of one tag begin and end."""
        return ((start, stop) for found, _, start, stop in self._fields_of(at, end) if found == tag)

    def _pass_items(self, at: int, end: int, tag: int) -> None:
        """Counts fields of a tag: this is done for every span, in as few steps as there can be."""
        body, number, more, most = self._body, self._items, _MORE, _MOST_OBJECTS
        try:
            while at < end:
                if body[at] != tag:
                    found, _, _, at = next(self._fields_of(at, end))
                    if found != tag:
                        continue  # a tag may be written in more bytes than it needs
                elif (low := body[at + 1]) < more:
                    at += low + 2
                elif (high := body[at + 2]) < more:
                    at += low + (high << 7) - 125  # less the bit that says that there is more, and three bytes
                else:
                    at = next(self._fields_of(at, end))[3]
                number += 1
                if number > most:
                    raise WireError(f"got more than {most} items")
        except IndexError as exc:
            raise WireError(f"got {len(body)} bytes, expected more") from exc
        if at > end:
            raise WireError(f"got a field that ends at byte {at}, expected one that ends by {end}")
        self._items = number

    def _pass_points(self, at: int, end: int) -> None:
        """Counts the data points of a scope's metrics."""
        for metric, last in self._messages(at, end, ITEM_TAG):
            for tag, _, start, stop in self._fields_of(metric, last):
                if tag in KIND_TAGS:
                    self._pass_items(start, stop, POINT_TAG)


class _Any(msgspec.Struct, gc=False):
    """An item, of which nothing has to be known."""


class _Points(msgspec.Struct, gc=False):
    dataPoints: list[_Any] | None = None  # noqa: N815 - the protocol's names, here and below


class _Metric(msgspec.Struct, gc=False):
    gauge: _Points | None = None
    sum: _Points | None = None
    histogram: _Points | None = None
    exponentialHistogram: _Points | None = None  # noqa: N815
    summary: _Points | None = None


def _decoder(signal: str) -> "msgspec.json.Decoder[msgspec.Struct]":
    """Of requests of a signal: each level a list of the next one."""
    level: type[msgspec.Struct] = _Metric if signal == "metrics" else _Any
    for name in reversed(NAMES[signal]):
        level = msgspec.defstruct("Level", [("found", list[level] | None, msgspec.field(name=name, default=None))])  # type: ignore[valid-type]
    return msgspec.json.Decoder(level)


_decoders: "dict[str, msgspec.json.Decoder[msgspec.Struct]]" = {}


def _count_in_json(signal: str, body: "Body") -> int:
    objects = (bytes(body) if isinstance(body, memoryview) else body).count(b"{")
    if objects > _MOST_OBJECTS:
        raise WireError(f"got {objects} objects in {len(body)} bytes, expected no more than {_MOST_OBJECTS}")
    if signal not in _decoders:
        _decoders[signal] = _decoder(signal)
    try:
        request = _decoders[signal].decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise WireError(f"got no request in JSON: {exc}") from exc
    scopes = [scope for resource in _found(request) for scope in _found(resource)]
    if signal != "metrics":
        return sum(len(_found(scope)) for scope in scopes)
    metrics = [metric for scope in scopes for metric in _found(scope)]
    return sum(len(points.dataPoints or ()) for metric in metrics for points in _kinds(metric) if points is not None)


def _found(level: msgspec.Struct) -> "list[msgspec.Struct]":
    return level.found or []  # type: ignore[attr-defined]


def _kinds(metric: msgspec.Struct) -> "tuple[_Points | None, ...]":
    return msgspec.structs.astuple(metric)
