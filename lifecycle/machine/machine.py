"""The supervisor's state machine: events in, commands out. No clock, no socket, no logger.

It knows offsets and moments, never records. Every moment is monotonic seconds, passed in. `TABLE` says for each state
and event where it may lead and which commands it may bring; `Machine` decides which, and cannot leave the table.

There is one function, one platform and one collector; what there is of each route is in `route`.

The states are about GET /event/next: the platform may freeze the environment whenever that question is out and the
function has returned, so withholding it is the one means to get time after the function's return.
"""

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence

import msgspec

from lifecycle.contract.enums import Enum
from lifecycle.contract.wire import CRASHED, SECRET, UNREDACTABLE
from lifecycle.machine.awake import AwakeLimits
from lifecycle.machine.backoff import NextRetry
from lifecycle.machine.commands import (
    COLLECTOR,
    Command,
    Exit,
    FetchNext,
    GiveUp,
    KillWorker,
    PassBy,
    Ping,
    Release,
    Ship,
    StartWorker,
    WarnOfDeaths,
)
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
from lifecycle.machine.flush import Choice, Traffic
from lifecycle.machine.invocation import Invocation, Untold
from lifecycle.machine.restarts import DEATHS_TO_FAIL, Restarts
from lifecycle.machine.route import Claim, Route
from lifecycle.machine.shutdown import GONE_S, SHUTDOWN_MARGIN_S, Shutdown, Step

# A held shipment is to end this long before the hold does, so that its last report arrives in time.
REPORT_MARGIN_S = 0.02

# Share of the time that a hold has at best for an answer: so long without one is a whole hold without one.
WHOLE_SHARE = 0.9

# Shipments that hold nothing: long enough for a slow destination, short enough to notice a dead one.
UNHELD_SHIPMENT_S = 10.0

# A shipment that would have been due this long ago, while the environment could be frozen, says that it was.
THAW_S = 0.2

# Batches with the ends of invocations that are remembered: the end of a short one can be read before its INVOKE,
# when this process is late. And invocations that were let go before their ends were told.
MOST_REMEMBERED = 4

# By then and the platform's buffer an invocation's start has been stored. If not, the collector is asked whether it is
# there; if it does not answer in time, the invocation waits for it no longer: 225 ms all together, by default.
STORED_WITHIN_S = 0.05
ANSWERS_WITHIN_S = 0.15

# While the end of a function is waited for, or that of a shipment at shutdown, whoever is to tell it is asked again
# when nothing was heard of it for so long: stuck meanwhile, it would have the wait last until a deadline.
ASKED_EVERY_S = 0.25

# Silent for so long, a collector is stuck, and replaced. Not sooner: with a small share of a processor it may only be
# slow, and a successor would be no faster.
LONGEST_SILENCE_S = 2.0

# The shipper is asked when it is late with a shipment, and both are at shutdown: who does not answer within this is
# replaced while there is something that a successor can do. It looks at its commands whenever it waits, and between any
# two records.
SHIPPER_ANSWERS_WITHIN_S = 0.5

# Reasons to ask for the next event: the one for which an invocation was held, and those that say why its end is not
# known, nor how long it was held.
DELIVERED = "delivered"
END_NOT_TOLD = "end_not_told"
BACKLOG_JAMMED = "backlog_jammed"
COLLECTOR_MISSING = f"{COLLECTOR}_missing"
_ENDS_UNKNOWN = (END_NOT_TOLD, BACKLOG_JAMMED, COLLECTOR_MISSING)

# The limit within which a silent collector is to be heard.
_SILENCE = "silence"


class IllegalEventError(Exception):
    """The state does not allow the event."""


class UnlistedError(Exception):
    """The machine was about to do what its table does not have: a fault of its own."""


class State(Enum):
    """What the supervisor waits for."""

    __hash__ = object.__hash__  # there is one of each, and the table is looked into with each event

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
    """What may come of an event: the states it may lead to, and the commands it may bring."""

    leads_to: frozenset[State]
    commands: frozenset[type[Command]]

    def check(self, state: State, commands: Collection[Command]) -> None:
        """Holds what an event came to against the row.

        Raises:
            UnlistedError: The row does not have it.
        """
        if state not in self.leads_to or not self.commands.issuperset(map(type, commands)):
            named = ", ".join(type(command).__name__ for command in commands)
            raise UnlistedError(f"got {named or 'nothing'} and then {state.value}, expected what the table lists")


