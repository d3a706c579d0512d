"""When a worker is started that is not there. Pure.

A dead one is replaced at once, then with pauses that double, for as long as the environment lives. Some are started
later than the others, when there is time for it.
"""

from collections.abc import Sequence

from lifecycle.machine.backoff import Backoff

# Deaths in a row that are answered at once; a killed process is no reason to wait.
IMMEDIATE = 3

# Pauses before the replacement after those: what made it die may be over, and a start costs some 50 ms of processor.
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 60.0

# Deaths without any progress between them that are said, and after which no invocation waits for the worker.
DEATHS_TO_FAIL = 8


# A worker that lived so long and then was killed while it had nothing to do did not die of a fault of its own.
SETTLED_S = 1.0


class Restarts:
    """The deaths of workers, and the replacements that are due.

    Args:
        now: The present moment: all others are started.
        later: Workers that are not started yet, in the order in which they are to be.

    Attributes:
        later: Those that are still not.
    """

    def __init__(self, now: float, later: Sequence[str] = ()) -> None:
        self.later = list(later)
        self._deaths: dict[str, Backoff] = {}
        self._start_at: dict[str, float] = {}
        self._first_started = now
        self._started: dict[str, float] = {}
        self._ready: dict[str, float] = {}
        self._killed: set[str] = set()

    def deaths(self, worker: str) -> int:
        """How often `worker` died and got nothing done between."""
        return self._deaths[worker].failures if worker in self._deaths else 0

    @property
    def have_deaths(self) -> bool:
        """Whether any worker is not there, or died and got nothing done since."""
        return bool(self._deaths or self._start_at or self.later)

    def is_failing(self, worker: str) -> bool:
        """Whether `worker` keeps dying: nobody is to wait for what it might do."""
        return self.deaths(worker) >= DEATHS_TO_FAIL

    @property
    def wakes_at(self) -> float | None:
        """When the next replacement is due."""
        return min(self._start_at.values()) if self._start_at else None

    def started_at(self, worker: str) -> float | None:
        """When `worker` was last started; None while it is not there, or has been killed."""
        is_there = self.is_alive(worker) and worker not in self._killed
        return self._started.get(worker, self._first_started) if is_there else None

    def killed(self, worker: str) -> None:
        """`worker` is to die; its exit will tell that it has."""
        self._killed.add(worker)

    def ready(self, worker: str, now: float) -> None:
        """`worker` has loaded everything."""
        self._ready[worker] = now

    def ready_since(self, worker: str) -> float | None:
        """When `worker` had loaded everything; None while it has not."""
        return self._ready.get(worker)

    def progressed(self, worker: str) -> None:
        """`worker` got something done: its deaths before that do not count any more."""
        self._deaths.pop(worker, None)

    def died(self, worker: str, now: float, *, was_idle: bool = False) -> None:
        """Plans the replacement of `worker`; `was_idle`: it had loaded everything and had nothing to do."""
        self._ready.pop(worker, None)
        self._killed.discard(worker)
        if was_idle and now >= self._started.get(worker, self._first_started) + SETTLED_S:
            self.progressed(worker)
        backoff = self._deaths.setdefault(worker, Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S, at_once=IMMEDIATE))
        backoff.failed()
        self._start_at[worker] = now + backoff.pause_s

    def begin(self, worker: str, now: float) -> None:
        """`worker` is to be started for the first time."""
        self.later.remove(worker)
        self._start_at[worker] = now

    def hasten(self, now: float) -> None:
        """Ends the pauses: there may be no later."""
        self._start_at = dict.fromkeys((*self._start_at, *self.later), now)
        self.later.clear()

    def is_alive(self, worker: str) -> bool:
        """Whether `worker` is there to take commands."""
        return worker not in self._start_at and worker not in self.later

    def is_back_by(self, worker: str, moment: float) -> bool:
        """Whether `worker` is there, or will be by then."""
        return worker not in self.later and self._start_at.get(worker, moment) <= moment

    def due(self, now: float) -> list[str]:
        """The workers to start now; they count as alive from here on."""
        if not self._start_at:
            return []
        due = [worker for worker, at in self._start_at.items() if at <= now]
        for worker in due:
            del self._start_at[worker]
            self._started[worker] = now
        return due
