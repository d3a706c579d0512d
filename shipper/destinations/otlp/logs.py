"""Events as OTLP log records, in OTLP's JSON.

Source: OpenTelemetry logs data model; OTLP specification, "JSON Protobuf Encoding". A text line is the common case and
the fast one: its JSON string is spliced into the record as it came. Every event becomes one record.
"""

import functools
from types import ModuleType

import msgspec

from lifecycle.contract.frames import Frame
from lifecycle.contract.json_text import without_newline
from shipper.delivery.batch import Encoder
from shipper.destinations.otlp.attributes import body_of, exception_attributes
from shipper.destinations.otlp.json_values import any_value, key_value, text_value
from shipper.model.context import Context, request_id_of
from shipper.model.events import AnyEvent, BrokenEvent, Event, OddEvent, WiderEvent
from shipper.model.strings import may_hold_exception
from shipper.parse.levels import NUMBERS, number_of
from shipper.parse.text_formats import FORMATS, told
from shipper.parse.times import Times

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.parse.json_lines import Line

# Distinct timestamps, and pairs of event type and request, remembered while a frame is encoded.
_MOST_REMEMBERED = 512

_BACKSLASH = 0x5C

# How the line begins by which Node.js, Go and Rust say that memory is exhausted: `FATAL ERROR: …`, `fatal error: …`,
# `memory allocation of …`.
_ABORTS = b"Ffm"
_NS_PER_S = 1_000_000_000

_to_json = msgspec.json.Encoder().encode
_text = msgspec.json.Decoder(str)


class Scoped(bytes):
    """A record of another scope than our own: a logger's.

    Attributes:
        scope: Its name.
    """

    scope: str


