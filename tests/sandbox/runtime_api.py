"""The Runtime API: hands invocations to the runtime and takes its answers, by request id."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.sandbox.http1 import Answer, Request, json_answer

if TYPE_CHECKING:
    from tests.sandbox.changes import Changes

BASE = "/2018-06-01/runtime"
# A synchronous response's limit; a larger one is Function.ResponseSizeTooLarge.
RESPONSE_LIMIT_BYTES = 6 * 1024 * 1024 + 100 * 1024


@dataclass
class Invocation:
    """One invocation on its way through the runtime."""

    request_id: str
    payload: bytes
    deadline_epoch_ms: int
    arn: str
    tracing: dict[str, Any] | None
    response: bytes | None = None
    error: dict[str, Any] | None = None
    error_type: str | None = None
    responded_s: float | None = None
    done_s: float | None = None
    """When the runtime asked for the next invocation."""


@dataclass
class RuntimeApi:
    """The runtime's side of the present environment."""

    changes: Changes
    init_error: dict[str, Any] | None = None
    restore_waits: bool = False
    in_flight: dict[str, Invocation] = field(default_factory=dict)
    asked: int = 0
    """How many /next calls have come; the first ends init."""
    _idle: deque[asyncio.Future[Invocation]] = field(default_factory=deque)
    _restored: asyncio.Future[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether the runtime waits for an invocation."""
        return any(not waiter.done() for waiter in self._idle)

    def release(self, invocation: Invocation) -> None:
        """Hand an invocation to a runtime that waits for one."""
        while (waiter := self._idle.popleft()).done():
            pass
        self.in_flight[invocation.request_id] = invocation
        waiter.set_result(invocation)

    def restore(self) -> None:
        """Let a runtime that waits after its snapshot go on."""
        if self._restored is not None and not self._restored.done():
            self._restored.set_result(None)

    def abandon(self) -> None:
        """End every waiting call without an answer."""
        for waiter in self._idle:
            waiter.cancel()
        if self._restored is not None:
            self._restored.cancel()

    async def answer(self, request: Request) -> Answer | None:
        """Answer a request under `BASE`; None for a path that is not there."""
        path = request.path[len(BASE) :]
        if path == "/invocation/next":
            return await self._next()
        if path == "/restore/next":
            self._restored = asyncio.get_running_loop().create_future()
            self.restore_waits = True
            self.changes.ring()
            await self._restored
            return Answer(200)
        if path in ("/init/error", "/restore/error"):
            self.init_error = _error(request)
            self.changes.ring()
            return json_answer(202, {"status": "OK"})
        parts = path.split("/")
        if len(parts) == 4 and parts[1] == "invocation" and parts[3] in ("response", "error"):
            return self._finish(parts[2], parts[3], request)
        return None

    async def _next(self) -> Answer:
        now_s = time.monotonic()
        self.asked += 1
        for invocation in self.in_flight.values():
            if invocation.responded_s is not None and invocation.done_s is None:
                invocation.done_s = now_s
        waiter: asyncio.Future[Invocation] = asyncio.get_running_loop().create_future()
        self._idle.append(waiter)
        self.changes.ring()
        given = await waiter
        headers = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": given.request_id,
            "Lambda-Runtime-Deadline-Ms": str(given.deadline_epoch_ms),
            "Lambda-Runtime-Invoked-Function-Arn": given.arn,
        }
        if given.tracing is not None:
            headers["Lambda-Runtime-Trace-Id"] = given.tracing["value"]
        return Answer(200, given.payload, headers)

    def _finish(self, request_id: str, kind: str, request: Request) -> Answer:
        invocation = self.in_flight.get(request_id)
        if invocation is None or invocation.responded_s is not None:
            return json_answer(400, {"errorMessage": "Invalid request ID", "errorType": "InvalidRequestID"})
        invocation.responded_s = time.monotonic()
        too_large = len(request.body) > RESPONSE_LIMIT_BYTES
        if kind == "error":
            invocation.error = _error(request)
            invocation.error_type = request.headers.get("lambda-runtime-function-error-type")
            invocation.response = request.body
        elif too_large:
            text = f"Response payload size exceeded maximum allowed payload size ({RESPONSE_LIMIT_BYTES} bytes)."
            invocation.error = {"errorMessage": text, "errorType": "Function.ResponseSizeTooLarge"}
            invocation.error_type = "Function.ResponseSizeTooLarge"
        else:
            invocation.response = request.body
        self.changes.ring()
        if too_large:
            return json_answer(413, {"errorMessage": "Exceeded maximum", "errorType": "RequestEntityTooLarge"})
        return json_answer(202, {"status": "OK"})


def _error(request: Request) -> dict[str, Any]:
    error_type = request.headers.get("lambda-runtime-function-error-type", "Runtime.Unknown")
    try:
        body = json.loads(request.body)
    except ValueError:
        body = None
    return {"errorType": error_type, **(body if isinstance(body, dict) else {})}
