"""The platform's telemetry events, shaped as section 4 of the notes on Lambda's APIs has them.

Only shapes: who emits them when is decided by the phases. The Logs API's older shapes are in
`logs_shapes`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

Record = dict[str, Any]


@dataclass(frozen=True)
class Event:
    """One telemetry event before it is written for a subscriber."""

    type: str
    record: Record | str
    time_s: float = field(default_factory=time.time)

    @property
    def category(self) -> str:
        """What a subscription lists to receive it: platform, function or extension."""
        return self.type.partition(".")[0]


def iso_ms(time_s: float) -> str:
    """Format an epoch time as RFC 3339 with milliseconds in UTC."""
    moment = datetime.fromtimestamp(time_s, timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def span(name: str, start_s: float, duration_ms: float) -> Record:
    """One entry of `spans`."""
    return {"name": name, "start": iso_ms(start_s), "durationMs": round(duration_ms, 3)}


def init_start(flavour: str, phase: str, function_name: str, version: str, memory_mb: int) -> Event:
    """platform.initStart."""
    return Event(
        "platform.initStart",
        {
            "initializationType": flavour,
            "phase": phase,
            "runtimeVersion": "python:sandbox",
            "runtimeVersionArn": "arn:aws:lambda:us-east-1::runtime:sandbox",
            "functionName": function_name,
            "functionVersion": version,
            "instanceId": "sandbox",
            "instanceMaxMemory": memory_mb * 1024 * 1024,
        },
    )


def init_runtime_done(flavour: str, phase: str, status: str, error_type: str | None) -> Event:
    """platform.initRuntimeDone."""
    record: Record = {"initializationType": flavour, "phase": phase, "status": status}
    return Event("platform.initRuntimeDone", _with(record, errorType=error_type))


def init_report(flavour: str, phase: str, status: str, error_type: str | None, duration_ms: float) -> Event:
    """platform.initReport."""
    record: Record = {"initializationType": flavour, "phase": phase, "status": status}
    record["metrics"] = {"durationMs": round(duration_ms, 3)}
    return Event("platform.initReport", _with(record, errorType=error_type))


def restore_start(function_name: str, version: str, memory_mb: int) -> Event:
    """platform.restoreStart."""
    return Event(
        "platform.restoreStart",
        {
            "runtimeVersion": "python:sandbox",
            "runtimeVersionArn": "arn:aws:lambda:us-east-1::runtime:sandbox",
            "functionName": function_name,
            "functionVersion": version,
            "instanceId": "sandbox",
            "instanceMaxMemory": memory_mb,
        },
    )


def restore_runtime_done(status: str, error_type: str | None) -> Event:
    """platform.restoreRuntimeDone."""
    return Event("platform.restoreRuntimeDone", _with({"status": status}, errorType=error_type))


def restore_report(status: str, error_type: str | None, duration_ms: float) -> Event:
    """platform.restoreReport."""
    record: Record = {"status": status, "metrics": {"durationMs": round(duration_ms, 3)}}
    return Event("platform.restoreReport", _with(record, errorType=error_type))


def start(request_id: str, version: str, tracing: Record | None, arn: str | None = None) -> Event:
    """platform.start; managed instances add the function's ARN."""
    record: Record = {"requestId": request_id, "version": version}
    return Event("platform.start", _with(record, functionArn=arn, tracing=tracing))


def runtime_done(
    request_id: str,
    status: str,
    duration_ms: float,
    produced_bytes: int,
    *,
    error_type: str | None = None,
    spans: list[Record] | None = None,
    tracing: Record | None = None,
) -> Event:
    """platform.runtimeDone."""
    record: Record = {
        "requestId": request_id,
        "status": status,
        "metrics": {"durationMs": round(duration_ms, 3), "producedBytes": produced_bytes},
    }
    return Event("platform.runtimeDone", _with(record, errorType=error_type, spans=spans, tracing=tracing))


def report(
    request_id: str,
    status: str,
    metrics: Record,
    *,
    error_type: str | None = None,
    spans: list[Record] | None = None,
    tracing: Record | None = None,
    time_s: float,
) -> Event:
    """platform.report; its time is the end of the invoke phase, it is written later."""
    record: Record = {"requestId": request_id, "status": status, "metrics": metrics}
    record = _with(record, errorType=error_type, spans=spans, tracing=tracing)
    return Event("platform.report", record, time_s)


def extension(name: str, state: str, events: list[str], error_type: str | None = None) -> Event:
    """platform.extension."""
    record: Record = {"name": name, "state": state, "events": events}
    return Event("platform.extension", _with(record, errorType=error_type))


def subscription(api: str, name: str, types: list[str]) -> Event:
    """platform.telemetrySubscription, or platform.logsSubscription for the Logs API."""
    return Event(f"platform.{api}Subscription", {"name": name, "state": "Subscribed", "types": types})


def logs_dropped(dropped_bytes: int, dropped_records: int) -> Event:
    """platform.logsDropped."""
    return Event(
        "platform.logsDropped",
        {
            "droppedBytes": dropped_bytes,
            "droppedRecords": dropped_records,
            "reason": "Some logs were dropped because the subscriber did not take them in time",
        },
    )


def _with(record: Record, **optional: Any) -> Record:
    return {**record, **{name: value for name, value in optional.items() if value is not None}}
