"""Cutting frames into batches, and where every row stands."""

import json
import os
import signal
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.contract.backlog import Backlog, UnderWay
from lifecycle.contract.frames import Frame
from shipper.delivery.batch import Batch, BatchLimits, Position
from shipper.destinations.lines import Lines as LineEncoder
from shipper.destinations.otlp.destination import Shapes
from shipper.destinations.otlp.json_encoding import JsonEncoding
from shipper.destinations.otlp.json_logs import LogRecords
from shipper.errors import HeldError
from shipper.model.context import NOTHING
from shipper.model.events import Event
from shipper.model.log_record import Encoder, LogRecord
from shipper.model.signals import Selection
from shipper.pipeline import Pipeline
from shipper.rules.rule_set import Rules
from tests.shipper.support import Lines, backlog_of, event, frame_of, settings_of, start

OWN = event('{"logger":"tailrace.shipper"}\n', "extension")


class Words(Encoder):
    """Records that name request, digest and index."""

    def log(self, record: LogRecord) -> bytes:
        """Request, frame and index."""
        event = record.event
        if b"crash" in (bytes(event.record) if isinstance(event, Event) else getattr(event, "json", b"")):
            raise RuntimeError
        if isinstance(event, Event) and bytes(event.record) == b'"strange"':
            raise RuntimeError
        batch_id, _, index = record.uid.partition("-")
        return b"%b/%d/%b" % (record.origin.request_id.encode(), bytes.fromhex(batch_id)[0], index.encode())


def cut(limits: BatchLimits, *frames: list[object], at: Position | None = None) -> tuple[list[Batch], int]:
    backlog, end = backlog_of(*frames)
    at = at or Position(0)
    return list(Pipeline(Words(), limits, Lines().log).batches(backlog.frames(at.through, end), at)), end


def records(batches: list[Batch]) -> list[list[bytes]]:
    return [[record for parcel in batch.parcels.values() for record in parcel.records] for batch in batches]


def test_small_frames_share_a_batch() -> None:
    batches, end = cut(BatchLimits(10_000, 100), [event("a")], [event("b"), event("c")])
    assert records(batches) == [[b"/0/0", b"/1/0", b"/1/1"]]
    assert batches[0].end == Position(end)


def test_a_large_frame_is_split_by_records_and_by_bytes() -> None:
    lines: list[object] = [event("x")] * 7
    assert [batch.rows for batch in cut(BatchLimits(10_000, 3), lines)[0]] == [3, 3, 1]
    assert [batch.rows for batch in cut(BatchLimits(15, 100), lines)[0]] == [3, 3, 1]
    batches, end = cut(BatchLimits(10_000, 3), lines)
    assert [batch.end for batch in batches] == [Position(0, 3), Position(0, 6), Position(end)]


@pytest.mark.parametrize("text", ["MemoryError\n", "child: signal: killed\n", "out of memory\n"])
def test_what_a_line_tells_is_the_same_wherever_a_batch_ends(text: str) -> None:
    """Also of a line that is the first of its batch."""
    backlog, end = backlog_of([start(), event("a"), event(text), event("b")])
    shapes = Shapes(lambda _signal: JsonEncoding({}), {})
    found = []
    for most in (100, 3, 2, 1):
        made = Pipeline(LogRecords(), BatchLimits(10**6, most), Lines().log, Selection(), shapes)
        *_, last = made.batches(backlog.frames(0, end), Position(0))
        found.append(last.end.context)
    assert found == found[:1] * 4


def test_a_batch_that_has_left_is_not_in_memory_beside_the_next() -> None:
    """Also where both are of one frame: whoever has it is the last to hold it."""
    backlog, end = backlog_of([event("short")] * 2000)
    pipeline = Pipeline(LogRecords(), BatchLimits(10**9, 500), Lines().log)
    left: list[weakref.ref[Batch]] = []
    still: list[int] = []

    def looks() -> bool:
        still.append(sum(one() is not None for one in left))
        return False

    pipeline.between = looks
    for batch in pipeline.batches(backlog.frames(0, end), Position(0)):
        left.append(weakref.ref(batch))
        del batch
    assert (len(left), len(still) > len(left), set(still)) == (4, True, {0})


def test_a_record_larger_than_a_batch_goes_alone() -> None:
    batches, _ = cut(BatchLimits(1, 100), [event("a"), event("b")])
    assert [batch.rows for batch in batches] == [1, 1]


def test_lines_belong_to_the_invocation_before_them() -> None:
    """To none before the first start, and to the init after an initStart."""
    init = event({"initializationType": "on-demand"}, "platform.initStart")
    done = event({"requestId": "r1"}, "platform.runtimeDone")
    batches, _ = cut(
        BatchLimits(10_000, 100), [event("a"), start("r1"), event("b"), done, event("c"), init, event("d")]
    )
    assert records(batches) == [[b"/0/0", b"r1/0/1", b"r1/0/2", b"r1/0/3", b"r1/0/4", b"/0/5", b"/0/6"]]


