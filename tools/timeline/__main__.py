"""Draws an environment's life from the extension's log: `python -m tools.timeline LOG [-o life.html]`."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from tools.timeline import page
from tools.timeline.life import lives
from tools.timeline.lines import found

OK, NOTHING_FOUND = 0, 1


def main(arguments: list[str], stdin: Iterable[str] = sys.stdin) -> int:
    """Writes the page.

    Returns:
        Exit status: 0, or 1 where there is no line of the extension's.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tools.timeline",
        description="Draws an environment's life from the extension's own log, as one page that opens offline.",
        epilog="The log may have prefixes, other people's lines, or come from CloudWatch's exports. It tells most at "
        "TAILRACE_LOG_LEVEL=debug.",
    )
    parser.add_argument("log", nargs="?", default="-", help="a file; - or nothing: standard input")
    parser.add_argument("-o", "--output", default="life.html", type=Path, help="the page (default: life.html)")
    options = parser.parse_args(arguments)
    if options.log == "-":
        told = [*lives(found(stdin))]
    else:
        with Path(options.log).open(encoding="utf-8", errors="replace") as log:
            told = [*lives(found(log))]
    if not told:
        sys.stderr.write(
            f"There is no line of the extension's in {options.log}, expected JSON with a logger that begins with "
            "tailrace. Nothing was written.\n"
        )
        return NOTHING_FOUND
    options.output.write_text(page.html(told), encoding="utf-8")
    sys.stdout.write(f"{options.output}: {len(told)} environment{'s' * (len(told) > 1)}\n")
    return OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
