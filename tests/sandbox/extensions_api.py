"""The Extensions API over HTTP: register, next, init/error, exit/error."""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING, Any

from tests.sandbox.agents import RefusedError, State
from tests.sandbox.http1 import Answer, Request, json_answer

if TYPE_CHECKING:
    from tests.sandbox.world import World

BASE = "/2020-01-01/extension"
_IDENTIFIER = "lambda-extension-identifier"
_ERROR_TYPE = "lambda-extension-function-error-type"

# Deeper than any reader of JSON that recurses goes.
_DEEP = 5000


def refused(error: RefusedError) -> Answer:
    """Answer 403 as every refusal of this API is answered."""
    return json_answer(403, {"errorMessage": str(error), "errorType": error.error_type})


def caller(world: World, request: Request) -> str:
    """Name the extension behind a request, for the record."""
    identifier = request.headers.get(_IDENTIFIER)
    for agent in world.registry.agents.values():
        if agent.identifier == identifier:
            return agent.name
    return request.headers.get("lambda-extension-name", "?")


def register(world: World, request: Request) -> Answer:
    """POST /register."""
    try:
        name = request.headers.get("lambda-extension-name", "")
        if not name:
            world.registry.register("", [])
        agent = world.registry.register(name, _events(request.body))
    except RefusedError as exc:
        return refused(exc)
    function = world.function
    body = {
        "functionName": function.name,
        "functionVersion": function.version,
        "handler": function.handler,
    }
    if "accountId" in request.headers.get("lambda-extension-accept-feature", ""):
        body = {"accountId": function.account, **body}
    return json_answer(200, body, Lambda_Extension_Identifier=agent.identifier)


def _events(body: bytes) -> list[str]:
    try:
        events = json.loads(body)["events"]
    except (ValueError, KeyError, TypeError) as exc:
        raise RefusedError("InvalidRequestFormat", f"cannot parse register body: {exc}") from exc
    if not isinstance(events, list) or not all(isinstance(event, str) for event in events):
        raise RefusedError("InvalidRequestFormat", "events: expected a list of strings")
    return events


async def next_event(world: World, request: Request) -> Answer:
    """GET /event/next: blocks until there is an event."""
    try:
        agent = world.registry.identified(request.headers.get(_IDENTIFIER))
        fault = world.platform.next_faults.get(agent.nexts + 1)
        if fault == "drop":
            agent.nexts += 1
            return Answer(drop=True)
        if isinstance(fault, int):
            agent.nexts += 1
            error_type = "Extension.InvalidExtensionState" if fault == 403 else "InternalServerError"
            return json_answer(fault, {"errorMessage": "scripted by the sandbox", "errorType": error_type})
        if fault == "unknown-event":
            agent.nexts += 1
            return json_answer(200, {"eventType": "HIBERNATE", "deadlineMs": int(time.time() * 1000)})
        event = await agent.next_event()
    except RefusedError as exc:
        return refused(exc)
    if fault == "deep":
        text = json.dumps(event, separators=(",", ":"))
        return Answer(200, f'{text[:-1]},"odd":{"[" * _DEEP}{"]" * _DEEP}}}'.encode())
    if event["eventType"] == "SHUTDOWN":
        body = json.dumps(event, separators=(",", ":")).encode()
        return Answer(200, body, {"Content-Type": "text/plain; charset=utf-8"})
    return json_answer(200, event, Lambda_Extension_Event_Identifier=str(uuid.uuid4()))


def report_error(world: World, request: Request, state: State) -> Answer:
    """POST /init/error and /exit/error."""
    try:
        agent = world.registry.identified(request.headers.get(_IDENTIFIER), reporting=True)
        error_type = _error_type(request)
        agent.error_type = error_type
        agent.move(state, agent.identifier)
    except RefusedError as exc:
        return refused(exc)
    return json_answer(202, {"status": "OK"})


def _error_type(request: Request) -> str:
    error_type = request.headers.get(_ERROR_TYPE)
    if not error_type:
        raise RefusedError("Extension.MissingHeader", "Lambda-Extension-Function-Error-Type not found")
    return error_type


def invoke_event(request_id: str, deadline_epoch_ms: int, arn: str, tracing: dict[str, Any] | None) -> dict[str, Any]:
    """Build the INVOKE event."""
    event: dict[str, Any] = {
        "eventType": "INVOKE",
        "deadlineMs": deadline_epoch_ms,
        "requestId": request_id,
        "invokedFunctionArn": arn,
    }
    if tracing is not None:
        event["tracing"] = {"type": tracing["type"], "value": tracing["value"]}
    return event


def shutdown_event(reason: str, deadline_epoch_ms: int) -> dict[str, Any]:
    """Build the SHUTDOWN event."""
    return {"eventType": "SHUTDOWN", "deadlineMs": deadline_epoch_ms, "shutdownReason": reason}
