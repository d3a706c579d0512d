"""Datadog: log records by its intake for logs, v2.

What Datadog reserves has its names; what a line says beside that are attributes of the log, by their own. An answer is
one for the whole request, and what comes twice is there twice: `log.record.uid` is what copies are told by.

Source: Datadog API, "Send logs"; "Log Management", "Attributes" and "Correlate logs and traces".
"""

import msgspec

from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings
from shipper.delivery.interfaces import Limits
from shipper.destinations.destination import Destination, Endpoint, of_records
from shipper.destinations.fields import FieldNames, Fields, members_of, message_of, resource_fields
from shipper.destinations.http import Bodies, OnResponse, Senders, by_status, place_behind
from shipper.model import semconv, severity
from shipper.model.log_record import Encoder, LogRecord
from shipper.model.resource import service_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.transport.interfaces import Timing

PATH = "/api/v2/logs"

LIMITS = Limits(request_bytes=5_000_000, request_items=1000)

# Stands for who wrote it, so that Datadog's own pipeline for it is used.
_SOURCE = "lambda"

# What is known of a function and is a tag, by its name there.
_TAGS = {
    "env": ("deployment.environment.name", "deployment.environment"),
    "version": (semconv.SERVICE_VERSION,),
    "functionname": (semconv.FAAS_NAME,),
    "region": (semconv.CLOUD_REGION,),
    "account_id": (semconv.CLOUD_ACCOUNT_ID,),
}

# Datadog guesses a level by its first letters, and would take SEVERE for one that is well.
_STATUSES = (
    *((severity.FATAL, "critical"), (severity.ERROR, "error"), (severity.WARN, "warn"), (severity.INFO, "info")),
    (severity.TRACE, "debug"),
)

_NAMES = FieldNames(
    level="", logger="logger.name", error_type="error.kind", error_message="error.message", error_stack="error.stack"
)
_RESERVED = (
    *("message", "ddsource", "ddtags", "hostname", "host", "service", "status", "timestamp", "dd"),
    *("dd.trace_id", "dd.span_id", "source", "level", "date", "syslog"),
)

_NS_PER_MS = 1_000_000
# Datadog's own ids have this many bits: of a longer one, the last.
_ID_DIGITS = 16

_to_json = msgspec.json.Encoder().encode


def create(settings: Settings, timing: "Timing", log: Log, on_response: OnResponse | None = None) -> Destination:
    """The destination of an address like datadog+https://http-intake.logs.SITE; see `registry.create`."""
    place = place_behind(settings, PATH)
    bodies = Bodies(place, "application/json", around=(b"[", b",", b"]"))
    sender = Senders(settings, timing, log, on_response).sender(place, by_status)
    return of_records(settings, Logs(settings), lambda signal: Endpoint(bodies, sender.of(signal), LIMITS))


class Logs(Encoder):
    """Writes log records as Datadog's logs.

    Args:
        settings: Say what function and service this is.
    """

    def __init__(self, settings: Settings) -> None:
        found = resource_fields(settings)
        tags = {tag: next((found[name] for name in names if name in found), "") for tag, names in _TAGS.items()}
        known = {
            "ddsource": _SOURCE,
            "ddtags": ",".join(f"{tag}:{value}" for tag, value in tags.items() if value != ""),
            "service": service_name(settings),
            "hostname": found.get(semconv.CLOUD_RESOURCE_ID, found.get(semconv.FAAS_NAME, "")),
            **{name: value for name, value in found.items() if name != semconv.SERVICE_NAME},
        }
        self._tail = b",%b}" % _to_json(known)[1:-1]
        self._fields = Fields(_NAMES, (*_RESERVED, *known))

    def log(self, record: LogRecord) -> bytes:
        """One log."""
        origin = record.origin
        moment_ms = (record.time_ns or origin.observed_ns) // _NS_PER_MS
        pairs = [*self._fields(record), *self._fields.of_line(record)]
        number = record.severity_number
        if number:
            status = next(text for least, text in _STATUSES if number >= least)
            pairs.append(("status", b'"%b"' % status.encode()))
        ids = (("dd.trace_id", origin.trace_id), ("dd.span_id", origin.span_id))
        pairs += [(name, b'"%d"' % int(text[-_ID_DIGITS:], 16)) for name, text in ids if text]
        head = b'{"message":%b,"timestamp":%d,' % (message_of(record), moment_ms)
        return b"".join((head, members_of(pairs), self._tail))
