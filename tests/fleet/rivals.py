"""What is commonly done instead: lines are sent at the end of each invocation, which waits for that.

What could not be sent in the time that an invocation waits is kept for the next one, unless it is dropped.
"""

from collections import deque
from collections.abc import Callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.fleet.world import World

# Longest that an invocation waits for its lines to be sent.
WAIT_S = 10.0

# The pause before the next try, after so many; None: what waits is dropped.
Pauses = Callable[[int], "float | None"]


def fixed(_tries: int) -> float:
    """300 ms, whatever happens."""
    return 0.3


def three_tries(tries: int) -> float | None:
    """Three tries, a second and two apart, and what was not taken is dropped."""
    return float(tries) if tries < 3 else None


def unjittered(tries: int) -> float:
    """From 50 ms, doubling to 5 s, and no two clocks differ."""
    return min(5.0, 0.05 * 2.0 ** min(tries - 1, 10))


RIVALS: dict[str, Pauses] = {
    "fixed 300 ms": fixed,
    "three tries, then drop": three_tries,
    "exponential, no jitter": unjittered,
}


class Rival:
    """An environment that ships so.

    Args:
        world: Time, backend and figures.
        pauses: The policy.
    """

    __slots__ = ("_ended_at", "_is_busy", "_is_taken", "_pauses", "_queue", "_tries", "_world")

    def __init__(self, world: "World", pauses: Pauses) -> None:
        self._world = world
        self._pauses = pauses
        self._queue: deque[float] = deque()
        self._is_busy = self._is_taken = False
        self._tries = 0
        self._ended_at = 0.0

    @property
    def is_busy(self) -> bool:
        """Whether there cannot be another invocation yet."""
        return self._is_busy

    @property
    def waiting(self) -> int:
        """Invocations whose lines wait."""
        return len(self._queue)

    def invoke(self, now: float) -> None:
        """An invocation begins."""
        self._is_busy = True
        self._queue.append(now)
        self._ended_at = now + self._world.run_s
        self._tries = 0
        self._world.push(self._ended_at, self._send, 0.0)

    def _send(self, _which: float, now: float) -> None:
        self._tries += 1
        answered_at, self._is_taken, _ = self._world.backend.ask(now)
        self._world.push(answered_at, self._take_answer, 0.0)

    def _take_answer(self, _which: float, now: float) -> None:
        if self._is_taken:
            while self._queue:
                self._world.figures.arrived(self._queue.popleft(), now)
            self._return(now)
            return
        pause_s = self._pauses(self._tries)
        if pause_s is None:
            self._world.figures.lost_invocations += len(self._queue)
            self._queue.clear()
            self._return(now)
        elif now + pause_s > self._ended_at + WAIT_S:
            self._return(now)
        else:
            self._world.push(now + pause_s, self._send, 0.0)

    def _return(self, now: float) -> None:
        self._is_busy = False
        self._world.figures.held(now - self._ended_at, now, is_in_vain=not self._is_taken)
