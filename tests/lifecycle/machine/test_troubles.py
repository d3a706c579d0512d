"""The machine in trouble: backlogs that fill, workers that die, news that come late or never."""

from itertools import chain

import pytest

from lifecycle.machine.backoff import MOST_UNCONNECTED
from lifecycle.machine.commands import Command, FetchNext, KillWorker, Ping, Release, StartWorker, WarnOfDeaths
from lifecycle.machine.events import (
    BatchStored,
    IntakeHeld,
    NextFailed,
    OffsetCommitted,
    RedactionFailed,
    ShipmentStalled,
    ShutdownRequested,
    TimePassed,
    UnknownEventReceived,
    WorkerAnswered,
    WorkerExited,
    WorkerReady,
)
from lifecycle.machine.machine import (
    ANSWERS_WITHIN_S,
    ASKED_EVERY_S,
    LONGEST_SILENCE_S,
    STORED_WITHIN_S,
    Machine,
    State,
)
from lifecycle.machine.restarts import DEATHS_TO_FAIL, IMMEDIATE, LONGEST_PAUSE_S
from lifecycle.machine.shutdown import QUIET_S
from tests.lifecycle.machine.conversation import CAPACITY, invoke, machine, pass_time, reasons_to_fetch, ships, stored


def test_backlog_that_fills_and_gets_nowhere_holds_nobody() -> None:
    """The platform, sent away, cannot tell that the function has finished: the invocation goes after one budget."""
    subject = machine("end", budget_s=0.5)
    invoke(subject, 0.0)
    assert ships(subject.handle(stored(CAPACITY - 100, start=0), 1.0)) == [(0, CAPACITY - 100, "backlog_fills")]
    subject.handle(IntakeHeld(), 1.2)
    assert subject.wakes_at == pytest.approx(1.5)
    assert reasons_to_fetch(subject.handle(TimePassed(), 1.5)) == ["backlog_jammed"]
    assert reasons_to_fetch(invoke(subject, 3.0, "r2")) == ["backlog_jammed"]


def test_backlog_that_fills_and_gets_somewhere_goes_on_holding() -> None:
    """A function that logs much is not a fault."""
    subject = machine("end", budget_s=0.5)
    invoke(subject, 0.0)
    subject.handle(stored(CAPACITY - 100, start=0), 1.0)
    subject.handle(OffsetCommitted(1000), 1.4)
    assert reasons_to_fetch(subject.handle(TimePassed(), 1.5)) == []
    assert subject.wakes_at == pytest.approx(1.9)


def test_breaker_that_opens_during_a_hold_ends_it() -> None:
    """Nothing would be delivered at its end."""
    subject = machine("end", interval_s=0.1)
    invoke(subject, 0.0)
    subject.handle(stored(100), 0.1)
    assert ships(subject.handle(TimePassed(), 0.2)) == [(0, 100, "interval_passed")]
    subject.handle(ShipmentStalled("status_503"), 0.3)
    assert ships(subject.handle(TimePassed(), 0.4)) == [(0, 100, "interval_passed")]
    assert reasons_to_fetch(subject.handle(ShipmentStalled("status_503"), 0.5)) == ["breaker_open"]


def test_nothing_is_held_where_nothing_may_leave() -> None:
    """Neither what is held already nor what follows; what is there is ordered out at once, so that it is dropped."""
    subject = machine("end")
    invoke(subject, 0.0)
    assert reasons_to_fetch(subject.handle(RedactionFailed(), 0.1)) == ["unredactable"]
    assert ships(subject.handle(stored(100), 0.2)) == [(0, 100, "interval_passed")]
    subject.handle(OffsetCommitted(100), 0.21)
    assert ships(subject.handle(stored(200, start=100), 0.3)) == [(100, 200, "interval_passed")]
    subject.handle(OffsetCommitted(200), 0.31)
    subject.handle(stored(300, start=200, finished="r1"), 0.4)
    commands = invoke(subject, 1.0, "r2")
    assert (reasons_to_fetch(commands), ships(commands)) == (["unredactable"], [(200, 300, "unredactable")])
    assert reasons_to_fetch(invoke(subject, 1.1, "r3")) == ["unredactable"]


