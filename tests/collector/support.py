"""A collector on real sockets and pipes, run in a thread, and the telemetry to feed it."""

import fcntl
import json
import os
import select
import socket
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Any

import msgspec

from collector.server import Server, run
from collector.timeouts import Timeouts
from lifecycle.contract import wire
from lifecycle.contract.backlog import Backlog, Writer
from lifecycle.contract.frames import Frame
from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings

KEY = b"0123456789abcdef"

# Longer than anything here takes; a test that meets it has failed.
GIVE_UP_S = 20.0


def event(record: Any = "hello\n", kind: str = "function") -> dict[str, Any]:
    """One telemetry event."""
    return {"time": "2024-05-20T16:29:45.008Z", "type": kind, "record": record}


def batch(*events: dict[str, Any]) -> bytes:
    """Events as the platform delivers them."""
    return json.dumps(events or (event(),), separators=(",", ":")).encode()


def post(body: bytes, *headers: str, method: str = "POST", version: str = "1.1") -> bytes:
    """A request as the platform sends it."""
    lines = [f"{method} / HTTP/{version}", "Host: sandbox.localdomain:8080", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(body: bytes, size: int = 7) -> bytes:
    """A request whose body comes in chunks."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


class Answer(msgspec.Struct):
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """One connection to the collector."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=GIVE_UP_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stream = self.sock.makefile("rb")

    def send(self, data: bytes) -> None:
        """Sends bytes."""
        self.sock.sendall(data)

    def answer(self, *, has_body: bool = True) -> Answer | None:
        """Reads one answer; None when the connection is closed."""
        status_line = self._stream.readline()
        if not status_line:
            return None
        assert status_line.startswith(b"HTTP/1.1 "), status_line
        headers = {}
        while line := self._stream.readline().rstrip():
            name, _, value = line.decode().partition(": ")
            headers[name] = value
        body = self._stream.read(int(headers.get("Content-Length", "0"))) if has_body else b""
        return Answer(int(status_line.split()[1]), headers, body)

    def status(self) -> int:
        """The status of the next answer."""
        answer = self.answer()
        assert answer is not None, "the connection was closed"
        return answer.status

    def ask(self, data: bytes) -> int:
        """Sends a request and reads the status of its answer."""
        self.send(data)
        return self.status()

    def close(self) -> None:
        """Closes the connection."""
        self._stream.close()
        self.sock.close()


class Running:
    """A collector in a thread, and the supervisor's ends of everything."""

    def __init__(
        self,
        *,
        protocol: str = "http",
        backlog: Backlog | None = None,
        end: int = 0,
        released: int = 0,
        recent: Iterable[bytes] = (),
        timeouts: Timeouts | None = None,
        level: str = "warning",
        listener: socket.socket | None = None,
        takes_exports: bool = False,
        recent_exports: Iterable[bytes] = (),
        backlog_bytes: int = 2 << 20,
        spool_bytes: int = 0,
    ) -> None:
        self.lines: list[dict[str, Any]] = []
        self.settings = Settings(
            {
                "TAILRACE_PROTOCOL": protocol,
                "TAILRACE_BACKLOG_BYTES": str(backlog_bytes),
                "TAILRACE_SPOOL_BYTES": str(spool_bytes),
                "TAILRACE_OTLP_INTAKE": "1" if takes_exports else "0",
            }
        )
        self.limit = self.settings.batch_limit_bytes
        self.backlog = backlog or Backlog(self.settings.backlog_bytes)
        self.listener = listener or socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.listener.setblocking(False)
        self.port: int = self.listener.getsockname()[1]
        self.intake = socket.create_server(("127.0.0.1", 0))
        self.intake.setblocking(False)
        doors = (self.intake.fileno(),) if takes_exports else ()
        commands, self.commands = os.pipe2(os.O_DIRECT | os.O_CLOEXEC)
        self.reports, reports = os.pipe2(os.O_DIRECT | os.O_CLOEXEC)
        self._ends = (commands, reports)
        # A packet takes a page of the pipe, 16 by default; nobody here reads while it fills.
        fcntl.fcntl(reports, fcntl.F_SETPIPE_SZ, 1 << 20)
        log = Log("collector", level, write=lambda line: self.lines.append(json.loads(line)))
        fd = self.listener.fileno()

        def work() -> None:
            if timeouts is None:
                run(
                    listener=fd, commands=commands, reports=reports, backlog=self.backlog, end=end,
                    released=released, recent=recent, digest_key=KEY, settings=self.settings, log=log,
                    intake=doors, recent_exports=recent_exports,
                )  # fmt: skip
            else:
                writer = Writer(self.backlog, end=end, released=released)
                server = Server(
                    fd, commands, reports, writer, self.settings, log,
                    recent=recent, digest_key=KEY, timeouts=timeouts,
                )  # fmt: skip
                if doors:
                    server.open_intake(doors, recent_exports)
                server.run()

        self.thread = threading.Thread(target=work, daemon=True)
        self._clients: list[Client] = []

    def __enter__(self) -> "Running":  # noqa: PYI034 - typing has Self from 3.11
        self.thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()
        self.listener.close()
        self.intake.close()

    def stop(self) -> None:
        """Closes the command pipe, as a supervisor that ends, and waits for the collector."""
        if self.commands >= 0:
            os.close(self.commands)
            self.commands = -1
            self.thread.join(GIVE_UP_S)
            assert not self.thread.is_alive(), "the collector did not end with its command pipe"
            for client in self._clients:
                client.close()
            for fd in (*self._ends, self.reports):
                os.close(fd)

    def client(self) -> Client:
        """A new connection."""
        return self._connected(self.port)

    def exporter(self) -> Client:
        """A new connection to the intake."""
        return self._connected(self.intake.getsockname()[1])

    def _connected(self, port: int) -> Client:
        client = Client(port)
        self._clients.append(client)
        return client

    def has_report(self, within_s: float = 0.0) -> bool:
        """Whether a report waits."""
        return bool(select.select([self.reports], [], [], within_s)[0])

    def report(self) -> wire.CollectorReport:
        """The next report."""
        assert self.has_report(GIVE_UP_S), "no report came"
        report: wire.CollectorReport = wire.collector_reports.decode(wire.receive(self.reports))
        return report

    def stored(self) -> wire.Stored:
        """The next report, which must be `Stored`."""
        report = self.report()
        assert isinstance(report, wire.Stored), report
        return report

    def crowded(self) -> None:
        """The next report must be `Crowded`."""
        assert self.report() == wire.Crowded()

    def refused(self) -> wire.Refused:
        """The next report, which must be `Refused`."""
        report = self.report()
        assert isinstance(report, wire.Refused), report
        return report

    def release(self, through: int) -> None:
        """Tells the collector that everything before `through` is delivered."""
        wire.send(self.commands, wire.Released(through=through))

    def restore(self, digest_key: bytes) -> None:
        """Tells it that the environment was restored from a snapshot."""
        wire.send(self.commands, wire.Restored(digest_key=digest_key, instance_id="new"))

    def frame(self, stored: wire.Stored) -> Frame:
        """The frame that a report is about."""
        return next(self.backlog.frames(stored.start, stored.end))

    def payload(self, stored: wire.Stored) -> bytes:
        """What stands in the backlog for a report."""
        return bytes(self.frame(stored).payload)

    def warnings(self) -> list[dict[str, Any]]:
        """The lines written at warning, without what differs from run to run."""
        return [
            {key: value for key, value in line.items() if key not in ("time", "pid", "connection")}
            for line in list(self.lines)
            if line["level"] == "warning"
        ]
