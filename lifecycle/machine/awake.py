"""Limits in time that the environment was awake. Pure.

It is frozen between invocations, for minutes, in the middle of anything, and nobody is late who was frozen. While a
limit runs, a wait is cut into ticks: whatever took longer than it was to take, a freeze or a processor that was given
to others, adds no more than a tick.
"""

# While a limit runs, nobody waits longer at once.
TICK_S = 0.1

# A wait may take this much longer than it was to before the rest counts as freeze.
SLACK_S = 0.05

# Less than this is nothing: moments are floats.
_NOTHING_S = 1e-6


class AwakeLimits:
    """What must happen within some time of being awake.

    Args:
        now: The present moment.
    """

    def __init__(self, now: float) -> None:
        self._now = now
        self._left_s: dict[str, float] = {}

    def pass_time(self, now: float) -> None:
        """Moves on to the present moment."""
        if self._left_s:
            passed_s = min(max(0.0, now - self._now), TICK_S + SLACK_S)
            self._left_s = {name: left_s - passed_s for name, left_s in self._left_s.items()}
        self._now = now

    def begin(self, name: str, within_s: float) -> None:
        """Begins a limit, or lets the one of that name run on."""
        self._left_s.setdefault(name, within_s)

    def end(self, name: str) -> None:
        """What was to happen has happened, or need not any more."""
        self._left_s.pop(name, None)

    @property
    def are_running(self) -> bool:
        """Whether there are any."""
        return bool(self._left_s)

    def is_running(self, name: str) -> bool:
        """Whether there is such a limit."""
        return name in self._left_s

    def is_over(self, name: str) -> bool:
        """Whether it has not happened in time."""
        return self._left_s.get(name, 1.0) <= _NOTHING_S

    @property
    def wakes_at(self) -> float | None:
        """When to look again at the latest; None while no limit runs."""
        if not self._left_s:
            return None
        left_s = min((left_s for left_s in self._left_s.values() if left_s > _NOTHING_S), default=None)
        return None if left_s is None else self._now + min(left_s, TICK_S)
