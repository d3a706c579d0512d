"""Records of several rows that are joined: one for whoever sends it, each by itself for all that is told of them."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import example, given, settings
from hypothesis import strategies as st

from shipper.delivery.batch import Batch, Position
from shipper.delivery.interfaces import Joined
from shipper.delivery.outcome import Outcome, Verdict
from shipper.errors import HeldError
from tests.shipper.delivery.scene import UNAVAILABLE, Scene, answering
from tests.shipper.support import each_of

FAILED = Outcome(verdict=Verdict.RETRY, reason="status_500", may_be_records=True)


class Word(Joined):
    """Letters, each of which is a record of a row."""

    def each(self) -> list[bytes]:
        """Its letters."""
        return [self[at : at + 1] for at in range(len(self))]

    def divided(self) -> tuple[bytes, ...]:
        """Its two halves."""
        middle = len(self) // 2
        return (word(self[:middle]), word(self[middle:])) if middle else ()


def word(letters: bytes) -> Word:
    found = Word(letters)
    found.items = len(letters)
    return found


def batch_of(*words: bytes) -> Batch:
    """A frame of words, and of lines between them that are not joined."""
    batch = Batch()
    batch.mark(Position(0))
    for letters in words:
        assert batch.add_lines([word(letters)], 10**9) == len(letters)
        batch.add_line(b"-")
    batch.close(Position(1000))
    return batch


@example(["a", "aaa", "ab"], 1, "a")
@given(st.lists(st.text("abcdefgh", min_size=1, max_size=9), min_size=1, max_size=5), st.integers(1, 9), st.text("ab"))
@settings(max_examples=60, deadline=None)
def test_every_record_is_delivered_or_dropped_once(words: list[str], most: int, poison: str) -> None:
    """Whatever is refused, and wherever they are divided for it: no row is another's."""
    scene = Scene(answering(most, poison.encode()))
    batch = batch_of(*[letters.encode() for letters in words])
    letters = "".join(letters + "-" for letters in words)
    assert [row for _, row in each_of(batch.parcels["logs"])] == list(range(len(letters)))
    for _ in letters:
        with suppress(HeldError):
            scene.deliver(batch)
    assert batch.is_done
    assert sorted(b"".join(scene.inbox.delivered).decode()) == sorted(one for one in letters if one not in poison)
    assert batch.lost == {row: "refused" for row, one in enumerate(letters) if one in poison}
    dropped = sum(map(letters.count, set(poison)))
    assert batch.tally(0, batch.rows) == (len(letters) - dropped, {"refused": dropped} if dropped else {})


def test_what_is_too_large_makes_batches_smaller() -> None:
    """Also where all of it is one record; and the next ones need not find out again."""
    scene = Scene(answering(8000, b""))
    batch = batch_of(b"a" * 30_000)
    scene.deliver(batch)
    assert (batch.is_done, scene.limits.batch_bytes) == (True, 7500)
    requests = len(scene.inbox.requests)
    scene.deliver(batch_of(b"b" * 30_000))
    assert len(scene.inbox.requests) == requests + 5


def test_as_many_are_added_as_there_is_room_for() -> None:
    """And no more: what is joined is cut where the batch is full."""
    batch = Batch()
    assert batch.add_lines([word(b"abc"), word(b"defgh")], 14) == 7
    assert [record for record, _ in each_of(batch.parcels["logs"])] == [b"a", b"b", b"c", b"d", b"e", b"f", b"g"]
    assert (batch.rows, batch.body_bytes) == (7, 14)
    assert batch.add_lines([word(b"x")], 14) == 0


def test_what_is_given_up_is_given_up_row_by_row() -> None:
    """All of it, or what came before a place."""
    batch = batch_of(b"abc")
    batch.mark(Position(1000))
    batch.add_lines([word(b"de")], 10**9)
    batch.close(Position(2000))
    batch.lose_before(1000, "overflow")
    assert batch.lost == dict.fromkeys(range(4), "overflow")
    assert batch.lose("logs", "undelivered") == 2
    assert batch.tally(0, batch.rows) == (0, {"overflow": 4, "undelivered": 2})


def test_what_is_held_is_still_one() -> None:
    """A server that takes nothing for a while costs no request for each of them."""
    scene = Scene(lambda _records: UNAVAILABLE, budget_s=0.2)
    batch = batch_of(b"abcd")
    with suppress(HeldError):
        scene.deliver(batch)
    assert [record for request in scene.inbox.requests for record in request][:2] == [b"abcd", b"-"]
    assert batch.parcels["logs"].records == [b"abcd", b"-"]


def test_a_server_that_always_fails_is_asked_no_more_often_than_with_single_records() -> None:
    """Though an answer like 500 may speak of a record, and one is looked for after some shipments."""
    requests = []
    for records in ([word(b"abcdefgh")], [b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h"]):
        scene = Scene(lambda _records: FAILED, budget_s=1.0)
        batch = Batch()
        batch.mark(Position(0))
        batch.add_lines(records, 10**9)
        batch.close(Position(1000))
        for _ in range(6):
            with suppress(HeldError):
                scene.deliver(batch)
        requests.append(len(scene.inbox.requests))
    assert requests[0] == requests[1]
