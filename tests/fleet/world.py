"""Time, the traffic and what is counted: an event heap around many environments and one backend."""

import gc
import random
from array import array
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Protocol

import msgspec

from tests.fleet.backend import Backend, Trouble
from tests.fleet.environment import Environment
from tests.fleet.rivals import RIVALS, Rival

# What happens when it is due: told what it was put there with, and the moment.
Happening = Callable[[float, float], None]

# How invocations come: as if by chance, like a clock, or ten at a time.
POISSON, REGULAR, BURSTS = "poisson", "regular", "bursts"

# Of bursts: so many of the gaps are short ones, and how short, as a share of the mean.
SHORT_GAPS = 0.9
SHORT_GAP = 1 / 30

# Who ships.
TAILRACE = "Tailrace"


class Member(Protocol):
    """An environment, by whatever policy."""

    @property
    def is_busy(self) -> bool:
        """Whether there cannot be another invocation yet."""

    @property
    def waiting(self) -> int:
        """Invocations whose lines wait."""

    def invoke(self, now: float) -> None:
        """An invocation begins."""


class Scenario(msgspec.Struct, frozen=True):
    """What is played.

    Attributes:
        name: Of the scenario.
        policy: Who ships.
        environments: How many.
        seed: Of all that is random.
        duration_s: How long.
        gap_s: Mean time between the beginnings of two invocations of an environment.
        run_s: How long one takes.
        lines: Of each.
        capacity: Of the backend, as a multiple of the invocations a second.
        troubles: What goes wrong.
        begins_within_s: All environments begin within so much; 0: as their traffic has it.
        traffic: How invocations come.
    """

    name: str
    policy: str = TAILRACE
    environments: int = 10_000
    seed: int = 1
    duration_s: int = 3600
    gap_s: float = 30.0
    run_s: float = 0.2
    lines: int = 20
    capacity: float = 2.0
    troubles: tuple[Trouble, ...] = ()
    begins_within_s: float = 0.0
    traffic: str = POISSON

    @property
    def requests_s(self) -> float:
        """The backend's capacity."""
        return self.capacity * self.environments / self.gap_s


class Figures:
    """What is counted.

    Args:
        duration_s: How long.

    Attributes:
        made: Invocations that began, in each second.
        delivered: Invocations whose lines arrived, in each second.
        held_each_s: Time held after the ends of invocations, in each second.
        arrivals_s: Moments of arrivals.
        ages_s: From an invocation's beginning to each of them.
        lost_invocations: Those whose lines were given up, and counted.
        held_s: Time held after the ends of invocations.
        in_vain_s: Of that, what ended without a delivery.
        kills: Shippers that were replaced.
    """

    def __init__(self, duration_s: int) -> None:
        self.made = [0] * (duration_s + 1)
        self.delivered = [0] * (duration_s + 1)
        self.held_each_s = [0.0] * (duration_s + 1)
        self.ages_s = array("d")
        self.arrivals_s = array("d")
        self.lost_invocations = 0
        self.held_s = self.in_vain_s = 0.0
        self.kills = 0

    def arrived(self, began: float, now: float) -> None:
        """An invocation's lines arrived."""
        self.delivered[int(now)] += 1
        self.ages_s.append(now - began)
        self.arrivals_s.append(now)

    def held(self, held_s: float, now: float, *, is_in_vain: bool) -> None:
        """An invocation was held after its end."""
        self.held_s += held_s
        self.held_each_s[int(now)] += held_s
        if is_in_vain:
            self.in_vain_s += held_s


class World:
    """A scenario, played.

    Args:
        scenario: What.
        draw: Instead of the dice, what the policies draw from.
    """

    def __init__(self, scenario: Scenario, draw: Callable[[], float] | None = None) -> None:
        self.scenario = scenario
        self.run_s, self.lines = scenario.run_s, scenario.lines
        dice = random.Random(scenario.seed)
        self.draw = draw or dice.random
        self._dice = dice
        self.backend = Backend(scenario.requests_s, scenario.troubles, scenario.duration_s, dice)
        self.figures = Figures(scenario.duration_s)
        self._heap: list[tuple[float, int, Happening, float]] = []
        self._count = 0
        self.members: list[Member] = [self._member() for _ in range(scenario.environments)]

    def _member(self) -> Member:
        if self.scenario.policy == TAILRACE:
            return Environment(self)
        return Rival(self, RIVALS[self.scenario.policy])

    def _gap_s(self) -> float:
        gap_s, traffic = self.scenario.gap_s, self.scenario.traffic
        if traffic == REGULAR:
            return gap_s
        if traffic == BURSTS:
            is_short = self._dice.random() < SHORT_GAPS
            gap_s *= SHORT_GAP if is_short else (1 - SHORT_GAPS * SHORT_GAP) / (1 - SHORT_GAPS)
        return self._dice.expovariate(1 / gap_s)

    def push(self, at: float, what: Happening, which: float) -> None:
        """Has something happen."""
        self._count = count = self._count + 1
        heappush(self._heap, (at, count, what, which))

    def _invoke(self, which: float, now: float) -> None:
        """An invocation of a member is due."""
        member = self.members[int(which)]
        if member.is_busy:  # it waits until it can be taken
            self.push(now + 0.05, self._invoke, which)
            return
        self.figures.made[int(now)] += 1
        member.invoke(now)
        self.push(now + self._gap_s(), self._invoke, which)

    def play(self, progress: Callable[[int], None] = lambda _second: None) -> None:
        """Plays it to the end. `progress` is told the second, once a minute."""
        scenario, heap = self.scenario, self._heap
        within_s = scenario.begins_within_s or (scenario.gap_s if scenario.traffic == REGULAR else 0.0)
        for at in range(len(self.members)):
            self.push(within_s * self._dice.random() if within_s else self._gap_s(), self._invoke, float(at))
        until, told = float(scenario.duration_s), 60.0
        was_enabled = gc.isenabled()
        gc.disable()  # there are no cycles to be found, and a hundred thousand machines to look through
        try:
            while heap:
                now, _, what, which = heappop(heap)
                if now >= until:
                    break
                if now >= told:
                    progress(int(told))
                    told += 60.0
                what(which, now)
        finally:
            if was_enabled:
                gc.enable()
