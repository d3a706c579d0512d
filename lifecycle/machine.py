"""The supervisor's state machine: events in, effects out. No clock, no socket, no logger.

It knows offsets and moments, never records. Every moment is monotonic seconds, passed in. An event that the
state does not allow raises `IllegalEventError` and changes nothing.
"""

import math
from collections import deque
from collections.abc import Iterator

from lifecycle.alongside import due_at, due_reason, fills
from lifecycle.ending import LONGEST_GOODBYE_S, SHUTDOWN_MARGIN_S, Ending
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
    ShipmentStalled,
    ShutdownRequested,
    StartWorker,
    WorkerExited,
)
from lifecycle.flush import Choice, FlushPolicy
from lifecycle.invocation import Invocation
from lifecycle.recovery import Recovery
from lifecycle.shipments import Shipments
from lifecycle.states import LEGAL_EVENTS, State

# A held shipment is told to end this long before the hold does, so that its last report arrives in time.
REPORT_MARGIN_S = 0.02

# Shipments that hold nothing: long enough for a slow destination, short enough to notice a dead one.
UNHELD_SHIPMENT_S = 10.0

# Pauses between questions for the next event that the platform refuses: the first is repeated at once, then
# from one to the other, doubling.
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 10.0

# A platform that takes no connection this many times in a row, and once more, is gone.
MOST_UNCONNECTED = 8

STATUS_OK = 200

# A shipment that would have been due this long ago, while the environment could be frozen, says that it was.
THAW_S = 0.2

# Batches with the ends of invocations that are remembered: the end of a short one can be read before its INVOKE,
# when this process is late.
MOST_TOLD = 4


class IllegalEventError(Exception):
    """The state does not allow the event."""


