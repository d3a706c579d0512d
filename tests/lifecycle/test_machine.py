"""The supervisor's machine, by conversation: an event and a moment, then what it orders."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.asking import MOST_UNCONNECTED
from lifecycle.ending import LAST_REPORT_S, QUIET_S, SHUTDOWN_MARGIN_S
from lifecycle.events import (
    BatchStored,
    Effect,
    Event,
    Exit,
    FetchNext,
    GoQuiet,
    IntakeHeld,
    Invoked,
    KillWorker,
    NextFailed,
    OffsetCommitted,
    Release,
    Ship,
    ShipmentStalled,
    ShutdownRequested,
    StartWorker,
    TimePassed,
    WorkerExited,
)
from lifecycle.flush import FlushPolicy
from lifecycle.machine import IllegalEventError, Machine
from lifecycle.recovery import MOST_DEATHS
from lifecycle.situation import UNHELD_SHIPMENT_S
from lifecycle.states import LEGAL_EVENTS, State

CAPACITY = 10_000


def machine(mode: str = "end", *, budget_s: float = 0.5, freezes: bool = True, interval_s: float = 10.0) -> Machine:
    """A machine at moment 0; the platform holds a batch back for 25 ms."""
    policy = FlushPolicy(mode, interval_s=interval_s, budget_s=budget_s, jitter=lambda: 1.0)
    return Machine(policy, capacity_bytes=CAPACITY, buffer_s=0.025, freezes=freezes, now=0.0)


def stored(end: int, *, start: int | None = None, finished: str = "", reported: str = "") -> BatchStored:
    return BatchStored(
        start=end - 100 if start is None else start,
        end=end,
        finished=(finished,) if finished else (),
        reported=(reported,) if reported else (),
    )


def invoke(subject: Machine, at: float, request_id: str = "r1", timeout_s: float = 60.0) -> list[Effect]:
    return subject.handle(Invoked(request_id, at + timeout_s), at)


def ships(effects: list[Effect]) -> list[tuple[int, int, str]]:
    return [(effect.since, effect.until, effect.reason) for effect in effects if isinstance(effect, Ship)]


def reasons_to_fetch(effects: list[Effect]) -> list[str]:
    return [effect.reason for effect in effects if isinstance(effect, FetchNext)]


def test_held_invocation_ends_with_delivery() -> None:
    """Invoked, finished, shipped, acknowledged, and only then is the next event asked for."""
    subject = machine()
    assert invoke(subject, 1.0) == []
    assert subject.handle(stored(100), 1.1) == []
    assert ships(subject.handle(stored(200, finished="r1"), 1.2)) == [(0, 200, "invocation_finished")]
    effects = subject.handle(OffsetCommitted(200), 1.23)
    assert effects[0] == Release(200)
    assert isinstance(effects[1], FetchNext)
    assert effects[1].reason == "delivered"
    assert effects[1].held_s == pytest.approx(0.055)
    assert subject.state is State.WAITING


def test_held_shipment_ends_before_the_budget_counted_from_the_functions_end() -> None:
    """The runtimeDone was 25 ms old when it came, and the shipper reports 20 ms before the hold ends."""
    subject = machine(budget_s=0.5)
    invoke(subject, 1.0)
    (ship,) = subject.handle(stored(100, finished="r1"), 2.0)
    assert isinstance(ship, Ship)
    assert ship.deadline == pytest.approx(2.0 - 0.025 + 0.5 - 0.02)


@pytest.mark.parametrize(
    ("age_s", "ends_at"),
    [(0.2, 2.3), (0.0, 2.5), (0.9, 2.0), (3600.0, 2.0), (-3600.0, 2.475)],
    ids=["late", "at once", "later than the budget", "clock put forward", "clock put back"],
)
def test_budget_is_counted_from_the_end_that_the_runtime_done_tells(age_s: float, ends_at: float) -> None:
    """It may have waited for a collector that was loading or was replaced; a clock that jumped costs a hold at most."""
    subject = machine(budget_s=0.5)
    invoke(subject, 1.0)
    effects = subject.handle(BatchStored(0, 100, ("r1",), (), age_s), 2.0)
    if ends_at > 2.0:
        assert subject.wakes_at == pytest.approx(ends_at)
        effects = subject.handle(TimePassed(), ends_at)
    (fetch,) = (effect for effect in effects if isinstance(effect, FetchNext))
    assert fetch.reason == "budget_spent"
    assert fetch.held_s <= 0.5 + 1e-9


def test_hold_ends_with_the_budget_when_nothing_is_delivered() -> None:
    """A shipper that says nothing holds nobody."""
    subject = machine(budget_s=0.5)
    invoke(subject, 1.0)
    subject.handle(stored(100, finished="r1"), 2.0)
    assert subject.wakes_at == pytest.approx(2.475)
    assert reasons_to_fetch(subject.handle(TimePassed(), 2.475)) == ["budget_spent"]


def test_hold_ends_at_once_when_the_shipment_stalls() -> None:
    """Waiting longer would change nothing."""
    subject = machine()
    invoke(subject, 1.0)
    subject.handle(stored(100, finished="r1"), 2.0)
    assert reasons_to_fetch(subject.handle(ShipmentStalled("unauthorised"), 2.01)) == ["not_delivered"]


def test_hold_never_goes_past_the_deadline_less_a_margin() -> None:
    """A function that ends 100 ms before its deadline is not made late by us."""
    subject = machine(budget_s=5.0)
    invoke(subject, 0.0, timeout_s=3.0)
    subject.handle(stored(100, finished="r1"), 2.7)
    assert subject.wakes_at == pytest.approx(2.75)
    assert reasons_to_fetch(subject.handle(TimePassed(), 2.75)) == ["budget_spent"]


def test_runtime_done_that_never_comes_is_not_waited_for_twice() -> None:
    """The first invocation is held to its deadline less a margin, the next not at all."""
    subject = machine()
    invoke(subject, 0.0, timeout_s=3.0)
    assert subject.wakes_at == pytest.approx(2.75)
    assert reasons_to_fetch(subject.handle(TimePassed(), 2.75)) == ["end_not_told"]
    assert reasons_to_fetch(invoke(subject, 3.0, "r2")) == ["runtime_done_missing"]


def test_what_came_after_the_runtime_done_is_not_waited_for() -> None:
    """The late report of the invocation goes with the next shipment."""
    subject = machine()
    invoke(subject, 0.0)
    subject.handle(stored(100, finished="r1"), 1.0)
    subject.handle(stored(200, reported="r1"), 1.01)
    assert reasons_to_fetch(subject.handle(OffsetCommitted(100), 1.02)) == ["delivered"]


def test_runtime_done_may_be_read_before_the_invocation() -> None:
    """The function was done before this process had read that it began: it is not waited for again."""
    subject = machine()
    assert subject.handle(stored(100, finished="r1"), 1.0) == []
    (ship,) = invoke(subject, 1.01, "r1")
    assert isinstance(ship, Ship)
    assert ship.until == 100
    assert ship.deadline == pytest.approx(1.0 - 0.025 + 0.5 - 0.02)
    assert reasons_to_fetch(subject.handle(OffsetCommitted(100), 1.03)) == ["delivered"]


def test_another_requests_runtime_done_ends_nothing() -> None:
    """One that came late, after a thaw, belongs to an invocation that is over."""
    subject = machine()
    invoke(subject, 0.0, "r2")
    assert subject.handle(stored(100, finished="r1"), 1.0) == []
    assert subject.state is State.HOLDING


def test_released_invocation_ships_nothing_and_asks_at_once() -> None:
    """Frequent invocations cost nothing."""
    subject = machine("adaptive")
    invoke(subject, 0.0)
    subject.handle(stored(100, finished="r1"), 0.1)
    subject.handle(OffsetCommitted(100), 0.12)
    assert reasons_to_fetch(invoke(subject, 1.0, "r2")) == ["next_expected_in_time"]
    assert subject.handle(stored(200, start=100, finished="r2"), 1.1) == []


def test_long_function_ships_every_interval() -> None:
    """A record is not older than the interval, however long the function runs."""
    subject = machine("end", interval_s=10.0)
    invoke(subject, 0.0, timeout_s=900)
    subject.handle(stored(100), 1.0)
    assert subject.wakes_at == pytest.approx(11.0)
    assert ships(subject.handle(TimePassed(), 11.0)) == [(0, 100, "interval_passed")]
    subject.handle(OffsetCommitted(100), 11.1)
    subject.handle(stored(200, start=100), 12.0)
    assert ships(subject.handle(TimePassed(), 22.0)) == [(100, 200, "interval_passed")]


def test_last_words_leave_before_the_deadline() -> None:
    """Whatever is there half a second before a timeout goes out, also when /next is out already."""
    subject = machine("interval")
    invoke(subject, 0.0, timeout_s=5.0)
    subject.handle(stored(100), 1.0)
    assert subject.wakes_at == pytest.approx(4.5)
    assert ships(subject.handle(TimePassed(), 4.5)) == [(0, 100, "deadline_near")]


def test_backlog_more_than_half_full_ships_at_once() -> None:
    """Whatever the policy says."""
    subject = machine("interval")
    assert subject.handle(stored(5000, start=0), 0.1) == []
    assert ships(subject.handle(stored(5100, start=5000), 0.2)) == [(0, 5100, "backlog_half_full")]


def test_interval_policy_overlaps_and_asks_when_the_shipment_has_ended() -> None:
    """/next is not called while an export is in flight."""
    subject = machine("interval", interval_s=1.0)
    subject.handle(stored(100), 0.0)
    effects = invoke(subject, 5.0)
    assert ships(effects) == [(0, 100, "interval_passed")]
    assert subject.state is State.OVERLAPPING
    assert reasons_to_fetch(subject.handle(OffsetCommitted(100), 5.1)) == ["delivered"]


def test_invocation_that_meets_a_shipment_in_flight_waits_for_it() -> None:
    """A freeze in the middle of a request is how connections die."""
    subject = machine("interval", interval_s=1.0)
    invoke(subject, 0.0)
    subject.handle(stored(100), 0.1)
    assert ships(subject.handle(TimePassed(), 1.1)) == [(0, 100, "interval_passed")]
    assert invoke(subject, 1.2, "r2") != []
    assert subject.state is State.OVERLAPPING
    assert reasons_to_fetch(subject.handle(OffsetCommitted(100), 1.3)) == ["delivered"]


def test_overlapped_shipment_is_cut_to_the_budget_when_the_function_ends() -> None:
    """From then on somebody pays for the wait."""
    subject = machine("interval", interval_s=1.0, budget_s=0.5)
    subject.handle(stored(100), 0.0)
    invoke(subject, 5.0, timeout_s=60)
    (ship,) = subject.handle(stored(200, start=100, finished="r1"), 6.0)
    assert isinstance(ship, Ship)
    assert ship.deadline == pytest.approx(6.0 - 0.025 + 0.5 - 0.02)
    assert reasons_to_fetch(subject.handle(TimePassed(), 6.475)) == ["budget_spent"]


def test_open_breaker_asks_first_and_probes_alongside() -> None:
    """A vendor's bad hour costs the function nothing."""
    subject = machine()
    for number in range(2):
        invoke(subject, float(number), f"r{number}")
        subject.handle(stored(100 * (number + 1), start=100 * number, finished=f"r{number}"), number + 0.1)
        subject.handle(ShipmentStalled("deadline"), number + 0.5)
    assert reasons_to_fetch(invoke(subject, 1.6, "r2")) == ["breaker_open"]
    effects = invoke(subject, 30.0, "r3")
    assert [type(effect) for effect in effects] == [FetchNext, Ship]
    subject.handle(OffsetCommitted(200), 30.1)
    assert invoke(subject, 31.0, "r4") == []


