"""Log records in OTLP's protobuf.

A plain text line is the common case: its text is spliced between two pieces that it shares with the lines around it,
and every length is looked up.

Source: opentelemetry/proto/logs/v1/logs.proto; semantic conventions, "Exceptions in logs".
"""

import msgspec

from shipper.destinations.otlp.protobuf_values import (
    LARGE_BYTES,
    any_value,
    field,
    fixed32,
    fixed64,
    key_value,
    large_value,
    member,
    text_field,
    unescaped,
    varint,
)
from shipper.destinations.otlp.values import scoped
from shipper.model import semconv
from shipper.model.log_record import RESERVED, Encoder, ExceptionInfo, LogRecord, Origin, TextLine
from shipper.model.severity import number_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    K = TypeVar("K")
    V = TypeVar("V")

# Distinct timestamps, levels, origins and lengths remembered, and how large what is remembered of one may be.
_MOST_REMEMBERED = 512
_MOST_REMEMBERED_BYTES = 1024

# A byte is found in bytes in a tenth of the time that bytes are.
_BACKSLASH, _N, _NEWLINE = b"\\n\n"

_STAMP_BYTES = 9

# More than the length of any text needs.
_LENGTH_BITS = 32


class Tail(msgspec.Struct, gc=False):
    """What text lines share that are of one origin and level, and whose indexes have equally many digits.

    Attributes:
        least: The least of these indexes.
        most: One more than the greatest.
        severity: Its two fields.
        attributes: Up to the index.
        end: After it.
        size: Of it all, index and timestamp included, above the bits that the length of a text has.
    """

    least: int
    most: int
    severity: bytes
    attributes: bytes
    end: bytes
    size: int