def test_one_failure_early_in_an_invocation_does_not_spoil_its_end() -> None:
    """The destination recovered meanwhile: the end is delivered as ever."""
    subject = machine("end", interval_s=0.1)
    invoke(subject, 0.0)
    subject.handle(stored(100), 0.1)
    subject.handle(TimePassed(), 0.2)
    subject.handle(ShipmentStalled("unauthorised"), 0.25)
    assert ships(subject.handle(TimePassed(), 0.35)) == [(0, 100, "interval_passed")]
    subject.handle(OffsetCommitted(100), 0.36)
    assert ships(subject.handle(stored(200, start=100, finished="r1"), 0.4)) == [(100, 200, "invocation_finished")]


def test_shipper_that_dies_of_what_it_ships_opens_the_breaker() -> None:
    """And holds nobody, however much the collector gets done meanwhile."""
    subject = machine("end")
    commands: list[Command] = []
    now = 0.0
    for number in range(DEATHS_TO_FAIL):
        now += 100.0
        invoke(subject, now, f"r{number}")
        subject.handle(stored(100 * (number + 1), finished=f"r{number}"), now + 0.1)
        commands += subject.handle(WorkerExited("shipper"), now + 0.2)
        commands += subject.handle(TimePassed(), now + 5.0)
    assert subject.routes[0].policy.is_open
    assert commands.count(StartWorker("shipper")) == DEATHS_TO_FAIL
    assert commands.count(WarnOfDeaths("shipper")) == 1
    assert reasons_to_fetch(invoke(subject, now + 6.0)) == ["shipper_missing"]


def test_stale_timer_of_a_frozen_invocation_ships_nothing() -> None:
    """It was due while nothing ran; the invocation to come decides anew."""
    subject = machine("interval", interval_s=1.0)
    invoke(subject, 0.0, "r1")
    subject.handle(stored(100), 0.1)
    assert subject.wakes_at == pytest.approx(1.1)
    assert subject.handle(TimePassed(), 60.0) == []
    assert subject.wakes_at is None
    assert ships(invoke(subject, 60.01, "r2")) == [(0, 100, "interval_passed")]


def test_collector_that_is_stuck_costs_an_invocation_no_more_than_a_budget() -> None:
    """Not even the invocation's start was stored: it is asked, and nothing of it is waited for any longer."""
    subject = machine("end", budget_s=0.5)
    subject.handle(WorkerReady("collector"), 9.0)
    invoke(subject, 10.0, timeout_s=10.0)
    asked_at = 10.0 + 0.025 + STORED_WITHIN_S
    assert subject.wakes_at == pytest.approx(asked_at)
    assert subject.handle(TimePassed(), asked_at) == [Ping("collector")]
    (fetch,) = pass_time(subject, 12.0)
    assert isinstance(fetch, FetchNext)
    assert fetch.reason == "end_not_told"
    assert fetch.held_s == pytest.approx(0.5)


def test_collector_is_taken_for_stuck_once_it_was_silent_for_long() -> None:
    """With a small share of a processor it may only be slow, and a successor would be no faster."""
    subject = machine("end", budget_s=0.5)
    subject.handle(WorkerReady("collector"), 9.0)
    invoke(subject, 10.0, timeout_s=10.0)
    silent_since = 10.0 + 0.025 + STORED_WITHIN_S + ANSWERS_WITHIN_S
    assert KillWorker("collector") not in pass_time(subject, silent_since + LONGEST_SILENCE_S - 0.01)
    assert KillWorker("collector") in pass_time(subject, silent_since + LONGEST_SILENCE_S + 0.01)
    assert subject.handle(WorkerExited("collector"), 13.0) == [StartWorker("collector")]


def test_collector_that_answers_late_is_not_replaced() -> None:
    """It is there."""
    subject = machine("end", budget_s=0.5)
    subject.handle(WorkerReady("collector"), 9.0)
    invoke(subject, 10.0, timeout_s=10.0)
    pass_time(subject, 11.0)
    subject.handle(WorkerAnswered("collector"), 11.0)
    assert KillWorker("collector") not in pass_time(subject, 20.0)


def test_successor_of_a_stuck_collector_may_still_tell_the_end() -> None:
    """The platform sends again what its predecessor did not take."""
    subject = machine("end")
    subject.handle(WorkerReady("collector"), 9.0)
    invoke(subject, 10.0, timeout_s=10.0)
    pass_time(subject, 10.23)
    subject.handle(WorkerExited("collector"), 10.24)
    subject.handle(WorkerReady("collector"), 10.3)
    (ship,) = subject.handle(BatchStored(0, 100, ("r1",), (), 0.2), 10.35)
    assert ships([ship]) == [(0, 100, "invocation_finished")]
    (_, fetch) = subject.handle(OffsetCommitted(100), 10.37)
    assert isinstance(fetch, FetchNext)
    assert fetch.reason == "delivered"
    assert fetch.held_s == pytest.approx(0.22)


