"""Log records in OTLP's JSON.

Source: OpenTelemetry logs data model; OTLP specification, "JSON Protobuf Encoding"; semantic conventions, "Exceptions
in logs". A plain text line is the common case: its JSON string is spliced into the record as it came.
"""

from itertools import repeat

import msgspec

from lifecycle.contract.json_text import without_newline
from shipper.destinations.otlp.json_values import any_value, key_value, member, members
from shipper.destinations.otlp.values import Remembered, all_scoped, exception_attributes, hundreds, remember, scoped
from shipper.model import semconv
from shipper.model.log_record import EVENT_TYPE, RESERVED, Encoder, LogRecord, Origin, Records
from shipper.model.severity import number_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_QUOTE, _BACKSLASH = b'"\\'

# What is longer is not kept for the next line.
_MOST_HEAD_BYTES = 1024

_to_json = msgspec.json.Encoder().encode


class LogRecords(Encoder):
    """Writes log records."""

    def __init__(self) -> None:
        self._stamps = Remembered(_stamp)
        self._severities = Remembered(_severity)
        self._origins: dict[Origin, tuple[bytes, bytes, bytes]] = {}

    def log(self, record: LogRecord) -> bytes:
        """One LogRecord."""
        time_ns = record.time_ns
        stamp = self._stamps[time_ns] if time_ns is not None else b""
        severity = self._severities[record.severity_text]
        start, head, end = self._origins.get(record.origin) or self._shared(record.origin)
        body = record.body
        # A text may be large: it is copied once.
        value = (b'{"stringValue":', body, b"}") if body[0] == _QUOTE else (any_value(body),)
        pairs = [member(f"log.{name}" if name in RESERVED else name, raw) for name, raw in record.attributes]
        if record.exception is not None:
            known = exception_attributes(record.exception)
            pairs += [key_value(name, b'{"stringValue":%b}' % _to_json(text)) for name, text in known]
        if pairs:
            pairs.append(head)
            head = b",".join(pairs)
        written = b"".join(
            (start, stamp, severity, b',"body":', *value, b',"attributes":[', head, b"%d" % record.index, end)
        )
        return scoped(written, record.scope) if record.scope else written

    def text_line(self, raw: bytes, time_ns: int, level: str, origin: Origin, index: int) -> bytes:
        """The same of a plain text line."""
        start, head, end = self._origins.get(origin) or self._shared(origin)
        text = raw[:-1]
        if text.endswith(b"\\n"):
            text = text[:-2] if text[-3] != _BACKSLASH else without_newline(raw)[:-1]
        return b'%b%b%b,"body":{"stringValue":%b"},"attributes":[%b%d%b' % (
            start,
            self._stamps[time_ns],
            self._severities[level],
            text,
            head,
            index,
            end,
        )

    def several(self, records: Records) -> list[bytes]:
        """Records by column."""
        bodies = records.bodies
        if b"\t" in b"".join(bodies):
            bodies = [body.replace(b"\t", rb"\t") for body in bodies]
        start, head, end = self._origins.get(records.origin) or self._shared(records.origin)
        columns: list[Iterable[bytes]] = [
            repeat(start),
            map(self._stamps.__getitem__, records.times_ns),
            map(self._severities.__getitem__, records.levels),
            repeat(b',"body":{"stringValue":"'),
            bodies,
        ]
        before = b'"},"attributes":['
        for attribute in records.attributes:
            name = attribute.name if attribute.name not in RESERVED else f"log.{attribute.name}"
            columns += members(before, name, attribute.values, is_text=attribute.is_text)
            before = b","
        shared: list[bytes] = []
        digits: list[bytes] = []
        for known, last in hundreds(records.index, len(bodies)):
            shared += [before + head + known] * len(last)
            digits += last
        columns += (shared, digits, repeat(end))
        return all_scoped(list(map(b"".join, zip(*columns, strict=False))), records.scopes)

    def _shared(self, origin: Origin) -> tuple[bytes, bytes, bytes]:
        """What records of an origin share: how they begin, their last attributes up to the index, how they end."""
        head = b""
        if origin.event_type not in ("", "function"):
            head += key_value(EVENT_TYPE, b'{"stringValue":%b}' % _to_json(origin.event_type)) + b","
        if origin.request_id:
            head += key_value(semconv.FAAS_INVOCATION_ID, b'{"stringValue":%b}' % _to_json(origin.request_id)) + b","
        uid = b'{"key":"%b","value":{"stringValue":"%b-' % (semconv.LOG_RECORD_UID.encode(), origin.batch_id.encode())
        end = b'"}}]'
        if origin.trace_id:
            end += b',"traceId":"%b"' % origin.trace_id.encode()
        if origin.span_id:
            end += b',"spanId":"%b"' % origin.span_id.encode()
        if origin.trace_id and origin.flags is not None:
            end += b',"flags":%d' % origin.flags
        shared = b'{"observedTimeUnixNano":"%d"' % origin.observed_ns, head + uid, end + b"}"
        if len(head) <= _MOST_HEAD_BYTES:
            remember(self._origins, origin, shared)
        return shared


def _severity(level: str) -> bytes:
    return b',"severityNumber":%d,"severityText":%b' % (number_of(level), _to_json(level)) if level else b""


def _stamp(time_ns: int) -> bytes:
    return b',"timeUnixNano":"%d"' % time_ns