def test_ring_that_began_anew_is_followed() -> None:
    """Nothing waited, so the next frame may start past the old end."""
    subject = machine()
    subject.handle(stored(100, start=0), 0.0)
    subject.handle(ShutdownRequested("spindown", 100.0), 0.1)
    subject.handle(OffsetCommitted(100), 0.2)
    assert ships(subject.handle(stored(CAPACITY + 50, start=CAPACITY), 0.3)) == [(CAPACITY, CAPACITY + 50, "shutdown")]
    assert subject.shipments.waiting_bytes == 50


def test_shutdown_collects_until_the_report_then_ships_and_exits() -> None:
    """The last platform.report comes after SHUTDOWN."""
    subject = machine("interval")
    invoke(subject, 0.0)
    assert ships(subject.handle(stored(100, finished="r1"), 0.1)) == []
    effects = subject.handle(ShutdownRequested("spindown", 3.0), 1.0)
    assert ships(effects) == [(0, 100, "shutdown")]
    assert ships(subject.handle(stored(200, start=100, reported="r1"), 1.04)) == [(0, 200, "shutdown")]
    assert subject.handle(OffsetCommitted(200), 1.06) == [Release(200)]
    assert subject.handle(TimePassed(), 1.075) == [Exit(0)]
    assert subject.state is State.CLOSED


