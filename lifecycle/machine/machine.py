"""The supervisor's state machine: events in, commands out. No clock, no socket, no logger.

It knows offsets and moments, never records. Every moment is monotonic seconds, passed in. `TABLE` says for each state
and event where it may lead and what it may order; `Machine` decides which, and cannot leave the table.

The states are about GET /event/next: the platform may freeze the environment whenever that question is out and the
function has returned, so withholding it is the one means to get time after the function's return.
"""

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from enum import Enum

import msgspec

from lifecycle.machine.awake import AwakeLimits
from lifecycle.machine.backoff import NextRetry
from lifecycle.machine.commands import (
    Command,
    Exit,
    FetchNext,
    KillWorker,
    Ping,
    Release,
    Ship,
    StartWorker,
    WarnOfDeaths,
)
from lifecycle.machine.events import (
    BatchStored,
    Event,
    ExportsSettled,
    ExportStored,
    IntakeHeld,
    Invoked,
    NextFailed,
    OffsetCommitted,
    ShipmentStalled,
    ShutdownRequested,
    TimePassed,
    UnknownEventReceived,
    WorkerAnswered,
    WorkerExited,
    WorkerReady,
)
from lifecycle.machine.flush import Choice, FlushPolicy
from lifecycle.machine.invocation import Invocation
from lifecycle.machine.restarts import DEATHS_TO_FAIL, Restarts
from lifecycle.machine.shipments import Shipments
from lifecycle.machine.shutdown import GONE_S, SHUTDOWN_MARGIN_S, Shutdown, Step

# A held shipment is ordered to end this long before the hold does, so that its last report arrives in time.
REPORT_MARGIN_S = 0.02

# Share of the time that a hold has at best for an answer: so long without one is a whole hold without one.
WHOLE_SHARE = 0.9

# Shipments that hold nothing: long enough for a slow destination, short enough to notice a dead one.
UNHELD_SHIPMENT_S = 10.0

# A shipment that would have been due this long ago, while the environment could be frozen, says that it was.
THAW_S = 0.2

# Batches with the ends of invocations that are remembered: the end of a short one can be read before its INVOKE,
# when this process is late.
MOST_REMEMBERED = 4

COLLECTOR, SHIPPER = WORKERS = ("collector", "shipper")

# By then and the platform's buffer an invocation's start has been stored. If not, the collector is asked whether it is
# there; if it does not answer in time, the invocation waits for it no longer: 225 ms all together, by default.
STORED_WITHIN_S = 0.05
ANSWERS_WITHIN_S = 0.15

# While the end of a function is waited for, or that of a shipment at shutdown, whoever is to tell it is asked again
# when nothing was heard of it for so long: stuck meanwhile, it would have the wait last until a deadline.
ASKED_EVERY_S = 0.25

# Silent for so long, a collector is stuck, and replaced. Not sooner: with a small share of a processor it may only be
# slow, and a successor would be no faster.
STUCK_AFTER_S = 2.0

# The shipper is asked when it is late with a shipment, and both are at shutdown: who does not answer within this is
# replaced while there is something that a successor can do. It looks at its commands whenever it waits, and between any
# two records.
SHIPPER_ANSWERS_WITHIN_S = 0.5

# Reasons to ask for the next event that say why the end of the invocation is not known, nor how long it was held.
END_NOT_TOLD = "end_not_told"
BACKLOG_JAMMED = "backlog_jammed"
_ENDS_UNKNOWN = (END_NOT_TOLD, BACKLOG_JAMMED)

# The limit within which a shipment that is late is to end, and that within which a silent collector is to be heard.
_SHIPMENT = "shipment"
_SILENCE = "silence"


class IllegalEventError(Exception):
    """The state does not allow the event."""


class UnlistedError(Exception):
    """The machine was about to do what its table does not have: a fault of its own."""


class State(Enum):
    """What the supervisor waits for."""

    WAITING = "waiting"
    """/next is out: the platform may freeze the environment."""
    HOLDING = "holding"
    """An invocation runs or has just ended; /next is withheld until it is finished and delivered."""
    OVERLAPPING = "overlapping"
    """An invocation runs; /next is withheld until the shipment alongside ends."""
    REFUSED = "refused"
    """The platform refused /next; it is asked again later."""
    DRAINING = "draining"
    """SHUTDOWN came; the last telemetry is being collected."""
    CLOSING = "closing"
    """The last shipment is under way."""
    CLOSED = "closed"
    """All is done; terminal."""


