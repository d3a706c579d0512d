"""The machine from SHUTDOWN to its exit: what it waits for, what it ships last, and that it ends."""

import pytest

from lifecycle.contract.wire import CRASHED
from lifecycle.machine.commands import Exit, KillWorker, Ping, Release, Ship, StartWorker
from lifecycle.machine.events import (
    IntakeHeld,
    OffsetCommitted,
    ShipmentStalled,
    ShutdownRequested,
    TimePassed,
    WorkerAnswered,
    WorkerExited,
    WorkerReady,
)
from lifecycle.machine.flush import FlushPolicy, Traffic
from lifecycle.machine.machine import (
    ASKED_EVERY_S,
    SHIPPER_ANSWERS_WITHIN_S,
    UNHELD_SHIPMENT_S,
    Machine,
    State,
)
from lifecycle.machine.shipments import Shipments
from lifecycle.machine.shutdown import (
    HOLD_BACK_S,
    LAST_REPORT_S,
    LAST_SHIPMENT_S,
    QUIET_S,
    SHUTDOWN_MARGIN_S,
    Shutdown,
    Step,
)
from tests.lifecycle.machine.conversation import (
    CAPACITY,
    alone,
    invoke,
    machine,
    machine_in,
    pass_time,
    reasons_to_fetch,
    ships,
    stored,
)


def test_shutdown_collects_until_the_report_then_ships_and_exits() -> None:
    """The last platform.report comes after SHUTDOWN."""
    subject = machine("interval", is_quick=True)
    invoke(subject, 0.0)
    assert ships(subject.handle(stored(100, finished="r1"), 0.1)) == []
    commands = subject.handle(ShutdownRequested("spindown", 3.0), 1.0)
    assert ships(commands) == [(0, 100, "shutdown")]
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
    subject = machine("interval", is_quick=True)
    invoke(subject, 0.0)
    subject.handle(stored(100, start=0), 0.1)
    subject.handle(IntakeHeld(), 0.9)
    subject.handle(ShutdownRequested("spindown", 3.0), 1.0)
    assert subject.handle(OffsetCommitted(100), 1.1) == [Release(100)]
    assert subject.wakes_at == pytest.approx(3.0 - SHUTDOWN_MARGIN_S - LAST_SHIPMENT_S)
    assert subject.handle(TimePassed(), 2.2) == []
    assert subject.wakes_at == pytest.approx(3.0 - SHUTDOWN_MARGIN_S)
    assert ships(subject.handle(stored(200, start=100), 2.3)) == [(100, 200, "shutdown")]
    subject.handle(OffsetCommitted(200), 2.4)
    assert Exit(0) in subject.handle(TimePassed(), 2.3 + QUIET_S)


def test_shutdown_has_what_the_shipper_still_owes_brought_to_an_end() -> None:
    """Spans of invocations that were never reported: a last order, for nothing else, and then the end."""
    subject = machine()
    invoke(subject, 1.0)
    subject.handle(stored(100, finished="r1"), 1.1)
    subject.handle(OffsetCommitted(100, owes=True), 1.2)
    subject.handle(ShutdownRequested("spindown", 4.0), 2.0)
    commands = subject.handle(TimePassed(), 2.0 + QUIET_S)
    assert [(e.since, e.until, e.is_final) for e in commands if isinstance(e, Ship)] == [(100, 100, True)]
    assert subject.wakes_at == pytest.approx(4.0 - SHUTDOWN_MARGIN_S + LAST_REPORT_S)
    assert Exit(0) in subject.handle(OffsetCommitted(100), 2.4)


def test_last_shipment_of_all_is_told_that_it_is() -> None:
    """Where something waits, that and what is owed are one shipment."""
    subject = machine()
    invoke(subject, 1.0)
    subject.handle(stored(100), 1.1)
    subject.handle(ShutdownRequested("spindown", 4.0), 2.0)
    subject.handle(ShipmentStalled("status_503"), 2.1)
    commands = subject.handle(TimePassed(), 2.0 + QUIET_S)
    assert [(e.since, e.until, e.is_final) for e in commands if isinstance(e, Ship)] == [(0, 100, True)]


