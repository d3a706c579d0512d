"""Writes the list of events into docs/troubleshooting.md from the source: `python -m tools.events_page`."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PAGE = Path("docs/troubleshooting.md")
BEGIN, END = "<!-- Written by `make docs` from the source. -->", "<!-- Until here. -->"

PACKAGES = ("lifecycle", "collector", "shipper")
AREAS = (
    *("breaker", "collector", "lifecycle", "log", "machine", "next", "platform", "route", "rules", "settings"),
    *("shipper", "worker"),
)
NAME = re.compile(rf"(?:{'|'.join(AREAS)})\.[a-z_]+")

LEVELS = ("debug", "info", "warning", "error")

# What a line can be about, and what it has of that beside its own fields, bound where that is known. An event stands
# in one row; whoever adds one says here which.
REQUEST_ID = "request_id"
BOUND: dict[str, tuple[str, ...]] = {
    "process": (),
    "route": ("route",),
    "invocation": (REQUEST_ID,),
    "connection": (REQUEST_ID, "connection"),
    "shipment": (REQUEST_ID, "route"),
    "request": (REQUEST_ID, "route", "destination", "signal"),
}
OF = {
    "process": """
        collector.spool_recovered collector.started collector.supervisor_lost
        lifecycle.abandoned lifecycle.booted lifecycle.crashed lifecycle.ended lifecycle.idled lifecycle.restored
        lifecycle.unsubscribed log.lines_lost next.failed next.refused next.unknown settings.value_ignored
        worker.exited worker.failed worker.kept_dying worker.not_started worker.started worker.stuck
    """,
    "route": """
        route.lagging rules.name_misspelt rules.pattern_ignored rules.redaction_unreadable
        shipper.certificate_ignored shipper.credentials_missing shipper.credentials_taken shipper.proxy_ignored
        shipper.region_ignored shipper.region_missing shipper.restored shipper.secret_missing shipper.secret_refused
        shipper.secret_resolved shipper.started shipper.stopped
    """,
    "invocation": """
        breaker.closed breaker.opened collector.backlog_released machine.handled machine.ordered platform.logs_dropped
    """,
    "connection": """
        collector.batch_held collector.batch_repeated collector.batch_stored collector.connection_accepted
        collector.connection_closed collector.export_dropped collector.export_refused collector.export_repeated
        collector.export_stored collector.request_refused
    """,
    "shipment": """
        rules.pattern_slow shipper.batch_shipped shipper.export_unmappable shipper.frame_broken
        shipper.record_unmappable shipper.record_unmapped shipper.shipment_crashed shipper.shipment_ended
        shipper.shipment_stalled shipper.span_unmappable shipper.spans_unsampled
    """,
    "request": """
        shipper.answer_received shipper.answers_late shipper.answers_timely shipper.batch_limit_lowered
        shipper.connection_closed shipper.connection_opened shipper.connection_replaced shipper.delivery_failing
        shipper.delivery_recovered shipper.encoding_found shipper.encoding_refused shipper.record_dropped
        shipper.records_rejected shipper.request_begun shipper.request_crashed shipper.request_failed
        shipper.request_not_begun shipper.request_sent shipper.retry_planned shipper.signal_deferred
        shipper.signal_given_up shipper.signal_unsupported
    """,
}
ABOUT = {name: about for about, names in OF.items() for name in names.split()}


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
                for name, said_by, fields in _plain_lines_in(function):
                    event = found.setdefault(name, Event(name))
                    event.levels.add(said_by)
                    event.fields |= dict.fromkeys(fields)
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


def _plain_lines_in(function: ast.FunctionDef) -> Iterator[tuple[str, str, list[str]]]:
    """Lines written without structlog whose event stands there: it, its level and its fields."""
    for node in ast.walk(function):
        match node:
            case ast.Call(
                func=ast.Name("plain_line"),
                args=[_, ast.Constant(str(level)), ast.Constant(str(name)), ast.Dict(keys=keys)],
            ):
                yield name, level, [str(key.value) for key in keys if isinstance(key, ast.Constant)]


def _levels_in(function: ast.FunctionDef) -> set[str]:
    return {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute) and node.attr in LEVELS}


def rows(found: dict[str, Event]) -> str:
    """The table."""
    lines = ["| event | level | about | fields |", "|---|---|---|---|"]
    for event in found.values():
        levels = ", ".join(level for level in LEVELS if level in event.levels)
        told = ", ".join(f"`{name}`" for name in event.fields) + (" …" if event.is_open else "")
        lines.append(f"| `{event.name}` | {levels} | {ABOUT[event.name]} | {told.strip()} |")
    return "\n".join(lines)


def written(page: str, root: Path) -> str:
    """The page with the list as the source has it."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{rows(events(root))}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), Path()), encoding="utf-8")