def test_shutdown_with_everything_reported_waits_one_buffer_for_lines_of_the_last_moment() -> None:
    """The runtime is ended before SHUTDOWN comes; what it printed then is still in the platform's buffer."""
    subject = machine()
    invoke(subject, 0.0)
    subject.handle(stored(100, finished="r1", reported="r1"), 0.1)
    subject.handle(OffsetCommitted(100), 0.12)
    assert subject.handle(ShutdownRequested("spindown", 3.0), 1.0) == []
    assert subject.wakes_at == pytest.approx(1.075)
    assert ships(subject.handle(stored(200, start=100), 1.03)) == [(100, 200, "shutdown")]
    subject.handle(OffsetCommitted(200), 1.04)
    assert subject.handle(TimePassed(), 1.075) == [Exit(0)]


def test_shutdown_without_a_report_waits_a_short_while() -> None:
    """A report that never comes costs 300 ms."""
    subject = machine()
    invoke(subject, 0.0)
    subject.handle(stored(100, finished="r1"), 0.1)
    subject.handle(OffsetCommitted(100), 0.2)
    assert subject.handle(ShutdownRequested("spindown", 3.0), 1.0) == []
    assert subject.wakes_at == pytest.approx(1.0 + QUIET_S)
    assert subject.handle(TimePassed(), 1.0 + QUIET_S) == [Exit(0)]