class Row(msgspec.Struct, frozen=True):
    """What may come of an event: the states it may lead to, and the commands it may order."""

    leads_to: frozenset[State]
    orders: frozenset[type[Command]]

    def check(self, state: State, commands: Collection[Command]) -> None:
        """Holds what an event came to against the row.

        Raises:
            UnlistedError: The row does not have it.
        """
        if state not in self.leads_to or not self.orders.issuperset(map(type, commands)):
            named = ", ".join(type(command).__name__ for command in commands)
            raise UnlistedError(f"got {named or 'nothing'} and then {state.value}, expected what the table lists")


def _row(leads_to: Iterable[State], *orders: type[Command]) -> Row:
    at_any_time = (StartWorker, Ping, KillWorker)  # workers die, and hang, whatever the state is
    return Row(frozenset(leads_to), frozenset((*at_any_time, *orders)))


_WAITING, _HOLDING, _OVERLAPPING, _REFUSED = State.WAITING, State.HOLDING, State.OVERLAPPING, State.REFUSED
_END = (State.DRAINING, State.CLOSING, State.CLOSED)
_CLOSING = (State.CLOSING, State.CLOSED)


def _rows(
    leads_to: Iterable[State], *orders: type[Command], at_shutdown: Iterable[State] = _END
) -> dict[type[Event], Row]:
    """What may come of the events that are legal in every state but the last.

    A signal stands for a SHUTDOWN at any time, so that one is legal while /next is withheld, too.
    """
    usual = _row(leads_to, *orders)
    return {
        ShutdownRequested: _row(at_shutdown, Ship, Exit),
        BatchStored: usual,
        ExportStored: usual,
        ExportsSettled: usual,
        IntakeHeld: usual,
        OffsetCommitted: _row(leads_to, *orders, Release),
        ShipmentStalled: usual,
        WorkerExited: _row(leads_to, *orders, WarnOfDeaths),
        WorkerReady: usual,
        WorkerAnswered: usual,
        TimePassed: usual,
    }


# An event that a state does not list is illegal there.
TABLE: dict[State, dict[type[Event], Row]] = {
    State.WAITING: {
        Invoked: _row((_WAITING, _HOLDING, _OVERLAPPING), FetchNext, Ship),
        NextFailed: _row((_WAITING, _REFUSED, *_END), FetchNext, Ship, Exit),
        UnknownEventReceived: _row((_WAITING,), FetchNext, Ship),
        **_rows((_WAITING,), Ship),
    },
    State.HOLDING: _rows((_HOLDING, _WAITING), FetchNext, Ship),
    State.OVERLAPPING: _rows((_OVERLAPPING, _WAITING), FetchNext, Ship),
    State.REFUSED: _rows((_REFUSED, _WAITING), FetchNext, Ship),
    State.DRAINING: _rows(_END, Ship, Exit),
    State.CLOSING: _rows(_CLOSING, Ship, Exit, at_shutdown=_CLOSING),
    State.CLOSED: {},
}


