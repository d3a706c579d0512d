"""Events as lines of JSON: what file and stdout have in common.

A line is the event as it came, with our id, the request, its trace and the origin beside it:
`{"time":…,"type":…,"record":…,"requestId":…,"traceId":…,"spanId":…,"uid":…,"service":…,"function":…}`. What is not an
event of the documented shape stands whole under `"event"`, what is not JSON as text under `"text"`.
"""

from collections.abc import Sequence

import msgspec

from lifecycle.contract.json_text import one_line
from lifecycle.contract.settings import Settings
from shipper.delivery.interfaces import Request
from shipper.model.events import AnyEvent, BrokenEvent, Event, OddEvent, WiderEvent
from shipper.model.log_record import Encoder, LogRecord, Origin
from shipper.model.resource import readable, service_name

# Texts and origins remembered, and how long a text may be.
_MOST_REMEMBERED = 512
_MOST_TEXT_BYTES = 128
_MOST_ORIGIN_BYTES = 1024

_to_json = msgspec.json.Encoder().encode


class Lines(Encoder):
    """Writes events as lines of JSON.

    Args:
        settings: Say what function and service this is.
        logger: Put first in each line, so that it is known as ours when it comes back; "" for none.
    """

    def __init__(self, settings: Settings, logger: str = "") -> None:
        self._head = b'{"logger":%b,' % _to_json(logger) if logger else b"{"
        self._tail = b'","service":%b' % _to_json(service_name(settings))
        if settings.function.name:
            self._tail += b',"function":%b' % _to_json(readable(settings.function.name))
        self._tail += b"}\n"
        self._texts: dict[str, bytes] = {}
        self._origins: dict[Origin, bytes] = {}

    def log(self, record: LogRecord) -> bytes:
        """One event as one line, newline included."""
        members, shared = self._members(record.event), self._shared(record.origin)
        return b"%b%b%b%d%b" % (self._head, members, shared, record.index, self._tail)

    def event(self, event: Event, origin: Origin, index: int) -> bytes:
        """The same of an event that nothing else has to be known of."""
        shared = self._origins.get(origin) or self._shared(origin)
        raw = bytes(event.record)
        return b"".join(
            (
                self._head,
                b'"time":',
                self._text(event.time),
                b',"type":',
                self._text(event.type),
                b',"record":',
                one_line(raw) if b"\n" in raw or b"\r" in raw else raw,
                shared,
                b"%d" % index,
                self._tail,
            )
        )

    def _members(self, event: AnyEvent) -> bytes:
        if isinstance(event, Event):
            members = b'"time":%b,"type":%b,"record":%b' % (
                self._text(event.time),
                self._text(event.type),
                one_line(bytes(event.record)),
            )
            if isinstance(event, WiderEvent):
                others = (b",%b:%b" % (_to_json(name), one_line(bytes(value))) for name, value in event.others.items())
                members += b"".join(others)
            return members
        return b'"event":%b' % one_line(event.json) if isinstance(event, OddEvent) else _broken(event)

    def _shared(self, origin: Origin) -> bytes:
        """What lines of an origin share: the members behind the event's own, up to the index."""
        shared = self._origins.get(origin)
        if shared is None:
            shared = b',"requestId":%b' % self._text(origin.request_id) if origin.request_id else b""
            if origin.trace_id:
                shared += b',"traceId":"%b"' % origin.trace_id.encode()
            if origin.span_id:
                shared += b',"spanId":"%b"' % origin.span_id.encode()
            shared += b',"uid":"%b-' % origin.batch_id.encode()
            if len(self._origins) >= _MOST_REMEMBERED:
                self._origins.clear()
            if len(origin.event_type) + len(shared) <= _MOST_ORIGIN_BYTES:
                self._origins[origin] = shared
        return shared

    def _text(self, text: str) -> bytes:
        encoded = self._texts.get(text)
        if encoded is None:
            encoded = _to_json(text)
            if len(self._texts) >= _MOST_REMEMBERED:
                self._texts.clear()
            if len(encoded) <= _MOST_TEXT_BYTES:
                self._texts[text] = encoded
        return encoded


def joined(lines: Sequence[bytes], key: str = "") -> Request:
    """A request of lines, for what is not HTTP."""
    del key
    body = b"".join(lines)
    return Request(body=body, body_bytes=len(body), items=len(lines))


def _broken(event: BrokenEvent) -> bytes:
    return b'"text":%b,"cutBytes":%d' % (_to_json(event.text), event.lost_bytes)