def test_collector_that_answers_is_left_alone_though_the_platform_delivers_nothing() -> None:
    """It is idle, not stuck; and it is asked once in an invocation."""
    subject = machine("end")
    subject.handle(WorkerReady("collector"), 9.0)
    invoke(subject, 10.0, timeout_s=3.0)
    assert pass_time(subject, 10.08) == [Ping("collector")]
    subject.handle(WorkerAnswered("collector"), 10.081)
    assert reasons_to_fetch(pass_time(subject, 13.0)) == ["end_not_told"]


def test_collector_that_gets_stuck_after_it_stored_something_is_noticed() -> None:
    """While the end is waited for it is asked whenever nothing was heard of it for a while."""
    subject = machine("end", budget_s=0.5)
    subject.handle(WorkerReady("collector"), 9.0)
    invoke(subject, 10.0, timeout_s=10.0)
    subject.handle(stored(100), 11.0)
    assert pass_time(subject, 11.0 + ASKED_EVERY_S - 0.01) == []
    assert pass_time(subject, 11.0 + ASKED_EVERY_S + 0.01) == [Ping("collector")]
    subject.handle(WorkerAnswered("collector"), 11.3)
    assert pass_time(subject, 11.3 + ASKED_EVERY_S + 0.01) == [Ping("collector")]
    assert reasons_to_fetch(pass_time(subject, 11.3 + ASKED_EVERY_S + ANSWERS_WITHIN_S + 0.02)) == ["end_not_told"]


def test_collector_that_is_loading_is_not_asked() -> None:
    """On a small share of a processor that takes its time; from then on it owes what any other does."""
    subject = machine("end")
    invoke(subject, 10.0, timeout_s=3.0)
    assert pass_time(subject, 11.0) == []
    subject.handle(WorkerReady("collector"), 11.0)
    assert subject.wakes_at == pytest.approx(11.0 + 0.025 + STORED_WITHIN_S)


def test_worker_that_was_frozen_is_not_stuck() -> None:
    """It had no time to answer, nor to end its shipment: only time awake counts."""
    subject = machine("interval", interval_s=1.0)
    subject.handle(WorkerReady("collector"), 0.0)
    invoke(subject, 10.0, timeout_s=900.0)
    assert pass_time(subject, 10.08) == [Ping("collector")]
    subject.handle(TimePassed(), 100.0)
    subject.handle(stored(100, start=0), 100.01)
    assert ships(pass_time(subject, 101.01)) == [(0, 100, "interval_passed")]
    subject.handle(stored(200, start=100, finished="r1"), 101.1)
    assert KillWorker("shipper") not in subject.handle(TimePassed(), 1000.0)
    assert KillWorker("shipper") not in invoke(subject, 1000.01, "r2")
    assert subject.handle(OffsetCommitted(100), 1000.02)[0] == Release(100)


def test_shipper_that_is_late_is_given_its_time_awake_over_many_freezes() -> None:
    """Each adds a tick at most."""
    subject = machine("interval", interval_s=1.0)
    invoke(subject, 0.0, timeout_s=60.0)
    subject.handle(stored(100, start=0), 0.01)
    assert len(ships(pass_time(subject, 1.1))) == 1
    commands: list[Command] = []
    for number in range(1, 13):
        commands += subject.handle(TimePassed(), 100.0 * number)
    assert KillWorker("shipper") not in commands
    assert KillWorker("shipper") not in pass_time(subject, 1209.0)
    assert KillWorker("shipper") in pass_time(subject, 1212.0)


@pytest.mark.parametrize(("says", "invocations"), [("nothing", 3), ("got somewhere", 3), ("answers", 12)])
def test_shipper_that_is_stuck_does_not_hold_one_short_invocation_after_the_other(says: str, invocations: int) -> None:
    """Each orders a shipment anew, before the one before counts as late. What it said before says nothing of now."""
    subject = machine("end")
    subject.handle(WorkerReady("shipper"), 1.0)
    held, now, commands = 0, 10.0, list[Command]()
    while held < 12 and KillWorker("shipper") not in commands:
        held += 1
        commands += invoke(subject, now, f"r{held}")
        commands += subject.handle(stored(100 * held, finished=f"r{held}"), now + 0.01)
        if says == "got somewhere" and held == 1:
            commands += subject.handle(OffsetCommitted(50), now + 0.02)
        if says == "answers" and Ping("shipper") in commands:
            commands.remove(Ping("shipper"))
            commands += subject.handle(WorkerAnswered("shipper"), now + 0.02)
        commands += pass_time(subject, now + 0.5)
        assert subject.state is State.WAITING
        now += 0.55
    assert held == invocations


