"""Writes the list of events into docs/troubleshooting.md from the source: `python -m tools.events_page`."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PAGE = Path("docs/troubleshooting.md")
BEGIN, END = "<!-- Written by `make docs` from the source. -->", "<!-- Until here. -->"

PACKAGES = ("lifecycle", "collector", "shipper")
AREAS = ("breaker", "collector", "lifecycle", "machine", "next", "route", "rules", "settings", "shipper", "worker")
NAME = re.compile(rf"(?:{'|'.join(AREAS)})\.[a-z_]+")

LEVELS = ("debug", "info", "warning", "error")


@dataclass
class Event:
    """An event, as the calls that say it have it.

    Attributes:
        name: Such as `worker.exited`.
        levels: It is said at one of these.
        fields: Names of what it tells, beside those that every line has.
        is_open: It may tell more, which is not named where it is said.
    """

    name: str
    levels: set[str] = field(default_factory=set)
    fields: dict[str, None] = field(default_factory=dict)
    is_open: bool = False


def events(root: Path) -> dict[str, Event]:
    """Every event that the extension says, by its name."""
    found: dict[str, Event] = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
            levels = {function.name: _levels_in(function) for function in functions}
            for function in functions:
                for call, name, said_by in _said_in(function, levels):
                    event = found.setdefault(name, Event(name))
                    # `say` is one of several, chosen before in the same function; others are functions of the module.
                    event.levels |= {said_by} if said_by in LEVELS else levels.get(said_by) or _levels_in(function)
                    for keyword in call.keywords:
                        if keyword.arg is None:
                            event.is_open = True
                        else:
                            event.fields[keyword.arg] = None
    return dict(sorted(found.items()))


def _said_in(function: ast.FunctionDef, levels: dict[str, set[str]]) -> Iterator[tuple[ast.Call, str, str]]:
    """Calls that say an event, with its name and what is called: the log, or a function that says something itself."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name, called = node.args[0].value, node.func
            said_by = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if isinstance(name, str) and NAME.fullmatch(name) and (said_by in (*LEVELS, "say") or levels.get(said_by)):
                yield node, name, said_by


def _levels_in(function: ast.FunctionDef) -> set[str]:
    return {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute) and node.attr in LEVELS}


def rows(found: dict[str, Event]) -> str:
    """The table."""
    lines = ["| event | level | fields |", "|---|---|---|"]
    for event in found.values():
        levels = ", ".join(level for level in LEVELS if level in event.levels)
        told = ", ".join(f"`{name}`" for name in event.fields) + (" …" if event.is_open else "")
        lines.append(f"| `{event.name}` | {levels} | {told.strip()} |")
    return "\n".join(lines)


def written(page: str, root: Path) -> str:
    """The page with the list as the source has it."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{rows(events(root))}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), Path()), encoding="utf-8")
