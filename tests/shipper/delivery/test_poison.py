"""Which record is at fault: looked for, proven, dropped; and what is no proof."""

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipper.delivery.batch import Batch, Position
from shipper.delivery.outcome import DONE, Outcome, Verdict
from shipper.delivery.poison import MOST_SHIPMENTS
from shipper.errors import HeldError
from tests.shipper.delivery.scene import REFUSED, TOO_LARGE, UNAVAILABLE, Scene, batch_of, in_turn

BROKEN = Outcome(verdict=Verdict.RETRY, reason="status_500", may_be_records=True)


def poisonous(*poison: bytes, outcome: Outcome = BROKEN) -> Callable[[list[bytes]], Outcome]:
    """Answers so to whatever has one of these in it."""
    return lambda records: outcome if any(one in records for one in poison) else DONE


class Life(Scene):
    """Shipments one after another: a batch of which nothing was taken is made anew, one that is begun goes on."""

    def __init__(self, answer: Callable[[list[bytes]], Outcome]) -> None:
        super().__init__(answer, budget_s=1.0)
        self.batch = Batch()
        self.records: list[bytes] = []

    def ship(self, *more: bytes) -> bool:
        """Another shipment, a minute later; whether it was held."""
        self.records += more
        if not self.batch.is_begun or self.batch.is_done:
            self.batch = batch_of(*self.records)
        self.timing.now += 60
        self.timing.deadline = self.timing.now + 1
        self.inbox.requests.clear()
        try:
            self.deliver(self.batch)
        except HeldError:
            return True
        return False


def test_record_that_500_is_answered_to_is_found_and_dropped() -> None:
    """After shipments that ended at it; what is beside it arrives with the search, it goes when that was so often."""
    life = Life(poisonous(b"poison"))
    lines = [b"%d" % n for n in range(50)]
    assert life.ship(*lines[:20], b"poison", *lines[20:])
    assert [life.ship() for _ in range(MOST_SHIPMENTS - 1)] == [True] * (MOST_SHIPMENTS - 1)
    assert life.inbox.delivered == []
    assert not life.ship()
    assert sorted(life.inbox.delivered) == sorted(lines)
    assert (life.batch.floor(), life.batch.lost) == (20, {})
    while not life.batch.is_done:
        assert not life.ship()
        assert life.inbox.requests in ([[b"poison"]], [])
        life.delivery._healths["logs"].took()  # noqa: SLF001 - others are taken meanwhile
    assert life.batch.tally(0, 51) == (50, {"refused": 1})
    assert sorted(life.inbox.delivered) == sorted(lines)
    (line,) = [line for line in life.lines.written if line["event"] == "shipper.record_dropped"]
    assert (line["answer"], line["index"]) == ("status_500", 20)


@pytest.mark.parametrize("answer", [BROKEN, REFUSED, TOO_LARGE, UNAVAILABLE], ids=["500", "400", "413", "503"])
def test_quarter_of_an_hour_of_an_answer_to_everything_loses_nothing(answer: Outcome) -> None:
    """It is an outage, whatever is answered: records wait, and arrive when it is over."""
    life = Life(lambda _records: answer)
    lines = [b"%d" % n for n in range(100)]
    assert life.ship(*lines)
    for _ in range(15):
        assert life.ship()
    assert (life.batch.lost, life.batch.floor()) == ({}, 0)
    life.inbox.answer = lambda _records: DONE
    assert not life.ship()
    assert life.batch.tally(0, 100) == (100, {})
    assert set(life.inbox.delivered) == set(lines)


def test_an_answer_about_each_of_many_records_takes_no_time_to_read() -> None:
    """Ten thousand of them, half to come again."""
    later = Outcome(verdict=Verdict.DONE, items=dict.fromkeys(range(0, 10_000, 2), UNAVAILABLE))
    scene = Scene(in_turn(later))
    batch = batch_of(*[b"%d" % n for n in range(10_000)])
    began_s = time.process_time()
    scene.deliver(batch)
    assert time.process_time() - began_s < 1
    assert (batch.is_done, batch.lost) == (True, {})
    assert [len(records) for records in scene.inbox.requests] == [10_000, 5000]