def test_shipper_that_is_loading_is_not_asked_whether_it_is_there() -> None:
    """On a small share of a processor that takes longer than an answer may."""
    subject = machine("end")
    now, commands = 10.0, list[Command]()
    for number in range(1, 5):
        commands += invoke(subject, now, f"r{number}")
        commands += subject.handle(stored(100 * number, finished=f"r{number}"), now + 0.01)
        commands += pass_time(subject, now + 0.52)
        now += 0.55
    assert Ping("shipper") not in commands
    assert KillWorker("shipper") not in commands


def test_collector_that_was_heard_is_left_alone() -> None:
    """A runtimeDone that is lost is the platform's."""
    subject = machine("end")
    invoke(subject, 10.0, timeout_s=3.0)
    subject.handle(stored(100), 10.5)
    assert KillWorker("collector") not in subject.handle(TimePassed(), 12.75)


def test_shipment_alongside_a_held_invocation_ends_before_the_hold() -> None:
    """/next is not asked with an export in flight."""
    subject = machine("end", interval_s=1.0)
    invoke(subject, 0.0, timeout_s=3.0)
    subject.handle(stored(100), 0.1)
    (ship,) = subject.handle(TimePassed(), 1.1)
    assert getattr(ship, "deadline", None) == pytest.approx(2.75 - 0.02)


def test_nothing_unplanned_is_shipped_while_the_environment_may_be_frozen() -> None:
    """Also when much waits."""
    subject = machine("interval")
    invoke(subject, 0.0)
    subject.handle(stored(100, start=0, finished="r1"), 0.1)
    assert subject.handle(stored(CAPACITY - 100, start=100), 0.2) == []
    assert ships(invoke(subject, 5.0, "r2")) == [(0, CAPACITY - 100, "backlog_fills")]


def test_unknown_events_are_asked_past_without_a_pause() -> None:
    """They were answered: there is nothing to wait for."""
    subject = machine()
    for _ in range(50):
        assert reasons_to_fetch(subject.handle(UnknownEventReceived(), 1.0)) == ["unknown_event"]
    assert subject.state is State.WAITING


def test_refusals_are_no_sign_that_the_platform_is_gone() -> None:
    """Only connections that nobody takes are, in a row."""
    subject = machine()
    now = 0.0
    for status in [500] * 3 * MOST_UNCONNECTED + [0]:
        subject.handle(NextFailed(status), now)
        now = max(now, subject.wakes_at or now)
        subject.handle(TimePassed(), now)
        assert subject.state is State.WAITING


def test_dead_worker_is_replaced_at_once_and_the_shipment_repeated() -> None:
    """The new shipper goes on where the old one was."""
    subject = machine()
    invoke(subject, 0.0)
    subject.handle(stored(100, finished="r1"), 0.1)
    commands = subject.handle(WorkerExited("shipper"), 0.2)
    assert StartWorker("shipper") in commands
    assert ships(commands) == [(0, 100, "invocation_finished")]


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


def dying(subject: Machine, worker: str, deaths: int) -> float:
    """`worker` dies so often, each time as soon as it is started; returns the moment of its last death."""
    now = 0.0
    for number in range(deaths):
        commands = subject.handle(WorkerExited(worker, was_ready=False), now)
        assert (WarnOfDeaths(worker) in commands) == (number + 1 == DEATHS_TO_FAIL)
        if number + 1 < deaths:
            while StartWorker(worker) not in commands:
                assert subject.wakes_at is not None
                now = subject.wakes_at
                commands = subject.handle(TimePassed(), now)
    return now


@pytest.mark.parametrize("worker", ["collector", "shipper"])
def test_worker_that_keeps_dying_is_said_once_and_tried_again_for_ever(worker: str) -> None:
    """No invocation is held for it; the pauses end at a minute, and what it lacked may be there again after an hour."""
    subject = machine()
    now = dying(subject, worker, 50)
    assert subject.wakes_at == pytest.approx(now + LONGEST_PAUSE_S)
    assert reasons_to_fetch(invoke(subject, now + 1)) == [f"{worker}_missing"]
    assert StartWorker(worker) in subject.handle(TimePassed(), now + LONGEST_PAUSE_S)


