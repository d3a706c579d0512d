"""Events of a frame: whatever is in it comes out, once and in order."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.contract.json_text import with_valid_escapes
from lifecycle.contract.log import LINE_START
from shipper.model import events as telemetry
from shipper.model.events import AnyEvent, BrokenEvent, Event, OddEvent, WiderEvent, events, is_own
from tests.shipper.support import TIME, event, frame, frame_of

FIXTURES = Path(__file__).parents[4] / "shared" / "fixtures"

# Captures of real events, beside the checkout where there are any: they are no part of it.
RECORDED: list[Any] = sorted(FIXTURES.glob("[0-9]*.json")) or [
    pytest.param(
        FIXTURES, marks=[pytest.mark.skip(reason=f"no recorded events in {FIXTURES}"), pytest.mark.optional], id="none"
    )
]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)


def whole(found: AnyEvent) -> Any:
    """The event as it was sent, put together again."""
    if isinstance(found, Event):
        others = {k: json.loads(bytes(v)) for k, v in found.others.items()} if isinstance(found, WiderEvent) else {}
        return {"time": found.time, "type": found.type, "record": json.loads(bytes(found.record)), **others}
    assert isinstance(found, OddEvent)
    return json.loads(found.json)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "DECODED_BYTES", 100)


def test_an_event_keeps_its_record_raw() -> None:
    (found,) = events(frame_of(b'[{"time":"t", "type" :"function","record": "a\\tb\\n" }]'))
    assert isinstance(found, Event)
    assert (found.time, found.type, bytes(found.record)) == ("t", "function", b'"a\\tb\\n"')


@pytest.mark.parametrize(
    "odd", [None, 1, "text", [], {}, {"time": 5, "type": "function", "record": 1}, {"type": "x"}, [[[]]]]
)
def test_what_is_no_event_comes_out_whole(odd: object) -> None:
    """Between two good ones, each in its place."""
    before, found, after = events(frame(event("a"), odd, event("b")))
    assert isinstance(found, OddEvent)
    assert (whole(before), whole(found), whole(after)) == (event("a"), odd, event("b"))


def test_members_beside_the_documented_ones_are_kept() -> None:
    (found,) = events(frame({**event("a\n"), "tenant": {"id": 7}}))
    assert isinstance(found, WiderEvent)
    assert whole(found) == {**event("a\n"), "tenant": {"id": 7}}


@given(
    st.lists(
        JSON
        | st.builds(event, JSON)
        | st.builds(lambda e, x: {**e, **x}, st.builds(event, JSON), st.dictionaries(st.text(), JSON)),
        max_size=6,
    )
)
def test_any_array_comes_out_whole(sent: list[object]) -> None:
    """Whatever the elements are, none is lost, changed or moved."""
    text = json.dumps(sent).encode()
    assert [whole(found) for found in events(frame_of(text, len(sent)))] == json.loads(text)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("indent", [None, 1])
def test_a_large_frame_is_decoded_in_pieces(indent: int | None) -> None:
    """Also where a nested array looks like a boundary."""
    nested = {"steps": [{"time": n, "type": "x", "record": '},{"time":'} for n in range(9)]}
    sent = [event(f"line {n}\n") for n in range(20)] + [event(nested)] + [event(n) for n in range(20)]
    payload = json.dumps(sent, indent=indent).encode()
    assert [whole(found) for found in events(frame_of(payload, len(sent)))] == sent


@pytest.mark.usefixtures("small_pieces")
def test_a_large_frame_with_odd_events_in_it_comes_out_whole() -> None:
    sent: list[object] = [event("line"), 5, *(event(n) for n in range(20)), [], {"time": "x"}]
    assert [whole(found) for found in events(frame(*sent))] == sent


def test_no_more_than_a_piece_is_decoded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded by a piece, not by a frame."""
    largest = 0
    decode = telemetry._decoded  # noqa: SLF001

    def watched(array: bytes) -> list[Event] | None:
        nonlocal largest
        largest = max(largest, len(array))
        return decode(array)

    monkeypatch.setattr(telemetry, "_decoded", watched)
    sent = [event("x" * 150) for _ in range(10_000)]
    assert sum(1 for _ in events(frame(*sent))) == 10_000
    assert largest < telemetry.DECODED_BYTES + 1000


@pytest.mark.parametrize(
    ("raw", "text"),
    [(b'"\\ud800"', "\ufffd"), (b'"a\\udc00\\\\ud800"', "a\ufffd\\ud800"), (b'"\xff\xfe"', "\ufffd\ufffd")],
)
def test_what_is_nearly_text_is_made_text(raw: bytes, text: str) -> None:
    """Lone surrogates and bytes that are not UTF-8 are replaced; the batch around them is untouched."""
    payload = b'[{"time":"t","type":"function","record":%b},{"time":"t","type":"function","record":"ok"}]' % raw
    first, second = events(frame_of(payload, 2))
    assert (whole(first)["record"], whole(second)["record"]) == (text, "ok")


@given(st.text(st.characters(codec=None)))
def test_escapes_are_repaired_as_a_decoder_would(text: str) -> None:
    """Pairs stay, halves become U+FFFD."""
    paired = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert msgspec.json.decode(with_valid_escapes(json.dumps(text).encode())).replace("\ufffd", "") == paired.replace(
        "\ufffd", ""
    )


@pytest.mark.parametrize("payload", [b"", b"{}", b"garbage \xff", b'[{"time":"t"', b'[{"a":1}', b"[1,,2]", b"[1]]"])
def test_a_frame_that_is_no_array_comes_out_as_text(payload: bytes) -> None:
    """The collector lets none in; if one were there, it would stand for all its events."""
    found = list(events(frame_of(payload, 9)))
    assert isinstance(found[-1], BrokenEvent)
    assert found[-1].events == 9 - (len(found) - 1)
    assert found[-1].text in payload.decode("utf-8", "replace")


def test_an_event_that_nests_too_deep_harms_no_other() -> None:
    payload = b"[1," + b"[" * 100_000 + b"]" * 100_000 + b",2]"
    first, deep, last = events(frame_of(payload, 3))
    assert (whole(first), whole(last)) == (1, 2)
    assert isinstance(deep, BrokenEvent)
    assert deep.text == "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("record", "kind", "own"),
    [
        (LINE_START + 'shipper","level":"debug"}\n', "extension", True),
        ({"logger": "tailrace.shipper", "level": "debug"}, "extension", True),
        ({"level": "debug", "logger": "tailrace.shipper"}, "extension", True),
        (LINE_START + 'shipper"}\n', "function", False),
        ({"logger": "other"}, "extension", False),
        ({"logger": 5}, "extension", False),
        ("plain", "extension", False),
        (None, "extension", False),
    ],
)
def test_own_lines_are_known(record: object, kind: str, *, own: bool) -> None:
    """As text and as an object, but only from an extension: a function may print what it likes."""
    (found,) = events(frame(event(record, kind)))
    assert is_own(found) is own


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name)
def test_every_recorded_event_comes_out(path: Path) -> None:
    """Real captures, read in place."""
    sent = json.loads(path.read_bytes())
    found = list(events(frame_of(path.read_bytes(), len(sent))))
    assert [whole(one) for one in found] == sent
    assert all(type(one) is Event for one in found)
    assert TIME[:2] == "20"
