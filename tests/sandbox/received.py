"""What a backend has received: requests as they came, and the records in them, read when asked for."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from tests.sandbox import otlp

if TYPE_CHECKING:
    from collections.abc import Iterator

UID = "log.record.uid"


@dataclass(frozen=True)
class ReceivedRequest:
    """One request; the body stays as it came until somebody reads it."""

    path: str
    """With its query."""
    headers: dict[str, str]
    wire: bytes = field(repr=False)
    connection: int
    """1 for the first connection; a client that keeps its connection keeps the number."""
    received_s: float
    stored: bool
    """Whether the backend took the records, whatever it answered."""
    status: int | None
    """None for a request that was never answered."""
    rejected: int = 0
    """How many of its last records were refused (partial success)."""

    @property
    def signal(self) -> str:
        """logs, traces or metrics by the OTLP path it came to; ndjson on any other."""
        before, _, last = self.path.partition("?")[0].rpartition("/")
        return last if before.endswith("/v1") and last in ("logs", "traces", "metrics") else "ndjson"

    @property
    def wire_bytes(self) -> int:
        """Size on the wire, without the head."""
        return len(self.wire)

    @property
    def body(self) -> bytes:
        """The body, decompressed."""
        return decompressed(self.wire, self.headers)


@dataclass(frozen=True)
class Received:
    """One record of any signal."""

    signal: str
    """logs, traces, metrics, or ndjson."""
    body: Any
    """A log's body, a span's or metric's name, an NDJSON line's value."""
    attributes: dict[str, Any]
    resource: dict[str, Any]
    raw: dict[str, Any] = field(repr=False)
    request: int
    """Index of the request it came in."""

    @property
    def uid(self) -> str | None:
        """`log.record.uid`, by which a copy is recognised."""
        uid = self.attributes.get(UID)
        return None if uid is None else str(uid)


def decompressed(wire: bytes, headers: dict[str, str]) -> bytes:
    """Undo the content encoding; a body that lies about it comes back as it is."""
    encoding = headers.get("content-encoding", "")
    try:
        if encoding == "gzip":
            return gzip.decompress(wire)
        if encoding == "deflate":
            return zlib.decompress(wire)
    except (OSError, EOFError, zlib.error):
        return wire
    return wire


def records_in(request: ReceivedRequest, index: int) -> list[Received]:
    """Read every record of a request, the rejected ones left out.

    Raises:
        ValueError: The body is not what its path and its content type promise.
    """
    reader = {"logs": _logs, "traces": _spans, "metrics": _metrics}.get(request.signal)
    if reader is None:
        found = list(_lines(request.body, index))
    else:
        body = request.body
        if otlp.is_protobuf(request.headers):
            value = otlp.as_json(otlp.from_protobuf(request.signal, body))
        else:
            value = msgspec.json.decode(body)
        found = list(reader(value, index))
    return found[: len(found) - request.rejected]


def value_of(any_value: Any) -> Any:
    """Turn an OTLP AnyValue into a plain value; 64-bit integers come as text and become numbers."""
    if not isinstance(any_value, dict) or not any_value:
        return None
    kind, value = next(iter(any_value.items()))
    if kind == "intValue":
        return int(value)
    if kind == "arrayValue":
        return [value_of(item) for item in value.get("values", ())]
    if kind == "kvlistValue":
        return attributes_of(value.get("values"))
    return value


def attributes_of(pairs: list[dict[str, Any]] | None) -> dict[str, Any]:
    """Turn OTLP's list of pairs into a dict."""
    return {pair["key"]: value_of(pair.get("value")) for pair in pairs or ()}


def _logs(value: Any, index: int) -> Iterator[Received]:
    for entry in value.get("resourceLogs", ()):
        resource = attributes_of(entry.get("resource", {}).get("attributes"))
        for scope in entry.get("scopeLogs", ()):
            for raw in scope.get("logRecords", ()):
                attributes = attributes_of(raw.get("attributes"))
                yield Received("logs", value_of(raw.get("body")), attributes, resource, raw, index)


def _spans(value: Any, index: int) -> Iterator[Received]:
    for entry in value.get("resourceSpans", ()):
        resource = attributes_of(entry.get("resource", {}).get("attributes"))
        for scope in entry.get("scopeSpans", ()):
            for raw in scope.get("spans", ()):
                attributes = attributes_of(raw.get("attributes"))
                yield Received("traces", raw.get("name"), attributes, resource, raw, index)


def _metrics(value: Any, index: int) -> Iterator[Received]:
    for entry in value.get("resourceMetrics", ()):
        resource = attributes_of(entry.get("resource", {}).get("attributes"))
        for scope in entry.get("scopeMetrics", ()):
            for raw in scope.get("metrics", ()):
                yield Received("metrics", raw.get("name"), {}, resource, raw, index)


def _lines(body: bytes, index: int) -> Iterator[Received]:
    for line in body.splitlines():
        if not line.strip():
            continue
        value = msgspec.json.decode(line)
        raw = value if isinstance(value, dict) else {"value": value}
        nested = raw.get("attributes")
        attributes = {**raw, **nested} if isinstance(nested, dict) else raw
        yield Received("ndjson", value, attributes, {}, raw, index)
