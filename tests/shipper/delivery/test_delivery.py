"""What each answer leads to: a conversation between delivery and a destination in memory."""

from collections.abc import Callable, Sequence
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipper.delivery.batch import Position
from shipper.delivery.interfaces import Limits, Request
from shipper.delivery.outcome import DONE, Outcome, Verdict
from shipper.errors import HeldError
from tests.shipper.delivery.scene import (
    REFUSED,
    TIMEOUT,
    TOO_LARGE,
    UNAUTHORISED,
    UNAVAILABLE,
    Scene,
    batch_of,
    in_turn,
)
from tests.shipper.support import Inbox


def test_a_delivered_batch_is_settled_and_nothing_is_said() -> None:
    scene = Scene(in_turn())
    scene.deliver(batch_of(b"a", b"b"))
    assert (scene.inbox.delivered, scene.settled[-1], scene.lines.written) == ([b"a", b"b"], 2, [])
    assert (scene.delivery.counts.so_far.requests, scene.delivery.counts.so_far.retries) == (1, 0)


def test_pauses_grow_under_full_jitter_up_to_the_longest() -> None:
    """Drawn from the middle: half of 50 ms, 200 ms, …, at most half of 5 s."""
    scene = Scene(in_turn(*[UNAVAILABLE] * 6), budget_s=100)
    scene.deliver(batch_of(b"a"))
    assert scene.timing.pauses == [0.025, 0.1, 0.4, 1.6, 2.5, 2.5]
    assert (scene.delivery.counts.so_far.requests, scene.delivery.counts.so_far.retries) == (7, 6)


def test_pauses_of_the_last_shipment_are_a_share_of_the_time_left() -> None:
    """With little time left there are more tries, not one long pause: 1.7 s at shutdown allow a dozen."""
    scene = Scene(lambda _: UNAVAILABLE, budget_s=1.7, level="error")
    scene.timing.is_final = True
    with pytest.raises(HeldError):
        scene.deliver(batch_of(b"a"))
    assert scene.timing.pauses[:4] == pytest.approx([0.025, 0.1, 0.196875, 0.1722656])
    assert 10 < len(scene.timing.pauses) < 30
    assert scene.timing.time_left_s() <= 0.05


def test_backend_that_took_nothing_is_asked_once_by_the_next_shipment() -> None:
    """And once it took something, as often as ever."""
    scene = Scene(in_turn(*[UNAVAILABLE] * 4, DONE, UNAVAILABLE, DONE), budget_s=0.5)
    for _ in range(2):
        with pytest.raises(HeldError):
            scene.deliver(batch_of(b"a"))
    assert scene.timing.pauses == [0.025, 0.1]
    for _ in range(2):
        scene.deliver(batch_of(b"a"))
    assert scene.timing.pauses == [0.025, 0.1, 0.025]


def test_a_trouble_is_said_once_and_so_is_its_end() -> None:
    scene = Scene(in_turn(UNAVAILABLE, TIMEOUT, UNAVAILABLE, UNAVAILABLE))
    scene.deliver(batch_of(b"a"))
    assert scene.lines.events() == [
        "shipper.delivery_failing",
        "shipper.delivery_failing",
        "shipper.delivery_recovered",
    ]
    assert [line.get("reason") for line in scene.lines.written] == ["status_503", "timeout", None]


def test_retry_after_is_waited_for() -> None:
    scene = Scene(in_turn(Outcome(verdict=Verdict.RETRY, reason="status_429", retry_after_s=3.0)))
    scene.deliver(batch_of(b"a"))
    assert scene.timing.pauses == [3.0]


def test_a_retry_after_past_the_deadline_ends_the_shipment_at_once() -> None:
    """Nobody is held for a pause that cannot help."""
    scene = Scene(lambda _: Outcome(verdict=Verdict.RETRY, reason="status_429", retry_after_s=30.0))
    with pytest.raises(HeldError) as held:
        scene.deliver(batch_of(b"a"))
    assert (held.value.reason, held.value.retry_after_s) == ("status_429", 30.0)
    assert scene.timing.pauses == []


