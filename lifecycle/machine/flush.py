"""When to ship. A pure policy: moments in, decisions out; no clock, no socket.

`adaptive`: if the next invocation is expected before the interval ends, wait for it; otherwise ship now, and
hold the invocation's end for it. `end` holds every invocation, `interval` none: it ships alongside the function
when the interval has passed.

Where holding makes no sense (no budget, no platform events, a buffer that outlasts the budget) nothing is withheld, and
what has waited for the interval is shipped alongside.

The breaker: when holds end without delivery, none is held any more. Shipments then go alongside running
functions, probing with backoff and jitter, until one is answered as fast as a hold would have needed it. The longest
pause between probes is shorter the more waits: what a busy function gathers in a minute would be too much to ship at
shutdown, and in the end for the backlog.

What a destination had no time for says little of it: one that answers within the budget is not to open the breaker
because some holds were short. How long an answer took is not known where a freeze may have lain in between; the breaker
is then closed for a trial now and then.
"""

from collections.abc import Callable

import msgspec

from lifecycle.contract.enums import Enum
from lifecycle.contract.wire import UNREDACTABLE
from lifecycle.machine.backoff import Backoff

# Holds in a row that ended without delivery before the breaker opens. One may be a hiccup.
MISSES_TO_OPEN = 2

# What a shipment counts that ran out of time before a hold's whole time had gone by without an answer.
SHORT_MISS = 0.25

# Pauses between probes of a destination that does not take anything: from one to the other, doubling.
FIRST_PROBE_S = 1.0
LONGEST_PROBE_S = 60.0

# Pauses between trials of a destination that takes everything, nobody knows how fast.
FIRST_TRIAL_S = 10.0
LONGEST_TRIAL_S = 600.0

# Share of the backlog that may wait before the pauses are as short as the first one; on the way there the longest
# shrinks evenly. Of the default backlog it is one request's worth, which a shutdown has time for.
CROWDED_SHARE = 0.125

# A shipment that is delivered within this is quick.
QUICK_S = 0.5

# Weight of the newest gap in the moving average: about the last three gaps count.
GAP_WEIGHT = 0.4

# A gap this many times the average is a change of traffic, not a sample of it.
UNUSUAL_GAP = 8.0


class Choice(Enum):
    """What to do about an invocation that just began."""

    HOLD = "hold"
    """Call /next only when the function has finished and everything is delivered."""
    OVERLAP = "overlap"
    """Ship now, alongside the function; call /next when that is done."""
    RELEASE = "release"
    """Call /next at once; ship later."""
    ALONGSIDE = "alongside"
    """Call /next at once, and ship alongside as far as the function's run allows."""


class Decision(msgspec.Struct, frozen=True):
    """A choice and why."""

    choice: Choice
    reason: str


