"""Lines of one shape that are read together say what each says by itself."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.contract.backlog import SEVERAL, Backlog, UnderWay, Writer
from shipper import pipeline
from shipper.delivery.batch import BatchLimits, Position
from shipper.destinations.otlp import json_logs, protobuf_logs
from shipper.destinations.otlp.destination import Shapes as OtlpShapes
from shipper.destinations.otlp.json_encoding import JsonEncoding
from shipper.destinations.otlp.values import class_of, scope_of
from shipper.model.events import Run
from shipper.model.log_record import Encoder, LogRecord, Records
from shipper.model.signals import Selection
from shipper.parse.json_shapes import KnownShapes
from shipper.parse.log_parser import LogParser
from shipper.pipeline import LEAST_FOR_RUNS_BYTES, Pipeline
from shipper.rules.rule_set import Rules
from tests.shipper.support import OBSERVED_NS, REQUEST_ID, TIME, Lines, each_of, event, settings_of, start

LATER = "2024-05-20T16:29:45.517Z"
USUAL: dict[str, list[Any]] = {
    "timestamp": [TIME, LATER, TIME, LATER],
    "level": ["INFO", "WARN", "INFO", "ERROR"],
    "message": ["m", "a longer one", "", "é"],
    "logger": ["shop", "shop.cart", "shop", ""],
    "requestId": [REQUEST_ID] * 4,
    "order": [1, 127, 128, 16_384],
    "n": [7] * 4,
    "who": ["anna", "bo", "chris", "dee"],
    "log.record.uid": ["x", "yy", "x", "x"],
    "ok": [True, False, None, True],
    "share": [0.5, -1, 2e9, 10**20],
    "xray_trace_id": [*["1-62e900b2-710d76f009d6e7785905449a"] * 2, "1-62e900b2-710d76f009d6e7785905449b", "none"],
    "@mt": ["Order {OrderId}"] * 4,
}
NAMES = st.lists(st.sampled_from(sorted(USUAL)), min_size=1, unique=True)
# What is seldom there, and may be at any place of a run.
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(
            'say "so"',
            "a\\b",
            "two\nlines",
            "memory",
            "CloudWatchMetrics",
            "}",
            '","order":1',
            "yesterday",
            "INFO",
            " ",
        ),
        *(16_384, -1, 2_097_152, 10**19, 1716222585, 1716222585123, {"a": 1}, [], None, True),
    ]
)
CHANGES = st.lists(st.tuples(st.integers(0, 39), st.sampled_from(sorted(USUAL)), ODD), max_size=4)
OTHERS = st.sampled_from(
    [
        event("a plain line\n"),
        event('{"message":"m"'),
        event('","order":1}\n'),
        *(event(f'{{"level":"INFO","message":"m","order":{number}}}\n') for number in ("01", "1.", "tru", "NaN", "-")),
        event({"message": "of no shape", "more": []}),
        event("an extension's", "extension"),
        event({"requestId": REQUEST_ID, "status": "success"}, "platform.runtimeDone"),
        event("m", time="yesterday"),
        {"time": TIME, "type": "function", "record": "m", "more": 1},
        [],
    ]
)
BETWEEN = st.lists(st.tuples(st.integers(0, 39), OTHERS), max_size=4)
# Lines in which two members that follow one another are in the other order.
TURNED = st.lists(st.tuples(st.integers(0, 39), st.integers(0, 10)), max_size=3)


class Watched(Encoder):
    """Counts the lines that are written together."""

    def __init__(self, made: Encoder) -> None:
        self.text_line = made.text_line
        self.together = 0
        self._log, self._several = made.log, made.several
        self.several = self._counted

    def log(self, record: LogRecord) -> bytes:
        """One by itself."""
        return self._log(record)

    def _counted(self, records: Records) -> list[bytes]:
        assert self._several is not None
        self.together += len(records.bodies)
        return self._several(records)


def backlog_of(*frames: list[Any], is_ascii: bool = True) -> tuple[Backlog, int]:
    """Frames as the platform writes them, without white space."""
    backlog = Backlog(1_000_000)
    writer = Writer(backlog, end=0, released=0)
    for number, events in enumerate(frames):
        body = json.dumps(events, separators=(",", ":"), ensure_ascii=is_ascii).encode()
        writer.append(body, events=len(events), observed_ns=OBSERVED_NS, digest=bytes([number] * 8))
    return backlog, writer.end


def shipped(backlog: Backlog, end: int, encoder: Encoder, limits: BatchLimits, *, is_followed: bool) -> list[Any]:
    """What a backlog comes to: the records of each batch with their loggers' names, and where it ends."""
    encoding = JsonEncoding({})
    shapes = OtlpShapes(lambda _signal: encoding, {}) if is_followed else None
    made = Pipeline(encoder, limits, Lines().log, Selection(), shapes)
    return [
        (
            [(bytes(one), scope_of(one), row) for parcel in batch.parcels.values() for one, row in each_of(parcel)],
            (batch.rows, batch.body_bytes, batch.end, batch.lost, batch.unmapped),
        )
        for batch in made.batches(backlog.frames(0, end), Position(0))
    ]


