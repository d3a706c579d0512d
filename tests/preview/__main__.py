"""What will arrive: `python -m tests.preview path/app.handler --event event.json`."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as Drawn
from rich.text import Text

from tests.preview.play import NAME, Asked, Preview, play
from tests.preview.tables import size, tables
from tests.sandbox import Platform
from tests.sandbox.model import FLAVOURS
from tools.timeline import page
from tools.timeline.answers import answers
from tools.timeline.life import lives
from tools.timeline.lines import found

ROOT = Path(__file__).resolve().parents[2]
EXTENSIONS = ROOT / "build/layer/extensions"
PAGE = Path("build/preview.html")

OK, FAILED, NO_LAYER = 0, 1, 2

# Characters of a cell in the terminal.
MOST_SHOWN = 100

# Where telemetry goes is what a preview stands in for.
NOT_HERE = ("TAILRACE_DESTINATION", "OTEL_EXPORTER_OTLP")

EXAMPLE = """\
examples:
  make preview HANDLER=tests/demo/handler/app.handler
  python -m tests.preview src/app.handler --event event.json --env TAILRACE_REDACT=email --no-sampled
  python -m tests.preview build/bootstrap --runtime-command ./bootstrap

exit status:
  0  it was played
  1  the function does not start
  2  wrong usage, or there is no built layer
"""


def parser() -> argparse.ArgumentParser:
    """Describes the command line."""
    made = argparse.ArgumentParser(
        prog="python -m tests.preview",
        description="Runs your function with the layer on a Lambda-like sandbox, and shows what will arrive.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("handler", metavar="PATH/MODULE.NAME", help="as src/app.handler")
    made.add_argument("--event", action="append", default=[], type=Path, metavar="FILE", help="JSON; may be repeated")
    made.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="may be repeated")
    made.add_argument("--invocations", type=int, default=1, metavar="N", help="of each event, default %(default)s")
    made.add_argument("--runtime-command", default="", metavar="COMMAND", help="a bootstrap, instead of Python's")
    made.add_argument("--timeout", type=float, default=3.0, metavar="S", help="default %(default)s")
    made.add_argument("--memory", type=int, default=128, metavar="MB", help="default %(default)s")
    made.add_argument("--log-format", choices=("Text", "JSON"), default="Text")
    made.add_argument("--flavour", choices=FLAVOURS, default="on-demand", help="of Lambda, default %(default)s")
    made.add_argument("--tracing", action=argparse.BooleanOptionalAction, default=True, help="X-Ray's active tracing")
    made.add_argument("--sampled", action=argparse.BooleanOptionalAction, default=True, help="X-Ray's decision")
    made.add_argument("-o", "--output", type=Path, default=PAGE, help="the page, default %(default)s")
    return made


def main(arguments: Sequence[str] | None = None, console: Console | None = None) -> int:
    """Runs as the command line says.

    Returns:
        Exit status.
    """
    made = parser()
    options = made.parse_args(arguments)
    console = console or Console(highlight=False)
    if not (EXTENSIONS / NAME).exists():
        console.print("There is no built layer in build/layer. Build it with: make layer", soft_wrap=True)
        return NO_LAYER
    asked = _asked(options, made, console)
    preview = play(asked)
    if preview.init_error:
        console.print(Text(f"The function does not start: {preview.init_error}", style="red"))
        for line in preview.runtime[-20:]:
            console.print(Text(f" {line.rstrip()}", style="dim"))
        return FAILED
    _show(preview, options.output, console)
    return OK


def _asked(options: argparse.Namespace, made: argparse.ArgumentParser, console: Console) -> Asked:
    directory, _, handler = options.handler.rpartition("/")
    task_root = Path(directory or ".").resolve()
    if not task_root.is_dir():
        made.error(f"got {options.handler!r}, expected PATH/MODULE.NAME: there is no directory {task_root}")
    environ = {}
    for entry in options.env:
        name, equals, value = entry.partition("=")
        if not equals:
            made.error(f"--env: got {entry!r}, expected NAME=VALUE")
        if name.startswith(NOT_HERE):
            console.print(f"{name} is left out: a preview shows what arrives at a receiver of OTLP.", style="yellow")
            continue
        environ[name] = value
    return Asked(
        extensions=EXTENSIONS,
        handler=handler,
        task_root=task_root,
        events=[_event(path, made) for path in options.event] * options.invocations or [{}] * options.invocations,
        environ=environ,
        command=options.runtime_command,
        timeout_s=options.timeout,
        memory_mb=options.memory,
        log_format=options.log_format,
        platform=Platform(flavour=options.flavour, tracing=options.tracing, sampled=options.sampled),
    )


def _event(path: Path, made: argparse.ArgumentParser) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        made.error(f"--event: {path}: {exc}; expected a file of JSON")


def _show(preview: Preview, output: Path, console: Console) -> None:
    shown = tables(preview)
    for table in shown:
        drawn = Drawn(title=table.title, title_justify="left")
        last = len(table.columns) - 1
        for number, column in enumerate(table.columns):
            # The last one has what there is room for; the page has all of it.
            drawn.add_column(column, no_wrap=True, overflow="ellipsis", style="dim" if number == last > 1 else "")
        for row in table.rows:
            drawn.add_row(*(Text(word.replace("\n", "⏎ ")[:MOST_SHOWN]) for word in row))
        console.print(drawn)
    told = [*lives(found(preview.printed))]
    for life in told:
        for question, sentences in answers(life).items():
            console.print(Text(question, style="bold"), *map(Text, sentences), sep="\n  ")
    console.print(f"On the wire: {size(preview.wire_bytes)}.")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(page.html(told, shown), encoding="utf-8")
    console.print(f"As a page, with every record: {output}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
