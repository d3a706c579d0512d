"""A pool with a command pipe, as the transport's tests use it."""

import os
import time
from _ssl import _SSLContext

from shipper.commands import Commands
from shipper.transport import address
from shipper.transport.pool import Pool
from shipper.transport.response import Response
from tests.shipper.support import Clock, Lines

REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok"


class Client:
    """A pool with a command pipe that nobody writes to, unless told."""

    def __init__(self, url: str, *, proxy: str = "", context: _SSLContext | None = None) -> None:
        self._pipe, self.supervisor = os.pipe()
        self.commands = Commands(self._pipe)
        self.commands.deadline = time.monotonic() + 20
        self.url = url
        self.lines = Lines()
        self.wall = Clock()
        self.pool = Pool(
            address.parse(url),
            address.parse(proxy) if proxy else None,
            self.commands,
            self.lines.log,
            wall_clock=self.wall,
            tls_context=(lambda: context) if context else None,
        )

    def ask(self, request: bytes = REQUEST, timeout_s: float = 5.0) -> tuple[int, bytes]:
        """Status and body of the answer."""
        response = self.exchange(request, timeout_s)
        return response.status, response.body

    def exchange(self, request: bytes = REQUEST, timeout_s: float = 5.0) -> Response:
        """The answer."""
        return self.pool.exchange(lambda: [request], timeout_s)

    def close(self) -> None:
        """Hangs up; the supervisor dies."""
        self.pool.close()
        for fd in (self._pipe, self.supervisor):
            if fd >= 0:
                os.close(fd)