@settings(deadline=None)
@given(st.floats(0.01, 20), st.floats(0, 0.95))
def test_no_pause_passes_the_deadline(budget_s: float, drawn: float) -> None:
    """Whatever the budget and the dice."""
    scene = Scene(lambda _: UNAVAILABLE, budget_s, level="error")
    scene.delivery._jitter = lambda: drawn + 0.05  # noqa: SLF001
    with pytest.raises(HeldError):
        scene.deliver(batch_of(b"a"))
    assert scene.timing.now < scene.timing.deadline


def test_no_time_left_makes_no_request() -> None:
    scene = Scene(in_turn(), budget_s=0)
    with pytest.raises(HeldError, match="deadline"):
        scene.deliver(batch_of(b"a"))
    assert scene.inbox.requests == []


def test_a_request_cut_short_by_the_deadline_accuses_nobody() -> None:
    """The reason is the deadline, and nothing is said of the destination."""
    scene = Scene(lambda _: TIMEOUT)

    def slow(_records: list[bytes]) -> Outcome:
        scene.timing.now = scene.timing.deadline
        return TIMEOUT

    scene.inbox.answer = slow
    with pytest.raises(HeldError, match="deadline"):
        scene.deliver(batch_of(b"a"))
    assert scene.lines.written == []


def test_one_poisonous_record_is_isolated_and_all_others_arrive() -> None:
    """In order, dropped and counted, described without its content."""
    scene = Scene(lambda records: REFUSED if b"poison" in records else DONE)
    records = [b"%d" % n for n in range(20)]
    records[13] = b"poison"
    batch = batch_of(*records)
    scene.deliver(batch)
    assert scene.inbox.delivered == records[:13] + records[14:]
    assert batch.tally(0, 20) == (19, {"refused": 1})
    assert scene.settled == sorted(scene.settled)
    (line,) = scene.lines.written
    assert (line["event"], line["index"], line["record_bytes"]) == ("shipper.record_dropped", 13, 6)
    assert "poison" not in str(line)


def test_a_refusal_that_passes_loses_nothing() -> None:
    """400 twice on everything: the halves are sent, and arrive."""
    scene = Scene(in_turn(REFUSED, REFUSED))
    batch = batch_of(*[b"%d" % n for n in range(8)])
    scene.deliver(batch)
    assert batch.tally(0, 8) == (8, {})


def test_a_lone_record_refused_while_nothing_else_is_taken_is_held() -> None:
    """The destination may have a bad minute; the record arrives when it is over, and was said to wait once."""
    scene = Scene(in_turn(REFUSED, REFUSED))
    for _ in range(2):
        with pytest.raises(HeldError, match="status_400"):
            scene.deliver(batch_of(b"a"))
    batch = batch_of(b"a")
    scene.deliver(batch)
    assert batch.tally(0, 1) == (1, {})
    assert scene.lines.events() == ["shipper.delivery_failing", "shipper.delivery_recovered"]


def test_a_lone_record_refused_for_an_hour_while_nothing_else_is_taken_is_held() -> None:
    """Where nothing is taken it is an outage: records wait, however often they are refused."""
    scene = Scene(lambda _: REFUSED, budget_s=10_000)
    for _ in range(60):
        scene.timing.now += 60
        with pytest.raises(HeldError, match="status_400") as held:
            scene.deliver(batch_of(b"a"))
        assert held.value.is_about_records
    assert scene.lines.events() == ["shipper.delivery_failing"]


def test_another_record_taken_proves_the_refused_one_at_fault() -> None:
    """Also when it comes first of all."""
    scene = Scene(lambda records: REFUSED if b"poison" in records else DONE)
    batch = batch_of(b"poison", b"a")
    scene.deliver(batch)
    assert (scene.inbox.delivered, batch.tally(0, 2)) == ([b"a"], (1, {"refused": 1}))
    assert scene.settled == [2, 2]