def test_shutdown_while_telemetry_still_comes_does_not_end_between_two_batches() -> None:
    """A full backlog made the platform pause; it then goes on for a while."""
    subject = machine("interval")
    invoke(subject, 0.0)
    subject.handle(stored(100, start=0), 0.1)
    subject.handle(ShutdownRequested("spindown", 3.0), 1.0)
    subject.handle(TimePassed(), 1.0 + QUIET_S)
    assert subject.state is State.CLOSING
    subject.handle(stored(200, start=100), 1.35)
    assert subject.handle(OffsetCommitted(200), 1.36) == [Release(200)]
    assert subject.wakes_at == pytest.approx(1.35 + QUIET_S)
    subject.handle(stored(300, start=200, reported="r1"), 1.5)
    assert subject.handle(OffsetCommitted(300), 1.51) == [Release(300), Exit(0)]


def test_shutdown_waits_for_a_platform_that_was_sent_away() -> None:
    """It still has the batch, and comes back within a second or so."""
    subject = machine("interval")
    invoke(subject, 0.0)
    subject.handle(stored(100, start=0), 0.1)
    subject.handle(IntakeHeld(), 0.9)
    subject.handle(ShutdownRequested("spindown", 3.0), 1.0)
    assert subject.handle(OffsetCommitted(100), 1.1) == [Release(100)]
    assert subject.wakes_at == pytest.approx(3.0 - SHUTDOWN_MARGIN_S)
    subject.handle(stored(200, start=100), 1.9)
    subject.handle(OffsetCommitted(200), 2.0)
    assert Exit(0) in subject.handle(TimePassed(), 1.9 + QUIET_S)


def test_shutdown_has_what_the_shipper_still_owes_brought_to_an_end() -> None:
    """Spans of invocations that were never reported: a last order, for nothing else, and then the end."""
    subject = machine()
    invoke(subject, 1.0)
    subject.handle(stored(100, finished="r1"), 1.1)
    subject.handle(OffsetCommitted(100, owes=True), 1.2)
    subject.handle(ShutdownRequested("spindown", 4.0), 2.0)
    effects = subject.handle(TimePassed(), 2.0 + QUIET_S)
    assert [(e.since, e.until, e.is_final) for e in effects if isinstance(e, Ship)] == [(100, 100, True)]
    assert subject.wakes_at == pytest.approx(4.0 - SHUTDOWN_MARGIN_S + LAST_REPORT_S)
    assert Exit(0) in subject.handle(OffsetCommitted(100), 2.4)


def test_last_shipment_of_all_is_told_that_it_is() -> None:
    """Where something waits, that and what is owed are one shipment."""
    subject = machine()
    invoke(subject, 1.0)
    subject.handle(stored(100), 1.1)
    subject.handle(ShutdownRequested("spindown", 4.0), 2.0)
    subject.handle(ShipmentStalled("status_503"), 2.1)
    effects = subject.handle(TimePassed(), 2.0 + QUIET_S)
    assert [(e.since, e.until, e.is_final) for e in effects if isinstance(e, Ship)] == [(0, 100, True)]


def test_debt_that_cannot_be_paid_does_not_keep_it_from_ending() -> None:
    """The destination is down, or there is no shipper any more."""
    subject = machine()
    subject.handle(stored(100), 0.1)
    subject.handle(OffsetCommitted(100, owes=True), 0.2)
    subject.handle(ShutdownRequested("spindown", 4.0), 2.0)
    subject.handle(TimePassed(), 2.0 + QUIET_S)
    assert Exit(0) in subject.handle(ShipmentStalled("connect"), 2.5)


def test_shipment_that_waits_for_an_outcome_holds_nothing_and_opens_no_breaker() -> None:
    """It did what it could; the rest goes with what is yet to come."""
    subject = machine()
    for number in range(1, 9):
        invoke(subject, float(number), f"r{number}")
        subject.handle(stored(number * 100, finished=f"r{number}"), number + 0.1)
        effects = subject.handle(OffsetCommitted(number * 100 - 50, waits=True), number + 0.12)
        assert reasons_to_fetch(effects) == ["not_delivered"]
        assert ships(effects) == []
    assert not subject.policy.is_open
    assert subject.shipments.waiting_bytes == 50


