"""Events of whole invocations, inits and restores, with times that one can calculate with."""

from datetime import datetime, timedelta, timezone
from typing import Any

BEGIN = datetime(2024, 5, 20, 16, 29, 45, tzinfo=timezone.utc)
BEGIN_NS = 1_716_222_585_000_000_000

R1 = "459921b5-681c-4a96-beb0-81e0aa586026"
R2 = "6ac49973-b302-49c7-93a7-337dd3207d25"
TRACE_ID = "6352a70e1e2c502e358361800241fd45"
SPAN_ID = "24cd7d670fa455f0"
PARENT_ID = "35465b3a9e2f7c6a"


def at(ms: float) -> str:
    """So many milliseconds after the beginning."""
    return (BEGIN + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ns(ms: float) -> str:
    """Likewise, as OTLP has it."""
    return str(BEGIN_NS + int(ms * 1_000_000))


def said(ms: float, kind: str, **record: Any) -> dict[str, Any]:
    return {"time": at(ms), "type": f"platform.{kind}", "record": record}


def line(ms: float, text: Any = "hello\n") -> dict[str, Any]:
    return {"time": at(ms), "type": "function", "record": text}


def tracing(sampled: str = "1", span_id: str = SPAN_ID) -> dict[str, str]:
    root = f"Root=1-{TRACE_ID[:8]}-{TRACE_ID[8:]};Parent={PARENT_ID}"
    return {"spanId": span_id, "type": "X-Amzn-Trace-Id", "value": f"{root};Sampled={sampled}" if sampled else root}


def init(ms: float, took_ms: float = 170, *, kind: str = "on-demand", phase: str = "init", **more: Any) -> list[Any]:
    status = {"status": "success", **more}
    return [
        said(ms, "initStart", initializationType=kind, phase=phase, runtimeVersion="python:3.13.v1"),
        said(ms + took_ms - 1, "initRuntimeDone", initializationType=kind, phase=phase, **status),
        said(
            ms + took_ms, "initReport", initializationType=kind, phase=phase, metrics={"durationMs": took_ms}, **status
        ),
    ]


def restore(ms: float, took_ms: float = 150, **more: Any) -> list[Any]:
    status = {"status": "success", **more}
    return [
        said(ms, "restoreStart", runtimeVersion="python:3.13.v1", functionName="shop", functionVersion="8"),
        said(ms + took_ms - 1, "restoreRuntimeDone", **status),
        said(ms + took_ms, "restoreReport", metrics={"durationMs": took_ms}, **status),
    ]


def start(ms: float, request_id: str = R1, *, sampled: str | None = "1", **more: Any) -> dict[str, Any]:
    if sampled is not None:
        more = {"tracing": tracing(sampled), **more}
    return said(ms, "start", requestId=request_id, version="$LATEST", **more)


def done(ms: float, request_id: str = R1, *, took_ms: float = 10, status: str = "success", **more: Any) -> Any:
    metrics = {"durationMs": took_ms, "producedBytes": 40}
    return said(ms, "runtimeDone", requestId=request_id, status=status, metrics=metrics, **more)


def report(ms: float, request_id: str = R1, *, took_ms: float = 12, status: str = "success", **more: Any) -> Any:
    metrics = {"durationMs": took_ms, "billedDurationMs": 12, "memorySizeMB": 128, "maxMemoryUsedMB": 67}
    metrics.update(more.pop("metrics", {}))
    return said(ms, "report", requestId=request_id, status=status, metrics=metrics, **more)


def invocation(ms: float, request_id: str = R1) -> list[Any]:
    """A healthy one of 10 ms, with one line."""
    return [start(ms, request_id), line(ms + 5), done(ms + 10, request_id), report(ms + 12, request_id)]


def stories(count: int) -> list[list[Any]]:
    """Invocations a minute apart, each with a line of its own."""
    ids = [f"{n:08}-0000-0000-0000-000000000000" for n in range(count)]
    return [
        [
            start(n * 60_000, i),
            line(n * 60_000 + 1, f"line {n}\n"),
            done(n * 60_000 + 10, i),
            report(n * 60_000 + 12, i),
        ]
        for n, i in enumerate(ids)
    ]
