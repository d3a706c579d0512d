"""What one record may cost: memory for it, memory that stays, and how deep it may nest."""

import gc
import itertools
import json
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from lifecycle.contract.backlog import Backlog, Writer
from shipper.delivery.batch import Batch, BatchLimits, Position
from shipper.destinations.lines import Lines as LineEncoder
from shipper.destinations.otlp import json_logs, protobuf_logs
from shipper.model.log_record import Encoder
from shipper.pipeline import Pipeline
from shipper.rules.rule_set import Rules
from tests.sandbox.received import value_of
from tests.shipper.support import REQUEST_ID, TIME, Lines, settings_of

ENCODERS: dict[str, Callable[[], Encoder]] = {
    "json": json_logs.LogRecords,
    "protobuf": protobuf_logs.LogRecords,
    "lines": lambda: LineEncoder(settings_of()),
}
MB = 1_000_000
MANY = BatchLimits(10**9, 10**9)

# Records of about so many bytes, each dear in its own way.
SHAPES: dict[str, Callable[[int], bytes]] = {
    "numbers": lambda size: b'{"message":"m","a":[%b0]}' % (b"0," * (size // 2)),
    "empty texts": lambda size: b'{"message":"m","a":[%b0]}' % (b'"",' * (size // 3)),
    "empty objects": lambda size: b'{"a":[%b0]}' % (b"{}," * (size // 3)),
    "members": lambda size: b'{%b"z":0}' % b"".join(b'"%06d":0,' % n for n in range(size // 11)),
    "members of a member": lambda size: b'{"message":"m","a":{%b"z":0}}' % (b'"a":0,' * (size // 6)),
    "arrays": lambda size: (
        b'{"message":"m",%b"z":0}' % b"".join(b'"%06d":[%b0],' % (n, b"0," * 500) for n in range(size // 1015))
    ),
    "an array": lambda size: b"[%b0]" % (b"0," * (size // 2)),
    "text": lambda size: b'"%b\\n"' % (b"x" * size),
    "text with a wide character": lambda size: '"\U0001f600{}"'.format("x" * size).encode(),
    "escapes": lambda size: b'"%b"' % (b'\\"' * (size // 2)),
    "lines": lambda size: b'"%b"' % (b"TypeError: x\\n    at y\\n" * (size // 24)),
    "panics": lambda size: b'"%b\\nrow"' % (b"panic: " * (size // 7)),
    "JSON in text": lambda size: json.dumps('{"message":"m","a":[%s0]}' % ("0," * (size // 2))).encode(),
    "a level": lambda size: b'{"message":"m","level":"%b"}' % (b"x" * size),
    "a logger": lambda size: b'{"message":"m","logger":"%b"}' % (b"x" * size),
    "a time": lambda size: b'{"message":"m","time":"%b"}' % (b"x" * size),
    "a stack": lambda size: b'{"errorType":"E","stackTrace":[%b"x"]}' % (b'"at x",' * (size // 7)),
    "an error": lambda size: b'{"message":"m","err":{"type":"E","x":[%b0]}}' % (b"0," * (size // 2)),
    "a name": lambda size: b'{"message":"m","%b":1}' % (b"k" * size),
}


@pytest.fixture(autouse=True, scope="module")
def _others() -> Iterator[None]:
    """What the tests before left is not looked through with every collection."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def frames_of(*records: bytes, kind: str = "function", time: str = TIME) -> tuple[Backlog, int]:
    head = json.dumps({"time": time, "type": kind})[:-1].encode()
    payload = b"[%b]" % b",".join([b'%b,"record":%b}' % (head, record) for record in records])
    backlog = Backlog(len(payload) + 1000)
    writer = Writer(backlog, end=0, released=0)
    writer.append(payload, events=len(records), observed_ns=1, digest=bytes(8))
    return backlog, writer.end


def shipped(encoder: Encoder, *records: bytes, rules: Rules | None = None, **more: str) -> list[Batch]:
    backlog, end = frames_of(*records, **more)
    pipeline = Pipeline(encoder, MANY, Lines("error").log, rules=rules)
    return list(pipeline.batches(backlog.frames(0, end), Position(0)))


@pytest.mark.parametrize("size", [240_000, 2 * MB])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ENCODERS)
def test_a_record_takes_at_most_three_times_its_size_and_2_mb(name: str, shape: str, size: int) -> None:
    """In all that is made of it, the record as it is sent included."""
    encoder = ENCODERS[name]()
    shipped(encoder, b'{"message":"m"}', b'"TypeError: x\\n    at y"')
    record = SHAPES[shape](size)
    backlog, end = frames_of(record)
    pipeline = Pipeline(encoder, MANY, Lines("error").log)
    gc.collect()
    tracemalloc.start()
    try:
        (batch,) = pipeline.batches(backlog.frames(0, end), Position(0))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert batch.tally(0, 1) == (1, {})
    assert not batch.unmapped
    assert peak <= 3 * len(record) + 2 * MB


@pytest.mark.parametrize("name", ENCODERS)
def test_what_is_remembered_is_bounded_in_bytes(name: str) -> None:
    """Names, levels, loggers, types, times and ids of 30 KB, hundreds of each."""
    encoder = ENCODERS[name]()
    shipped(encoder, b'{"message":"m"}', b'"TypeError: x\\n    at y"')
    long = "x" * 30_000
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for n in range(300):
            word = f"{n}{long}"
            members = {"message": "m", word: 1, "level": word, "logger": word, "time": word, "requestId": word}
            shipped(encoder, json.dumps(members).encode(), kind=word, time=word)
            shipped(encoder, json.dumps({"message": "m", f"{word}y": "z"}).encode())
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < MB


def test_what_is_too_much_to_be_written_as_values_is_written_as_text() -> None:
    """Nothing is lost: numbers in a member, members by the thousand, and a line that is larger than any of Lambda's."""
    wide = {"message": "m", "level": "WARN", "a": list(range(2000)), "b": {"c": 1}}
    many = {f"m{n}": n for n in range(2000)}
    large = {"message": "m" * 300_000, "level": "ERROR", "AWSRequestId": REQUEST_ID, "logger": "shop"}
    (batch,) = shipped(
        json_logs.LogRecords(), *[json.dumps(one).encode() for one in (wide, {**many, "level": "WARN"}, large)]
    )
    found = [json.loads(record) for parcel in batch.parcels.values() for record in parcel.records]
    attributes = {one["key"]: value_of(one["value"]) for one in found[0]["attributes"]}
    assert (value_of(found[0]["body"]), json.loads(attributes["a"]), json.loads(attributes["b"])) == (
        "m",
        wide["a"],
        wide["b"],
    )
    assert json.loads(value_of(found[1]["body"])) == {**many, "level": "WARN"}
    assert json.loads(value_of(found[2]["body"])) == large
    assert [one["severityText"] for one in found] == ["WARN", "WARN", "ERROR"]
    assert {"key": "faas.invocation_id", "value": {"stringValue": REQUEST_ID}} in found[2]["attributes"]


def test_a_line_with_many_commas_and_colons_in_its_message_is_taken_apart_as_ever() -> None:
    line = {"message": "a:1, " * 5000, "level": "WARN", "user": {"id": 7}}
    (batch,) = shipped(json_logs.LogRecords(), json.dumps(line).encode())
    (record,) = [json.loads(one) for parcel in batch.parcels.values() for one in parcel.records]
    assert value_of(record["body"]) == line["message"]
    assert {one["key"]: value_of(one["value"]) for one in record["attributes"]}["user"] == {"id": 7}


# What a record that nests is shipped with: what judges or redacts it, into what, and what kind of event it is.
JUDGING = {"TAILRACE_DROP": "zzz", "TAILRACE_SAMPLE": "1"}
WAYS: dict[str, list[tuple[dict[str, str], str, str]]] = {
    "each": list(itertools.product(({}, {"TAILRACE_REDACT": "secret"}, JUDGING), ENCODERS, ("function", "extension"))),
    # All that there is, but not each with each: the deepest takes as long as a hundred others.
    "some": list(
        zip(({}, {"TAILRACE_REDACT": "secret"}, JUDGING), ENCODERS, ("function", "extension", "function"), strict=True)
    ),
}


@pytest.mark.parametrize(
    ("depth", "ways"), [*((depth, "each") for depth in (19, 20, 21, 33, *range(960, 1000, 3), 2000)), (90_000, "some")]
)
@pytest.mark.parametrize("shape", ['{"message":"m","a":%s}', "%s", '{"err":%s}', '{"errorType":"E","stackTrace":%s}'])
def test_however_deep_it_nests_a_record_is_shipped_and_the_one_behind_it(depth: int, ways: str, shape: str) -> None:
    """And where something is to be redacted, it does not show."""
    for begin, end in (("[", "]"), ('{"a":', "}")):
        record = (shape % (begin * depth + '"secret"' + end * depth)).encode()
        for environ, name, kind in WAYS[ways]:
            rules = Rules(settings_of(**environ), Lines().log) if environ else None
            (batch,) = shipped(ENCODERS[name](), record, b'"next"', rules=rules, kind=kind)
            written = [one for parcel in batch.parcels.values() for one in parcel.records]
            assert (len(written), batch.tally(0, 2)) == (2, (2, {}))
            assert b"next" in written[1]
            assert not any(b"secret" in one for one in written) or "TAILRACE_REDACT" not in environ
