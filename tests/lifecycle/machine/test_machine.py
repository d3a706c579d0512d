"""The supervisor's machine, by conversation: an event and a moment, then what it orders."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.machine.backoff import MOST_UNCONNECTED
from lifecycle.machine.commands import Exit, FetchNext, Release, Ship
from lifecycle.machine.events import (
    BacklogCrowded,
    BatchStored,
    Event,
    ExportsSettled,
    ExportStored,
    IntakeHeld,
    Invoked,
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
from lifecycle.machine.machine import TABLE, UNHELD_SHIPMENT_S, IllegalEventError, Machine, State, UnlistedError
from lifecycle.machine.shutdown import QUIET_S
from tests.lifecycle.machine.conversation import CAPACITY, invoke, machine, machine_in, reasons_to_fetch, ships, stored


def test_held_invocation_ends_with_delivery() -> None:
    """Invoked, finished, shipped, acknowledged, and only then is the next event asked for."""
    subject = machine()
    assert invoke(subject, 1.0) == []
    assert subject.handle(stored(100), 1.1) == []
    assert ships(subject.handle(stored(200, finished="r1"), 1.2)) == [(0, 200, "invocation_finished")]
    commands = subject.handle(OffsetCommitted(200), 1.23)
    assert commands[0] == Release(200)
    assert isinstance(commands[1], FetchNext)
    assert commands[1].reason == "delivered"
    assert commands[1].held_s == pytest.approx(0.055)
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
    commands = subject.handle(BatchStored(0, 100, ("r1",), (), age_s), 2.0)
    if ends_at > 2.0:
        assert subject.wakes_at == pytest.approx(ends_at)
        commands = subject.handle(TimePassed(), ends_at)
    (fetch,) = (command for command in commands if isinstance(command, FetchNext))
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
    """Whatever is there half a second before a timeout goes out, once, also when /next is out already."""
    subject = machine("interval")
    invoke(subject, 0.0, timeout_s=5.0)
    subject.handle(stored(100), 1.0)
    assert subject.wakes_at == pytest.approx(4.5)
    assert ships(subject.handle(TimePassed(), 4.5)) == [(0, 100, "deadline_near")]
    subject.handle(OffsetCommitted(100), 4.55)
    assert subject.handle(stored(200, start=100), 4.6) == []


def test_backlog_more_than_half_full_ships_at_once() -> None:
    """Whatever the policy says."""
    subject = machine("interval")
    assert subject.handle(stored(5000, start=0), 0.1) == []
    assert ships(subject.handle(stored(5100, start=5000), 0.2)) == [(0, 5100, "backlog_fills")]


def test_interval_policy_overlaps_and_asks_when_the_shipment_has_ended() -> None:
    """/next is not called while an export is in flight."""
    subject = machine("interval", interval_s=1.0)
    subject.handle(stored(100), 0.0)
    commands = invoke(subject, 5.0)
    assert ships(commands) == [(0, 100, "interval_passed")]
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
    commands = invoke(subject, 30.0, "r3")
    assert [type(command) for command in commands] == [FetchNext, Ship]
    subject.handle(OffsetCommitted(200), 30.1)
    assert invoke(subject, 31.0, "r4") == []


def test_ring_that_began_anew_is_followed() -> None:
    """Nothing waited, so the next frame may start past the old end."""
    subject = machine()
    subject.handle(stored(100, start=0), 0.0)
    subject.handle(ShutdownRequested("spindown", 100.0), 0.1)
    subject.handle(OffsetCommitted(100), 0.2)
    assert ships(subject.handle(stored(CAPACITY + 50, start=CAPACITY), 0.3)) == [(CAPACITY, CAPACITY + 50, "shutdown")]
    assert subject.routes[0].shipments.waiting_bytes == 50


def test_shipment_that_waits_for_an_outcome_holds_nothing_and_opens_no_breaker() -> None:
    """It did what it could; the rest goes with what is yet to come."""
    subject = machine()
    for number in range(1, 9):
        invoke(subject, float(number), f"r{number}")
        subject.handle(stored(number * 100, finished=f"r{number}"), number + 0.1)
        commands = subject.handle(OffsetCommitted(number * 100 - 50, waits=True), number + 0.12)
        assert reasons_to_fetch(commands) == ["not_delivered"]
        assert ships(commands) == []
    assert not subject.routes[0].policy.is_open
    assert subject.routes[0].shipments.waiting_bytes == 50


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
    commands = subject.handle(ShipmentStalled("status_503", deadline=held.deadline), 1.5)
    assert reasons_to_fetch(commands) == ["not_delivered"]


def test_retry_after_is_kept_by_the_next_invocations() -> None:
    """Nobody is held, and nothing is sent, before the moment that the destination named."""
    subject = machine()
    invoke(subject, 0.0, "r1")
    subject.handle(stored(100, finished="r1"), 0.1)
    commands = subject.handle(ShipmentStalled("status_429", retry_after_s=3.0), 0.2)
    assert reasons_to_fetch(commands) == ["not_delivered"]
    assert reasons_to_fetch(invoke(subject, 1.0, "r2")) == ["asked_to_wait"]
    assert subject.handle(stored(4000, start=100, finished="r2"), 1.1) == []
    assert invoke(subject, 3.3, "r3") == []
    assert ships(subject.handle(stored(4100, start=4000, finished="r3"), 3.4)) == [(0, 4100, "invocation_finished")]


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
    UnknownEventReceived(),
    stored(100),
    ExportStored(0, 100),
    ExportsSettled(100),
    IntakeHeld(),
    BacklogCrowded(),
    OffsetCommitted(0),
    ShipmentStalled("deadline"),
    WorkerExited("collector"),
    WorkerExited("shipper"),
    WorkerReady("collector"),
    WorkerAnswered("collector"),
    RedactionFailed(),
    TimePassed(),
)


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_state_allows_an_event_or_refuses_it_unchanged(state: State, event: Event) -> None:
    """The table is total; an illegal event changes nothing."""
    subject, now = machine_in(state)
    before = _facts(subject)
    if type(event) in TABLE[state]:
        subject.handle(event, now)
    else:
        with pytest.raises(IllegalEventError, match=state.value):
            subject.handle(event, now)
        assert _facts(subject) == before


def _facts(subject: Machine) -> dict[str, Any]:
    return {name: repr(value) for name, value in vars(subject).items()}


def test_table_has_a_row_for_every_state_and_knows_every_event() -> None:
    """Also for the last state, where none is legal."""
    assert set(TABLE) == set(State)
    assert {event for rows in TABLE.values() for event in rows} == {type(event) for event in EVENTS}


def test_what_the_table_does_not_list_is_an_error() -> None:
    """Neither a state nor a command comes about elsewhere."""
    row = TABLE[State.CLOSING][BatchStored]
    row.check(State.CLOSING, [Ship(0, 0, 1, 1.0, "shutdown")])
    with pytest.raises(UnlistedError, match="waiting"):
        row.check(State.WAITING, [])
    with pytest.raises(UnlistedError, match="FetchNext"):
        row.check(State.CLOSING, [FetchNext("delivered")])


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
        for command in subject.handle(event, now):
            if isinstance(command, FetchNext):
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
        end = subject.routes[0].shipments.end
        match what:
            case "invoke" if is_out:
                running += 1
                is_out, deadline = False, now + 3.0
                tell(Invoked(f"r{running}", deadline))
            case "store":
                tell(stored(end + 200, start=end))
            case "finish":
                tell(stored(end + 200, start=end, finished=f"r{running}"))
            case "commit" if subject.routes[0].shipments.current:
                tell(OffsetCommitted(subject.routes[0].shipments.current.until))
            case "stall" if subject.routes[0].shipments.current:
                tell(ShipmentStalled("deadline"))
            case "kill" | "kill_shipper":
                tell(WorkerExited("shipper" if what == "kill_shipper" else "collector"))
            case "refuse" if is_out:
                is_out = False
                tell(NextFailed(500))
        if running and subject.state in (State.HOLDING, State.OVERLAPPING):
            assert now < deadline
