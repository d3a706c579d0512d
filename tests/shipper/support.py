"""What the shipper's tests share: backlogs with events in them, clocks that stand, a log that is a list."""

import json
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from lifecycle.contract.backlog import Backlog, Writer
from lifecycle.contract.frames import Frame
from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings
from shipper.delivery.batch import Parcel
from shipper.delivery.interfaces import NO_LIMITS, Joined, Limits, Request
from shipper.delivery.outcome import DONE, Outcome
from shipper.model.context import NOTHING, Context
from shipper.model.events import events as read_events
from shipper.model.log_record import Encoder
from shipper.parse.log_parser import LogParser

TIME = "2024-05-20T16:29:45.008Z"
TIME_NS = 1_716_222_585_008_000_000
OBSERVED_NS = 1_716_222_586_000_000_000
DIGEST = bytes.fromhex("00112233445566ff")
REQUEST_ID = "459921b5-681c-4a96-beb0-81e0aa586026"


def event(record: object, kind: str = "function", time: str = TIME) -> dict[str, object]:
    return {"time": time, "type": kind, "record": record}


def start(request_id: str = REQUEST_ID) -> dict[str, object]:
    return event({"requestId": request_id, "version": "$LATEST"}, "platform.start")


def frame_of(payload: bytes, events: int = 1) -> Frame:
    return Frame(0, len(payload), events, OBSERVED_NS, DIGEST, memoryview(payload))


def frame(*events: object) -> Frame:
    return frame_of(json.dumps(events).encode(), len(events))


def backlog_of(*frames: Sequence[object], size: int = 4_000_000) -> tuple[Backlog, int]:
    """A backlog that holds these frames, and where it ends."""
    backlog = Backlog(size)
    writer = Writer(backlog, end=0, released=0)
    for number, events in enumerate(frames):
        digest = bytes([number] * 8)
        writer.append(json.dumps(events).encode(), events=len(events), observed_ns=OBSERVED_NS, digest=digest)
    return backlog, writer.end


def settings_of(**environ: str) -> Settings:
    settings = Settings(environ)
    assert not settings.problems, [problem.explained() for problem in settings.problems]
    return settings


def encoded(encoder: Encoder, found: Frame, context: Context = NOTHING) -> list[bytes]:
    """The events of a frame as an encoder writes their records."""
    parser = LogParser()
    parser.begin(found)
    return [encoder.log(parser.record(one, index, context)) for index, one in enumerate(read_events(found))]


def each_of(parcel: Parcel) -> list[tuple[bytes, int]]:
    """The records of a parcel, those that are joined each by itself, and the row of each."""
    found: list[tuple[bytes, int]] = []
    for at, record in enumerate(parcel.records):
        records = record.each() if isinstance(record, Joined) else [record]
        found += zip(records, parcel.rows_of(at), strict=True)
    return found


class Clock:
    """Time that passes only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


class Timing(Clock):
    """A deadline kept by a clock that stands; pauses are written down and take no time."""

    is_final: bool = False

    def __init__(self, budget_s: float = 10.0) -> None:
        super().__init__()
        self.deadline = self.now + budget_s
        self.pauses: list[float] = []

    def time_left_s(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - self.now

    def pause(self, seconds: float) -> None:
        """Writes the pause down and lets the time pass."""
        self.pauses.append(seconds)
        self.now += seconds


class Waits:
    """The transport's timing: a deadline that is far, and waits that end as told."""

    is_final = False

    def __init__(self, wait: Callable[[int, int, float], int] = lambda _fd, events, _until: events) -> None:
        self._wait = wait

    def time_left_s(self) -> float:
        """Time enough."""
        return 10.0

    def wait(self, fd: int, events: int, until: float) -> int:
        """As told."""
        return self._wait(fd, events, until)


