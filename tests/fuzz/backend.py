"""What a server may answer: whatever it is, it becomes an outcome of ours."""

import re
import select
import socket
import threading
import time
from collections.abc import Sequence
from functools import cache

from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings
from shipper.delivery.interfaces import Endpoint
from shipper.delivery.outcome import Outcome, Verdict
from shipper.destinations.registry import create
from tests.shipper.support import Waits

SECRET = "pl4nted-pl4nted"  # noqa: S105
ITEMS = (b'{"body":{"stringValue":"a"}}', b'{"body":{"stringValue":"b"}}')
LONGEST_SAID = 500

# A final status of success, behind any number of informational answers.
_SUCCESS = re.compile(rb"HTTP/1\.[01] +2\d\d\b", re.IGNORECASE)


class Server:
    """Reads one request a connection, answers it with what it was told to, and hangs up."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.pieces: Sequence[bytes] = ()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection:
                try:
                    self._answer(connection)
                except OSError:
                    continue

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(2)
        stream = connection.makefile("rb")
        length = 0
        while line := stream.readline().strip():
            if line.lower().startswith(b"content-length:"):
                length = int(line[15:])
        stream.read(length)
        for piece in self.pieces:
            connection.sendall(piece)


@cache
def _started(destination: str) -> tuple[Server, Endpoint, list[bytes]]:
    server = Server()
    said: list[bytes] = []
    settings = Settings(
        {
            "TAILRACE_DESTINATION": destination.format(port=server.port),
            "TAILRACE_HEADERS": f"x-key={SECRET}",
            "TAILRACE_REQUEST_TIMEOUT_MS": "2000",
        }
    )
    log = Log("fuzz", "debug", settings.secrets(), write=said.append)
    made = create(settings, Waits(_ready), log)
    return server, made.endpoints["logs"], said


def _ready(fd: int, events: int, until_s: float) -> int:
    """Waits as the shipper does, without commands that could come between."""
    poll = select.poll()
    poll.register(fd, events)
    found = poll.poll(max(0.0, until_s - time.monotonic()) * 1000)
    return found[0][1] if found else 0


DESTINATIONS = (
    "otlp+http://127.0.0.1:{port}",
    "http://127.0.0.1:{port}/lines",
    "elasticsearch+http://127.0.0.1:{port}/s",
    "loki+http://127.0.0.1:{port}",
    "splunk+http://x:k@127.0.0.1:{port}",
)


def answered(pieces: Sequence[bytes], destination: str = DESTINATIONS[0]) -> Outcome:
    """What becomes of a request that is answered so."""
    server, endpoint, said = _started(destination)
    server.pieces = pieces
    said.clear()
    outcome = endpoint.send(endpoint.build(ITEMS))
    assert isinstance(outcome, Outcome)
    assert outcome.verdict in Verdict
    answer = b"".join(pieces)
    if outcome.verdict is Verdict.DONE:
        assert _SUCCESS.search(answer), "what was never said counts as a delivery"
        assert 0 <= outcome.rejected <= len(ITEMS)
    else:
        assert outcome.reason, "a failure that nobody can be told of"
    assert outcome.reason.isascii()
    assert all(0 <= index < len(ITEMS) for index in outcome.items)
    assert 0 <= outcome.retry_after_s < float("inf")
    for text in (outcome.reason, outcome.detail, outcome.said):
        assert len(text) <= LONGEST_SAID
        assert SECRET not in text
    assert not any(SECRET.encode() in line for line in said)
    return outcome