def test_worker_that_works_again_is_waited_for_again() -> None:
    """Its deaths are forgotten with the first thing it gets done."""
    subject = machine()
    now = dying(subject, "shipper", 20) + LONGEST_PAUSE_S
    subject.handle(stored(100, start=0), now - 20)
    (start, ship) = subject.handle(TimePassed(), now)
    assert (start, ships([ship])) == (StartWorker("shipper"), [(0, 100, "interval_passed")])
    subject.handle(OffsetCommitted(100), now + 0.1)
    assert invoke(subject, now + 1) == []
    assert subject.state is State.HOLDING


def test_worker_that_keeps_dying_is_tried_once_more_at_shutdown() -> None:
    """There is no later; what waits is shipped if it lives."""
    subject = machine()
    now = dying(subject, "shipper", 20)
    subject.handle(stored(100, start=0), now)
    commands = subject.handle(ShutdownRequested("spindown", now + 2), now)
    assert StartWorker("shipper") in commands
    commands += subject.handle(TimePassed(), now + QUIET_S)
    assert [(since, until) for since, until, _ in ships(commands)][-1] == (0, 100)


def test_hold_does_not_wait_for_a_worker_that_is_not_back_in_time() -> None:
    """The pause is longer than the hold."""
    subject = machine(budget_s=0.02)
    invoke(subject, 0.0)
    commands: list[Command] = []
    for _ in range(IMMEDIATE + 1):
        commands += subject.handle(WorkerExited("shipper", was_ready=False), 1.0)
    assert reasons_to_fetch(commands) == []
    assert reasons_to_fetch(subject.handle(stored(100, finished="r1"), 1.0)) == ["shipper_missing"]


def test_room_is_told_only_to_a_collector_that_is_there() -> None:
    """Its successor is told when it is started."""
    subject = machine()
    subject.handle(stored(100, start=0), 0.0)
    for _ in range(IMMEDIATE + 1):
        subject.handle(WorkerExited("collector"), 1.0)
    assert subject.handle(OffsetCommitted(50), 1.01) == []
    assert subject.handle(TimePassed(), 1.1) == [StartWorker("collector")]
    assert subject.handle(OffsetCommitted(60), 1.2) == [Release(60)]


def test_shipper_that_is_killed_while_it_has_nothing_to_do_is_always_replaced() -> None:
    """With the breaker open it delivers nothing for a minute, which is not its fault."""
    subject = machine()
    for number in range(3 * DEATHS_TO_FAIL):
        assert subject.handle(WorkerExited("shipper"), 1.0 + number) == [StartWorker("shipper")]


def test_shipper_that_ignores_its_deadline_is_replaced() -> None:
    """It may hang in a name server's hands."""
    subject = machine()
    invoke(subject, 0.0)
    subject.handle(stored(100, finished="r1"), 1.0)
    assert KillWorker("shipper") not in pass_time(subject, 3.4)
    assert KillWorker("shipper") in pass_time(subject, 3.5)


def test_shipper_that_is_stuck_costs_two_holds_at_most() -> None:
    """It is asked as soon as it is late; the shipments that are ordered meanwhile do not put that off."""
    subject = machine()
    subject.handle(WorkerReady("shipper"), 0.0)
    invoke(subject, 1.0, "r1")
    assert len(ships(subject.handle(stored(100, finished="r1"), 1.01))) == 1
    assert reasons_to_fetch(pass_time(subject, 1.5)) == ["budget_spent"]
    assert Ping("shipper") in subject.handle(TimePassed(), 60.0)
    invoke(subject, 60.0, "r2")
    (ship,) = subject.handle(stored(200, start=100, finished="r2"), 60.01)
    assert ships([ship]) == [(0, 200, "invocation_finished")]
    commands = pass_time(subject, 60.49)
    assert reasons_to_fetch(commands) == ["budget_spent"]
    assert KillWorker("shipper") in pass_time(subject, 60.6)
    commands = subject.handle(WorkerExited("shipper"), 60.61)
    assert commands[0] == StartWorker("shipper")


def test_shipper_that_is_late_and_there_goes_on() -> None:
    """Its answer lies in the socket."""
    subject = machine()
    subject.handle(WorkerReady("shipper"), 0.0)
    invoke(subject, 1.0, "r1")
    subject.handle(stored(100, finished="r1"), 1.01)
    pass_time(subject, 1.5)
    assert Ping("shipper") in subject.handle(TimePassed(), 60.0)
    subject.handle(WorkerAnswered("shipper"), 60.001)
    assert pass_time(subject, 61.0) == []
    assert subject.handle(OffsetCommitted(100), 61.0) == [Release(100)]