@settings(max_examples=60, deadline=None)
@given(
    names=NAMES,
    changes=CHANGES,
    between=BETWEEN,
    turned=TURNED,
    form=st.sampled_from(["text", "object"]),
    is_ascii=st.booleans(),
    encoding=st.sampled_from([protobuf_logs, json_logs]),
    limits=st.sampled_from([(10**9, 10**9), (2000, 10**9), (10**9, 7)]),
    is_followed=st.booleans(),
)
def test_lines_read_together_are_written_as_each_by_itself(
    names: list[str],
    changes: list[tuple[int, str, Any]],
    between: list[tuple[int, Any]],
    turned: list[tuple[int, int]],
    form: str,
    is_ascii: bool,  # noqa: FBT001 - hypothesis gives it
    encoding: Any,
    limits: tuple[int, int],
    is_followed: bool,  # noqa: FBT001 - likewise
) -> None:
    """Whatever they are, whatever stands between them, and wherever a batch ends."""
    objects: list[dict[str, Any]] = [
        {"message": f"line {number}", **{name: USUAL[name][number // 3 % 4] for name in names}} for number in range(40)
    ]
    for number, name, value in changes:
        objects[number][name] = value
    for number, place in turned:
        items = list(objects[number].items())
        items[place : place + 2] = reversed(items[place : place + 2])
        objects[number] = dict(items)
    lines = [
        json.dumps(one, separators=(",", ":"), ensure_ascii=False) + "\n" if form == "text" else one for one in objects
    ]
    events: list[Any] = [event(line, time=[TIME, LATER][number // 5 % 2]) for number, line in enumerate(lines)]
    learnt = [start(), *events[:20]]
    for place, other in sorted(between, reverse=True, key=lambda one: one[0]):
        events.insert(place, other)
    backlog, end = backlog_of(learnt, events, events[7:], is_ascii=is_ascii)
    together, alone = encoding.LogRecords(), encoding.LogRecords()
    alone.several = None
    most = BatchLimits(*limits)
    assert shipped(backlog, end, together, most, is_followed=is_followed) == shipped(
        backlog, end, alone, most, is_followed=is_followed
    )


def lines_of(number: int, **more: Any) -> list[dict[str, Any]]:
    return [
        dict(event({"level": "INFO", "message": f"line {place}", "order": place, **more})) for place in range(number)
    ]


@pytest.mark.parametrize("form", ["text", "object"])
def test_lines_of_a_known_shape_are_read_together(form: str) -> None:
    """In frames smaller than what is decoded at once, and in larger ones, whose parts end anywhere."""
    lines = lines_of(400, who="x" * 100)
    if form == "text":
        lines = [event(json.dumps(one["record"], separators=(",", ":")) + "\n") for one in lines]
    backlog, end = backlog_of(lines[:8], lines[:20], lines)
    encoder = Watched(protobuf_logs.LogRecords())
    (found,) = shipped(backlog, end, encoder, BatchLimits(10**9, 10**9), is_followed=False)
    assert (found[1][0], encoder.together) == (428, 420)


def test_lines_are_read_together_where_only_their_level_is_asked_for() -> None:
    """Those below it stay, one by one."""
    lines = [*lines_of(200), *[event(f"line {n}\n") for n in range(200)]]
    lines[100]["record"]["level"] = "DEBUG"
    backlog, end = backlog_of(lines[:8], lines[:200], lines[200:])
    rules = Rules(settings_of(TAILRACE_MIN_LEVEL="info"), Lines().log)
    encoder = Watched(protobuf_logs.LogRecords())
    made = Pipeline(encoder, BatchLimits(10**9, 10**9), Lines().log, Selection(), None, rules)
    (batch,) = made.batches(backlog.frames(0, end), Position(0))
    assert (batch.rows, list(batch.lost.values())) == (408, ["min_level"])
    assert len(each_of(batch.parcels["logs"])) == 407
    assert encoder.together == 200


# By the member that is the message.
LIBRARIES: dict[str, dict[str, Any]] = {
    "message": {
        "level": "INFO",
        "location": "handler:7",
        "timestamp": "2024-05-20 16:29:45,008+0000",
        "service": "payment",
        "cold_start": False,
        "function_memory_size": "128",
        "function_request_id": REQUEST_ID,
        "xray_trace_id": "1-62e900b2-710d76f009d6e7785905449a",
    },
    "@mt": {"@t": "2024-05-20T16:29:45.0081234Z", "OrderId": 7},
}


@pytest.mark.parametrize(("name", "members"), LIBRARIES.items(), ids=["Powertools", "Serilog, compact"])
def test_lines_of_loggers_that_are_used_most_are_read_together(name: str, members: dict[str, Any]) -> None:
    """Whatever else they say: the trace, the function's memory, or a level by not saying one."""
    lines = [event(json.dumps({**members, name: f"line {n}"}, separators=(",", ":")) + "\n") for n in range(400)]
    backlog, end = backlog_of([start(), *lines[:8]], lines)
    together, alone = Watched(protobuf_logs.LogRecords()), protobuf_logs.LogRecords()
    alone.several = None  # type: ignore[method-assign, assignment]
    limits = BatchLimits(10**9, 10**9)
    assert shipped(backlog, end, together, limits, is_followed=True) == shipped(
        backlog, end, alone, limits, is_followed=True
    )
    assert together.together > 390


class Unasked:
    """A pattern that nobody is to look for anything with."""

    def findall(self, text: bytes) -> list[tuple[bytes, ...]]:
        """Is not asked."""
        raise AssertionError(f"got {text[:64]!r}, expected it to be split")


def spared(monkeypatch: pytest.MonkeyPatch, lines: list[Any], others: list[Any]) -> tuple[list[Any], int]:
    """What lines come to, and how many were read together, where others behind them have no need of a pattern."""
    encoder, found = Watched(protobuf_logs.LogRecords()), LogParser()
    monkeypatch.setattr(pipeline, "LogParser", lambda: found)
    backlog, end = backlog_of(lines[:8], lines, others, is_ascii=False)
    frames = list(backlog.frames(0, end))
    made = Pipeline(encoder, BatchLimits(10**9, 10**9), Lines().log)
    list(made.batches(iter(frames[:2]), Position(0)))
    assert found.shapes is not None
    for shape in found.shapes.known:
        shape.events = Unasked()  # type: ignore[assignment]
    before = encoder.together
    (batch,) = made.batches(iter(frames[2:]), Position(frames[2].start))
    return [bytes(one) for one, _ in each_of(batch.parcels["logs"])], encoder.together - before


@pytest.mark.parametrize("form", ["text", "object"])
def test_lines_are_split_at_what_they_share(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """Once a pattern has found some, none is needed; nor for lines of which some values are others than before."""
    lines = lines_of(60, who="anna", n=7)
    others = lines_of(400, who="anna", n=7)
    for place, one in enumerate(others):
        one["record"]["message"] += " é" * (place % 7)
        one["time"] = [TIME, LATER][place // 5 % 2]
    if form == "text":
        for one in (*lines, *others):
            one["record"] = json.dumps(one["record"], separators=(",", ":"), ensure_ascii=False) + "\n"
    records, together = spared(monkeypatch, lines, others)
    assert (len(records), together) == (400, 400)


def test_where_a_value_changes_that_was_the_same_lines_end_that_are_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pattern finds the next ones, and from then on that value is taken to change."""
    lines = [*lines_of(40, who="anna"), *lines_of(40, who="bo"), *lines_of(40, who="anna")]
    changing = [*lines_of(20, who="chris"), *lines_of(20, who="dee")]
    records, together = spared(monkeypatch, lines, changing)
    assert (len(records), together) == (40, 40)


@pytest.mark.parametrize("turned", [{"a": 1, "c": 3, "b": 2}, {"a": 1, "b": 2, "b ": 3}, {"a": 1, "b": 2}])
def test_members_in_another_order_are_those_that_they_are(turned: dict[str, int]) -> None:
    """Though a line of them has as many, with the same names and punctuation."""
    lines = [event({"message": f"m{place}", "a": place, "b": place + 1, "c": place + 2}) for place in range(60)]
    lines[40] = event({"message": "m", **turned})
    backlog, end = backlog_of(lines[:8], lines[:30], lines)
    together, alone, limits = Watched(protobuf_logs.LogRecords()), protobuf_logs.LogRecords(), BatchLimits(10**9, 10**9)
    alone.several = None  # type: ignore[method-assign, assignment]
    assert shipped(backlog, end, together, limits, is_followed=False) == shipped(
        backlog, end, alone, limits, is_followed=False
    )
    assert together.together > 70


def test_in_a_small_frame_nobody_looks_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """What that takes costs an invocation of few lines more than it saves it."""
    monkeypatch.setattr(pipeline, "LEAST_FOR_RUNS_BYTES", LEAST_FOR_RUNS_BYTES)
    few, many = lines_of(20), lines_of(400)
    assert len(json.dumps(few)) < LEAST_FOR_RUNS_BYTES < len(json.dumps(many))
    encoder = Watched(protobuf_logs.LogRecords())
    shipped(*backlog_of(few, few), encoder, BatchLimits(10**9, 10**9), is_followed=False)
    assert encoder.together == 0
    shipped(*backlog_of(few, many), encoder, BatchLimits(10**9, 10**9), is_followed=False)
    assert encoder.together > 300


def test_what_stands_between_them_is_read_by_itself_and_no_more() -> None:
    lines = lines_of(100)
    backlog, end = backlog_of(lines[:8], [*lines[:40], event("text\n"), *lines[40:], event({"other": 1})])
    encoder = Watched(json_logs.LogRecords())
    (found,) = shipped(backlog, end, encoder, BatchLimits(10**9, 10**9), is_followed=True)
    assert found[1][0] == 110
    assert encoder.together > 80


@pytest.mark.parametrize("number", ["01", "1.", "+1", "-", ".5", "tru", "nullx", "NaN", "1_0", "٣"])
def test_what_is_no_value_is_none_among_others(number: str) -> None:
    """In a line as text, whose JSON nobody looked at."""
    lines = [event(f'{{"message":"m","order":{place if place != 9 else number}}}\n') for place in range(20)]
    backlog, end = backlog_of(lines[:8], lines)
    together, limits = json_logs.LogRecords(), BatchLimits(10**9, 10**9)
    alone: Any = json_logs.LogRecords()
    alone.several = None
    assert shipped(backlog, end, together, limits, is_followed=False) == shipped(
        backlog, end, alone, limits, is_followed=False
    )


def test_lines_that_may_tell_a_failure_are_looked_at_one_by_one() -> None:
    lines = lines_of(30)
    lines[17]["record"]["message"] = "out of memory"
    backlog, end = backlog_of([start(), *lines[:8]], lines)
    encoder = Watched(json_logs.LogRecords())
    shipped(backlog, end, encoder, BatchLimits(10**9, 10**9), is_followed=True)
    assert 20 <= encoder.together < 30


def test_several_lines_of_which_a_shipper_died_are_read_one_by_one_by_the_next() -> None:
    """Which of them it was is not known, and no other is to be passed through as text."""
    lines = lines_of(30)
    backlog, end = backlog_of(lines[:8], lines)
    _, second = backlog.frames(0, end)
    under_way = UnderWay()

    class Deadly(Watched):
        def _counted(self, records: Records) -> list[bytes]:
            raise SystemExit(f"{len(records.bodies)} of {under_way.places()}")

    limits, said = BatchLimits(10**9, 10**9), Lines()
    first = Pipeline(Deadly(protobuf_logs.LogRecords()), limits, said.log, under_way=under_way)
    with pytest.raises(SystemExit, match=f"30 of .*{SEVERAL}"):
        list(first.batches(backlog.frames(0, end), Position(0)))
    assert under_way.places() == {(second.start, SEVERAL)}
    encoder = Watched(protobuf_logs.LogRecords())
    (batch,) = Pipeline(encoder, limits, said.log, under_way=under_way).batches(backlog.frames(0, end), Position(0))
    assert (batch.rows, batch.unmapped, encoder.together) == (38, set(), 0)


def test_loggers_remembered_are_few() -> None:
    backlog, end = backlog_of(*[[event({"message": "m", "logger": f"shop.{number}"})] * 3 for number in range(200)])
    (found,) = shipped(backlog, end, protobuf_logs.LogRecords(), BatchLimits(10**9, 10**9), is_followed=False)
    assert [scope for _, scope, _ in found[0][::3]] == [f"shop.{number}" for number in range(200)]
    first = class_of("shop.199", bytes)
    assert class_of("shop.199", bytes) is first
    for number in range(64):
        class_of(f"other.{number}", bytes)
    assert class_of("shop.199", bytes) is not first


def test_what_is_read_at_once_grows_where_no_line_of_a_shape_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a function that turns to other lines pays nothing for those that it does not write any more."""
    looked: list[int] = []
    run = KnownShapes.run

    def watched(self: KnownShapes, payload: memoryview, at: int, telling: Sequence[bytes]) -> Run | None:
        looked.append(at)
        return run(self, payload, at, telling)

    monkeypatch.setattr(KnownShapes, "run", watched)
    backlog, end = backlog_of(lines_of(8), [event('say "so" ' * 12)] * 2000)
    shipped(backlog, end, protobuf_logs.LogRecords(), BatchLimits(10**9, 10**9), is_followed=False)
    assert 2 < len(looked) < 16