def test_search_in_an_outage_costs_small_requests_alone() -> None:
    """The last record of all is asked for first: that tells an outage from a record."""
    life = Life(lambda _records: BROKEN)
    life.ship(*[b"%d" % n for n in range(1000)])
    for _ in range(MOST_SHIPMENTS):
        life.ship()
    assert {len(records) for records in life.inbox.requests} == {1}


def test_server_that_fails_every_other_time_loses_nothing() -> None:
    """A record is not at fault for a 500 that meets it by chance: it has three shipments in which others are taken."""
    count = iter(range(10**9))
    life = Life(lambda _records: BROKEN if next(count) % 2 else DONE)
    for _ in range(30):
        life.ship(b"a", b"b", b"c")
    assert life.batch.lost == {}


def test_lone_record_is_proven_by_a_later_batch() -> None:
    """It is held until that shows which is at fault; then it is dropped, and nothing else was held for it."""
    scene = Scene(poisonous(b"poison", outcome=REFUSED))
    alone, next_one = batch_of(b"poison"), batch_of(b"a")
    scene.delivery.begin_shipment()
    with pytest.raises(HeldError) as held:
        scene.delivery.deliver([alone], lambda _batch: None)
    assert held.value.is_about_records
    scene.delivery.deliver([next_one], lambda _batch: None)
    scene.delivery.deliver([alone], lambda _batch: None)
    assert (alone.tally(0, 1), next_one.tally(0, 1)) == ((0, {"refused": 1}), (1, {}))


def test_items_are_retried_dropped_and_settled_each_as_its_own_outcome_says() -> None:
    """What was taken is not sent again; what is to be tried again goes alone; what is refused is dropped and said."""
    refusal = Outcome(verdict=Verdict.REFUSED, reason="mapper_parsing_exception", said='"no number"')
    scene = Scene(lambda _records: DONE)
    answers = iter([Outcome(verdict=Verdict.DONE, items={1: refusal, 2: UNAVAILABLE, 3: UNAVAILABLE})])
    scene.inbox.answer = lambda _records: next(answers, DONE)
    batch = batch_of(b"a", b"b", b"c", b"d", b"e")
    scene.deliver(batch)
    assert scene.inbox.requests == [[b"a", b"b", b"c", b"d", b"e"], [b"c", b"d"]]
    assert batch.tally(0, 5) == (4, {"refused": 1})
    (line,) = [line for line in scene.lines.written if line["event"] == "shipper.record_dropped"]
    assert (line["answer"], line["said"], line["index"]) == ("mapper_parsing_exception", '"no number"', 1)


def test_items_that_are_all_refused_are_held_like_a_request_that_is() -> None:
    """A template that fits nothing is no reason to drop everything."""

    def answer(records: list[bytes]) -> Outcome:
        return Outcome(verdict=Verdict.DONE, items=dict.fromkeys(range(len(records)), REFUSED))

    scene = Scene(answer)
    batch = batch_of(*[b"%d" % n for n in range(100)])
    with pytest.raises(HeldError, match="status_400"):
        scene.deliver(batch)
    assert (batch.lost, batch.floor()) == ({}, 0)
    assert len(scene.inbox.requests) < 20


def test_items_that_fail_until_the_end_are_all_that_is_left() -> None:
    scene = Scene(lambda records: Outcome(verdict=Verdict.DONE, items={len(records) - 1: UNAVAILABLE}), budget_s=1)
    batch = batch_of(b"a", b"b", b"c")
    with pytest.raises(HeldError, match="status_503"):
        scene.deliver(batch)
    assert (batch.floor(), batch.parcels["logs"].owed()) == (2, range(2, 3))
    assert set(map(tuple, scene.inbox.requests)) == {(b"a", b"b", b"c"), (b"c",)}


