"""Elasticsearch and OpenSearch: log records as documents of a data stream, by `_bulk`.

A document is created under its record's own id, so one that is sent twice is there once, and the second answer, 409, is
as good as the first. Field names are the Elastic Common Schema's; what a line says beside them stands under
`attributes`, which is to be mapped as `flattened`: arbitrary members would collide in type, and fill the mapping.

Source: Elasticsearch and OpenSearch, "Bulk API"; Elastic Common Schema 8.
"""

import msgspec

from lifecycle.contract.json_text import one_line
from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings
from shipper.delivery.interfaces import Limits, Request
from shipper.delivery.outcome import DONE, Outcome, Verdict
from shipper.destinations.destination import Destination, Endpoint, of_records
from shipper.destinations.fields import FieldNames, Fields, members_of, message_of, moment_of
from shipper.destinations.http import Bodies, OnResponse, Senders, outcome_of, place_behind
from shipper.model.log_record import Encoder, LogRecord
from shipper.model.resource import attributes
from shipper.transport.response import MOST_RESPONSE, Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.transport.interfaces import Timing

# Small Amazon domains take 10 MB; an answer about this many documents is read whole, unless it repeats what is in them.
LIMITS = Limits(request_bytes=10_000_000, request_items=1000)

# An answer that is at least so long and cannot be read was cut.
_LONG_ANSWER = MOST_RESPONSE // 2

# Of an answer, what is read of it; encoded as a signature has it.
_ANSWER = "filter_path=errors%2Citems.%2A.status%2Citems.%2A.error.type%2Citems.%2A.error.reason"

# What of a resource is in the schema; the rest are labels.
_FIELDS = (
    "service.name service.version faas.name faas.version faas.instance cloud.provider cloud.region cloud.account.id"
)

_NAMES = FieldNames(
    level="log.level",
    logger="log.logger",
    event_type="event.action",
    request_id="faas.execution",
    trace_id="trace.id",
    span_id="span.id",
    error_type="error.type",
    error_message="error.message",
    error_stack="error.stack_trace",
    uid="event.id",
)

# OpenSearch Serverless: its collections of time series choose ids themselves.
_WITHOUT_IDS = ".aoss.amazonaws.com"

# 409: a document of this id, which nobody else makes, is there.
_OK, _CONFLICT, _CONFIGURATION, _TOO_MANY, _SERVER_ERROR = (200, 201), 409, (401, 403, 404), 429, 500


def create(settings: Settings, timing: "Timing", log: Log, on_response: OnResponse | None = None) -> Destination:
    """The destination of an address like elasticsearch+https://HOST/DATA-STREAM; see `registry.create`."""
    place = place_behind(settings)
    path, _, query = place.address.target.partition("?")
    bodies = Bodies(place, "application/x-ndjson", f"{path.rstrip('/')}/_bulk?{query and query + '&'}{_ANSWER}")
    sender = Senders(settings, timing, log, on_response).sender(place, read, most_body=MOST_RESPONSE)
    documents = Documents(settings, has_ids=not place.address.host.endswith(_WITHOUT_IDS))
    return of_records(settings, documents, lambda signal: Endpoint(bodies, sender.of(signal), LIMITS))


class Documents(Encoder):
    """Writes log records as documents, each behind the line that has it created.

    Args:
        settings: Say what function and service this is.
        has_ids: Documents are created under ids of ours.
    """

    def __init__(self, settings: Settings, *, has_ids: bool = True) -> None:
        found = attributes(settings)
        fields = {name: found[name] for name in _FIELDS.split() if name in found}
        labels = {name: str(value) for name, value in found.items() if name not in fields}
        self._tail = b",%b}\n" % msgspec.json.encode({**fields, "labels": labels})[1:-1]
        self._fields = Fields(_NAMES)
        self._has_ids = has_ids

    def log(self, record: LogRecord) -> bytes:
        """A record's two lines."""
        action = b'{"_id":"%b"}' % record.uid.encode() if self._has_ids else b"{}"
        head = b'{"create":%b}\n{"@timestamp":"%b","message":%b,' % (action, moment_of(record), message_of(record))
        pieces = [head, members_of(self._fields(record))]
        if record.attributes:
            pieces.append(b',"attributes":{%b}' % members_of(record.attributes))
        elif record.body[:1] == b"{":
            pieces.append(b',"attributes":%b' % one_line(record.body))
        return b"".join((*pieces, self._tail))


class Error(msgspec.Struct):
    """Why a document was not taken."""

    type: str = ""
    reason: str | None = None


class Result(msgspec.Struct):
    """What became of a document."""

    status: int
    error: Error | None = None


class Answer(msgspec.Struct):
    """What a bulk request is answered with: a result for each document, in order, by what was to be done with it."""

    errors: bool
    items: list[dict[str, Result]] = []


_answers = msgspec.json.Decoder(Answer)


def read(request: Request, response: Response) -> Outcome:
    """What became of a request, and of each document in it."""
    outcome = outcome_of(response)
    if outcome.verdict is not Verdict.DONE:
        return outcome
    try:
        answer = _answers.decode(response.body)
    except (msgspec.MsgspecError, ValueError, RecursionError):  # ValueError: names that are not UTF-8
        if request.items > 1 and len(response.body) >= _LONG_ANSWER:  # about half as many there is half as much to say
            return Outcome(verdict=Verdict.SPLIT, reason="answer_too_long")
        return Outcome(verdict=Verdict.HELD, reason="no_bulk_answer")
    if not answer.errors:
        return DONE
    results = [result for item in answer.items for result in item.values()]
    outcomes = [_outcome_of(result) for result in results[: request.items]]
    # A document that nothing is said of may or may not be there: it can be sent again.
    outcomes += [Outcome(verdict=Verdict.RETRY, reason="unanswered")] * (request.items - len(outcomes))
    held = next((one for one in outcomes if one.verdict is Verdict.HELD), None)
    return held or Outcome(verdict=Verdict.DONE, items={at: one for at, one in enumerate(outcomes) if one is not DONE})


def _outcome_of(result: Result) -> Outcome:
    error, status = result.error or Error(), result.status
    # A name is shown as it is, and nothing else in a name's place.
    reason = error.type[:64] if error.type.isascii() and error.type.isidentifier() else f"status_{status}"
    # Some who speak `_bulk` call it 200, and say beside it that a document was not taken.
    if status == _CONFLICT or (status in _OK and not (error.type or error.reason)):
        return DONE
    verdict = Verdict.HELD if status in _CONFIGURATION else Verdict.REFUSED
    if status == _TOO_MANY or status >= _SERVER_ERROR or error.type == "cluster_block_exception":
        verdict = Verdict.RETRY
    return Outcome(verdict=verdict, reason=reason, said=error.reason or "")