def test_a_record_refused_before_another_is_taken_gets_a_second_chance() -> None:
    """400 twice on everything, and the first batch is of two records: the destination recovered between them."""
    scene = Scene(in_turn(REFUSED, REFUSED))
    batch = batch_of(b"a", b"b")
    scene.deliver(batch)
    assert (sorted(scene.inbox.delivered), batch.tally(0, 2)) == ([b"a", b"b"], (2, {}))


def test_a_batch_goes_on_after_the_signal_that_is_done() -> None:
    """Nothing is sent for it any more."""
    scene = Scene(in_turn())
    batch = batch_of(b"a")
    batch.parcels["logs"].settle([0])
    scene.deliver(batch)
    assert scene.inbox.requests == []


def test_many_poisonous_records_in_a_row_are_proven_by_the_last_one() -> None:
    """Which is sent once."""
    scene = Scene(lambda records: REFUSED if b"poison" in records else DONE)
    batch = batch_of(*[b"poison"] * 30, b"a", b"b")
    scene.deliver(batch)
    assert sorted(scene.inbox.delivered) == [b"a", b"b"]
    assert batch.tally(0, 32) == (2, {"refused": 30})


def test_a_destination_that_refuses_everything_is_asked_little_and_drops_nothing() -> None:
    """Down to the first records alone and the last one, then the shipment ends."""
    scene = Scene(lambda _: REFUSED)
    batch = batch_of(*[b"%d" % n for n in range(1000)])
    with pytest.raises(HeldError, match="status_400"):
        scene.deliver(batch)
    assert len(scene.inbox.requests) < 20
    assert (batch.lost, batch.floor()) == ({}, 0)
    assert scene.lines.events() == ["shipper.delivery_failing"]


def test_a_batch_too_large_is_split_and_the_limit_remembered() -> None:
    scene = Scene(lambda records: TOO_LARGE if len(records) > 2 else DONE)
    batch = batch_of(*[b"x" * 4000] * 8)
    scene.deliver(batch)
    assert [len(records) for records in scene.inbox.requests] == [8, 4, 2, 2, 2, 2]
    assert batch.tally(0, 8) == (8, {})
    assert scene.limits.batch_bytes == 8000


def test_what_is_known_to_be_too_large_is_split_without_being_sent_again() -> None:
    """The destination was asked once about each size; all of a batch that was made before is judged by it."""
    records = [b"%03d" % number + b"x" * 997 for number in range(64)]
    scene = Scene(lambda sent: TOO_LARGE if sum(map(len, sent)) > 10_000 else DONE)
    scene.deliver(batch_of(*records))
    assert sorted(scene.inbox.delivered) == records
    assert [len(sent) for sent in scene.inbox.requests if len(sent) > 10] == [64, 32, 16]


def test_a_record_too_large_by_itself_is_dropped() -> None:
    large = b"large" * 1000
    scene = Scene(lambda records: TOO_LARGE if large in records else DONE)
    batch = batch_of(b"a", large, b"b")
    scene.deliver(batch)
    assert batch.tally(0, 3) == (2, {"too_large": 1})
    batch = batch_of(large)
    scene.deliver(batch)
    assert batch.tally(0, 1) == (0, {"too_large": 1})


def test_a_small_record_that_is_too_large_is_not_believed_without_proof() -> None:
    """Who takes less than 4 KiB takes nothing: it is the destination that is at fault, for now."""
    scene = Scene(in_turn(TOO_LARGE))
    with pytest.raises(HeldError, match="status_413"):
        scene.deliver(batch_of(b"small"))
    batch = batch_of(b"small")
    scene.deliver(batch)
    assert batch.tally(0, 1) == (1, {})


def test_a_refused_key_holds_everything_and_is_said_once() -> None:
    scene = Scene(lambda _: UNAUTHORISED)
    for _ in range(3):
        with pytest.raises(HeldError, match="unauthorised"):
            scene.deliver(batch_of(b"a"))
    assert scene.lines.events() == ["shipper.delivery_failing"]
    assert scene.timing.pauses == []


