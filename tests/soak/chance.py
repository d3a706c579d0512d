"""What happens next: drawn from a seed, so that a run can be had again. Pure."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.faults.answers import BARE_PAGE, PAGE, UPGRADE
from tests.faults.cell import COLLECTOR, SHIPPER
from tests.faults.records import PANICS, nested, zeros
from tests.sandbox import Hang, Raw, Renegotiate, Reset, Slow, Status
from tests.sandbox.backend_faults import Action, Partial, retry_after
from tests.sandbox.http1 import Request
from tests.sandbox.model import NextFault

# How often the backend gets a new fault, something else happens, a line is a hard one, and a worker is killed.
FAULTS, MISHAPS, HARD_LINES, KILLS, RESETS = 0.05, 0.02, 0.02, 0.05, 0.03

# A fault that no request has met for so many invocations is over: a breaker that is open asks once a minute, and would
# meet one each time.
FORGOTTEN = 5

# A worker that was killed has so many invocations to get something done, most of them of a few milliseconds: eight
# deaths without that are, rightly, the end of it.
LEAST_BETWEEN_KILLS = 50

# A burst of a megabyte now and then, and one at first: no batch that comes later takes more memory. Most functions say
# little.
BURSTS = 0.002

# What is drawn for the backend below this, and not for its connections, is for one signal's requests.
ONE_SIGNAL = 0.5

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
    (1, Partial(0, "nothing is wrong", gzipped=True)),
    (1, UPGRADE),
    (1, PAGE),
    (1, BARE_PAGE),
    (1, Raw(b"SSH-2.0-OpenSSH_9.2\r\n", hangs_up=True)),
    (1, Raw(b"HTTP/1.1 200 OK\r\n", more=b"X-Filler: " + b"x" * 1000 + b"\r\n", times=200)),
    (1, Status(500, b'{"message":"no"}')),
    (1, Slow(0.15)),
    (1, Slow(0.6)),
    (1, Slow(1.5)),
)

# What happens beside the backend, by name (`life`); what a worker does not outlive only where workers are killed.
MILD = ("connections_lost", "frozen", "crowded", "unheard")
DEADLY = ("shipper_stopped", "collector_stopped", "descriptors_short", "processes_short")

# What happens when the environment ends, likewise.
MILD_ENDINGS = ("", "frozen", "asked_to_wait", "terminated")
DEADLY_ENDINGS = ("shipper_stopped", "collector_stopped")

# Within so many invocations, so many of which the platform delivers nothing, or that it announces in odd words.
ODD, WITHIN = 10, 10_000

SIGNALS = ("logs", "traces", "metrics")

# Lines that take more than others: time, memory, or room.
HARD = (
    (PANICS,),
    (zeros(100_000),),
    (nested(980), nested(2000)),
    ('{"message":"m","%s":1}' % ("k" * 30_000),),
    ('{"message":"m","level":"%s"}' % ("l" * 100_000),),
    ("\x1b[31m\udcff\x00" * 1000,),
    # What the patterns of `RULES` find the longest way to nothing in.
    ("7" * 256_000,),
    ("a" * 64_000,),
)

# Nothing is dropped or changed by these, however long they look.
RULES = {"TAILRACE_DROP": r"\d+,never", "TAILRACE_REDACT": "email"}


@dataclass(frozen=True)
class Of:
    """What only the requests of one signal meet."""

    signal: str
    action: Action

    def __call__(self, request: Request, _body: bytes) -> Action | None:
        """What a request meets."""
        return self.action if request.path.partition("?")[0].endswith(self.signal) else None


@dataclass(frozen=True, kw_only=True)
class Step:
    """One invocation.

    Attributes:
        event: What the function is told.
        script: What the backend's next requests meet; None: nothing new.
        listens: Whether the backend begins (True) or ceases (False) to take connections; None: as it was.
        hangs_up: Whether it closes all connections.
        kills: Workers to kill.
        kill_after_s: When, after the invocation has begun; None: before it, while frozen.
        mishap: What else happens; "" for nothing.
    """

    event: dict[str, Any]
    script: list[Action] | Of | None = None
    listens: bool | None = None
    hangs_up: bool = False
    kills: tuple[str, ...] = ()
    kill_after_s: float | None = None
    mishap: str = ""


@dataclass
class Chance:
    """Draws the steps of one life.

    Args:
        seed: Of everything.
        kills: Whether workers are killed.
        resets: Whether the function crashes now and then.
        is_tls: Whether the backend speaks TLS, and may ask for another handshake.
        has_all: Whether there are all signals, one of which may be in trouble alone.
    """

    seed: int
    kills: bool = False
    resets: bool = False
    is_tls: bool = False
    has_all: bool = False
    _dice: random.Random = field(init=False)
    _down_for: int = 0
    _troubled_for: int = 0
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

    @property
    def ending(self) -> str:
        """What happens when the environment ends."""
        endings = MILD_ENDINGS + DEADLY_ENDINGS if self.kills else MILD_ENDINGS
        return random.Random(f"{self.seed} ending").choice(endings)

    @property
    def withheld(self) -> frozenset[int]:
        """Invocations of which the platform delivers nothing while they run."""
        return frozenset(random.Random(f"{self.seed} withheld").sample(range(WITHIN), ODD))

    @property
    def odd_answers(self) -> Mapping[int, NextFault]:
        """Calls of /next that are answered in odd words."""
        return dict.fromkeys(random.Random(f"{self.seed} odd").sample(range(2, WITHIN), ODD), "deep")

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
        if dice.random() < HARD_LINES:
            event["rows"] = dice.choice(HARD)
        listens, hangs_up = None, False
        self._down_for -= 1
        self._troubled_for -= 1
        script: list[Action] | Of | None = [] if self._troubled_for == 0 else None
        if "dies" in event:
            # What waits in an environment that ends while the backend is down is lost, and that is documented.
            script, listens, self._down_for = [], True if self._down_for >= 0 else None, -1
        elif self._down_for == 0:
            listens = True
        elif self._down_for < 0 and dice.random() < FAULTS:
            what = dice.random()
            if what < 0.2:
                listens, self._down_for = False, dice.randint(1, 20)
            elif what < 0.3:
                hangs_up = True
            else:
                actions = (*ACTIONS, (2, Renegotiate())) if self.is_tls else ACTIONS
                (action,) = dice.choices([a for _, a in actions], [weight for weight, _ in actions])
                script, self._troubled_for = [action] * dice.randint(1, 4), FORGOTTEN
                if self.has_all and what < ONE_SIGNAL:
                    script = Of(dice.choice(SIGNALS), action)
        kills: tuple[str, ...] = ()
        kill_after_s = None
        mishap = dice.choice(MILD) if dice.random() < MISHAPS and "dies" not in event else ""
        if self.kills and dice.random() < KILLS and number >= self._killed_at + LEAST_BETWEEN_KILLS:
            self._killed_at = number
            if dice.random() < 0.3 and "dies" not in event:
                event["sleep_s"] = 0.04
                return Step(event=event, script=script, listens=listens, hangs_up=hangs_up, mishap=dice.choice(DEADLY))
            kills = dice.choice(((COLLECTOR,), (SHIPPER,), (COLLECTOR, SHIPPER)))
            if dice.random() < 0.7:
                kill_after_s = dice.random() * 0.03
                event["sleep_s"] = 0.04
        return Step(
            event=event,
            script=script,
            listens=listens,
            hangs_up=hangs_up,
            kills=kills,
            kill_after_s=kill_after_s,
            mishap=mishap,
        )