def test_where_invocations_interleave_no_line_is_given_to_one() -> None:
    backlog, end = backlog_of([start("r1"), event("b")])
    pipeline = Pipeline(Words(), BatchLimits(10_000, 100), Lines().log, Selection(interleaved=True))
    assert records(list(pipeline.batches(backlog.frames(0, end), Position(0)))) == [[b"r1/0/0", b"/0/1"]]


def test_own_lines_are_dropped_and_counted() -> None:
    (batch,), end = cut(BatchLimits(10_000, 100), [OWN, event("a"), OWN])
    assert records([batch]) == [[b"/0/1"]]
    assert (batch.tally(0, 3), batch.end) == ((1, {"own_line": 2}), Position(end))


def test_what_cannot_be_written_is_dropped_counted_and_said() -> None:
    """A bug in the mapping must not stop the stream."""
    (batch,), _ = cut(BatchLimits(10_000, 100), [event("a"), event("crash"), event("b")])
    assert batch.tally(0, 3) == (2, {"unmappable": 1})


def test_what_the_mapping_fails_at_is_written_as_it_came() -> None:
    """Before it is given up."""
    (batch,), _ = cut(BatchLimits(10_000, 100), [event("a"), event("strange"), event("b")])
    assert batch.tally(0, 3) == (3, {})
    assert records([batch]) == [[b"/0/0", b"/0/1", b"/0/2"]]


def test_a_broken_frame_stands_for_all_its_events() -> None:
    pipeline = Pipeline(Words(), BatchLimits(10_000, 100), Lines().log)
    (batch,) = pipeline.batches(iter([frame_of(b"garbage", 7)]), Position(0))
    assert batch.tally(0, batch.rows) == (7, {})


def test_a_damaged_frame_is_dropped_whole_and_by_its_size() -> None:
    """Nothing is left of it that could be shipped, but how many events it held."""
    damaged = Frame(0, 900, 7, 1, bytes(8), memoryview(b""), 850)
    (batch,) = Pipeline(Words(), BatchLimits(10_000, 100), Lines().log).batches(iter([damaged]), Position(0))
    assert (batch.tally(0, batch.rows), batch.tally_bytes(0, batch.rows)) == ((0, {"damaged": 7}), {"damaged": 850})
    assert (batch.parcels, batch.end) == ({}, Position(900))


@given(
    st.lists(st.lists(st.sampled_from(["line", "own", "start"]), max_size=6), min_size=1, max_size=5),
    st.integers(1, 7),
    st.integers(0, 40),
)
def test_going_on_from_any_row_gives_the_same_rest(frames: list[list[str]], size: int, row: int) -> None:
    """A replaced shipper goes on from position and context as if nothing had happened."""
    made: list[list[object]] = []
    for number, words in enumerate(frames):
        kinds = {"line": event("a"), "own": OWN, "start": start(f"r{number}")}
        made.append([json.loads(json.dumps(kinds[word])) for word in words])
    batches, _ = cut(BatchLimits(10_000, size), *made)
    whole = [record for batch in records(batches) for record in batch]
    total = sum(batch.rows for batch in batches)
    row = min(row, total)
    before = 0
    for batch in batches:
        if row <= before + batch.rows:
            at = batch.position(row - before)
            settled = [
                r for p in batch.parcels.values() for r, n in zip(p.records, p.rows, strict=True) if n < row - before
            ]
            done = [r for b in records(batches[: batches.index(batch)]) for r in b] + settled
            rest, _ = cut(BatchLimits(10_000, 3), *made, at=at)
            assert done + [record for one in records(rest) for record in one] == whole
            return
        before += batch.rows


def test_a_row_after_none_is_an_error() -> None:
    batch = Batch()
    batch.rows = 1
    with pytest.raises(IndexError):
        batch.position(0)
    assert NOTHING.request_id == ""


def lives(backlog: Backlog, end: int, encoder: Encoder, under_way: UnderWay) -> list[Batch] | None:
    """What a shipper's process makes of a backlog; None when it dies."""
    pid = os.fork()
    if pid == 0:
        for _ in Pipeline(encoder, BatchLimits(10_000, 100), Lines().log, under_way=under_way).batches(
            backlog.frames(0, end), Position(0)
        ):
            pass
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        return None
    pipeline = Pipeline(encoder, BatchLimits(10_000, 100), Lines().log, under_way=under_way)
    return list(pipeline.batches(backlog.frames(0, end), Position(0)))


