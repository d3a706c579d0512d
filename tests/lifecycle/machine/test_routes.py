"""The machine with several routes: what there is once, what each has for itself, and how little one costs another."""

import pytest

from lifecycle.machine.commands import (
    SHIPPER,
    Command,
    Exit,
    FetchNext,
    GiveUp,
    KillWorker,
    PassBy,
    Release,
    Ship,
    StartWorker,
)
from lifecycle.machine.events import (
    BacklogCrowded,
    Event,
    OffsetCommitted,
    ShipmentStalled,
    ShutdownRequested,
    TimePassed,
    WorkerExited,
    WorkerReady,
)
from lifecycle.machine.machine import SHIPPER_ANSWERS_WITHIN_S, Machine, State
from lifecycle.machine.restarts import DEATHS_TO_FAIL
from tests.lifecycle.machine.conversation import (
    CAPACITY,
    SECOND,
    THIRD,
    invoke,
    machine,
    pass_time,
    reasons_to_fetch,
    ships,
    stored,
)

HALF = CAPACITY // 2


def orders(commands: list[Command]) -> list[tuple[str, int, int]]:
    """Shipments that were ordered: whose, from where, to where."""
    return [(command.worker, command.since, command.until) for command in commands if isinstance(command, Ship)]


def held(routes: int = 2) -> Machine:
    """A machine that holds an invocation, at moment 2.0, for all of its routes."""
    subject = machine(budget_s=0.5, routes=routes)
    invoke(subject, 1.0)
    subject.handle(stored(100, finished="r1"), 2.0)
    return subject


def with_open_breaker() -> Machine:
    """A machine at moment 4.0 whose second route has missed twice, the first never; nobody is held."""
    subject = machine(budget_s=0.5, routes=2)
    for number in (1, 2):
        invoke(subject, number * 1.5, f"r{number}")
        subject.handle(stored(number * 100, finished=f"r{number}"), number * 1.5 + 0.1)
        subject.handle(OffsetCommitted(number * 100), number * 1.5 + 0.12)
        subject.handle(ShipmentStalled("connect", worker=SECOND), number * 1.5 + 0.15)
    assert [route.policy.is_open for route in subject.routes] == [False, True]
    return subject


def test_invocation_is_held_until_each_route_has_got_there() -> None:
    """One after the other, in whatever order."""
    subject = machine(routes=2)
    invoke(subject, 1.0)
    assert orders(subject.handle(stored(100, finished="r1"), 2.0)) == [(SHIPPER, 0, 100), (SECOND, 0, 100)]
    assert reasons_to_fetch(subject.handle(OffsetCommitted(100, worker=SECOND), 2.05)) == []
    assert reasons_to_fetch(subject.handle(OffsetCommitted(100), 2.1)) == ["delivered"]


def test_route_that_stalls_is_waited_for_no_longer() -> None:
    """The miss is its own."""
    subject = held()
    assert reasons_to_fetch(subject.handle(ShipmentStalled("connect", worker=SECOND), 2.05)) == []
    assert reasons_to_fetch(subject.handle(OffsetCommitted(100), 2.1)) == ["delivered"]
    assert subject.routes[0].held_in_vain_s == 0.0
    assert subject.routes[1].held_in_vain_s == pytest.approx(0.075)


def test_all_routes_together_have_one_budget() -> None:
    """However many do not answer."""
    subject = held(3)
    assert reasons_to_fetch(subject.handle(OffsetCommitted(100), 2.1)) == []
    (fetch,) = [command for command in pass_time(subject, 2.475) if isinstance(command, FetchNext)]
    assert fetch.held_s == pytest.approx(0.5)
    assert fetch.reason == "budget_spent"


def test_invocation_is_held_for_the_routes_whose_breaker_was_closed_when_it_began() -> None:
    """A dead one costs nobody a hold, and is probed alongside."""
    subject = with_open_breaker()
    commands = invoke(subject, 6.0, "r3")
    assert orders(commands) == [(SECOND, 0, 200)]
    assert subject.state is State.HOLDING
    assert orders(subject.handle(stored(300, start=200, finished="r3"), 6.1)) == [(SHIPPER, 200, 300)]
    assert reasons_to_fetch(subject.handle(OffsetCommitted(300), 6.12)) == ["delivered"]