def test_debt_that_cannot_be_paid_does_not_keep_it_from_ending() -> None:
    """The destination is down, or there is no shipper any more."""
    subject = machine()
    subject.handle(stored(100), 0.1)
    subject.handle(OffsetCommitted(100, owes=True), 0.2)
    subject.handle(ShutdownRequested("spindown", 4.0), 2.0)
    subject.handle(TimePassed(), 2.0 + QUIET_S)
    assert Exit(0) in subject.handle(ShipmentStalled("connect"), 2.5)


def test_shutdown_with_a_dead_destination_ends_before_sigkill() -> None:
    """What could not be delivered stays counted as waiting."""
    subject = machine(is_quick=True)
    invoke(subject, 0.0)
    subject.handle(stored(100, finished="r1", reported="r1"), 0.1)
    (ship,) = subject.handle(ShutdownRequested("timeout", 3.0), 1.0)
    assert isinstance(ship, Ship)
    assert ship.deadline == pytest.approx(3.0 - SHUTDOWN_MARGIN_S)
    assert subject.handle(ShipmentStalled("deadline"), 2.7) == [Exit(0)]


def test_shutdown_with_a_silent_shipper_ends_before_sigkill() -> None:
    """Not even a report is needed."""
    subject = machine(is_quick=True)
    invoke(subject, 0.0)
    subject.handle(stored(100, finished="r1", reported="r1"), 0.1)
    subject.handle(ShutdownRequested("timeout", 3.0), 1.0)
    assert KillWorker("shipper") in pass_time(subject, 1.6)
    assert subject.wakes_at == pytest.approx(2.7 + LAST_REPORT_S)
    assert Exit(0) in subject.handle(TimePassed(), 2.7 + LAST_REPORT_S)


def test_shipment_under_way_is_told_when_it_has_become_the_last() -> None:
    """It began while telemetry was collected: what it puts off is not put off any more, but given up and counted."""
    subject = machine("interval", is_quick=True)
    invoke(subject, 0.0)
    subject.handle(stored(100, finished="r1", reported="r1"), 0.1)
    (ship,) = subject.handle(ShutdownRequested("spindown", 3.0), 1.0)
    assert isinstance(ship, Ship)
    assert not ship.is_final
    commands = subject.handle(TimePassed(), 1.075)
    assert [(e.since, e.until, e.is_final) for e in commands if isinstance(e, Ship)] == [(0, 100, True)]
    assert subject.handle(TimePassed(), 1.08) == []
    assert subject.handle(OffsetCommitted(100), 1.5) == [Release(100), Exit(0)]


def test_last_report_of_the_last_shipment_is_waited_for() -> None:
    """The shipper wakes at the same moment, and only then says what it delivered and what not."""
    subject = machine("interval", is_quick=True)
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


@pytest.mark.parametrize("mode", ["interval", "adaptive", "end"])
def test_shutdown_with_a_destination_of_unknown_speed_makes_one_shipment_of_all(mode: str) -> None:
    """One that takes 1.5 s has time for one answer: lines, spans and metrics of the last invocation go together."""
    subject = machine(mode)
    invoke(subject, 0.0)
    subject.handle(stored(100), 0.1)
    assert subject.handle(ShutdownRequested("spindown", 3.0), 1.0) == []
    assert subject.handle(stored(200, start=100, finished="r1", reported="r1"), 1.04) == []
    (ship,) = subject.handle(TimePassed(), 1.075)
    assert isinstance(ship, Ship)
    assert (ship.since, ship.until, ship.is_final) == (0, 200, True)


def test_first_shipment_at_shutdown_is_not_held_back_for_long() -> None:
    """The last report may be late, or never come."""
    subject = machine()
    subject.handle(stored(100), 0.1)
    subject.handle(ShutdownRequested("spindown", 3.0), 1.0)
    assert subject.wakes_at == pytest.approx(1.0 + HOLD_BACK_S)
    assert ships(subject.handle(TimePassed(), 1.0 + HOLD_BACK_S)) == [(0, 100, "shutdown")]


