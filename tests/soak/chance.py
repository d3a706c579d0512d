"""What happens next: drawn from a seed, so that a run can be had again. Pure."""

import random
from dataclasses import dataclass, field
from typing import Any

from tests.faults.cell import COLLECTOR, SHIPPER
from tests.sandbox import Hang, Reset, Slow, Status
from tests.sandbox.backend_faults import Action, Partial, retry_after

# How often the backend gets a new trouble, and a worker is killed.
TROUBLES, KILLS, RESETS = 0.05, 0.05, 0.03

# A worker that was killed has so many invocations to get something done, most of them of a few milliseconds: eight
# deaths without that are, rightly, the end of it.
LEAST_BETWEEN_KILLS = 50

# A burst of a megabyte now and then, and one at first: no batch that comes later takes more memory. Most functions say
# little.
BURSTS = 0.002

# How long functions run: a minute is thousands of invocations.
RUNS_S = (0.005, 0.01)

ACTIONS: tuple[tuple[float, Action], ...] = (
    (4, Status(503)),
    (3, Status(500)),
    (2, Status(408)),
    (2, Status(400)),
    (1, Status(401)),
    (1, Status(404)),
    (1, retry_after(1)),
    (3, Reset()),
    (3, Reset(store=True)),
    (2, Slow(0.05)),
    (1, Slow(0.4)),
    (1, Hang()),
    (1, Hang(store=True)),
    (1, Partial(0)),
)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One invocation.

    Attributes:
        event: What the function is told.
        script: What the backend's next requests meet; None: nothing new.
        door: Whether the backend stops (False) or begins (True) to take connections; None: as it was.
        hangs_up: Whether it closes all connections.
        kills: Workers to kill.
        kill_after_s: When, after the invocation has begun; None: before it, while frozen.
    """

    event: dict[str, Any]
    script: list[Action] | None = None
    door: bool | None = None
    hangs_up: bool = False
    kills: tuple[str, ...] = ()
    kill_after_s: float | None = None


@dataclass
class Chance:
    """Draws the steps of one life.

    Args:
        seed: Of everything.
        kills: Whether workers are killed.
        resets: Whether the function crashes now and then.
    """

    seed: int
    kills: bool = False
    resets: bool = False
    _dice: random.Random = field(init=False)
    _down_for: int = 0
    _killed_at: int = -LEAST_BETWEEN_KILLS

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)

    @property
    def is_up(self) -> bool:
        """Whether the backend takes connections."""
        return self._down_for <= 0

    @property
    def encoding(self) -> str | None:
        """The one encoding of OTLP that the backend takes, as long as it has troubles; None: either."""
        return random.Random(f"{self.seed} encoding").choice((None, "json", "protobuf"))

    def step(self, number: int) -> Step:
        """The next one."""
        dice = self._dice
        lines = 1024 if dice.random() < BURSTS or not number else dice.choice((0, 1, 3, 10, 30))
        event = {
            "tag": f"{number}:",
            "lines": lines,
            "bytes": 1024 if lines > 100 else 0,
            "sleep_s": dice.uniform(*RUNS_S),
        }
        if self.resets and dice.random() < RESETS:
            event["dies"] = True
        script, door, hangs_up = None, None, False
        self._down_for -= 1
        if "dies" in event:
            # What waits in an environment that ends while the backend is down is lost, and that is documented.
            script, door, self._down_for = [], True if self._down_for >= 0 else None, -1
        elif self._down_for == 0:
            door = True
        elif self._down_for < 0 and dice.random() < TROUBLES:
            what = dice.random()
            if what < 0.2:
                door, self._down_for = False, dice.randint(1, 20)
            elif what < 0.3:
                hangs_up = True
            else:
                (action,) = dice.choices([a for _, a in ACTIONS], [weight for weight, _ in ACTIONS])
                script = [action] * dice.randint(1, 4)
        kills: tuple[str, ...] = ()
        kill_after_s = None
        if self.kills and dice.random() < KILLS and number >= self._killed_at + LEAST_BETWEEN_KILLS:
            self._killed_at = number
            kills = dice.choice(((COLLECTOR,), (SHIPPER,), (COLLECTOR, SHIPPER)))
            if dice.random() < 0.7:
                kill_after_s = dice.random() * 0.03
                event["sleep_s"] = 0.04
        return Step(event=event, script=script, door=door, hangs_up=hangs_up, kills=kills, kill_after_s=kill_after_s)
