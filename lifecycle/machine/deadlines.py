"""Turns the platform's deadlines into moments of our own, once, at the edge.

They come as epoch milliseconds, and the wall clock may have jumped since they were made: an hour, a day, backwards. A
deadline that cannot be right is replaced by what the function's earlier ones were like. How long the function may run
is not told to us; it is known once two deadlines in a row agree, since an init within an invocation takes of its time.
"""

# Lambda's longest function timeout is 15 minutes; a second for what the clocks may differ by.
LONGEST_TIMEOUT_S = 901.0

# For a function of which no timeout is known: shorter than most, so that nothing is held for long.
UNKNOWN_TIMEOUT_S = 1.0

# What external extensions get at shutdown (Extensions API: 2000 ms).
SHUTDOWN_S = 2.0

# Deadlines that leave about the same time differ by no more: INVOKE takes a little longer to be read now and then.
AGREEMENT_S = 0.5

MS_PER_S = 1000


class Deadlines:
    """Knows what a plausible deadline is."""

    def __init__(self) -> None:
        self._timeout_s = UNKNOWN_TIMEOUT_S
        self._is_known = False
        self._last_left_s = -LONGEST_TIMEOUT_S  # nothing agrees with it

    def of_invocation(self, deadline_epoch_ms: float, *, epoch_s: float, now: float) -> float:
        """Moment at which the function is timed out.

        Args:
            deadline_epoch_ms: As INVOKE gives it.
            epoch_s: The wall clock.
            now: Monotonic seconds.
        """
        left_s = deadline_epoch_ms / MS_PER_S - epoch_s
        if not 0 < left_s <= LONGEST_TIMEOUT_S:
            return now + self._timeout_s
        agrees = abs(left_s - self._last_left_s) <= AGREEMENT_S
        self._last_left_s = left_s
        if self._is_known and not agrees and left_s > self._timeout_s + AGREEMENT_S:
            return now + self._timeout_s  # more than it ever had: believed when it is so again
        self._timeout_s = max(left_s, self._timeout_s) if self._is_known else left_s
        self._is_known |= agrees
        return now + left_s

    @staticmethod
    def of_shutdown(deadline_epoch_ms: float, *, epoch_s: float, now: float) -> float:
        """Moment at which SIGKILL comes; likewise."""
        left_s = deadline_epoch_ms / MS_PER_S - epoch_s
        return now + (left_s if 0 < left_s <= SHUTDOWN_S else SHUTDOWN_S)