def test_shutdown_with_much_to_ship_does_not_wait() -> None:
    """Time is what it needs."""
    subject = machine()
    subject.handle(stored(2000, start=0), 0.1)
    assert ships(subject.handle(ShutdownRequested("spindown", 3.0), 1.0)) == [(0, 2000, "shutdown")]


def test_signal_after_shutdown_brings_the_end_nearer_but_never_puts_it_off() -> None:
    """SIGKILL comes when SHUTDOWN said, whatever else is said."""
    subject = machine(is_quick=True)
    subject.handle(stored(100), 0.1)
    subject.handle(ShutdownRequested("spindown", 3.0), 1.0)
    (ship,) = subject.handle(ShutdownRequested("sigterm", 4.5), 2.5)
    assert isinstance(ship, Ship)
    assert ship.deadline == pytest.approx(3.0 - SHUTDOWN_MARGIN_S)
    assert subject.state is State.CLOSING
    assert subject.handle(TimePassed(), 3.0 - SHUTDOWN_MARGIN_S + LAST_REPORT_S)[-1] == Exit(0)


def test_signal_that_leaves_less_time_is_kept_to() -> None:
    """The shipment under way is ordered anew."""
    subject = machine(is_quick=True)
    subject.handle(stored(100), 0.1)
    subject.handle(ShutdownRequested("spindown", 3.0), 1.0)
    (ship,) = subject.handle(ShutdownRequested("sigterm", 2.0), 1.1)
    assert isinstance(ship, Ship)
    assert ship.deadline == pytest.approx(2.0 - SHUTDOWN_MARGIN_S)


@pytest.mark.parametrize(("asked_s", "again_s"), [(0.3, 1.375), (60.0, 1.075 + (2.7 - 1.075) / 2)])
def test_destination_that_asks_to_wait_at_shutdown_is_asked_again_while_there_is_time(
    asked_s: float, again_s: float
) -> None:
    """When it said, or where that would be too late half-way to the end; and that once."""
    subject = machine("interval")
    invoke(subject, 0.0)
    subject.handle(stored(100, finished="r1", reported="r1"), 0.1)
    subject.handle(ShutdownRequested("spindown", 3.0), 1.0)
    assert len(ships(subject.handle(TimePassed(), 1.075))) == 1
    assert subject.handle(ShipmentStalled("status_503", asked_s), 1.075) == []
    assert subject.wakes_at == pytest.approx(again_s)
    (ship,) = subject.handle(TimePassed(), again_s)
    assert isinstance(ship, Ship)
    assert (ship.since, ship.until, ship.deadline, ship.is_final) == (0, 100, 3.0 - SHUTDOWN_MARGIN_S, True)
    subject.handle(ShipmentStalled("status_503", 60.0), again_s)
    assert (subject.state is State.CLOSED) == (asked_s > 2)


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


@pytest.mark.parametrize("is_open", [False, True])
def test_shutdown_with_a_full_backlog_ships_at_once(*, is_open: bool) -> None:
    """The platform was sent away with telemetry that only a shipment makes room for: nothing waits for that."""
    subject = machine("interval")
    invoke(subject, 0.0)
    subject.handle(stored(100, finished="r1"), 0.1)
    subject.handle(stored(CAPACITY, start=100), 0.2)
    subject.handle(IntakeHeld(), 0.3)
    for _ in range(2 if is_open else 0):
        subject.routes[0].policy.failed(0.4)
    (ship,) = subject.handle(ShutdownRequested("spindown", 22.0), 20.0)
    assert isinstance(ship, Ship)
    assert (ship.since, ship.until, ship.deadline) == (0, CAPACITY, 22.0 - SHUTDOWN_MARGIN_S)


