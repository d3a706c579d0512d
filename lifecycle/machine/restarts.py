"""When a dead worker is replaced: at once, then with pauses, past a limit not at all. Pure."""

from lifecycle.machine.backoff import Backoff

# Deaths without any progress between them, after which workers are not replaced any more.
MOST_DEATHS = 8

# Deaths in a row that are answered at once; a killed process is no reason to wait.
IMMEDIATE = 3

# Pauses before the replacement after those.
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 60.0


class Restarts:
    """The deaths of workers, and the replacements that are due."""

    def __init__(self) -> None:
        self._deaths: dict[str, Backoff] = {}
        self._start_at: dict[str, float] = {}

    @property
    def are_hopeless(self) -> bool:
        """Whether a worker died too often to go on."""
        return any(backoff.failures >= MOST_DEATHS for backoff in self._deaths.values())

    def died_again(self, worker: str) -> bool:
        """Whether `worker` died more than once and got nothing done between."""
        return worker in self._deaths and self._deaths[worker].failures > 1

    @property
    def wakes_at(self) -> float | None:
        """When the next replacement is due."""
        return min(self._start_at.values(), default=None)

    def progressed(self, worker: str) -> None:
        """`worker` got something done: its deaths before that do not count any more."""
        self._deaths.pop(worker, None)

    def died(self, worker: str, now: float) -> None:
        """Plans the replacement of `worker`."""
        backoff = self._deaths.setdefault(worker, Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S, at_once=IMMEDIATE))
        backoff.failed()
        self._start_at[worker] = now + backoff.pause_s

    def give_up(self) -> None:
        """No worker is replaced any more."""
        self._start_at.clear()

    def is_alive(self, worker: str) -> bool:
        """Whether `worker` is there to take commands."""
        return worker not in self._start_at

    def due(self, now: float) -> list[str]:
        """The workers to start now; they count as alive from here on."""
        due = [worker for worker, at in self._start_at.items() if at <= now]
        for worker in due:
            del self._start_at[worker]
        return due