class Traffic:
    """What is known of the function's invocations: how soon the next one comes, and whether their ends are told to us.

    Args:
        interval_s: Longest planned age of a record.

    Attributes:
        expected_gap_s: Expected time between two invocations; None while traffic is rare or unknown.
        is_done_trusted: Whether a platform.runtimeDone can be waited for.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._last_invoked: float | None = None
        self.expected_gap_s: float | None = None
        self.is_done_trusted = True

    def invoked(self, now: float) -> None:
        """An invocation began."""
        last, self._last_invoked = self._last_invoked, now
        if last is None:
            return
        gap_s, expected_s = max(0.0, now - last), self.expected_gap_s
        if expected_s is None:
            # The first gap is believed only if it would let a record leave in time.
            self.expected_gap_s = gap_s if gap_s <= self._interval_s else None
        elif gap_s > self._interval_s and gap_s > UNUSUAL_GAP * expected_s:
            self.expected_gap_s = None
        else:
            self.expected_gap_s = expected_s + GAP_WEIGHT * (gap_s - expected_s)

    def finished(self) -> None:
        """A platform.runtimeDone came: ends of functions are told to us."""
        self.is_done_trusted = True

    def unfinished(self) -> None:
        """A hold ended and no platform.runtimeDone had come: do not hold again before one is seen."""
        self.is_done_trusted = False


class FlushPolicy:
    """Decides for one route.

    Args:
        traffic: The function's.
        mode: `adaptive`, `end` or `interval`.
        interval_s: Longest planned age of a record.
        budget_s: Longest time a finished invocation is held.
        jitter: Random number in [0, 1), drawn for every probe.
        can_hold: Whether the ends of functions are told to us, and before the budget is spent.

    Attributes:
        is_open: The breaker is: nothing is held.
        drops_all: The route's redaction cannot be read, and nothing may leave: what waits is dropped at once, and
            nothing held for it.
    """

    def __init__(
        self,
        traffic: Traffic,
        mode: str,
        *,
        interval_s: float,
        budget_s: float,
        jitter: Callable[[], float],
        can_hold: bool = True,
    ) -> None:
        self._traffic = traffic
        self.mode = mode
        self._can_hold = can_hold and budget_s > 0
        self.interval_s = interval_s
        self.budget_s = budget_s
        self._jitter = jitter
        self._misses = 0.0
        self.is_open = False
        self._trials = Backoff(FIRST_TRIAL_S, LONGEST_TRIAL_S)
        self._opened_at = 0.0
        self._failed_at = 0.0
        self._probes = Backoff(FIRST_PROBE_S, LONGEST_PROBE_S)
        self._waiting_share = 0.0
        self._not_before = 0.0
        self._is_quick = False
        self.drops_all = False

    @property
    def is_quick(self) -> bool:
        """Whether the destination last took a shipment, and took it soon: at shutdown it has time for several."""
        return self._is_quick

    @property
    def may_withhold(self) -> bool:
        """Whether /next may be withheld for anything."""
        return not self.is_open and not self.drops_all and self._can_hold and self._traffic.is_done_trusted

    def decide(self, now: float, waiting_since: float | None) -> Decision:
        """What to do about an invocation that just began.

        Args:
            now: Monotonic seconds.
            waiting_since: When the oldest undelivered record was stored; None when nothing waits.
        """
        if self.drops_all:
            return Decision(Choice.RELEASE if waiting_since is None else Choice.ALONGSIDE, UNREDACTABLE)
        if self.is_open:
            if now >= self._probe_at and waiting_since is not None:
                return Decision(Choice.ALONGSIDE, "breaker_open_probe_due")
            return Decision(Choice.RELEASE, "breaker_open")
        if now < self._not_before:
            return Decision(Choice.RELEASE, "asked_to_wait")
        overdue_at = (now if waiting_since is None else waiting_since) + self.interval_s
        is_overdue = waiting_since is not None and now >= overdue_at
        if not self._can_hold or not self._traffic.is_done_trusted:
            # Whoever cannot tell when the function ends must not withhold /next for anything.
            reason = "runtime_done_missing" if self._can_hold else "no_holding"
            return Decision(Choice.ALONGSIDE if is_overdue else Choice.RELEASE, reason)
        if self.mode == "interval":
            if is_overdue:
                return Decision(Choice.OVERLAP, "interval_passed")
            return Decision(Choice.RELEASE, "interval_not_passed")
        if self.mode == "end":
            return Decision(Choice.HOLD, "every_invocation")
        gap_s = self._traffic.expected_gap_s
        if gap_s is None:
            return Decision(Choice.HOLD, "invocations_rare")
        if now + gap_s <= overdue_at:
            return Decision(Choice.RELEASE, "next_expected_in_time")
        return Decision(Choice.HOLD, "next_expected_too_late")

    def due_at(self, waiting_since: float | None, last_tried: float) -> float | None:
        """When a timed shipment is due alongside a running function; None when nothing waits.

        Args:
            waiting_since: When the oldest undelivered record was stored.
            last_tried: When a shipment last ended.
        """
        if waiting_since is None or self.drops_all:
            return waiting_since
        return max(max(waiting_since, last_tried) + self.interval_s, self._probe_at)

    def may_ship(self, now: float) -> bool:
        """Whether an unplanned shipment, for a backlog that fills, is worth a try."""
        return now >= self._probe_at

    @property
    def _probe_at(self) -> float:
        """When a shipment may be tried: any time while the breaker is closed and nobody asked to wait."""
        if not self.is_open:
            return self._not_before
        longest_s = LONGEST_PROBE_S * (1 - self._waiting_share / CROWDED_SHARE)
        return max(self._failed_at + self._probes.pause_within(longest_s), self._not_before)

    def filled(self, share: float) -> None:
        """So much of the backlog waits: nothing is 0, and what overflows to a spool more than 1."""
        self._waiting_share = share

    def answered(self, took_s: float) -> None:
        """The destination took some of what it was sent, `took_s` after the last time or the beginning."""
        if took_s <= self.budget_s and not self.is_open:
            self._misses = 0.0

    def delivered(self, now: float, took_s: float | None) -> None:
        """A shipment was delivered to its end.

        Args:
            now: Monotonic seconds.
            took_s: How long the last answer took; None: it may be that a freeze lay in between.
        """
        self._is_quick = took_s is not None and took_s <= QUICK_S
        self._not_before = 0.0
        self._probes.succeeded()
        if took_s is None and self.is_open and now >= self._opened_at + self._trials.pause_s:
            self.is_open = False
            self._misses = MISSES_TO_OPEN - 1.0  # one more miss opens it again
        if took_s is None or (took_s > self.budget_s and self.is_open):
            return  # it works, but no hold may be able to wait for it: go on alongside, with every invocation
        self._misses = 0.0
        self._trials.succeeded()
        self.is_open = False

    def awaits_secret(self, now: float, retry_after_s: float) -> None:
        """A shipment could not be sent, since a secret has yet to be asked for: that says nothing of the destination.

        Args:
            now: Monotonic seconds.
            retry_after_s: For so long nothing is held nor planned.
        """
        self._not_before = now + retry_after_s

    def failed(self, now: float, *, retry_after_s: float = 0.0, is_short: bool = False) -> None:
        """A shipment ended without delivery.

        Args:
            now: Monotonic seconds.
            retry_after_s: What the destination asked to wait: no invocation is held, nothing planned before.
            is_short: It ran out of time before the destination had that of a whole hold for an answer.
        """
        self._is_quick = False
        self._not_before = now + retry_after_s
        self._misses += SHORT_MISS if is_short else 1.0
        if not self.is_open:
            if self._misses < MISSES_TO_OPEN:
                return
            self.is_open = True
            self._opened_at = now
            self._trials.failed()
        self._failed_at = now
        self._probes.failed(self._jitter())
