"""Our own stand-in for Splunk's HTTP Event Collector, no product of Splunk's: its codes, and what it wants of events.

Events before one that is at fault are indexed or not, as a test says: Splunk's documentation does not.
"""

import json
import re
from typing import Any

from tests.shipper.destinations.stub import Answer, RefusedError, Stub

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PATHS = ("/services/collector", "/services/collector/event", "/services/collector/event/1.0")


class SplunkServer(Stub):
    """HEC on loopback.

    Args:
        token: The one that may write.
        indexes: Those that there are.
        acknowledges: Answers say an ackId.
        keeps_before: Events before one at fault are indexed.
        bad: A message that is at fault.
    """

    def __init__(
        self,
        *,
        token: str = "t0ken",  # noqa: S107 - a test's
        indexes: tuple[str, ...] = ("main",),
        acknowledges: bool = False,
        keeps_before: bool = True,
        bad: str = "",
    ) -> None:
        super().__init__()
        self.token = token
        self.indexes = indexes
        self.acknowledges = acknowledges
        self.keeps_before = keeps_before
        self.bad = bad
        self.events: list[dict[str, Any]] = []

    def taken(self, target: str, headers: dict[str, str], body: bytes) -> Answer:
        """Takes events."""
        if target.partition("?")[0] not in _PATHS:
            raise RefusedError(404, {"text": "The requested URL was not found on this server.", "code": 404})
        authorization = headers.get("authorization", "")
        if not authorization:
            raise RefusedError(401, {"text": "Token is required", "code": 2})
        if authorization != f"Splunk {self.token}":
            raise RefusedError(403, {"text": "Invalid token", "code": 4})
        if not _GUID.fullmatch(headers.get("x-splunk-request-channel", "")):
            raise RefusedError(400, {"text": "Data channel is missing", "code": 10})
        if len(body) > 1_000_000:
            raise RefusedError(413, b"Content-Length of %d too large (maximum is 1000000)" % len(body))
        events = self._read(body.decode())
        for number, event in enumerate(events):
            code, text = self._fault(event)
            if code:
                self.events += events[:number] if self.keeps_before else []
                raise RefusedError(400, {"text": text, "code": code, "invalid-event-number": number})
        self.events += events
        said = {"text": "Success", "code": 0, **({"ackId": 7} if self.acknowledges else {})}
        return 200, json.dumps(said).encode()

    @staticmethod
    def _read(text: str) -> list[dict[str, Any]]:
        decoder, at = json.JSONDecoder(), 0
        events: list[dict[str, Any]] = []
        while at < len(text):
            event, at = decoder.raw_decode(text, at)
            if not isinstance(event, dict):
                raise RefusedError(400, {"text": "Invalid data format", "code": 6, "invalid-event-number": len(events)})
            events.append(event)
        if not events:
            raise RefusedError(400, {"text": "No data", "code": 5})
        return events

    def _fault(self, event: dict[str, Any]) -> tuple[int, str]:
        if event.get("index", self.indexes[0]) not in self.indexes:
            return 7, "Incorrect index"
        if "event" not in event:
            return 12, "Event field is required"
        if event["event"] in ("", {}):
            return 13, "Event field cannot be blank"
        for value in event.get("fields", {}).values():
            if not isinstance(value, str | int | float | list):
                return 15, "Error in handling indexed fields"
        if not isinstance(event["time"], float) or set(event) - {
            *("time", "host", "source", "sourcetype", "index", "event", "fields")
        }:
            return 6, "Invalid data format"
        if self.bad and event["event"].get("message") == self.bad:
            return 6, "Invalid data format"
        return 0, ""