def test_endpoint_whose_code_fails_rests_like_any_other_and_gets_a_new_connection() -> None:
    """Whatever it does, the outcome is one of ours: said once, and over when it is over."""
    failures = iter([RuntimeError("odd"), RuntimeError("odd")])
    scene = Scene(lambda _records: DONE)

    def answer(_records: list[bytes]) -> Outcome:
        failure = next(failures, None)
        if failure is not None:
            raise failure
        return DONE

    scene.inbox.answer = answer
    with pytest.raises(HeldError, match="crashed"):
        scene.deliver(batch_of(b"a"))
    assert scene.inbox.closed == 2
    batch = batch_of(b"a")
    scene.deliver(batch)
    assert batch.tally(0, 1) == (1, {})
    assert scene.lines.events() == [
        "shipper.request_crashed",
        "shipper.delivery_failing",
        "shipper.delivery_recovered",
    ]


def test_record_that_our_own_code_fails_at_is_found_and_dropped() -> None:
    """As one that a server fails at."""

    def answer(records: list[bytes]) -> Outcome:
        if b"poison" in records:
            raise ZeroDivisionError
        return DONE

    life = Life(answer)
    life.ship(b"a", b"poison", b"b")
    while not life.batch.is_done:
        life.ship()
        life.delivery._healths["logs"].took()  # noqa: SLF001 - others are taken meanwhile
    assert sorted(life.inbox.delivered) == [b"a", b"b"]
    assert life.batch.lost == {1: "refused"}


OUTCOMES = st.sampled_from([DONE, DONE, DONE, REFUSED, TOO_LARGE, UNAVAILABLE, BROKEN])


@settings(deadline=None)
@given(
    st.lists(st.tuples(OUTCOMES, st.lists(st.tuples(st.integers(0, 30), OUTCOMES), max_size=4)), max_size=40),
    st.integers(1, 20),
)
def test_each_record_is_taken_once_or_dropped_for_a_reason(
    answers: list[tuple[Outcome, list[tuple[int, Outcome]]]], size: int
) -> None:
    """Whatever is answered for requests and for single records, over as many shipments as it takes."""
    script = iter(answers)
    taken: list[bytes] = []
    refused: list[bytes] = []

    def answer(records: list[bytes]) -> Outcome:
        whole, single = next(script, (DONE, []))
        items = {place: one for place, one in single if place < len(records)} if whole is DONE else {}
        of_each = [items.get(place, whole) for place in range(len(records))]
        taken.extend(one for one, outcome in zip(records, of_each, strict=True) if outcome is DONE)
        refused.extend(one for one, outcome in zip(records, of_each, strict=True) if outcome not in (DONE, UNAVAILABLE))
        return Outcome(verdict=whole.verdict, reason=whole.reason, may_be_records=whole.may_be_records, items=items)

    scene = Scene(answer, budget_s=1, level="error")
    records = [b"%d" % n for n in range(size)]
    batch = batch_of(*records)
    for _ in range(60):
        scene.timing.now += 60
        scene.timing.deadline = scene.timing.now + 1
        held = False
        try:
            scene.deliver(batch)
        except HeldError:
            held = True
        lost = {records[row] for row in batch.lost}
        owed = {records[at] for at in batch.parcels["logs"].owed()}
        assert len(taken) == len(set(taken))
        assert set(taken) | lost | owed == set(records)
        assert not lost & owed
        assert not set(taken) & (lost | owed)
        assert lost <= set(refused)
        if not owed:
            break
        assert held or batch.parcels["logs"].unproven
    else:
        # Only what needs others beside it for a proof may be left.
        assert set(batch.parcels["logs"].owed()) == set(batch.parcels["logs"].unproven)


def test_records_of_other_keys_go_in_requests_of_their_own() -> None:
    """And what becomes of one request is not what becomes of the other."""
    scene = Scene(poisonous(b"b2", outcome=UNAVAILABLE), budget_s=1)
    batch = Batch()
    batch.mark(Position(0))
    for record, key in ((b"a1", "a"), (b"b1", "b"), (b"a2", "a"), (b"b2", "b")):
        batch.add("logs", record, key)
        batch.rows += 1
    batch.close(Position(100))
    with pytest.raises(HeldError):
        scene.deliver(batch)
    assert scene.inbox.keys[:2] == ["a", "b"]
    assert scene.inbox.requests[:2] == [[b"a1", b"a2"], [b"b1", b"b2"]]
    assert scene.inbox.delivered == [b"a1", b"a2"]
    assert batch.floor() == 1
