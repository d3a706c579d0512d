"""From an event to what it means: the one place where a line's time, level, ids, exception and body are found.

A plain text line is the common case and the fast one: `line` finds all there is to find in it without decoding it.
Every event, whatever it is, has a record.
"""

from types import ModuleType

import msgspec

from lifecycle.contract import late
from lifecycle.contract.frames import Frame
from lifecycle.contract.json_text import as_text, without_newline
from lifecycle.contract.quick import cached_property
from shipper.model.context import MOST_ID, NOTHING, TENANT_ID, Context, request_id_of
from shipper.model.events import AnyEvent, BrokenEvent, Event, OddEvent, WiderEvent
from shipper.model.log_record import ExceptionInfo, LogRecord, Origin
from shipper.parse.text_formats import (
    BEGINNINGS,
    FORMATS,
    SMALL,
    UNTOLD,
    TextHead,
    may_hold_exception,
    object_behind,
    prefix_bytes,
    text_head,
)
from shipper.parse.times import KNOWN, NEAR_NS, unix_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shipper.model.events import Run
    from shipper.model.log_record import Records, WriteText
    from shipper.parse.json_lines import Line, Named
    from shipper.parse.json_shapes import KnownShapes, Shape

    Attributes = tuple[tuple[str, bytes], ...]

# Pairs of event type and request remembered while a frame is read.
_MOST_REMEMBERED = 512

_NS_PER_S = 1_000_000_000

# What is longer is not taken apart: Lambda's own lines end at this size, and each part costs more than its text.
_LARGE_BYTES = 262_144
_EXAMINED_BYTES = 32_768

# Values in a line that are written as such; where there are more, what is nested is text.
_MOST_VALUES = 1024

# What Lambda's JSON format calls the tenant that an invocation is for.
_TENANT = "tenantId"

# A type that is longer is none of the platform's.
_MOST_TYPE = 128

# By its first byte a text line may be more than text: JSON, with white space or a byte order mark before it, or what
# Node.js, Go and Rust say when memory is exhausted (`FATAL ERROR: …`, `fatal error: …`, `memory allocation of …`).
UNPLAIN = frozenset(b"{ \\\xefFfm")
_BEFORE_JSON = frozenset(b" \\\xef")
_JSON_START = late.pattern(rb'"(?: |\\[tnr]|\\u[fF][eE][fF][fF]|\xef\xbb\xbf)*\{')

_QUOTE, BRACE = _JSON_MARKS = b'"{'

# Levels and loggers' names remembered of lines of a shape.
_MOST_WORDS = 64

_to_json = msgspec.json.Encoder().encode
_text = msgspec.json.Decoder(str)


