"""Plays the demo and shows what came of it."""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tests.demo import stage, summary, tables
from tests.demo.facts import record_line
from tests.demo.ledgers import complaints
from tests.demo.story import NAME, STEPS, DemoError, Story

ROOT = Path(__file__).resolve().parents[2]
EXTENSIONS = ROOT / "build/layer/extensions"
RECORDS = Path("build/demo/records.ndjson")
EXTENSION_LOG = Path("build/demo/extension.log")

FAILED, NO_LAYER, INTERRUPTED = 1, 2, 130

EPILOG = """\
exit status:
  0    everything the platform delivered arrived
  1    something was lost, or the extension crashed or was killed
  2    wrong usage, or there is no built layer
"""


def parser() -> argparse.ArgumentParser:
    """Describes the command line."""
    made = argparse.ArgumentParser(
        prog="python -m tests.demo",
        description="Runs a function on a Lambda-like sandbox with the built layer, and shows what arrives.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "--flush",
        choices=("adaptive", "end", "interval"),
        default="adaptive",
        help="when the extension ships, default %(default)s",
    )
    made.add_argument("--verbose", action="store_true", help=f"write the extension's debug log to {EXTENSION_LOG}")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs as the command line says.

    Returns:
        Exit status.
    """
    options = parser().parse_args(arguments)
    console = Console(highlight=False)
    if not (EXTENSIONS / NAME).exists():
        console.print("There is no built layer in build/layer. Build it with: make layer", soft_wrap=True)
        return NO_LAYER
    environ = {"TAILRACE_FLUSH": options.flush, "TAILRACE_LOG_LEVEL": "debug" if options.verbose else "info"}
    stage.heading(console)
    try:
        with stage.Stage(console, STEPS) as shown:
            run = Story(EXTENSIONS, environ, shown.doing, shown.told).play()
        console.print(f"\n {stage.WHY_SO_FEW[options.flush]}\n", style="dim")
    except DemoError as exc:
        console.print(Text(f"The function does not start: {exc}", style="red"))
        for line in exc.printed:
            console.print(Text(f" The extension said: {line.rstrip()}", style="yellow"))
        return FAILED
    except KeyboardInterrupt:
        console.print("Stopped; nothing is left running.")
        return INTERRUPTED
    _write(RECORDS, (json.dumps(record_line(record), ensure_ascii=False) for record in run.arrived))
    files = {"Every record": RECORDS}
    if options.verbose:
        _write(EXTENSION_LOG, (line.rstrip("\n") for line in run.printed))
        files["The extension's log"] = EXTENSION_LOG
    said = summary.verdict(run)
    for table in (
        *(tables.signal_table(signal, rows) for signal, rows in summary.by_request(run).items()),
        tables.trace_table(*summary.trace(run)),
        tables.metrics_table(summary.measurements(run)),
        tables.sample_table(summary.samples(run.arrived)),
        tables.ledger_table(run),
        tables.cost_table(run, is_verbose=options.verbose),
    ):
        console.print(table)
        if table.caption:
            console.print()
    stage.closing(console, said, complaints(run.printed), files)
    return said.exit_status


def _write(path: Path, lines: Iterable[str]) -> None:
    place = ROOT / path
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("w", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
