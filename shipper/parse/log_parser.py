"""From an event to what it means: the one place where a line's time, level, ids, exception and body are found.

A plain text line is the common case and the fast one: `line` finds all there is to find in it without decoding it.
Every event, whatever it is, has a record.
"""

import functools
from types import ModuleType

import msgspec

from lifecycle.contract.frames import Frame
from lifecycle.contract.json_text import as_text, without_newline
from shipper.model.context import NOTHING, TENANT_ID, Context, request_id_of
from shipper.model.events import AnyEvent, BrokenEvent, Event, OddEvent, WiderEvent
from shipper.model.log_record import ExceptionInfo, LogRecord, Origin, TextLine
from shipper.parse.text_formats import FORMATS, may_hold_exception, text_head
from shipper.parse.times import KNOWN, unix_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from shipper.parse.json_lines import Line

    Attributes = tuple[tuple[str, bytes], ...]

# Pairs of event type and request remembered while a frame is read.
_MOST_REMEMBERED = 512

_NS_PER_S = 1_000_000_000

# What is longer is not taken apart: Lambda's own lines end at this size, and each part costs more than its text.
_LARGE_BYTES = 262_144
_EXAMINED_BYTES = 32_768

# Values in a line that are written as such; where there are more, what is nested is text.
_MOST_VALUES = 1024

# An id, with its quotes and what may be escaped in it; what is longer names no invocation.
_MOST_ID_BYTES = 256

# What Lambda's JSON format calls the tenant that an invocation is for.
_TENANT = "tenantId"

# A type that is longer is none of the platform's.
_MOST_TYPE = 128

# By its first byte a text line may be more than text: JSON, or what Node.js, Go and Rust say when memory is exhausted
# (`FATAL ERROR: …`, `fatal error: …`, `memory allocation of …`).
_UNPLAIN = frozenset(b"{Ffm")

