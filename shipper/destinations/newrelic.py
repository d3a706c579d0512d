"""New Relic: log records by its Log API.

Attributes are flat, and no more than 255: what is nested is JSON text, what is beyond stands in one more. An answer is
one for the whole request and comes before the logs are looked at: what is refused later is an `NrIntegrationError`
there. What comes twice is there twice: `log.record.uid` is what copies are told by.

Source: New Relic, "Introduction to the Log API".
"""

import msgspec

from lifecycle.contract.json_text import as_text
from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings
from shipper.delivery.interfaces import Limits
from shipper.destinations.destination import Destination, Endpoint, of_records
from shipper.destinations.fields import FieldNames, Fields, members_of, message_of, resource_fields
from shipper.destinations.http import Bodies, OnResponse, Senders, by_status, place_behind
from shipper.model.log_record import Encoder, LogRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.transport.interfaces import Timing

PATH = "/log/v1"

# New Relic counts what is sent, after compression.
LIMITS = Limits(request_bytes=1_000_000, is_compressed=True)

MOST_ATTRIBUTES = 255
MOST_NAME = 255

# What there is no room for, all of it together.
REST = "attributes.rest"

_NAMES = FieldNames(
    logger="logger.name",
    trace_id="trace.id",
    span_id="span.id",
    error_type="error.class",
    error_message="error.message",
    error_stack="error.stack",
)
# The first two New Relic drops.
_RESERVED = ("accountId", "eventType", "message", "timestamp", REST)

_NS_PER_MS = 1_000_000

_to_json = msgspec.json.Encoder().encode


def create(settings: Settings, timing: "Timing", log: Log, on_response: OnResponse | None = None) -> Destination:
    """The destination of an address like newrelic+https://log-api.newrelic.com; see `registry.create`."""
    place = place_behind(settings, PATH)
    logs = Logs(settings)
    head = b'[{"common":{"attributes":%b},"logs":[' % _to_json(logs.common)
    bodies = Bodies(place, "application/json", around=(head, b",", b"]}]"))
    sender = Senders(settings, timing, log, on_response).sender(place, by_status)
    return of_records(settings, logs, lambda signal: Endpoint(bodies, sender.of(signal), LIMITS))


class Logs(Encoder):
    """Writes log records as New Relic's logs.

    Args:
        settings: Say what function and service this is.

    Attributes:
        common: Attributes that all of them have.
    """

    def __init__(self, settings: Settings) -> None:
        self.common = resource_fields(settings)
        self._most = MOST_ATTRIBUTES - len(self.common)
        self._fields = Fields(_NAMES, (*_RESERVED, *self.common))

    def log(self, record: LogRecord) -> bytes:
        """One log."""
        moment_ms = (record.time_ns or record.origin.observed_ns) // _NS_PER_MS
        pairs = [*self._fields(record), *self._fields.of_line(record)]
        if len(pairs) > self._most or any(len(name) > MOST_NAME for name, _ in pairs):
            fitting = [pair for pair in pairs if len(pair[0]) <= MOST_NAME][: self._most - 1]
            kept = {name for name, _ in fitting}
            rest = b"{%b}" % members_of(pair for pair in pairs if pair[0] not in kept)
            pairs = [*fitting, (REST, as_text(rest))]
        flat = ((name, as_text(raw) if raw[:1] in b"{[" else raw) for name, raw in pairs)
        return b'{"timestamp":%d,"message":%b,"attributes":{%b}}' % (moment_ms, message_of(record), members_of(flat))
