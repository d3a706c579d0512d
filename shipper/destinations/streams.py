"""AWS's streams: what Firehose and Kinesis have in common.

Rows are packed into records of a stream, many into one: a record is what is paid for. An answer says for each record
whether it was taken; those that were not are sent again, alone.

Source: Amazon Data Firehose API reference, "PutRecordBatch"; Amazon Kinesis Data Streams API reference, "PutRecords".
"""

import binascii
from collections.abc import Sequence

import msgspec

from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings
from shipper.auth.aws import Scope, address_of, region_of
from shipper.delivery.interfaces import Limits, Request
from shipper.delivery.outcome import DONE, Outcome, Verdict
from shipper.destinations.destination import Destination, Endpoint, of_records
from shipper.destinations.http import OnResponse, Senders, outcome_of, place_of
from shipper.model.log_record import Encoder
from shipper.transport.response import MOST_RESPONSE, Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.transport.interfaces import Timing

_CONTENT_TYPE = "application/x-amz-json-1.1"


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of stream.

    Attributes:
        service: As hosts and signatures name it.
        variable: As AWS_ENDPOINT_URL_… names it.
        operation: That which puts records.
        name: What the stream's name is called in a request.
        limits: What a request may hold.
        pack_bytes: How much of rows goes into a record.
        has_keys: A record says which shard it belongs to: an item is its row behind a line with the key.
    """

    service: str
    variable: str
    operation: str
    name: str
    limits: Limits
    pack_bytes: int
    has_keys: bool = False


def destination(
    settings: Settings,
    timing: "Timing",
    log: Log,
    on_response: OnResponse | None,
    *,
    stream: Stream,
    encoder: Encoder,
) -> Destination:
    """The destination of an address like SCHEME://NAME."""
    name, _, query = settings.destination.partition("://")[2].partition("?")
    region = region_of(query, settings.aws, log)
    address = address_of(settings.aws, stream.service, variable=stream.variable, region=region)
    place = msgspec.structs.replace(place_of(settings, address), is_compressed=False)
    scope = Scope(stream.service, region)
    sender = Senders(settings, timing, log, on_response).sender(place, read, scope=scope, most_body=MOST_RESPONSE)
    packs = Packs(stream, name.rstrip("/"), address.target)
    return of_records(settings, encoder, lambda signal: Endpoint(packs, sender.of(signal), stream.limits))


class PackedRequest(Request, frozen=True, kw_only=True):
    """A request that knows what its records are made of.

    Attributes:
        packed: How many items are in each record, in order.
    """

    packed: tuple[int, ...]


class Packs:
    """Makes requests of rows.

    Args:
        stream: What kind it is.
        name: Its own.
        target: Path at which it is reached.
    """

    def __init__(self, stream: Stream, name: str, target: str) -> None:
        self._stream = stream
        self._head = b'{"%b":%b,"Records":[' % (stream.name.encode(), msgspec.json.encode(name))
        self._target = target
        self._headers = (("Content-Type", _CONTENT_TYPE), ("X-Amz-Target", stream.operation))

    def __call__(self, items: Sequence[bytes], key: str = "") -> Request:
        """A request of some rows."""
        del key
        records: list[bytes] = []
        packed: list[int] = []
        pack: list[bytes] = []
        size, shard = 0, b""
        for item in items:
            mine, row = item.split(b"\n", 1) if self._stream.has_keys else (b"", item)
            if pack and (size + len(row) > self._stream.pack_bytes or mine != shard):
                records.append(self._record(pack, shard))
                packed.append(len(pack))
                pack, size = [], 0
            shard = mine
            pack.append(row)
            size += len(row)
        if pack:
            records.append(self._record(pack, shard))
            packed.append(len(pack))
        body = b"%b%b]}" % (self._head, b",".join(records))
        return PackedRequest(
            body=body,
            body_bytes=len(body),
            items=len(items),
            target=self._target,
            headers=self._headers,
            packed=tuple(packed),
        )

    def _record(self, rows: Sequence[bytes], shard: bytes) -> bytes:
        data = binascii.b2a_base64(b"".join(rows), newline=False)
        if not self._stream.has_keys:
            return b'{"Data":"%b"}' % data
        return b'{"Data":"%b","PartitionKey":%b}' % (data, msgspec.json.encode(shard.decode()))


class Result(msgspec.Struct, rename="pascal"):
    """What became of a record."""

    error_code: str | None = None
    error_message: str | None = None


class Answer(msgspec.Struct, rename="pascal"):
    """What a request is answered with; Firehose and Kinesis have names of their own for the same."""

    failed_put_count: int | None = None
    failed_record_count: int | None = None
    request_responses: list[Result] = []
    records: list[Result] = []


_answers = msgspec.json.Decoder(Answer)


def read(request: Request, response: Response) -> Outcome:
    """What became of a request, and of each record in it."""
    outcome = outcome_of(response)
    if outcome.verdict is not Verdict.DONE:
        return outcome
    try:
        answer = _answers.decode(response.body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        answer = Answer()
    failed = answer.failed_put_count if answer.failed_put_count is not None else answer.failed_record_count
    if failed is None or not isinstance(request, PackedRequest):
        return Outcome(verdict=Verdict.HELD, reason="no_stream_answer")
    if not failed:
        return DONE
    results = answer.request_responses or answer.records
    items: dict[int, Outcome] = {}
    at = 0
    for number, count in enumerate(request.packed):
        # A record that nothing is said of may or may not be there: it can be sent again.
        result = results[number] if number < len(results) else Result("unanswered")
        if result.error_code:
            code = result.error_code[:64]
            reason = code if code.isascii() and code.isidentifier() else "record_failed"
            failure = Outcome(verdict=Verdict.RETRY, reason=reason, said=result.error_message or "")
            items |= dict.fromkeys(range(at, at + count), failure)
        at += count
    return Outcome(verdict=Verdict.DONE, items=items)
