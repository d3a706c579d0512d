"""From bytes on a connection to what leaves for a backend, in one process: what must hold on the way.

Each function takes what came and fails by assertion; hypothesis and atheris both call them.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

from opentelemetry.proto.logs.v1.logs_pb2 import ScopeLogs

from collector.batch import BadBatchError, Envelope, read
from collector.handler import refusal
from collector.http_parser import HttpParser, Rooms
from collector.line_parser import LineParser
from collector.messages import Batch, Continue, Item, Lines, Problem
from collector.store import MOST_PROBLEMS, Store
from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings
from shipper import pipeline
from shipper.delivery.batch import BatchLimits, Position
from shipper.destinations.lines import Lines as LineEncoder
from shipper.destinations.otlp.json_logs import LogRecords
from shipper.destinations.otlp.protobuf_logs import LogRecords as ProtobufRecords
from shipper.model.log_record import Encoder
from shipper.pipeline import Pipeline
from tests.shipper.support import frame_of

if TYPE_CHECKING:
    from lifecycle.contract.backlog import Writer

LIMIT_BYTES = 200_000

SILENT = Log("fuzz", "error", write=lambda _line: None)


class UnmappableError(AssertionError):
    """An event was dropped because an encoder failed."""


def http(pieces: Iterable[bytes]) -> list[tuple[Any, ...]]:
    """What came by one HTTP connection; returns what was said of it, for comparison."""
    parser = HttpParser(LIMIT_BYTES, Rooms(least_bytes=1))
    said: list[tuple[Any, ...]] = []
    for piece in pieces:
        was_over = parser.is_over
        items = parser.receive(memoryview(piece))
        assert not (was_over and items), "something was read after the end"
        assert parser.buffered_bytes <= LIMIT_BYTES
        assert parser.read_bytes > 0
        said += (_said(item) for item in items if not isinstance(item, Continue))
    said += (_said(item) for item in parser.finish())
    assert not any(is_last for *_, is_last in said[:-1]), "something was said after the end"
    return said


def _said(item: Item) -> tuple[Any, ...]:
    if isinstance(item, Batch):
        return (*batch(bytes(item.body)), not item.keep_alive)
    assert isinstance(item, Problem)
    answer = refusal(item)
    assert answer.startswith(b"HTTP/1.1 %d " % item.status)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert item.is_head or json.loads(body)["error"] == item.reason
    assert head.count(b"\n") == refusal(item).partition(b"\r\n\r\n")[0].count(b"\r\n")
    return item.reason, item.status, not item.keep_alive


def tcp(pieces: Iterable[bytes]) -> list[bytes]:
    """What came by one TCP connection; returns the lines that are kept."""
    parser = LineParser(LIMIT_BYTES)
    store = Store(cast("Writer", None), lambda _message: None, (), b"", SILENT)
    kept: list[bytes] = []
    items: list[Item] = []
    for piece in pieces:
        items += parser.receive(memoryview(piece))
        assert parser.buffered_bytes <= LIMIT_BYTES
        assert parser.read_bytes > 0
    items += parser.finish()
    for item in items:
        if isinstance(item, Lines):
            prepared, problems = store.prepare_lines(item.lines)
            assert len(problems) <= MOST_PROBLEMS + 1
            if prepared is not None:
                shipped(prepared.envelope)
                kept.append(bytes(prepared.envelope.payload))
        else:
            assert isinstance(item, Problem)
            assert item.keep_alive, "a stream of lines must not be ended"
    return kept


def batch(body: bytes) -> tuple[Any, ...]:
    """A request body: refused by a name, or kept and shipped; a JSON array is never refused."""
    envelope, reason = _read(body)
    if envelope is None:
        assert reason in {"malformed", "not_an_array", "too_deep", "too_many"}
        assert not isinstance(strict(body), list), f"a JSON array was refused as {reason}"
        return reason, 400
    assert len(envelope.payload) == len(body), "what is kept is as long as what came"
    array = strict(bytes(envelope.payload))
    if array is not DEEP:
        assert isinstance(array, list), "what is no JSON array was kept"
        assert len(array) == envelope.events
    shipped(envelope)
    return envelope.events, 200


def record(text: str) -> None:
    """A function's record, as text and, where it is JSON, as that: kept and shipped."""
    head = '[{"time":"2024-05-20T16:29:45.008Z","type":"function","record":'
    assert batch(f"{head}{json.dumps(text)}}}]".encode())[1] == 200
    if isinstance(strict(text.encode()), dict):
        batch(f"{head}{text}}}]".encode())


def _read(body: bytes) -> tuple[Envelope | None, str]:
    try:
        return read(body), ""
    except BadBatchError as error:
        refusal(Problem(error.reason, 400, error.got, error.expected))
        return None, error.reason


DEEP = object()


def strict(text: bytes) -> Any:
    """The JSON value, by a reader that is not ours; None where it is none, DEEP where it cannot tell."""
    try:
        return json.loads(text.decode(), parse_constant=_no, parse_int=str, parse_float=str)
    except RecursionError:
        return DEEP
    except ValueError:
        return None


def _no(constant: str) -> None:
    raise ValueError(constant)


def shipped(envelope: Envelope) -> None:
    """What becomes of a batch: each event is one valid record, whatever the destination and its encoding."""
    payload = bytes(envelope.payload)
    with patch.object(pipeline, "LEAST_FOR_RUNS_BYTES", 0):  # lines are read together in the smallest frame, too
        for encoder in (LogRecords(), ProtobufRecords(), LineEncoder(Settings({"AWS_LAMBDA_FUNCTION_NAME": "f"}))):
            _encoded(encoder, payload, envelope.events)


def _encoded(encoder: Encoder, payload: bytes, events: int) -> None:
    frame = frame_of(payload, events)
    rows = records = own = 0
    uids = set()
    for cut in Pipeline(encoder, BatchLimits(65_536, 100), SILENT).batches(iter([frame]), Position(0)):
        if "unmappable" in cut.lost.values():
            raise UnmappableError(payload[:200])
        delivered, dropped = cut.tally(0, cut.rows)
        rows += delivered + sum(dropped.values())
        own += dropped.get("own_line", 0)
        for record in _records(cut.parcels.values()):
            uids.add(_uid(record))
            records += 1
    assert rows == events, "an event was lost or made up on the way"
    assert records == events - own
    assert len(uids) == records, "two records have one uid"


def _records(parcels: Iterable[Any]) -> Iterable[bytes]:
    for parcel in parcels:
        yield from parcel.records


def _uid(record: bytes) -> str:
    """The uid of a record that must be protobuf, or JSON, on one line, without anything that has no place in it."""
    if record[:1] == b"\x12":
        (log,) = ScopeLogs.FromString(record).log_records
        return str(next(pair.value.string_value for pair in log.attributes if pair.key == "log.record.uid"))
    assert b"\n" not in record[:-1]
    depth_allowed = sys.getrecursionlimit()
    try:
        found = json.loads(record.decode(), parse_constant=_no, parse_int=str, parse_float=str)
    except RecursionError:
        return f"deeper than {depth_allowed}: {hash(record)}"
    if "uid" in found:
        return str(found["uid"])
    attributes: Sequence[dict[str, Any]] = found["attributes"]
    return str(next(a["value"]["stringValue"] for a in attributes if a["key"] == "log.record.uid"))
