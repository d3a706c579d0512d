"""Plays the fault matrix against the built layer and prints what came of it."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.faults import command_line
from tests.faults.cell import Cell
from tests.faults.command_line import MISSED, NO_LAYER
from tests.faults.matrix import MATRIX
from tests.faults.play import ROOT, Played, play
from tests.faults.table import CAPTION, table

RESULTS = Path("build/faults.json")
LOGS = Path("build/faults")


def parser() -> argparse.ArgumentParser:
    """Describes the command line."""
    made = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description="Runs the built layer on the sandbox, freeze on, policy end, through every fault of the matrix.",
        epilog=f"Exit status: 0 all requirements are met, {MISSED} some are not, {NO_LAYER} wrong usage or no layer.",
    )
    made.add_argument("cells", nargs="*", metavar="CELL", help="only cells whose name contains one of these texts")
    made.add_argument("--debug", action="store_true", help=f"run at debug, and write what is said to {LOGS}/")
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
    chosen = {title: _chosen(cells, options.cells) for title, cells in MATRIX.items()}
    total = sum(map(len, chosen.values()))
    if not total:
        console.print("No cell has such a name.")
        return NO_LAYER
    done: dict[str, list[Played]] = {title: [] for title in chosen}
    with console.status("") as status:
        for title, cells in chosen.items():
            for cell in cells:
                status.update(f"{sum(map(len, done.values())) + 1} of {total}: {cell.name} …")
                played = play(cell, log_level="debug" if options.debug else "info")
                done[title].append(played)
                if options.debug or played.problems:
                    _write_log(cell, played)
    for title, played_cells in done.items():
        if played_cells:
            console.print(table(title, played_cells))
    console.print(CAPTION, style="dim")
    everything = [played for played_cells in done.values() for played in played_cells]
    _write_results(everything)
    missed = [played.cell.name for played in everything if played.problems]
    took_s = sum(played.measured.took_s for played in everything)
    console.print(
        f"{total - len(missed)} of {total} cells meet their requirements, in {took_s:.0f} s. Figures: {RESULTS}"
    )
    if missed:
        console.print(f"What the extension said in the others: {LOGS}/")
    return MISSED if missed else 0


def _chosen(cells: Sequence[Cell], texts: Sequence[str]) -> list[Cell]:
    return [cell for cell in cells if not texts or any(text in cell.name for text in texts)]


def _write_log(cell: Cell, played: Played) -> None:
    place = ROOT / LOGS
    place.mkdir(parents=True, exist_ok=True)
    name = "".join(c if c.isalnum() else "-" for c in cell.name)
    (place / f"{name}.log").write_text("".join(line.rstrip("\n") + "\n" for line in played.printed), encoding="utf-8")


def _write_results(everything: Sequence[Played]) -> None:
    place = ROOT / RESULTS
    place.parent.mkdir(exist_ok=True)
    figures = {played.cell.name: {**played.measured.as_json(), "problems": played.problems} for played in everything}
    place.write_text(json.dumps(figures, indent=1, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