_QUOTE, _BRACE = _JSON_MARKS = b'"{'

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
        self._named: dict[tuple[bytes, bool], str] = {}
        self._context = NOTHING
        self._observed_ns = 0
        self._batch_id = ""

    def begin(self, frame: Frame) -> None:
        """Takes what the frame says of all its events."""
        self._observed_ns = frame.observed_ns
        self._batch_id = frame.digest.hex()
        self._origins = {}

    def _enter(self, context: Context) -> None:
        """What is remembered of lines holds for one context."""
        self._context, self._origins, self._named = context, {}, {}

    def line(self, event: Event, index: int, context: Context) -> TextLine | LogRecord:
        """What an event means, in as few steps as there can be: a plain text line needs no record."""
        raw = bytes(event.record)
        if len(raw) > _LARGE_BYTES:
            raw = b""  # it is not to be in memory twice
            return self.record(event, index, context)
        # Nearly no line has a backslash before its end, and what tells an exception has: it has lines, or is JSON.
        if (
            raw[0] != _QUOTE
            or ((first := raw[1]) in _UNPLAIN and (first == _BRACE or b"emory" in raw))
            or (raw.find(b"\\", 0, -3) >= 0 and may_hold_exception(raw))
        ):
            if context is not self._context:
                self._enter(context)
            return self._read(event, index, raw, ())
        time = event.time
        level = request_id = ""
        if first in FORMATS:
            level, request_id, written, is_error = text_head(raw)
            if is_error:
                return self.record(event, index, context)
            if written and unix_ns(written) is not None:
                time = written
        time_ns = KNOWN.get(time)
        if time_ns is None:
            time_ns = unix_ns(time)
            if time_ns is None:
                return self.record(event, index, context)
        if context is not self._context:
            self._enter(context)
        origin = self._origins.get((event.type, request_id))
        if origin is None:
            origin = self._origin(event.type, request_id)
        if origin.tenant:
            return self.record(event, index, context)
        return TextLine(raw, time_ns, level, origin)

    def origin(self, event: Event, context: Context) -> Origin:
        """Whose line an event is, for who needs to know no more."""
        if context is not self._context:
            self._enter(context)
        if len(event.record) > _LARGE_BYTES:
            return self._origin_of_large(event)
        raw = bytes(event.record)
        mark = raw[:1]
        if mark == b'"' and raw[1] != _BRACE:
            named = text_head(raw)[1] if raw[1] in FORMATS else ""
            return self._origins.get((event.type, named)) or self._origin(event.type, named)
        if event.type.startswith("platform."):
            return self._origin(event.type, request_id_of(raw))
        if mark not in b'{"':
            return self._origin(event.type, "")
        members = self._json.members_of(raw)
        return self._origin_of(event.type, self._json.ids_of(members or {}, self._invocation_named))

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
        if mark == _QUOTE and raw[1] != _BRACE:
            return self._of_text(event, index, raw, others)
        if event.type.startswith("platform."):
            return self._of_platform(event, index, raw, others)
        if mark in _JSON_MARKS and (members := self._json.members_of(raw)) is not None:
            return self._of_json(event, index, raw, members, others)
        if mark == _QUOTE:
            return self._of_text(event, index, raw, others)
        if mark == _BRACE:
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

    def _of_text(self, event: Event, index: int, raw: bytes, others: "Attributes") -> LogRecord:
        """A text line, which may tell of an exception."""
        level, request_id, time, is_error = text_head(raw)
        exception = None
        if is_error or may_hold_exception(raw):
            from shipper.parse.exceptions import in_text

            exception = in_text(_text.decode(raw))
            level = level or ("ERROR" if exception is not None else "")
        if not time or unix_ns(time) is None:
            time = event.time
        origin = self._origin(event.type, request_id)
        return self._record(event, index, origin, time, without_newline(raw), others, level, exception)

    def _of_large(self, event: Event, index: int, others: "Attributes") -> LogRecord:
        """A record that is not taken apart, for want of memory: its text, and what it says of itself."""
        view = memoryview(event.record)
        if view[0] == _QUOTE:
            head = bytes(view[:_EXAMINED_BYTES])
            level, request_id, time, _ = text_head(head)
            exception = None
            if may_hold_exception(head):
                from shipper.parse.exceptions import in_text

                exception = in_text(_beginning(head))
                level = level or ("ERROR" if exception is not None else "")
            if not time or unix_ns(time) is None:
                time = event.time
            end = bytes(view[-_EXAMINED_BYTES:])
            body = b"".join((view[:-3], b'"')) if without_newline(end) is not end else bytes(view)
            origin = self._origin(event.type, request_id)
            return self._record(event, index, origin, time, body, others, level, exception)
        line = self._head_of_large(event)
        origin = self._origin_of(event.type, line)
        time_ns = line.time_ns
        if time_ns is not None and not line.is_exact:
            time_ns = _written_ns(time_ns, event.time)
        body = as_text(view)
        return self._record(event, index, origin, event.time, body, others, line.level, None, time_ns, line.logger)

    def _origin_of_large(self, event: Event) -> Origin:
        view = memoryview(event.record)
        if view[0] == _QUOTE:
            return self._origin(event.type, text_head(bytes(view[:_EXAMINED_BYTES]))[1])
        return self._origin_of(event.type, self._head_of_large(event))

    def _head_of_large(self, event: Event) -> "Line":
        is_object = memoryview(event.record)[0] == _BRACE
        found: Line = self._json.head_of(event.record, self._invocation_named) if is_object else self._json.Line()
        return found

    def _of_json(
        self, event: Event, index: int, raw: bytes, members: dict[str, bytes], others: "Attributes"
    ) -> LogRecord:
        """A line that is a JSON object: no member of it is lost."""
        count = len(members)
        line: Line = self._json.line_of(members, self._invocation_named)
        exception = line.exception
        rest = line.rest
        if line.message is not None:
            body = without_newline(line.message)
            attributes = others + tuple(rest.items())
        elif exception is not None and exception.message:
            body = _to_json(exception.message)
            attributes = others + tuple(rest.items())
        else:
            if not rest:
                rest = self._json.members_of(raw) or {}
            is_whole = raw[:1] == b"{" and len(rest) == count
            body = raw if is_whole else self._json.object_of(rest)
            attributes = others
        if len(raw) > _MOST_VALUES and raw.count(b",") > _MOST_VALUES:
            body, attributes = _narrowed(body, attributes)
        level = line.level or ("ERROR" if exception is not None and exception.is_uncaught else "")
        origin = self._origin_of(event.type, line)
        time_ns = line.time_ns
        if time_ns is not None and not line.is_exact:
            time_ns = _written_ns(time_ns, event.time)
        return self._record(event, index, origin, event.time, body, attributes, level, exception, time_ns, line.logger)

    def _of_platform(self, event: Event, index: int, raw: bytes, others: "Attributes") -> LogRecord:
        """A platform event: one readable line, and what it says as an attribute. Unknown ones as they are."""
        from shipper.model.platform_records import record_of
        from shipper.parse.platform_lines import line_of

        known = record_of(event.type, raw)
        origin = self._origin(event.type, request_id_of(raw))
        if known is None:
            return self._record(event, index, origin, event.time, as_text(raw), others)
        line, level = line_of(event.type, known)
        _, attributes = _narrowed(b"0", (*others, ("aws.lambda.event.record", raw)))
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
        if origin.tenant:  # by one name, whether the line has it, in Lambda's JSON format, or not
            others = tuple(pair for pair in attributes if pair != (_TENANT, origin.tenant))
            attributes = (*others, (TENANT_ID, origin.tenant))
        return LogRecord(event, index, origin, body, time_ns, level, attributes, exception, scope)

    @functools.cached_property
    def _json(self) -> ModuleType:
        """Loaded with the first line that is JSON."""
        from shipper.parse import json_lines

        return json_lines

    def _invocation_named(self, raw: bytes, *, is_sure: bool) -> str:
        """The invocation that a raw value names; see `Context.invocation_named`."""
        key = raw, is_sure
        request_id = self._named.get(key)
        if request_id is None:
            is_text = raw[:1] == b'"' and len(raw) <= _MOST_ID_BYTES
            request_id = self._context.invocation_named(_text.decode(raw), is_sure=is_sure) if is_text else ""
            if len(self._named) >= _MOST_REMEMBERED:
                self._named.clear()
            if len(raw) <= _MOST_ID_BYTES:
                self._named[key] = request_id
        return request_id

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

    def _origin_of(self, event_type: str, line: "Line") -> Origin:
        """The same of a line that may have ids of its own: its invocation's trace fills in the rest."""
        request_id, trace_id, span_id = line.request_id, line.trace_id, line.span_id
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
        if len(event_type) <= _MOST_TYPE:
            self._origins[key] = origin
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


def _written_ns(said_ns: int, time: str) -> int:
    """When a line was written that says so to the second: one that is the event's own says less than the event does."""
    event_ns = unix_ns(time)
    return event_ns if event_ns is not None and 0 <= event_ns - said_ns < _NS_PER_S else said_ns
