"""From SHUTDOWN to the exit: until when, whether more telemetry is expected, and what is to be done next. Pure."""

from collections.abc import Iterator
from enum import Enum

from lifecycle.machine.shipments import Shipments

# At shutdown all is done this long before SIGKILL.
SHUTDOWN_MARGIN_S = 0.3

# The last shipment's own last report may come this much later: what became of each record is in it.
LAST_REPORT_S = 0.04

# Time for the last shipment when the platform itself is gone.
GONE_S = 1.5

# At shutdown, telemetry that has not come for this long does not come any more; the last platform.report has been
# seen 40 ms after SHUTDOWN.
QUIET_S = 0.3

# Lines of the last moment, printed while the runtime was being ended, come one buffer after SHUTDOWN and a little.
LATE_S = 0.05

# A shipment from before SHUTDOWN has this long to show that it lives; one that was frozen meanwhile finds its answer
# at once. Then it makes way: it may sit in a long pause, or on a connection that died while frozen.
STALE_AFTER_S = 0.05


class Step(Enum):
    """What to do next."""

    WAIT = "wait"
    """For the shipper, the collector or the time."""
    SHIP = "ship"
    """Order a shipment of all that waits."""
    SETTLE = "settle"
    """Order a last shipment though nothing waits: the shipper still makes something of what it knows."""
    CUT = "cut"
    """Have the shipment under way ended."""
    EXIT = "exit"
    """All is done, or there is no time left."""


class Shutdown:
    """The end of the environment, which has begun.

    Args:
        ends_at: When all must be done, and the last shipment ends.
        now: The present moment.
        buffer_s: How long the platform holds telemetry back.
        exit_status: What the extension ends with.
    """

    def __init__(self, ends_at: float, now: float, *, buffer_s: float, exit_status: int = 0) -> None:
        self._began = now
        self._buffer_s = buffer_s
        self.ends_at = ends_at
        self.exit_status = exit_status

    def collected_at(self, shipments: Shipments, *, is_reported: bool) -> float:
        """When no more telemetry is expected.

        A platform that was sent away with a batch comes back, after a pause.

        Args:
            shipments: When telemetry last came.
            is_reported: Whether the last platform.report has come.
        """
        if shipments.is_intake_held:
            quiet_at = self.ends_at
        else:
            quiet_s = max(QUIET_S, self._buffer_s + LATE_S)
            quiet_at = min(max(shipments.last_stored, self._began) + quiet_s, self.ends_at)
        return min(self._began + self._buffer_s + LATE_S, quiet_at) if is_reported else quiet_at

    def _is_stale(self, shipments: Shipments) -> bool:
        """Whether the shipment under way began before SHUTDOWN and got nowhere since."""
        current = shipments.current
        return current is not None and not current.is_cut and max(current.began, shipments.last_committed) < self._began

    def forgives(self, shipments: Shipments) -> bool:
        """Whether the shipment under way may end without delivery and be followed by another."""
        return self._is_stale(shipments) or (shipments.current is not None and shipments.current.is_cut)

    def wakes_at(self, shipments: Shipments, *, is_reported: bool, can_ship: bool, collects: bool) -> Iterator[float]:
        """When time alone changes something."""
        owes = shipments.owes and (shipments.current is not None or not can_ship)
        if not collects and (shipments.waiting_bytes or owes):
            yield self.ends_at if shipments.current is None else self.ends_at + LAST_REPORT_S
        else:
            yield self.collected_at(shipments, is_reported=is_reported)
        if not collects and self._is_stale(shipments):
            yield self._began + STALE_AFTER_S

    def next_step(
        self, shipments: Shipments, now: float, *, is_collected: bool, can_ship: bool, collects: bool, waits: bool
    ) -> Step:
        """What to do next.

        Args:
            shipments: What waits, and what is under way.
            now: The present moment.
            is_collected: No more telemetry is expected.
            can_ship: There is a shipper to take commands.
            collects: It has not yet been decided that the next shipment is the last.
            waits: There may be time for one request only, which is better made when all is collected.
        """
        current = shipments.current
        if not collects and self._is_stale(shipments) and now >= self._began + STALE_AFTER_S:
            return Step.CUT
        is_over = now >= self.ends_at
        is_worth_a_try = not is_over and not shipments.has_stalled
        if shipments.waiting_bytes and is_worth_a_try:
            if (collects and waits) or (current and current.is_cut):
                return Step.WAIT  # what is ordered while a shipment is being cut would prolong it
            is_covered = current and current.until == shipments.end and current.deadline == self.ends_at
            is_enough = is_covered and current and (collects or current.is_final)
            return Step.SHIP if can_ship and not is_enough else Step.WAIT
        if not collects and shipments.owes and is_worth_a_try:
            return Step.SETTLE if is_collected and current is None and can_ship else Step.WAIT
        if collects or (is_over and current and now < self.ends_at + LAST_REPORT_S):
            return Step.WAIT  # the shipment ends now, and its report says what became of it
        return Step.EXIT if is_over or is_collected or shipments.has_stalled else Step.WAIT