class Deadly(Words):
    """A mapping that kills: nothing is said, nothing is caught, nothing is cleaned up."""

    def log(self, record: LogRecord) -> bytes:
        """Dies of a level, which only what is read has."""
        if record.severity_text == "FATAL":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().log(record)


def test_what_a_shipper_died_of_is_passed_through_as_text_by_the_next() -> None:
    """Each time one dies the next knows one more; all else is mapped as ever, and what was not is counted."""
    fatal = event({"level": "FATAL", "message": "no"})
    backlog, end = backlog_of([event("a"), fatal, event("b")], [fatal])
    under_way = UnderWay()
    assert lives(backlog, end, Deadly(), under_way) is None
    assert lives(backlog, end, Deadly(), under_way) is None
    found = lives(backlog, end, Deadly(), under_way)
    assert found is not None
    (batch,) = found
    assert records([batch]) == [[b"/0/0", b"/0/1", b"/0/2", b"/1/0"]]
    assert (batch.unmapped, batch.tally(0, 4)) == ({1, 3}, (4, {}))


def test_what_is_passed_through_is_blanked_where_something_is_redacted() -> None:
    """It cannot be told what is in it."""
    rules = Rules(settings_of(TAILRACE_REDACT="secret"), Lines().log)
    backlog, end = backlog_of([event("a"), event({"level": "FATAL", "message": "secret"})])
    encoder = LineEncoder(settings_of())
    under_way = UnderWay()
    under_way.enter(0, 1)
    pipeline = Pipeline(encoder, BatchLimits(10_000, 100), Lines().log, rules=rules, under_way=under_way)
    (batch,) = pipeline.batches(backlog.frames(0, end), Position(0))
    assert [json.loads(record)["record"] for record in records([batch])[0]] == ["a", "***"]


def test_a_frame_that_kills_before_any_event_of_it_is_begun_is_told_apart_undecoded() -> None:
    """Where a shipper died at an event and the next, which left that alone, died there again."""
    backlog, end = backlog_of([event("a")], [event("b"), event("c")])
    _, second = backlog.frames(0, end)
    under_way = UnderWay()
    for _ in range(2):
        under_way.enter(second.start, 0)
        pipeline = Pipeline(LogRecords(), BatchLimits(10_000, 100), Lines().log, under_way=under_way)
    (batch,) = pipeline.batches(backlog.frames(0, end), Position(0))
    texts = [json.loads(record)["body"]["stringValue"] for record in records([batch])[0]]
    assert texts[0] == "a"
    assert [json.loads(text) for text in texts[1:]] == [event("b"), event("c")]
    assert batch.unmapped == {1, 2}


def test_a_shipper_that_is_at_nothing_died_of_nothing() -> None:
    """Whether it waits for an answer, or has made all there was."""
    backlog, end = backlog_of([event("a"), event("b")])
    under_way = UnderWay()
    pipeline = Pipeline(Words(), BatchLimits(10_000, 1), Lines().log, under_way=under_way)
    batches = pipeline.batches(backlog.frames(0, end), Position(0))
    for _ in range(2):
        next(batches)
        assert not under_way.places()
    assert list(batches) == []
    assert not under_way.places()


@pytest.mark.parametrize("line", ["x" * 5000, {"n": "x" * 5000}, "two\nlines " + "x" * 5000])
def test_between_any_two_records_others_have_their_turn(line: object) -> None:
    """Long ones one by one, short ones by the dozen; whoever has the turn may end the batch, or all of it."""
    backlog, end = backlog_of([event(line), event(line), event(line)], [event("short")] * 200)
    pipeline = Pipeline(LogRecords(), BatchLimits(10**9, 10**9), Lines().log)
    turns: list[int] = []

    def second_turn() -> bool:
        turns.append(1)
        return len(turns) == 2

    pipeline.between = second_turn
    batches = list(pipeline.batches(backlog.frames(0, end), Position(0)))
    assert len(turns) >= 3 + 200 * 100 // 4096
    assert [batch.rows for batch in batches] == [2, 201]
    assert batches[0].end == Position(0, 2)

    def ended() -> bool:
        raise HeldError("deadline")

    pipeline.between = ended
    with pytest.raises(HeldError):
        list(pipeline.batches(backlog.frames(0, end), Position(0)))


def test_a_look_ahead_lets_others_have_their_turn() -> None:
    rules = Rules(settings_of(TAILRACE_SAMPLE="0.5"), Lines().log)
    backlog, end = backlog_of(*[[event("a")]] * 5)
    pipeline = Pipeline(Words(), BatchLimits(10_000, 100), Lines().log, rules=rules)
    turns: list[int] = []

    def turn() -> bool:
        turns.append(1)
        return False

    pipeline.between = turn
    pipeline.look_ahead(backlog.frames(0, end), Position(0), is_pressed=False)
    assert len(turns) == 5
