"""Redaction of requests of OTLP: every text and every number that a reader would see, names of attributes included.

Requests come as OTLP's JSON has them, decoded. Ids, times and measurements stay: they are no text. Bytes are not
looked into.
"""

from collections.abc import Callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
else:
    Any = object

# What JSON may have as text and is none: ids, 64-bit numbers, and numbers that JSON has no sign for.
_NO_TEXT = frozenset(
    (
        *("traceId", "spanId", "parentSpanId", "bytesValue", "flags", "kind", "code", "severityNumber"),
        *("timeUnixNano", "startTimeUnixNano", "endTimeUnixNano", "observedTimeUnixNano"),
        *("asInt", "asDouble", "count", "sum", "min", "max", "bucketCounts", "explicitBounds", "zeroCount"),
        *("zeroThreshold", "scale", "offset", "quantile", "aggregationTemporality"),
        *("droppedAttributesCount", "droppedEventsCount", "droppedLinksCount"),
    )
)
_NUMBERS = ("intValue", "doubleValue")
_TEXT, _KEY, _VALUE = "stringValue", "key", "value"


class ExportRedaction:
    """Blanks in requests, in place, what is to be blanked.

    Args:
        text: A text as it may leave; it raises where that cannot be told.
        names: Likewise names of attributes that stand side by side.
        is_kept: Whether an attribute of a name and a text is as the platform gave it, and stays.
    """

    def __init__(
        self,
        text: Callable[[str], str],
        names: Callable[[list[str]], list[str]],
        is_kept: Callable[[str, str], bool],
    ) -> None:
        self._text = text
        self._names = names
        self._is_kept = is_kept

    def redact(self, message: dict[str, Any]) -> None:
        """Redacts a message, and all that is in it."""
        for name, value in list(message.items()):
            if name in _NUMBERS:
                after = self._text(str(value))
                if after != str(value):
                    del message[name]
                    message[_TEXT] = after
            elif isinstance(value, dict):
                self.redact(value)
            elif name not in _NO_TEXT:
                message[name] = self._redacted(value)

    def _redacted(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if not isinstance(value, list):
            return value
        if value and all(isinstance(pair, dict) and isinstance(pair.get(_KEY), str) for pair in value):
            self._redact_pairs(value)
            return value
        for one in value:
            if isinstance(one, dict):
                self.redact(one)
        return [one if isinstance(one, dict) else self._redacted(one) for one in value]

    def _redact_pairs(self, pairs: list[dict[str, Any]]) -> None:
        names = self._names([pair[_KEY] for pair in pairs])
        for pair, name in zip(pairs, names, strict=True):
            held = pair.get(_VALUE) or {}
            if not (isinstance(held, dict) and self._is_kept(pair[_KEY], str(held.get(_TEXT)))):
                pair[_KEY] = ""
                self.redact(pair)
                pair[_KEY] = name
