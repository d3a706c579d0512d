"""What arrived, as tables: the same for the terminal and for the page."""

import json
from datetime import datetime, timezone
from typing import Any

from tests.preview.play import Preview
from tests.sandbox import Received
from tools.timeline.page import Table

NS_PER_S, NS_PER_MS = 1_000_000_000, 1_000_000
KINDS = ("", "internal", "server", "client", "producer", "consumer")
STATUS = ("", "ok", "error")
BYTES_PER_UNIT = 1000


def tables(preview: Preview) -> list[Table]:
    """All of them; one with no row is left out."""
    made = [invocations(preview), records(preview), spans(preview), metrics(preview), left_out(preview), said(preview)]
    return [table for table in made if table.rows]


def invocations(preview: Preview) -> Table:
    """What each invocation came to, and what it was charged."""
    rows = []
    for result in preview.results:
        failed = f"error: {result.error.get('errorType', '')}" if result.error else ""
        outcome = failed if result.status == "success" and failed else result.status
        held = f"{result.held_ms:.0f} ms"
        rows.append([result.request_id, outcome, f"{result.duration_ms:.0f} ms", f"{result.billed_ms} ms", held])
    return Table("Invocations", ["request", "outcome", "duration", "charged", "held by extensions"], rows)


def records(preview: Preview) -> Table:
    """Log records as the backend has them."""
    found = _of(preview, "logs")
    rows = [
        [
            _time(record.raw.get("timeUnixNano") or record.raw.get("observedTimeUnixNano")),
            str(record.raw.get("severityText") or record.raw.get("severityNumber") or ""),
            _text(record.body),
            str(record.attributes.get("faas.invocation_id", "")),
            f"{record.raw.get('traceId', '')} {record.raw.get('spanId', '')}".strip(),
            _pairs(record.attributes),
        ]
        for record in found
    ]
    columns = ["time", "severity", "body", "invocation", "trace and span", "attributes"]
    return Table("Log records", columns, rows, [record.raw for record in found])


def spans(preview: Preview) -> Table:
    """Spans, as a tree."""
    found = sorted(_of(preview, "traces"), key=lambda span: int(span.raw["startTimeUnixNano"]))
    ids = {span.raw["spanId"] for span in found}
    rows: list[list[str]] = []
    details: list[Any] = []

    def add(parent: str | None, depth: int) -> None:
        for span in found:
            above = span.raw.get("parentSpanId", "")
            if (above if above in ids else None) == parent:
                took_ms = (int(span.raw["endTimeUnixNano"]) - int(span.raw["startTimeUnixNano"])) / NS_PER_MS
                rows.append(
                    [
                        "   " * depth + ("└─ " if depth else "") + str(span.body),
                        KINDS[span.raw.get("kind", 0)],
                        f"{took_ms:.1f} ms",
                        STATUS[span.raw.get("status", {}).get("code", 0)],
                        span.raw["traceId"],
                        _pairs(span.attributes),
                    ]
                )
                details.append(span.raw)
                add(span.raw["spanId"], depth + 1)

    add(None, 0)
    return Table("Spans", ["span", "kind", "took", "status", "trace", "attributes"], rows, details)


def metrics(preview: Preview) -> Table:
    """Every point of every metric."""
    rows, details = [], []
    for metric in _of(preview, "metrics"):
        unit = metric.raw.get("unit", "")
        for kind in ("sum", "gauge", "histogram"):
            for point in metric.raw.get(kind, {}).get("dataPoints", ()):
                attributes = {one["key"]: next(iter(one["value"].values()), "") for one in point.get("attributes", ())}
                rows.append([str(metric.body), kind, _value(point), unit, _pairs(attributes)])
                details.append(point)
    return Table("Metrics", ["metric", "kind", "value", "unit", "attributes"], rows, details)


def left_out(preview: Preview) -> Table:
    """What rules dropped and redacted, and what was lost, from the extension's last line."""
    ledger = _ledger(preview)
    rows = [[reason, str(count)] for reason, count in ledger.get("dropped", {}).items()]
    rows += [[f"waiting: {reason}", str(count)] for reason, count in ledger.get("left", {}).items()]
    if ledger.get("unredactable"):
        rows.append(["unredactable", str(ledger["unredactable"])])
    return Table("What did not arrive, by reason", ["reason", "events"], rows)


def said(preview: Preview) -> Table:
    """What the extension says at `warning`, where it is deployed."""
    rows = []
    for line in preview.printed:
        try:
            fields = json.loads(line)
        except ValueError:
            rows.append(["", "", line.rstrip()])
            continue
        if fields.get("level") != "debug":
            rest = {name: value for name, value in fields.items() if name not in ("logger", "level", "event", "pid")}
            rows.append([fields.get("level", ""), fields.get("event", ""), _pairs(rest)])
    return Table("What the extension said", ["level", "event", "fields"], rows)


def size(count: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "kB", "MB"):
        if count < BYTES_PER_UNIT:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= BYTES_PER_UNIT
    return f"{count:.1f} GB"


def _ledger(preview: Preview) -> dict[str, Any]:
    for line in reversed(preview.printed):
        if '"event":"lifecycle.ended"' in line:
            found: dict[str, Any] = json.loads(line)
            return found
    return {}


def _of(preview: Preview, signal: str) -> list[Received]:
    return [record for record in preview.arrived if record.signal == signal]


def _time(nanoseconds: str | int | None) -> str:
    if not nanoseconds:
        return ""
    at = datetime.fromtimestamp(int(nanoseconds) / NS_PER_S, tz=timezone.utc)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z").partition("T")[2]


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _pairs(values: dict[str, Any]) -> str:
    return " ".join(f"{name}={_text(value)}" for name, value in values.items() if name != "log.record.uid")


def _value(point: dict[str, Any]) -> str:
    if "count" in point:
        return f"{point['count']} × {float(point.get('sum', 0)) / max(1, int(point['count'])):.6g} on average"
    number = point.get("asInt", point.get("asDouble", 0))
    return f"{float(number):.6g}"
