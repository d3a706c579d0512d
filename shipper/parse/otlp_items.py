"""What an item of a request of OTLP says, as a log record: for destinations that do not speak OTLP, and for rules.

Items come as OTLP's JSON has them, decoded. A span becomes a record at its start, named by its name; what else it says
stands in its attributes.

Source: opentelemetry/proto/{logs,trace}/v1; OpenTelemetry logs data model, "Mapping of SeverityNumber".
"""

import time

import msgspec

from shipper.model import semconv
from shipper.model.events import Event
from shipper.model.log_record import ExceptionInfo, LogRecord, Origin
from shipper.model.severity import number_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any
else:
    Any = object

# What the events are called, of which these records are.
LOG, SPAN = "log", "span"

_KINDS = ("", "internal", "server", "client", "producer", "consumer")
_LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
_MOST_NUMBER = 24
_ERROR = 2
_NS_PER_S, _NS_PER_MS = 10**9, 10**6

_EXCEPTION = (semconv.EXCEPTION_TYPE, semconv.EXCEPTION_MESSAGE, semconv.EXCEPTION_STACKTRACE)

_to_json = msgspec.json.Encoder().encode


def log_of(item: "Mapping[str, Any]", scope: str, origin: Origin, index: int) -> LogRecord:
    """The record of a LogRecord.

    Args:
        item: It.
        scope: The name of its instrumentation scope.
        origin: What it shares with others of its frame; its own ids go before those.
        index: Its place in the request.
    """
    attributes = pairs_of(item)
    kind, message, stack = [str(attributes.get(name, "")) for name in _EXCEPTION]
    exception = ExceptionInfo(kind, message, stack) if kind or message or stack else None
    time_ns = int(item.get("timeUnixNano") or item.get("observedTimeUnixNano") or 0) or None
    level, body = level_of(item), plain(item.get("body"))
    said = {"severity": level, "body": body, "eventName": item.get("eventName"), "scope": scope}
    beside = {name: value for name, value in attributes.items() if exception is None or name not in _EXCEPTION}
    if item.get("eventName"):
        beside["event.name"] = item["eventName"]
    return LogRecord(
        _event(LOG, time_ns, said, attributes),
        index,
        _origin(origin, item, "function"),
        _to_json(body),
        time_ns,
        level,
        _raw(beside),
        exception,
        scope,
    )


def span_of(item: "Mapping[str, Any]", scope: str, origin: Origin, index: int) -> LogRecord:
    """The record of a span; as `log_of`."""
    start_ns, end_ns = int(item.get("startTimeUnixNano") or 0), int(item.get("endTimeUnixNano") or 0)
    status = item.get("status") or {}
    is_error = status.get("code") == _ERROR
    beside = {
        "duration_ms": max(0, end_ns - start_ns) / _NS_PER_MS,
        "parent_span_id": item.get("parentSpanId"),
        "span.kind": _kind(item.get("kind")),
        "error.message": status.get("message") if is_error else "",
        "events": [{"name": one.get("name", ""), **pairs_of(one)} for one in item.get("events") or ()],
        "links": [
            {"trace_id": one.get("traceId", ""), "span_id": one.get("spanId", "")} for one in item.get("links") or ()
        ],
    }
    said = {name: value for name, value in beside.items() if value not in (None, "", [])}
    attributes = pairs_of(item)
    level = "ERROR" if is_error else "INFO"
    return LogRecord(
        _event(SPAN, start_ns, {"severity": level, "name": item.get("name"), **said, "scope": scope}, attributes),
        index,
        _origin(origin, item, SPAN),
        _to_json(item.get("name", "")),
        start_ns or None,
        level,
        _raw({**attributes, **said}),
        None,
        scope,
    )


def level_of(item: "Mapping[str, Any]") -> str:
    """The level of a LogRecord: as written, or what its number is called."""
    text, number = item.get("severityText") or "", int(item.get("severityNumber") or 0)
    if not 0 < number <= _MOST_NUMBER or number_of(text):
        return str(text)
    return _LEVELS[(number - 1) // 4]


def pairs_of(item: "Mapping[str, Any]") -> dict[str, Any]:
    """Attributes by name, as plain values."""
    return {pair.get("key", ""): plain(pair.get("value")) for pair in item.get("attributes") or ()}


def plain(value: "Mapping[str, Any] | None") -> Any:
    """An AnyValue as JSON has it."""
    for kind, content in (value or {}).items():
        if kind == "intValue":
            return int(content)
        if kind == "arrayValue":
            return [plain(one) for one in content.get("values") or ()]
        if kind == "kvlistValue":
            return pairs_of({"attributes": content.get("values")})
        return content
    return None


def _origin(origin: Origin, item: "Mapping[str, Any]", kind: str) -> Origin:
    return Origin(
        event_type=kind,
        request_id=origin.request_id,
        trace_id=str(item.get("traceId") or origin.trace_id),
        span_id=str(item.get("spanId") or ("" if item.get("traceId") else origin.span_id)),
        flags=int(item.get("flags") or 0) & 0xFF if item.get("traceId") else origin.flags,
        observed_ns=origin.observed_ns,
        batch_id=origin.batch_id,
    )


def _event(kind: str, time_ns: int | None, said: dict[str, Any], attributes: dict[str, Any]) -> Event:
    """The event that a destination of lines writes."""
    second, ns = divmod(time_ns or 0, _NS_PER_S)
    moment = time.strftime(f"%Y-%m-%dT%H:%M:%S.{ns:09}Z", time.gmtime(second)) if time_ns else ""
    members = {name: value for name, value in said.items() if value not in (None, "", [])}
    return Event(moment, kind, msgspec.Raw(_to_json({**members, "attributes": attributes} if attributes else members)))


def _raw(attributes: dict[str, Any]) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, _to_json(value)) for name, value in attributes.items())


def _kind(number: Any) -> str:
    return _KINDS[number] if isinstance(number, int) and 0 <= number < len(_KINDS) else ""


def items_of(message: "Mapping[str, Any]", names: tuple[str, str, str]) -> "Iterator[tuple[dict[str, Any], str, Any]]":
    """The items of a request, each with its resource and the name of its scope.

    Args:
        message: The request.
        names: What its resources, scopes and items are called (`lifecycle.contract.otlp_wire.NAMES`).
    """
    resources, scopes, items = names
    for resource in message.get(resources) or ():
        for scope in resource.get(scopes) or ():
            name = str((scope.get("scope") or {}).get("name") or "")
            for item in scope.get(items) or ():
                yield item, name, resource.get("resource") or {}


def containers_of(message: "Mapping[str, Any]", names: tuple[str, str, str]) -> "Iterator[dict[str, Any]]":
    """What the items of a request lie in, without them: what is done to it is done to the request."""
    resources, scopes, items = names
    for resource in message.get(resources) or ():
        yield from _aside(resource, scopes)
        for scope in resource.get(scopes) or ():
            yield from _aside(scope, items)


def _aside(holder: dict[str, Any], name: str) -> "Iterator[dict[str, Any]]":
    held = holder.pop(name, None)
    yield holder
    if held is not None:
        holder[name] = held