def test_a_failure_while_splitting_keeps_what_was_settled() -> None:
    """What the first half brought is not sent again."""
    scene = Scene(in_turn(REFUSED, DONE, UNAUTHORISED))
    batch = batch_of(b"a", b"b", b"c", b"d")
    with pytest.raises(HeldError):
        scene.deliver(batch)
    assert (batch.floor(), batch.position(2)) == (2, Position(0, 2))


def test_partial_success_is_counted() -> None:
    scene = Scene(lambda _: Outcome(verdict=Verdict.DONE, rejected=5))
    batch = batch_of(b"a", b"b")
    scene.deliver(batch)
    assert batch.rejected == {"logs": 2}


@given(st.lists(st.sampled_from([DONE, REFUSED, TOO_LARGE, UNAVAILABLE]), max_size=30), st.integers(1, 40))
def test_every_record_is_delivered_or_counted_as_dropped(answers: list[Outcome], size: int) -> None:
    """Whatever a destination answers, in whatever order, over as many shipments as it takes."""
    scene = Scene(in_turn(*answers), budget_s=1e9, level="error")
    records = [b"%d" % n for n in range(size)]
    lost: set[bytes] = set()
    begin = 0
    while begin < size:
        batch = batch_of(*records[begin:])
        batch._marks = [(0, Position(0, begin))]  # noqa: SLF001
        with suppress(HeldError):
            scene.deliver(batch)
        scene.timing.now += 20
        floor = batch.floor()
        events, dropped = batch.tally(0, floor)
        assert events + sum(dropped.values()) == floor
        lost |= {records[begin + row] for row in batch.lost if row < floor}
        begin += floor
    assert set(records) - set(scene.inbox.delivered) == lost - set(scene.inbox.delivered)
    assert len(scene.inbox.delivered) <= size + len(answers)


def test_the_bodies_of_a_small_batch_are_made_before_the_first_is_sent() -> None:
    """And those of a large one each when its turn has come: they need not be in memory together."""

    class Watched(Inbox):
        def __init__(self) -> None:
            super().__init__()
            self.steps: list[str] = []

        def build(self, items: Sequence[bytes], key: str = "") -> Request:
            del key
            body = b"".join(items)
            self.steps.append(f"build {len(body)}")
            return Request(body=body, body_bytes=len(body))

        def send(self, request: Request) -> Outcome:
            raise AssertionError(request)

        def begin(self, request: Request, within_s: float) -> Callable[[], Outcome] | None:
            del within_s
            self.steps.append(f"begin {len(request.body)}")
            return self.answer_to_what_was_begun

        def answer_to_what_was_begun(self) -> Outcome:
            self.steps.append("answer")
            return DONE

    scene = Scene(in_turn())
    for size, steps in (
        (10, ["build 10", "build 3", "begin 10", "begin 3", "answer", "answer"]),
        (70_000, ["build 70000", "begin 70000", "build 3", "begin 3", "answer", "answer"]),
    ):
        batch = batch_of(b"x" * size)
        batch.add("traces", b"abc")
        watched = Watched()
        scene.delivery._endpoints = watched.endpoints  # noqa: SLF001 - the scene has no other use for one
        scene.deliver(batch)
        assert watched.steps == steps