class Machine:
    """Decides what the supervisor does.

    Args:
        policy: When to ship.
        capacity_bytes: Size of the backlog.
        buffer_s: How long the platform holds a batch back.
        freezes: Whether the environment is frozen between invocations.
        now: The present moment.

    Attributes:
        state: What is waited for; changed by `handle` alone.
        policy: When to ship.
        shipments: Where the backlog stands.
        held_in_vain_s: How long invocations were held since the last delivery, for nothing.
    """

    def __init__(self, policy: FlushPolicy, *, capacity_bytes: int, buffer_s: float, freezes: bool, now: float) -> None:
        self.state = State.WAITING
        self.policy = policy
        self.shipments = Shipments(capacity_bytes, now)
        self.held_in_vain_s = 0.0
        self._buffer_s = buffer_s
        self._freezes = freezes
        self._restarts = Restarts(now)
        self._next_retry = NextRetry()
        self._ask_at = 0.0
        self._invocation: Invocation | None = None
        self._remembered: deque[tuple[float, BatchStored]] = deque(maxlen=MOST_REMEMBERED)
        self._shutdown: Shutdown | None = None
        self._limits = AwakeLimits(now)
        self._heard_at = dict.fromkeys(WORKERS, now)
        self._handled_at = now

    def handle(self, event: Event, now: float) -> list[Command]:
        """Takes one event.

        Returns:
            What to do, in order.

        Raises:
            IllegalEventError: The state does not allow the event; nothing changed.
            UnlistedError: The table does not have what was about to be done.
        """
        row = TABLE[self.state].get(type(event))
        if row is None:
            raise IllegalEventError(f"{type(event).__name__} while {self.state.value}")
        self._limits.pass_time(now)
        commands = list(self._take(event, now))
        commands += [StartWorker(worker) for worker in self._restarts.due(now)]
        self.policy.filled(self.shipments.waiting_share)
        commands += self._go_on(now)
        if self.shipments.current or self._limits.are_running:
            commands += self._watch_shipment(now)
        row.check(self.state, commands)
        self._handled_at = now
        return commands

    @property
    def wakes_at(self) -> float | None:
        """When `TimePassed` is to be handled if nothing else happens before; None: there is no need."""
        moments = [self._due_at, self._restarts.wakes_at, self._limits.wakes_at, *map(self._asks_at, WORKERS)]
        if self.shipments.current and not self._limits.is_running(_SHIPMENT):
            moments.append(self.shipments.current.late_at)
        match self.state:
            case State.HOLDING | State.OVERLAPPING if self._invocation:
                moments.append(self._invocation.hold_ends)
                if self._invocation.finished_at is None:
                    moments.append(self.shipments.jammed_at(self.policy.budget_s))
            case State.REFUSED:
                moments.append(self._ask_at)
            case State.DRAINING | State.CLOSING if self._shutdown:
                moments += self._shutdown.wakes_at(
                    self.shipments,
                    self._handled_at,
                    is_reported=self._is_reported,
                    collects_since=self._collects_since,
                    can_ship=self._can_ship,
                    collects=self.state is State.DRAINING,
                    is_quick=self.policy.is_quick,
                )
        return min((moment for moment in moments if moment is not None), default=None)

    # What follows from what is known.

    @property
    def _can_ship(self) -> bool:
        """Whether there is a shipper to take commands."""
        return self._restarts.is_alive(SHIPPER)

    @property
    def _may_have_frozen(self) -> bool:
        """Whether the environment may have been frozen lately."""
        return self._freezes and self.state is State.WAITING

    @property
    def _is_running(self) -> bool:
        """Whether a function or its init runs, as far as known: the environment is not frozen."""
        return not self._freezes or self._invocation is None or self._invocation.finished_at is None

    @property
    def _collects_since(self) -> float | None:
        """Since when there is a collector; None while it is missing, or owes an answer."""
        return None if self._limits.is_running(COLLECTOR) else self._restarts.started_at(COLLECTOR)

    @property
    def _is_reported(self) -> bool:
        """Whether the last invocation's platform.report has come."""
        return self._invocation is not None and self._invocation.is_reported

    def _missing_at(self, moment: float) -> str:
        """The worker that is not there to do its part by then, so that nobody may wait for it; "" if both are."""
        if not self._restarts.have_deaths:
            return ""
        for worker in WORKERS:
            if self._restarts.is_failing(worker) or not self._restarts.is_back_by(worker, moment):
                return worker
        return ""

    def _is_jammed(self, now: float) -> bool:
        """Whether the backlog fills and the destination takes nothing: then nobody may wait for its news."""
        jammed_at = self.shipments.jammed_at(self.policy.budget_s)
        return jammed_at is not None and now >= jammed_at

    @property
    def _due_at(self) -> float | None:
        """When a shipment alongside a running function is due; None when there is none to make."""
        may_run = self.state in (State.WAITING, State.REFUSED) and self._is_running
        if self.state is State.HOLDING and self._invocation:
            may_run = self._invocation.finished_at is None
        if not may_run or not self._can_ship or not self.shipments.waiting_bytes:
            return None
        last_call_at = self._invocation.last_call_at if self._invocation else None
        timed = None
        if not self.shipments.current:
            timed = self.policy.due_at(self.shipments.waiting_since, self.shipments.last_ended)
        return min((at for at in (last_call_at, timed) if at is not None), default=None)

    def _asks_at(self, worker: str) -> float | None:
        """When a worker is asked whether it is there; None while it owes nothing, or has been asked."""
        ready = self._restarts.ready_since(worker)
        is_asked = self._limits.is_running(worker) or self._limits.is_running(_SILENCE)
        if ready is None or is_asked or self.state is State.CLOSED:
            return None
        heard_at = self._heard_at[worker]
        if worker == SHIPPER:
            return heard_at + ASKED_EVERY_S if self._shutdown and self.shipments.current else None
        invocation = self._invocation
        may_run = self.state in (State.WAITING, State.HOLDING, State.OVERLAPPING)
        if not may_run or not invocation or invocation.finished_at is not None:
            return None
        if heard_at < max(invocation.began, ready):
            return max(invocation.began, ready) + self._buffer_s + STORED_WITHIN_S
        return heard_at + ASKED_EVERY_S if self.state is State.HOLDING else None

    # What happened.

    def _take(self, event: Event, now: float) -> Iterator[Command]:
        match event:
            case Invoked():
                yield from self._begin_invocation(event, now)
            case ShutdownRequested():
                yield from self._begin_shutdown(event.deadline - SHUTDOWN_MARGIN_S, now)
            case UnknownEventReceived():
                yield FetchNext("unknown_event")  # it was answered: there is nothing to wait for
            case NextFailed():
                yield from self._take_failure(event, now)
            case BatchStored() | ExportStored() | ExportsSettled():
                self._take_stored(event, now)
            case IntakeHeld():
                self.shipments.intake_held()
                self._heard(COLLECTOR, now)
                self._restarts.progressed(COLLECTOR)  # it lives; the room is another matter
            case OffsetCommitted():
                yield from self._take_progress(event, now)
            case ShipmentStalled():
                self._take_stall(event, now)
            case WorkerReady():
                self._restarts.ready(event.worker, now)
            case WorkerAnswered():
                self._heard(event.worker, now)
            case WorkerExited():
                yield from self._take_death(event, now)
            case _:
                pass  # TimePassed is an occasion to look again

    def _begin_invocation(self, event: Invoked, now: float) -> Iterator[Command]:
        self._invocation = invocation = Invocation(
            event.request_id, event.deadline, now, budget_s=self.policy.budget_s, buffer_s=self._buffer_s
        )
        for stored_at, batch in self._remembered:
            invocation.stored(batch, stored_at)
        self._next_retry.answered()
        self.shipments.forget_stall()
        decision = self.policy.invoked(now, self.shipments.waiting_since)
        choice, reason = decision.choice, decision.reason
        missing = self._missing_at(now + self.policy.budget_s)
        if missing and choice is not Choice.ALONGSIDE:
            choice, reason = Choice.RELEASE, f"{missing}_missing"
        elif self._is_jammed(now):
            choice, reason = Choice.RELEASE, BACKLOG_JAMMED
        elif choice is Choice.RELEASE and self.shipments.current and self.policy.may_withhold:
            choice, reason = Choice.OVERLAP, "shipment_under_way"
        match choice:
            case Choice.HOLD:
                self.state = State.HOLDING
            case Choice.OVERLAP:
                self.state = State.OVERLAPPING
                yield from self._ship(now, invocation.hold_ends - REPORT_MARGIN_S, reason)
            case Choice.RELEASE:
                yield FetchNext(reason)
            case Choice.ALONGSIDE:
                yield FetchNext(reason)
                yield from self._ship(now, now + UNHELD_SHIPMENT_S, reason)

    def _begin_shutdown(self, ends_at: float, now: float, *, exit_status: int = 0) -> Iterator[Command]:
        if self._shutdown:
            self._shutdown.hasten(ends_at)
            return
        self.state = State.DRAINING
        self._shutdown = Shutdown(ends_at, now, buffer_s=self._buffer_s, exit_status=exit_status)
        self.shipments.forget_stall()
        self._restarts.hasten(now)
        if self._limits.is_running(_SILENCE):  # there is no time to give it more
            self._limits.end(_SILENCE)
            yield from self._kill(COLLECTOR)
        for worker in WORKERS:
            if self._restarts.ready_since(worker) is not None:
                yield from self._ask(worker, SHIPPER_ANSWERS_WITHIN_S)

    def _take_failure(self, event: NextFailed, now: float) -> Iterator[Command]:
        self._next_retry.failed(event.status)
        if self._next_retry.is_platform_gone:
            yield from self._begin_shutdown(now + GONE_S, now, exit_status=1)
        else:
            self.state = State.REFUSED
            self._ask_at = now + self._next_retry.pause_s

    def _take_stored(self, event: BatchStored | ExportStored | ExportsSettled, now: float) -> None:
        self._restarts.progressed(COLLECTOR)
        match event:
            case BatchStored():
                self._take_batch(event, now)
            case ExportStored():
                self.shipments.stored(event.start, event.end, now, is_platform=False)
            case ExportsSettled():
                for at, (stored_at, batch) in enumerate(self._remembered):
                    self._remembered[at] = stored_at, msgspec.structs.replace(batch, begun=0)
                if self._invocation:
                    self._invocation.exports_settled(event.through)

    def _take_batch(self, event: BatchStored, now: float) -> None:
        self.shipments.stored(event.start, event.end, now)
        self._heard(COLLECTOR, now)
        if event.finished:
            self.policy.finished()
        if event.finished or event.reported:
            self._remembered.append((now, event))
        if self._invocation:
            self._invocation.stored(event, now)

    def _take_progress(self, event: OffsetCommitted, now: float) -> Iterator[Command]:
        if event.through > self.shipments.shipped and self._restarts.is_alive(COLLECTOR):  # else it is told anew
            yield Release(event.through)
        took_s = self.shipments.unanswered_s(now)
        is_known = took_s <= self.policy.budget_s or not self._may_have_frozen
        if event.through > self.shipments.shipped or event.skip > self.shipments.skip:
            self.policy.answered(took_s)
        current = self.shipments.current
        # Unless the last one ends so, the command for that one crossed this on the way, and is under way now.
        waits = event.waits and (event.is_final or current is None or not current.is_final)
        if self.shipments.committed(event.through, event.skip, now, owes=event.owes, waits=waits):
            self.policy.delivered(now, took_s if is_known else None)
            self.held_in_vain_s = 0.0
        self._restarts.progressed(SHIPPER)
        self._heard(SHIPPER, now)

    def _take_stall(self, event: ShipmentStalled, now: float) -> None:
        self._heard(SHIPPER, now)
        current = self.shipments.current
        is_before = current is not None and current.is_final and not event.is_final
        if current is None or event.deadline not in (None, current.deadline) or is_before:
            return  # a command crossed it on the way, and is under way now
        if self._shutdown and self._shutdown.forgives(self.shipments):
            self.shipments.ended(now)
            return
        if self._shutdown:
            self._shutdown.stalled(now, event.retry_after_s)
        is_out_of_time = now >= current.deadline - REPORT_MARGIN_S
        whole_s = WHOLE_SHARE * (self.policy.budget_s - self._buffer_s - REPORT_MARGIN_S)
        was_asked_long = self.shipments.unanswered_s(now) >= whole_s and not self._may_have_frozen
        self.shipments.stalled(now)
        self.policy.failed(now, retry_after_s=event.retry_after_s, is_short=is_out_of_time and not was_asked_long)

    def _take_death(self, event: WorkerExited, now: float) -> Iterator[Command]:
        was_idle = event.worker == SHIPPER and event.was_ready and not self.shipments.current
        if event.worker == SHIPPER and self.shipments.current:
            self.shipments.ended(now)
            self.policy.failed(now)
        self._heard(event.worker, now)
        self._restarts.died(event.worker, now, was_idle=was_idle)
        if event.worker == COLLECTOR and self._invocation:
            self._invocation.collector_died(now, again=self._restarts.deaths(COLLECTOR) > 1)
        if self._restarts.deaths(event.worker) == DEATHS_TO_FAIL:
            yield WarnOfDeaths(event.worker)

    # What to do about it.

    def _go_on(self, now: float) -> Iterator[Command]:
        if self._limits.are_running:
            yield from self._replace_stuck(now)
        match self.state:
            case State.WAITING:
                yield from self._ship_alongside(now)
            case State.HOLDING if self._invocation:
                yield from self._hold(self._invocation, now)
            case State.OVERLAPPING if self._invocation:
                yield from self._overlap(self._invocation, now)
            case State.REFUSED:
                yield from self._ship_alongside(now)
                if now >= self._ask_at:
                    self.state = State.WAITING
                    yield FetchNext("asked_again")
            case State.DRAINING | State.CLOSING if self._shutdown:
                yield from self._shut_down(self._shutdown, now)
        for worker, within_s in ((COLLECTOR, ANSWERS_WITHIN_S), (SHIPPER, SHIPPER_ANSWERS_WITHIN_S)):
            asks_at = self._asks_at(worker)
            if asks_at is not None and now >= asks_at:
                yield from self._ask(worker, within_s)

    def _ask(self, worker: str, within_s: float) -> Iterator[Command]:
        """Whether it is there; whatever it says is an answer."""
        self._limits.begin(worker, within_s)
        yield Ping(worker)

    def _kill(self, worker: str) -> Iterator[Command]:
        self._restarts.killed(worker)
        yield KillWorker(worker)

    def _heard(self, worker: str, now: float) -> None:
        """A worker is there, or there is a new one."""
        self._heard_at[worker] = now
        self._limits.end(worker)
        if worker == COLLECTOR:
            self._limits.end(_SILENCE)

    def _watch_shipment(self, now: float) -> Iterator[Command]:
        """A shipment that is late is to end within a time that the shipper is awake, if it is there at all."""
        current = self.shipments.current
        if current is None or now < current.late_at:
            self._limits.end(_SHIPMENT)
        elif not self._limits.is_running(_SHIPMENT):
            self._limits.begin(_SHIPMENT, current.grace_s)
            if self._restarts.ready_since(SHIPPER) is not None and not self._limits.is_running(SHIPPER):
                yield from self._ask(SHIPPER, SHIPPER_ANSWERS_WITHIN_S)

    def _replace_stuck(self, now: float) -> Iterator[Command]:
        """Ends workers that did not do what they owe, though they were awake."""
        current = self.shipments.current
        is_silent = self._limits.is_over(COLLECTOR)
        if is_silent:
            self._limits.end(COLLECTOR)
            self._limits.begin(_SILENCE, STUCK_AFTER_S)
            if self._invocation:
                self._invocation.collector_died(now, again=True)
        if self._limits.is_over(_SILENCE) or (is_silent and self._shutdown):
            self._limits.end(_SILENCE)
            yield from self._kill(COLLECTOR)
        if not self._limits.is_over(SHIPPER) and not self._limits.is_over(_SHIPMENT):
            return
        if current and not self._shutdown:
            self.shipments.stalled(now)
            self.policy.failed(now)
        elif current:
            self.shipments.ended(now)  # there is time for a successor to ship it all
        self._limits.end(SHIPPER)
        self._limits.end(_SHIPMENT)
        yield from self._kill(SHIPPER)

    def _hold(self, invocation: Invocation, now: float) -> Iterator[Command]:
        """An invocation is held until it is finished and delivered."""
        shipments = self.shipments
        current = shipments.current
        is_finished = invocation.finished_at is not None
        missing = self._missing_at(invocation.hold_ends)
        if is_finished and not invocation.awaits_exports and shipments.shipped >= invocation.hold_through:
            yield from self._let_go(now, "delivered")
        elif missing:
            yield from self._let_go(now, f"{missing}_missing")
        elif is_finished and shipments.has_stalled and current is None:
            yield from self._let_go(now, "not_delivered")
        elif now >= invocation.hold_ends:
            if not is_finished:
                self.policy.unfinished()
            yield from self._let_go(now, "budget_spent" if is_finished else END_NOT_TOLD)
        elif not is_finished and self._is_jammed(now):
            yield from self._let_go(now, BACKLOG_JAMMED)
        elif not is_finished and self.policy.is_open:
            yield from self._let_go(now, "breaker_open")
        elif not is_finished:
            yield from self._ship_alongside(now)
        elif current is None or not current.is_held or current.until < invocation.hold_through:
            yield from self._ship(now, invocation.hold_ends - REPORT_MARGIN_S, "invocation_finished", is_held=True)

    def _overlap(self, invocation: Invocation, now: float) -> Iterator[Command]:
        """/next waits for the shipment alongside."""
        shipments = self.shipments
        current = shipments.current
        missing = self._missing_at(invocation.hold_ends)
        if missing:
            yield from self._let_go(now, f"{missing}_missing")
        elif current is None:
            yield from self._let_go(now, "not_delivered" if shipments.has_stalled else "delivered")
        elif now >= invocation.hold_ends:
            yield from self._let_go(now, "budget_spent")
        elif invocation.finished_at is None and self._is_jammed(now):
            yield from self._let_go(now, BACKLOG_JAMMED)
        elif invocation.finished_at is not None and not current.is_held:
            yield from self._ship(now, invocation.hold_ends - REPORT_MARGIN_S, "invocation_finished", is_held=True)

    def _let_go(self, now: float, reason: str) -> Iterator[Command]:
        held_since = self._invocation.finished_at if self._invocation else None
        if held_since is None and self._invocation and reason in _ENDS_UNKNOWN:
            # It may have returned as soon as it was last heard of: what it was held for is not made little of.
            held_since = max(self._invocation.began, self.shipments.last_stored - self._buffer_s)
        self.state = State.WAITING
        held_s = 0.0 if held_since is None else now - held_since
        self.held_in_vain_s += held_s
        yield FetchNext(reason, held_s)
        yield from self._ship_alongside(now)

    def _ship_alongside(self, now: float) -> Iterator[Command]:
        """Shipments that hold nothing: a deadline is near, the backlog fills, the interval has passed."""
        invocation, due_at = self._invocation, self._due_at
        ends_at = now + UNHELD_SHIPMENT_S
        if self.state is State.HOLDING and invocation:
            ends_at = min(ends_at, invocation.hold_ends - REPORT_MARGIN_S)  # in flight over the freeze it would die
        if due_at is not None and now >= due_at + THAW_S and self._may_have_frozen and invocation:
            invocation.thawed(now)
        elif due_at is not None and now >= due_at:
            reason = "interval_passed"
            if invocation and invocation.last_call_at and now >= invocation.last_call_at:
                invocation.called_last()
                reason = "deadline_near"
            yield from self._ship(now, ends_at, reason)
        elif self._is_running and self._fills(now):
            yield from self._ship(now, ends_at, "backlog_half_full")

    def _fills(self, now: float) -> bool:
        """Whether more than half of the backlog waits and nothing is done about it."""
        return self.shipments.waiting_share > 1 / 2 and self.shipments.current is None and self.policy.may_ship(now)

    def _ship(self, now: float, deadline: float, reason: str, *, is_held: bool = False) -> Iterator[Command]:
        """A shipment of all that waits, if anything does and somebody can make it."""
        if self.shipments.waiting_bytes and self._can_ship:
            is_final = self.state is State.CLOSING
            yield self.shipments.order(now, deadline, reason, is_held=is_held, is_final=is_final)

    def _shut_down(self, shutdown: Shutdown, now: float) -> Iterator[Command]:
        """Collects what still comes, ships what there is, and ends."""
        shipments = self.shipments
        is_reported, since = self._is_reported, self._collects_since
        closes_at = shutdown.closes_at(shipments, is_reported=is_reported, collects_since=since)
        if self.state is State.DRAINING and now >= closes_at:
            self.state = State.CLOSING
            shipments.forget_stall()  # whatever came of it while collecting: one last try
        step = shutdown.next_step(
            shipments,
            now,
            is_collected=now >= shutdown.collected_at(shipments, is_reported=is_reported, collects_since=since),
            can_ship=self._can_ship,
            collects=self.state is State.DRAINING,
            is_quick=self.policy.is_quick,
        )
        match step:
            case Step.SHIP:
                yield from self._ship(now, shutdown.ends_at, "shutdown")
            case Step.SETTLE:
                yield shipments.order(now, shutdown.ends_at, "shutdown", is_held=False, is_final=True)
            case Step.CUT:
                self._limits.end(_SHIPMENT)
                yield shipments.cut(now, "stale")
            case Step.EXIT:
                self.state = State.CLOSED
                yield Exit(shutdown.exit_status)
            case Step.WAIT:
                pass
