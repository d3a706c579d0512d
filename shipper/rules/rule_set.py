"""What leaves, and with what blanked: least severity, patterns kept and dropped, redaction, sampling.

In this order: sample, severity, keep, drop, redact. Every record that a rule stops is counted under the setting's name.
Loaded only where a rule is set.

Rules fail closed: what cannot be judged or redacted is blanked whole and counted, never shipped as it came. Where a
redaction cannot be read nothing is sent at all.

Whoever writes something else than the records, spans and metrics that are judged here passes it through `redact_text`
and `redact_pairs` first, what the function itself exports through `redact_message`, and drops all of it where
`sends_nothing`.
"""

import copy

import msgspec

from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings
from shipper.invocations.invocation import failure
from shipper.model.context import Child, Context
from shipper.model.events import AnyEvent, BrokenEvent, Event, OddEvent, WiderEvent
from shipper.model.log_record import ExceptionInfo, LogRecord
from shipper.model.metrics import Export
from shipper.model.platform_records import Ended, Started, record_of
from shipper.model.semconv import FAAS_INVOCATION_ID
from shipper.model.severity import number_of
from shipper.model.signals import METRICS, TRACES
from shipper.model.span import Span
from shipper.parse.times import unix_ns
from shipper.rules.patterns import BLANK, Patterns, UnreadableError
from shipper.rules.redaction import Redaction
from shipper.rules.sampling import Sample

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from shipper.rules.exports import ExportRedaction

_BLANK = msgspec.json.encode(BLANK)
_text = msgspec.json.Decoder(str)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[msgspec.Raw])
_to_json = msgspec.json.Encoder().encode
replace = msgspec.structs.replace

_TYPES = ("function", "extension")
_PLATFORM = "platform."

# What the platform itself writes into its events: ids by which they are told apart, times, states.
_OF_PLATFORM = frozenset(
    ("metrics", "tracing", "status", "initializationType", "phase", "version", "functionArn", "functionVersion")
)
_OF_PART = ("start", "durationMs")
_REQUEST_ID, _SPANS = "requestId", "spans"

_UUID_DASHES = (8, 13, 18, 23)
_UUID_LENGTH = 36


class UnredactableError(Exception):
    """What is to be blanked in something cannot be told: nothing of it may leave."""


class Judged(msgspec.Struct):
    """What the rules made of a record.

    Attributes:
        event: What it is a record of, with what is to be blanked blanked; the same object where that is nothing.
        reason: The setting that stops it; "" when none does.
        context: After it.
        is_undecided: It can only be told once the invocation's outcome is known.
        is_blanked: Something of it could not be redacted, and is blanked whole.
    """

    event: AnyEvent
    context: Context
    reason: str = ""
    is_undecided: bool = False
    is_blanked: bool = False


