"""Plain text lines, many at once: what they come to is what each of them comes to alone."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lifecycle.contract.backlog import SEVERAL, Backlog, UnderWay, Writer
from shipper.delivery.batch import Batch, BatchLimits, Position
from shipper.destinations.otlp import json_logs
from shipper.destinations.otlp.protobuf_logs import LogRecords
from shipper.model import events
from shipper.model.log_record import Records
from shipper.pipeline import Pipeline
from tests.shipper.support import OBSERVED_NS, REQUEST_ID, TIME, Lines, each_of, event, start

OTHER_ID = REQUEST_ID.replace("4", "5")
LATER = "2024-05-20T16:29:45.999Z"

# Lines as runtimes and people write them, lines that only look so, and those that are more than text.
TEXTS = [
    *(
        "GET /orders 200",
        "line 7",
        "placed",
        "Order 7 placed",
        "",
        " ",
        " indented",
        "x}",
        "ünïcödé",
        "a\\b",
        'say "x"',
    ),
    *(
        "two\nlines",
        "tab\tin it",
        "found",
        "fatal error: x",
        "FATAL ERROR: memory",
        "memory allocation of 5 bytes failed",
    ),
    *(f"[INFO]\t{TIME}\t{REQUEST_ID}\thello\tworld", f"[WARN]\t{LATER}\t{OTHER_ID}\thello", "[INFO] x", "[INFO]"),
    *(f'[INFO]\t{TIME}\t{REQUEST_ID}\t{{"a":1}}', f"[INFO]\t{TIME}\t{REQUEST_ID}\t", "[ERROR] Runtime.ExitError"),
    *(f"{TIME}\t{REQUEST_ID}\tINFO\thello", f"{TIME}\tundefined\tERROR\thello", f"{TIME}\tINFO\thello"),
    *(f"{TIME}\t{REQUEST_ID}\tinfo\thello errorType", f"{TIME} {REQUEST_ID} Task timed out after 3.00 seconds"),
    *("INFO:root:x", "ERROR: x", "level=INFO", "time=2024-05-20T16:29:45.008Z level=WARN", "info: x", "level=INFO msg"),
    *(
        '{"message":"x","level":"INFO"}',
        "{",
        "\x1b[31m[INFO] red\x1b[0m",
        "\ud83d",
        "\ufeff{",
        "Traceback (most recent",
    ),
    *("START RequestId: " + REQUEST_ID, "RequestId: " + REQUEST_ID + " Error: x", "thread 'main' panicked at x"),
    f"[INFO]\t2024-05-20T10:00:00.000Z\t{REQUEST_ID}\tmuch earlier",
]
LINES = st.sampled_from(TEXTS) | st.text(max_size=30) | st.text(alphabet='ab\\"\t\n{}[]', max_size=12)
NESTED = {"list": [{"a": "x\n"}, event("a line that is none\n"), {"time": "x"}]}
EVENTS = st.one_of(
    st.builds(lambda text, end, time: event(text + end, time=time), LINES, st.sampled_from(["\n", "\n", ""]),
              st.sampled_from([TIME, TIME, LATER, "2024-05-20T16:29:45Z", "yesterday", "1970-01-01T00:00:00.000Z"])),
    st.sampled_from(
        [
            *(event({"level": "INFO", "message": "x"}), event("x\n", "extension"), event(7), event(NESTED)),
            event([NESTED]),
            *(start(), start(OTHER_ID), event("x\n", "platform.new"), {**event("x\n"), "more": "y"}, {"time": TIME}, 5),
        ]
    ),
)  # fmt: skip
PAYLOADS = st.builds(
    lambda events, spaced, cut, tail: (
        json.dumps(events, separators=None if spaced else (",", ":")).encode()[:cut] + tail
    ),
    st.lists(st.one_of(EVENTS, st.just(event("a plain line\n"))), max_size=30),
    st.sampled_from([False] * 5 + [True]),
    st.one_of(st.none(), st.none(), st.none(), st.integers(-40, -1)),
    st.sampled_from([b"", b"", b"", b" ", b"\n", b"]", b"x", b"\xff"]),
)


def batches(
    payload: bytes,
    limits: BatchLimits,
    *,
    at_once: bool,
    under_way: UnderWay | None = None,
    encoding: type[LogRecords | json_logs.LogRecords] = LogRecords,
) -> list[Batch]:
    """What a payload comes to."""
    encoder = encoding()
    if not at_once:
        encoder.several = None  # type: ignore[assignment,method-assign]
    backlog = Backlog(2 * len(payload) + 1000)
    writer = Writer(backlog, end=0, released=0)
    for number in range(2):
        writer.append(payload, events=3, observed_ns=OBSERVED_NS, digest=bytes([number] * 8))
    pipeline = Pipeline(encoder, limits, Lines().log, under_way=under_way)
    return list(pipeline.batches(backlog.frames(0, writer.end), Position(0)))


def told(found: Sequence[Batch]) -> list[object]:
    """All that is to be known of batches."""
    return [
        (
            {name: each_of(parcel) for name, parcel in one.parcels.items()},
            (one.rows, one.body_bytes, one.end, one.lost, one.lost_bytes, one.unmapped, one.weights, one.parts),
            [one.position(row) for row in range(one.rows)],
        )
        for one in found
    ]


@pytest.mark.parametrize("encoding", [LogRecords, json_logs.LogRecords])
@given(PAYLOADS, st.integers(1, 40), st.sampled_from([100, 700, 4000, 10**6]))
@example(b'[{"time":"' + TIME.encode() + b'","type":"function","record":"not closed', 5, 4000)
@example(b'[{"time":"' + TIME.encode() + b'","type":"function","record":"x\\n"},{"time":"a"},{"time":"b"}]', 5, 4000)
@example(json.dumps([event("a\n"), event("level=INFO\n"), event("b\n")], separators=(",", ":")).encode(), 5, 4000)
@settings(max_examples=60, deadline=None)
def test_at_once_and_one_by_one_are_the_same(
    encoding: type[LogRecords | json_logs.LogRecords], payload: bytes, most_records: int, most_bytes: int
) -> None:
    """Byte for byte, row for row, whatever the frame holds and wherever batches end."""
    alone = batches(payload, BatchLimits(most_bytes, most_records), at_once=False, encoding=encoding)
    together = batches(payload, BatchLimits(most_bytes, most_records), at_once=True, encoding=encoding)
    assert told(together) == told(alone)


def test_a_long_frame_is_the_same_wherever_it_is_cut() -> None:
    """With lines enough for several chunks, some of them no plain ones, and some longer than a chunk."""
    sent = [
        event(f"{TEXTS[n % len(TEXTS)]} {n}\n" if n % 3 else f"line {n}\n", time=TIME[:-4] + f"{n % 7:03}Z")
        for n in range(1500)
    ]
    sent[700] = event("x" * 40_000 + "\n")
    payload = json.dumps(sent, separators=(",", ":")).encode()
    limits = BatchLimits(100_000, 333)
    assert told(batches(payload, limits, at_once=True)) == told(batches(payload, limits, at_once=False))


@pytest.mark.parametrize(
    "text",
    ["line {}", f"[INFO]\t{TIME}\t{REQUEST_ID}\tline {{}}", f"{TIME}\t{REQUEST_ID}\tINFO\tline {{}}", "Order {}"],
)
@pytest.mark.parametrize("end", ["\n", ""])
def test_what_functions_print_most_is_written_at_once(text: str, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it becomes an event; and not so many are written at once that nobody else has a turn."""
    payload = json.dumps([event(text.format(n) + end) for n in range(640)], separators=(",", ":")).encode()
    monkeypatch.setattr(events, "_events", None)
    (batch,) = batches(payload, BatchLimits(10**6, 10**6), at_once=True)
    assert batch.rows == 2 * 640


