"""Splunk: log records as events, by its HTTP Event Collector.

Each event is an object of its own, one after another and in no array. What one searches by, ids and level, are indexed
fields; what a line says is in the event. The index, and what else Splunk wants to know of where events come from, is
the address's query. Nothing makes an event that is sent twice one: `uid` is what a search tells copies by.

An acknowledgement is not waited for: it comes when an event is indexed, in an environment that may be frozen by then.

Source: Splunk, "Format events for HTTP Event Collector" and "Troubleshoot HTTP Event Collector", whose table of codes
this follows.
"""

import os

import msgspec

from lifecycle.contract.log import Log
from lifecycle.contract.schemes import HEC_METADATA
from lifecycle.contract.setting_types import marked, percent_decoded, unmarked
from lifecycle.contract.settings import Settings
from shipper.delivery.interfaces import Limits, Request
from shipper.delivery.outcome import DONE, Outcome, Verdict
from shipper.destinations.destination import Destination, Endpoint, of_records
from shipper.destinations.fields import FieldNames, Fields, members_of, message_of, resource_fields
from shipper.destinations.http import Bodies, OnResponse, Senders, outcome_of, place_of
from shipper.model.log_record import Encoder, LogRecord
from shipper.model.resource import service_name
from shipper.transport import address
from shipper.transport.response import Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.transport.interfaces import Timing

PATH = "/services/collector/event"
# Other names of the same.
_ALIASES = (f"{PATH}/1.0", PATH, "/services/collector")

# What Splunk Cloud recommends for a request.
LIMITS = Limits(request_bytes=1_000_000)

_IN_EVENT = FieldNames(request_id="", trace_id="", span_id="", uid="", event_type="event_type")
_INDEXED = FieldNames(
    level="", logger="", event_type="", request_id="request_id", error_type="", error_message="", error_stack="",
    uid="uid",
)  # fmt: skip

# Codes of answers: no fault of an event's, but of what the settings say; for later; of an event.
_HELD = {
    1: "token_disabled", 2: "token_required", 3: "invalid_authorization", 4: "invalid_token", 7: "incorrect_index",
    10: "channel_missing", 11: "invalid_channel", 14: "ack_disabled",
}  # fmt: skip
_RETRIED = (8, 9, 18, 19, 20, 21, 22, 23, 24, 25, 26)
_SUCCESS = (0, 17)

_to_json = msgspec.json.Encoder().encode


def create(settings: Settings, timing: "Timing", log: Log, on_response: OnResponse | None = None) -> Destination:
    """The destination of an address like splunk+https://HOST:8088?index=main; see `registry.create`."""
    text, references = marked(settings.destination.partition("+")[2])
    url, _, query = text.partition("#")[0].partition("?")
    url = unmarked(url, references)
    pairs = [unmarked(pair, references).partition("=")[::2] for pair in query.split("&")]
    metadata = {name: percent_decoded(value) for name, value in pairs if name in HEC_METADATA and value}
    others = "&".join(f"{name}={value}" for name, value in pairs if name and name not in HEC_METADATA)
    found = address.parse(f"{url}?{others}" if others else url, suffix=PATH, instead_of=_ALIASES)
    place = place_of(settings, found)
    digits = os.urandom(16).hex()
    channel = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    named = {"X-Splunk-Request-Channel": channel}
    place = msgspec.structs.replace(place, headers={**named, **place.headers})
    sender = Senders(settings, timing, log, on_response).sender(place, read)
    bodies = Bodies(place, "application/json")
    return of_records(settings, Events(settings, metadata), lambda signal: Endpoint(bodies, sender.of(signal), LIMITS))


class Events(Encoder):
    """Writes log records as events.

    Args:
        settings: Say what function and service this is.
        metadata: Where events come from and go to, where that is said.
    """

    def __init__(self, settings: Settings, metadata: dict[str, str]) -> None:
        function = service_name(settings)
        usual = {"host": function, "source": f"lambda:{function}", "sourcetype": "_json"}
        shared = members_of((name, _to_json(value)) for name, value in {**usual, **metadata}.items())
        where = members_of((name, _to_json(str(value))) for name, value in resource_fields(settings).items())
        self._head = b',%b,"event":{' % shared
        self._tail = b'},"fields":{%b' % where
        self._fields = Fields(_IN_EVENT, ("message",))
        self._indexed = Fields(_INDEXED)

    def log(self, record: LogRecord) -> bytes:
        """One event."""
        second, ns = divmod(record.time_ns or record.origin.observed_ns, 1_000_000_000)
        pairs = [*self._fields(record), *self._fields.of_line(record)]
        # An object is the event, not its text as well.
        if record.body[:1] != b"{" or not pairs:
            pairs.insert(0, ("message", message_of(record)))
        indexed = members_of(self._indexed(record))
        return b'{"time":%d.%06d%b%b%b,%b}}' % (
            *(second, ns // 1000, self._head),
            *(members_of(pairs), self._tail, indexed),
        )


class Answer(msgspec.Struct):
    """What a request is answered with.

    Attributes:
        code: Splunk's own, for what the text says.
        invalid_event: Index of the first event that is at fault; -1: it is not said.
    """

    code: int = 0
    text: str = ""
    invalid_event: int = msgspec.field(name="invalid-event-number", default=-1)


_answers = msgspec.json.Decoder(Answer)


def read(request: Request, response: Response) -> Outcome:
    """What became of a request: of one in which an event is at fault, the others are sent again without it.

    Splunk does not say what it has of them: what stood before the one at fault may be there twice then.
    """
    outcome = outcome_of(response)
    if response.is_early or outcome.reason == "page":
        return outcome
    try:
        answer = _answers.decode(response.body)
    except (msgspec.MsgspecError, ValueError, RecursionError):  # a proxy's, or that of who only speaks like Splunk
        return outcome
    if outcome is DONE and answer.code in _SUCCESS:
        return DONE
    if answer.code in _HELD:
        return Outcome(verdict=Verdict.HELD, reason=_HELD[answer.code], said=answer.text)
    refused = Outcome(verdict=Verdict.REFUSED, reason=f"code_{answer.code}", said=answer.text)
    if outcome is DONE and answer.code in _RETRIED:
        return msgspec.structs.replace(refused, verdict=Verdict.RETRY)
    if outcome is DONE or (outcome.verdict is Verdict.REFUSED and answer.code):
        outcome = refused
    if outcome is refused and request.items > 1 and 0 <= answer.invalid_event < request.items:
        others = Outcome(verdict=Verdict.RETRY, reason="beside_refused")
        items = {at: refused if at == answer.invalid_event else others for at in range(request.items)}
        return Outcome(verdict=Verdict.DONE, items=items)
    return outcome
