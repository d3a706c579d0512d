"""What leaves, and with what blanked: least severity, patterns kept and dropped, redaction, sampling.

In this order: sample, severity, keep, drop, redact. Every record that a rule stops is counted under the setting's name.
Loaded only where a rule is set.
"""

import msgspec

from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings
from shipper.invocations.invocation import failure
from shipper.model.context import Context
from shipper.model.events import AnyEvent, BrokenEvent, Event, OddEvent, WiderEvent
from shipper.model.log_record import LogRecord
from shipper.model.platform_records import Ended, Started, record_of
from shipper.model.semconv import FAAS_INVOCATION_ID
from shipper.model.severity import LEAST
from shipper.model.span import Span
from shipper.rules.patterns import BLANK, Patterns
from shipper.rules.redaction import redacted
from shipper.rules.sampling import Sample

_BLANK = msgspec.json.encode(BLANK)
_text = msgspec.json.Decoder(str)
replace = msgspec.structs.replace


class Judged(msgspec.Struct):
    """What the rules made of a record.

    Attributes:
        event: What it is a record of, with what is to be blanked blanked; the same object where that is nothing.
        reason: The setting that stops it; "" when none does.
        context: After it.
        is_undecided: It can only be told once the invocation's outcome is known.
    """

    event: AnyEvent
    context: Context
    reason: str = ""
    is_undecided: bool = False


class Rules:
    """The rules of one environment.

    Args:
        settings: Name them.
        log: Says which patterns are of no use.
    """

    def __init__(self, settings: Settings, log: Log) -> None:
        self._patterns = Patterns(log)
        self._least = LEAST.get(settings.min_level, 0)
        self._keep = self._patterns.compiled("TAILRACE_KEEP", settings.keep)
        self._drop = self._patterns.compiled("TAILRACE_DROP", settings.drop)
        self._redact = self._patterns.redactions("TAILRACE_REDACT", settings.redact)
        self._sample = Sample(settings.sample) if settings.sample < 1 else None
        self.looks_ahead = self._sample is not None
        self.look_ahead = self._sample.look_ahead if self._sample else _nothing_ahead

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

    def blanked(self, event: AnyEvent) -> AnyEvent:
        """An event that cannot be judged: it leaves, but where something is to be redacted nothing of it is shown."""
        if not self._redact:
            return event
        if isinstance(event, BrokenEvent):
            return replace(event, text=BLANK)
        if isinstance(event, OddEvent):
            return replace(event, json=_BLANK)
        return Event(event.time, event.type, msgspec.Raw(_BLANK))

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
        elif self._redact:
            judged.event = self._redacted(judged.event)
        return judged

    def _redacted(self, event: AnyEvent) -> AnyEvent:
        if isinstance(event, BrokenEvent):
            return replace(event, text=self._blanked(event.text))
        if isinstance(event, OddEvent):
            return replace(event, json=redacted(event.json, self._blanked))
        raw = bytes(event.record)
        after = redacted(raw, self._blanked)
        if isinstance(event, WiderEvent):
            others = {name: msgspec.Raw(redacted(bytes(value), self._blanked)) for name, value in event.others.items()}
            return replace(event, record=msgspec.Raw(after), others=others)
        return event if after is raw else replace(event, record=msgspec.Raw(after))

    def _blanked(self, text: str) -> str:
        for pattern in self._redact:
            text = self._patterns.redacted(pattern, text)
        return text


def _shown(record: LogRecord) -> str:
    """What patterns look at: the text of the body, or all of the line where no member of it is the message."""
    event = record.event
    raw = bytes(event.record) if isinstance(event, Event) else b""
    if record.body[:1] != b'"':
        return raw.decode("utf-8", "replace")
    text = _text.decode(record.body)
    exception = record.exception
    is_json = raw[:1] == b"{" or raw[:2] == b'"{'
    is_of_exception = is_json and exception is not None and exception.message == text
    return raw.decode("utf-8", "replace") if is_of_exception else text


def _nothing_ahead(*_: object, **__: object) -> None:
    """Nothing has to be known."""
