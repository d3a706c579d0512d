"""Pauses between tries that fail: each twice as long as the one before.

Pure, and imports nothing: an extension that has nothing to ship goes by it as well.
"""

# Doublings that are counted; no pause needs as many, and a power of two beyond them is no float any more.
MOST_DOUBLINGS = 64

# Pauses before the next event is asked for again, should the platform refuse it.
FIRST_NEXT_PAUSE_S = 0.1
LONGEST_NEXT_PAUSE_S = 10.0

# A platform that takes no connection this many times in a row, and once more, is gone.
MOST_UNCONNECTED = 8


class Backoff:
    """Counts failures in a row and says how long to pause after the last of them.

    Args:
        first_s: The first pause.
        longest_s: No pause is longer.
        at_once: Failures in a row that are tried again without a pause.

    Attributes:
        failures: In a row, the last one included.
    """

    def __init__(self, first_s: float, longest_s: float, *, at_once: int = 0) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._at_once = at_once
        self._lateness = 1.0
        self.failures = 0

    def failed(self, jitter: float = 1.0) -> None:
        """A try failed.

        Args:
            jitter: A random number in [0, 1). Jitter is over the upper half of a pause: no try comes at once, and not
                all environments try together.
        """
        self.failures += 1
        self._lateness = 0.5 + 0.5 * jitter

    def succeeded(self) -> None:
        """A try succeeded: the pauses begin anew."""
        self.failures = 0

    @property
    def pause_s(self) -> float:
        """From the last failure to the next try."""
        return self.pause_within(self._longest_s)

    def pause_within(self, longest_s: float) -> float:
        """Likewise, where no pause may be longer than `longest_s`, but the first one may."""
        doublings = self.failures - self._at_once - 1
        if doublings < 0:
            return 0.0
        pause_s = min(self._first_s * 2.0 ** min(doublings, MOST_DOUBLINGS), self._longest_s)
        return self._lateness * min(pause_s, max(self._first_s, longest_s))


class NextRetry:
    """When the next event is asked for again after a failure, and when nobody is left to ask."""

    def __init__(self) -> None:
        self._backoff = Backoff(FIRST_NEXT_PAUSE_S, LONGEST_NEXT_PAUSE_S, at_once=1)
        self._unconnected = 0

    def answered(self) -> None:
        """An event came: whatever was wrong is over."""
        self._backoff.succeeded()
        self._unconnected = 0

    def failed(self, status: int) -> None:
        """It was answered with the error `status`, or no connection was taken: 0."""
        self._backoff.failed()
        self._unconnected = 0 if status else self._unconnected + 1

    @property
    def pause_s(self) -> float:
        """Before it is asked again; none before the first time."""
        return self._backoff.pause_s

    @property
    def is_platform_gone(self) -> bool:
        """Whether nobody is left to serve."""
        return self._unconnected > MOST_UNCONNECTED
