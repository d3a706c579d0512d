"""The breaker over minutes, by fake clock: a busy function, a destination that is down and comes back."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lifecycle.machine.commands import Command, FetchNext, Ship
from lifecycle.machine.events import BatchStored, Event, Invoked, OffsetCommitted, ShipmentStalled, TimePassed
from lifecycle.machine.flush import CROWDED_SHARE, FIRST_PROBE_S, LONGEST_PROBE_S, FlushPolicy, Traffic
from lifecycle.machine.machine import UNHELD_SHIPMENT_S, State
from tests.lifecycle.machine.conversation import alone, machine

CAPACITY_BYTES = 8_388_608
RUN_S = 0.005
BATCH_BYTES = 1000


class Busy:
    """Runs invocations of five milliseconds, one after the other, a kilobyte each, frozen between.

    Args:
        hangs: Whether the destination, while it is down, hangs, or refuses at once.
        idle_s: Between two invocations.
    """

    def __init__(self, *, hangs: bool = False, idle_s: float = 0.0) -> None:
        traffic = Traffic(10.0)
        policy = FlushPolicy(traffic, "end", interval_s=10.0, budget_s=0.5, jitter=lambda: 1.0)
        self.machine = alone(traffic, policy, capacity_bytes=CAPACITY_BYTES)
        self.now = self.end = 0.0
        self.probed_at: list[float] = []
        self.held_s = 0.0
        self.is_up = True
        self._hangs = hangs
        self._idle_s = idle_s
        self._ship: Ship | None = None
        self._until = 0

    @property
    def waiting_bytes(self) -> int:
        """What has not been delivered."""
        return self.machine.routes[0].shipments.waiting_bytes

    def invoke(self) -> None:
        """One invocation, to the moment when the next event is asked for."""
        request_id = str(self.now)
        self._do(self.machine.handle(Invoked(request_id, self.now + 3.0), self.now))
        self._go_on()
        self.now += RUN_S
        start, self._until = self._until, self._until + BATCH_BYTES
        if self._until - self.machine.routes[0].shipments.shipped <= CAPACITY_BYTES:
            self._do(self.machine.handle(BatchStored(start, self._until, finished=(request_id,)), self.now))
        else:
            self._until = start
        self._go_on()
        returned = self.now
        while self.machine.state is not State.WAITING:
            self.now += 0.001
            self._go_on()
        self.held_s = max(self.held_s, self.now - returned)
        self.now += self._idle_s

    def _do(self, commands: list[Command]) -> None:
        for command in commands:
            if isinstance(command, Ship):
                self._ship = command
                self.probed_at.append(self.now)
            assert not isinstance(command, FetchNext) or self.machine.state is State.WAITING

    def _go_on(self) -> None:
        """The shipper at its shipment."""
        ship = self._ship
        if ship is None:
            return
        if self.is_up:
            self._ship = None
            self._do(self.machine.handle(OffsetCommitted(ship.until), self.now))
        elif not self._hangs or self.now >= ship.deadline:
            self._ship = None
            self._do(self.machine.handle(ShipmentStalled("connect"), self.now))


@pytest.mark.parametrize("hangs", [False, True])
@pytest.mark.parametrize("down_s", [5.0, 20.0, 70.0])
def test_what_a_busy_function_gathers_is_delivered_soon_after_the_destination_is_back(
    down_s: float, *, hangs: bool
) -> None:
    """The pause is not a minute's worth of thousands of invocations, and none of them is held for it."""
    busy = Busy(hangs=hangs)
    busy.invoke()
    busy.is_up = False
    while busy.now < down_s:
        busy.invoke()
    busy.is_up = True
    back_at = busy.now
    most_s = FIRST_PROBE_S + (UNHELD_SHIPMENT_S if hangs else 0.0)
    crowded_s = CROWDED_SHARE * CAPACITY_BYTES / BATCH_BYTES * RUN_S
    while busy.waiting_bytes and busy.now < back_at + 100:
        busy.invoke()
    assert busy.now - back_at <= max(most_s, crowded_s) + RUN_S
    assert busy.held_s <= 0.5


def test_probes_of_a_busy_function_are_a_pause_apart() -> None:
    """However much waits: the destination is in trouble, and shipping is not free for the function either."""
    busy = Busy()
    busy.is_up = False
    while busy.now < 100.0:
        busy.invoke()
    pauses = [later - sooner for sooner, later in pairwise(busy.probed_at[2:])]
    assert min(pauses) >= FIRST_PROBE_S
    assert max(pauses) < 10.0


def test_quiet_function_probes_once_a_minute() -> None:
    """Nothing gathers that would be too much."""
    quiet = Busy(idle_s=10.0)
    quiet.is_up = False
    while quiet.now < 3600.0:
        quiet.invoke()
    pauses = [later - sooner for sooner, later in pairwise(quiet.probed_at)]
    assert max(pauses) == pytest.approx(LONGEST_PROBE_S, abs=10.0)
    assert len(quiet.probed_at) < 100