class LogParser:
    """Reads the events of one frame after another.

    Args:
        shown: Says how a text is shown that is not in the event: what of it may not be, replaced.
    """

    def __init__(self, shown: "Callable[[str], str]" = str) -> None:
        self._shown = shown
        self._origins: dict[tuple[object, ...], Origin] = {}
        self._plain: dict[str, Origin] = {}
        self._named: Named | None = None
        self._context = NOTHING
        self._observed_ns = 0
        self._batch_id = ""

    def begin(self, frame: Frame) -> None:
        """Takes what the frame says of all its events."""
        self._observed_ns = frame.observed_ns
        self._batch_id = frame.digest.hex()
        self._origins, self._plain = {}, {}

    def _enter(self, context: Context) -> None:
        """What is remembered of lines holds for one context."""
        self._context, self._origins, self._plain, self._named = context, {}, {}, None

    def line(self, event: Event, index: int, context: Context, write: "WriteText") -> bytes | LogRecord:
        """What an event means, in as few steps as there can be: a plain text line needs no record.

        Args:
            event: Which one.
            index: Its place in the batch.
            context: Before it.
            write: Writes a plain text line: see `Encoder`.

        Returns:
            What was written, or what is to be.
        """
        raw = bytes(event.record)
        if len(raw) > _LARGE_BYTES:
            raw = b""  # it is not to be in memory twice
            return self.record(event, index, context)
        # Nearly no line has a backslash before its end, and what tells an exception has: it has lines, or is JSON.
        if (
            raw[0] != _QUOTE
            or ((first := raw[1]) in UNPLAIN and (first == BRACE or is_unplain(raw, first)))
            or (raw.find(b"\\", 0, -3) >= 0 and may_hold_exception(raw))
        ):
            if context is not self._context:
                self._enter(context)
            return self._read(event, index, raw, ())
        time = event.time
        level = request_id = written = ""
        if first in FORMATS and (first < SMALL or raw[1:3] in BEGINNINGS):
            level, request_id, written, is_error = text_head(raw)
            if is_error or (raw.find(b"}", -4) > 0 and object_behind(raw)):
                return self.record(event, index, context)
        time_ns = KNOWN.get(time)
        if time_ns is None:
            time_ns = unix_ns(time)
            if time_ns is None:
                return self.record(event, index, context)
        if written and written != time:
            time_ns = _near(written, time_ns) or time_ns
        if context is not self._context:
            self._enter(context)
        kind = event.type
        # Most lines name no request, and a key of two costs as much as looking it up.
        origin = self._origins.get((kind, request_id)) if request_id else self._plain.get(kind)
        if origin is None:
            origin = self._origin(kind, request_id)
        if origin.tenant:
            return self.record(event, index, context)
        return write(raw, time_ns, level, origin, index)

    def origin(self, event: Event, context: Context) -> Origin:
        """Whose line an event is, for who needs to know no more."""
        if context is not self._context:
            self._enter(context)
        if len(event.record) > _LARGE_BYTES:
            return self._origin_of_large(event)
        raw = bytes(event.record)
        mark = raw[0]
        if mark == _QUOTE and raw[1] != BRACE and not _begins_like_json(raw):
            head = text_head(raw) if raw[1] in FORMATS else UNTOLD
            within = self._within(event, raw, head)
            if within is not None:
                return self._origin_of(event.type, within)
            return self._origins.get((event.type, head[1])) or self._origin(event.type, head[1])
        if event.type.startswith("platform."):
            return self._origin(event.type, request_id_of(raw))
        if mark not in _JSON_MARKS:
            return self._origin(event.type, "")
        members = self._json.members_of(raw)
        if members is not None:
            return self._origin_of(event.type, self._json.ids_of(members, self._named or self._name()))
        if mark == BRACE:
            return self._origin_of_large(event)
        return self._origin_of(event.type, self._json.beginning_of(_text.decode(raw), self._named or self._name()))

    @property
    def shapes(self) -> "KnownShapes | None":
        """What lines of JSON are like, where any were read that are like others."""
        found: KnownShapes | None = self.__dict__.get("_shapes")
        return found if found is not None and found.is_any_known else None

    def records(self, run: "Run", index: int, context: Context) -> "Records | None":
        """What the lines of a run mean, of which the first has such a place; None where each has to be read."""
        from shipper.parse.json_runs import records_of

        if context is not self._context:
            self._enter(context)
        return records_of(run, index, self._named or self._name(), self._origin_in)  # type: ignore[arg-type]

    def origin_of_text(self, request_id: str, context: Context) -> Origin:
        """Whose a text line of the function is, by the invocation that it names; "" for none."""
        if context is not self._context:
            self._enter(context)
        return self._origin("function", request_id)

    def record(self, event: AnyEvent, index: int, context: Context) -> LogRecord:
        """What an event means."""
        if context is not self._context:
            self._enter(context)
        others: Attributes = ()
        if type(event) is not Event:
            if isinstance(event, OddEvent):
                return self._record(event, index, self._origin("", ""), event.time, as_text(event.json))
            if isinstance(event, BrokenEvent):
                cut = ("aws.lambda.event.cut_bytes", b"%d" % event.lost_bytes)
                return self._record(event, index, self._origin("", ""), "", _to_json(event.text), (cut,))
            if isinstance(event, WiderEvent):
                others = tuple((f"aws.lambda.event.{name}", bytes(value)) for name, value in event.others.items())
        if len(event.record) > _LARGE_BYTES:
            return self._of_large(event, index, others)
        return self._read(event, index, bytes(event.record), others)

    def _read(self, event: Event, index: int, raw: bytes, others: "Attributes") -> LogRecord:
        """What a record says that is taken apart, by what it is."""
        mark = raw[0]
        if mark == _QUOTE and raw[1] != BRACE and not _begins_like_json(raw):
            return self._of_text(event, index, raw, others)
        if event.type.startswith("platform."):
            return self._of_platform(event, index, raw, others)
        if mark in _JSON_MARKS:
            event_ns = _event_ns(event)
            shape, values = self._shapes.of(raw)
            if shape is not None and event_ns is not None:
                record = self._of_shape(event, index, event_ns, shape, values, others)
                if record is not None:
                    return record
            members = self._json.members_of(raw)
            if members is not None:
                names = tuple(members)
                line = self._json.line_of(members, self._named or self._name(), event_ns)
                if (
                    self._shapes.is_due(names)
                    and (meanings := self._json.meanings_of(names)) is not None
                    and (line.trace_id or not meanings.trace)
                ):
                    self._shapes.learn(raw, meanings)
                return self._of_json(event, index, raw, line, len(names), others)
        if mark == _QUOTE:
            return self._of_broken(event, index, raw, others)
        if mark == BRACE:
            return self._of_large(event, index, others)
        return self._record(event, index, self._origin(event.type, ""), event.time, as_text(raw), others)

    def unread(self, event: AnyEvent, index: int, context: Context) -> LogRecord:
        """An event as text, without a look at what it means: for one that a shipper died of, or cannot map."""
        if context is not self._context:
            self._enter(context)
        if isinstance(event, BrokenEvent):
            return self._record(event, index, self._origin("", ""), "", _to_json(event.text))
        raw = event.json if isinstance(event, OddEvent) else bytes(event.record)
        kind = "" if isinstance(event, OddEvent) else event.type
        body = raw if raw[:1] == b'"' else as_text(raw)
        return self._record(event, index, self._origin(kind, ""), event.time, body)

    def _within(self, event: Event, raw: bytes, head: TextHead) -> "Line | None":
        """The line of another logger, in JSON, behind what a runtime writes before each; None where there is none."""
        behind = object_behind(raw) if raw.find(b"}", -4) > 0 else b""
        if not behind:
            return None
        event_ns = _event_ns(event)
        line: Line | None = self._json.line_within(behind, self._named or self._name(), event_ns)
        if line is None:
            return None
        level, request_id, written, _ = head
        line.level, line.is_wrapped = line.level or level, True
        line.request_id = line.request_id or self._context.invocation_named(request_id, is_sure=True)
        if line.time_ns is None and written:
            line.time_ns, line.is_exact = _near(written, event_ns), True
        return line

    def _of_text(self, event: Event, index: int, raw: bytes, others: "Attributes") -> LogRecord:
        """A text line, which may tell of an exception, or be another logger's line in JSON behind a runtime's head."""
        head = text_head(raw)
        within = self._within(event, raw, head)
        if within is not None:
            return self._of_json(event, index, raw, within, 0, others)
        level, request_id, written, is_error = head
        prefix = prefix_bytes(raw) if level else 0
        exception = None
        if is_error or may_hold_exception(raw):
            from shipper.parse.exceptions import in_text

            exception = in_text(_text.decode(raw))
            level = level or ("ERROR" if exception is not None else "")
        time_ns = _near(written, _event_ns(event)) if written else None
        origin = self._origin(event.type, request_id)
        body = without_newline(raw)
        record = self._record(event, index, origin, event.time, body, others, level, exception, time_ns)
        record.prefix_bytes = prefix
        return record

    def _of_broken(self, event: Event, index: int, raw: bytes, others: "Attributes") -> LogRecord:
        """A text line that begins like JSON and is none: the text whole, and what it says of itself."""
        text = _text.decode(raw)
        line: Line = self._json.beginning_of(text, self._named or self._name(), _event_ns(event))
        if may_hold_exception(raw):
            from shipper.parse.exceptions import in_text

            line.exception = in_text(text)
            line.level = line.level or ("ERROR" if line.exception is not None else "")
        return self._of_line(event, index, line, without_newline(raw), others)

    def _of_large(self, event: Event, index: int, others: "Attributes") -> LogRecord:
        """A record that is not taken apart, for want of memory: its text, and what it says of itself."""
        view = memoryview(event.record)
        if view[0] == BRACE:
            line: Line = self._json.head_of(event.record, self._named or self._name(), _event_ns(event))
            return self._of_line(event, index, line, as_text(view), others)
        if view[0] != _QUOTE:
            return self._record(event, index, self._origin(event.type, ""), event.time, as_text(view), others)
        head = bytes(view[:_EXAMINED_BYTES])
        end = bytes(view[-_EXAMINED_BYTES:])
        body = b"".join((view[:-3], b'"')) if without_newline(end) is not end else bytes(view)
        exception = None
        if may_hold_exception(head):
            from shipper.parse.exceptions import in_text

            exception = in_text(_beginning(head))
        if _begins_like_json(head):
            line = self._json.beginning_of(_beginning(head), self._named or self._name(), _event_ns(event))
            line.exception, line.level = exception, line.level or ("ERROR" if exception is not None else "")
            return self._of_line(event, index, line, body, others)
        level, request_id, written, _ = text_head(head)
        level = level or ("ERROR" if exception is not None else "")
        time_ns = _near(written, _event_ns(event)) if written else None
        origin = self._origin(event.type, request_id)
        return self._record(event, index, origin, event.time, body, others, level, exception, time_ns)

    def _origin_of_large(self, event: Event) -> Origin:
        view = memoryview(event.record)
        if view[0] == BRACE:
            return self._origin_of(event.type, self._json.head_of(event.record, self._named or self._name()))
        if view[0] != _QUOTE:
            return self._origin(event.type, "")
        head = bytes(view[:_EXAMINED_BYTES])
        if _begins_like_json(head):
            return self._origin_of(event.type, self._json.beginning_of(_beginning(head), self._named or self._name()))
        return self._origin(event.type, text_head(head)[1])

    def _of_shape(
        self,
        event: Event,
        index: int,
        event_ns: int,
        shape: "Shape",
        values: "Sequence[bytes]",
        others: "Attributes",
    ) -> LogRecord | None:
        """A line of a known shape; None where a value is not what it usually is, and the long way has to be gone."""
        level, logger, request_id = shape.unsaid_level, "", ""
        if shape.level >= 0:
            level = shape.levels.get(values[shape.level]) or self._level_in(shape, values)
            if not level:
                return None
        if shape.logger >= 0:
            logger = shape.loggers.get(values[shape.logger]) or self._logger_in(shape, values)
            if not logger:
                return None
        time_ns = event_ns
        if shape.time >= 0:
            written_ns, is_exact = self._json.moment_of(shape.raw(values, shape.time), event_ns)
            if written_ns is None:
                return None
            if is_exact or not 0 <= event_ns - written_ns < _NS_PER_S:
                time_ns = written_ns
        rest = shape.rests[-1]
        if shape.invocations:
            named = self._named or self._name()
            for place, is_sure in shape.invocations:
                request_id = named[is_sure][shape.raw(values, place)]
                if request_id:
                    rest = shape.rests[place]
                    break
        trace = shape.raw(values, shape.trace) if shape.trace >= 0 else b""
        origin = self._origin_in(event.type, request_id, trace)
        if origin is None or origin.tenant:
            return None
        pairs = [(name, b'"%b"' % values[place] if is_text else values[place]) for name, place, is_text in rest]
        body = b'"%b"' % values[shape.message]
        return LogRecord(event, index, origin, body, time_ns, level, others + tuple(pairs), None, logger)

    def _level_in(self, shape: "Shape", values: "Sequence[bytes]") -> str:
        """A level that is written for the first time; "" for none."""
        level: str = self._json.LEVELS.get(shape.raw(values, shape.level), "")
        if level and len(shape.levels) < _MOST_WORDS:
            shape.levels[values[shape.level]] = level
        return level

    def _logger_in(self, shape: "Shape", values: "Sequence[bytes]") -> str:
        """Likewise of a logger's name."""
        logger: str = self._json.logger_of(shape.raw(values, shape.logger))
        if logger and len(shape.loggers) < _MOST_WORDS:
            shape.loggers[values[shape.logger]] = logger
        return logger

    def _of_json(
        self, event: Event, index: int, raw: bytes, line: "Line", count: int, others: "Attributes"
    ) -> LogRecord:
        """A line that is a JSON object: no member of it is lost.

        Args:
            event: What it is of.
            index: Its place in the batch.
            raw: The object, or the text that holds it.
            line: Its parts.
            count: How many members it had.
            others: What else is known of the event.
        """
        exception = line.exception
        rest = line.rest
        if line.message is not None:
            body = without_newline(line.message)
            attributes = others + tuple(rest.items())
        elif exception is not None and exception.message:
            body = _to_json(exception.message)
            attributes = others + tuple(rest.items())
        else:
            if not rest and not line.is_wrapped:
                rest = self._json.members_of(raw) or {}
            is_whole = raw[:1] == b"{" and len(rest) == count and not line.is_wrapped
            body = raw if is_whole else self._json.object_of(rest)
            attributes = others
        if len(raw) > _MOST_VALUES and raw.count(b",") > _MOST_VALUES:
            body, attributes = _narrowed(body, attributes)
        return self._of_line(event, index, line, body, attributes)

    def _of_line(self, event: Event, index: int, line: "Line", body: bytes, attributes: "Attributes") -> LogRecord:
        """The record of a line that was taken apart."""
        exception, time_ns, event_ns = line.exception, line.time_ns, line.event_ns
        if time_ns is None:
            time_ns = event_ns
            if time_ns is None and event.time:
                attributes = (*attributes, ("aws.lambda.event.time", _to_json(event.time)))
        elif not line.is_exact and event_ns is not None and 0 <= event_ns - time_ns < _NS_PER_S:
            time_ns = event_ns  # to the second, it says less than the event does
        level = line.level or ("ERROR" if exception is not None and exception.is_uncaught else "")
        origin = self._origin_of(event.type, line)
        if origin.tenant:
            attributes = _with_tenant(attributes, origin)
        return LogRecord(event, index, origin, body, time_ns, level, attributes, exception, line.logger)

    def _of_platform(self, event: Event, index: int, raw: bytes, others: "Attributes") -> LogRecord:
        """A platform event: one readable line, and what it says as an attribute. Unknown ones as they are."""
        from shipper.model.platform_records import Ended, Started, record_of
        from shipper.parse.platform_lines import line_of

        known = record_of(event.type, raw)
        request_id = known.request_id if isinstance(known, Started | Ended) else request_id_of(raw)
        origin = self._origin(event.type, request_id if len(request_id) <= MOST_ID else "")
        if known is None:
            return self._record(event, index, origin, event.time, as_text(raw), others)
        line, level = line_of(event.type, known)
        attributes = (*others, ("aws.lambda.event.record", raw))
        if others or raw.count(b",") > _MOST_VALUES:
            _, attributes = _narrowed(b"0", attributes)
        return self._record(event, index, origin, event.time, _to_json(line), attributes, level)

    def _record(
        self,
        event: AnyEvent,
        index: int,
        origin: Origin,
        time: str,
        body: bytes,
        attributes: "Attributes" = (),
        level: str = "",
        exception: ExceptionInfo | None = None,
        time_ns: int | None = None,
        scope: str = "",
    ) -> LogRecord:
        if time_ns is None:
            time_ns = unix_ns(time)
            if time_ns is None and time:  # no timestamp, but what was there in its place
                attributes = (*attributes, ("aws.lambda.event.time", _to_json(time)))
        if origin.tenant:
            attributes = _with_tenant(attributes, origin)
        return LogRecord(event, index, origin, body, time_ns, level, attributes, exception, scope)

    @cached_property
    def _json(self) -> ModuleType:
        """Loaded with the first line that is JSON."""
        from shipper.parse import json_lines

        return json_lines

    @cached_property
    def _shapes(self) -> "KnownShapes":
        from shipper.parse.json_shapes import KnownShapes

        return KnownShapes()

    def _name(self) -> "Named":
        """What says which invocation a line names, in this context."""
        named: Named = self._json.invocations_of(self._context)
        self._named = named
        return named

    def _origin(self, event_type: str, named: str) -> Origin:
        """Of the invocation that a line names where runtimes name it, or the platform; or of that under way."""
        origin = self._origins.get((event_type, named))
        if origin is None:
            context = self._context
            is_told = event_type.startswith("platform.")
            request_id = named if is_told else context.invocation_named(named, is_sure=True)
            request_id = request_id or context.request_id
            origin = self._made((event_type, named), event_type, request_id, *context.trace_of(request_id))
        return origin

    def _origin_in(self, event_type: str, request_id: str, trace: bytes) -> Origin | None:
        """The same of a line that may name its trace as well, as a raw value; None where that is none."""
        if not trace:
            return self._origins.get((event_type, request_id)) or self._origin(event_type, request_id)
        told: Line | None = self._json.traced_by(trace)
        return None if told is None else self._origin_of(event_type, told, request_id)

    def _origin_of(self, event_type: str, line: "Line", request_id: str = "") -> Origin:
        """The same of a line that may have ids of its own: its invocation's trace fills in the rest."""
        request_id = request_id or line.request_id
        trace_id, span_id = line.trace_id, line.span_id
        origin = self._origins.get((event_type, request_id)) or self._origin(event_type, request_id)
        if not trace_id and not span_id:
            return origin
        key = event_type, request_id, trace_id, span_id, line.parent_id, line.flags
        own = self._origins.get(key)
        if own is None:
            flags = line.flags
            if trace_id in ("", origin.trace_id):
                trace_id, span_id = origin.trace_id, span_id or origin.span_id
                flags = origin.flags if flags is None else flags
            else:
                span_id = span_id or line.parent_id
            own = self._made(key, event_type, origin.request_id, trace_id, span_id, flags)
        return own

    def _made(
        self,
        key: tuple[object, ...],
        event_type: str,
        request_id: str,
        trace_id: str,
        span_id: str,
        flags: int | None,
    ) -> Origin:
        """One that is remembered, by its type and what its line named."""
        origin = Origin(event_type, request_id, trace_id, span_id, flags, self._observed_ns, self._batch_id)
        tenant = self._context.tenant_of(request_id)
        if tenant:
            origin.tenant = _to_json(self._shown(tenant))
        if len(self._origins) >= _MOST_REMEMBERED:
            self._origins.clear()
            self._plain.clear()
        if len(event_type) <= _MOST_TYPE:
            self._origins[key] = origin
            if key == (event_type, ""):
                self._plain[event_type] = origin
        return origin