class Machine:
    """Decides what the supervisor does.

    Args:
        policy: When to ship.
        capacity_bytes: Size of the backlog.
        buffer_s: How long the platform holds a batch back: about as old is a runtimeDone that does not say.
        freezes: Whether the environment is frozen between invocations.
        now: The present moment.

    Attributes:
        state: What it waits for.
        shipments: Where the backlog stands.
        is_quiet: Workers kept dying; nothing is shipped any more.
    """

    def __init__(self, policy: FlushPolicy, *, capacity_bytes: int, buffer_s: float, freezes: bool, now: float) -> None:
        self.policy = policy
        self.state = State.WAITING
        self.shipments = Shipments(now)
        self.is_quiet = False
        self._capacity_bytes = capacity_bytes
        self._buffer_s = buffer_s
        self._freezes = freezes
        self._recovery = Recovery()
        self._invocation: Invocation | None = None
        self._told: deque[tuple[float, BatchStored]] = deque(maxlen=MOST_TOLD)
        self._ending = Ending(now, buffer_s)
        self._unconnected = 0
        self._ask_at = self._ask_pause_s = 0.0

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Takes one event.

        Returns:
            What to do, in order.

        Raises:
            IllegalEventError: The state does not allow the event; nothing changed.
        """
        if not isinstance(event, LEGAL_EVENTS[self.state]):
            raise IllegalEventError(f"{type(event).__name__} while {self.state.value}")
        effects = list(self._note(event, now))
        self.shipments.note_fill(self._capacity_bytes, now)
        self.policy.filled(self.shipments.waiting_bytes / self._capacity_bytes)
        effects += (StartWorker(worker) for worker in self._recovery.due(now))
        effects += self._proceed(now)
        return effects

    @property
    def wakes_at(self) -> float | None:
        """When `TimePassed` is to be handled if nothing else happens before; None: there is no need."""
        moments = [self._recovery.wakes_at, self._due_at]
        if self.shipments.current:
            moments.append(self.shipments.current.stuck_at)
        match self.state:
            case State.HOLDING | State.OVERLAPPING if self._invocation:
                moments.append(self._invocation.hold_ends)
                if self._invocation.finished_at is None:
                    moments.append(self.shipments.stuck_at(self.policy.budget_s))
            case State.REFUSED:
                moments.append(self._ask_at)
            case State.DRAINING:
                moments.append(self._told_at)
            case State.CLOSING:
                owes = self.shipments.owes and (self.shipments.current is not None or not self._can_ship)
                moments.append(self._ending.ends_at if self.shipments.waiting_bytes or owes else self._told_at)
                moments.append(self._ending.stale_at(self.shipments))
        return min((moment for moment in moments if moment is not None), default=None)

    # What happened, as facts.

    def _note(self, event: Event, now: float) -> Iterator[Effect]:
        match event:
            case Invoked():
                yield from self._note_invoked(event, now)
            case ShutdownRequested():
                self._note_ending(event.deadline - SHUTDOWN_MARGIN_S, now)
            case NextFailed():
                yield from self._note_next_failed(event, now)
            case BatchStored():
                self._note_stored(event, now)
            case OffsetCommitted():
                yield from self._note_committed(event, now)
            case ShipmentStalled():
                self._note_stalled(event, now)
            case WorkerExited():
                yield from self._note_exited(event, now)
            case IntakeHeld():
                self._ending.sent_away()
                self._recovery.progressed("collector")  # it lives; the room is another matter
            case _:
                pass  # TimePassed is an occasion to look again

    def _note_invoked(self, event: Invoked, now: float) -> Iterator[Effect]:
        self._invocation = invocation = Invocation(event.request_id, event.deadline, now)
        for told_at, told in self._told:
            invocation.told(told, told_at, self.policy.budget_s, self._buffer_s)
        self._unconnected = 0
        self._ask_pause_s = 0.0
        self.shipments.has_stalled = False
        decision = self.policy.invoked(now, self.shipments.waiting_since)
        choice, reason = decision.choice, decision.reason
        if self.is_quiet:
            choice, reason = Choice.RELEASE, "workers_keep_dying"
        elif self._is_stuck(now):
            choice, reason = Choice.RELEASE, "backlog_stuck"
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

    def _note_ending(self, ends_at: float, now: float) -> None:
        self.state = State.DRAINING
        self._ending.begin(ends_at, now)
        self.shipments.has_stalled = False

    def _note_next_failed(self, event: NextFailed, now: float) -> Iterator[Effect]:
        if event.status == STATUS_OK:
            yield FetchNext("unknown_event")  # it was answered: there is nothing to wait for
            return
        self._unconnected = 0 if event.status else self._unconnected + 1
        if self._unconnected > MOST_UNCONNECTED:
            self._ending.exit_status = 1
            self._note_ending(now + LONGEST_GOODBYE_S, now)
            return
        self.state = State.REFUSED
        self._ask_at = now + self._ask_pause_s
        self._ask_pause_s = min(max(FIRST_PAUSE_S, 2 * self._ask_pause_s), LONGEST_PAUSE_S)

    def _note_stored(self, event: BatchStored, now: float) -> None:
        self.shipments.stored(event.start, event.end, now)
        self._ending.stored(now)
        self._recovery.progressed("collector")
        if event.finished:
            self.policy.finished()
        if event.finished or event.reported:
            self._told.append((now, event))
        if self._invocation:
            self._invocation.told(event, now, self.policy.budget_s, self._buffer_s)

    def _note_committed(self, event: OffsetCommitted, now: float) -> Iterator[Effect]:
        if event.through > self.shipments.shipped:
            yield Release(event.through)
        took_s = self.shipments.committed(event.through, event.skip, now, waits=event.waits)
        self.shipments.owes = event.owes
        self._recovery.progressed("shipper")
        if took_s is not None:
            self.policy.delivered(took_s)

    def _note_stalled(self, event: ShipmentStalled, now: float) -> None:
        current = self.shipments.current
        if current is None or event.deadline not in (None, current.deadline):
            return  # an order crossed it on the way, and is under way now
        is_stale = self.state is State.CLOSING and self._ending.stale_at(self.shipments) is not None
        if current.is_cut or is_stale:
            self.shipments.ended(now)
            return
        self.shipments.stalled(now)
        self.policy.failed(now, retry_after_s=event.retry_after_s)

    def _note_exited(self, event: WorkerExited, now: float) -> Iterator[Effect]:
        invocation = self._invocation
        was_idle = event.worker == "shipper" and event.was_ready and not self.shipments.current
        if event.worker == "shipper" and self.shipments.current:
            self.shipments.ended(now)
            self.policy.failed(now)
        if self.is_quiet:
            return
        if was_idle:
            self._recovery.progressed(event.worker)  # it had loaded and had nothing to do: the fault is not its own
        self._recovery.died(event.worker, now)
        if event.worker == "collector" and invocation and invocation.finished_at is None:
            # The runtimeDone may be lost with it, or come late: the function may already have returned, not long ago
            # if the collector was at work, any time since it began if it was not.
            returned = invocation.began if self._recovery.is_at_a_loss("collector") else now - self._buffer_s
            invocation.hold_ends = min(invocation.hold_ends, returned + self.policy.budget_s)
        if self._recovery.is_hopeless:
            self.is_quiet = True
            self._recovery.give_up()
            yield GoQuiet()

    # What to do about it.

    def _proceed(self, now: float) -> Iterator[Effect]:
        current = self.shipments.current
        if current and now >= current.stuck_at:
            if current.is_cut:
                self.shipments.ended(now)  # there is time for a successor to ship it all
            else:
                self.shipments.stalled(now)
                self.policy.failed(now)
            yield KillWorker("shipper")
        match self.state:
            case State.WAITING:
                yield from self._ship_alongside(now)
            case State.HOLDING if self._invocation:
                yield from self._proceed_holding(self._invocation, now)
            case State.OVERLAPPING if self._invocation:
                yield from self._proceed_overlapping(self._invocation, now)
            case State.REFUSED:
                yield from self._ship_alongside(now)
                if now >= self._ask_at:
                    self.state = State.WAITING
                    yield FetchNext("asked_again")
            case State.DRAINING | State.CLOSING:
                yield from self._proceed_ending(now)

    def _proceed_holding(self, invocation: Invocation, now: float) -> Iterator[Effect]:
        current = self.shipments.current
        is_finished = invocation.finished_at is not None
        if self.is_quiet:
            yield from self._let_go(now, "workers_keep_dying")
        elif is_finished and self.shipments.shipped >= invocation.hold_through:
            yield from self._let_go(now, "delivered")
        elif is_finished and self.shipments.has_stalled and current is None:
            yield from self._let_go(now, "not_delivered")
        elif now >= invocation.hold_ends:
            if not is_finished:
                self.policy.unfinished()
                if self._ending.last_stored < invocation.began:
                    yield KillWorker("collector")  # not even the invocation's start was told: it may be stuck
            yield from self._let_go(now, "budget_spent" if is_finished else "end_not_told")
        elif not is_finished and self._is_stuck(now):
            yield from self._let_go(now, "backlog_stuck")
        elif not is_finished and self.policy.is_open:
            yield from self._let_go(now, "breaker_open")
        elif not is_finished:
            yield from self._ship_alongside(now)
        elif current is None or not current.held:
            yield from self._ship(now, invocation.hold_ends - REPORT_MARGIN_S, "invocation_finished", held=True)

    def _proceed_overlapping(self, invocation: Invocation, now: float) -> Iterator[Effect]:
        current = self.shipments.current
        if current is None:
            yield from self._let_go(now, "not_delivered" if self.shipments.has_stalled else "delivered")
        elif now >= invocation.hold_ends:
            yield from self._let_go(now, "budget_spent")
        elif invocation.finished_at is None and self._is_stuck(now):
            yield from self._let_go(now, "backlog_stuck")
        elif invocation.finished_at is not None and not current.held:
            yield from self._ship(now, invocation.hold_ends - REPORT_MARGIN_S, "invocation_finished", held=True)

    def _proceed_ending(self, now: float) -> Iterator[Effect]:
        shipments, ending = self.shipments, self._ending
        is_over = now >= ending.ends_at or self.is_quiet
        is_all_told = now >= self._told_at
        if self.state is State.DRAINING and (is_over or is_all_told):
            self.state = State.CLOSING
            shipments.has_stalled = False  # whatever came of it while collecting: one last try
        if shipments.waiting_bytes and not is_over and not shipments.has_stalled:
            current = shipments.current
            if self.state is State.DRAINING and self.policy.is_open:
                pass  # there may be time for one request only: it waits for the last report
            elif current and current.is_cut:
                pass  # what is ordered next would prolong it
            elif self.state is State.CLOSING and now >= (ending.stale_at(shipments) or math.inf):
                yield shipments.cut(now, "stale")
            elif current is None or current.until < shipments.end or current.deadline != ending.ends_at:
                yield from self._ship(now, ending.ends_at, "shutdown")
        elif self.state is State.CLOSING and shipments.owes and not is_over and not shipments.has_stalled:
            if is_all_told and shipments.current is None and self._can_ship:
                yield shipments.order(now, ending.ends_at, "shutdown", held=False, is_final=True)
        elif self.state is State.CLOSING and (is_over or is_all_told or shipments.has_stalled):
            self.state = State.CLOSED
            yield Exit(ending.exit_status)

    def _let_go(self, now: float, reason: str) -> Iterator[Effect]:
        finished_at = self._invocation.finished_at if self._invocation else None
        self.state = State.WAITING
        yield FetchNext(reason, 0.0 if finished_at is None else now - finished_at)
        yield from self._ship_alongside(now)

    def _is_stuck(self, now: float) -> bool:
        """Whether the backlog fills and the destination takes nothing: then nobody may wait for its news."""
        stuck_at = self.shipments.stuck_at(self.policy.budget_s)
        return stuck_at is not None and now >= stuck_at

    @property
    def _told_at(self) -> float:
        """When no more telemetry is expected after SHUTDOWN."""
        is_reported = self._invocation is not None and self._invocation.is_reported
        return self._ending.told_at if is_reported else self._ending.quiet_at

    @property
    def _is_running(self) -> bool:
        """Whether a function or its init runs, as far as known: the environment is not frozen."""
        return not self._freezes or self._invocation is None or self._invocation.finished_at is None

    @property
    def _due_at(self) -> float | None:
        """When a shipment alongside a running function is due; None when there is none to make."""
        may_run = self.state in (State.WAITING, State.HOLDING, State.REFUSED) and self._is_running
        return due_at(self._invocation, self.shipments, self.policy) if may_run and self._can_ship else None

    @property
    def _can_ship(self) -> bool:
        return not self.is_quiet and self._recovery.is_alive("shipper")

    def _ship_alongside(self, now: float) -> Iterator[Effect]:
        """Shipments that hold nothing: a deadline is near, the backlog fills, the interval has passed."""
        invocation, due = self._invocation, self._due_at
        ends_at = now + UNHELD_SHIPMENT_S
        if self.state is State.HOLDING and invocation:
            ends_at = min(ends_at, invocation.hold_ends - REPORT_MARGIN_S)  # in flight over the freeze it would die
        if due is not None and now >= due + THAW_S and self._freezes and self.state is State.WAITING and invocation:
            invocation.finished_at = now  # only a freeze makes us so late: the function had returned
        elif due is not None and now >= due:
            yield from self._ship(now, ends_at, due_reason(invocation, now))
        elif self._is_running and fills(self.shipments, self.policy, self._capacity_bytes, now):
            yield from self._ship(now, ends_at, "backlog_half_full")

    def _ship(self, now: float, deadline: float, reason: str, *, held: bool = False) -> Iterator[Effect]:
        if self.shipments.waiting_bytes and self._can_ship:
            is_final = self.state is State.CLOSING
            yield self.shipments.order(now, deadline, reason, held=held, is_final=is_final)
