"""When the next event is asked for again, should the platform refuse or take no connection.

Pure, and imports nothing: an extension that has nothing to ship goes by it as well.
"""

# Pauses between questions that the platform refuses: from one to the other, doubling.
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 10.0

# A platform that takes no connection this many times in a row, and once more, is gone.
MOST_UNCONNECTED = 8


class Asking:
    """Counts failed questions.

    Attributes:
        pause_s: Before the next question; none before the first that is repeated.
    """

    def __init__(self) -> None:
        self.pause_s = 0.0
        self._next_pause_s = 0.0
        self._unconnected = 0

    def answered(self) -> None:
        """An event came: whatever was wrong is over."""
        self._unconnected = 0
        self._next_pause_s = 0.0

    def failed(self, status: int) -> None:
        """It was answered with an error, or no connection was taken: `status` 0."""
        self._unconnected = 0 if status else self._unconnected + 1
        self.pause_s = self._next_pause_s
        self._next_pause_s = min(max(FIRST_PAUSE_S, 2 * self.pause_s), LONGEST_PAUSE_S)

    @property
    def is_platform_gone(self) -> bool:
        """Whether nobody is left to serve."""
        return self._unconnected > MOST_UNCONNECTED