def test_shutdown_with_a_dead_destination_ends_before_sigkill() -> None:
    """What could not be delivered stays counted as waiting."""
    subject = machine()
    invoke(subject, 0.0)
    subject.handle(stored(100, finished="r1", reported="r1"), 0.1)
    (ship,) = subject.handle(ShutdownRequested("timeout", 3.0), 1.0)
    assert isinstance(ship, Ship)
    assert ship.deadline == pytest.approx(3.0 - SHUTDOWN_MARGIN_S)
    assert subject.handle(ShipmentStalled("deadline"), 2.7) == [Exit(0)]


def test_shutdown_with_a_silent_shipper_ends_before_sigkill() -> None:
    """Not even a report is needed."""
    subject = machine()
    invoke(subject, 0.0)
    subject.handle(stored(100, finished="r1", reported="r1"), 0.1)
    subject.handle(ShutdownRequested("timeout", 3.0), 1.0)
    subject.handle(TimePassed(), 1.075)
    assert KillWorker("shipper") in subject.handle(TimePassed(), 1.575)
    assert subject.wakes_at == pytest.approx(2.7 + LAST_REPORT_S)
    assert Exit(0) in subject.handle(TimePassed(), 2.7 + LAST_REPORT_S)


def test_shipment_under_way_is_told_when_it_has_become_the_last() -> None:
    """It began while telemetry was collected: what it puts off is not put off any more, but given up and counted."""
    subject = machine("interval")
    invoke(subject, 0.0)
    subject.handle(stored(100, finished="r1", reported="r1"), 0.1)
    (ship,) = subject.handle(ShutdownRequested("spindown", 3.0), 1.0)
    assert isinstance(ship, Ship)
    assert not ship.is_final
    effects = subject.handle(TimePassed(), 1.075)
    assert [(e.since, e.until, e.is_final) for e in effects if isinstance(e, Ship)] == [(0, 100, True)]
    assert subject.handle(TimePassed(), 1.08) == []
    assert subject.handle(OffsetCommitted(100), 1.5) == [Release(100), Exit(0)]


def test_last_report_of_the_last_shipment_is_waited_for() -> None:
    """The shipper wakes at the same moment, and only then says what it delivered and what not."""
    subject = machine("interval")
    invoke(subject, 0.0)
    subject.handle(stored(100, finished="r1", reported="r1"), 0.1)
    subject.handle(ShutdownRequested("spindown", 3.0), 1.0)
    subject.handle(TimePassed(), 1.075)
    subject.handle(OffsetCommitted(50), 2.6)
    assert subject.wakes_at == pytest.approx(2.7 + LAST_REPORT_S)
    assert subject.handle(TimePassed(), 2.7) == []
    assert subject.handle(OffsetCommitted(100), 2.71) == [Release(100), Exit(0)]


def test_last_report_that_does_not_come_is_not_waited_for_longer() -> None:
    """The end comes before SIGKILL in any case."""
    subject = machine("interval")
    invoke(subject, 0.0)
    subject.handle(stored(100, finished="r1", reported="r1"), 0.1)
    subject.handle(ShutdownRequested("spindown", 3.0), 1.0)
    subject.handle(TimePassed(), 1.075)
    subject.handle(OffsetCommitted(50), 2.6)
    assert Exit(0) in subject.handle(TimePassed(), 2.7 + LAST_REPORT_S)


def breaker_open(subject: Machine) -> int:
    """Two holds end without delivery by moment 2; returns where the backlog ends."""
    for number in range(2):
        invoke(subject, float(number), f"r{number}")
        subject.handle(stored(100 * (number + 1), start=100 * number, finished=f"r{number}"), number + 0.1)
        subject.handle(ShipmentStalled("deadline"), number + 0.5)
    assert reasons_to_fetch(invoke(subject, 1.6, "r2")) == ["breaker_open"]
    return 200


def test_shutdown_with_the_breaker_open_makes_one_shipment_of_all() -> None:
    """A destination that takes 1.5 s has time for one request: it waits for the last report."""
    subject = machine()
    end = breaker_open(subject)
    assert subject.handle(ShutdownRequested("spindown", 4.0), 2.0) == []
    assert subject.handle(stored(end + 100, start=end, finished="r2"), 2.02) == []
    assert subject.handle(stored(end + 200, start=end + 100, reported="r2"), 2.04) == []
    (ship,) = subject.handle(TimePassed(), 2.075)
    assert isinstance(ship, Ship)
    assert (ship.since, ship.until, ship.deadline) == (0, end + 200, 4.0 - SHUTDOWN_MARGIN_S)
    assert subject.handle(OffsetCommitted(end + 200), 3.6) == [Release(end + 200), Exit(0)]


