"""The platform's events as lines a person reads."""

import json
from typing import Any

import pytest

from shipper.model.platform_records import record_of
from shipper.parse.platform_lines import line_of

METRICS = {"durationMs": 12.5, "billedDurationMs": 13, "memorySizeMB": 128, "maxMemoryUsedMB": 67.0}


@pytest.mark.parametrize(
    ("kind", "record", "line", "level"),
    [
        ("start", {"requestId": "r", "version": "$LATEST"}, "START RequestId: r Version: $LATEST", "INFO"),
        (
            "report",
            {"requestId": "r", "status": "success", "metrics": METRICS},
            "REPORT RequestId: r Duration: 12.5 ms Billed Duration: 13 ms Memory Size: 128 MB Max Memory Used: 67 MB",
            "INFO",
        ),
        (
            "runtimeDone",
            {"requestId": "r", "status": "error", "errorType": "Runtime.ExitError"},
            "RUNTIME DONE RequestId: r Status: error Error Type: Runtime.ExitError",
            "ERROR",
        ),
        ("report", {"requestId": "r", "status": "timeout"}, "REPORT RequestId: r Status: timeout", "ERROR"),
        (
            "initStart",
            {"initializationType": "on-demand", "phase": "init", "runtimeVersion": "python:3.13.v1"},
            "INIT START Type: on-demand Phase: init Runtime Version: python:3.13.v1",
            "INFO",
        ),
        (
            "initReport",
            {"phase": "init", "status": "success", "metrics": {"durationMs": 170}},
            "INIT REPORT Duration: 170 ms Phase: init",
            "INFO",
        ),
        (
            "extension",
            {"name": "tailrace", "state": "Ready", "events": ["INVOKE", "SHUTDOWN"]},
            "EXTENSION Name: tailrace State: Ready Events: INVOKE, SHUTDOWN",
            "INFO",
        ),
        (
            "logsDropped",
            {"reason": "too slow", "droppedRecords": 12, "droppedBytes": 3456},
            "LOGS DROPPED 12 records, 3456 bytes. too slow",
            "WARN",
        ),
    ],
)
def test_line_and_level(kind: str, record: dict[str, Any], line: str, level: str) -> None:
    """As CloudWatch shows them, where it shows any."""
    found: Any = record_of(f"platform.{kind}", json.dumps(record).encode())
    assert line_of(f"platform.{kind}", found) == (line, level)
