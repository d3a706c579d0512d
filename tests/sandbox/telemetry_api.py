"""Subscribing through the Telemetry API or its predecessor, the Logs API: checks, answers, set-up."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.sandbox import events, shapes
from tests.sandbox.agents import RefusedError
from tests.sandbox.batching import Batcher
from tests.sandbox.delivery import Subscription
from tests.sandbox.extensions_api import refused
from tests.sandbox.http1 import Answer, Request, json_answer
from tests.sandbox.transport import HOSTS, HttpTransport, TcpTransport, Transport

if TYPE_CHECKING:
    from tests.sandbox.world import World

PATHS = {"/2022-07-01/telemetry": "telemetry", "/2020-08-15/logs": "logs"}
_TITLE = {"telemetry": "Telemetry", "logs": "Logs"}
_CATEGORIES = ("platform", "function", "extension")
# Name, least, most, default.
_BUFFERING = (
    ("maxItems", 1000, 10000, 10000),
    ("maxBytes", 262144, 1048576, 262144),
    ("timeoutMs", 25, 30000, 1000),
)
RESERVED_PORT = 9001


class InvalidError(Exception):
    """A subscription answered with 400."""


async def subscribe(world: World, request: Request) -> Answer:
    """PUT a subscription: 200, or what the state, the body or the script of faults demands."""
    api = PATHS[request.path]
    title = _TITLE[api]
    fault = world.platform.subscribe_fault
    if fault == "drop":
        return Answer(drop=True)
    if world.platform.managed and api == "logs":
        return Answer(404, b"404 page not found\n", {"Content-Type": "text/plain; charset=utf-8"})
    if fault == 202:
        return _error(202, f"{title}.NotSupported", f"{title} API is not supported")
    if fault is not None:
        kinds = {400: "ValidationError", 403: f"{title}.SubscriptionClosed", 500: "InternalServerError"}
        return _error(fault, kinds[fault], "scripted by the sandbox")
    try:
        agent = world.registry.identified(request.headers.get("lambda-extension-identifier"))
    except RefusedError as exc:
        return refused(exc)
    if not world.hub.window_open:
        return _error(403, f"{title}.SubscriptionClosed", f"{title} API subscription is closed already")
    try:
        known = world.hub.subscriptions.get(agent.name)
        made = await _subscription(world, agent.name, api, request.body)
    except InvalidError as exc:
        kind = "Logs.ValidationError" if api == "logs" else "ValidationError"
        return _error(400, kind, str(exc))
    if known is not None:
        again = agent.name in world.subscribed_now
        world.hub.renew(made, events.subscription(api, agent.name, made.types))
    else:
        again = False
        world.hub.subscribe(made, events.subscription(api, agent.name, made.types))
    world.subscribed_now.add(agent.name)
    return json_answer(200, "OK, already subscribed" if again else "OK")


async def _subscription(world: World, name: str, api: str, body: bytes) -> Subscription:
    known = world.hub.subscriptions.get(name)
    if known is not None and known.api != api:
        raise InvalidError(f"{name} has subscribed through the other API")
    wanted = _parsed(body)
    schemas = shapes.LOGS_SCHEMAS if api == "logs" else shapes.TELEMETRY_SCHEMAS
    schema = wanted.get("schemaVersion", schemas[0])
    if schema not in schemas:
        raise InvalidError(f"schemaVersion: got {schema!r}, expected one of {', '.join(schemas)}")
    if world.platform.managed and schema != schemas[-1]:
        raise InvalidError(f"schemaVersion: got {schema!r}, managed instances need {schemas[-1]}")
    types = wanted.get("types")
    if not isinstance(types, list) or not types or not set(types) <= set(_CATEGORIES):
        raise InvalidError(f"types: got {types!r}, expected some of {', '.join(_CATEGORIES)}")
    asked = wanted.get("buffering") or {}
    numbers = []
    for key, least, most, default in _BUFFERING:
        number = asked.get(key, default)
        if not isinstance(number, int) or not least <= number <= most:
            raise InvalidError(f"buffering.{key}: got {number!r}, expected {least} to {most}")
        numbers.append(number)
    return Subscription(
        name=name,
        api=api,
        schema=schema,
        types=list(dict.fromkeys(types)),
        json_logs=world.function.log_format == "JSON",
        batcher=Batcher(numbers[0], numbers[1], numbers[2] / 1000),
        transport=await _transport(world, wanted.get("destination")),
        platform=world.platform,
        thawed=world.hub.thawed,
        flowing=world.hub.flowing,
    )


async def _transport(world: World, destination: Any) -> Transport:
    if not isinstance(destination, dict):
        raise InvalidError(f"destination: got {destination!r}, expected an object")
    protocol = destination.get("protocol")
    if protocol == "TCP" and isinstance(destination.get("port"), int):
        transport = TcpTransport(destination["port"])
        try:
            await transport.connect()
        except OSError as exc:
            raise InvalidError(f"Invalid destination: {exc}") from exc
        return transport
    uri = destination.get("URI")
    if protocol == "HTTP" and isinstance(uri, str) and uri.startswith("http://"):
        try:
            http = HttpTransport(uri, chunked=world.platform.chunked, dials_anew=world.platform.dials_anew)
        except ValueError as exc:
            raise InvalidError(f"destination.URI: {exc}") from exc
        if urlsplit(uri).hostname not in HOSTS:
            raise InvalidError(f"Invalid destination: destination.URI host must be {HOSTS[0]}")
        if http.port == RESERVED_PORT:
            raise InvalidError(f"destination.URI: port {RESERVED_PORT} is reserved")
        return http
    raise InvalidError(f"destination: got {destination!r}, expected HTTP with a URI or TCP with a port")


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError as exc:
        raise InvalidError(f"body: {exc}") from exc
    if not isinstance(value, dict):
        raise InvalidError(f"body: got {type(value).__name__}, expected an object")
    return value


def _error(status: int, error_type: str, message: str) -> Answer:
    return json_answer(status, {"errorMessage": message, "errorType": error_type})