def test_shipment_from_before_shutdown_that_gets_nowhere_makes_way() -> None:
    """It may hang, or sit in a pause of seconds; it is ended, and all is shipped anew."""
    subject = machine("interval", interval_s=1.0)
    invoke(subject, 0.0, "r1")
    subject.handle(stored(100, start=0), 0.0)
    assert len(ships(subject.handle(TimePassed(), 1.0))) == 1
    subject.handle(stored(200, start=100, finished="r1", reported="r1"), 1.1)
    assert ships(subject.handle(ShutdownRequested("spindown", 7.0), 5.0)) == [(0, 200, "shutdown")]
    assert subject.wakes_at == pytest.approx(5.075)
    (cut,) = subject.handle(TimePassed(), 5.075)
    assert isinstance(cut, Ship)
    assert cut.deadline == 5.075
    assert subject.handle(ShipmentStalled("deadline", deadline=1.0 + UNHELD_SHIPMENT_S), 5.076) == []
    (anew,) = subject.handle(ShipmentStalled("deadline", deadline=5.075), 5.08)
    assert isinstance(anew, Ship)
    assert (anew.since, anew.until, anew.deadline) == (0, 200, 7.0 - SHUTDOWN_MARGIN_S)
    assert Exit(0) in subject.handle(OffsetCommitted(200), 5.1)


def test_shipper_that_does_not_even_make_way_at_shutdown_is_replaced() -> None:
    """It is stuck: its successor has the rest of the time, and ships all that waits."""
    subject = machine("interval", interval_s=1.0)
    invoke(subject, 0.0, "r1")
    subject.handle(stored(100, start=0), 0.0)
    subject.handle(TimePassed(), 1.0)
    subject.handle(stored(200, start=100, finished="r1", reported="r1"), 1.1)
    subject.handle(ShutdownRequested("spindown", 7.0), 5.0)
    subject.handle(TimePassed(), 5.075)
    assert subject.wakes_at == pytest.approx(5.575)
    assert subject.handle(TimePassed(), 5.575)[0] == KillWorker("shipper")
    replaced, *orders = subject.handle(WorkerExited("shipper"), 5.58)
    assert replaced == StartWorker("shipper")
    assert [(order.since, order.until, order.deadline) for order in orders if isinstance(order, Ship)] == [
        (0, 200, 7.0 - SHUTDOWN_MARGIN_S)
    ]
    assert Exit(0) in subject.handle(OffsetCommitted(200), 5.8)


def test_shipment_from_before_shutdown_that_gets_somewhere_goes_on() -> None:
    """Its answer was in the socket when the environment thawed."""
    subject = machine("interval", interval_s=1.0)
    invoke(subject, 0.0, "r1")
    subject.handle(stored(100, start=0), 0.0)
    subject.handle(TimePassed(), 1.0)
    subject.handle(stored(200, start=100, finished="r1", reported="r1"), 1.1)
    assert ships(subject.handle(ShutdownRequested("spindown", 7.0), 5.0)) == [(0, 200, "shutdown")]
    assert subject.handle(OffsetCommitted(100), 5.01) == [Release(100)]
    assert subject.handle(TimePassed(), 5.05) == []
    assert Exit(0) in subject.handle(OffsetCommitted(200), 5.1)


def test_stall_that_crossed_an_order_ends_nothing() -> None:
    """The shipper goes on with the order; the invocation waits for that one."""
    subject = machine("end", interval_s=1.0)
    invoke(subject, 0.0, "r1")
    subject.handle(stored(100, start=0), 0.0)
    (alongside,) = subject.handle(TimePassed(), 1.0)
    assert isinstance(alongside, Ship)
    (held,) = subject.handle(stored(200, start=100, finished="r1"), 1.1)
    assert isinstance(held, Ship)
    assert subject.handle(ShipmentStalled("status_503", deadline=alongside.deadline), 1.11) == []
    effects = subject.handle(ShipmentStalled("status_503", deadline=held.deadline), 1.5)
    assert reasons_to_fetch(effects) == ["not_delivered"]