class LogRecords(Encoder):
    """Writes events as OTLP log records.

    Attributes:
        is_telling: The last one may tell more than it says: that its invocation fails.
    """

    def __init__(self) -> None:
        self._times = Times()
        self._stamps: dict[str, bytes] = {}
        self._tails: dict[tuple[str, str], tuple[bytes, bytes]] = {}
        self._severities = {"": b""}
        for name, number in NUMBERS.items():
            for spelt in (name, name.lower(), name.capitalize()):
                self._severities[spelt] = b',"severityNumber":%d,"severityText":"%b"' % (number, spelt.encode())
        self._observed = b""
        self._uid = b""
        self._context: Context | None = None
        self.is_telling = False

    def begin(self, frame: Frame) -> None:
        """Takes the frame's own fields: when it was observed, and the first part of its records' ids."""
        self._observed = b'{"observedTimeUnixNano":"%d"' % frame.observed_ns
        self._uid = frame.digest.hex().encode()
        self._tails.clear()

    def encode(self, event: AnyEvent, index: int, context: Context) -> bytes:
        """One event as one LogRecord."""
        if context is not self._context:
            self._context = context
            self._tails.clear()
        if type(event) is not Event:
            return self._unusual(event, index)
        raw = bytes(event.record)
        if raw[:1] != b'"' or raw[:2] == b'"{':
            return self._structured(event, raw, b"", index)
        # Nearly no line has a backslash before its end, and what tells an exception has: it has lines, or is JSON.
        if (raw.find(b"\\", 0, -3) >= 0 and may_hold_exception(raw)) or (raw[1] in _ABORTS and b"emory" in raw):
            return self._exceptional(event, raw, b"", index)
        self.is_telling = False
        level, request_id, time = told(raw) if raw[1] in FORMATS else ("", "", "")
        stamp = self._stamps.get(time or event.time)
        if stamp is None:
            stamp = self._stamp(time or event.time)
        tail = self._tails.get((event.type, request_id))
        if tail is None:
            tail = self._tail(event.type, request_id)
        if not stamp:
            return self._general(event.time, level, any_value(without_newline(raw)), b"", tail, index)
        severity = self._severities.get(level)
        if severity is None:
            severity = self._severity(level)
        if raw.endswith(b'\\n"'):
            raw = raw[:-3] + b'"' if raw[-4] != _BACKSLASH else without_newline(raw)
        return b'%b%b%b,"body":{"stringValue":%b},"attributes":[%b%d%b' % (
            self._observed,
            stamp,
            severity,
            raw,
            tail[0],
            index,
            tail[1],
        )

    def _exceptional(self, event: Event, raw: bytes, more: bytes, index: int) -> bytes:
        """A text line of more than one line, which may tell an exception."""
        from shipper.parse.exceptions import in_text

        self.is_telling = True
        level, request_id, time = told(raw)
        exception = in_text(_text.decode(raw))
        if exception is not None:
            more += exception_attributes(exception)
            level = level or "ERROR"
        tail = self._tail(event.type, request_id)
        stamped = time if time and self._stamp(time) else event.time
        return self._general(stamped, level, any_value(without_newline(raw)), more, tail, index)

    def _structured(self, event: Event, raw: bytes, more: bytes, index: int) -> bytes:
        """A record that is an object, or text that holds one, or anything else but text."""
        if event.type.startswith("platform."):
            return self._of_platform(event, raw, more, index)
        if raw[:1] not in (b"{", b'"'):
            return self._general(event.time, "", text_value(raw), more, self._tail(event.type, ""), index)
        members = self._json.members_of(raw)
        if members is None:
            return self._exceptional(event, raw, more, index)
        line = self._json.line_of(members)
        body, attributes = body_of(line, raw)
        tail = self._tail(event.type, line.request_id)
        if line.trace_id or line.span_id:
            tail = tail[0], self._trace_of(line)
        exception = line.exception
        self.is_telling = exception is not None or b"emory" in raw
        if exception is not None:
            more += exception_attributes(exception)
        level = line.level or ("ERROR" if exception is not None and exception.is_uncaught else "")
        stamp = self._stamp_of(line, event.time)
        record = self._general(event.time, level, body, more + attributes, tail, index, stamp)
        if not line.logger:
            return record
        scoped = Scoped(record)
        scoped.scope = line.logger
        return scoped

    @functools.cached_property
    def _json(self) -> ModuleType:
        """Loaded with the first line that is JSON."""
        from shipper.parse import json_lines

        return json_lines

    def _stamp_of(self, line: "Line", time: str) -> bytes:
        """When a JSON line says it was written; a second that is the event's own says less than the event does."""
        if line.time_ns is None:
            return self._stamp(time)
        if not line.is_exact:
            event_ns = self._times.unix_ns(time)
            if event_ns is not None and 0 <= event_ns - line.time_ns < _NS_PER_S:
                return self._stamp(time)
        return b',"timeUnixNano":"%d"' % line.time_ns

    def _trace_of(self, line: "Line") -> bytes:
        """The record's end for a line with ids of its own: its invocation's trace fills in the rest."""
        context = self._context or Context()
        trace_id, span_id, flags = context.trace_of(line.request_id or context.request_id)
        if line.trace_id in ("", trace_id):
            return _trace_end(trace_id, line.span_id or span_id, flags)
        return _trace_end(line.trace_id, line.span_id, None)

    def _of_platform(self, event: Event, raw: bytes, more: bytes, index: int) -> bytes:
        """A platform event: one readable line, and what it says as an attribute. Unknown ones as they are."""
        from shipper.model.platform_records import record_of
        from shipper.parse.platform_lines import line_of

        record = record_of(event.type, raw)
        request_id = request_id_of(raw)
        tail = self._tail(event.type, request_id)
        if record is None:
            return self._general(event.time, "", text_value(raw), more, tail, index)
        line, level = line_of(event.type, record)
        more += key_value("aws.lambda.event.record", any_value(raw)) + b","
        return self._general(event.time, level, text_value(line.encode()), more, tail, index)

    def _unusual(self, event: AnyEvent, index: int) -> bytes:
        """What is not of the documented shape: shipped whole."""
        if isinstance(event, OddEvent):
            return self._general(event.time, "", text_value(event.json), b"", self._tail("", ""), index)
        if isinstance(event, BrokenEvent):
            cut = key_value("aws.lambda.event.cut_bytes", any_value(b"%d" % event.lost_bytes)) + b","
            return self._general("", "", text_value(event.text.encode()), cut, self._tail("", ""), index)
        others = b""
        if isinstance(event, WiderEvent):
            for name, value in event.others.items():
                others += key_value(f"aws.lambda.event.{name}", any_value(bytes(value))) + b","
        raw = bytes(event.record)
        if raw[:1] != b'"' or raw[:2] == b'"{':
            return self._structured(event, raw, others, index)
        return self._exceptional(event, raw, others, index)

    def _general(
        self,
        time: str,
        level: str,
        body: bytes,
        more: bytes,
        tail: tuple[bytes, bytes],
        index: int,
        stamp: bytes = b"",
    ) -> bytes:
        stamp = stamp or self._stamp(time)
        if not stamp and time:  # not a timestamp, but what was there in its place
            more += key_value("aws.lambda.event.time", b'{"stringValue":%b}' % _to_json(time)) + b","
        severity = self._severities.get(level)
        if severity is None:
            severity = self._severity(level)
        return b'%b%b%b,"body":%b,"attributes":[%b%b%d%b' % (
            self._observed,
            stamp,
            severity,
            body,
            more,
            tail[0],
            index,
            tail[1],
        )

    @staticmethod
    def _severity(level: str) -> bytes:
        """Of a level that is spelt as hardly any is."""
        return b',"severityNumber":%d,"severityText":%b' % (number_of(level), _to_json(level))

    def _stamp(self, time: str) -> bytes:
        stamp = self._stamps.get(time)
        if stamp is not None:
            return stamp
        unix_ns = self._times.unix_ns(time)
        stamp = b"" if unix_ns is None else b',"timeUnixNano":"%d"' % unix_ns
        if len(self._stamps) >= _MOST_REMEMBERED:
            self._stamps.clear()
        self._stamps[time] = stamp
        return stamp

    def _tail(self, kind: str, named: str) -> tuple[bytes, bytes]:
        """What stands before and after the index that ends a record's id: its attributes, and its trace."""
        tail = self._tails.get((kind, named))
        if tail is not None:
            return tail
        context = self._context or Context()
        request_id = named or context.request_id
        head = b""
        if kind not in ("", "function"):
            head += key_value("aws.lambda.event.type", b'{"stringValue":%b}' % _to_json(kind)) + b","
        if request_id:
            head += key_value("faas.invocation_id", b'{"stringValue":%b}' % _to_json(request_id)) + b","
        head += b'{"key":"log.record.uid","value":{"stringValue":"%b-' % self._uid
        trace_id, span_id, flags = context.trace_of(request_id)
        tail = head, _trace_end(trace_id, span_id, flags)
        if len(self._tails) >= _MOST_REMEMBERED:
            self._tails.clear()
        self._tails[kind, named] = tail
        return tail


def _trace_end(trace_id: str, span_id: str, flags: int | None) -> bytes:
    """The record's end, its trace context in it."""
    end = b'"}}]'
    if trace_id:
        end += b',"traceId":"%b"' % trace_id.encode()
    if span_id:
        end += b',"spanId":"%b"' % span_id.encode()
    if trace_id and flags is not None:
        end += b',"flags":%d' % flags
    return end + b"}"
