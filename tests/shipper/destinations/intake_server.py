"""Our own stand-in for an HTTP intake of JSON as Vector and Fluent Bit have one, no product of theirs.

As a test says, it takes lines or arrays, and objects alone; it answers 400 to what it cannot read, 413 above its limit.
"""

import json
from typing import Any

from tests.shipper.destinations.stub import Answer, RefusedError, Stub


class IntakeServer(Stub):
    """An intake on loopback.

    Args:
        takes_arrays: It takes JSON and no lines, as Fluent Bit does; else lines, as Vector told to.
        status: That of a success.
    """

    def __init__(self, *, takes_arrays: bool = False, status: int = 200) -> None:
        super().__init__()
        self.takes_arrays = takes_arrays
        self.content_types = ("application/json",) if takes_arrays else ("application/x-ndjson",)
        self.status = status
        self.objects: list[dict[str, Any]] = []

    def taken(self, target: str, headers: dict[str, str], body: bytes) -> Answer:
        """Takes objects: all, or none."""
        del target, headers
        if len(body) > 4_000_000:
            raise RefusedError(413)
        try:
            if not self.takes_arrays and not body.endswith(b"\n"):
                raise RefusedError(400, b"the last line does not end")
            found = json.loads(body) if self.takes_arrays else [json.loads(line) for line in body[:-1].split(b"\n")]
        except ValueError as exc:
            raise RefusedError(400, str(exc).encode()) from exc
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise RefusedError(400, b"not objects")
        self.objects += found
        return self.status, b""