def test_retry_after_is_kept_by_the_next_invocations() -> None:
    """Nobody is held, and nothing is sent, before the moment that the destination named."""
    subject = machine()
    invoke(subject, 0.0, "r1")
    subject.handle(stored(100, finished="r1"), 0.1)
    effects = subject.handle(ShipmentStalled("status_429", retry_after_s=3.0), 0.2)
    assert reasons_to_fetch(effects) == ["not_delivered"]
    assert reasons_to_fetch(invoke(subject, 1.0, "r2")) == ["asked_to_wait"]
    assert subject.handle(stored(4000, start=100, finished="r2"), 1.1) == []
    assert invoke(subject, 3.3, "r3") == []
    assert ships(subject.handle(stored(4100, start=4000, finished="r3"), 3.4)) == [(0, 4100, "invocation_finished")]


def test_shutdown_while_holding_is_what_a_signal_means() -> None:
    """SIGTERM comes at any time."""
    subject = machine()
    invoke(subject, 0.0)
    subject.handle(stored(100), 0.1)
    assert ships(subject.handle(ShutdownRequested("sigterm", 2.2), 0.2)) == [(0, 100, "shutdown")]


def test_dead_worker_is_replaced_at_once_and_the_shipment_repeated() -> None:
    """The new shipper is told where to go on."""
    subject = machine()
    invoke(subject, 0.0)
    subject.handle(stored(100, finished="r1"), 0.1)
    effects = subject.handle(WorkerExited("shipper"), 0.2)
    assert StartWorker("shipper") in effects
    assert ships(effects) == [(0, 100, "invocation_finished")]


def test_dead_collector_starts_the_clock_of_a_hold() -> None:
    """The runtimeDone may be lost with it; the function may have returned."""
    subject = machine(budget_s=0.5)
    invoke(subject, 0.0)
    assert subject.handle(WorkerExited("collector"), 1.0) == [StartWorker("collector")]
    assert subject.wakes_at == pytest.approx(1.475)
    assert reasons_to_fetch(subject.handle(TimePassed(), 1.475)) == ["end_not_told"]


def test_collector_that_dies_again_gives_the_hold_its_clock_from_the_beginning() -> None:
    """It was not there to hear of the end, which may have come at once."""
    subject = machine(budget_s=0.5)
    invoke(subject, 0.0)
    subject.handle(WorkerExited("collector"), 0.2)
    subject.handle(WorkerExited("collector"), 0.4)
    assert subject.wakes_at == pytest.approx(0.5)
    assert reasons_to_fetch(subject.handle(TimePassed(), 0.5)) == ["end_not_told"]


def test_workers_that_keep_dying_are_given_up_and_the_function_goes_on() -> None:
    """It goes quiet, says so once, and keeps asking for the next event."""
    subject = machine()
    orders: list[Effect] = []
    now = 0.0
    for _ in range(MOST_DEATHS):
        orders += subject.handle(WorkerExited("collector"), now)
        now = subject.wakes_at or now
        orders += subject.handle(TimePassed(), now)
    assert orders.count(GoQuiet()) == 1
    assert reasons_to_fetch(invoke(subject, now + 1)) == ["workers_keep_dying"]
    assert subject.handle(ShutdownRequested("spindown", now + 3), now + 2) == [Exit(0)]


def test_shipper_that_is_killed_while_it_has_nothing_to_do_is_always_replaced() -> None:
    """With the breaker open it delivers nothing for a minute, which is not its fault."""
    subject = machine()
    for number in range(3 * MOST_DEATHS):
        assert subject.handle(WorkerExited("shipper"), float(number)) == [StartWorker("shipper")]


def test_shipper_that_dies_before_it_is_ready_is_given_up() -> None:
    """It may lack a module; nothing is started after that."""
    subject = machine()
    now, orders = 0.0, []
    while GoQuiet() not in orders:
        orders = subject.handle(WorkerExited("shipper", was_ready=False), now)
        now = subject.wakes_at or now
        subject.handle(TimePassed(), now)
    subject.handle(WorkerExited("collector"), now)
    assert subject.wakes_at is None


def test_shipper_that_ignores_its_deadline_is_replaced() -> None:
    """It may hang in a name server's hands."""
    subject = machine()
    invoke(subject, 0.0)
    subject.handle(stored(100, finished="r1"), 1.0)
    subject.handle(TimePassed(), 1.475)
    assert KillWorker("shipper") not in subject.handle(TimePassed(), 3.4)
    assert KillWorker("shipper") in subject.handle(TimePassed(), 3.5)


def test_refused_next_is_asked_again_with_pauses() -> None:
    """At once, then after longer and longer pauses; never in a tight loop."""
    subject = machine()
    assert reasons_to_fetch(subject.handle(NextFailed(500), 0.0)) == ["asked_again"]
    pauses = []
    now = 0.0
    for _ in range(5):
        assert subject.handle(NextFailed(403), now) == []
        assert subject.wakes_at is not None
        pauses.append(round(subject.wakes_at - now, 3))
        now = subject.wakes_at
        assert reasons_to_fetch(subject.handle(TimePassed(), now)) == ["asked_again"]
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6]