class Rules:
    """The rules of one environment.

    Args:
        settings: Name them.
        log: Says which patterns are of no use.

    Attributes:
        sends_nothing: What is to be redacted cannot be read: nothing at all may leave.
    """

    def __init__(self, settings: Settings, log: Log) -> None:
        self._patterns, given = Patterns(log), settings.given
        self._least = number_of(settings.min_level)
        self._keep = self._patterns.compiled(given.get("keep", "TAILRACE_KEEP"), settings.keep)
        self._drop = self._patterns.compiled(given.get("drop", "TAILRACE_DROP"), settings.drop)
        self._redaction: Redaction | None = None
        self._blanked = 0
        self._exports: ExportRedaction | None = None
        self.sends_nothing = False
        try:
            if settings.redact:
                found = self._patterns.redactions(given.get("redact", "TAILRACE_REDACT"), settings.redact)
                self._redaction = Redaction(self._patterns, found)
        except UnreadableError:
            self.sends_nothing = True
        self._sample = Sample(settings.sample) if settings.sample < 1 and not self.sends_nothing else None
        self.looks_ahead = self._sample is not None
        self.look_ahead = self._sample.look_ahead if self._sample else _nothing_ahead

    @property
    def asks_levels_alone(self) -> bool:
        """Whether nothing is looked at of a line but how severe it is."""
        return not (self._keep or self._drop or self._redaction or self._sample or self.sends_nothing)

    def are_severe(self, levels: "Iterable[str]") -> bool:
        """Whether lines of these levels, "" for none, are all severe enough."""
        return not any(0 < number_of(level) < self._least for level in set(levels))

    def leaves_requests(self, signal: str) -> bool:
        """Whether what the function itself exports of a signal is not looked at: it has no severity and no body."""
        is_whole = signal == METRICS or (signal == TRACES and self._sample is None)
        return is_whole and self._redaction is None and not self.sends_nothing

    def judged(self, record: LogRecord, context: Context) -> Judged:
        """What becomes of a line, or of what is no event of the documented shape."""
        judged = Judged(record.event, context)
        if isinstance(record.event, Event) and self._is_sampled_out(judged, record.origin.request_id):
            return judged
        return self._stopped_or_redacted(judged, record)

    def judged_of_platform(self, record: LogRecord, event: Event, context: Context) -> Judged:
        """What becomes of a platform event's log record.

        Args:
            record: The log record.
            event: What it is of.
            context: Before it.
        """
        judged = Judged(event, context)
        reported = record_of(event.type, bytes(event.record))
        if isinstance(reported, Started | Ended):
            one = context.invocation(reported.request_id)
            has_failed = one is not None and bool(failure(one))
            if not has_failed and self._is_sampled_out(judged, reported.request_id):
                return judged
        return self._stopped_or_redacted(judged, record)

    def judged_span(self, record: LogRecord, context: Context) -> Judged:
        """What becomes of a span of the function's own, as a record: it is with the lines of its invocation."""
        judged = Judged(record.event, context)
        self._is_sampled_out(judged, record.origin.request_id)
        return judged

    def blanked(self, event: AnyEvent) -> AnyEvent:
        """An event that cannot be judged: nothing of it is shown where a pattern might have stopped it."""
        return _blanked(event) if self._redaction or self._keep or self._drop else event

    # What is redacted.

    def redact_text(self, text: str) -> str:
        """A text as a reader may see it: the same where there is nothing to redact.

        Raises:
            UnredactableError: That cannot be told; nothing of what it belongs to may leave.
        """
        if self._redaction is None:
            return text
        try:
            return self._redaction.text(text)
        except Exception as exc:
            raise UnredactableError from exc

    def redact_pairs(self, pairs: "Iterable[tuple[str, Any]]") -> "list[tuple[str, Any]]":
        """Attributes as a reader may see them, names and values, in their order.

        Args:
            pairs: Values are text, numbers, and lists and mappings of them. A number in which something is to be
                redacted becomes a text.

        Raises:
            UnredactableError: That cannot be told; nothing of what they belong to may leave.
        """
        if self._redaction is None:
            return list(pairs)
        try:
            return self._redaction.pairs(pairs)
        except Exception as exc:
            raise UnredactableError from exc

    def shown(self, text: str) -> str:
        """A text for the log, which never fails."""
        try:
            return self.redact_text(text)
        except UnredactableError:
            return BLANK

    def redacted_json(self, raw: bytes) -> bytes:
        """JSON as a reader may see it; an empty object where that cannot be told."""
        try:
            return raw if self._redaction is None else self._redaction.json(raw)
        except Exception:  # noqa: BLE001 - whatever it is, what was to be kept back must not leave for it
            return b"{}"

    def noticed(self, record: LogRecord) -> LogRecord:
        """A line that may tell how its invocation fails, as a span may tell it."""
        exception = record.exception
        if self._redaction is None or exception is None or not exception.type:
            return record
        # Not cut yet, as it is in a span: what is cut through cannot be recognised.
        return replace(record, exception=replace(exception, type=self.shown(exception.type) or BLANK))

    def as_read(self, record: LogRecord) -> LogRecord:
        """A record whose texts are redacted also as they stand now that a line was read.

        A body has no newline at its end and no prefix any more, and a stack is put together of what the line has: a
        pattern may find in them by themselves what it did not find in the line.
        """
        redaction = self._redaction
        if redaction is None or (record.exception is None and not redaction.is_anchored):
            return record
        try:
            exception = None if record.exception is None else _redacted_exception(record.exception, redaction)
            found = replace(record, exception=exception)
            return _with_body(found, redaction) if redaction.is_anchored else found
        except Exception:  # noqa: BLE001 - whatever it is, what was to be kept back must not leave for it
            self._blanked += 1
            blank = None if record.exception is None else ExceptionInfo(type=BLANK, message=BLANK, stack=BLANK)
            return replace(record, body=_BLANK, prefix_bytes=0, exception=blank)

    @property
    def blanked_so_far(self) -> int:
        """How often something could not be redacted, and was blanked: what is made after a look tells by it."""
        return self._blanked + (self._redaction.too_deep if self._redaction is not None else 0)

    def followed(self, event: Event) -> Event:
        """An event of the platform as spans may tell of it: names in it become names of attributes, and texts are cut.

        By what the platform wrote itself, ids and times, it is still known what it belongs to.
        """
        raw = bytes(event.record)
        if self._redaction is None or raw[:1] != b"{":
            return event
        kept: dict[str, bytes] = {}
        others: dict[str, bytes] = {}
        try:
            for name, value in _members.decode(raw).items():
                held = bytes(value)
                is_kept = name in _OF_PLATFORM or (
                    name == _REQUEST_ID and _is_uuid(held[1:-1].decode("utf-8", "replace"))
                )
                (kept if is_kept else others)[name] = held
            spans = others.pop(_SPANS, None)
            after = _members.decode(self._redaction.json(_object(others))) if others else {}
            if spans is not None and spans[:1] == b"[":
                kept[_SPANS] = b"[%b]" % b",".join([self._followed_part(bytes(one)) for one in _items.decode(spans)])
        except Exception:  # noqa: BLE001 - what cannot be redacted is not told, whatever it is
            self._blanked += 1
            after = {}
        members = {**{name: bytes(value) for name, value in after.items()}, **kept}
        return event if members == {**others, **kept} else replace(event, record=msgspec.Raw(_object(members)))

    def _followed_part(self, raw: bytes) -> bytes:
        """The same of one of an event's `spans`: its name and what nobody knows of it."""
        members = {name: bytes(value) for name, value in _members.decode(raw).items()}
        kept = {name: value for name, value in members.items() if name in _OF_PART}
        others = {name: value for name, value in members.items() if name not in _OF_PART}
        assert self._redaction is not None  # noqa: S101
        after = _members.decode(self._redaction.json(_object(others)))
        return _object({**{name: bytes(value) for name, value in after.items()}, **kept})

    def redacted_span(self, span: Span) -> Span:
        """A span as a reader may see it; without all that was said in it where that cannot be told."""
        if self._redaction is None:
            return span
        try:
            error = self.redact_text(span.error)
            return replace(
                span,
                name=self.redact_text(span.name),
                error=error,
                message=self.redact_text(span.message.replace(span.error, error) if span.error else span.message),
                attributes=self._redacted_attributes(span.attributes),
                children=tuple(map(self._redacted_child, span.children)),
            )
        except UnredactableError:
            self._blanked += 1
            error, message = BLANK if span.error else "", BLANK if span.message else ""
            children = tuple(Child(BLANK, child.start_ns, child.end_ns) for child in span.children)
            return replace(span, name=BLANK, error=error, message=message, attributes={}, children=children)

    def redacted_export(self, export: Export) -> Export:
        """Metrics as a reader may see them: their points' attributes; without these where that cannot be told."""
        if self._redaction is None:
            return export
        metrics = []
        for metric in export.metrics:
            points = []
            for point in metric.points:
                try:
                    attributes = dict(self.redact_pairs(point.attributes.items()))
                except UnredactableError:
                    attributes = {}
                points.append(replace(point, attributes=attributes))
            metrics.append(replace(metric, points=points))
        return replace(export, metrics=metrics)

    @property
    def redacts(self) -> bool:
        """Whether anything is to be redacted."""
        return self._redaction is not None

    def redact_message(self, message: "dict[str, Any]") -> bool:
        """Redacts what is in a request of OTLP, decoded, in place: all of it that a reader may see.

        Returns:
            Whether a text in it was blanked for what may lie in it too deep to be seen.

        Raises:
            UnredactableError: That cannot be told; nothing of it may leave.
        """
        redaction = self._redaction
        if redaction is None:
            return False
        if self._exports is None:
            from shipper.rules.exports import ExportRedaction

            self._exports = ExportRedaction(redaction.text, redaction.names, _is_platforms)
        too_deep = redaction.too_deep
        try:
            self._exports.redact(message)
        except Exception as exc:
            raise UnredactableError from exc
        return redaction.too_deep > too_deep

    def redacted_settings(self, settings: Settings) -> Settings:
        """The settings with what of them goes into the resource as a reader may see it."""
        if self._redaction is None:
            return settings
        found, shown = copy.copy(settings), self.shown
        pairs = tuple((shown(name), shown(value)) for name, value in settings.resource_attributes)
        found.values = {**settings.values, "resource_attributes": pairs, "service_name": shown(settings.service_name)}
        found.function = copy.copy(settings.function)
        found.function.name = shown(settings.function.name)
        return found

    def _redacted_attributes(self, attributes: "dict[str, Any]") -> "dict[str, Any]":
        """Attributes of a span; the invocation's id stays, by which it is found, if the platform may have given it."""
        request_id = attributes.get(FAAS_INVOCATION_ID)
        found = dict(self.redact_pairs(attributes.items()))
        if isinstance(request_id, str) and _is_platforms(FAAS_INVOCATION_ID, request_id):
            found[FAAS_INVOCATION_ID] = request_id
        return found

    def _redacted_child(self, child: Child) -> Child:
        attributes = self._redacted_attributes(child.attributes)
        return replace(child, name=self.redact_text(child.name), attributes=attributes)

    # What is stopped.

    def _is_sampled_out(self, judged: Judged, request_id: str) -> bool:
        """Whether a record is not in the sample, or cannot be told to be; notes which."""
        if self._sample is None:
            return False
        context = judged.context
        if self._sample.takes(request_id) or request_id == context.kept:
            return False
        verdict = self._sample.verdict(request_id)
        judged.is_undecided = verdict is None
        judged.reason = "" if verdict is not False else "sample"
        if verdict:
            judged.context = replace(context, kept=request_id)
        return not verdict

    def takes_span(self, span: Span, context: Context) -> bool:
        """Whether a span leaves: with the log records of its invocation, or not at all."""
        request_id = span.attributes.get(FAAS_INVOCATION_ID, "")
        return (
            self._sample is None
            or bool(span.error)
            or self._sample.takes(str(request_id))
            or request_id == context.kept
        )

    def _stopped_or_redacted(self, judged: Judged, record: LogRecord) -> Judged:
        found = self._patterns.is_found
        text = _shown(record) if self._keep or self._drop else ""
        # A record that tells no severity is shipped: nobody can say that it does not matter.
        if 0 < record.severity_number < self._least:
            judged.reason = "min_level"
        elif self._keep and not any(found(pattern, text, otherwise=True) for pattern in self._keep):
            judged.reason = "keep"
        elif any(found(pattern, text) for pattern in self._drop):
            judged.reason = "drop"
        elif self._redaction is not None:
            self._redact(judged, self._redaction)
        return judged

    def _redact(self, judged: Judged, redaction: Redaction) -> None:
        """Redacts what is judged; blanks it whole, and notes it, where that cannot be done."""
        too_deep = redaction.too_deep
        try:
            judged.event = _redacted(judged.event, redaction)
            judged.is_blanked = redaction.too_deep > too_deep
        except Exception:  # noqa: BLE001 - whatever it is, what was to be kept back must not leave for it
            judged.event, judged.is_blanked = _blanked(judged.event), True


