"""What a run says: counts per signal and request, and whether anything was lost.

Pure: values in, values out.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.demo.facts import Run, severity
from tests.demo.ledgers import ledgers
from tests.sandbox import Received

LOGS, TRACES, METRICS = "logs", "traces", "metrics"
NO_REQUEST = ""
REQUEST_ID = "faas.invocation_id"
EVENT_TYPE = "aws.lambda.event.type"

# What an SDK says of itself, in every resource of its own.
LANGUAGE = "telemetry.sdk.language"
KINDS = ("", "internal", "server", "client", "producer", "consumer")

# A text line's attributes: request and uid. A JSON line brings its own.
OURS = 2


@dataclass(frozen=True, kw_only=True)
class Row:
    """One request's records of one signal.

    Attributes:
        request_id: "" for what belongs to none.
        title: What happened.
        lines: Printed by the function.
        events: The platform's own.
        arrived: At the backend, copies not counted.
        emitted: By the platform; None for a signal the platform does not know.
    """

    request_id: str
    title: str
    lines: int = 0
    events: int = 0
    arrived: int = 0
    emitted: int | None = None


@dataclass(frozen=True, kw_only=True)
class Branch:
    """A span where it stands in its trace.

    Attributes:
        depth: How many spans of the trace it lies in.
        name: Its own.
        kind: As OpenTelemetry calls it.
        took_ms: How long it took.
        is_own: Whether it is the function's own, by an SDK.
    """

    depth: int
    name: str
    kind: str
    took_ms: float
    is_own: bool


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether all is well, and what is not."""

    arrived: int
    emitted: int
    problems: list[str]

    @property
    def lost(self) -> int:
        """Emitted and not arrived."""
        return max(0, self.emitted - self.arrived)

    @property
    def exit_status(self) -> int:
        """0 if nothing was lost and nothing went wrong."""
        return 1 if self.lost or self.problems else 0


def by_request(run: Run) -> dict[str, list[Row]]:
    """Rows by signal: logs always, spans as they have arrived; metrics belong to no request."""
    titles = {step.request_id: step.title for step in run.steps if step.request_id}
    inits = len(run.starts)
    titles = {NO_REQUEST: "init" if inits == 1 else f"init, {inits} times", **titles}
    lines, events = emitted_by_request(run.emitted)
    by_signal: dict[str, Counter[str]] = {LOGS: Counter()}
    # A part of a span names no request; the trace it is in does.
    traces = {r.raw["traceId"]: str(r.attributes[REQUEST_ID]) for r in spans(run) if REQUEST_ID in r.attributes}
    for record in unique(run.arrived):
        if record.signal == METRICS:
            continue
        signal = LOGS if record.signal == "ndjson" else record.signal
        request_id = record.attributes.get(REQUEST_ID) or traces.get(record.raw.get("traceId"), NO_REQUEST)
        by_signal.setdefault(signal, Counter())[str(request_id)] += 1
    made: dict[str, list[Row]] = {}
    for signal, arrived in by_signal.items():
        is_logs = signal == LOGS
        present = {**arrived, **lines, **events} if is_logs else arrived
        ids = [*titles, *(each for each in present if each not in titles)]
        made[signal] = [
            Row(
                request_id=each,
                title=titles.get(each, "unknown"),
                lines=lines[each] if is_logs else 0,
                events=events[each] if is_logs else 0,
                arrived=arrived[each],
                emitted=lines[each] + events[each] if is_logs else None,
            )
            for each in ids
            if each in present
        ]
    return made


def spans(run: Run) -> list[Received]:
    """Every span that arrived."""
    return [record for record in run.arrived if record.signal == TRACES]


def own_spans(run: Run) -> list[Received]:
    """Those that the function's own SDK made."""
    return [span for span in spans(run) if LANGUAGE in span.resource]


def trace(run: Run) -> tuple[str, str, list[Branch]]:
    """The trace that the function's own spans are in: its id, whose call it is, and every span; "" where there is none.

    What has the caller for its parent is at the beginning, beside one another.
    """
    trace_id = next((str(span.raw["traceId"]) for span in own_spans(run)), "")
    found = [span for span in spans(run) if span.raw["traceId"] == trace_id]
    found.sort(key=lambda span: int(span.raw["startTimeUnixNano"]))
    ids = {span.raw["spanId"] for span in found}
    callers = [str(span.raw.get("parentSpanId", "")) for span in found if span.raw.get("parentSpanId") not in ids]
    branches: list[Branch] = []

    def add(parents: set[str], depth: int) -> None:
        for span in found:
            if span.raw.get("parentSpanId", "") in parents:
                took_ns = int(span.raw["endTimeUnixNano"]) - int(span.raw["startTimeUnixNano"])
                kind, is_own = KINDS[span.raw.get("kind", 0)], LANGUAGE in span.resource
                name, took_ms = str(span.body), took_ns / 1e6
                branches.append(Branch(depth=depth, name=name, kind=kind, took_ms=took_ms, is_own=is_own))
                add({span.raw["spanId"]}, depth + 1)

    add(set(callers), 0)
    return trace_id, next(iter(callers), ""), branches


