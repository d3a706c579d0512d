"""A platform of canned answers, for tests of booting alone; the sandbox is the real thing."""

import socket
import threading
from types import TracebackType

OK_REGISTER = (
    b'HTTP/1.1 200 OK\r\nLambda-Extension-Identifier: id-1\r\nContent-Length: 26\r\n\r\n{"accountId":"0123456789"}'
)
OK = b'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"OK"'


def refusal(status: int, body: bytes = b"{}") -> bytes:
    """An answer with any status."""
    return b"HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


class PlatformStub:
    """Answers the first requests with what it was given, in order, and keeps every request.

    Args:
        answers: An answer a request; b"" closes the connection instead.
        is_halting: Head and body are written apart, as TCP delays the latter.
    """

    def __init__(self, *answers: bytes, is_halting: bool = False) -> None:
        self._answers = list(answers)
        self._is_halting = is_halting
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self.requests: list[bytes] = []
        self.enough = threading.Event()
        self.expected = 0

    @property
    def host_port(self) -> str:
        """What AWS_LAMBDA_RUNTIME_API would hold."""
        host, port = self._listener.getsockname()
        return f"{host}:{port}"

    def __enter__(self) -> "PlatformStub":  # noqa: PYI034 - Self is not in typing before 3.11
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def lines(self) -> list[str]:
        """Method and path of every request."""
        return [request.split(b" HTTP/1.1")[0].decode() for request in self.requests]

    def wait_for(self, count: int) -> None:
        """Waits until `count` requests have come."""
        self.expected = count
        if len(self.requests) < count:
            assert self.enough.wait(5), f"{len(self.requests)} requests, expected {count}"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        data = b""
        connection.settimeout(10)
        while True:
            head, blank, rest = data.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0")
            if not blank or len(rest) < length:
                more = connection.recv(65536)
                if not more:
                    return
                data += more
                continue
            data = rest[length:]
            self.requests.append(head + b"\r\n\r\n" + rest[:length])
            if len(self.requests) >= self.expected > 0:
                self.enough.set()
            if not self._answers:
                continue
            answer = self._answers.pop(0)
            if not answer:
                return
            head, blank, body = answer.partition(b"\r\n\r\n")
            for part in (head + blank, body) if self._is_halting else (answer,):
                connection.sendall(part)