def _object(members: dict[str, bytes]) -> bytes:
    """The JSON of some members."""
    return b"{%b}" % b",".join([b"%b:%b" % (_to_json(name), value) for name, value in members.items()])


def _redacted(event: AnyEvent, redaction: Redaction) -> AnyEvent:
    """An event as a reader may see it; the same object where nothing is to be replaced."""
    if isinstance(event, BrokenEvent):
        if event.lost_bytes:
            raise UnredactableError("what is cut through cannot be recognised")
        return replace(event, text=redaction.text(event.text))
    time = event.time if unix_ns(event.time) is not None else redaction.text(event.time)
    if isinstance(event, OddEvent):
        return replace(event, time=time, json=redaction.json(event.json))
    kind = event.type if _is_ours(event.type) else redaction.text(event.type)
    raw = bytes(event.record)
    after = redaction.json(raw)
    if isinstance(event, WiderEvent):
        names = redaction.pairs((name, None) for name in event.others)
        values = [msgspec.Raw(redaction.json(bytes(value))) for value in event.others.values()]
        others = {name: value for (name, _), value in zip(names, values, strict=True)}
        return replace(event, time=time, type=kind, record=msgspec.Raw(after), others=others)
    is_same = after is raw and time == event.time and kind == event.type
    return event if is_same else replace(event, time=time, type=kind, record=msgspec.Raw(after))


