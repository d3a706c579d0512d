"""Requests of an SDK in a backlog, and what a backend made of them, for tests of how they leave."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import msgspec

from lifecycle.contract.backlog import Backlog, Writer
from lifecycle.contract.frames import OtlpForm
from lifecycle.contract.otlp_wire import count
from lifecycle.contract.schemes import JSON, PROTOBUF
from tests.sandbox.otlp import REQUESTS, as_json, from_json, from_protobuf
from tests.shipper.support import OBSERVED_NS, Server, http

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

SDK = {"service.name": "theirs", "telemetry.sdk.language": "python"}
TRACE_ID = bytes.fromhex("5b8efff798038103d269b633813fc60c")


def spans(*names: str, resource: dict[str, str] | None = None, **fields: Any) -> Any:
    """A request of spans, all in one scope."""
    message = REQUESTS["traces"]()
    found = message.resource_spans.add()
    for name, value in (SDK if resource is None else resource).items():
        found.resource.attributes.add(key=name).value.string_value = value
    scope = found.scope_spans.add()
    scope.scope.name = "shop"
    for at, name in enumerate(names, 1):
        scope.spans.add(name=name, trace_id=TRACE_ID, span_id=at.to_bytes(8, "big"), **fields)
    return message


def logs(*texts: str, **fields: Any) -> Any:
    """A request of log records, all in one scope."""
    message = REQUESTS["logs"]()
    scope = message.resource_logs.add().scope_logs.add()
    scope.scope.name = "shop"
    for text in texts:
        scope.log_records.add(**fields).body.string_value = text
    return message


def points(*values: int) -> Any:
    """A request of one sum's data points."""
    message = REQUESTS["metrics"]()
    metric = message.resource_metrics.add().scope_metrics.add().metrics.add(name="orders", unit="1")
    for value in values:
        metric.sum.data_points.add(as_int=value, time_unix_nano=value + 1)
    return message


def signal_of(message: Any) -> str:
    return next(signal for signal, request in REQUESTS.items() if isinstance(message, request))


class Stream:
    """A backlog that batches and requests are written to.

    Attributes:
        ends: Where each frame ends.
    """

    def __init__(self, size: int = 8_000_000) -> None:
        self.backlog = Backlog(size)
        self._writer = Writer(self.backlog, end=0, released=0)
        self.ends: list[int] = []

    @property
    def end(self) -> int:
        """Where it ends."""
        return self._writer.end

    def request(self, message: Any, *, is_json: bool = False, is_gzip: bool = False) -> Stream:
        """Writes a request of an SDK."""
        body = msgspec.json.encode(as_json(message)) if is_json else message.SerializeToString()
        return self.raw(signal_of(message), body, is_json=is_json, is_gzip=is_gzip)

    def raw(self, signal: str, body: bytes, *, is_json: bool = False, is_gzip: bool = False, items: int = -1) -> Stream:
        """Writes a request as it is."""
        form = OtlpForm(signal, JSON if is_json else PROTOBUF, is_gzip)
        items = count(signal, body, is_json=is_json) if items < 0 else items
        return self._append(gzip.compress(body) if is_gzip else body, items, form)

    def batch(self, *events: object) -> Stream:
        """Writes a batch of the platform's."""
        return self._append(json.dumps(events).encode(), len(events), None)

    def _append(self, payload: bytes, events: int, form: OtlpForm | None) -> Stream:
        digest = bytes([len(self.ends)] * 8)
        self._writer.append(payload, events=events, observed_ns=OBSERVED_NS, digest=digest, form=form)
        self.ends.append(self._writer.end)
        return self


class Receiver:
    """A receiver of OTLP that answers by what is in a request.

    Args:
        server: Behaves so from now on.
        answer: Given signal and request; None for one that takes everything.

    Attributes:
        taken: Requests that were answered 200, by signal, as messages.
        requests: How many there were.
        is_json: Whether the one that is being answered is in JSON.
    """

    def __init__(self, server: Server, answer: Callable[[str, Any], bytes] | None = None) -> None:
        self.taken: dict[str, list[Any]] = {"logs": [], "traces": [], "metrics": []}
        self.requests = 0
        self.is_json = False
        self._answer = answer
        self._server = server
        server.behaviours = [self._serve]

    def _serve(self, connection: socket.socket) -> None:
        while True:
            head, body = self._server.read(connection)
            signal = head.split(b" ", 2)[1].rpartition(b"/")[2].decode()
            content = gzip.decompress(body) if b"gzip" in head.lower() else body
            self.is_json = b"/json" in head.lower()
            message = from_json(signal, content) if self.is_json else from_protobuf(signal, content)
            self.requests += 1
            answer = http(200) if self._answer is None else self._answer(signal, message)
            if answer.startswith(b"HTTP/1.1 200"):
                self.taken[signal].append(message)
            connection.sendall(answer)

    def names(self) -> list[str]:
        """Names of the spans that were taken, in order."""
        return [span.name for message in self.taken["traces"] for span in spans_in(message)]


def spans_in(message: Any) -> list[Any]:
    """The spans of a request that came in scopes of the SDK's."""
    scopes = [scope for resource in message.resource_spans for scope in resource.scope_spans]
    return [span for scope in scopes if scope.scope.name != "tailrace" for span in scope.spans]
