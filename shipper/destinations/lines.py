"""Newline-delimited JSON: what ndjson, file and stdout have in common.

A line is the event as it came, with our id, the request, its trace and the origin beside it:
`{"time":…,"type":…,"record":…,"requestId":…,"traceId":…,"spanId":…,"uid":…,"service":…,"function":…}`. What is not an
event of the documented shape stands whole under `"event"`, what is not JSON as text under `"text"`.
"""

from collections.abc import Sequence

import msgspec

from lifecycle.contract.frames import Frame
from lifecycle.contract.settings import Settings
from shipper.delivery.batch import Encoder
from shipper.delivery.interfaces import Request
from shipper.model.context import Context, request_id_of
from shipper.model.events import AnyEvent, BrokenEvent, Event, OddEvent, WiderEvent
from shipper.model.resource import readable, service_name
from shipper.parse.text_formats import FORMATS, told

_MOST_REMEMBERED = 512

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
        self._uid = b""

    def begin(self, frame: Frame) -> None:
        """Takes the first part of the ids of a frame's records."""
        self._uid = frame.digest.hex().encode()

    def encode(self, event: AnyEvent, index: int, context: Context) -> bytes:
        """One event as one line, newline included."""
        request_id = ""
        if isinstance(event, Event):
            raw = bytes(event.record)
            if raw[:1] == b'"':
                request_id = told(raw)[1] if raw[1] in FORMATS else ""
            elif raw[:1] == b"{":
                request_id = request_id_of(raw)
            members = b'"time":%b,"type":%b,"record":%b' % (
                self._text(event.time),
                self._text(event.type),
                one_line(raw),
            )
            if isinstance(event, WiderEvent):
                others = (b",%b:%b" % (_to_json(name), one_line(bytes(value))) for name, value in event.others.items())
                members += b"".join(others)
        elif isinstance(event, OddEvent):
            members = b'"event":%b' % one_line(event.json)
        else:
            members = _broken(event)
        request_id = request_id or context.request_id
        request = b',"requestId":%b' % self._text(request_id) if request_id else b""
        trace_id, span_id, _ = context.trace_of(request_id)
        if trace_id:
            request += b',"traceId":"%b"' % trace_id.encode()
        if span_id:
            request += b',"spanId":"%b"' % span_id.encode()
        return b'%b%b%b,"uid":"%b-%d%b' % (self._head, members, request, self._uid, index, self._tail)

    def _text(self, text: str) -> bytes:
        encoded = self._texts.get(text)
        if encoded is None:
            if len(self._texts) >= _MOST_REMEMBERED:
                self._texts.clear()
            encoded = self._texts[text] = _to_json(text)
        return encoded


def joined(lines: Sequence[bytes], key: str = "") -> Request:
    """A request of lines, for what is not HTTP."""
    del key
    body = b"".join(lines)
    return Request(body=body, body_bytes=len(body))


def one_line(raw: bytes) -> bytes:
    """A JSON value on one line: a raw line break in JSON is white space and nothing else."""
    return raw.replace(b"\r", b" ").replace(b"\n", b" ") if b"\n" in raw or b"\r" in raw else raw


def _broken(event: BrokenEvent) -> bytes:
    return b'"text":%b,"cutBytes":%d' % (_to_json(event.text), event.lost_bytes)