@pytest.mark.parametrize(("is_final", "steps"), [(True, ["begin new", "late", "new"]), (False, ["late", "new"])])
def test_only_the_last_shipment_does_not_wait_for_what_a_slow_endpoint_owes(
    *, is_final: bool, steps: list[str]
) -> None:
    """Its answers were late twice, so it is not well; there is time for one answer more, and not for two."""
    happened: list[str] = []

    def late() -> Outcome:
        happened.append("late")
        return DONE if is_due else pending

    pending = Outcome(verdict=Verdict.HELD, reason="deadline", detail="waiting for the answer of memory:", pending=late)
    is_due = False

    class Slow(Inbox):
        def build(self, items: Sequence[bytes], key: str = "") -> Request:
            del key
            return Request(body=b"".join(items), body_bytes=3)

        def send(self, request: Request) -> Outcome:
            happened.append(request.body.decode())
            return pending if request.body == b"old" else DONE

        def begin(self, request: Request, within_s: float) -> Callable[[], Outcome] | None:
            del within_s
            happened.append(f"begin {request.body.decode()}")
            return lambda: self.send(request)

    scene = Scene(in_turn())
    scene.delivery._endpoints = Slow().endpoints  # noqa: SLF001 - the scene has no other use for one
    old, new = batch_of(b"old"), batch_of(b"new")
    for _ in range(2):
        with suppress(HeldError):
            scene.deliver(old)
    happened.clear()
    is_due = True
    scene.timing.is_final = is_final
    scene.delivery.begin_shipment()
    scene.delivery.deliver([old, new], lambda _batch: None)
    assert happened == steps
    assert old.is_done
    assert new.is_done
    assert (old.is_late, new.is_late) == (True, False)


def test_what_follows_a_late_answer_is_a_request_of_its_own() -> None:
    """Beside another batch, before whose request those of all are made: each record arrives once, or is refused."""
    taken: list[bytes] = []

    def judged(request: Request) -> Outcome:
        if b"poison" in request.body:
            return REFUSED
        taken.extend(request.body.split())
        return DONE

    class Slow(Inbox):
        is_slow = True

        def build(self, items: Sequence[bytes], key: str = "") -> Request:
            del key
            return Request(body=b" ".join(items), body_bytes=3)

        def send(self, request: Request) -> Outcome:
            if self.is_slow and request.body == b"a b":
                return Outcome(verdict=Verdict.HELD, reason="deadline", pending=lambda: judged(request))
            return judged(request)

        def begin(self, request: Request, within_s: float) -> Callable[[], Outcome] | None:
            del within_s
            return lambda: self.send(request)

    slow = Slow()
    scene = Scene(in_turn())
    scene.delivery._endpoints = slow.endpoints  # noqa: SLF001 - the scene has no other use for one
    old, new = batch_of(b"a", b"b", b"c", b"poison"), batch_of(b"e")
    with suppress(HeldError):
        scene.deliver(old)
    slow.is_slow = False
    scene.delivery.begin_shipment()
    scene.delivery.deliver([old, new], lambda _batch: None)
    assert sorted(taken) == [b"a", b"b", b"c", b"e"]
    assert old.lost == {3: "refused"}


def test_a_backend_whose_answers_come_late_is_said_once_and_so_is_its_end() -> None:
    """With how long one took, and how many did: one alone is an accident, and so is one in time among them."""
    scene = Scene(lambda _: DONE, level="warning")

    def ship(took_s: float) -> None:
        """A batch is delivered, by a second shipment if the first had ended when its answer came."""

        def answered() -> Outcome:
            scene.timing.now = asked_s + took_s
            return DONE

        batch, asked_s = batch_of(b"a"), scene.timing.now
        detail = "waiting for the answer of memory:"
        pending = Outcome(verdict=Verdict.HELD, reason="deadline", detail=detail, pending=answered)
        scene.inbox.answer = lambda _: pending if took_s > 1 else DONE
        if took_s > 1:
            with pytest.raises(HeldError):
                scene.deliver(batch)
        scene.timing.deadline = scene.timing.now + took_s + 10
        scene.deliver(batch)
        assert batch.is_done

    for took_s in (2.0, 0.5, 2.0):
        ship(took_s)
    assert not scene.lines.written
    for took_s in (3.0, 4.0, 0.5, 2.5):
        ship(took_s)
    assert scene.lines.events() == ["shipper.answers_late"]
    assert (scene.lines.written[0]["signal"], scene.lines.written[0]["took_ms"]) == ("logs", 3000.0)
    for _ in range(4):
        ship(0.5)
    assert scene.lines.events() == ["shipper.answers_late", "shipper.answers_timely"]
    said = scene.lines.written[1]
    assert (said["level"], said["late"], said["late_for_ms"]) == ("warning", 4, 6500.0)