def test_last_shipment_has_its_time_however_long_the_platform_holds_telemetry_back() -> None:
    """A buffer of two seconds outlasts the shutdown: what is still owed is settled before."""
    traffic = Traffic(10.0)
    policy = FlushPolicy(traffic, "end", interval_s=10.0, budget_s=0.5, jitter=lambda: 1.0, can_hold=False)
    subject = alone(traffic, policy, buffer_s=2.0)
    subject.handle(stored(100), 0.1)
    subject.handle(OffsetCommitted(100, owes=True), 0.2)
    subject.handle(ShutdownRequested("spindown", 3.0), 1.0)
    assert subject.wakes_at == pytest.approx(2.7 - LAST_SHIPMENT_S)
    (ship,) = subject.handle(TimePassed(), 2.7 - LAST_SHIPMENT_S)
    assert isinstance(ship, Ship)
    assert (ship.since, ship.until, ship.is_final) == (100, 100, True)


def test_shipment_from_before_shutdown_that_gets_nowhere_makes_way() -> None:
    """It may hang, or sit in a pause of seconds; it is ended, and all is shipped anew."""
    subject = machine("interval", interval_s=1.0, is_quick=True)
    invoke(subject, 0.0, "r1")
    subject.handle(stored(100, start=0), 0.0)
    assert len(ships(subject.handle(TimePassed(), 1.0))) == 1
    subject.handle(stored(200, start=100, finished="r1", reported="r1"), 1.1)
    assert ships(subject.handle(ShutdownRequested("spindown", 7.0), 5.0)) == [(0, 200, "shutdown")]
    assert subject.wakes_at == pytest.approx(5.05)
    (cut,) = subject.handle(TimePassed(), 5.05)
    assert isinstance(cut, Ship)
    assert cut.deadline == 5.05
    assert subject.handle(ShipmentStalled("deadline", deadline=1.0 + UNHELD_SHIPMENT_S), 5.051) == []
    (anew,) = subject.handle(ShipmentStalled("deadline", deadline=5.05), 5.08)
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
    subject.handle(TimePassed(), 5.05)
    assert KillWorker("shipper") not in pass_time(subject, 5.54)
    assert KillWorker("shipper") in pass_time(subject, 5.56)
    replaced, *commands = subject.handle(WorkerExited("shipper"), 5.58)
    assert replaced == StartWorker("shipper")
    assert [(ship.since, ship.until, ship.deadline) for ship in commands if isinstance(ship, Ship)] == [
        (0, 200, 7.0 - SHUTDOWN_MARGIN_S)
    ]
    assert Exit(0) in subject.handle(OffsetCommitted(200), 5.8)


def test_shipper_that_is_stuck_at_shutdown_is_replaced_though_its_order_came_after_it() -> None:
    """It is asked whether it is there; one that is at work answers, however slow the destination is."""
    subject = machine(is_quick=True)
    subject.handle(WorkerReady("shipper"), 0.0)
    subject.handle(stored(100), 0.1)
    commands = subject.handle(ShutdownRequested("spindown", 7.0), 5.0)
    assert Ping("shipper") in commands
    assert ships(commands) == [(0, 100, "shutdown")]
    assert KillWorker("shipper") not in pass_time(subject, 5.0 + SHIPPER_ANSWERS_WITHIN_S - 0.01)
    assert KillWorker("shipper") in pass_time(subject, 5.0 + SHIPPER_ANSWERS_WITHIN_S + 0.01)
    commands = subject.handle(WorkerExited("shipper"), 5.52)
    assert StartWorker("shipper") in commands
    assert ships(commands) == [(0, 100, "shutdown")]


def test_collector_that_is_stuck_at_shutdown_is_replaced_and_its_successor_waited_for() -> None:
    """What the platform still has comes to the next one."""
    subject = machine(is_quick=True)
    subject.handle(WorkerReady("collector"), 0.0)
    subject.handle(ShutdownRequested("spindown", 7.0), 5.0)
    assert KillWorker("collector") in pass_time(subject, 5.0 + SHIPPER_ANSWERS_WITHIN_S + 0.01)
    assert StartWorker("collector") in subject.handle(WorkerExited("collector"), 5.52)
    assert pass_time(subject, 5.52 + QUIET_S - 0.01) == []
    assert ships(subject.handle(stored(100, start=0), 5.8)) == [(0, 100, "shutdown")]
    subject.handle(OffsetCommitted(100), 5.82)
    assert Exit(0) in pass_time(subject, 5.8 + QUIET_S)


