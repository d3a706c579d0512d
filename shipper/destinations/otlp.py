"""OTLP logs, JSON over HTTP.

Source: OpenTelemetry protocol 1.x, "OTLP/HTTP" and "JSON Protobuf Encoding"; logs data model.

A text line is the common case and the fast one: its JSON string is spliced into the record as it came. All else
goes through `_general`. Either way each event becomes one log record.
"""

from collections.abc import Sequence

import msgspec

from lifecycle.frames import Frame
from shipper.batches import LOGS, Encoder
from shipper.correlate import Context, request_id_of
from shipper.destinations.anyvalue import any_value, key_value, object_value, text_value
from shipper.destinations.post import Post
from shipper.destinations.resource import VERSION
from shipper.levels import MAY_HAVE_LEVEL, NUMBERS, level_and_id
from shipper.outcome import DONE, Outcome, Verdict
from shipper.strings import without_newline
from shipper.telemetry import AnyEvent, BrokenEvent, Event, OddEvent, WiderEvent
from shipper.times import Times

PATH = "/v1/logs"
CONTENT_TYPE = "application/json"

# Distinct timestamps and (type, request) pairs remembered while a frame is encoded.
_MOST_REMEMBERED = 512

_BACKSLASH = 0x5C

_to_json = msgspec.json.Encoder().encode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text = msgspec.json.Decoder(str)


class LogRecords(Encoder):
    """Writes events as OTLP log records."""

    def __init__(self) -> None:
        self._times = Times()
        self._stamps: dict[str, bytes] = {}
        self._tails: dict[tuple[str, str], bytes] = {}
        self._severities = {"": b""} | {
            name: b',"severityNumber":%d,"severityText":"%b"' % (number, name.encode())
            for name, number in NUMBERS.items()
        }
        self._observed = b""
        self._uid = b""

    def begin(self, frame: Frame) -> None:
        """Takes the frame's own fields: when it was observed, and the first part of its records' ids."""
        self._observed = b'{"observedTimeUnixNano":"%d"' % frame.observed_ns
        self._uid = frame.digest.hex().encode()
        self._tails.clear()

    def encode(self, event: AnyEvent, index: int, context: Context) -> bytes:
        """One event as one LogRecord."""
        if type(event) is not Event:
            return self._unusual(event, index, context)
        raw = bytes(event.record)
        if raw[:1] != b'"':
            return self._structured(event, raw, b"", index, context)
        level, request_id = level_and_id(raw) if raw.startswith(MAY_HAVE_LEVEL) else ("", "")
        stamp = self._stamps.get(event.time)
        if stamp is None:
            stamp = self._stamp(event.time)
        kind = event.type, request_id or context.request_id
        tail = self._tails.get(kind)
        if tail is None:
            tail = self._tail(*kind)
        if not stamp:
            return self._general(event.time, level, any_value(without_newline(raw)), tail, index)
        if raw.endswith(b'\\n"'):
            raw = raw[:-3] + b'"' if raw[-4] != _BACKSLASH else without_newline(raw)
        return b'%b%b%b,"body":{"stringValue":%b},"attributes":[%b%d"}}]}' % (
            self._observed,
            stamp,
            self._severities[level],
            raw,
            tail,
            index,
        )

    def _structured(self, event: Event, raw: bytes, others: bytes, index: int, context: Context) -> bytes:
        """A record that is an object, or anything else but text."""
        level, request_id = "", request_id_of(raw)
        if event.type.startswith("platform.") or raw[:1] != b"{":
            body = text_value(raw)
        else:
            members = _members.decode(raw)
            level = _level(members.get("level"))
            body = object_value(members)
        return self._general(
            event.time, level, body, others + self._tail(event.type, request_id or context.request_id), index
        )

    def _unusual(self, event: AnyEvent, index: int, context: Context) -> bytes:
        """What is not of the documented shape: shipped whole."""
        if isinstance(event, OddEvent):
            return self._general(event.time, "", text_value(event.json), self._tail("", context.request_id), index)
        if isinstance(event, BrokenEvent):
            cut = key_value("aws.lambda.event.cut_bytes", any_value(b"%d" % event.lost_bytes)) + b","
            body = text_value(event.text.encode())
            return self._general("", "", body, cut + self._tail("", context.request_id), index)
        others = b""
        if isinstance(event, WiderEvent):
            for name, value in event.others.items():
                others += key_value(f"aws.lambda.event.{name}", any_value(bytes(value))) + b","
        raw = bytes(event.record)
        if raw[:1] != b'"':
            return self._structured(event, raw, others, index, context)
        level, request_id = level_and_id(raw)
        tail = others + self._tail(event.type, request_id or context.request_id)
        return self._general(event.time, level, any_value(without_newline(raw)), tail, index)

    def _general(self, time: str, level: str, body: bytes, tail: bytes, index: int) -> bytes:
        stamp = self._stamps.get(time)
        if stamp is None:
            stamp = self._stamp(time)
        if not stamp and time:  # not a timestamp, but what was there in its place
            tail = key_value("aws.lambda.event.time", b'{"stringValue":%b}' % _to_json(time)) + b"," + tail
        severity = self._severities.get(level)
        if severity is None:
            severity = self._severity(level)
        return b'%b%b%b,"body":%b,"attributes":[%b%d"}}]}' % (self._observed, stamp, severity, body, tail, index)

    def _stamp(self, time: str) -> bytes:
        unix_ns = self._times.unix_ns(time)
        stamp = b"" if unix_ns is None else b',"timeUnixNano":"%d"' % unix_ns
        if len(self._stamps) >= _MOST_REMEMBERED:
            self._stamps.clear()
        self._stamps[time] = stamp
        return stamp

    def _tail(self, kind: str, request_id: str) -> bytes:
        """The attributes up to the index that ends the record's id."""
        tail = self._tails.get((kind, request_id))
        if tail is not None:
            return tail
        tail = b""
        if kind not in ("", "function"):
            tail += key_value("aws.lambda.event.type", b'{"stringValue":%b}' % _to_json(kind)) + b","
        if request_id:
            tail += key_value("faas.invocation_id", b'{"stringValue":%b}' % _to_json(request_id)) + b","
        tail += b'{"key":"log.record.uid","value":{"stringValue":"%b-' % self._uid
        if len(self._tails) >= _MOST_REMEMBERED:
            self._tails.clear()
        self._tails[kind, request_id] = tail
        return tail

    @staticmethod
    def _severity(level: str) -> bytes:
        """A level that is not written as the table has it, such as `warn`."""
        number = NUMBERS.get(level.upper(), 0)
        return b',"severityNumber":%d,"severityText":%b' % (number, _to_json(level)) if number else b""