def _with_body(record: LogRecord, redaction: Redaction) -> LogRecord:
    """A record whose body, if it is text, is redacted by itself, and so is what follows its prefix."""
    body, prefix = record.body, record.prefix_bytes
    if body[:1] != b'"':
        return record
    if prefix:
        body = body[: 1 + prefix] + redaction.json(b'"%b' % body[1 + prefix :])[1:]
    after = redaction.json(body)
    return replace(record, body=after, prefix_bytes=prefix if after is body else 0)


def _redacted_exception(exception: ExceptionInfo, redaction: Redaction) -> ExceptionInfo:
    """An exception, each of its texts redacted by itself."""
    text = redaction.text
    return replace(exception, type=text(exception.type), message=text(exception.message), stack=text(exception.stack))


def _blanked(event: AnyEvent) -> AnyEvent:
    """An event of which nothing is shown but when it came, and of what type it is."""
    if isinstance(event, BrokenEvent):
        return replace(event, text=BLANK)
    time = event.time if unix_ns(event.time) is not None else ""
    if isinstance(event, OddEvent):
        return replace(event, time=time, json=_BLANK)
    kind = event.type if _is_ours(event.type) else BLANK
    return Event(time, kind, msgspec.Raw(_BLANK))


def _is_ours(kind: str) -> bool:
    """Whether a type is one of the platform's, which no user's text is."""
    return kind in _TYPES or (kind.startswith(_PLATFORM) and kind[len(_PLATFORM) :].isalpha())


