"""Writes the table of known lines into docs/telemetry.md: `python -m tools.telemetry_page`.

What is in it is `known_lines`'s, which the tests hold the parser to; this module owns how it is laid out.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from tools.known_lines import ESCAPE, ID, JSON, TEXT, TIME, KnownLine

PAGE = Path("docs/telemetry.md")
BEGIN = "<!-- Written by `make docs` from tools/known_lines.py. Change it there. -->"
END = "<!-- The end of what is written by `make docs`. -->"

HEAD = "| library | form | as it is written | level | found beside it |\n|---|---|---|---|---|"

# Of a line so much is shown.
MOST_SHOWN = 150


class PageError(Exception):
    """The page has no place for the table."""


def with_table(page: str) -> str:
    """The page with the table in its place.

    Raises:
        PageError: It has not exactly one place for it.
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise PageError(f"got {page.count(BEGIN)} beginnings and {page.count(END)} ends, expected one of each")
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"


def table() -> str:
    """Both tables, of text and of JSON."""
    return "\n".join((HEAD, *rows((*TEXT, *JSON))))


def rows(lines: Iterable[KnownLine]) -> Iterable[str]:
    """The rows of a table."""
    for line in lines:
        cells = (line.library, line.form, f"`{written(line)}`", f"`{line.level}` {line.number}", found(line))
        yield "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def written(line: KnownLine) -> str:
    """The line as one would see it, on one line, what is long in it by its name."""
    text = line.line if isinstance(line.line, str) else json.dumps(line.line, ensure_ascii=False, separators=(",", ":"))
    shown = text.strip().replace(TIME, "<time>").replace(ID, "<id>")
    for character, name in ((ESCAPE, r"\e"), ("\t", r"\t"), ("\n", r"\n"), ("\u202f", " ")):
        shown = shown.replace(character, name)
    return shown if len(shown) <= MOST_SHOWN else f"{shown[:MOST_SHOWN]}…"


def found(line: KnownLine) -> str:
    """What else is found, in words."""
    is_told = {
        "time": line.time,
        "invocation": line.request,
        "trace": line.trace,
        "logger": bool(line.logger),
        "message": line.body is not None,
    }
    told = ", ".join(name for name, is_there in is_told.items() if is_there)
    rest = " ".join(f"`{name}`" for name in line.rest)
    return f"{told}; attributes {rest}" if rest and told else told or (f"attributes {rest}" if rest else "")


def main() -> None:
    """Writes the page."""
    PAGE.write_text(with_table(PAGE.read_text()))
    print(f"Wrote {PAGE}")


if __name__ == "__main__":
    main()
