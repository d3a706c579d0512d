"""Our own stand-in for New Relic's Log API, no product of New Relic's: its limits, and what it answers."""

import json
from typing import Any

from tests.shipper.destinations.stub import Answer, RefusedError, Stub


class NewRelicServer(Stub):
    """The API on loopback.

    Args:
        key: The one that may write.
    """

    def __init__(self, *, key: str = "k3y") -> None:
        super().__init__()
        self.key = key
        self.logs: list[dict[str, Any]] = []

    def answered(self, target: str, headers: dict[str, str], body: bytes) -> Answer:
        """What counts is what is sent."""
        return (413, b"{}") if len(body) > 1_000_000 else super().answered(target, headers, body)

    def taken(self, target: str, headers: dict[str, str], body: bytes) -> Answer:
        """Takes logs: all, or none."""
        if target != "/log/v1":
            raise RefusedError(404, b"{}")
        if headers.get("api-key") != self.key:
            raise RefusedError(403, b"{}")
        try:
            blocks = json.loads(body)
            found = [(block.get("common", {}).get("attributes", {}), log) for block in blocks for log in block["logs"]]
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise RefusedError(400, b"{}") from exc
        for common, log in found:
            if not isinstance(log["message"], str) or not isinstance(log["timestamp"], int):
                raise RefusedError(400, b"{}")
            attributes = {**common, **log["attributes"]}
            # What is here dropped or cut without a word is not to be sent.
            assert not set(attributes) & {"accountId", "eventType"}, "reserved"
            assert len(attributes) <= 255
            assert all(len(name) <= 255 for name in attributes)
            assert not any(isinstance(value, dict | list) for value in attributes.values()), "nested"
            self.logs.append({**log, "attributes": attributes})
        return 202, b'{"requestId":"0001"}'
