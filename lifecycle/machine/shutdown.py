"""From SHUTDOWN to the exit: until when, whether more telemetry is expected, and what is to be done next. Pure."""

import math
from collections.abc import Iterator

from lifecycle.contract.enums import Enum
from lifecycle.machine.flush import CROWDED_SHARE
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

# The last shipment is ordered this long before the end at the latest, whatever telemetry may still come.
LAST_SHIPMENT_S = 0.5

# The first shipment waits this long for the last report, so that one shipment takes all: a destination that is slow, or
# of which nothing is known, may have time for one answer only.
HOLD_BACK_S = 0.15

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
        self._retry_at: float | None = None
        self._has_retried = False
        self.ends_at = ends_at
        self.exit_status = exit_status

    def hasten(self, ends_at: float) -> None:
        """The end was announced once more: it may come nearer, never later."""
        self.ends_at = min(self.ends_at, ends_at)

    def stalled(self, now: float, retry_after_s: float) -> None:
        """A shipment ended without delivery; where the destination asked to wait, another one may be worth a try.

        What it asked for is kept if there is time for it. If not, it is asked once all the same: there is no later.
        """
        left_s = self.ends_at - now
        self._retry_at = None
        if 0 < retry_after_s <= left_s - LAST_SHIPMENT_S:
            self._retry_at = now + retry_after_s
        elif retry_after_s > 0 and left_s > 0 and not self._has_retried:
            self._has_retried = True
            self._retry_at = now + left_s / 2

    def collected_at(self, shipments: Shipments, *, is_reported: bool, collects_since: float | None) -> float:
        """When no more telemetry is expected.

        A platform that was sent away with a batch, or that a dead collector hung up on, comes back, after a pause.

        Args:
            shipments: When telemetry last came.
            is_reported: Whether the last platform.report has come.
            collects_since: Since when there is a collector to bring it; None: there is none, as far as known.
        """
        if shipments.is_intake_held or collects_since is None:
            quiet_at = self.ends_at
        else:
            quiet_s = max(QUIET_S, self._buffer_s + LATE_S)
            quiet_at = min(max(shipments.last_stored, self._began, collects_since) + quiet_s, self.ends_at)
        return min(self._began + self._buffer_s + LATE_S, quiet_at) if is_reported else quiet_at

    def closes_at(self, shipments: Shipments, *, is_reported: bool, collects_since: float | None) -> float:
        """When the next shipment is the last: all is collected, or there is just time for it."""
        latest = max(self._began, self.ends_at - LAST_SHIPMENT_S)
        return min(self.collected_at(shipments, is_reported=is_reported, collects_since=collects_since), latest)

    def _held_back_until(self, shipments: Shipments, *, is_quick: bool) -> float:
        """Until when the first shipment waits for more; much, and what only a shipment makes room for, waits never."""
        if is_quick or shipments.is_intake_held or shipments.waiting_share > CROWDED_SHARE:
            return self._began
        return self._began + HOLD_BACK_S

    def _stale_at(self, shipments: Shipments) -> float:
        """When the shipment under way has to make way: it began before SHUTDOWN and got nowhere since."""
        current = shipments.current
        if current is None or current.is_cut or max(current.began, shipments.last_committed) >= self._began:
            return math.inf
        return self._began + STALE_AFTER_S

    def forgives(self, shipments: Shipments) -> bool:
        """Whether the shipment under way may end without delivery and be followed by another at once."""
        is_cut = shipments.current is not None and shipments.current.is_cut
        return is_cut or self._stale_at(shipments) < math.inf

    def wakes_at(
        self,
        shipments: Shipments,
        since: float,
        *,
        is_reported: bool,
        collects_since: float | None,
        can_ship: bool,
        collects: bool,
        is_quick: bool,
    ) -> Iterator[float]:
        """When time alone changes something, after the moment `since`, up to which all is done."""
        moments = [self.ends_at + (LAST_REPORT_S if shipments.current else 0.0), self._stale_at(shipments)]
        if collects:
            moments.append(self.closes_at(shipments, is_reported=is_reported, collects_since=collects_since))
            moments += [self._held_back_until(shipments, is_quick=is_quick)] if shipments.waiting_bytes else []
        elif not shipments.waiting_bytes and not (shipments.owes and (shipments.current or not can_ship)):
            moments.append(self.collected_at(shipments, is_reported=is_reported, collects_since=collects_since))
        if shipments.has_stalled and self._retry_at is not None:
            moments.append(self._retry_at)
        return (moment for moment in moments if moment > since)

    def next_step(
        self, shipments: Shipments, now: float, *, is_collected: bool, can_ship: bool, collects: bool, is_quick: bool
    ) -> Step:
        """What to do next.

        Args:
            shipments: What waits, and what is under way.
            now: The present moment.
            is_collected: No more telemetry is expected.
            can_ship: There is a shipper to take commands.
            collects: It has not yet been decided that the next shipment is the last.
            is_quick: The destination is known to answer soon.
        """
        current = shipments.current
        if now >= self._stale_at(shipments):
            return Step.CUT
        if now >= self.ends_at:
            is_heard = current is None or now >= self.ends_at + LAST_REPORT_S
            return Step.EXIT if is_heard else Step.WAIT  # the shipment ends now, and its report says what became of it
        if shipments.has_stalled:
            if collects or (self._retry_at is not None and now < self._retry_at):
                return Step.WAIT
            if self._retry_at is None and not shipments.has_more:
                return Step.EXIT
        if shipments.waiting_bytes:
            is_held_back = collects and now < self._held_back_until(shipments, is_quick=is_quick)
            is_covered = current and current.until == shipments.end and current.deadline == self.ends_at
            is_enough = is_covered and current and (collects or current.is_final)
            is_being_cut = current and current.is_cut  # what is ordered next would prolong it
            return Step.WAIT if is_held_back or is_enough or is_being_cut or not can_ship else Step.SHIP
        if collects:
            return Step.WAIT
        if shipments.owes:
            return Step.SETTLE if current is None and can_ship else Step.WAIT
        return Step.EXIT if is_collected else Step.WAIT
