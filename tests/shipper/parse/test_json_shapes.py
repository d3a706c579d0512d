"""Lines of JSON whose shape is known say what they said before it was."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipper.destinations.otlp.protobuf_logs import LogRecords
from shipper.model.context import Context
from shipper.model.events import Event, events
from shipper.parse.json_shapes import KnownShapes
from shipper.parse.log_parser import LogParser
from tests.shipper.support import REQUEST_ID, event, frame

LATER = "2024-05-20T16:29:45.517Z"
RUNNING = Context(request_id=REQUEST_ID)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "INFO", "warn", "shop", REQUEST_ID, LATER, "1716222585", "no", "é", 'a "b"', "a\\b", "a\n"]),
    st.sampled_from(["{}", '{"message":"m"}', "TypeError: x\n    at y"]),
    st.text(max_size=12),
)
NAMES = st.sampled_from(
    [
        *("timestamp", "level", "severity", "message", "msg", "logger", "requestId", "aws_request_id", "order", "n"),
        *("trace_id", "error", "", "log.record.uid", "fields", "short_message", "é", "a b", 'q"q'),
    ]
)
SEPARATORS = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " : ")])


def said(parser: LogParser, *lines: Any) -> list[tuple[bytes, Any]]:
    """What lines come to, one after another: as they are written, and where they come from."""
    found, encoder = frame(*map(event, lines)), LogRecords()
    parser.begin(found)
    records = []
    for one in events(found):
        assert isinstance(one, Event)
        record = parser.record(one, 0, RUNNING)
        records.append((encoder.log(record), (record.scope, record.severity_text, record.time_ns, record.attributes)))
    return records


def has_shape(*lines: Any, of: Any) -> bool:
    """Whether lines make a shape that another line has."""
    parser, shapes, (line,) = LogParser(), KnownShapes(), frame_of(of)
    parser.__dict__["_shapes"] = shapes
    said(parser, *lines)
    return shapes.of(line)[0] is not None


def frame_of(*lines: Any) -> list[bytes]:
    """The raw records of lines."""
    return [bytes(one.record) for one in events(frame(*map(event, lines))) if isinstance(one, Event)]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(NAMES, min_size=1, max_size=6, unique=True),
    st.lists(st.lists(SCALARS, min_size=6, max_size=6), min_size=1, max_size=4),
    SEPARATORS,
    st.sampled_from(["text", "object"]),
)
def test_a_known_shape_says_the_same(
    names: list[str], rows: list[list[Any]], separators: tuple[str, str], form: str
) -> None:
    """Whatever its members are, and whatever a value becomes in a later line."""
    usual = {name: rows[0][place] for place, name in enumerate(names)}
    objects = [{**usual, **dict(zip(names, row, strict=False))} for row in rows]
    objects += [{"level": "INFO", **one, "message": f"m{place}"} for place, one in enumerate(objects)]
    lines = [json.dumps(one, separators=separators) + "\n" for one in objects] if form == "text" else objects
    learned = LogParser()
    said(learned, *[line for line in lines for _ in range(10)])
    assert [said(learned, line) for line in lines] == [said(LogParser(), line) for line in lines]


def shop(**more: Any) -> str:
    return (
        json.dumps({"timestamp": LATER, "level": "INFO", "message": "m", "order": 1, "logger": "shop", **more}) + "\n"
    )


def test_a_shape_is_made_of_lines_that_come_often() -> None:
    assert not has_shape(*[shop()] * 7, of=shop())
    lines = [shop()] * 8
    assert has_shape(*lines, of=shop(order=-2.5e3, message="other"))
    assert not has_shape(*lines, of=shop(order="text"))
    assert not has_shape(*lines, of=shop(message='a "quote"'))
    assert not has_shape(*lines, of=shop(more=1))


def test_a_shape_is_of_the_form_that_it_came_in() -> None:
    """As text, which Lambda's text format has, or as an object, which its JSON format has."""
    line = shop()
    assert has_shape(*[line] * 8, of=line)
    assert not has_shape(*[line] * 8, of=json.loads(line))
    assert has_shape(*[json.loads(line)] * 8, of=json.loads(line))
    assert not has_shape(*[json.loads(line)] * 8, of=line)


@pytest.mark.parametrize(
    "line",
    [
        '{"message":"m","message":"n"}',
        '{"message":"m","a":{"b":1}}',
        '{"message":"m","trace_id":"1"}',
        '{"message":"m","error":"e"}',
        '{"level":"INFO","n":1}',
        '{"message":1}',
        '{"message":"a\\tb"}',
    ],
)
def test_what_takes_a_second_look_has_no_shape(line: str) -> None:
    assert not has_shape(*[line] * 70, of=line)


def test_only_the_last_few_shapes_are_known() -> None:
    lines = [json.dumps({"message": "m", f"n{number}": number}) for number in range(12)]
    often = [line for line in lines for _ in range(8)]
    assert [has_shape(*often, of=line) for line in lines] == [False] * 4 + [True] * 8


def test_ids_are_taken_as_ever() -> None:
    lines = [shop(requestId=REQUEST_ID, order=number) for number in range(12)]
    found = said(LogParser(), *lines)
    assert len({(scope, level, time_ns) for _, (scope, level, time_ns, _) in found}) == 1
    assert [attributes for _, (_, _, _, attributes) in found] == [(("order", b"%d" % number),) for number in range(12)]
