"""How an event is written for one subscriber: by API and by schema version.

The Telemetry API's schemas differ in function records logged as JSON; the Logs API knows fewer and older
platform events (section 3 of the notes on Lambda's APIs).
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.sandbox.events import Event, iso_ms

if TYPE_CHECKING:
    from collections.abc import Iterator

TELEMETRY_SCHEMAS = ("2022-07-01", "2022-12-13", "2025-01-29")
LOGS_SCHEMAS = ("2020-08-15", "2021-03-18")

_LOGS_STATUS = {"success": "success", "timeout": "timeout"}
_LOGS_METRICS = ("durationMs", "billedDurationMs", "memorySizeMB", "maxMemoryUsedMB", "initDurationMs")


def written(event: Event, api: str, schema: str, *, json_logs: bool) -> Iterator[bytes]:
    """Encode an event for a subscriber: nothing, one or (Logs API) two JSON objects.

    Args:
        event: What happened.
        api: `telemetry` or `logs`.
        schema: The subscription's schema version.
        json_logs: Whether the function's log format is JSON.
    """
    variants = _logs_variants(event, schema) if api == "logs" else iter([event])
    for variant in variants:
        record: Any = variant.record
        if json_logs and schema >= "2022-12-13" and isinstance(record, str) and variant.type == "function":
            record = _parsed(record)
        value = {"time": iso_ms(variant.time_s), "type": variant.type, "record": record}
        yield json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _parsed(line: str) -> Any:
    try:
        value = json.loads(line)
    except ValueError:
        return line
    return value if isinstance(value, dict) else line


def _logs_variants(event: Event, schema: str) -> Iterator[Event]:
    record = event.record
    if isinstance(record, str) or event.type in ("platform.logsSubscription", "platform.logsDropped"):
        yield event
    elif event.type in ("platform.start", "platform.extension"):
        kept = ("requestId", "version", "name", "state", "events")
        yield replace(event, record={key: record[key] for key in kept if key in record})
    elif event.type == "platform.runtimeDone":
        request_id, status = record["requestId"], record["status"]
        if status == "error":
            fault = f"RequestId: {request_id}\tStatus: error\tErrorType: {record.get('errorType', 'Unknown')}\n"
            yield replace(event, type="platform.fault", record=fault)
        if schema >= "2021-03-18":
            shown = {"requestId": request_id, "status": _LOGS_STATUS.get(status, "failure")}
            yield replace(event, record=shown)
        yield replace(event, type="platform.end", record={"requestId": request_id})
    elif event.type == "platform.report":
        metrics = {key: value for key, value in record["metrics"].items() if key in _LOGS_METRICS}
        shown = {"requestId": record["requestId"], "metrics": metrics}
        if "tracing" in record:
            shown["tracing"] = {key: record["tracing"][key] for key in ("type", "value")}
        yield replace(event, record=shown)