def measurements(run: Run) -> list[tuple[str, str, str]]:
    """Every metric that arrived: its name, how much of it there was, and in what unit."""
    counts: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    units: dict[str, str] = {}
    for metric in run.arrived:
        if metric.signal == METRICS:
            name = str(metric.body)
            units[name] = metric.raw.get("unit", "")
            for point in metric.raw.get("sum", metric.raw.get("histogram", {})).get("dataPoints", ()):
                counts[name] += int(point.get("count", 0))
                sums[name] += point["sum"] if "sum" in point else int(point["asInt"])
    found = []
    for name, unit in units.items():
        mean = f"{sums[name] / counts[name]:.6g} on average of {counts[name]}" if counts[name] else ""
        found.append((name, mean or str(sums[name]), unit))
    return found


def emitted_by_request(emitted: Iterable[bytes]) -> tuple[Counter[str], Counter[str]]:
    """The function's lines and the platform's events by request.

    A line belongs to the invocation started last: the stream says no more of it, and a backend can know no more.
    """
    lines: Counter[str] = Counter()
    events: Counter[str] = Counter()
    current = NO_REQUEST
    for text in emitted:
        event = json.loads(text)
        kind, record = event["type"], event["record"]
        named = str(record.get("requestId", "")) if isinstance(record, dict) else ""
        if kind == "platform.start":
            current = named
        elif kind == "platform.initStart":
            current = NO_REQUEST
        counts = events if kind.startswith("platform.") else lines
        counts[named or current] += 1
    return lines, events


def unique(records: Iterable[Received]) -> list[Received]:
    """The first copy of each record; one without an id is its own."""
    seen: set[tuple[str, str]] = set()
    first = []
    for record in records:
        key = record.signal, record.uid or ""
        if record.uid is None or key not in seen:
            first.append(record)
            seen.add(key)
    return first


def held_ms(run: Run) -> dict[int, list[float]]:
    """How long finished invocations were held, by environment."""
    by_generation: dict[int, list[float]] = {}
    for step in run.steps:
        if step.held_ms is not None:
            by_generation.setdefault(step.generation, []).append(step.held_ms)
    return by_generation


def samples(records: Iterable[Received]) -> list[Received]:
    """A text line, a JSON line, an error and a platform event: the first of each."""
    wanted: list[Callable[[Received], bool]] = [
        lambda r: EVENT_TYPE not in r.attributes and isinstance(r.body, str) and severity(r) not in (None, "ERROR"),
        lambda r: EVENT_TYPE not in r.attributes and len(r.attributes) > OURS and severity(r) != "ERROR",
        lambda r: severity(r) == "ERROR",
        lambda r: r.attributes.get(EVENT_TYPE) == "platform.report" and "timeout" in str(r.body),
    ]
    logs = [record for record in records if record.signal == LOGS]
    found = (next((record for record in logs if fits(record)), None) for fits in wanted)
    return [record for record in found if record is not None]


def verdict(run: Run) -> Verdict:
    """Compares what the platform emitted with what arrived, and looks at how everything ended."""
    rows = by_request(run)[LOGS]
    short = [row for row in rows if row.emitted is not None and row.arrived < row.emitted]
    problems = [f"{row.request_id[:8] or 'init'}: {row.arrived} of {row.emitted} records arrived" for row in short]
    told = Counter(str(span.attributes[REQUEST_ID]) for span in spans(run) if REQUEST_ID in span.attributes)
    if told:
        problems += [
            f"{row.request_id[:8]}: has no span" for row in rows if row.request_id and not told[row.request_id]
        ]
    own = len(own_spans(run))
    if own != run.own_spans:
        problems.append(f"{own} of {run.own_spans} spans of the function's own arrived")
    problems += [step.surprise for step in run.steps if step.surprise]
    for ending in run.endings:
        for name, left in ending.extensions.items():
            if left.killed:
                problems.append(f"{name} had to be killed at the end ({ending.reason})")
            elif left.exit_code != 0:
                problems.append(f"{name} exited with {left.exit_code} ({ending.reason})")
        problems += [f"left behind: {orphan}" for orphan in ending.orphans]
    said = len(ledgers(run.printed))
    ran = sum(bool(ending.extensions) for ending in run.endings)
    if said != ran:
        problems.append(f"{said} of {ran} environments left a ledger")
    return Verdict(
        arrived=sum(row.arrived for row in rows),
        emitted=len(run.emitted),
        problems=problems,
    )