def test_hold_whose_end_is_not_told_counts_from_when_the_function_was_last_heard_of() -> None:
    """It may have returned then: what it was held for is in the ledger rather than nothing."""
    subject = machine("end")
    invoke(subject, 0.0, timeout_s=3.0)
    subject.handle(stored(100), 0.5)
    (fetch,) = (command for command in pass_time(subject, 3.0) if isinstance(command, FetchNext))
    assert fetch.reason == "end_not_told"
    assert fetch.held_s == pytest.approx(2.75 - 0.475)


def test_hold_that_ended_before_its_end_was_told_is_counted_exactly_when_it_is() -> None:
    """A collector that keeps dying cannot tell it; the platform sends it again with the next invocation."""
    subject = machine("end")
    invoke(subject, 10.0, "r1")
    commands = [*chain.from_iterable(subject.handle(WorkerExited("collector"), 10.3) for _ in range(7))]
    assert reasons_to_fetch(commands) == ["collector_missing"]
    assert subject.held_s == pytest.approx(0.3)  # should nobody ever tell, it may have returned at once
    pass_time(subject, 20.0)
    invoke(subject, 20.0, "r2")
    subject.handle(BatchStored(0, 100, ("r1",), (), 20.05 - 10.06), 20.05)
    assert subject.held_s == pytest.approx(10.3 - 10.06)


def test_of_two_that_were_let_go_both_are_counted_once_they_are_told() -> None:
    """A collector that dies again and again keeps the ends of both from us."""
    subject = machine("end")
    for request_id, began in (("r1", 10.0), ("r2", 20.0)):
        invoke(subject, began, request_id)
        for _ in range(7):
            subject.handle(WorkerExited("collector"), began + 0.3)
        pass_time(subject, began + 9.0)
        subject.handle(stored(100), began + 9.0)  # the successor gets something done
    assert subject.held_s == pytest.approx(0.3 + 0.3)
    invoke(subject, 30.0, "r3")
    subject.handle(BatchStored(100, 200, ("r1",), (), 30.05 - 10.1), 30.05)
    subject.handle(BatchStored(200, 300, ("r2",), (), 30.05 - 20.2), 30.05)
    assert subject.held_s == pytest.approx(0.2 + 0.1)


def told_late(age_s: float | None, *finished: str) -> float:
    """What is counted of an invocation, let go after 0.3 s, once an end of so long ago is told with the next."""
    subject = machine("end")
    invoke(subject, 10.0, "r1")
    for _ in range(7):
        subject.handle(WorkerExited("collector"), 10.3)
    pass_time(subject, 20.0)
    invoke(subject, 20.0, "r2")
    subject.handle(BatchStored(0, 100, finished, (), age_s), 20.05)
    return subject.held_s


@pytest.mark.parametrize("age_s", [5.0, 20.05 - 10.4])
def test_end_that_is_told_late_and_lies_after_the_hold_counts_nothing(age_s: float) -> None:
    """The function went on running."""
    assert told_late(age_s, "r1") == pytest.approx(0.0)


@pytest.mark.parametrize("age_s", [None, -1.0, 20.05 - 9.9])
def test_end_that_is_told_late_and_cannot_be_leaves_what_was_counted(age_s: float | None) -> None:
    """The clock on the wall jumped."""
    assert told_late(age_s, "r1") == pytest.approx(0.3)


def test_end_of_another_in_the_same_batch_makes_no_hold_shorter() -> None:
    """The age that a batch has is that of the last end in it."""
    assert told_late(0.02, "r1", "r2") == pytest.approx(0.3)
    assert told_late(20.05 - 10.1, "r0", "r1") == pytest.approx(0.2)


def test_end_that_is_told_late_takes_back_what_was_counted_too_much() -> None:
    """A hold to the deadline was counted from when the function was last heard of."""
    subject = machine("end")
    invoke(subject, 10.0, "r1", timeout_s=3.0)
    subject.handle(stored(100), 10.5)
    pass_time(subject, 13.0)
    assert subject.held_s == pytest.approx(2.75 - 0.475)
    invoke(subject, 20.0, "r2")
    subject.handle(BatchStored(100, 200, ("r1",), (), 20.05 - 10.6), 20.05)
    assert subject.held_s == pytest.approx(2.75 - 0.6)
