"""What a scenario came to: figures of a few dozen numbers and a line for each plot, and the bars they are held to."""

from itertools import accumulate

import msgspec

from tests.fleet.world import Figures, Scenario, World

# Of an outage: from when on after the backend's return it is held to its bars; what of the capacity is to be used, and
# asked for; when the last waiting line is to be there; held in vain at most, as a share of the time.
SETTLED_S = 60
LEAST_GOODPUT = 0.9
MOST_ASKED = 1.5
LATEST_S = 1200.0
MOST_HELD = 0.001

# Goodput is of windows of this many seconds: a second's is noise.
WINDOW_S = 10

# Of what waited at the return, the last part is with those that have not been invoked since, and cannot ship.
LAST_SHARE = 0.05


class Summary(msgspec.Struct, frozen=True):
    """What came of a scenario.

    Attributes:
        scenario: Which.
        invocations: That began.
        delivered: Those whose lines arrived.
        waiting: Those whose lines wait at the end.
        lost: Those whose lines were given up, and counted.
        uncounted: Those of which nobody knows.
        stranded: Of those that waited at the return, the ones that do at the end.
        age_p50_s: From an invocation's beginning to its lines' arrival.
        age_p99_s: Likewise.
        held_s: Time held after the ends of invocations, of all environments.
        in_vain_s: Of that, what ended without a delivery.
        in_vain_share: Of the time that all environments were played.
        in_vain_of_run: Of the time that functions ran.
        peak: Most requests asked for in a second, as a share of the capacity.
        peak_after: Likewise, from the return on.
        herd: Peak over mean in the first minute after the return.
        last_s: From the return to the arrival of the last line that waited then; None if there are still some.
        goodput: Invocations' lines taken a second as a share of the capacity, the least of the windows until the last
            part of what waited remains.
        kills: Shippers that were replaced.
        cpu_s: What the simulation took.
        asked: Requests a second, by the minute sixth.
        waits: Invocations' lines that wait, likewise.
        ages: Age at arrival, p50, p99, likewise.
        holds: Seconds held in a second, likewise.
    """

    scenario: Scenario
    invocations: int
    delivered: int
    waiting: int
    lost: int
    uncounted: int
    stranded: int
    age_p50_s: float
    age_p99_s: float
    held_s: float
    in_vain_s: float
    in_vain_share: float
    in_vain_of_run: float
    peak: float
    peak_after: float
    herd: float
    last_s: float | None
    goodput: float | None
    kills: int
    cpu_s: float
    asked: list[float]
    waits: list[int]
    ages: list[tuple[float, float]]
    holds: list[float]

    @property
    def missed(self) -> list[str]:
        """The bars of an outage that were missed."""
        bars = [
            (self.uncounted == 0, f"{self.uncounted} invocations' lines are neither there nor counted, expected none"),
            (self.lost == 0, f"{self.lost} invocations' lines were lost that fitted the backlog, expected none"),
            (self.stranded == 0, f"{self.stranded} invocations' lines of the outage never arrived, expected none"),
            (
                self.last_s is not None and self.last_s <= LATEST_S,
                f"the last waiting line came {self.last_s} s after the return, expected at most {LATEST_S:g}",
            ),
            (
                self.peak_after <= MOST_ASKED,
                f"asked for {self.peak_after:.2f} × capacity in a second, expected at most {MOST_ASKED:g}",
            ),
            (
                self.goodput is None or self.goodput >= LEAST_GOODPUT,
                f"took {self.goodput} × capacity while lines waited, expected at least {LEAST_GOODPUT:g}",
            ),
            (
                self.in_vain_share <= MOST_HELD,
                f"held {self.in_vain_share:.2%} of the time in vain, expected at most {MOST_HELD:.1%}",
            ),
        ]
        return [what for is_met, what in bars if not is_met]


def summary_of(world: World, cpu_s: float) -> Summary:
    """What a world that was played came to."""
    scenario, figures, asked = world.scenario, world.figures, world.backend.asked
    made, delivered = sum(figures.made), sum(figures.delivered)
    waiting = sum(member.waiting for member in world.members)
    back_s = int(max((trouble.ends_s for trouble in scenario.troubles), default=0.0))
    waits = [*accumulate(now - gone for now, gone in zip(figures.made, figures.delivered, strict=True))]
    ages = sorted(figures.ages_s)
    first_minute = asked[back_s : back_s + 60]
    old = [
        at
        for at, age_s in zip(figures.arrivals_s, figures.ages_s, strict=True)
        if at >= back_s > at - age_s  # it waited at the return
    ]
    stranded = sum(figures.made[:back_s]) - sum(figures.delivered[:back_s]) - figures.lost_invocations - len(old)
    last_s = max(old) - back_s if old and stranded <= 0 else None
    run_s = made * scenario.run_s
    rate = scenario.requests_s
    return Summary(
        scenario=scenario,
        invocations=made,
        delivered=delivered,
        waiting=waiting,
        lost=figures.lost_invocations,
        uncounted=made - delivered - waiting - figures.lost_invocations,
        stranded=max(0, stranded),
        age_p50_s=_quantile(ages, 0.5),
        age_p99_s=_quantile(ages, 0.99),
        held_s=figures.held_s,
        in_vain_s=figures.in_vain_s,
        in_vain_share=figures.in_vain_s / (scenario.environments * scenario.duration_s),
        in_vain_of_run=figures.in_vain_s / run_s,
        peak=max(asked) / rate,
        peak_after=max(asked[back_s:]) / rate,
        herd=max(first_minute) * len(first_minute) / max(1, sum(first_minute)),
        last_s=last_s,
        goodput=_goodput(figures, sorted(old), back_s, rate),
        kills=figures.kills,
        cpu_s=cpu_s,
        asked=[sum(asked[at : at + WINDOW_S]) / WINDOW_S for at in range(0, scenario.duration_s, WINDOW_S)],
        waits=waits[: scenario.duration_s : WINDOW_S],
        ages=_ages(figures, scenario.duration_s),
        holds=[
            sum(figures.held_each_s[at : at + WINDOW_S]) / WINDOW_S for at in range(0, scenario.duration_s, WINDOW_S)
        ],
    )


def _goodput(figures: Figures, old: list[float], back_s: int, rate: float) -> float | None:
    if not old:
        return None
    until = int(old[int(len(old) * (1 - LAST_SHARE))])
    starts = range(back_s + SETTLED_S, until - WINDOW_S, WINDOW_S)
    return min((sum(figures.delivered[at : at + WINDOW_S]) / WINDOW_S / rate for at in starts), default=None)


def _ages(figures: Figures, duration_s: int) -> list[tuple[float, float]]:
    windows: list[list[float]] = [[] for _ in range(0, duration_s, WINDOW_S)]
    for at, age_s in zip(figures.arrivals_s, figures.ages_s, strict=True):
        windows[min(int(at / WINDOW_S), len(windows) - 1)].append(age_s)
    for window in windows:
        window.sort()
    return [(_quantile(window, 0.5), _quantile(window, 0.99)) for window in windows]


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[int(share * (len(ordered) - 1))] if ordered else 0.0