def _row(leads_to: Iterable[State], *commands: type[Command]) -> Row:
    at_any_time = (StartWorker, Ping, KillWorker)  # workers die, and hang, whatever the state is
    return Row(frozenset(leads_to), frozenset((*at_any_time, *commands)))


# Members of an Enum are looked up by code of its class, which takes as long as a call: not several times an event.
_WAITING, _HOLDING, _OVERLAPPING, _REFUSED = State.WAITING, State.HOLDING, State.OVERLAPPING, State.REFUSED
_WITHHELD = (_HOLDING, _OVERLAPPING)
_SERVING = (_WAITING, *_WITHHELD)
_DELIVERY, _SHIPMENT = Claim.DELIVERY, Claim.SHIPMENT
_END = (State.DRAINING, State.CLOSING, State.CLOSED)
_CLOSING = (State.CLOSING, State.CLOSED)


def _rows(
    leads_to: Iterable[State], *commands: type[Command], at_shutdown: Iterable[State] = _END
) -> dict[type[Event], Row]:
    """What may come of the events that are legal in every state but the last.

    A signal stands for a SHUTDOWN at any time, so that one is legal while /next is withheld, too.
    """
    usual = _row(leads_to, *commands)
    return {
        ShutdownRequested: _row(at_shutdown, Ship, Exit),
        BatchStored: usual,
        ExportStored: usual,
        ExportsSettled: usual,
        IntakeHeld: usual,
        BacklogCrowded: _row(leads_to, *commands, GiveUp, PassBy),
        OffsetCommitted: _row(leads_to, *commands, Release, GiveUp, PassBy),
        ShipmentStalled: usual,
        WorkerExited: _row(leads_to, *commands, WarnOfDeaths, PassBy),
        WorkerReady: usual,
        RedactionFailed: usual,
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


# What a choice makes an invocation be held for.
_CLAIMS = {Choice.HOLD: Claim.DELIVERY, Choice.OVERLAP: Claim.SHIPMENT}


class Machine:
    """Decides what the supervisor does.

    Args:
        traffic: What is known of the function's invocations.
        routes: Where telemetry goes; all of them have the same budget.
        buffer_s: How long the platform holds a batch back.
        freezes: Whether the environment is frozen between invocations.
        now: The present moment.
        starts_all: Whether all shippers are started with the collector; otherwise when there is something to ship.

    Attributes:
        state: What is waited for; changed by `handle` alone.
        routes: As given.
        held_s: How long invocations were held after their ends, all together, as far as known.
    """

    def __init__(
        self,
        traffic: Traffic,
        routes: Sequence[Route],
        *,
        buffer_s: float,
        freezes: bool,
        now: float,
        starts_all: bool = False,
    ) -> None:
        self.state = State.WAITING
        self.routes = tuple(routes)
        self.held_s = 0.0
        self._traffic = traffic
        self._budget_s = self.routes[0].policy.budget_s
        self._buffer_s = buffer_s
        self._freezes = freezes
        self._workers = (COLLECTOR, *(route.worker for route in self.routes))
        self._restarts = Restarts(now, () if starts_all else [route.worker for route in self.routes])
        self._next_retry = NextRetry()
        self._ask_at = 0.0
        self._is_crowded = False
        self._invocation: Invocation | None = None
        self._untold: deque[Untold] = deque(maxlen=MOST_REMEMBERED)
        self._remembered: deque[tuple[float, BatchStored]] = deque(maxlen=MOST_REMEMBERED)
        self._limits = AwakeLimits(now)
        self._heard_at = dict.fromkeys(self._workers, now)
        self._handled_at = now
        # What `wakes_at` came to, in a tuple, since the last event.
        self._wakes_at: tuple[float | None, ...] = ()

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
        self._wakes_at = ()
        self._limits.pass_time(now)
        commands = list(self._take(event, now))
        if self._restarts.later:
            self._start_later(now)
        commands += self._started(now)
        for route in self.routes:
            route.policy.filled(route.shipments.waiting_share)
        commands += self._go_on(now)
        for route in self.routes:
            current = route.shipments.current
            if (current and now >= current.late_at) or self._limits.are_running:
                commands += self._watch_shipment(route, now)
        row.check(self.state, commands)
        self._handled_at = now
        return commands

    @property
    def wakes_at(self) -> float | None:
        """When `TimePassed` is to be handled if nothing else happens before; None: there is no need."""
        if not self._wakes_at:
            self._wakes_at = (self._earliest(),)
        return self._wakes_at[0]

    def _earliest(self) -> float | None:
        moments = [self._restarts.wakes_at, self._limits.wakes_at, self._collector_asked_at]
        for route in self.routes:
            moments += self._moments_of(route)
        if self.state in _WITHHELD and self._invocation:
            moments.append(self._invocation.hold_ends)
        elif self.state is _REFUSED:
            moments.append(self._ask_at)
        return min([moment for moment in moments if moment is not None], default=None)

    def _moments_of(self, route: Route) -> Iterator[float | None]:
        """When time alone changes something for a route."""
        shipments = route.shipments
        yield self._due_at(route)
        yield self._shipper_asked_at(route)
        if shipments.current and not self._limits.is_running(route.late):
            yield shipments.current.late_at
        if route.claim and self._invocation and self._invocation.finished_at is None:
            yield shipments.jammed_at(self._budget_s)
        if route.shutdown and self.state is not State.CLOSED:
            yield from route.shutdown.wakes_at(
                shipments,
                self._handled_at,
                is_reported=self._is_reported,
                collects_since=self._collects_since,
                can_ship=self._can_ship(route),
                collects=self.state is State.DRAINING,
                is_quick=route.policy.is_quick,
            )

    @property
    def may_hear_late(self) -> bool:
        """Whether it does no harm to hear some milliseconds later what was stored: a function runs."""
        return self._is_running and not self._is_shutting_down

    @property
    def released(self) -> int:
        """Everything before this offset is delivered, wherever it goes."""
        first, *others = self.routes
        shipped = first.shipments.shipped
        for route in others:
            shipped = min(shipped, route.shipments.shipped)
        return shipped

    # What follows from what is known.

    def _can_ship(self, route: Route) -> bool:
        """Whether there is a shipper to take commands."""
        return self._restarts.is_alive(route.worker) and route.lagging is None

    def _is_first_to_start(self, route: Route) -> bool:
        """Whether its shipper is the one that the first shipment starts: none has been started yet."""
        return route is self.routes[0] and route.worker in self._restarts.later

    def _route_of(self, worker: str) -> Route | None:
        """The route that a worker ships for; None: it is the collector."""
        for route in self.routes:
            if route.worker == worker:
                return route
        return None

    @property
    def _may_have_frozen(self) -> bool:
        """Whether the environment may have been frozen lately."""
        return self._freezes and self.state is _WAITING

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

    @property
    def _is_shutting_down(self) -> bool:
        """Whether the end of the environment has begun."""
        return self.routes[0].shutdown is not None

    def _missing_at(self, route: Route, moment: float) -> str:
        """The worker that is not there to do its part by then, so that nobody may wait for it; "" if both are."""
        if not self._restarts.have_deaths:
            return ""
        for worker in (COLLECTOR, route.worker):
            if self._restarts.is_failing(worker) or not self._restarts.is_back_by(worker, moment):
                return worker
        return ""

    def _is_jammed(self, route: Route, now: float) -> bool:
        """Whether the backlog fills and the destination takes nothing: then nobody may wait for its news."""
        jammed_at = route.shipments.jammed_at(self._budget_s)
        return jammed_at is not None and now >= jammed_at

    def _due_at(self, route: Route) -> float | None:
        """When a shipment alongside a running function is due; None when there is none to make."""
        shipments, invocation = route.shipments, self._invocation
        if not shipments.waiting_bytes:
            return None
        may_run = self.state in (_WAITING, _REFUSED) and self._is_running
        if self.state in _WITHHELD and invocation:
            may_run = invocation.finished_at is None and route.claim is not _SHIPMENT
        if not may_run or not (self._can_ship(route) or self._is_first_to_start(route)):
            return None
        last_call_at = invocation.last_call_at if invocation and not route.is_called_last else None
        if shipments.current:
            return last_call_at
        timed = route.policy.due_at(shipments.waiting_since, shipments.last_ended)
        return timed if last_call_at is None or (timed is not None and timed < last_call_at) else last_call_at

    @property
    def _collector_asked_at(self) -> float | None:
        """When the collector is asked whether it is there; None while it owes nothing, or has been asked."""
        invocation = self._invocation
        if invocation is None or invocation.finished_at is not None or self.state not in _SERVING:
            return None
        ready = self._restarts.ready_since(COLLECTOR)
        if ready is None:
            return None
        if self._limits.is_running(COLLECTOR) or self._limits.is_running(_SILENCE):
            return None
        heard_at, since = self._heard_at[COLLECTOR], max(invocation.began, ready)
        if heard_at < since:
            return since + self._buffer_s + STORED_WITHIN_S
        return heard_at + ASKED_EVERY_S if self.state is _HOLDING else None

    def _shipper_asked_at(self, route: Route) -> float | None:
        """Likewise for a shipper, which owes the end of a shipment at shutdown."""
        is_owing = route.shutdown and route.shipments.current and self.state is not State.CLOSED
        if not is_owing or self._restarts.ready_since(route.worker) is None or self._limits.is_running(route.worker):
            return None
        return self._heard_at[route.worker] + ASKED_EVERY_S

    # What happened.

    def _take(self, event: Event, now: float) -> Iterator[Command]:
        match event:
            case Invoked():
                yield from self._begin_invocation(event, now)
            case BatchStored() | ExportStored() | ExportsSettled():
                self._take_stored(event, now)
            case OffsetCommitted():
                yield from self._take_progress(event, now)
            case ShutdownRequested():
                yield from self._begin_shutdown(event.deadline - SHUTDOWN_MARGIN_S, now)
            case UnknownEventReceived():
                yield FetchNext("unknown_event")  # it was answered: there is nothing to wait for
            case NextFailed():
                yield from self._take_failure(event, now)
            case BacklogCrowded():
                self._is_crowded = True  # the collector says it once, and another route may yet get ahead
                yield from self._make_room()
            case IntakeHeld():
                self._take_refusal(now)
            case ShipmentStalled():
                self._take_stall(event, now)
            case WorkerReady() | WorkerAnswered() | RedactionFailed():
                self._take_sign(event, now)
            case WorkerExited():
                yield from self._take_death(event, now)
            case _:
                pass  # TimePassed is an occasion to look again

    def _take_sign(self, event: WorkerReady | WorkerAnswered | RedactionFailed, now: float) -> None:
        """A worker says of itself that it is there, or what may be expected of it."""
        route = self._route_of(event.worker)
        if isinstance(event, WorkerReady):
            self._restarts.ready(event.worker, now)
        elif isinstance(event, WorkerAnswered):
            self._heard(event.worker, now)
        elif route is not None:
            route.policy.drops_all = True

    def _begin_invocation(self, event: Invoked, now: float) -> Iterator[Command]:
        self._invocation = invocation = Invocation(
            event.request_id, event.deadline, now, budget_s=self._budget_s, buffer_s=self._buffer_s
        )
        for stored_at, batch in self._remembered:
            if event.request_id in batch.finished or event.request_id in batch.reported:
                invocation.stored(batch, stored_at)
        self._next_retry.answered()
        self._traffic.invoked(now)
        if self._is_first_to_start(self.routes[0]):
            self._restarts.begin(self.routes[0].worker, now)
        ships: list[Command] = [*self._started(now)]
        reasons = []
        for route in self.routes:
            route.is_called_last = False
            route.shipments.forget_stall()
            choice, reason = self._choice(route, now)
            reasons.append(reason)
            route.claim = _CLAIMS.get(choice)
            if choice is Choice.OVERLAP:
                ships += self._ship(route, now, invocation.hold_ends - REPORT_MARGIN_S, reason)
            elif choice is Choice.ALONGSIDE:
                ships += self._ship(route, now, now + UNHELD_SHIPMENT_S, reason)
        claims = [route.claim for route in self.routes]
        if _DELIVERY in claims:
            self.state = _HOLDING
        elif _SHIPMENT in claims:
            self.state = _OVERLAPPING
        else:
            yield FetchNext(reasons[0])
        yield from ships

    def _choice(self, route: Route, now: float) -> tuple[Choice, str]:
        """What to do about an invocation that just began, for a route, and why."""
        decision = route.policy.decide(now, route.shipments.waiting_since)
        choice, reason = decision.choice, decision.reason
        missing = self._missing_at(route, now + self._budget_s)
        if missing and choice is not Choice.ALONGSIDE:
            return Choice.RELEASE, f"{missing}_missing"
        if self._is_jammed(route, now):
            return Choice.RELEASE, BACKLOG_JAMMED
        if choice is Choice.RELEASE and route.shipments.current and route.policy.may_withhold:
            return Choice.OVERLAP, "shipment_under_way"
        return choice, reason

    def _begin_shutdown(self, ends_at: float, now: float, *, exit_status: int = 0) -> Iterator[Command]:
        has_begun = self._is_shutting_down
        for route in self.routes:
            if route.shutdown:
                route.shutdown.hasten(ends_at)
            else:
                route.shutdown = Shutdown(ends_at, now, buffer_s=self._buffer_s, exit_status=exit_status)
                route.claim = None
                route.shipments.forget_stall()
        if has_begun:
            return
        self.state = State.DRAINING
        self._restarts.hasten(now)
        if self._limits.is_running(_SILENCE):  # there is no time to give it more
            self._limits.end(_SILENCE)
            yield from self._kill(COLLECTOR)
        for worker in self._workers:
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
                self._is_crowded = False
                self._take_batch(event, now)
            case ExportStored():
                for route in self.routes:
                    route.shipments.stored(event.start, event.end, now, is_platform=False)
            case ExportsSettled():
                for at, (stored_at, batch) in enumerate(self._remembered):
                    self._remembered[at] = stored_at, msgspec.structs.replace(batch, begun=0)
                if self._invocation:
                    self._invocation.exports_settled(event.through)

    def _take_batch(self, event: BatchStored, now: float) -> None:
        for route in self.routes:
            route.shipments.stored(event.start, event.end, now)
        self._heard(COLLECTOR, now)
        if event.finished:
            self._traffic.finished()
        if event.finished or event.reported:
            self._remembered.append((now, event))
        for one in tuple(self._untold):
            if one.request_id in event.finished:
                self.held_s += one.more_held_s(event, now)
                self._untold.remove(one)
        if self._invocation:
            self._invocation.stored(event, now)

    def _take_refusal(self, now: float) -> None:
        for route in self.routes:
            route.shipments.intake_held()
        self._heard(COLLECTOR, now)
        self._restarts.progressed(COLLECTOR)  # it lives; the room is another matter

    def _take_progress(self, event: OffsetCommitted, now: float) -> Iterator[Command]:
        route = self._route_of(event.worker)
        if route is None:
            return
        shipments, policy, released = route.shipments, route.policy, self.released
        if event.gives_up:
            self._take_passage(route, event, now)
            if self.released > released:
                self._is_crowded = False
                if self._restarts.is_alive(COLLECTOR):
                    yield Release(self.released)
            return
        took_s = shipments.unanswered_s(now)
        is_known = not event.is_late and (took_s <= policy.budget_s or not self._may_have_frozen)
        has_moved = event.through > shipments.shipped or event.skip > shipments.skip
        if has_moved and event.is_answer and not event.is_late:
            policy.answered(took_s)
            shipments.answered(now)
        current = shipments.current
        # Unless the last one ends so, the command for that one crossed this on the way, and is under way now.
        waits = event.waits and (event.is_final or current is None or not current.is_final)
        if shipments.committed(event.through, event.skip, now, owes=event.owes, waits=waits):
            if event.is_answer or (current is not None and shipments.last_answered >= current.began):
                policy.delivered(now, took_s if is_known else None)
            route.held_in_vain_s = 0.0
        self._restarts.progressed(route.worker)
        self._heard(route.worker, now)
        if self.released > released:
            self._is_crowded = False  # the collector says it again if that is not enough
            if self._restarts.is_alive(COLLECTOR):  # else it is told anew
                yield Release(self.released)
        elif self._is_crowded:
            yield from self._make_room()

    def _take_stall(self, event: ShipmentStalled, now: float) -> None:
        self._heard(event.worker, now)
        route = self._route_of(event.worker)
        current = route.shipments.current if route else None
        if route is None or current is None:
            return
        if route.lagging:
            route.shipments.ended(now)  # it was ended by that, and nothing is wrong with it
            return
        is_before = current.is_final and not event.is_final
        if event.deadline not in (None, current.deadline) or is_before:
            return  # a command crossed it on the way, and is under way now
        if route.shutdown and (event.reason == CRASHED or route.shutdown.forgives(route.shipments)):
            route.shipments.ended(now)  # another one follows; a shipper that crashes there again dies of it
            return
        if route.shutdown:
            route.shutdown.stalled(now, event.retry_after_s)
        is_out_of_time = now >= current.deadline - REPORT_MARGIN_S
        whole_s = WHOLE_SHARE * (self._budget_s - self._buffer_s - REPORT_MARGIN_S)
        was_asked_long = route.shipments.unanswered_s(now) >= whole_s and not self._may_have_frozen
        route.shipments.stalled(now)
        if event.reason == SECRET:
            route.policy.awaits_secret(now, event.retry_after_s)
            return
        route.policy.failed(now, retry_after_s=event.retry_after_s, is_short=is_out_of_time and not was_asked_long)

    def _take_death(self, event: WorkerExited, now: float) -> Iterator[Command]:
        route = self._route_of(event.worker)
        was_idle = route is not None and event.was_ready and not route.shipments.current
        if route is not None and route.shipments.current:
            route.shipments.ended(now)
            route.policy.failed(now)
        self._heard(event.worker, now)
        self._restarts.died(event.worker, now, was_idle=was_idle)
        self._is_crowded = self._is_crowded and route is not None  # another collector says it anew
        if route is None and self._invocation:
            self._invocation.collector_died(now, again=self._restarts.deaths(COLLECTOR) > 1)
        if route is not None and route.lagging:
            at_least, at_most = route.lagging
            route.lagging = None
            self._limits.end(route.passing)
            yield PassBy(route.worker, at_least, at_most)
        if self._restarts.deaths(event.worker) == DEATHS_TO_FAIL:
            yield WarnOfDeaths(event.worker)

    def _take_passage(self, route: Route, event: OffsetCommitted, now: float) -> None:
        """What waited for a route is given up: its shipper has passed it by or, where there is none, we have."""
        route.shipments.passed(event.through, event.skip, now, owes=event.owes)
        if route.lagging is None:
            return
        self._heard(route.worker, now)
        self._limits.end(route.passing)
        if event.through < route.lagging[0]:
            self._limits.begin(route.passing, SHIPPER_ANSWERS_WITHIN_S)
        else:
            route.lagging = None

    def _make_room(self) -> Iterator[Command]:
        """Gives up the oldest of the slowest route, where another one is well that needs the room.

        That is one which has got all there is, or something since the slowest last did. If all of them lag, nothing is
        given up, and the platform keeps what does not fit, as with one route.
        """
        least = self.released
        slowest = [route for route in self.routes if route.shipments.shipped == least]
        others = [route.shipments for route in self.routes if route.shipments.shipped > least]
        since = max(route.shipments.last_committed for route in slowest)
        if not any(one.last_committed > since or not one.waiting_bytes for one in others):
            return
        at_most = min(one.shipped for one in others)
        at_least = min(slowest[0].shipments.room_at(), at_most)
        for route in slowest:
            if route.lagging is None and self._restarts.is_alive(route.worker):
                route.lagging = at_least, at_most
                self._limits.begin(route.passing, SHIPPER_ANSWERS_WITHIN_S)
                yield GiveUp(route.worker, at_least, at_most)
            elif route.lagging is None:
                yield PassBy(route.worker, at_least, at_most)

    # What to do about it.

    def _started(self, now: float) -> Iterable[Command]:
        """The starts of workers that are due."""
        due = self._restarts.due(now)
        return [StartWorker(worker) for worker in due] if due else ()

    def _start_later(self, now: float) -> None:
        """Starts shippers that were left for later, beside a running function: nobody waits for them there.

        The first one is started with the first invocation, whose init it would have slowed down, or sooner if a
        shipment is due; the next once there is something to ship and the last one is ready.
        """
        first = self.routes[0]
        if self._is_first_to_start(first):
            due_at = self._due_at(first)
            if self._fills(first, now) or (due_at is not None and now >= due_at):
                self._restarts.begin(first.worker, now)
            return
        invocation = self._invocation
        is_running = invocation is not None and invocation.finished_at is None and not self._is_shutting_down
        has_come = self.routes[0].shipments.end > 0
        started = [worker for worker in self._workers if self._restarts.is_back_by(worker, now)]
        if is_running and has_come and all(self._restarts.ready_since(worker) is not None for worker in started):
            self._restarts.begin(self._restarts.later[0], now)

    def _go_on(self, now: float) -> Iterator[Command]:
        if self._limits.are_running:
            yield from self._replace_stuck(now)
        state = self.state
        if state is _WAITING:
            yield from self._ship_alongside(now)
        elif state in _WITHHELD and self._invocation:
            yield from self._withhold(self._invocation, now)
        elif state is _REFUSED:
            yield from self._ship_alongside(now)
            if now >= self._ask_at:
                self.state = _WAITING
                yield FetchNext("asked_again")
        elif self._is_shutting_down:
            yield from self._shut_down(now)
        asks_at = self._collector_asked_at
        if asks_at is not None and now >= asks_at:
            yield from self._ask(COLLECTOR, ANSWERS_WITHIN_S)
        for route in self.routes if self._is_shutting_down else ():
            asks_at = self._shipper_asked_at(route)
            if asks_at is not None and now >= asks_at:
                yield from self._ask(route.worker, SHIPPER_ANSWERS_WITHIN_S)

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

    def _watch_shipment(self, route: Route, now: float) -> Iterator[Command]:
        """A shipment that is late is to end within a time that the shipper is awake, if it is there at all."""
        current = route.shipments.current
        if current is None or now < current.late_at:
            self._limits.end(route.late)
        elif not self._limits.is_running(route.late):
            self._limits.begin(route.late, current.grace_s)
            if self._restarts.ready_since(route.worker) is not None and not self._limits.is_running(route.worker):
                yield from self._ask(route.worker, SHIPPER_ANSWERS_WITHIN_S)

    def _replace_stuck(self, now: float) -> Iterator[Command]:
        """Ends workers that did not do what they owe, though they were awake."""
        is_silent = self._limits.is_over(COLLECTOR)
        if is_silent:
            self._limits.end(COLLECTOR)
            self._limits.begin(_SILENCE, LONGEST_SILENCE_S)
            if self._invocation:
                self._invocation.collector_died(now, again=True)
        if self._limits.is_over(_SILENCE) or (is_silent and self._is_shutting_down):
            self._limits.end(_SILENCE)
            yield from self._kill(COLLECTOR)
        for route in self.routes:
            if any(map(self._limits.is_over, (route.worker, route.late, route.passing))):
                yield from self._replace_shipper(route, now)

    def _replace_shipper(self, route: Route, now: float) -> Iterator[Command]:
        if route.shipments.current and not route.shutdown:
            route.shipments.stalled(now)
            route.policy.failed(now)
        elif route.shipments.current:
            route.shipments.ended(now)  # there is time for a successor to ship it all
        self._limits.end(route.worker)
        self._limits.end(route.late)
        self._limits.end(route.passing)
        yield from self._kill(route.worker)

    def _withhold(self, invocation: Invocation, now: float) -> Iterator[Command]:
        """An invocation is held until every route that it is held for has got there, or cannot."""
        reason, is_held = "", False
        for route in self.routes:
            ended = self._ended(route, invocation, now)
            if ended:
                reason = ended
                route.claim = None
                if reason == END_NOT_TOLD:
                    self._traffic.unfinished()
                if reason != DELIVERED:
                    route.held_in_vain_s += self._held_s(reason, now)
            is_held |= route.claim is not None
        if not is_held:
            self.state = _WAITING
            yield self._let_go(invocation, reason, now)
            yield from self._ship_alongside(now)
            return
        for route in self.routes:
            if route.claim is None or (route.claim is _DELIVERY and invocation.finished_at is None):
                yield from self._ship_route_alongside(route, now)
            elif invocation.finished_at is not None and not self._is_covered(route, invocation):
                deadline = invocation.hold_ends - REPORT_MARGIN_S
                yield from self._ship(route, now, deadline, "invocation_finished", is_held=True)

    def _let_go(self, invocation: Invocation, reason: str, now: float) -> FetchNext:
        """An invocation is held no longer. Where its end is not known, it may be told later how long it was."""
        held_s = self._held_s(reason, now)
        self.held_s += held_s
        if invocation.finished_at is None:
            self._untold.append(Untold(invocation.request_id, invocation.began, now, held_s))
        return FetchNext(reason, held_s)

    def _is_covered(self, route: Route, invocation: Invocation) -> bool:
        """Whether the shipment under way is the one that the invocation, which has ended, is held for."""
        current = route.shipments.current
        if current is None or not current.is_held:
            return False
        return route.claim is _SHIPMENT or current.until >= invocation.hold_through

    def _ended(self, route: Route, invocation: Invocation, now: float) -> str:
        """Why an invocation is held for a route no longer; "" while it is, or was not."""
        if route.claim is None:
            return ""
        shipments, is_finished = route.shipments, invocation.finished_at is not None
        has_current, is_delivery = shipments.current is not None, route.claim is _DELIVERY
        if route.policy.drops_all:
            return UNREDACTABLE
        is_stored = is_finished and not invocation.awaits_exports
        if is_delivery and is_stored and shipments.shipped >= invocation.hold_through:
            return DELIVERED
        missing = self._missing_at(route, invocation.hold_ends)
        if missing:
            return f"{missing}_missing"
        if shipments.has_stalled and not has_current and (is_finished or not is_delivery):
            return "not_delivered"
        if not is_delivery and not has_current:
            return DELIVERED
        if now >= invocation.hold_ends:
            return "budget_spent" if is_finished or not is_delivery else END_NOT_TOLD
        if not is_finished and self._is_jammed(route, now):
            return BACKLOG_JAMMED
        if not is_finished and is_delivery and route.policy.is_open:
            return "breaker_open"
        return ""

    def _held_s(self, reason: str, now: float) -> float:
        """How long the invocation was held after its end, as far as that is known."""
        invocation = self._invocation
        held_since = invocation.finished_at if invocation else None
        if held_since is None and invocation and reason in _ENDS_UNKNOWN:
            # It may have returned as soon as it was last heard of: what it was held for is not made little of.
            held_since = max(invocation.began, self.routes[0].shipments.last_stored - self._buffer_s)
        return 0.0 if held_since is None else now - held_since

    def _ship_alongside(self, now: float) -> Iterator[Command]:
        for route in self.routes:
            yield from self._ship_route_alongside(route, now)

    def _ship_route_alongside(self, route: Route, now: float) -> Iterator[Command]:
        """Shipments that hold nothing: a deadline is near, the backlog fills, the interval has passed."""
        invocation, due_at = self._invocation, self._due_at(route)
        ends_at = now + UNHELD_SHIPMENT_S
        if route.claim and invocation:
            ends_at = min(ends_at, invocation.hold_ends - REPORT_MARGIN_S)  # in flight over the freeze it would die
        if due_at is not None and now >= due_at + THAW_S and self._may_have_frozen and invocation:
            invocation.thawed(now)
        elif due_at is not None and now >= due_at:
            reason = "interval_passed"
            if invocation and not route.is_called_last and now >= invocation.last_call_at:
                route.is_called_last = True
                reason = "deadline_near"
            yield from self._ship(route, now, ends_at, reason)
        elif self._is_running and self._fills(route, now):
            yield from self._ship(route, now, ends_at, "backlog_fills")

    def _fills(self, route: Route, now: float) -> bool:
        """Whether much waits and nothing is done about it."""
        shipments = route.shipments
        return shipments.is_filling and shipments.current is None and route.policy.may_ship(now)

    def _ship(
        self, route: Route, now: float, deadline: float, reason: str, *, is_held: bool = False
    ) -> Iterator[Command]:
        """A shipment of all that waits, if anything does and somebody can make it."""
        if route.shipments.waiting_bytes and self._can_ship(route):
            is_final = self.state is State.CLOSING
            if self._owes_its_end(route, now):
                yield from self._ask(route.worker, SHIPPER_ANSWERS_WITHIN_S)
            yield route.shipments.begin(now, deadline, reason, is_held=is_held, is_final=is_final)

    def _owes_its_end(self, route: Route, now: float) -> bool:
        """Whether nothing was heard of a shipment since its time was over, nor is asked for already.

        Ordered anew before that one is late, a shipper that is stuck would never be: functions may be short. At
        shutdown it is asked anyway.
        """
        current, worker = route.shipments.current, route.worker
        if current is None or current.deadline >= now or self._is_shutting_down:
            return False
        is_ready = self._restarts.ready_since(worker) is not None
        return is_ready and self._heard_at[worker] < current.deadline and not self._limits.is_running(worker)

    def _shut_down(self, now: float) -> Iterator[Command]:
        """Collects what still comes, ships what there is, and ends."""
        is_reported, since = self._is_reported, self._collects_since
        if self.state is State.DRAINING and all(
            route.shutdown is not None
            and now >= route.shutdown.closes_at(route.shipments, is_reported=is_reported, collects_since=since)
            for route in self.routes
        ):
            self.state = State.CLOSING
            for route in self.routes:
                route.shipments.forget_stall()  # whatever came of it while collecting: one last try
        are_done = True
        for route in self.routes:
            if route.shutdown is None:
                continue
            shipments, ends_at = route.shipments, route.shutdown.ends_at
            step = route.shutdown.next_step(
                shipments,
                now,
                is_collected=now
                >= route.shutdown.collected_at(shipments, is_reported=is_reported, collects_since=since),
                can_ship=self._can_ship(route),
                collects=self.state is State.DRAINING,
                is_quick=route.policy.is_quick,
            )
            are_done &= step is Step.EXIT
            match step:
                case Step.SHIP:
                    yield from self._ship(route, now, ends_at, "shutdown")
                case Step.SETTLE:
                    yield shipments.begin(now, ends_at, "shutdown", is_held=False, is_final=True)
                case Step.CUT:
                    self._limits.end(route.late)
                    yield shipments.cut(now, "stale")
                case Step.WAIT | Step.EXIT:
                    pass
        if are_done and self.routes[0].shutdown:
            self.state = State.CLOSED
            yield Exit(self.routes[0].shutdown.exit_status)