class Healthy:
    """Runs invocations, frozen between, with a destination that answers each request in its own time.

    Args:
        mode: Of the flush policy.
        answers_s: How long each request takes in turn, for ever the last.
    """

    def __init__(self, mode: str, answers_s: list[float]) -> None:
        traffic = Traffic(2.0)
        policy = FlushPolicy(traffic, mode, interval_s=2.0, budget_s=0.5, jitter=lambda: 1.0)
        self.machine = alone(traffic, policy, capacity_bytes=CAPACITY_BYTES)
        self.now = 0.0
        self._answers_s = answers_s
        self._ship: Ship | None = None
        self._answered_at = 0.0
        self._until = 0

    def invoke(self, run_s: float, age_s: float, frozen_s: float) -> None:
        """One invocation to its end, and the freeze after it."""
        request_id = str(self.now)
        self._tell(Invoked(request_id, self.now + 60.0))
        self._pass_time(run_s + age_s)
        start, self._until = self._until, self._until + BATCH_BYTES
        self._tell(BatchStored(start, self._until, (request_id,), (), age_s))
        while self.machine.state is not State.WAITING:
            self._pass_time(0.001)
        self.now += frozen_s
        self._answer()

    def _pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            wakes_at = self.machine.wakes_at
            moments = [until] if wakes_at is None else [until, max(self.now, wakes_at)]
            moments += [max(self.now, min(self._answered_at, self._ship.deadline))] if self._ship else []
            self.now = min(moments)
            self._answer()
            if wakes_at is not None and self.now >= wakes_at:
                self._tell(TimePassed())

    def _answer(self) -> None:
        ship = self._ship
        if ship and self.now >= self._answered_at:
            self._ship = None
            self._tell(OffsetCommitted(ship.until))
        elif ship and self.now >= ship.deadline:
            self._ship = None
            self._tell(ShipmentStalled("deadline", deadline=ship.deadline))

    def _tell(self, event: Event) -> None:
        for command in self.machine.handle(event, self.now):
            if isinstance(command, Ship):
                if self._ship is None:
                    answer_s = self._answers_s.pop(0) if len(self._answers_s) > 1 else self._answers_s[0]
                    self._answered_at = self.now + answer_s
                self._ship = command


@example("end", [0.4], [(1.0, 0.25, 1.0)] * 8)
@given(
    st.sampled_from(["end", "adaptive", "interval"]),
    st.lists(st.floats(0.001, 0.4), min_size=1, max_size=20),
    st.lists(st.tuples(st.floats(0.001, 3.0), st.floats(0.0, 0.3), st.floats(0.0, 60.0)), max_size=30),
)
def test_destination_that_answers_within_the_budget_never_opens_the_breaker(
    mode: str, answers_s: list[float], invocations: list[tuple[float, float, float]]
) -> None:
    """However long functions run and environments are frozen, and though the news of many an end comes late."""
    life = Healthy(mode, answers_s)
    for number, (run_s, age_s, frozen_s) in enumerate(invocations):
        life.invoke(run_s, age_s if number % 4 else 0.025, frozen_s)
        assert not life.machine.routes[0].policy.is_open


@pytest.mark.parametrize("is_late", [True, False])
def test_answers_that_the_next_shipment_finds_are_no_quick_ones(*, is_late: bool) -> None:
    """The destination takes longer than any hold, and is frozen within each: what it owes is there at once after it."""
    subject = machine()
    for number in range(6):
        at = 10.0 * number
        subject.handle(Invoked(str(number), at + 3.0), at)
        subject.handle(BatchStored(100 * number, 100 * (number + 1), finished=(str(number),)), at + 0.005)
        if number:
            subject.handle(OffsetCommitted(100 * number, is_late=is_late), at + 0.006)
        current = subject.routes[0].shipments.current
        if current:
            subject.handle(ShipmentStalled("deadline", deadline=current.deadline), current.deadline)
    assert subject.routes[0].policy.is_open is is_late


@pytest.mark.parametrize(("is_answer", "is_late"), [(False, False), (True, True)])
def test_hold_whose_own_request_is_not_answered_is_one_in_vain_whatever_else_is_told_at_its_end(
    *, is_answer: bool, is_late: bool
) -> None:
    """Some records need no destination, and what an earlier shipment asked for is answered now: neither is its own."""
    subject = machine("end", budget_s=0.5)
    for number in range(2):
        at = 10.0 * number
        assert not subject.routes[0].policy.is_open
        subject.handle(Invoked(str(number), at + 3.0), at)
        subject.handle(BatchStored(100 * number, 100 * (number + 1), finished=(str(number),)), at + 0.025)
        current = subject.routes[0].shipments.current
        assert current is not None
        news = OffsetCommitted(100 * number + 10, is_answer=is_answer, is_late=is_late)
        subject.handle(news, current.deadline - 0.001)
        subject.handle(ShipmentStalled("deadline", deadline=current.deadline), current.deadline)
    assert subject.routes[0].policy.is_open


def test_breaker_stays_open_through_a_shipment_of_which_the_destination_saw_nothing() -> None:
    """All of it was dropped here: that says nothing of who was down. What he answers does, whatever ends it."""
    subject = machine("end", budget_s=0.5)
    route = subject.routes[0]
    while not route.policy.is_open:
        route.policy.failed(0.0)
    for number, is_answer in enumerate((False, True)):
        at, begin = 100.0 * (number + 1), 200 * number
        subject.handle(BatchStored(begin, begin + 200), at)
        subject.handle(Invoked(str(number), at + 30.0), at + 1.0)
        assert route.shipments.current is not None
        subject.handle(OffsetCommitted(begin + 100, is_answer=is_answer), at + 1.1)
        subject.handle(OffsetCommitted(begin + 200, is_answer=False), at + 1.2)
        assert route.shipments.current is None
        assert route.policy.is_open is not is_answer
