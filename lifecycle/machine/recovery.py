"""When a dead worker is replaced: at once, then with backoff, past a limit not at all. Pure."""

# Deaths without any progress between them, after which workers are not replaced any more.
MOST_DEATHS = 8

# Deaths in a row that are answered at once; a killed process is no reason to wait.
IMMEDIATE = 3

# Pause before the replacement after those; it doubles.
FIRST_PAUSE_S = 0.05


class Recovery:
    """Counts deaths and says when to start again.

    Attributes:
        is_hopeless: A worker died `MOST_DEATHS` times and got nothing done between.
    """

    def __init__(self) -> None:
        self._deaths: dict[str, int] = {}
        self._start_at: dict[str, float] = {}

    @property
    def is_hopeless(self) -> bool:
        """Whether a worker died too often to go on."""
        return any(deaths >= MOST_DEATHS for deaths in self._deaths.values())

    def is_at_a_loss(self, worker: str) -> bool:
        """Whether `worker` died more than once and got nothing done between."""
        return self._deaths.get(worker, 0) > 1

    @property
    def wakes_at(self) -> float | None:
        """When the next replacement is due."""
        return min(self._start_at.values(), default=None)

    def progressed(self, worker: str) -> None:
        """`worker` got something done: its deaths before that do not count any more."""
        self._deaths.pop(worker, None)

    def died(self, worker: str, now: float) -> None:
        """Plans the replacement of `worker`."""
        deaths = self._deaths[worker] = self._deaths.get(worker, 0) + 1
        extra = deaths - IMMEDIATE
        self._start_at[worker] = now if extra <= 0 else now + FIRST_PAUSE_S * 2 ** (extra - 1)

    def give_up(self) -> None:
        """No worker is replaced any more."""
        self._start_at.clear()

    def is_alive(self, worker: str) -> bool:
        """Whether `worker` is there to take orders."""
        return worker not in self._start_at

    def due(self, now: float) -> list[str]:
        """The workers to start now; they count as alive from here on."""
        due = [worker for worker, at in self._start_at.items() if at <= now]
        for worker in due:
            del self._start_at[worker]
        return due