def test_answered_next_ends_the_pauses() -> None:
    """The next refusal is again repeated at once."""
    subject = machine("interval")
    subject.handle(NextFailed(500), 0.0)
    invoke(subject, 1.0)
    assert reasons_to_fetch(subject.handle(NextFailed(500), 2.0)) == ["asked_again"]


def test_platform_that_is_gone_ends_the_extension() -> None:
    """Nobody takes a connection: there is nobody left to serve."""
    subject = machine()
    now = 0.0
    for _ in range(MOST_UNCONNECTED):
        subject.handle(NextFailed(0), now)
        now = max(now, subject.wakes_at or now)
        subject.handle(TimePassed(), now)
    subject.handle(NextFailed(0), now)
    assert subject.state is State.DRAINING
    assert subject.handle(TimePassed(), now + QUIET_S) == [Exit(1)]


def test_managed_instance_ships_by_the_interval_without_invocations() -> None:
    """There are no INVOKE events and no freeze."""
    subject = machine(freezes=False, interval_s=10.0)
    subject.handle(stored(100), 1.0)
    assert subject.wakes_at == pytest.approx(11.0)
    (ship,) = subject.handle(TimePassed(), 11.0)
    assert ship == Ship(0, 0, 100, 11.0 + UNHELD_SHIPMENT_S, "interval_passed")


def test_frozen_environment_ships_nothing_between_invocations() -> None:
    """After the function's end there is no time of ours."""
    subject = machine("interval", interval_s=1.0)
    invoke(subject, 0.0)
    subject.handle(stored(100, finished="r1"), 0.1)
    assert subject.wakes_at is None


EVENTS: tuple[Event, ...] = (
    Invoked("r1", 100.0),
    ShutdownRequested("spindown", 100.0),
    NextFailed(500),
    stored(100),
    IntakeHeld(),
    OffsetCommitted(0),
    ShipmentStalled("deadline"),
    WorkerExited("collector"),
    WorkerExited("shipper"),
    TimePassed(),
)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_state_allows_an_event_or_refuses_it_unchanged(state: State, event: Event) -> None:
    """The table is total; an illegal event changes nothing."""
    subject = machine()
    invoke(subject, 0.0)
    subject.state = state
    before = _facts(subject)
    if isinstance(event, LEGAL_EVENTS[state]):
        subject.handle(event, 1.0)
    else:
        with pytest.raises(IllegalEventError, match=state.value):
            subject.handle(event, 1.0)
        assert _facts(subject) == before


def _facts(subject: Machine) -> dict[str, Any]:
    return {name: repr(value) for name, value in vars(subject).items()}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["invoke", "store", "finish", "commit", "stall", "kill", "kill_shipper", "refuse", "time"]),
            st.floats(0, 3),
        ),
        max_size=60,
    ),
    st.sampled_from(["adaptive", "end", "interval"]),
)
def test_whatever_happens_the_next_event_is_asked_for_and_never_twice(  # noqa: C901 - a story has many turns
    story: list[tuple[str, float]], mode: str
) -> None:
    """An invocation is never held past its deadline; /next is out exactly while the machine waits for it."""
    subject = machine(mode, interval_s=2.0)
    now, is_out, running, deadline = 0.0, True, 0, 0.0

    def tell(event: Event) -> None:
        nonlocal is_out
        for effect in subject.handle(event, now):
            if isinstance(effect, FetchNext):
                assert not is_out
                is_out = True
        assert is_out == (subject.state is State.WAITING)

    for what, pause_s in story:
        until = now + pause_s
        while subject.wakes_at is not None and subject.wakes_at <= until:
            now = max(now, subject.wakes_at)
            tell(TimePassed())
            assert subject.wakes_at is None or subject.wakes_at > now
        now = until
        end = subject.shipments.end
        match what:
            case "invoke" if is_out:
                running += 1
                is_out, deadline = False, now + 3.0
                tell(Invoked(f"r{running}", deadline))
            case "store":
                tell(stored(end + 200, start=end))
            case "finish":
                tell(stored(end + 200, start=end, finished=f"r{running}"))
            case "commit" if subject.shipments.current:
                tell(OffsetCommitted(subject.shipments.current.until))
            case "stall" if subject.shipments.current:
                tell(ShipmentStalled("deadline"))
            case "kill" | "kill_shipper":
                tell(WorkerExited("shipper" if what == "kill_shipper" else "collector"))
            case "refuse" if is_out:
                is_out = False
                tell(NextFailed(500))
        if running and subject.state in (State.HOLDING, State.OVERLAPPING):
            assert now < deadline
