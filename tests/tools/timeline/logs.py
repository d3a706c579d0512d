"""Lines as the extension says them, made up."""

import json
from datetime import datetime, timedelta, timezone
from typing import Any

BEGAN = datetime(2026, 3, 1, 12, 0, 0, tzinfo=timezone.utc)


def line(ms: float, logger: str, event: str, level: str = "debug", pid: int = 10, **fields: Any) -> str:
    """A line, so many milliseconds after the beginning."""
    at = (BEGAN + timedelta(milliseconds=ms)).isoformat(timespec="microseconds").replace("+00:00", "Z")
    said = {"logger": f"tailrace.{logger}", "level": level, "event": event, "time": at, "pid": pid, **fields}
    return json.dumps(said, separators=(",", ":"))


def handled(ms: float, what: str, waiting_bytes: int = 0, pid: int = 10, **fields: Any) -> str:
    """What the machine was told."""
    return line(ms, "lifecycle", "machine.handled", pid=pid, waiting_bytes=waiting_bytes, what=what, **fields)


def invocation(ms: float, number: int, *, held_s: float = 0.08, pid: int = 10) -> list[str]:
    """One of 100 ms, whose batch is stored, shipped and acknowledged while it is held."""
    start, end = number * 100, (number + 1) * 100
    told: dict[str, Any] = {"request_id": f"r{number}"}
    of: dict[str, Any] = {"pid": pid, **told}
    return [
        handled(ms, "Invoked", **of, before="waiting", after="holding"),
        line(ms + 110, "collector", "collector.batch_stored", **told, start=start, end=end, events=5),
        handled(ms + 111, "BatchStored", 100, **of, end=end, finished_age_s=0.011),
        line(ms + 113, "shipper", "shipper.request_sent", **told, destination="http://b/v1/logs", wire_bytes=40),
        line(ms + 170, "shipper", "shipper.answer_received", **told, status=200, took_ms=57.0),
        line(ms + 171, "shipper", "shipper.shipment_ended", **told, budget_ms=400.0, took_ms=59.0),
        handled(ms + 180, "OffsetCommitted", 0, **of, through=end, before="holding", after="waiting"),
        line(ms + 180, "lifecycle", "machine.ordered", **of, what="FetchNext", reason="delivered", held_s=held_s),
    ]


def life(invocations: int = 3, pid: int = 10) -> list[str]:
    """A whole one."""
    lines = [line(30, "lifecycle", "lifecycle.booted", pid=pid, registered_ms=18.0, asked_ms=20.0)]
    for number in range(invocations):
        lines += invocation(100 + number * 1000, number, pid=pid)
    end = 100 + invocations * 1000
    records = invocations * 5
    return [
        *lines,
        handled(end, "ShutdownRequested", pid=pid, reason="spindown"),
        line(
            *(end + 60, "lifecycle", "lifecycle.ended", "warning", pid),
            accepted=records,
            shipped=records - 3,
            waiting=1,
            left={"deadline": 1},
            dropped={"too_large": 2},
            held_ms=80.0 * invocations,
        ),
    ]
