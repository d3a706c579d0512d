"""What the machine knows at a moment, and the orders to the shipper that follow from it. No decisions about /next.

Every moment is monotonic seconds, passed in.
"""

from collections.abc import Iterator

from lifecycle.machine.alongside import due_at, due_reason, fills
from lifecycle.machine.asking import Asking
from lifecycle.machine.ending import Ending
from lifecycle.machine.events import Effect
from lifecycle.machine.flush import FlushPolicy
from lifecycle.machine.recovery import Recovery
from lifecycle.machine.shipments import Shipments
from lifecycle.machine.states import State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lifecycle.machine.invocation import Invocation

# A held shipment is told to end this long before the hold does, so that its last report arrives in time.
REPORT_MARGIN_S = 0.02

# Shipments that hold nothing: long enough for a slow destination, short enough to notice a dead one.
UNHELD_SHIPMENT_S = 10.0

# A shipment that would have been due this long ago, while the environment could be frozen, says that it was.
THAW_S = 0.2


class Situation:
    """Facts, and what follows from them alone.

    Args:
        policy: When to ship.
        capacity_bytes: Size of the backlog.
        buffer_s: How long the platform holds a batch back: about as old is a runtimeDone that does not say.
        freezes: Whether the environment is frozen between invocations.
        now: The present moment.

    Attributes:
        state: What is waited for.
        shipments: Where the backlog stands.
        recovery: The workers' deaths.
        invocation: The one that runs or ran last.
        ending: The environment's end.
        asking: How the platform took the questions for the next event.
        is_quiet: Workers kept dying; nothing is shipped any more.
    """

    def __init__(self, policy: FlushPolicy, *, capacity_bytes: int, buffer_s: float, freezes: bool, now: float) -> None:
        self.policy = policy
        self.capacity_bytes = capacity_bytes
        self.buffer_s = buffer_s
        self.freezes = freezes
        self.state = State.WAITING
        self.shipments = Shipments(now)
        self.recovery = Recovery()
        self.invocation: Invocation | None = None
        self.ending = Ending(now, buffer_s)
        self.asking = Asking()
        self.is_quiet = False

    def is_stuck(self, now: float) -> bool:
        """Whether the backlog fills and the destination takes nothing: then nobody may wait for its news."""
        stuck_at = self.shipments.stuck_at(self.policy.budget_s)
        return stuck_at is not None and now >= stuck_at

    @property
    def told_at(self) -> float:
        """When no more telemetry is expected after SHUTDOWN."""
        is_reported = self.invocation is not None and self.invocation.is_reported
        return self.ending.told_at if is_reported else self.ending.quiet_at

    @property
    def is_running(self) -> bool:
        """Whether a function or its init runs, as far as known: the environment is not frozen."""
        return not self.freezes or self.invocation is None or self.invocation.finished_at is None

    @property
    def due_at(self) -> float | None:
        """When a shipment alongside a running function is due; None when there is none to make."""
        may_run = self.state in (State.WAITING, State.HOLDING, State.REFUSED) and self.is_running
        return due_at(self.invocation, self.shipments, self.policy) if may_run and self.can_ship else None

    @property
    def can_ship(self) -> bool:
        """Whether there is a shipper to take orders."""
        return not self.is_quiet and self.recovery.is_alive("shipper")

    def ship_alongside(self, now: float) -> Iterator[Effect]:
        """Shipments that hold nothing: a deadline is near, the backlog fills, the interval has passed."""
        invocation, due = self.invocation, self.due_at
        ends_at = now + UNHELD_SHIPMENT_S
        if self.state is State.HOLDING and invocation:
            ends_at = min(ends_at, invocation.hold_ends - REPORT_MARGIN_S)  # in flight over the freeze it would die
        if due is not None and now >= due + THAW_S and self.freezes and self.state is State.WAITING and invocation:
            invocation.finished_at = now  # only a freeze makes us so late: the function had returned
        elif due is not None and now >= due:
            yield from self.ship(now, ends_at, due_reason(invocation, now))
        elif self.is_running and fills(self.shipments, self.policy, self.capacity_bytes, now):
            yield from self.ship(now, ends_at, "backlog_half_full")

    def ship(self, now: float, deadline: float, reason: str, *, held: bool = False) -> Iterator[Effect]:
        """A shipment of all that waits, if anything does and somebody can make it."""
        if self.shipments.waiting_bytes and self.can_ship:
            is_final = self.state is State.CLOSING
            yield self.shipments.order(now, deadline, reason, held=held, is_final=is_final)