class LogRecords(Encoder):
    """Writes log records, each as a field of its scope."""

    def __init__(self) -> None:
        self._stamps: dict[int, bytes] = {}
        self._severities: dict[str, bytes] = {"": b""}
        self._origins: dict[tuple[Origin, int], tuple[bytes, bytes]] = {}
        self._tails: dict[str, dict[Origin, Tail]] = {}
        self._tails_kept = 0
        self._lengths: dict[int, tuple[bytes, bytes]] = {}

    def log(self, record: LogRecord) -> bytes:
        """One LogRecord."""
        time_ns, level = record.time_ns, record.severity_text
        stamp = b"" if time_ns is None else self._stamps.get(time_ns) or self._stamp(time_ns)
        severity = self._severities.get(level)
        if severity is None:
            severity = self._severity(level)
        number = b"%d" % record.index
        head, end = self._origins.get((record.origin, len(number))) or self._shared(record.origin, len(number))
        is_large = len(record.body) > LARGE_BYTES
        body = large_value(record.body) if is_large else (any_value(record.body),)
        length = sum(map(len, body)) if is_large else len(body[0])
        pieces: list[bytes | memoryview] = [stamp, severity, b"\x2a", varint(length), *body]
        for name, raw in record.attributes:
            pieces.append(member(b"\x32", name if name not in RESERVED else f"log.{name}", raw))
        if record.exception is not None:
            pieces += _exception_attributes(record.exception)
        pieces += (head, number, end)
        if is_large:  # it is copied once
            written = b"".join((b"\x12", varint(sum(map(len, pieces))), *pieces))
        else:
            written = field(b"\x12", b"".join(pieces))
        return scoped(written, record.scope) if record.scope else written

    def text_line(self, line: TextLine, index: int) -> bytes:
        """The same of a plain text line."""
        try:
            tail = self._tails[line.severity_text][line.origin]
        except KeyError:
            tail = self._tail(line, index)
        if not tail.least <= index < tail.most:
            tail = self._tail(line, index)
        raw = line.raw
        has_newline = raw[-2] == _N and raw[-3] == _BACKSLASH
        text = raw[1:-3] if has_newline else raw[1:-1]
        if _BACKSLASH in text:
            text = unescaped(raw)
            if has_newline and text[-1] == _NEWLINE:
                text = text[:-1]
        length = len(text)
        heads = self._lengths.get(tail.size + length)
        if heads is None:
            heads = self._length(tail.size, length)
        time_ns = line.time_ns
        return b"%b%b%b%b%b%b%d%b" % (
            heads[0],
            self._stamps.get(time_ns) or self._stamp(time_ns),
            tail.severity,
            heads[1],
            text,
            tail.attributes,
            index,
            tail.end,
        )

    def _tail(self, line: TextLine, index: int) -> Tail:
        origin, level = line.origin, line.severity_text
        digits = len(str(index))
        severity = self._severities[level] if level in self._severities else self._severity(level)
        attributes, end = self._origins.get((origin, digits)) or self._shared(origin, digits)
        size = _STAMP_BYTES + len(severity) + len(attributes) + digits + len(end)
        least = 10 ** (digits - 1) if digits > 1 else 0
        tail = Tail(least, 10**digits, severity, attributes, end, size << _LENGTH_BITS)
        if self._tails_kept >= _MOST_REMEMBERED or len(attributes) > _MOST_REMEMBERED_BYTES:
            self._tails, self._tails_kept = {}, 0
        self._tails.setdefault(level, {})[origin] = tail
        self._tails_kept += 1
        return tail

    def _length(self, size: int, length: int) -> tuple[bytes, bytes]:
        """What stands before a record whose body is a text of some length, and before that text."""
        text = b"\x0a" + varint(length)
        body = b"\x2a%b%b" % (varint(len(text) + length), text)
        heads = b"\x12" + varint((size >> _LENGTH_BITS) + len(body) + length), body
        if len(self._lengths) >= _MOST_REMEMBERED:
            self._lengths.clear()
        self._lengths[size + length] = heads
        return heads

    def _stamp(self, time_ns: int) -> bytes:
        stamp = b"\x09%b" % fixed64(time_ns)
        _remember(self._stamps, time_ns, stamp)
        return stamp

    def _severity(self, level: str) -> bytes:
        severity = b"\x10%b%b" % (varint(number_of(level)), text_field(b"\x1a", level))
        _remember(self._severities, level, severity, len(severity))
        return severity

    def _shared(self, origin: Origin, digits: int) -> tuple[bytes, bytes]:
        """What records share that are of one origin, and whose indexes have equally many digits.

        Returns:
            Their last attributes, up to the index; what follows it: trace context, and when they were observed.
        """
        head = b""
        if origin.event_type not in ("", "function"):
            head += _text_attribute("aws.lambda.event.type", origin.event_type)
        if origin.request_id:
            head += _text_attribute(semconv.FAAS_INVOCATION_ID, origin.request_id)
        head += _text_attribute(semconv.LOG_RECORD_UID, f"{origin.batch_id}-{'0' * digits}")[:-digits]
        end = b"%b%b%b\x59%b" % (
            b"\x45%b" % fixed32(origin.flags) if origin.trace_id and origin.flags else b"",
            field(b"\x4a", bytes.fromhex(origin.trace_id)) if origin.trace_id else b"",
            field(b"\x52", bytes.fromhex(origin.span_id)) if origin.span_id else b"",
            fixed64(origin.observed_ns),
        )
        _remember(self._origins, (origin, digits), (head, end), len(head))
        return head, end


def _remember(known: "dict[K, V]", key: "K", value: "V", size: int = 0) -> None:
    if len(known) >= _MOST_REMEMBERED:
        known.clear()
    if size <= _MOST_REMEMBERED_BYTES:
        known[key] = value


def _exception_attributes(exception: ExceptionInfo) -> list[bytes]:
    pairs = (
        (semconv.EXCEPTION_TYPE, exception.type),
        (semconv.EXCEPTION_MESSAGE, exception.message),
        (semconv.EXCEPTION_STACKTRACE, exception.stack),
    )
    return [_text_attribute(name, text) for name, text in pairs if text]


def _text_attribute(name: str, text: str) -> bytes:
    return key_value(b"\x32", name, field(b"\x0a", text.encode("utf-8", "replace")))
