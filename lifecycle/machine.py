"""The supervisor's state machine: events in, effects out. No clock, no socket, no logger.

It knows offsets and moments, never records. Every moment is monotonic seconds, passed in. An event that the
state does not allow raises `IllegalEventError` and changes nothing.
"""

from collections.abc import Iterator

from lifecycle.events import (
    BatchStored,
    Effect,
    Event,
    Exit,
    FetchNext,
    GoQuiet,
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

# At shutdown all is done this long before SIGKILL.
SHUTDOWN_MARGIN_S = 0.3

# Time for the last shipment when the platform itself is gone.
LONGEST_GOODBYE_S = 1.5

# At shutdown, telemetry that has not come for this long does not come any more; the last platform.report has been
# seen 40 ms after SHUTDOWN.
QUIET_S = 0.3

# A shipment from before SHUTDOWN has this long to show that it lives; one that was frozen meanwhile finds its answer
# at once. Then it makes way: it may sit in a long pause, or on a connection that died while frozen.
STALE_AFTER_S = 0.05

# Shipments that hold nothing: long enough for a slow destination, short enough to notice a dead one.
UNHELD_SHIPMENT_S = 10.0

# A shipper that does not end a shipment this long after its deadline is stuck, and replaced.
STUCK_AFTER_S = 2.0

# Pauses between questions for the next event that the platform refuses: the first is repeated at once, then
# from one to the other, doubling.
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 10.0

# A platform that takes no connection this many times in a row is gone.
MOST_NEXT_FAILURES = 8


class IllegalEventError(Exception):
    """The state does not allow the event."""


class Machine:
    """Decides what the supervisor does.

    Args:
        policy: When to ship.
        capacity_bytes: Size of the backlog.
        buffer_s: How long the platform holds a batch back: a runtimeDone is about this old when it comes.
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
        self._last_stored = now
        self._ending_since = self._ends_at = 0.0
        self._next_failures = 0
        self._ask_at = 0.0
        self._exit_status = 0

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
        effects += (StartWorker(worker) for worker in self._recovery.due(now))
        effects += self._proceed(now)
        return effects

    @property
    def wakes_at(self) -> float | None:
        """When `TimePassed` is to be handled if nothing else happens before; None: there is no need."""
        moments = [self._recovery.wakes_at, self._due_at]
        if self.shipments.current:
            moments.append(self.shipments.current.deadline + STUCK_AFTER_S)
        match self.state:
            case State.HOLDING | State.OVERLAPPING if self._invocation:
                moments.append(self._invocation.hold_ends)
            case State.REFUSED:
                moments.append(self._ask_at)
            case State.DRAINING:
                moments.append(min(self._last_stored + QUIET_S, self._ends_at))
            case State.CLOSING:
                moments.append(self._ends_at)
                if self._is_stale:
                    moments.append(self._ending_since + STALE_AFTER_S)
        return min((moment for moment in moments if moment is not None), default=None)

    # What happened, as facts.

    def _note(self, event: Event, now: float) -> Iterator[Effect]:
        match event:
            case Invoked():
                yield from self._note_invoked(event, now)
            case ShutdownRequested():
                self._note_ending(event.deadline - SHUTDOWN_MARGIN_S, now)
            case NextFailed():
                self._note_next_failed(event, now)
            case BatchStored():
                self._note_stored(event, now)
            case OffsetCommitted():
                yield from self._note_committed(event, now)
            case ShipmentStalled():
                self._note_stalled(event, now)
            case WorkerExited():
                yield from self._note_exited(event, now)
            case _:
                pass  # IntakeHeld and TimePassed are occasions to look again

    def _note_invoked(self, event: Invoked, now: float) -> Iterator[Effect]:
        self._invocation = invocation = Invocation(event.request_id, event.deadline, now)
        self._next_failures = 0
        self.shipments.has_stalled = False
        decision = self.policy.invoked(now, self.shipments.waiting_since)
        choice, reason = decision.choice, decision.reason
        if self.is_quiet:
            choice, reason = Choice.RELEASE, "workers_keep_dying"
        elif choice is Choice.RELEASE and self.shipments.current and not self.policy.is_open:
            choice, reason = Choice.OVERLAP, "shipment_under_way"
        match choice:
            case Choice.HOLD:
                self.state = State.HOLDING
            case Choice.OVERLAP:
                self.state = State.OVERLAPPING
                yield from self._ship(now, invocation.hold_ends - REPORT_MARGIN_S, reason)
            case Choice.RELEASE:
                yield FetchNext(reason)
            case Choice.PROBE:
                yield FetchNext(reason)
                yield from self._ship(now, now + UNHELD_SHIPMENT_S, reason)

    def _note_ending(self, ends_at: float, now: float) -> None:
        self.state = State.DRAINING
        self._ending_since = now
        self._ends_at = ends_at
        self._last_stored = now
        self.shipments.has_stalled = False

    def _note_next_failed(self, event: NextFailed, now: float) -> None:
        if event.status == 0 and self._next_failures >= MOST_NEXT_FAILURES:
            self._exit_status = 1
            self._note_ending(now + LONGEST_GOODBYE_S, now)
            return
        self.state = State.REFUSED
        pause_s = FIRST_PAUSE_S * 2 ** (self._next_failures - 1) if self._next_failures else 0.0
        self._ask_at = now + min(pause_s, LONGEST_PAUSE_S)
        self._next_failures = min(self._next_failures + 1, MOST_NEXT_FAILURES)

    def _note_stored(self, event: BatchStored, now: float) -> None:
        self.shipments.stored(event.start, event.end, now)
        self._last_stored = now
        self._recovery.progressed()
        if event.finished:
            self.policy.finished()
        invocation = self._invocation
        if invocation is None:
            return
        invocation.is_reported |= invocation.request_id in event.reported
        if invocation.request_id in event.finished and invocation.finished_at is None:
            invocation.finished_at = now
            invocation.hold_through = event.end
            budget_ends = now - self._buffer_s + self.policy.budget_s
            invocation.hold_ends = min(invocation.hold_ends, budget_ends)

    def _note_committed(self, event: OffsetCommitted, now: float) -> Iterator[Effect]:
        if event.through > self.shipments.shipped:
            yield Release(event.through)
        took_s = self.shipments.committed(event.through, event.skip, now)
        self._recovery.progressed()
        if took_s is not None:
            self.policy.delivered(took_s)

    def _note_stalled(self, event: ShipmentStalled, now: float) -> None:
        current = self.shipments.current
        if current is None or event.deadline not in (None, current.deadline):
            return  # an order crossed it on the way, and is under way now
        if current.is_cut or self._is_stale:
            self.shipments.ended(now)
            return
        self.shipments.stalled(now)
        self.policy.failed(now, retry_after_s=event.retry_after_s)

    def _note_exited(self, event: WorkerExited, now: float) -> Iterator[Effect]:
        invocation = self._invocation
        if event.worker == "shipper":
            self.shipments.ended(now)
        if self.is_quiet:
            return
        self._recovery.died(event.worker, now)
        if event.worker == "collector" and invocation and invocation.finished_at is None:
            # The runtimeDone may be lost with it, or come late: the function may already have returned, not long ago
            # if the collector was at work, any time since it began if it was not.
            returned = invocation.began if self._recovery.is_at_a_loss else now - self._buffer_s
            invocation.hold_ends = min(invocation.hold_ends, returned + self.policy.budget_s)
        if self._recovery.is_hopeless:
            self.is_quiet = True
            yield GoQuiet()

    # What to do about it.

    def _proceed(self, now: float) -> Iterator[Effect]:
        current = self.shipments.current
        if current and now >= current.deadline + STUCK_AFTER_S:
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
            yield from self._let_go(now, "budget_spent" if is_finished else "end_not_told")
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
        elif invocation.finished_at is not None and not current.held:
            yield from self._ship(now, invocation.hold_ends - REPORT_MARGIN_S, "invocation_finished", held=True)

    def _proceed_ending(self, now: float) -> Iterator[Effect]:
        shipments = self.shipments
        is_over = now >= self._ends_at or self.is_quiet
        is_all_told = self._invocation is not None and self._invocation.is_reported
        if self.state is State.DRAINING and (is_over or is_all_told or now >= self._last_stored + QUIET_S):
            self.state = State.CLOSING
            shipments.has_stalled = False  # whatever came of it while collecting: one last try
        if shipments.waiting_bytes and not is_over and not shipments.has_stalled:
            current = shipments.current
            if self.state is State.DRAINING and self.policy.is_open:
                pass  # there may be time for one request only: it waits for the last report
            elif current and current.is_cut:
                pass  # what is ordered next would prolong it
            elif self._is_stale and now >= self._ending_since + STALE_AFTER_S:
                yield shipments.cut(now, "stale")
            elif current is None or current.until < shipments.end or current.deadline != self._ends_at:
                yield from self._ship(now, self._ends_at, "shutdown")
        elif self.state is State.CLOSING:
            self.state = State.CLOSED
            yield Exit(self._exit_status)

    def _let_go(self, now: float, reason: str) -> Iterator[Effect]:
        finished_at = self._invocation.finished_at if self._invocation else None
        self.state = State.WAITING
        yield FetchNext(reason, 0.0 if finished_at is None else now - finished_at + self._buffer_s)
        yield from self._ship_alongside(now)

    @property
    def _is_stale(self) -> bool:
        """Whether the last telemetry is in and the shipment under way is from before, and got nowhere since."""
        current = self.shipments.current
        return (
            self.state is State.CLOSING
            and current is not None
            and not current.is_cut
            and max(current.began, self.shipments.last_committed) < self._ending_since
        )

    @property
    def _is_running(self) -> bool:
        """Whether a function runs, as far as known: the environment is not frozen."""
        return not self._freezes or (self._invocation is not None and self._invocation.finished_at is None)

    @property
    def _due_at(self) -> float | None:
        """When a shipment alongside a running function is due; None when there is none to make."""
        shipments = self.shipments
        if (
            not shipments.waiting_bytes
            or self.state not in (State.WAITING, State.HOLDING, State.REFUSED)
            or not self._is_running
            or not self._can_ship
        ):
            return None
        last_call_at = self._invocation.last_call_at if self._invocation else None
        timed = None if shipments.current else self.policy.due_at(shipments.waiting_since, shipments.last_ended)
        return min((at for at in (last_call_at, timed) if at is not None), default=None)

    @property
    def _can_ship(self) -> bool:
        return not self.is_quiet and self._recovery.is_alive("shipper")

    def _ship_alongside(self, now: float) -> Iterator[Effect]:
        """Shipments that hold nothing: a deadline is near, the backlog fills, the interval has passed."""
        due_at = self._due_at
        if due_at is not None and now >= due_at:
            reason = "interval_passed"
            if self._invocation and self._invocation.last_call_at and now >= self._invocation.last_call_at:
                self._invocation.last_call_at = None
                reason = "deadline_near"
            yield from self._ship(now, now + UNHELD_SHIPMENT_S, reason)
        elif (
            2 * self.shipments.waiting_bytes > self._capacity_bytes
            and self.shipments.current is None
            and self.policy.may_ship(now)
        ):
            yield from self._ship(now, now + UNHELD_SHIPMENT_S, "backlog_half_full")

    def _ship(self, now: float, deadline: float, reason: str, *, held: bool = False) -> Iterator[Effect]:
        if self.shipments.waiting_bytes and self._can_ship:
            yield self.shipments.order(now, deadline, reason, held=held)
