"""Records that stand for several items: divided where they are refused, and told of item by item."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shipper.delivery.batch import Batch, Position
from shipper.delivery.interfaces import Several
from shipper.delivery.outcome import DONE
from shipper.errors import HeldError
from tests.shipper.delivery.scene import REFUSED, TOO_LARGE, UNAVAILABLE, Scene, answering

FRAME_BYTES = 100


class Bag(Several):
    """Letters, each of which is an item."""

    def divided(self) -> tuple[Bag, ...]:
        """Its two halves."""
        middle = self.items // 2
        return (bag(self[:middle]), bag(self[middle:])) if middle else ()


def bag(letters: bytes) -> Bag:
    found = Bag(letters)
    found.items = len(letters)
    return found


def batch_of(*bags: bytes) -> Batch:
    """A frame for each; between them a line, which is an event."""
    batch = Batch()
    for number, letters in enumerate(bags):
        start = FRAME_BYTES * number
        batch.mark(Position(start))
        batch.add("traces", bag(letters))
        batch.weights[batch.rows], batch.exported[batch.rows] = len(letters), "traces"
        batch.lost_bytes[batch.rows] = 10 * len(letters)
        batch.rows += 1
        batch.mark(Position(start + FRAME_BYTES // 2))
        batch.add("logs", b"line")
        batch.rows += 1
    batch.close(Position(FRAME_BYTES * len(bags)))
    return batch


@example(["a", "aaa", "ab"], 1, "a")
@given(st.lists(st.text("abcdefgh", min_size=1, max_size=9), min_size=1, max_size=5), st.integers(1, 9), st.text("ab"))
@settings(max_examples=60, deadline=None)
def test_every_item_is_delivered_or_dropped_once(bags: list[str], most: int, poison: str) -> None:
    """However they came together, and whatever is refused; positions and counts are told to the item."""
    scene = Scene(answering(most, poison.encode(), aside=b"line"))
    batch = batch_of(*[letters.encode() for letters in bags])
    for _ in range(len("".join(bags))):  # what was held beside a refusal has its turn in the next shipment
        with suppress(HeldError):
            scene.deliver(batch)
    if not batch.is_done:
        assert set("".join(bags)) <= set(poison)  # nothing is taken beside which it would be proven
        return
    items = sorted("".join(bags))
    good, bad = [one for one in items if one not in poison], [one for one in items if one in poison]
    taken = b"".join(record for record in scene.inbox.delivered if record != b"line")
    assert sorted(taken.decode()) == good
    shipped, dropped = batch.tally_exported(0, batch.rows)
    assert (shipped.get("traces", 0), dropped.get("traces", 0)) == (len(good), len(bad))
    assert batch.tally(0, batch.rows)[0] == len(good) + len(bags)
    assert sum(batch.tally_bytes(0, batch.rows).values()) == pytest.approx(10 * len(bad), abs=10 * len(bad))
    places = [batch.position(row) for row in range(batch.rows)]
    assert [(place.through, place.skip) for place in places] == sorted((place.through, place.skip) for place in places)
    for row, place in enumerate(places):
        if row in batch.exported:
            number, before = divmod(place.through, FRAME_BYTES)
            same = [at for at, one in enumerate(places) if one.through == place.through and at < row]
            assert place.skip == sum(batch.weights[at] for at in same) <= len(bags[number])
            assert before == 0


def test_what_was_taken_of_a_record_is_not_sent_again() -> None:
    """Also where the rest has to wait for another shipment."""
    answers = iter([TOO_LARGE, DONE, UNAVAILABLE])
    scene = Scene(lambda records: DONE if records == [b"line"] else next(answers, DONE))
    batch = batch_of(b"abcd")
    scene.deliver(batch)
    assert [records for records in scene.inbox.requests if records != [b"line"]] == [
        [b"abcd"],
        [b"ab"],
        [b"cd"],
        [b"cd"],
    ]


def test_a_record_that_is_in_the_way_of_an_answer_is_divided_beside_others_that_wait() -> None:
    """Indexes of those that wait for a proof, or for an answer, move on with it."""
    batch = batch_of(b"abcd", b"e")
    parcel = next(parcel for parcel in batch.parcels.values() if parcel.signal == "traces")
    parcel.pending = [1], lambda: DONE
    assert batch.divide(parcel, 0) == 2
    assert parcel.pending is not None
    assert parcel.pending[0] == [2]
    assert parcel.records == [b"ab", b"cd", b"e"]
    assert [batch.position(row).skip for row in parcel.rows] == [0, 2, 0]
    assert batch.divide(parcel, 2) == 1


def test_one_answer_says_of_a_divided_record_what_is_known_of_all() -> None:
    """A refusal of everything is no proof, and drops nothing."""
    scene = Scene(lambda records: DONE if records == [b"line"] else REFUSED)
    batch = batch_of(b"ab")
    scene.deliver(batch)
    assert not batch.lost
    assert batch.owed == {"traces"}