def _narrowed(body: bytes, attributes: "Attributes") -> "tuple[bytes, Attributes]":
    """Body and attributes, what is nested in them as text if there is much of it: values cost more than their text."""
    nested = [raw for raw in (body, *(raw for _, raw in attributes)) if raw[:1] in b"{["]
    if sum(raw.count(b",") for raw in nested) <= _MOST_VALUES:
        return body, attributes
    pairs = tuple((name, as_text(raw) if raw[:1] in b"{[" else raw) for name, raw in attributes)
    return as_text(body) if body[:1] in b"{[" else body, pairs


def _beginning(head: bytes) -> str:
    """The text of the first part of a raw JSON string, less what may have been cut in two."""
    safe = head.rfind(b"\\", len(head) - 12)
    if safe >= 0:
        head = head[: safe - (head[safe - 1 : safe] == b"\\")]
    try:
        return _text.decode(head.decode("utf-8", "ignore").encode() + b'"')
    except msgspec.MsgspecError:
        return ""


def _with_tenant(attributes: "Attributes", origin: Origin) -> "Attributes":
    """Attributes with the tenant by one name, whether the line has it, in Lambda's JSON format, or not."""
    others = tuple(pair for pair in attributes if pair != (_TENANT, origin.tenant))
    return (*others, (TENANT_ID, origin.tenant))


def _event_ns(event: Event) -> int | None:
    """When an event was made, in nanoseconds since the epoch."""
    known = KNOWN.get(event.time)
    return unix_ns(event.time) if known is None else known


def _near(written: str, event_ns: int | None) -> int | None:
    """When a line was written, by what stands in it, if that is near to its event."""
    time_ns = unix_ns(written)
    if time_ns is None or event_ns is None:
        return time_ns
    return time_ns if -NEAR_NS <= time_ns - event_ns <= NEAR_NS else None


def _begins_like_json(raw: bytes) -> bool:
    """Whether a JSON string begins like an object, white space and a byte order mark aside."""
    return raw[1] == BRACE or (raw[1] in _BEFORE_JSON and _JSON_START.match(raw) is not None)


def is_unplain(raw: bytes, first: int) -> bool:
    """Whether a text line that begins so is more than text."""
    return _JSON_START.match(raw) is not None if first in _BEFORE_JSON else b"emory" in raw
