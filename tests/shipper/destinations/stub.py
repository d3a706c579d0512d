"""What our own stand-ins for backends share: a server on loopback that hands each request to one method."""

import gzip
import json
import select
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from typing_extensions import Self

from lifecycle.contract.frames import Frame
from shipper.delivery.outcome import Outcome
from shipper.destinations import registry
from shipper.destinations.destination import Destination
from shipper.model.context import NOTHING, Child, Context
from shipper.model.events import OddEvent
from shipper.model.log_record import LogRecord, Origin
from shipper.model.span import Span
from tests.shipper.support import OBSERVED_NS, TIME_NS, Lines, Waits, encoded, settings_of

Answer = tuple[int, bytes]

EVENT = OddEvent("", b"{}")


class RefusedError(Exception):
    """A request is not taken: status and body of the answer."""

    def __init__(self, status: int, body: object = b"") -> None:
        super().__init__(status)
        self.answer = status, body if isinstance(body, bytes) else json.dumps(body).encode()


class Stub:
    """A server on loopback; a context manager.

    Attributes:
        requests: Target and headers of each, names in lower case.
        busy: Answers that the next requests get, whatever they are.
    """

    content_types: tuple[str, ...] = ("application/json",)

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.busy: list[Answer] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def taken(self, target: str, headers: dict[str, str], body: bytes) -> Answer:
        """What a request is answered with; `body` is not compressed. May raise `RefusedError`."""
        raise NotImplementedError

    def answered(self, target: str, headers: dict[str, str], body: bytes) -> Answer:
        """The same of a request as it came."""
        self.requests.append((target, headers))
        if self.busy:
            return self.busy.pop(0)
        encoding = headers.get("content-encoding", "")
        if encoding not in ("", "gzip"):
            return 400, b"unknown content encoding"
        if headers.get("content-type") not in self.content_types:
            return 415, b"unknown content type"
        try:
            return self.taken(target, headers, gzip.decompress(body) if encoding else body)
        except RefusedError as refusal:
            return refusal.answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answered = self.answered

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, data = answered(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                self.send_response(status)
                if status != 204:
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        return Handler


def record(number: int = 0, body: bytes = b'"hello"', origin: dict[str, Any] | None = None, **fields: Any) -> LogRecord:
    """A log record."""
    where = Origin(**{"observed_ns": OBSERVED_NS, "batch_id": "uid", **(origin or {})})
    return LogRecord(EVENT, number, where, body, **{"time_ns": TIME_NS, **fields})


SPAN = Span(
    name="shop",
    trace_id="5b8efff798038103d269b633813fc60c",
    span_id="eee19b7ec3c1b174",
    parent_id="35465b3a9e2f7c6a",
    start_ns=TIME_NS,
    end_ns=TIME_NS + 12_400_000,
    attributes={"faas.invocation_id": "r-1", "aws.lambda.billed_duration_ms": 13},
    children=(Child("responseLatency", TIME_NS, TIME_NS + 2_200_000),),
)


def made(address: str, **environ: str) -> Destination:
    """A destination."""
    settings = settings_of(TAILRACE_DESTINATION=address, **environ)
    return registry.create(settings, Waits(_polled), Lines().log)


def sent(destination: Destination, *records: LogRecord) -> Outcome:
    """What becomes of a request with these records."""
    return delivered(destination, [destination.encoder.log(one) for one in records])


def delivered(destination: Destination, items: list[bytes], signal: str = "logs") -> Outcome:
    """What becomes of a request with these items."""
    endpoint = destination.endpoints[signal]
    try:
        return endpoint.send(endpoint.build(items))
    finally:
        destination.close()


def items_of(destination: Destination, found: Frame, context: Context = NOTHING) -> list[bytes]:
    """The events of a frame as a destination has them."""
    return encoded(destination.encoder, found, context)


def _polled(fd: int, events: int, until: float) -> int:
    poll = select.poll()
    poll.register(fd, events)
    return dict(poll.poll(max(0.0, until - time.monotonic()) * 1000)).get(fd, 0)