def test_invocation_is_held_for_nobody_where_no_policy_holds() -> None:
    """Each route has its own."""
    subject = machine("interval", routes=2)
    assert reasons_to_fetch(invoke(subject, 1.0)) == ["interval_not_passed"]


def test_room_is_freed_at_the_least_cursor() -> None:
    """What one has not got is not written over."""
    subject = held()
    assert Release(100) not in subject.handle(OffsetCommitted(100), 2.05)
    assert Release(100) in subject.handle(OffsetCommitted(100, worker=SECOND), 2.1)
    assert subject.released == 100


def test_probe_of_a_dead_route_changes_nothing_for_the_other() -> None:
    """Its failures, pauses and what waits for it are its own."""
    subject = with_open_breaker()
    invoke(subject, 6.0, "r3")
    subject.handle(stored(300, start=200, finished="r3"), 6.1)
    subject.handle(OffsetCommitted(300), 6.12)
    subject.handle(ShipmentStalled("connect", retry_after_s=60.0, worker=SECOND), 6.2)
    assert orders(invoke(subject, 7.0, "r4")) == []
    assert orders(subject.handle(stored(400, start=300, finished="r4"), 7.1)) == [(SHIPPER, 300, 400)]


def test_route_without_a_shipper_is_waited_for_by_nobody() -> None:
    """One that cannot live is given up alone; the others go on, and it is started again, with pauses."""
    subject = machine(routes=2)
    now = 1.0
    for _ in range(DEATHS_TO_FAIL):
        subject.handle(WorkerExited(SECOND, was_ready=False), now)
        pass_time(subject, now + 10.0)
        now += 10.0
    invoke(subject, now)
    subject.handle(stored(100, finished="r1"), now + 0.1)
    assert reasons_to_fetch(subject.handle(OffsetCommitted(100), now + 0.12)) == ["delivered"]
    assert StartWorker(SECOND) in [*subject.handle(WorkerExited(SECOND), now + 1), *pass_time(subject, now + 100)]


def test_last_call_is_made_on_every_route() -> None:
    """Whatever is there half a second before a timeout goes out, everywhere."""
    subject = machine("interval", routes=2)
    invoke(subject, 0.0, timeout_s=5.0)
    subject.handle(stored(100), 1.0)
    assert orders(subject.handle(TimePassed(), 4.5)) == [(SHIPPER, 0, 100), (SECOND, 0, 100)]


def test_exit_waits_for_every_route_and_for_none_past_the_deadline() -> None:
    """One that has all is done; the other one is tried to the end."""
    subject = machine("interval", routes=2, is_quick=True)
    invoke(subject, 0.0)
    subject.handle(stored(100, finished="r1", reported="r1"), 0.1)
    commands = [*subject.handle(ShutdownRequested("spindown", 3.0), 1.0), *pass_time(subject, 1.2)]
    assert {worker for worker, _, _ in orders(commands)} == {SHIPPER, SECOND}
    subject.handle(OffsetCommitted(100), 1.3)
    assert Exit(0) not in pass_time(subject, 2.6)
    assert Exit(0) in subject.handle(OffsetCommitted(100, worker=SECOND), 2.65)


# Started one at a time.


def starting(routes: int = 3, *, mode: str = "end", interval_s: float = 10.0) -> Machine:
    """A machine whose collector is ready, and that has no shipper yet."""
    subject = machine(mode, routes=routes, interval_s=interval_s, starts_all=False)
    subject.handle(WorkerReady("collector"), 0.1)
    return subject


def first_ready(routes: int = 3) -> Machine:
    """Likewise, in its first invocation; the first shipper is ready."""
    subject = starting(routes)
    assert StartWorker(SHIPPER) in invoke(subject, 1.0)
    subject.handle(WorkerReady(SHIPPER), 1.05)
    return subject


