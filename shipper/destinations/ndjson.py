"""Records as JSON by POST, for any HTTP intake: an object a line, or all of a request in one array.

An object has what a line means, not as it came: `{"time":…,"type":…,"level":…,"message":…,"requestId":…,"traceId":…,
"spanId":…,"uid":…,"attributes":{…},"service":…,"function":…}`. What a line says beside its message is `attributes`, as
it came; of an event of the platform that is `record`, all of it.
"""

import msgspec

from lifecycle.contract.json_text import one_line
from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings
from shipper.destinations.destination import Destination, Endpoint, of_records
from shipper.destinations.fields import FieldNames, Fields, members_of, message_of, moment_of
from shipper.destinations.http import Bodies, OnResponse, Senders, by_status, place_behind
from shipper.model.log_record import Encoder, LogRecord
from shipper.model.resource import readable, service_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.transport.interfaces import Timing

# By TAILRACE_FORMAT: what the body is called, and what stands before all objects, between two, and after all.
_FORMS = {
    "lines": ("application/x-ndjson", (b"", b"\n", b"\n")),
    "array": ("application/json", (b"[", b",", b"]")),
}

_NAMES = FieldNames(event_type="", request_id="requestId", trace_id="traceId", span_id="spanId", uid="uid")

# All that an event of the platform says.
_RECORD = "aws.lambda.event.record"

# A time that is no finer than a millisecond is written as one.
_WHOLE_MS = b"000000Z"

_to_json = msgspec.json.Encoder().encode


def create(settings: Settings, timing: "Timing", log: Log, on_response: OnResponse | None = None) -> Destination:
    """The destination of an address like https://…; see `registry.create`."""
    place = place_behind(settings)
    sender = Senders(settings, timing, log, on_response).sender(place, by_status)
    content_type, around = _FORMS[settings.format]
    bodies = Bodies(place, content_type, around=around)
    return of_records(settings, Objects(settings), lambda signal: Endpoint(bodies, sender.of(signal)))


class Objects(Encoder):
    """Writes log records as JSON objects, each on one line.

    Args:
        settings: Say what function and service this is.
    """

    def __init__(self, settings: Settings) -> None:
        known = {"service": service_name(settings), "function": readable(settings.function.name)}
        self._tail = b",%b}" % _to_json({name: text for name, text in known.items() if text})[1:-1]
        self._fields = Fields(_NAMES)

    def log(self, record: LogRecord) -> bytes:
        """One object."""
        moment = moment_of(record)
        pieces = [b'{"time":"%b"' % (moment[:-7] + b"Z" if moment.endswith(_WHOLE_MS) else moment)]
        if record.origin.event_type:
            pieces.append(b',"type":%b' % _to_json(record.origin.event_type))
        # An object without a message is its attributes, and not its text as well.
        is_object = record.body[:1] == b"{"
        if not is_object:
            pieces.append(b',"message":%b' % message_of(record))
        pieces.append(b",%b" % members_of(self._fields(record)))
        others = [pair for pair in record.attributes if pair[0] != _RECORD]
        if others:
            pieces.append(b',"attributes":{%b}' % members_of(others))
        pieces += [b',"record":%b' % one_line(raw) for name, raw in record.attributes if name == _RECORD]
        if is_object:
            pieces.append(b',"%b":%b' % (b"body" if others else b"attributes", one_line(record.body)))
        return b"".join((*pieces, self._tail))
