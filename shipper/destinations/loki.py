"""Grafana Loki: log records as entries of one stream, by its push API in JSON.

Labels make streams, so they are few, and the same for all that one function sends. What else is known of a line is
structured metadata, which Loki wants flat, as text, by names like labels', and not too much of it: what does not fit
stands at the end of the line.

Loki is the one backend that answers 400 to a request of which it has stored the rest. What it sees twice, to the byte,
it stores once: whatever is sent again here is what was sent before.

Source: Loki, "Ingest logs" and "Structured metadata"; its limits as `limits_config` has them by default.
"""

import time
import zlib

import msgspec

from lifecycle.contract import late
from lifecycle.contract.json_text import as_text
from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings
from shipper.delivery.interfaces import Limits, Request
from shipper.delivery.outcome import Outcome, Verdict
from shipper.destinations.destination import Destination, Endpoint, of_records
from shipper.destinations.fields import (
    FieldNames,
    Fields,
    Pairs,
    members_of,
    message_of,
    resource_fields,
    text_of,
)
from shipper.destinations.http import Bodies, OnResponse, Senders, outcome_of, place_behind
from shipper.model import semconv
from shipper.model.log_record import Encoder, LogRecord
from shipper.transport.response import MOST_RESPONSE, Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.transport.interfaces import Timing

PATH = "/loki/api/v1/push"

# A tenant may send 6 MB in one burst: a larger request would be answered 429 for ever.
LIMITS = Limits(request_bytes=4_000_000)

# Of what is known of a function, the labels: of few values each, as Grafana has them for OTLP.
LABELS = (
    semconv.SERVICE_NAME,
    "service.namespace",
    "deployment.environment",
    "deployment.environment.name",
    semconv.FAAS_NAME,
    semconv.CLOUD_REGION,
)

# Of a line's structured metadata, names and values together.
MOST_ENTRIES = 128
MOST_BYTES = 65_536

# A level by this name is what Loki shows as the line's (`discover_log_levels`).
_NAMES = FieldNames(
    level="level",
    logger="logger",
    event_type="event_type",
    request_id="request_id",
    error_type="exception_type",
    error_message="exception_message",
    error_stack="exception_stacktrace",
    uid="uid",
)

_UNFIT = late.pattern("[^a-zA-Z0-9_]")
_MOST_REMEMBERED = 1024

_BLOCKED = 260
_BAD_REQUEST = 400
_GZIP_WBITS = 31

# Why entries are too old, or too far behind the newest of their stream; and what else an answer may find fault with.
_TOO_OLD = late.pattern(rb"oldest acceptable timestamp is: (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)Z")
_LABELS = late.pattern(rb"\{[^{}]*\}")
_OTHERWISE = late.pattern(
    rb"(?i)exceed|size|limit|too long|too new|too many|invalid|missing|malformed|duplicate|parse|blocked|at least",
)

_to_json = msgspec.json.Encoder().encode


class Stream(msgspec.Struct):
    """A stream's entries: time, line, structured metadata."""

    values: list[tuple[str, msgspec.Raw, msgspec.Raw]]


class Push(msgspec.Struct):
    """A request's body."""

    streams: list[Stream]


_pushed = msgspec.json.Decoder(Push)


def create(settings: Settings, timing: "Timing", log: Log, on_response: OnResponse | None = None) -> Destination:
    """The destination of an address like loki+https://HOST; see `registry.create`."""
    place = place_behind(settings, PATH)
    entries = Entries(settings)
    head = b'{"streams":[{"stream":{%b},"values":[' % members_of(entries.labels)
    bodies = Bodies(place, "application/json", around=(head, b",", b"]}]}"))
    sender = Senders(settings, timing, log, on_response).sender(place, read, most_body=MOST_RESPONSE)
    return of_records(settings, entries, lambda signal: Endpoint(bodies, sender.of(signal), LIMITS))


class Entries(Encoder):
    """Writes log records as entries.

    Args:
        settings: Say what function and service this is.

    Attributes:
        labels: Of the stream that they are in.
    """

    def __init__(self, settings: Settings) -> None:
        found = resource_fields(settings)
        self.labels = [(_name_of(name), _to_json(str(found[name]))) for name in LABELS if name in found]
        self._where = [(name, _to_json(str(value))) for name, value in found.items() if name not in LABELS]
        self._fields = Fields(_NAMES, ("structuredMetadata", "parsed"))
        self._names: dict[str, str] = {}

    def log(self, record: LogRecord) -> bytes:
        """One entry."""
        own = [*self._fields(record), *self._where]
        pairs = own if record.body[:1] == b"{" else [*own, *self._fields.of_line(record)]
        line = message_of(record)
        fitting, rest = self._fitting(pairs)
        if rest:
            line = b"%b %b" % (line[:-1], as_text(b"{%b}" % members_of(rest))[1:])
        metadata = members_of(fitting)
        return b'["%d",%b,{%b}]' % (record.time_ns or record.origin.observed_ns, line, metadata)

    def _fitting(self, pairs: Pairs) -> tuple[Pairs, Pairs]:
        """What of these is structured metadata, as Loki takes it, and what there is no room for."""
        taken: dict[str, bytes] = {}
        rest: Pairs = []
        left = MOST_BYTES
        for name, raw in pairs:
            label = self._names.get(name) or self._name(name)
            text = text_of(raw)
            size = len(label) + len(text)
            if label in taken or size > left or len(taken) >= MOST_ENTRIES:
                rest.append((name, raw))
            else:
                taken[label] = text
                left -= size
        return list(taken.items()), rest

    def _name(self, name: str) -> str:
        label = _name_of(name)
        if len(self._names) < _MOST_REMEMBERED:
            self._names[name] = label
        return label


def _name_of(name: str) -> str:
    """A name as labels have them."""
    label = _UNFIT.sub("_", name)
    return label if label and not label[0].isdigit() else f"_{label}"


def read(request: Request, response: Response) -> Outcome:
    """What became of a request: of one that is too old in part, the rest has been taken, as far as that can be told."""
    if response.status == _BLOCKED:
        return Outcome(verdict=Verdict.HELD, reason="ingestion_blocked")
    outcome = outcome_of(response)
    cutoffs = _TOO_OLD.findall(response.body) if response.status == _BAD_REQUEST else []
    if not cutoffs or _OTHERWISE.search(_LABELS.sub(b"", response.body)):
        return outcome
    cutoff = max(cutoffs).decode()
    refused = Outcome(verdict=Verdict.REFUSED, reason="too_old")
    moments = _moments(request.body)
    items = {at: refused for at, moment in enumerate(moments) if moment < cutoff}
    if items and len(items) < request.items:
        # It is told to the second: of those in that one nobody knows, and what has been stored is stored once.
        unknown = Outcome(verdict=Verdict.RETRY, reason="too_old")
        items |= {at: unknown for at, moment in enumerate(moments) if moment == cutoff}
    if not items:
        return outcome
    if len(items) == request.items:
        # Nothing else can be said of them, whatever is taken beside them.
        return Outcome(verdict=Verdict.DONE, reason="too_old", rejected=request.items)
    return Outcome(verdict=Verdict.DONE, items=items)


def _moments(body: bytes) -> list[str]:
    """When the lines of a request were written, to the second, as Loki says it."""
    plain = zlib.decompress(body, _GZIP_WBITS) if body[:2] == b"\x1f\x8b" else body
    try:
        streams = _pushed.decode(plain).streams
    except (msgspec.MsgspecError, RecursionError):
        return []
    seconds = [int(entry[0][:-9] or 0) for stream in streams for entry in stream.values]
    return [time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)) for second in seconds]