@pytest.mark.parametrize("mode", ["end", "interval", "adaptive"])
def test_first_shipper_is_started_with_the_first_invocation(mode: str) -> None:
    """Not beside the function's init, which it would slow down; the question for the next event comes before it."""
    subject = starting(mode=mode)
    assert subject.handle(stored(100), 0.2) == []
    commands = invoke(subject, 1.0)
    assert [type(command) for command in commands] == [*([FetchNext] * (mode == "interval")), StartWorker]
    subject.handle(stored(200, finished="r1"), 1.1)
    subject.handle(OffsetCommitted(200), 1.2)
    assert StartWorker(SHIPPER) not in invoke(subject, 5.0, "r2")


def test_first_invocation_is_held_for_a_shipper_that_begins_with_it() -> None:
    """It is there by then."""
    subject = starting()
    invoke(subject, 1.0)
    assert ships(subject.handle(stored(100, finished="r1"), 1.1)) == [(0, 100, "invocation_finished")]


def test_shipment_that_is_due_in_a_long_init_starts_the_first_shipper() -> None:
    """What a function says at its start is no older than the interval either; nor does it fill the backlog."""
    subject = starting(mode="interval", interval_s=2.0)
    subject.handle(stored(100), 0.2)
    assert subject.wakes_at == 2.2
    commands = subject.handle(TimePassed(), 2.2)
    assert commands[0] == StartWorker(SHIPPER)
    assert ships(commands) == [(0, 100, "interval_passed")]

    subject = starting()
    commands = subject.handle(stored(CAPACITY // 2 + 1, start=0), 0.2)
    assert commands[0] == StartWorker(SHIPPER)
    assert [reason for *_, reason in ships(commands)] == ["backlog_fills"]


def test_environment_without_an_invocation_ships_at_its_end() -> None:
    """Its init may have failed, and said why."""
    subject = starting(1)
    subject.handle(stored(100), 0.2)
    commands = [*subject.handle(ShutdownRequested("failure", 4.0), 2.0), *pass_time(subject, 2.5)]
    assert StartWorker(SHIPPER) in commands
    assert ships(commands)[0][:2] == (0, 100)


def test_further_shippers_are_started_beside_the_first_invocation_after_its_first_batch() -> None:
    """One at a time: the next when the last is ready."""
    subject = first_ready()
    assert subject.handle(stored(100), 1.1) == [StartWorker(SECOND)]
    assert StartWorker(THIRD) not in subject.handle(stored(200, start=100), 1.2)
    assert StartWorker(THIRD) in subject.handle(WorkerReady(SECOND), 1.3)


def test_no_shipper_is_started_in_a_hold() -> None:
    """Whoever pays for it is the function; the next invocation's run is as good."""
    subject = first_ready()
    assert StartWorker(SECOND) not in subject.handle(stored(100, finished="r1"), 1.1)
    subject.handle(OffsetCommitted(100), 1.2)
    assert StartWorker(SECOND) in invoke(subject, 5.0, "r2")


def test_shipper_that_dies_at_its_start_holds_the_next_one_up_no_longer() -> None:
    """It is started again with pauses; the others are not to wait for these."""
    subject = first_ready()
    subject.handle(stored(100), 1.1)
    commands = [subject.handle(WorkerExited(SECOND, was_ready=False), 1.2) for _ in range(4)]
    assert commands[3] == [StartWorker(THIRD)]


def test_where_init_is_on_nobodys_path_nothing_is_left_to_start() -> None:
    """All are there from the beginning."""
    subject = machine(routes=3, starts_all=True)
    invoke(subject, 1.0)
    commands = [*subject.handle(stored(100), 1.1), *pass_time(subject, 10.0)]
    assert not any(isinstance(command, StartWorker) for command in commands)


def test_shipper_that_was_never_started_is_at_shutdown() -> None:
    """It would have been earlier in any life of more than an instant; what waits for it is not left for that."""
    subject = first_ready()
    subject.handle(stored(100, finished="r1"), 1.1)
    subject.handle(OffsetCommitted(100), 1.2)
    commands = subject.handle(ShutdownRequested("spindown", 4.0), 2.0)
    assert {StartWorker(SECOND), StartWorker(THIRD)} <= set(commands)


def test_nobody_is_held_for_a_shipper_that_is_not_started_yet() -> None:
    """What waits for it leaves later."""
    subject = first_ready()
    subject.handle(stored(100, finished="r1"), 1.1)
    assert reasons_to_fetch(subject.handle(OffsetCommitted(100), 1.12)) == ["delivered"]


# Making room.


def crowded(*, routes: int = 2, second_at: int = 1000) -> Machine:
    """A machine at 5.0 whose backlog is full: the first route has all, the second has got to `second_at`."""
    subject = machine("interval", routes=routes)
    subject.handle(stored(second_at, start=0), 0.0)
    for route in subject.routes:
        subject.handle(OffsetCommitted(second_at, worker=route.worker), 1.0)
    subject.handle(stored(CAPACITY, start=second_at), 2.0)
    subject.handle(OffsetCommitted(CAPACITY), 3.0)
    return subject


def gives_up(commands: list[Command]) -> list[tuple[str, int, int]]:
    return [
        (command.worker, command.at_least, command.at_most)
        for command in commands
        if isinstance(command, GiveUp | PassBy)
    ]


def test_slowest_gives_up_its_oldest_when_a_batch_does_not_fit() -> None:
    """Half of the backlog may stay, and only then: a route that lags while there is room loses nothing."""
    subject = crowded()
    assert gives_up(pass_time(subject, 5.0)) == []
    assert gives_up(subject.handle(BacklogCrowded(), 5.0)) == [(SECOND, HALF, CAPACITY)]
    assert gives_up(subject.handle(BacklogCrowded(), 5.1)) == []
    commands = subject.handle(OffsetCommitted(HALF + 40, worker=SECOND, gives_up=True), 5.2)
    assert commands[0] == Release(HALF + 40)
    assert subject.routes[0].shipments.waiting_bytes == 0


def test_nothing_is_given_up_of_the_only_route() -> None:
    """The platform keeps it."""
    subject = machine("interval")
    subject.handle(stored(CAPACITY, start=0), 0.0)
    assert gives_up(subject.handle(BacklogCrowded(), 1.0)) == []


def test_nothing_is_given_up_where_all_lag() -> None:
    """None has been acknowledged since the slowest last was: the platform keeps it, as with one route."""
    subject = machine("interval", routes=2)
    subject.handle(stored(CAPACITY - 100, start=0), 0.0)
    subject.handle(OffsetCommitted(500), 0.1)
    subject.handle(OffsetCommitted(400, worker=SECOND), 0.2)
    subject.handle(stored(CAPACITY, start=CAPACITY - 100), 0.3)
    assert gives_up(subject.handle(BacklogCrowded(), 5.0)) == []
    assert gives_up(subject.handle(OffsetCommitted(600), 5.1)) == [(SECOND, 600, 600)]


def test_room_that_could_not_be_made_is_made_when_another_route_gets_ahead() -> None:
    """The collector asks once: both had got as far when it did, and one that lags keeps the platform from the other."""
    subject = machine("interval", routes=2)
    subject.handle(stored(CAPACITY, start=0), 0.0)
    assert gives_up(subject.handle(BacklogCrowded(), 1.0)) == []
    assert gives_up(subject.handle(OffsetCommitted(600), 1.1)) == [(SECOND, 600, 600)]
    assert gives_up(subject.handle(OffsetCommitted(700), 1.2)) == []
    assert Release(600) in subject.handle(OffsetCommitted(600, worker=SECOND, gives_up=True), 1.3)
    assert gives_up(subject.handle(OffsetCommitted(800), 1.4)) == []


def test_room_is_made_no_more_once_it_is_there() -> None:
    """Something was stored, or delivered by all: whoever still has none says so again."""
    for relief in (stored(CAPACITY + 10, start=CAPACITY), OffsetCommitted(300, worker=SECOND)):
        subject = machine("interval", routes=2)
        subject.handle(stored(CAPACITY, start=0), 0.0)
        subject.handle(OffsetCommitted(300), 0.5)
        subject.handle(OffsetCommitted(200, worker=SECOND), 0.6)
        assert gives_up(subject.handle(BacklogCrowded(), 1.0)) == []
        subject.handle(relief, 1.1)
        assert gives_up(subject.handle(OffsetCommitted(600), 1.2)) == []


def test_nothing_is_given_up_past_the_second_slowest() -> None:
    """What nobody else needs the room of is not worth it; two that lag alike give up together."""
    subject = crowded(routes=3, second_at=1000)
    subject.handle(OffsetCommitted(1500, worker=THIRD), 3.5)
    assert gives_up(subject.handle(BacklogCrowded(), 5.0)) == [(SECOND, 1500, 1500)]
    subject.handle(OffsetCommitted(1500, worker=SECOND, gives_up=True), 5.1)
    again = gives_up(subject.handle(BacklogCrowded(), 5.2))
    assert again == [(SECOND, HALF, CAPACITY), (THIRD, HALF, CAPACITY)]


@pytest.mark.parametrize(
    "ended",
    [ShipmentStalled("status_503", worker=SECOND), OffsetCommitted(0, waits=True, worker=SECOND)],
    ids=["stalled", "waits for more"],
)
def test_last_shipment_that_stalled_is_followed_by_another_where_more_is_stored(ended: Event) -> None:
    """The other route is still at work, so that there is time; what was tried already alone is no reason."""
    subject = machine(routes=2)
    subject.handle(ShutdownRequested("spindown", 2.0), 0.0)
    subject.handle(stored(100), 0.01)
    assert orders(pass_time(subject, 1.0))[-1] == (SECOND, 0, 100)
    assert orders(subject.handle(ended, 1.0)) == []
    assert orders(pass_time(subject, 1.1)) == []
    assert (SECOND, 0, 200) in orders(subject.handle(stored(200, start=100), 1.1))


def test_what_is_passed_by_is_no_delivery() -> None:
    """It closes no breaker, and counts as no acknowledgement."""
    subject = crowded()
    acknowledged = subject.routes[1].shipments.last_committed
    for _ in range(2):
        subject.routes[1].policy.failed(4.0)
    subject.handle(BacklogCrowded(), 5.0)
    subject.handle(OffsetCommitted(HALF, worker=SECOND, gives_up=True), 5.1)
    assert subject.routes[1].policy.is_open
    assert subject.routes[1].shipments.last_committed == acknowledged


def test_shipment_that_is_ended_by_giving_up_is_no_miss() -> None:
    """Nor is another ordered before that is done."""
    subject = crowded()
    invoke(subject, 20.0)
    assert subject.routes[1].shipments.current is not None
    subject.handle(BacklogCrowded(), 20.1)
    subject.handle(ShipmentStalled("deadline", worker=SECOND), 20.15)
    assert SECOND not in [worker for worker, _, _ in orders(pass_time(subject, 20.3))]
    assert not subject.routes[1].policy.is_open
    subject.handle(OffsetCommitted(HALF, worker=SECOND, gives_up=True), 20.35)
    assert orders(subject.handle(ShutdownRequested("spindown", 30.0), 20.4)) != []


def test_shipper_that_does_not_answer_is_killed_and_then_passed_by() -> None:
    """Within half a second of being awake; only when it is dead is its memory another's."""
    subject = crowded()
    subject.handle(BacklogCrowded(), 5.0)
    commands = pass_time(subject, 5.0 + SHIPPER_ANSWERS_WITHIN_S + 0.11)
    assert KillWorker(SECOND) in commands
    assert gives_up(commands) == []
    assert gives_up(subject.handle(WorkerExited(SECOND), 5.8)) == [(SECOND, HALF, CAPACITY)]
    assert Release(HALF) in subject.handle(OffsetCommitted(HALF, worker=SECOND, gives_up=True), 5.8)


def test_shipper_that_reads_on_for_long_is_not_killed() -> None:
    """Each report of how far it got is an answer."""
    subject = crowded()
    subject.handle(BacklogCrowded(), 5.0)
    commands = []
    for step in range(1, 5):
        commands += pass_time(subject, 5.0 + 0.4 * step)
        commands += subject.handle(OffsetCommitted(1000 + step, worker=SECOND, gives_up=True), 5.0 + 0.4 * step)
    assert not any(isinstance(command, KillWorker) for command in commands)


def test_dead_shipper_is_passed_by_at_once() -> None:
    """There is nobody to ask."""
    subject = crowded()
    for _ in range(4):
        subject.handle(WorkerExited(SECOND), 4.0)
    assert subject.handle(BacklogCrowded(), 4.01) == [PassBy(SECOND, HALF, CAPACITY)]
