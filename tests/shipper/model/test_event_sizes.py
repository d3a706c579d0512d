"""How large an event is: its own JSON as it was delivered."""

import json

from hypothesis import given
from hypothesis import strategies as st

from shipper.model.events import PIECE_BYTES, events, size_of, sizes_at
from tests.shipper.support import backlog_of, event, frame_of

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters='"\\', min_codepoint=32), max_size=20)
EVENTS = st.lists(
    st.builds(event, st.recursive(TEXT | st.integers(), st.lists), TEXT, TEXT)
    | st.builds(lambda record, more: {**event(record), "zone": more}, TEXT, TEXT)
    | st.integers(0, 10**9)
    | st.fixed_dictionaries({"type": TEXT}),
    max_size=8,
)


@given(EVENTS)
def test_sizes_of_all_events_and_what_joins_them_are_the_batch(several: list[object]) -> None:
    """As the platform writes it: without white space."""
    payload = json.dumps(several, ensure_ascii=False, separators=(",", ":")).encode()
    sizes = [size_of(one) for one in events(frame_of(payload, len(several)))]
    assert len(sizes) == len(several)
    assert sum(sizes) + max(0, len(several) - 1) + len("[]") == len(payload)


def test_what_is_no_json_is_as_large_as_it_is() -> None:
    """However much of it is kept as text, and whatever stands in for bytes that are none."""
    broken = b"\xff" * (PIECE_BYTES + 10)
    assert [size_of(one) for one in events(frame_of(broken, 3))] == [len(broken)]
    (deep,) = events(frame_of(b"[" + b"[" * 5000 + b"]" * 5000 + b"]"))
    assert size_of(deep) == 10_000


def test_sizes_are_looked_up_by_frame_and_index() -> None:
    """Others are passed over; a place where nothing stands says nothing."""
    backlog, end = backlog_of([event("a"), event("bb")], [event("ccc")])
    first, second = backlog.frames(0, end)
    least = size_of(next(events(first)))
    found = sizes_at(backlog.frames(0, end), [(first.start, 1), (second.start, 0), (second.start, 7), (end, 0)])
    assert found == {(first.start, 1): least + 1, (second.start, 0): least + 2}


def test_frames_that_are_gone_have_no_size() -> None:
    """A function may empty /tmp, and the spool with it."""
    backlog, end = backlog_of([event("a")])
    assert sizes_at(backlog.frames(17, end), [(17, 0)]) == {}
