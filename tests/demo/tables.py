"""What a person reads when the story is over: a summary as tables. Fits 80 columns, decides nothing."""

import json

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from tests.demo.facts import Run, severity
from tests.demo.ledgers import Ledger, ledgers, summed
from tests.demo.summary import REQUEST_ID, Branch, Row, held_ms
from tests.sandbox import Received

# A sample's lines, and their width beside the column of severities; a traceback would fill many.
BODY_LINES = 2
BODY_COLUMNS = 67

SEVERITY_STYLES = {"ERROR": "red", "WARNING": "yellow", "WARN": "yellow", "INFO": "green"}


def signal_table(signal: str, rows: list[Row]) -> Table:
    """A signal's records by request."""
    table = _table(f"{signal.capitalize()} at the backend")
    table.add_column("request", style="cyan")
    table.add_column("what happened")
    is_emitted = any(row.emitted is not None for row in rows)
    columns = ("lines", "platform events", "arrived / emitted") if is_emitted else ("arrived",)
    for column in columns:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(row.request_id[:8] or "–", row.title, *_counts(row), style=_alarm(row))
    if is_emitted:
        total = Row(
            request_id="",
            title="",
            lines=sum(row.lines for row in rows),
            events=sum(row.events for row in rows),
            arrived=sum(row.arrived for row in rows),
            emitted=sum(row.emitted or 0 for row in rows),
        )
        table.add_section()
        table.add_row("", "together", *_counts(total), style="bold")
    return table


def trace_table(trace_id: str, caller: str, branches: list[Branch]) -> Table:
    """A trace, as a tree."""
    table = _table(f"Trace {trace_id}")
    table.add_column("span", style="cyan")
    table.add_column("kind")
    table.add_column("took", justify="right")
    table.add_column("told by")
    table.add_row(f"(the caller, {caller})", style="dim")
    for branch in branches:
        name = "   " * branch.depth + "└─ " + branch.name
        whose = "the function's own SDK" if branch.is_own else "Lambda"
        table.add_row(name, branch.kind, f"{branch.took_ms:.1f} ms", whose)
    table.caption = " One invocation, as Lambda tells it\n and as the function's own code does."
    return table


def metrics_table(measured: list[tuple[str, str, str]]) -> Table:
    """What was measured."""
    table = _table("Metrics at the backend")
    table.add_column("metric", style="cyan")
    table.add_column("all in all", justify="right")
    table.add_column("unit")
    for row in measured:
        table.add_row(*row)
    return table


def sample_table(records: list[Received]) -> Table:
    """Records as a backend has them."""
    table = _table("Some records as they arrived")
    table.add_column("severity")
    table.add_column("body, request id and uid")
    for number, record in enumerate(records, 1):
        level = severity(record) or "none"
        about = f"{record.attributes.get(REQUEST_ID, 'no request')}  {record.uid}"
        lines = [*(Text(line) for line in _body_lines(record)), Text(about, style="cyan")]
        space = [Text()] if number < len(records) else []
        table.add_row(Text(level, style=SEVERITY_STYLES.get(level, "dim")), Group(*lines, *space))
    return table


def ledger_table(run: Run) -> Table:
    """What each environment's extension counted, and the sum."""
    parts = ledgers(run.printed)
    total = summed(parts)
    # An environment that crashed left no ledger: then nobody knows which ending belongs to which.
    reasons = [ending.reason for ending in run.endings if ending.extensions]
    table = _table("Ledger: what became of every record, by the extension's own count")
    table.add_column("environment")
    for column in ("accepted", "shipped", "waiting", "dropped", "repeated", "requests", "retried"):
        table.add_column(column, justify="right")
    for number, part in enumerate(parts, 1):
        reason = f" ({reasons[number - 1]})" if len(reasons) == len(parts) else ""
        table.add_row(f"{number}{reason}", *_ledger_cells(part))
    table.add_section()
    table.add_row("together", *_ledger_cells(total), style="bold")
    table.caption = (
        " accepted = shipped + waiting + dropped. What was repeated is stored once.\n"
        f" Dropped, by reason: {_by_reason(total.dropped, total.dropped_bytes)}.\n"
        f" Batches refused: {_by_reason(total.refused, total.refused_bytes)}."
        f" Lost by the platform: {total.lost_by_platform} ({total.lost_by_platform_bytes:,} bytes)."
        f" Sent: {total.wire_bytes:,} bytes, compressed."
    )
    return table


def cost_table(run: Run, *, is_verbose: bool) -> Table:
    """What the function was charged."""
    table = _table("What the function is charged")
    table.add_column("")
    for number in range(len(run.starts)):
        table.add_column("cold start" if number == 0 else "new start", justify="right")
    helds = held_ms(run)
    numbers = range(1, len(run.starts) + 1)
    table.add_row("bare interpreter, start to end", f"{run.bare_ms:.1f} ms")
    table.add_row("from start to register", *(_beside(start.register_ms, run.bare_ms) for start in run.starts))
    table.add_row("from start to ready (/next)", *(_beside(start.ready_ms, run.bare_ms) for start in run.starts))
    table.add_row("held after return, at most", *(_most(helds.get(number, [])) for number in numbers))
    table.add_row("memory (PSS), idle", _mb(run.idle_pss_bytes))
    table.add_row("memory (PSS), at the end", *(_mb(run.last_pss_bytes.get(number)) for number in numbers))
    shown = ", ".join(f"{held:.0f}" for each in helds.values() for held in each)
    table.caption = f" Invocations that ended by themselves were held {shown} ms.\n"
    if is_verbose:
        table.caption += " The debug log was on: it costs time and memory of its own."
    else:
        table.caption += " One run says little about times; make bench measures them."
    return table


def _table(title: str) -> Table:
    return Table(
        title=f" {title}",
        title_justify="left",
        title_style="bold",
        caption_justify="left",
        caption_style="dim",
        box=box.SIMPLE_HEAD,
        padding=(0, 0, 0, 1),
        pad_edge=False,
    )


def _body_lines(record: Received) -> list[str]:
    body = record.body
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    lines = [text[at : at + BODY_COLUMNS] for at in range(0, len(text), BODY_COLUMNS)]
    if len(lines) > BODY_LINES:
        lines = lines[:BODY_LINES]
        lines[-1] = lines[-1][:-1] + "…"
    return lines


def _beside(time_ms: float, bare_ms: float) -> str:
    return f"{time_ms:.1f} ms, {time_ms / bare_ms:.1f} × bare"


def _counts(row: Row) -> list[str]:
    if row.emitted is None:
        return [str(row.arrived)]
    return [str(row.lines), str(row.events), f"{row.arrived} / {row.emitted}"]


def _alarm(row: Row) -> str:
    return "red" if row.emitted is not None and row.arrived < row.emitted else ""


def _most(held: list[float]) -> str:
    return f"{max(held):.1f} ms" if held else ""


def _mb(size_bytes: int | None) -> str:
    return "" if size_bytes is None else f"{size_bytes / 1e6:.1f} MB"


def _ledger_cells(ledger: Ledger) -> list[str]:
    counts = (ledger.accepted, ledger.shipped, ledger.waiting, sum(ledger.dropped.values()), ledger.repeated)
    return [str(count) for count in (*counts, ledger.requests, ledger.retried)]


def _by_reason(counts: dict[str, int], sizes: dict[str, int]) -> str:
    return ", ".join(f"{count} {why} ({sizes.get(why, 0):,} bytes)" for why, count in counts.items()) or "none"
