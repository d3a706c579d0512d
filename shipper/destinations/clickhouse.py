"""ClickHouse: log records as rows of a table, by INSERT over HTTP.

Columns are those of the OpenTelemetry Collector's exporter, so that what reads its tables reads these; one that a table
lacks is left out. A request names its rows by a token made of them: one that comes again is not inserted again, where
the table remembers tokens.

Source: ClickHouse, "HTTP Interface", "JSONEachRow" and "Deduplicating inserts on retries".
"""

import _blake2
from collections.abc import Sequence

import msgspec

from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings
from shipper.delivery.interfaces import Request
from shipper.delivery.outcome import Outcome, Verdict
from shipper.destinations.destination import Destination, Endpoint, of_records
from shipper.destinations.fields import FieldNames, Fields, members_of, message_of, moment_of, text_of
from shipper.destinations.http import Bodies, OnResponse, Place, Senders, outcome_of, place_behind
from shipper.model.log_record import Encoder, LogRecord
from shipper.model.resource import attributes, service_name
from shipper.transport.response import Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.transport.interfaces import Timing

# What is asked of every insert, unless the address says otherwise. An insert of a few rows makes a part of its own, and
# too many of these stop the table: ClickHouse gathers them, and answers when they are written.
SETTINGS = {
    "input_format_skip_unknown_fields": "1",
    "date_time_input_format": "best_effort",
    "async_insert": "1",
    "wait_for_async_insert": "1",
    "async_insert_deduplicate": "1",
}

# The table is a parameter: no name of one can be more than a name.
_INSERT = "INSERT%20INTO%20%7Bdatabase%3AIdentifier%7D.%7Btable%3AIdentifier%7D%20FORMAT%20JSONEachRow"
_TOKEN_BYTES = 16

# ClickHouse's codes of what is wrong with a row: it cannot be parsed, or is not of the column's type.
_ABOUT_ROWS = frozenset((6, 16, 26, 27, 33, 38, 41, 43, 53, 69, 70, 72, 73, 117, 130, 131, 349, 467, 691))
# Of what is wrong with the settings: table, database, user, query.
_ABOUT_SETTINGS = frozenset((36, 47, 48, 60, 62, 80, 81, 115, 192, 193, 194, 195, 456, 457, 497, 516))
_LONGEST_CODE = 5
_SAID = b"Code: "

_NAMES = FieldNames(level="", trace_id="", span_id="", logger="")

_to_json = msgspec.json.Encoder().encode


def create(settings: Settings, timing: "Timing", log: Log, on_response: OnResponse | None = None) -> Destination:
    """The destination of an address like clickhouse+https://HOST:8443/DATABASE/TABLE; see `registry.create`."""
    place = place_behind(settings)
    sender = Senders(settings, timing, log, on_response).sender(place, read)
    inserts = Inserts(place)
    return of_records(settings, Rows(settings), lambda signal: Endpoint(inserts, sender.of(signal)))


class Inserts:
    """Makes requests of rows.

    Args:
        place: FieldNames server, database and table.
    """

    def __init__(self, place: Place) -> None:
        path, _, query = place.address.target.partition("?")
        path, _, table = path.rstrip("/").rpartition("/")
        path, _, database = path.rpartition("/")
        # A path may hold what a query may not.
        quoted = [name.replace("&", "%26").replace("+", "%2B") for name in (database or "default", table)]
        given = [pair for pair in query.split("&") if pair]
        names = {pair.partition("=")[0] for pair in given}
        usual = [f"{name}={value}" for name, value in SETTINGS.items() if name not in names]
        says = [f"query={_INSERT}", f"param_database={quoted[0]}", f"param_table={quoted[1]}", *usual, *given]
        self._target = f"{path}/?{'&'.join(says)}&insert_deduplication_token="
        self._bodies = Bodies(place, "application/x-ndjson")

    def __call__(self, items: Sequence[bytes], key: str = "") -> Request:
        """An insert of some rows, which is the same one if it is made of the same rows again."""
        token = _blake2.blake2b(digest_size=_TOKEN_BYTES)
        for item in items:
            token.update(item)
        return msgspec.structs.replace(self._bodies(items, key), target=self._target + token.hexdigest())


class Rows(Encoder):
    """Writes log records as rows.

    Args:
        settings: Say what function and service this is.
    """

    def __init__(self, settings: Settings) -> None:
        where = {name: str(value) for name, value in attributes(settings).items()}
        columns = {"ServiceName": service_name(settings), "ResourceAttributes": where}
        self._tail = b",%b}\n" % _to_json(columns)[1:-1]
        self._fields = Fields(_NAMES)

    def log(self, record: LogRecord) -> bytes:
        """One row."""
        origin = record.origin
        pieces = [b'{"Timestamp":"%b","Body":%b' % (moment_of(record), message_of(record))]
        if record.severity_text:
            level = _to_json(record.severity_text)
            pieces.append(b',"SeverityText":%b,"SeverityNumber":%d' % (level, record.severity_number))
        if origin.trace_id:
            pieces.append(b',"TraceId":"%b","TraceFlags":%d' % (origin.trace_id.encode(), (origin.flags or 0) & 255))
        if origin.span_id:
            pieces.append(b',"SpanId":"%b"' % origin.span_id.encode())
        if record.scope:
            pieces.append(b',"ScopeName":%b' % _to_json(record.scope))
        pairs = (*self._fields(record), *self._fields.of_line(record))
        said = members_of((name, text_of(raw)) for name, raw in pairs)
        return b"".join((*pieces, b',"LogAttributes":{%b}' % said, self._tail))


def read(request: Request, response: Response) -> Outcome:
    """What became of a request: an insert is done, or not at all."""
    del request
    outcome = outcome_of(response)
    if outcome.reason == "page":
        return outcome
    code = _code_of(response)
    if not code:
        return outcome
    reason = f"code_{code}"
    if code in _ABOUT_ROWS:  # also where an old server calls it its own fault
        return Outcome(verdict=Verdict.REFUSED, reason=reason)
    if code in _ABOUT_SETTINGS:
        return Outcome(verdict=Verdict.HELD, reason=reason)
    if outcome.verdict in (Verdict.RETRY, Verdict.SPLIT):
        return msgspec.structs.replace(outcome, reason=reason, may_be_records=False)
    return Outcome(verdict=Verdict.RETRY, reason=reason)


def _code_of(response: Response) -> int:
    """ClickHouse's code of what went wrong; 0 for none."""
    text = response.headers.get(b"x-clickhouse-exception-code", b"").strip()
    if not text and response.body[: len(_SAID)] == _SAID:
        text = response.body[len(_SAID) : len(_SAID) + _LONGEST_CODE + 1].partition(b".")[0]
    return int(text) if text.isdigit() and len(text) <= _LONGEST_CODE else 0
