"""Soaks the built layer for some minutes and prints what came of it."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from tests.faults import command_line
from tests.faults.command_line import MISSED, NO_LAYER
from tests.faults.play import ROOT
from tests.soak.life import KINDS, Lived, live

RESULTS = Path("build/soak.json")
LOG = Path("build/soak.log")


def parser() -> argparse.ArgumentParser:
    """Describes the command line."""
    made = argparse.ArgumentParser(
        prog="python -m tests.soak",
        description="Invokes a function with the built layer for minutes, with random faults, kills and resets.",
        epilog=f"Exit status: 0 nothing lost, nothing grown; {MISSED} something was; {NO_LAYER} wrong usage, no layer.",
    )
    made.add_argument("--minutes", type=float, default=3.0, help="how long, default %(default)g")
    made.add_argument("--seed", type=int, help="of all that is random; without it a new one, which is printed")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs as the command line says.

    Returns:
        Exit status.
    """
    options = parser().parse_args(arguments)
    console = command_line.console()
    if not command_line.has_layer(console):
        return NO_LAYER
    seed = options.seed if options.seed is not None else int.from_bytes(os.urandom(4), "big")
    console.print(f"Soaking for {options.minutes:g} minutes, seed {seed}.")
    lives = []
    with console.status("") as status:
        for number, kind in enumerate(KINDS):
            lives.append(
                live(
                    kind,
                    seed + number,
                    options.minutes * 60 * kind.share,
                    lambda count, kind=kind: status.update(f"{kind.name}: {count} invocations …"),  # type: ignore[misc]
                )
            )
    console.print(_table(lives))
    _write(lives, seed)
    problems = [problem for life in lives for problem in life.problems]
    if problems:
        console.print(f"Again with: python -m tests.soak --minutes {options.minutes:g} --seed {seed}. Log: {LOG}")
    return MISSED if problems else 0


def _table(lives: Sequence[Lived]) -> Table:
    made = Table(pad_edge=False)
    made.add_column("life")
    for name in ("invocations", "kills", "resets", "events", "lost", "copies", "retried", "held p50", "p99", "max"):
        made.add_column(name, justify="right")
    made.add_column("memory, descriptors", no_wrap=True)
    made.add_column("verdict")
    for life in lives:
        got = life.measured
        made.add_row(
            life.kind.name,
            *(str(count) for count in (len(got.held_ms), got.kills, len(got.exits) - 1, got.emitted, got.lost)),
            *(str(count) for count in (got.copies, got.ledger.retried)),
            *(f"{ms:.0f}" for ms in (got.p50_ms, life.p99_ms, max(got.held_ms))),
            "\n".join(_growth(comm, figure) for comm, figure in life.growth.figures().items()),
            Text("\n".join(life.problems), style="red") if life.problems else Text("met", style="green"),
            end_section=True,
        )
    return made


def _growth(comm: str, figure: dict[str, float]) -> str:
    early_mb, late_mb = figure["early_bytes"] / 1e6, figure["late_bytes"] / 1e6
    descriptors = f"{figure['early_descriptors']:.0f} → {figure['late_descriptors']:.0f}"
    return f"{comm.removeprefix('tr-')} {early_mb:.1f} → {late_mb:.1f} MB, {descriptors}"


def _write(lives: Sequence[Lived], seed: int) -> None:
    place = ROOT / RESULTS
    place.parent.mkdir(exist_ok=True)
    figures = [
        {"life": life.kind.name, "growth": life.growth.figures(), "problems": life.problems, **life.measured.as_json()}
        for life in lives
    ]
    place.write_text(json.dumps({"seed": seed, "lives": figures}, indent=1), encoding="utf-8")
    (ROOT / LOG).write_text("".join(line for life in lives for line in life.printed), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
