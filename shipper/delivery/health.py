"""Health of one endpoint: whether it is well, since when it is not, why, and when it is tried next.

The one place that knows; what goes wrong is said here, once, and so is its end. Pure but for the log. No signal is
special: what is wrong with one endpoint is asked of no other.
"""

from collections.abc import Callable

import msgspec

from lifecycle.contract.log import Log
from lifecycle.contract.wire import SECRET
from shipper.delivery.outcome import Outcome

# Between tries of an endpoint that no other waits for: from one to the other, doubling, like the breaker's.
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0

# So many shipments in a row without time for an answer are the endpoint's doing.
_MOST_LATE = 2

# So many answers in a row that came after the end of the shipment that asked, or within it again, are no accident.
_MOST_SWINGS = 2


class Health:
    """One endpoint's.

    Args:
        signal: Whose.
        label: What the endpoint is called.
        log: Says a trouble when it begins or changes, and when it is over.
        jitter: Draws from [0, 1).
        clock: Monotonic seconds.
        said: What was said of any endpoint of the destination, which is often one and the same server.

    Attributes:
        is_well: Its last request was taken.
        took_at_s: When that was, on the clock.
        taken: Requests that were.
        reason: Why it is not well, as far as it says so itself; "" where nothing but time was short.
        failing_since_s: When it first said so, on the clock; None while it does not.
        is_slow: It has the last request, and only its answer has not come in time.
        log: Bound to it.
    """

    def __init__(
        self,
        signal: str,
        label: str,
        log: Log,
        jitter: Callable[[], float],
        clock: Callable[[], float],
        said: set[str],
    ) -> None:
        self.is_well = False
        self.took_at_s = 0.0
        self.taken = 0
        self.reason = ""
        self.failing_since_s: float | None = None
        self.is_slow = False
        self.log = log.bind(destination=label, signal=signal)
        self._signal = signal
        self._jitter = jitter
        self._clock = clock
        self._failures = 0
        self._late = 0
        # Whether its answers come late, how many in a row did otherwise, and how many and since when.
        self._is_behind = False
        self._swings = 0
        self._behind = 0
        self._behind_since_s = 0.0
        self._pause_s = 0.0
        self._resumes_at_s = 0.0
        self._said: set[str] = set()
        self._said_of_any = said
        # Where shipments ended, and how many in a row did at that very record.
        self._ended_at: tuple[int, int] | None = None
        self._ended = 0

    @property
    def failures(self) -> int:
        """Requests in a row that were not taken."""
        return self._failures

    @property
    def is_deferred(self) -> bool:
        """Whether nothing waits for it: it is tried once at a time."""
        return self._pause_s > 0

    @property
    def is_resting(self) -> bool:
        """Whether it is left alone now."""
        return self._clock() < self._resumes_at_s

    def took(self, late_s: float = 0.0) -> None:
        """A request was taken.

        Args:
            late_s: How long the answer took, where it came when the shipment that asked had ended: freezes included.
        """
        self._note_pace(late_s)
        self.taken += 1
        self.is_well = True
        self.took_at_s = self._clock()
        self._late = 0
        if self.failing_since_s is not None:
            self.log.warning(
                "shipper.delivery_recovered",
                after=self.reason,
                failures=self._failures,
                failing_ms=round((self._clock() - self.failing_since_s) * 1000, 1),
            )
        self.reason, self.failing_since_s = "", None
        self._failures, self._pause_s, self._resumes_at_s = 0, 0.0, 0.0
        self._said.clear()
        self._said_of_any.clear()

    def _note_pace(self, late_s: float) -> None:
        """Says once that answers come late, and once that they come in time again."""
        if self._is_behind:
            self._behind += late_s > 0
        self._swings = self._swings + 1 if (late_s > 0) is not self._is_behind else 0
        if self._swings < _MOST_SWINGS:
            return
        self._swings, self._is_behind = 0, not self._is_behind
        if self._is_behind:
            self._behind, self._behind_since_s = _MOST_SWINGS, self._clock()
            self.log.warning(
                "shipper.answers_late",
                took_ms=round(late_s * 1000, 1),
                effect="shipments end before it answers, and records wait for later ones",
            )
        else:
            self.log.warning(
                "shipper.answers_timely",
                late=self._behind,
                late_for_ms=round((self._clock() - self._behind_since_s) * 1000, 1),
            )

    def failed(self, outcome: Outcome, *, is_final: bool = False) -> Outcome:
        """A request was not taken, which is said once, when it begins or changes.

        A shipment without time for an answer says nothing of the endpoint. That it has none for the second time, or for
        the last, does: what drops packets, or never answers, shows in no other way.

        Returns:
            The outcome as it is to be acted upon.
        """
        self.is_well = False
        self.is_slow = outcome.pending is not None
        self._failures += 1
        fields = {"reason": outcome.reason, "detail": outcome.detail, "retry_after_s": outcome.retry_after_s}
        if outcome.said:
            fields["said"] = outcome.said
        self.log.debug("shipper.request_failed", failures=self._failures, **fields)
        if outcome.reason == "deadline":
            self._late += 1
            if not outcome.detail or (self._late < _MOST_LATE and not is_final):
                return outcome
            outcome = msgspec.structs.replace(outcome, reason="timeout")
            fields["reason"] = outcome.reason
        if self.failing_since_s is None:
            self.failing_since_s = self._clock()
        self.reason = outcome.reason
        # The same phase at the same address, or the same words: another endpoint's trouble is this one's.
        what = outcome.said or outcome.detail or f"{self._signal} {outcome.reason}"
        is_asked_for = outcome.reason == SECRET and not outcome.detail  # whoever asks says what is missing
        if not is_asked_for and outcome.reason not in self._said and what not in self._said_of_any:
            self._said_of_any.add(what)
            self.log.warning("shipper.delivery_failing", **fields)
        self._said.add(outcome.reason)
        return outcome

    def defer(self, reason: str, retry_after_s: float) -> bool:
        """Leaves it alone for a while; not where nothing is known but that time was short.

        Returns:
            Whether it does.
        """
        if reason == "deadline" and not self._pause_s:
            return False
        self._pause_s = min(2 * self._pause_s or FIRST_PAUSE_S, LONGEST_PAUSE_S)
        pause_s = max(self._pause_s * (1 + self._jitter()) / 2, retry_after_s)
        self._resumes_at_s = self._clock() + pause_s
        self.log.debug("shipper.signal_deferred", reason=reason, pause_s=round(pause_s, 1))
        return True

    def gave_up(self, records: int) -> None:
        """Says once what becomes of what it did not take."""
        say = self.log.debug if "given up" in self._said else self.log.warning
        self._said.add("given up")
        say(
            "shipper.signal_given_up",
            reason=self.reason or "deadline",
            records=records,
            effect="these records are lost; the other signals do not wait for them",
        )

    @property
    def has_ended(self) -> bool:
        """Whether a shipment ended at one of its records."""
        return self._ended_at is not None

    def ended_at(self, through: int, skip: int) -> int:
        """Notes that a shipment ended at a record; how many in a row did at that one."""
        if self._ended_at != (through, skip):
            self._ended_at, self._ended = (through, skip), 0
        self._ended += 1
        return self._ended

    def ends_at(self, through: int, skip: int) -> int:
        """How many shipments in a row ended at a record."""
        return self._ended if self._ended_at == (through, skip) else 0