def test_others_have_their_turn_between_lines_that_are_written_at_once() -> None:
    payload = json.dumps([event(f"line {n}\n") for n in range(4000)], separators=(",", ":")).encode()
    backlog = Backlog(2 * len(payload))
    writer = Writer(backlog, end=0, released=0)
    writer.append(payload, events=4000, observed_ns=OBSERVED_NS, digest=bytes(8))
    pipeline = Pipeline(LogRecords(), BatchLimits(10**9, 10**9), Lines().log)
    turns: list[int] = []

    def third() -> bool:
        turns.append(1)
        return len(turns) == 3

    pipeline.between = third
    first, second = pipeline.batches(backlog.frames(0, writer.end), Position(0))
    assert len(turns) >= len(payload) // 65_536
    assert first.end == Position(0, first.rows)
    assert first.rows + second.rows == 4000


def test_what_fails_at_once_is_tried_one_by_one() -> None:
    """A mapping that fails takes no other line with it."""

    class Fails(LogRecords):
        def several(self, records: Records) -> list[bytes]:
            raise ValueError(records)

    payload = json.dumps([event("a\n"), event("b\n")], separators=(",", ":")).encode()
    backlog = Backlog(1000)
    writer = Writer(backlog, end=0, released=0)
    writer.append(payload, events=2, observed_ns=OBSERVED_NS, digest=bytes(8))
    pipeline = Pipeline(Fails(), BatchLimits(10_000, 10), Lines().log)
    (batch,) = pipeline.batches(backlog.frames(0, writer.end), Position(0))
    assert (batch.rows, batch.unmapped) == (2, set())


@pytest.mark.parametrize(("index", "unmapped"), [(1, {1}), (SEVERAL, set())])
def test_a_frame_that_a_shipper_died_in_is_read_one_by_one(index: int, unmapped: set[int]) -> None:
    """So that it is known at which event the next one dies."""
    payload = json.dumps([event("a\n"), event("[INFO] b\n")], separators=(",", ":")).encode()
    under_way = UnderWay()
    under_way.enter(0, index)
    (batch,) = batches(payload, BatchLimits(10_000, 10), at_once=True, under_way=under_way)
    assert (batch.rows, batch.unmapped) == (4, unmapped)