def test_shipper_that_answers_at_shutdown_is_left_at_work() -> None:
    """The destination takes 1.5 s, and every question whether it is there is answered."""
    subject = machine(is_quick=True)
    subject.handle(WorkerReady("shipper"), 0.0)
    subject.handle(stored(100), 0.1)
    now = 5.0
    commands = subject.handle(ShutdownRequested("spindown", 7.0), now)
    while now < 6.5:
        assert KillWorker("shipper") not in commands
        if Ping("shipper") in commands:
            now += 0.001
            commands = subject.handle(WorkerAnswered("shipper"), now)
        else:
            now = min(subject.wakes_at or 6.5, 6.5)
            commands = subject.handle(TimePassed(), now)
    assert Exit(0) in subject.handle(OffsetCommitted(100), 6.5)


def test_shipper_that_gets_stuck_after_it_answered_at_shutdown_is_replaced() -> None:
    """It is asked again: the last shipment has no deadline that would notice it in time."""
    subject = machine(is_quick=True)
    subject.handle(WorkerReady("shipper"), 0.0)
    subject.handle(stored(100), 0.1)
    subject.handle(ShutdownRequested("spindown", 7.0), 5.0)
    subject.handle(WorkerAnswered("shipper"), 5.001)
    assert pass_time(subject, 5.001 + ASKED_EVERY_S + 0.001) == [Ping("shipper")]
    assert KillWorker("shipper") in pass_time(subject, 5.001 + ASKED_EVERY_S + SHIPPER_ANSWERS_WITHIN_S + 0.01)


def test_shipment_from_before_shutdown_that_gets_somewhere_goes_on() -> None:
    """Its answer was in the socket when the environment thawed."""
    subject = machine("interval", interval_s=1.0, is_quick=True)
    invoke(subject, 0.0, "r1")
    subject.handle(stored(100, start=0), 0.0)
    subject.handle(TimePassed(), 1.0)
    subject.handle(stored(200, start=100, finished="r1", reported="r1"), 1.1)
    assert ships(subject.handle(ShutdownRequested("spindown", 7.0), 5.0)) == [(0, 200, "shutdown")]
    assert subject.handle(OffsetCommitted(100), 5.01) == [Release(100)]
    assert subject.handle(TimePassed(), 5.05) == []
    assert Exit(0) in subject.handle(OffsetCommitted(200), 5.1)


def test_shutdown_while_holding_is_what_a_signal_means() -> None:
    """SIGTERM comes at any time."""
    subject = machine(is_quick=True)
    invoke(subject, 0.0)
    subject.handle(stored(100), 0.1)
    assert ships(subject.handle(ShutdownRequested("sigterm", 2.2), 0.2)) == [(0, 100, "shutdown")]


def shutdown() -> tuple[Shutdown, Shipments]:
    """SHUTDOWN came at moment 10, when 100 bytes waited; all must be done at 12."""
    shipments = Shipments(1000, 0.0)
    shipments.stored(0, 100, 9.0)
    return Shutdown(12.0, 10.0, buffer_s=0.025), shipments


def test_telemetry_is_collected_until_the_report_and_one_buffer() -> None:
    """Without the report for a while longer, and to the end where the platform was sent away with a batch."""
    subject, shipments = shutdown()
    assert subject.collected_at(shipments, is_reported=True, collects_since=0.0) == pytest.approx(10.075)
    assert subject.collected_at(shipments, is_reported=False, collects_since=0.0) == pytest.approx(10.0 + QUIET_S)
    shipments.stored(100, 200, 11.0)
    assert subject.collected_at(shipments, is_reported=False, collects_since=0.0) == pytest.approx(11.0 + QUIET_S)
    shipments.intake_held()
    assert subject.collected_at(shipments, is_reported=False, collects_since=0.0) == 12.0


def next_step(
    subject: Shutdown, shipments: Shipments, now: float, *, is_collected: bool = True, can_ship: bool = True
) -> Step:
    """What is to be done by a machine that collects no more when all is collected."""
    return subject.next_step(
        shipments, now, is_collected=is_collected, can_ship=can_ship, collects=not is_collected, is_quick=True
    )


