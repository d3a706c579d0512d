"""When a batch is complete."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.sandbox.batching import Batcher


def test_the_time_runs_from_the_first_event() -> None:
    """A later event does not put the batch off."""
    batcher = Batcher(max_items=1000, max_bytes=1000, timeout_s=1.0)
    assert batcher.add(b"a", 10.0) is None
    assert batcher.add(b"b", 10.9) is None
    assert batcher.due(10.99) is None
    assert batcher.due(11.0) == [b"a", b"b"]
    assert batcher.due(99.0) is None


@given(
    events=st.lists(st.binary(min_size=1, max_size=20)),
    max_items=st.integers(1, 10),
    max_bytes=st.integers(1, 50),
)
def test_every_event_goes_out_once_and_in_order(events: list[bytes], max_items: int, max_bytes: int) -> None:
    """And no batch holds more than its items, nor goes on after its bytes are reached."""
    batcher = Batcher(max_items=max_items, max_bytes=max_bytes, timeout_s=1.0)
    batches = [batch for event in events if (batch := batcher.add(event, 0.0))]
    rest = batcher.take()
    assert [event for batch in [*batches, rest] for event in batch] == events
    assert all(len(batch) <= max_items for batch in batches)
    assert all(sum(map(len, batch[:-1])) < max_bytes for batch in batches)
    assert len(rest) < max_items