class Lines:
    """A log whose lines can be read."""

    def __init__(self, level: str = "debug") -> None:
        self.written: list[dict[str, Any]] = []
        self.log = Log("shipper", level, write=self._write)

    def _write(self, line: bytes) -> None:
        self.written.append(json.loads(line))

    def events(self, *levels: str) -> list[str]:
        """The events said, in order."""
        return [line["event"] for line in self.written if not levels or line["level"] in levels]


class Inbox:
    """A destination in memory, which answers as it is told."""

    label = "memory:"
    limits: Limits = NO_LIMITS

    def __init__(self, answer: Callable[[list[bytes]], Outcome] = lambda _records: DONE) -> None:
        self.answer = answer
        self.requests: list[list[bytes]] = []
        self.delivered: list[bytes] = []
        self.keys: list[str] = []
        self.closed = 0

    @property
    def endpoints(self) -> dict[str, "Inbox"]:
        """One for each signal that a test may send."""
        return {"logs": self, "traces": self}

    def build(self, items: Sequence[bytes], key: str = "") -> Request:
        """The records, so that `send` knows them."""
        self.keys.append(key)
        body = msgspec.msgpack.encode([bytes(item) for item in items])
        return Request(body=body, body_bytes=len(body))

    def close(self) -> None:
        """Counts."""
        self.closed += 1

    def begin(self, request: Request, within_s: float) -> Callable[[], Outcome] | None:
        """Not at once."""
        del request, within_s
        return None

    def send(self, request: Request) -> Outcome:
        """Answers as told."""
        records = msgspec.msgpack.decode(request.body, type=list[bytes])
        self.requests.append(records)
        outcome = self.answer(records)
        if outcome is DONE:
            self.delivered += records
        return outcome


def request_of(body: bytes) -> Request:
    return Request(body=body, body_bytes=len(body))


Behaviour = Callable[[socket.socket], None]


class Server:
    """A TCP server whose connections behave, in turn, as told; the last behaviour serves all further ones."""

    def __init__(self, *behaviours: Behaviour) -> None:
        self.behaviours = list(behaviours)
        self.requests: list[tuple[bytes, bytes]] = []
        self.connections = 0
        self.keeps = True
        self.over = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while not self.over.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            if self.over.is_set():
                connection.close()
                return
            behaviour = self.behaviours[min(self.connections, len(self.behaviours) - 1)]
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(behaviour, connection), daemon=True)
            self._threads.append(thread)
            thread.start()

    @staticmethod
    def _serve(behaviour: Behaviour, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(10)
            try:
                behaviour(connection)
            except OSError:
                return

    def read(self, connection: socket.socket) -> tuple[bytes, bytes]:
        """One request: head and body. Raises ConnectionError at its end."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._some(connection)
        head, _, body = data.partition(b"\r\n\r\n")
        length = next((int(f[15:]) for f in head.lower().split(b"\r\n") if f.startswith(b"content-length:")), 0)
        while len(body) < length:
            body += self._some(connection)
        if self.keeps:
            self.requests.append((head, body))
        return head, body

    def narrow(self, window_bytes: int) -> None:
        """Has the kernel take no more than this of a request before it is read, from the next connection on."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window_bytes)

    def hanging(self, _connection: socket.socket) -> None:
        """Reads nothing and says nothing, until the test is over."""
        self.over.wait(10)

    @staticmethod
    def _some(connection: socket.socket) -> bytes:
        data = connection.recv(65536)
        if not data:
            raise ConnectionError
        return data

    def answering(self, *answers: bytes) -> Behaviour:
        """Reads a request, sends an answer, and so on; then hangs up."""

        def behave(connection: socket.socket) -> None:
            for answer in answers:
                self.read(connection)
                connection.sendall(answer)

        return behave

    def close(self) -> None:
        """Ends every connection."""
        self.over.set()
        with socket.create_connection(("127.0.0.1", self.port), timeout=5):
            pass  # wakes accept()
        self._socket.close()
        for thread in self._threads:
            thread.join(5)


def http(status: int, body: bytes = b"", *fields: str) -> bytes:
    head = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *fields, "", ""]
    return "\r\n".join(head).encode() + body
