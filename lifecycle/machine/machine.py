"""The supervisor's state machine: events in, effects out. No clock, no socket, no logger.

It knows offsets and moments, never records. Every moment is monotonic seconds, passed in. An event that the
state does not allow raises `IllegalEventError` and changes nothing.
"""

from collections import deque
from collections.abc import Iterator

from lifecycle.boot import STATUS_OK
from lifecycle.machine import closing
from lifecycle.machine.ending import LONGEST_GOODBYE_S, SHUTDOWN_MARGIN_S
from lifecycle.machine.events import (
    BatchStored,
    Effect,
    Event,
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
from lifecycle.machine.flush import Choice, FlushPolicy
from lifecycle.machine.holding import go_on_holding, go_on_overlapping
from lifecycle.machine.invocation import Invocation
from lifecycle.machine.situation import REPORT_MARGIN_S, UNHELD_SHIPMENT_S, Situation
from lifecycle.machine.states import LEGAL_EVENTS, State

# Batches with the ends of invocations that are remembered: the end of a short one can be read before its INVOKE,
# when this process is late.
MOST_TOLD = 4


class IllegalEventError(Exception):
    """The state does not allow the event."""


class Machine(Situation):
    """Decides what the supervisor does; made of what a situation is made of."""

    def __init__(self, policy: FlushPolicy, *, capacity_bytes: int, buffer_s: float, freezes: bool, now: float) -> None:
        super().__init__(policy, capacity_bytes=capacity_bytes, buffer_s=buffer_s, freezes=freezes, now=now)
        self._told: deque[tuple[float, BatchStored]] = deque(maxlen=MOST_TOLD)
        self._ask_at = 0.0

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
        self.shipments.note_fill(self.capacity_bytes, now)
        self.policy.filled(self.shipments.waiting_bytes / self.capacity_bytes)
        effects += (StartWorker(worker) for worker in self.recovery.due(now))
        effects += self._proceed(now)
        return effects

    @property
    def wakes_at(self) -> float | None:
        """When `TimePassed` is to be handled if nothing else happens before; None: there is no need."""
        moments = [self.recovery.wakes_at, self.due_at]
        if self.shipments.current:
            moments.append(self.shipments.current.stuck_at)
        match self.state:
            case State.HOLDING | State.OVERLAPPING if self.invocation:
                moments.append(self.invocation.hold_ends)
                if self.invocation.finished_at is None:
                    moments.append(self.shipments.stuck_at(self.policy.budget_s))
            case State.REFUSED:
                moments.append(self._ask_at)
            case State.DRAINING | State.CLOSING:
                moments += closing.wakes_at(self)
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
                self.ending.sent_away()
                self.recovery.progressed("collector")  # it lives; the room is another matter
            case _:
                pass  # TimePassed is an occasion to look again

    def _note_invoked(self, event: Invoked, now: float) -> Iterator[Effect]:
        self.invocation = invocation = Invocation(event.request_id, event.deadline, now)
        for told_at, told in self._told:
            invocation.told(told, told_at, self.policy.budget_s, self.buffer_s)
        self.asking.answered()
        self.shipments.has_stalled = False
        decision = self.policy.invoked(now, self.shipments.waiting_since)
        choice, reason = decision.choice, decision.reason
        if self.is_quiet:
            choice, reason = Choice.RELEASE, "workers_keep_dying"
        elif self.is_stuck(now):
            choice, reason = Choice.RELEASE, "backlog_stuck"
        elif choice is Choice.RELEASE and self.shipments.current and self.policy.may_withhold:
            choice, reason = Choice.OVERLAP, "shipment_under_way"
        match choice:
            case Choice.HOLD:
                self.state = State.HOLDING
            case Choice.OVERLAP:
                self.state = State.OVERLAPPING
                yield from self.ship(now, invocation.hold_ends - REPORT_MARGIN_S, reason)
            case Choice.RELEASE:
                yield FetchNext(reason)
            case Choice.ALONGSIDE:
                yield FetchNext(reason)
                yield from self.ship(now, now + UNHELD_SHIPMENT_S, reason)

    def _note_ending(self, ends_at: float, now: float) -> None:
        self.state = State.DRAINING
        self.ending.begin(ends_at, now)
        self.shipments.has_stalled = False

    def _note_next_failed(self, event: NextFailed, now: float) -> Iterator[Effect]:
        if event.status == STATUS_OK:
            yield FetchNext("unknown_event")  # it was answered: there is nothing to wait for
            return
        self.asking.failed(event.status)
        if self.asking.is_platform_gone:
            self.ending.exit_status = 1
            self._note_ending(now + LONGEST_GOODBYE_S, now)
            return
        self.state = State.REFUSED
        self._ask_at = now + self.asking.pause_s

    def _note_stored(self, event: BatchStored, now: float) -> None:
        self.shipments.stored(event.start, event.end, now)
        self.ending.stored(now)
        self.recovery.progressed("collector")
        if event.finished:
            self.policy.finished()
        if event.finished or event.reported:
            self._told.append((now, event))
        if self.invocation:
            self.invocation.told(event, now, self.policy.budget_s, self.buffer_s)

    def _note_committed(self, event: OffsetCommitted, now: float) -> Iterator[Effect]:
        if event.through > self.shipments.shipped:
            yield Release(event.through)
        took_s = self.shipments.committed(event.through, event.skip, now, waits=event.waits)
        self.shipments.owes = event.owes
        self.recovery.progressed("shipper")
        if took_s is not None:
            self.policy.delivered(took_s)

    def _note_stalled(self, event: ShipmentStalled, now: float) -> None:
        current = self.shipments.current
        if current is None or event.deadline not in (None, current.deadline):
            return  # an order crossed it on the way, and is under way now
        is_stale = self.state is State.CLOSING and self.ending.stale_at(self.shipments) is not None
        if current.is_cut or is_stale:
            self.shipments.ended(now)
            return
        self.shipments.stalled(now)
        self.policy.failed(now, retry_after_s=event.retry_after_s)

    def _note_exited(self, event: WorkerExited, now: float) -> Iterator[Effect]:
        invocation = self.invocation
        was_idle = event.worker == "shipper" and event.was_ready and not self.shipments.current
        if event.worker == "shipper" and self.shipments.current:
            self.shipments.ended(now)
            self.policy.failed(now)
        if self.is_quiet:
            return
        if was_idle:
            self.recovery.progressed(event.worker)  # it had loaded and had nothing to do: the fault is not its own
        self.recovery.died(event.worker, now)
        if event.worker == "collector" and invocation and invocation.finished_at is None:
            # The runtimeDone may be lost with it, or come late: the function may already have returned, not long ago
            # if the collector was at work, any time since it began if it was not.
            returned = invocation.began if self.recovery.is_at_a_loss("collector") else now - self.buffer_s
            invocation.hold_ends = min(invocation.hold_ends, returned + self.policy.budget_s)
        if self.recovery.is_hopeless:
            self.is_quiet = True
            self.recovery.give_up()
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
                yield from self.ship_alongside(now)
            case State.HOLDING if self.invocation:
                yield from go_on_holding(self, self.invocation, now)
            case State.OVERLAPPING if self.invocation:
                yield from go_on_overlapping(self, self.invocation, now)
            case State.REFUSED:
                yield from self.ship_alongside(now)
                if now >= self._ask_at:
                    self.state = State.WAITING
                    yield FetchNext("asked_again")
            case State.DRAINING | State.CLOSING:
                yield from closing.go_on_ending(self, now)