def test_a_request_made_ahead_is_for_the_whole_and_used_once() -> None:
    """What is sent after a refusal is made anew, and half as large."""
    sent: list[bytes] = []

    class Picky(Inbox):
        def build(self, items: Sequence[bytes], key: str = "") -> Request:
            del key
            body = b"".join(items)
            return Request(body=body, body_bytes=len(body))

        def send(self, request: Request) -> Outcome:
            sent.append(request.body)
            return REFUSED if len(sent) == 1 else DONE

    scene = Scene(in_turn())
    batch = batch_of(b"a", b"b")
    batch.add("traces", b"abc")
    scene.delivery._endpoints = Picky().endpoints  # noqa: SLF001 - the scene has no other use for one
    scene.deliver(batch)
    assert sent == [b"ab", b"abc", b"a", b"b"]


def test_request_carries_no_more_records_than_the_endpoint_takes() -> None:
    scene = Scene(in_turn())
    scene.inbox.limits = Limits(request_items=3)
    scene.deliver(batch_of(*[b"%d" % n for n in range(8)]))
    assert [len(records) for records in scene.inbox.requests] == [3, 3, 2]


@pytest.mark.parametrize("is_compressed", [False, True])
def test_request_larger_than_the_endpoint_takes_is_split_without_being_sent(*, is_compressed: bool) -> None:
    """By the size that the endpoint counts."""
    scene = Scene(in_turn())
    scene.inbox.limits = Limits(request_bytes=5000, is_compressed=is_compressed)
    scene.deliver(batch_of(*[b"x" * 2000] * 4))
    assert [len(records) for records in scene.inbox.requests] == [2, 2]


def test_record_larger_than_the_endpoint_takes_is_dropped_without_being_sent() -> None:
    """The endpoint says so itself: there is nothing to prove."""
    scene = Scene(in_turn())
    scene.inbox.limits = Limits(item_bytes=100)
    batch = batch_of(b"a", b"x" * 101, b"b")
    scene.deliver(batch)
    assert (scene.inbox.requests, batch.tally(0, 3)) == ([[b"a", b"b"]], (2, {"too_large": 1}))


def test_record_that_no_request_of_the_endpoint_can_carry_is_dropped() -> None:
    scene = Scene(in_turn())
    scene.inbox.limits = Limits(request_bytes=100)
    batch = batch_of(b"a", b"x" * 101)
    scene.deliver(batch)
    assert (scene.inbox.requests, batch.tally(0, 2)) == ([[b"a"]], (1, {"too_large": 1}))


class TestShutdown:
    """There is no later: what can be tried is."""

    def test_retry_after_past_the_end_gets_one_more_try_while_there_is_time(self) -> None:
        """After half of what is left: there is no better moment."""
        scene = Scene(in_turn(Outcome(verdict=Verdict.RETRY, reason="status_429", retry_after_s=30.0)))
        scene.timing.is_final = True
        batch = batch_of(b"a")
        scene.deliver(batch)
        assert (scene.timing.pauses, batch.tally(0, 1)) == ([5.0], (1, {}))

    def test_it_is_one_more_try_and_no_second_one(self) -> None:
        """Nothing says that a third would help."""
        scene = Scene(lambda _: Outcome(verdict=Verdict.RETRY, reason="status_429", retry_after_s=30.0))
        scene.timing.is_final = True
        with pytest.raises(HeldError, match="status_429"):
            scene.deliver(batch_of(b"a"))
        assert len(scene.inbox.requests) == 2