def _is_platforms(name: str, text: str) -> bool:
    """Whether an attribute is the invocation's id, by which it is found, and the platform may have given it."""
    return name == FAAS_INVOCATION_ID and _is_uuid(text)


def _is_uuid(text: str) -> bool:
    """Whether it is an id as the platform writes them (RFC 9562)."""
    return len(text) == _UUID_LENGTH and all(
        c == "-" if at in _UUID_DASHES else c in "0123456789abcdefABCDEF" for at, c in enumerate(text)
    )


def _shown(record: LogRecord) -> str:
    """What patterns look at: the text of the body, or all of the line where no member of it is the message."""
    event = record.event
    raw = bytes(event.record) if isinstance(event, Event) else b""
    if record.body[:1] != b'"':
        return _whole(raw)
    text = _text.decode(record.body)
    exception = record.exception
    is_json = raw[:1] == b"{" or raw[:2] == b'"{'
    is_of_exception = is_json and exception is not None and exception.message == text
    return _whole(raw) if is_of_exception else text


def _whole(raw: bytes) -> str:
    """A line that is JSON, as it was printed: a text has it escaped."""
    return _text.decode(raw) if raw[:1] == b'"' else raw.decode("utf-8", "replace")


def _nothing_ahead(*_: object, **__: object) -> None:
    """Nothing has to be known."""
