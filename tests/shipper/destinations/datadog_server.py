"""Our own stand-in for Datadog's intake of logs, no product of Datadog's: its limits, and what it answers."""

import json
from typing import Any

from tests.shipper.destinations.stub import Answer, RefusedError, Stub


class DatadogServer(Stub):
    """The intake on loopback.

    Args:
        key: The one that may write.
        now_ms: The server's time: what is more than 18 hours older is not taken.
    """

    def __init__(self, *, key: str = "k3y", now_ms: int = 0) -> None:
        super().__init__()
        self.key = key
        self.now_ms = now_ms
        self.logs: list[dict[str, Any]] = []

    def taken(self, target: str, headers: dict[str, str], body: bytes) -> Answer:
        """Takes logs: all, or none."""
        if target != "/api/v2/logs":
            raise RefusedError(404, {"errors": ["not found"]})
        if "dd-api-key" not in headers:
            raise RefusedError(401, {"errors": [{"status": "401", "detail": "missing API key"}]})
        if headers["dd-api-key"] != self.key:
            raise RefusedError(403, {"errors": [{"status": "403", "detail": "API key is invalid"}]})
        if len(body) > 5_000_000:
            raise RefusedError(413, {"errors": ["Payload too large"]})
        logs = json.loads(body)
        if not isinstance(logs, list) or len(logs) > 1000:
            raise RefusedError(400, {"errors": ["at most 1000 logs in an array"]})
        for log in logs:
            if not isinstance(log.get("message"), str) or not isinstance(log.get("timestamp"), int):
                raise RefusedError(400, {"errors": ["malformed log"]})
        # What is too long is cut, and what is too old is dropped, with a success.
        for log in logs:
            if log["timestamp"] >= self.now_ms - 18 * 3_600_000:
                self.logs.append({**log, "message": log["message"][:1_000_000]})
        return 202, b"{}"