class TestSilence:
    """An endpoint that drops packets, or never answers, shows in nothing but the time that it takes."""

    SILENT = Outcome(verdict=Verdict.RETRY, reason="timeout", detail="connecting to 192.0.2.1:443")

    def scene(self) -> Scene:
        """Of an endpoint that takes all the time there is."""
        scene = Scene(in_turn())

        def silent(_records: list[bytes]) -> Outcome:
            scene.timing.now = scene.timing.deadline
            return self.SILENT

        scene.inbox.answer = silent
        return scene

    def test_second_shipment_in_a_row_without_an_answer_is_said_with_phase_and_address(self) -> None:
        """Once, however many follow, and in what is left."""
        scene = self.scene()
        left = []
        for _ in range(5):
            scene.timing.deadline = scene.timing.now + 0.5
            with pytest.raises(HeldError) as held:
                scene.deliver(batch_of(b"a"))
            left.append((held.value.reason, held.value.detail))
        assert left == [("deadline", "")] + [("timeout", "connecting to 192.0.2.1:443")] * 4
        (line,) = scene.lines.written
        assert (line["event"], line["reason"]) == ("shipper.delivery_failing", "timeout")
        assert line["detail"] == "connecting to 192.0.2.1:443"

    def test_last_shipment_without_an_answer_is_said(self) -> None:
        """There is no second one."""
        scene = self.scene()
        scene.timing.is_final = True
        with pytest.raises(HeldError, match="timeout"):
            scene.deliver(batch_of(b"a"))
        assert scene.lines.events() == ["shipper.delivery_failing"]

    def test_answer_in_between_makes_it_a_shipment_that_had_no_time(self) -> None:
        """A backend that is slow every now and then is not accused."""
        scene = self.scene()
        silent = scene.inbox.answer
        for answer in (silent, lambda _records: DONE) * 3:
            scene.inbox.answer = answer
            scene.timing.deadline = scene.timing.now + 0.5
            with suppress(HeldError):
                scene.deliver(batch_of(b"a"))
        assert scene.lines.written == []

    def test_request_for_which_there_was_no_time_is_not_counted(self) -> None:
        """And says nothing of the endpoint."""
        scene = Scene(lambda _: Outcome(verdict=Verdict.HELD, reason="deadline", detail="no time left for an answer"))
        for _ in range(3):
            with pytest.raises(HeldError, match="deadline"):
                scene.deliver(batch_of(b"a"))
        assert (scene.delivery.counts.so_far.requests, scene.lines.written) == (0, [])


def test_lines_wait_for_an_outage_that_another_signal_has_not_noticed() -> None:
    """It took something before, and has nothing to send now: that it was well says nothing of the present."""
    scene = Scene(lambda records: DONE if records == [b"span"] else UNAVAILABLE, budget_s=0.2)
    spans = batch_of(b"line")
    spans.parcels.clear()
    spans.add("traces", b"span")
    scene.deliver(spans)
    assert spans.is_done
    for _ in range(3):
        scene.timing.now += 1.0
        scene.timing.deadline = scene.timing.now + 0.2
        lines = batch_of(b"line")
        with pytest.raises(HeldError):
            scene.deliver(lines)
        assert not lines.lost
    assert "shipper.signal_deferred" not in scene.lines.events()


def test_answer_that_had_no_turn_is_waited_for_in_the_next_shipment() -> None:
    """It is behind another one of its signal, which takes all the time there is."""
    scene = Scene(lambda _records: DONE)

    def late() -> Outcome:
        scene.timing.now += 1000
        return Outcome(verdict=Verdict.HELD, reason="deadline", pending=late)

    batches = [batch_of(b"a"), batch_of(b"b")]
    for batch in batches:
        batch.parcels["logs"].pending = range(1), late
    scene.delivery._healths["logs"].failed(TIMEOUT)  # noqa: SLF001 - as answers that come late have it
    scene.delivery.begin_shipment()
    with pytest.raises(HeldError):
        scene.delivery.deliver(batches, lambda _batch: None)
    assert [batch.parcels["logs"].pending for batch in batches] == [(range(1), late)] * 2
    assert scene.inbox.requests == []
