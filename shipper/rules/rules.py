"""What leaves, and with what blanked: least severity, patterns kept and dropped, redaction, sampling.

In this order: sample, severity, keep, drop, redact. Every record that a rule stops is counted under the setting's name.
Loaded only where a rule is set.
"""

from collections.abc import Callable

import msgspec

from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings
from shipper.invocations.invocation import failure
from shipper.model.context import Context
from shipper.model.events import AnyEvent, BrokenEvent, Event, OddEvent, WiderEvent
from shipper.model.platform_records import Ended, Started, record_of
from shipper.model.span import Span
from shipper.parse.json_lines import line_of, members_of
from shipper.parse.levels import LEAST, number_of
from shipper.parse.platform_lines import line_of as platform_line_of
from shipper.parse.text_formats import FORMATS, told
from shipper.rules.patterns import Patterns
from shipper.rules.redaction import redacted
from shipper.rules.sampling import Sample

_text = msgspec.json.Decoder(str)
replace = msgspec.structs.replace


class Judged(msgspec.Struct):
    """What the rules made of an event.

    Attributes:
        event: With what is to be blanked blanked.
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

    def judged(self, event: AnyEvent, context: Context) -> Judged:
        """What becomes of a line, or of what is no event of the documented shape."""
        judged = Judged(event, context)
        if isinstance(event, Event) and self._is_sampled_out(judged, lambda: self._request_id(event, context)):
            return judged
        level, body = self._level_and_body(event)
        return self._stopped_or_redacted(judged, level, body)

    def judged_of_platform(self, event: Event, context: Context) -> Judged:
        """What becomes of a platform event's log record.

        Args:
            event: The event.
            context: Before it.
        """
        judged = Judged(event, context)
        record = record_of(event.type, bytes(event.record))
        if isinstance(record, Started | Ended):
            one = context.invocation(record.request_id)
            has_failed = one is not None and bool(failure(one))
            if not has_failed and self._is_sampled_out(judged, lambda: record.request_id):
                return judged
        if record is None:
            body, level = bytes(event.record).decode("utf-8", "replace"), ""
        else:
            body, level = platform_line_of(event.type, record)
        return self._stopped_or_redacted(judged, level, body)

    def _is_sampled_out(self, judged: Judged, request_id_of: Callable[[], str]) -> bool:
        """Whether a record is not in the sample, or cannot be told to be; notes which."""
        if self._sample is None:
            return False
        request_id, context = request_id_of(), judged.context
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
        request_id = span.attributes.get("faas.invocation_id", "")
        return (
            self._sample is None
            or bool(span.error)
            or self._sample.takes(str(request_id))
            or request_id == context.kept
        )

    def _stopped_or_redacted(self, judged: Judged, level: str, body: str) -> Judged:
        found = self._patterns.is_found
        # A record that tells no severity is shipped: nobody can say that it does not matter.
        if 0 < number_of(level) < self._least:
            judged.reason = "min_level"
        elif self._keep and not any(found(pattern, body, otherwise=True) for pattern in self._keep):
            judged.reason = "keep"
        elif any(found(pattern, body) for pattern in self._drop):
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

    @staticmethod
    def _request_id(event: Event, context: Context) -> str:
        raw = bytes(event.record)
        named = ""
        if raw[:1] == b"{" or raw[:2] == b'"{':
            members = members_of(raw)
            named = line_of(members).request_id if members is not None else ""
        elif raw[:1] == b'"' and raw[1] in FORMATS:
            named = told(raw)[1]
        return named or context.request_id

    @staticmethod
    def _level_and_body(event: AnyEvent) -> tuple[str, str]:
        if isinstance(event, BrokenEvent):
            return "", event.text
        if isinstance(event, OddEvent):
            return "", event.json.decode("utf-8", "replace")
        raw = bytes(event.record)
        if raw[:1] == b"{" or raw[:2] == b'"{':
            members = members_of(raw)
            if members is not None:
                line = line_of(members)
                message = line.message if line.message is not None else raw
                text = _text.decode(message) if message[:1] == b'"' else message.decode("utf-8", "replace")
                return line.level or ("ERROR" if line.exception and line.exception.is_uncaught else ""), text
        if raw[:1] != b'"':
            return "", raw.decode("utf-8", "replace")
        return told(raw)[0], _text.decode(raw).removesuffix("\n")


def _nothing_ahead(*_: object, **__: object) -> None:
    """Nothing has to be known."""