def test_what_waits_is_shipped_once_for_every_end_of_the_backlog_and_once_as_the_last() -> None:
    """No command is repeated."""
    subject, shipments = shutdown()
    assert next_step(subject, shipments, 10.1, is_collected=False) is Step.SHIP
    shipments.begin(10.1, 12.0, "shutdown", is_held=False)
    assert next_step(subject, shipments, 10.1, is_collected=False) is Step.WAIT
    assert next_step(subject, shipments, 10.2) is Step.SHIP
    shipments.begin(10.2, 12.0, "shutdown", is_held=False, is_final=True)
    assert next_step(subject, shipments, 10.2) is Step.WAIT
    assert next_step(subject, shipments, 12.0) is Step.WAIT
    assert next_step(subject, shipments, 12.0 + LAST_REPORT_S) is Step.EXIT


def test_nothing_is_ordered_of_a_shipper_that_is_not_there() -> None:
    """It is waited for to the end."""
    subject, shipments = shutdown()
    assert next_step(subject, shipments, 10.1, can_ship=False) is Step.WAIT
    assert next_step(subject, shipments, 12.0, can_ship=False) is Step.EXIT


def test_what_the_shipper_owes_is_settled_when_all_is_collected_and_delivered() -> None:
    """Not before, and once."""
    subject, shipments = shutdown()
    shipments.committed(100, 0, 10.1, owes=True)
    assert next_step(subject, shipments, 10.1) is Step.SETTLE
    assert next_step(subject, shipments, 10.1, can_ship=False) is Step.WAIT
    shipments.begin(10.1, 12.0, "shutdown", is_held=False, is_final=True)
    shipments.committed(100, 0, 10.2)
    assert next_step(subject, shipments, 10.2) is Step.EXIT


@pytest.mark.parametrize(
    "crossing",
    [
        OffsetCommitted(100, 2, waits=True, is_final=False),
        ShipmentStalled("status_429", 5.0, is_final=False),
    ],
    ids=["waits", "stalled"],
)
def test_shipment_that_ended_before_it_heard_that_it_is_the_last_is_not_its_end(
    crossing: OffsetCommitted | ShipmentStalled,
) -> None:
    """The command crossed its report: the last one is under way now."""
    subject = machine()
    invoke(subject, 0.0)
    subject.handle(ShutdownRequested("spindown", 3.0), 1.0)
    subject.handle(stored(200, finished="r1", reported="r1"), 1.01)
    commands = [*subject.handle(TimePassed(), 1.2), *subject.handle(TimePassed(), 1.5)]
    assert any(isinstance(one, Ship) and one.is_final for one in commands)
    assert not any(isinstance(one, Exit) for one in subject.handle(crossing, 1.51))
    assert subject.state is State.CLOSING
    assert any(isinstance(one, Exit) for one in subject.handle(OffsetCommitted(200), 1.52))


def test_collector_that_was_silent_before_shutdown_is_replaced_at_once() -> None:
    """There is no time to give it two seconds."""
    subject = machine("end", budget_s=0.5)
    subject.handle(WorkerReady("collector"), 9.0)
    invoke(subject, 10.0, timeout_s=10.0)
    pass_time(subject, 11.0)
    assert KillWorker("collector") in subject.handle(ShutdownRequested("spindown", 13.0), 11.0)


@pytest.mark.parametrize("what", ["crashes", "dies"])
def test_last_shipment_that_ends_by_a_fault_of_ours_is_followed_by_another(what: str) -> None:
    """One record may be why, which a successor passes by: all else is not to be left for it."""
    subject, now = machine_in(State.CLOSING)
    current = subject.routes[0].shipments.current
    assert current is not None
    events = {"crashes": ShipmentStalled(CRASHED, deadline=current.deadline), "dies": WorkerExited("shipper")}
    commands = subject.handle(events[what], now + 0.05)
    assert ships(commands) != []
    assert Exit(0) not in commands
