"""The platform's events as lines a person reads: what CloudWatch shows, where it shows something.

One line each, and how severe it is.
"""

from shipper.model.platform_records import Announced, Dropped, Ended, Metrics, PhaseEnded, PhaseStarted, Record, Started
from shipper.model.severity import ERROR, INFO, WARN

# As CloudWatch's REPORT line names them.
_METRICS = (
    ("duration_ms", "Duration", "ms"),
    ("billed_duration_ms", "Billed Duration", "ms"),
    ("memory_size_mb", "Memory Size", "MB"),
    ("max_memory_used_mb", "Max Memory Used", "MB"),
    ("init_duration_ms", "Init Duration", "ms"),
    ("restore_duration_ms", "Restore Duration", "ms"),
    ("billed_restore_duration_ms", "Billed Restore Duration", "ms"),
    ("produced_bytes", "Produced", "bytes"),
)
_HEADS = {
    "platform.start": "START",
    "platform.runtimeDone": "RUNTIME DONE",
    "platform.report": "REPORT",
    "platform.end": "END",
    "platform.initStart": "INIT START",
    "platform.initRuntimeDone": "INIT RUNTIME DONE",
    "platform.initReport": "INIT REPORT",
    "platform.restoreStart": "RESTORE START",
    "platform.restoreRuntimeDone": "RESTORE RUNTIME DONE",
    "platform.restoreReport": "RESTORE REPORT",
    "platform.extension": "EXTENSION",
    "platform.telemetrySubscription": "TELEMETRY",
    "platform.logsSubscription": "LOGS",
    "platform.logsDropped": "LOGS DROPPED",
}
LEVELS = {INFO: "INFO", WARN: "WARN", ERROR: "ERROR"}


def line_of(kind: str, record: Record) -> tuple[str, str]:
    """The line and its level."""
    parts = [_HEADS[kind]]
    level = INFO
    match record:
        case Started():
            parts += _named(("RequestId", record.request_id), ("Version", record.version))
        case Ended():
            parts += _named(("RequestId", record.request_id))
            parts += _measures(record.metrics)
            if record.status != "success" or record.error_type:
                parts += _outcome(record.status, record.error_type)
                level = _level(record.status, record.error_type)
        case PhaseStarted():
            parts += _named(
                ("Type", record.initialization_type),
                ("Phase", record.phase),
                ("Runtime Version", record.runtime_version),
                ("Runtime Version ARN", record.runtime_version_arn),
            )
        case PhaseEnded():
            parts += _measures(record.metrics)
            parts += _named(("Phase", record.phase)) + _outcome(record.status, record.error_type)
            level = _level(record.status, record.error_type)
        case Announced():
            parts += _named(("Name", record.name), ("State", record.state))
            parts += _named(("Events", ", ".join(record.events)), ("Types", ", ".join(record.types)))
            parts += _outcome("", record.error_type)
            level = _level("", record.error_type)
        case Dropped():
            parts += [f"{record.dropped_records:g} records, {record.dropped_bytes:g} bytes."]
            parts += [record.reason] if record.reason else []
            level = WARN
    return " ".join(parts), LEVELS[level]


def _named(*pairs: tuple[str, str]) -> list[str]:
    found = []
    for name, value in pairs:
        if value:
            found.append(f"{name}: {value}")
    return found


def _measures(metrics: Metrics | None) -> list[str]:
    found = []
    for attribute, name, unit in _METRICS:
        value = getattr(metrics, attribute, None)
        if value is not None:
            found.append(f"{name}: {value:.10g} {unit}")
    return found


def _outcome(status: str, error_type: str) -> list[str]:
    return _named(("Status", status if status != "success" else ""), ("Error Type", error_type))


def _level(status: str, error_type: str) -> int:
    return ERROR if error_type or status not in ("", "success") else INFO
