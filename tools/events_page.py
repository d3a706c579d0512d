"""Writes the list of events into docs/troubleshooting.md from the source: `python -m tools.events_page`."""

import ast
import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

PAGE = Path("docs/troubleshooting.md")
BEGIN, END = "<!-- Written by `make docs` from the source. -->", "<!-- Until here. -->"

PACKAGES = ("lifecycle", "collector", "shipper")
SHARED = "lifecycle"
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
        shipper.certificate_ignored shipper.compressor_missing shipper.credentials_missing shipper.credentials_taken
        shipper.proxy_ignored shipper.region_ignored shipper.region_missing shipper.restored shipper.secret_missing
        shipper.secret_refused shipper.secret_resolved shipper.started shipper.stopped
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
OF_MACHINE = """
`machine.handled` and the breaker's lines have the fields of what the machine was told, `machine.ordered` those of what
it ordered; what is zero, false or empty, or what the worker's own line has, is left out. A worker's report may add what
it counted. `before` and `after` stand where the state changed.
""".strip()

# Stands for fields that are not named where they are passed on.
MORE = "…"

# What `machine.handled` and `machine.ordered` say under `what`.
MESSAGES = {"told": Path("lifecycle/machine/events.py"), "ordered": Path("lifecycle/machine/commands.py")}
SENTENCE = re.compile(r": see |\.\s|\.$")
# The collector says that it was told so.
UNSAID = ("Release",)

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


@functools.cache
def events(root: Path) -> dict[str, Event]:
    """Every event that the extension says, by its name."""
    found: dict[str, Event] = {}
    trees = {
        package: [ast.parse(path.read_text(encoding="utf-8")) for path in sorted((root / package).rglob("*.py"))]
        for package in PACKAGES
    }
    # What a package calls is its own, or of what all share.
    names = {package: _Names([*{package: own, SHARED: trees[SHARED]}.values()]) for package, own in trees.items()}
    for package, tree in ((package, tree) for package, own in trees.items() for tree in own):
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
                    told = [keyword.arg] if keyword.arg is not None else [*names[package].of(keyword.value, function)]
                    event.fields |= dict.fromkeys(one for one in told if one != MORE)
                    event.is_open |= MORE in told
    return dict(sorted(found.items()))


class _Names:
    """Finds the names in what is passed on as `**fields`, from the expressions that it is made by.

    Args:
        trees: The source, by package: a function or an attribute is found by its name, wherever it is.
    """

    def __init__(self, trees: Iterable[Iterable[ast.Module]]) -> None:
        self._functions: dict[str, list[ast.FunctionDef]] = {}
        self._values: dict[str, list[ast.expr]] = {}
        for node in (node for some in trees for tree in some for node in ast.walk(tree)):
            match node:
                case ast.FunctionDef():
                    self._functions.setdefault(node.name, []).append(node)
                case (
                    ast.Assign(targets=[ast.Attribute(attr=name)], value=value)
                    | ast.keyword(arg=str(name), value=value)
                ):
                    if isinstance(value, ast.Dict):
                        self._values.setdefault(name, []).append(value)

    def of(self, value: ast.expr, function: ast.FunctionDef) -> Iterator[str]:
        """The names in a mapping; `MORE` where there are others, which the source does not tell here."""
        match value:
            case ast.Dict(keys=keys, values=values):
                yield from (name for pair in zip(keys, values, strict=True) for name in self._of_pair(*pair, function))
            case ast.IfExp(body=first, orelse=second) | ast.BinOp(op=ast.BitOr(), left=first, right=second):
                yield from self.of(first, function)
                yield from self.of(second, function)
            case ast.Name(id=name):
                yield from self._assigned(name, function)
            case ast.Attribute(attr=name) if name in self._values:
                for one in self._values[name]:
                    yield from self.of(one, function)
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in self._functions:
                for called in self._functions[name]:
                    returned = [node.value for node in ast.walk(called) if isinstance(node, ast.Return)]
                    yield from (found for one in returned if one is not None for found in self.of(one, called))
            case _:
                yield MORE

    def _of_pair(self, key: ast.expr | None, value: ast.expr, function: ast.FunctionDef) -> Iterator[str]:
        if key is None:
            yield from self.of(value, function)
        else:
            yield str(key.value) if isinstance(key, ast.Constant) else MORE

    def _assigned(self, name: str, function: ast.FunctionDef) -> Iterator[str]:
        is_known = False
        for node in ast.walk(function):
            match node:
                case (
                    ast.Assign(targets=[ast.Name(id=one)], value=value)
                    | ast.AnnAssign(target=ast.Name(id=one), value=ast.expr() as value)
                    | ast.AugAssign(target=ast.Name(id=one), op=ast.BitOr(), value=value)
                ) if one == name:
                    is_known = True
                    yield from self.of(value, function)
                case ast.Assign(targets=[ast.Subscript(value=ast.Name(id=one), slice=ast.Constant(str(key)))]) if (
                    one == name
                ):
                    yield key
        if not is_known:
            yield MORE


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


def messages(root: Path) -> str:
    """The table of what the machine is told and what it orders: each message with its fields."""
    lines = ["| `what` | | fields | |", "|---|---|---|---|"]
    for kind, path in MESSAGES.items():
        for node in ast.parse((root / path).read_text(encoding="utf-8")).body:
            match node:
                case ast.ClassDef(name=name, body=body) if (
                    not isinstance(node.bases[0], ast.Attribute) and name not in UNSAID
                ):
                    says = SENTENCE.split(ast.get_docstring(node) or "")[0]
                    told = [
                        one.target.id
                        for one in body
                        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
                    ]
                    lines.append(f"| `{name}` | {kind} | {', '.join(f'`{one}`' for one in told)} | {says} |")
    return "\n".join(lines)


def written(page: str, root: Path) -> str:
    """The page with the lists as the source has them."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{rows(events(root))}\n\n{OF_MACHINE}\n\n{messages(root)}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), Path()), encoding="utf-8")