class PartialSuccess(msgspec.Struct):
    """What of a request was not taken."""

    rejectedLogRecords: int | str = 0  # noqa: N815 - the protocol's name; int64 is a string in protobuf's JSON


class ExportResponse(msgspec.Struct):
    """ExportLogsServiceResponse."""

    partialSuccess: PartialSuccess | None = None  # noqa: N815 - the protocol's name


_responses = msgspec.json.Decoder(ExportResponse)


class Otlp:
    """An OTLP receiver for logs.

    Args:
        post: Takes requests to its address.
        resource: Attributes of the resource.
    """

    def __init__(self, post: Post, resource: dict[str, str | int]) -> None:
        self.label = post.label
        self.encoder = LogRecords()
        self._post = post
        pairs = [key_value(name, any_value(_to_json(value))) for name, value in resource.items()]
        scope = b'{"name":"tailrace","version":"%b"}' % VERSION.encode()
        self._head = b'{"resourceLogs":[{"resource":{"attributes":[%b]},"scopeLogs":[{"scope":%b,"logRecords":[' % (
            b",".join(pairs),
            scope,
        )

    def prepare(self, signal: str, records: Sequence[bytes]) -> bytes:
        """An ExportLogsServiceRequest."""
        if signal != LOGS:
            raise ValueError(f"got {signal}, expected {LOGS}")
        return self._post.body(self._head, records, b",", b"]}]}]}")

    def send(self, signal: str, body: bytes) -> Outcome:
        """Makes one request and reads what of it was rejected."""
        del signal
        outcome, answer = self._post.send(body)
        if outcome.verdict is not Verdict.DONE or answer is None:
            return outcome
        rejected = rejected_in(answer.body)
        return Outcome(verdict=Verdict.DONE, rejected=rejected) if rejected else DONE

    def close(self) -> None:
        """Hangs up."""
        self._post.close()


def rejected_in(body: bytes) -> int:
    """How many records an answer says were rejected; a body that is not such an answer says nothing."""
    try:
        partial = _responses.decode(body).partialSuccess
        return max(0, int(partial.rejectedLogRecords)) if partial else 0
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return 0


def _level(raw: msgspec.Raw | None) -> str:
    try:
        return _text.decode(raw) if raw is not None else ""
    except msgspec.ValidationError:
        return ""
