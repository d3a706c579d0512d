"""Plays many environments against one backend, prints and draws what comes of it, and holds it to its bars."""

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from tests.faults.command_line import MISSED, console
from tests.fleet.backend import Trouble
from tests.fleet.rivals import RIVALS
from tests.fleet.summary import Summary, summary_of
from tests.fleet.world import BURSTS, POISSON, REGULAR, Scenario, World

RESULTS = Path("build/fleet.json")
PLOTS = Path("build/fleet")

# The outage that the bars are about: its name, and from when to when.
OUTAGE = "outage"
BEGINS_S, ENDS_S = 900.0, 1800.0

# All but the outage by the machine is played with a share of the environments, and of the capacity: that is enough for
# quantiles, and what one costs is the other's time.
SHARE = 10

# Progress is told once in so many simulated minutes.
TOLD_MINUTES = 10


def parser() -> argparse.ArgumentParser:
    """Describes the command line."""
    made = argparse.ArgumentParser(
        prog="python -m tests.fleet",
        description="Plays an hour of many environments and one backend of limited capacity, in two processes.",
        epilog=f"Exit status: 0 all bars met; {MISSED} one was missed.",
    )
    made.add_argument("--environments", type=int, default=10_000, help="how many, up to 100000; default %(default)d")
    made.add_argument("--gap", type=float, default=30.0, help="seconds between invocations, on average; %(default)g")
    made.add_argument(
        "--traffic",
        choices=(POISSON, REGULAR, BURSTS),
        default=POISSON,
        help="how they come: as if by chance, like a clock, or ten at a time; default %(default)s",
    )
    made.add_argument("--seed", type=int, default=1, help="of all that is random, default %(default)d")
    return made


def scenarios(environments: int, gap_s: float, seed: int, traffic: str = POISSON) -> list[Scenario]:
    """All that is played: the outage by every policy, then the rest."""
    down = (Trouble(BEGINS_S, ENDS_S),)
    main = Scenario(OUTAGE, environments=environments, gap_s=gap_s, seed=seed, traffic=traffic, troubles=down)
    few = msgspec.structs.replace(main, environments=max(100, environments // SHARE))

    def less(name: str, **changes: object) -> Scenario:
        return msgspec.structs.replace(few, name=name, **changes)

    troubled = {"begins_s": BEGINS_S, "ends_s": ENDS_S}
    return [
        main,
        *(msgspec.structs.replace(few, policy=policy) for policy in RIVALS),
        msgspec.structs.replace(few, name="outage, invoked every five minutes", gap_s=300.0),
        less("outage that hangs", troubles=(Trouble(BEGINS_S, ENDS_S, hangs=True),)),
        less("brown-out, a fifth is left", troubles=(Trouble(**troubled, capacity=0.2),)),  # type: ignore[arg-type]
        less("429 over half of the load", troubles=(Trouble(**troubled, capacity=0.25, is_limit=True),)),  # type: ignore[arg-type]
        less(
            "429 likewise, Retry-After: 30",
            troubles=(Trouble(**troubled, capacity=0.25, is_limit=True, retry_after_s=30.0),),  # type: ignore[arg-type]
        ),
        less("deploy, all begin in a second", troubles=(), begins_within_s=1.0, duration_s=900),
    ]


def play(scenario: Scenario) -> Summary:
    """Plays one scenario, and says how far it is."""
    began = time.process_time()
    world = World(scenario)
    what = f"{scenario.name}, {scenario.policy}"

    def progress(second: int) -> None:
        if second % (60 * TOLD_MINUTES) == 0:
            print(f"{what}: {second // 60} of {scenario.duration_s // 60} minutes", flush=True)

    world.play(progress)
    return summary_of(world, time.process_time() - began)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs as the command line says.

    Returns:
        Exit status.
    """
    options = parser().parse_args(arguments)
    told = console()
    began = time.monotonic()
    with ProcessPoolExecutor(2) as pool:
        summaries = list(pool.map(play, scenarios(options.environments, options.gap, options.seed, options.traffic)))
    _tell(told, summaries)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(summaries)))
    from tests.fleet.plots import draw  # what takes a second to load is for the end

    files = draw([summary for summary in summaries if summary.scenario.name == OUTAGE], PLOTS)
    told.print(f"{', '.join(map(str, (*files, RESULTS)))}; {time.monotonic() - began:.0f} s.", soft_wrap=True)
    for missed in summaries[0].missed:
        told.print(f"[red]Missed:[/red] {missed}.", soft_wrap=True)
    return MISSED if summaries[0].missed else 0


def _tell(told: Console, summaries: Sequence[Summary]) -> None:
    table = Table(title="What came of it")
    heads = (
        "scenario",
        "policy",
        "environments\ninvocations",
        "lost",
        "wait at\nthe end",
        "age p50\np99, s",
        "asked a second\nafter, × capacity",
        "herd",
        "last after\nreturn, s",
        "goodput",
        "held, h\nin vain",
        "in vain, of time\nof run time",
        "CPU s",
    )
    for at, head in enumerate(heads):
        table.add_column(head, justify="left" if at < 2 else "right")
    for one in summaries:
        table.add_row(
            one.scenario.name,
            one.scenario.policy,
            f"{one.scenario.environments:,}\n{one.invocations:,}",
            f"{one.lost:,}",
            f"{one.waiting:,}",
            f"{one.age_p50_s:.2f}\n{one.age_p99_s:.1f}",
            f"{one.peak:.2f}\n{one.peak_after:.2f}",
            f"{one.herd:.2f}",
            "–" if one.last_s is None else f"{one.last_s:.0f}",
            "–" if one.goodput is None else f"{one.goodput:.2f}",
            f"{one.held_s / 3600:.2f}\n{one.in_vain_s / 3600:.2f}",
            f"{one.in_vain_share:.3%}\n{one.in_vain_of_run:.1%}",
            f"{one.cpu_s:.0f}",
        )
    told.print(table)


if __name__ == "__main__":
    raise SystemExit(main())
