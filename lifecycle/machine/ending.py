"""What is known of an environment's end: until when, and whether more telemetry is to be expected. Pure facts."""

from lifecycle.machine.shipments import Shipments

# At shutdown all is done this long before SIGKILL.
SHUTDOWN_MARGIN_S = 0.3

# The last shipment's own last report may come this much later: what became of each record is in it.
LAST_REPORT_S = 0.04

# Time for the last shipment when the platform itself is gone.
LONGEST_GOODBYE_S = 1.5

# At shutdown, telemetry that has not come for this long does not come any more; the last platform.report has been
# seen 40 ms after SHUTDOWN.
QUIET_S = 0.3

# Lines of the last moment, printed while the runtime was being ended, come one buffer after SHUTDOWN and a little.
LATE_S = 0.05

# A shipment from before SHUTDOWN has this long to show that it lives; one that was frozen meanwhile finds its answer
# at once. Then it makes way: it may sit in a long pause, or on a connection that died while frozen.
STALE_AFTER_S = 0.05


class Ending:
    """The end of the environment, which has or has not begun.

    Args:
        now: The present moment.
        buffer_s: How long the platform holds telemetry back.

    Attributes:
        ends_at: When all must be done, and the last shipment ends.
        exit_status: What the extension ends with.
    """

    def __init__(self, now: float, buffer_s: float) -> None:
        self._buffer_s = buffer_s
        self.ends_at = 0.0
        self.exit_status = 0
        self._since = 0.0
        self._last_stored = now
        self._is_owed = False

    def begin(self, ends_at: float, now: float) -> None:
        """SHUTDOWN came, or the platform is gone."""
        self.ends_at = ends_at
        self._since = self._last_stored = now

    def stored(self, now: float) -> None:
        """A batch was stored."""
        self._last_stored = now
        self._is_owed = False

    def sent_away(self) -> None:
        """The platform still has a batch for which there was no room."""
        self._is_owed = True

    @property
    def quiet_at(self) -> float:
        """When no more telemetry is expected. A platform that was sent away with a batch comes back, after a pause."""
        quiet_s = max(QUIET_S, self._buffer_s + LATE_S)
        return self.ends_at if self._is_owed else min(self._last_stored + quiet_s, self.ends_at)

    @property
    def told_at(self) -> float:
        """When no more is expected once the last platform.report has come."""
        return min(self._since + self._buffer_s + LATE_S, self.quiet_at)

    @property
    def heard_at(self) -> float:
        """Until when the last shipment's report is waited for."""
        return self.ends_at + LAST_REPORT_S

    @property
    def last_stored(self) -> float:
        """When telemetry last came."""
        return self._last_stored

    def stale_at(self, shipments: Shipments) -> float | None:
        """When the shipment under way has to make way; None if it began after SHUTDOWN or got somewhere since."""
        current = shipments.current
        if current is None or current.is_cut or max(current.began, shipments.last_committed) >= self._since:
            return None
        return self._since + STALE_AFTER_S
