"""One connection to one server, whose every wait is bounded.

Non-blocking `_socket` sockets: `socket` costs 8 ms to import. TLS lies on top of it (`tls`).
"""

import _socket
import os
import select

from shipper.errors import ExchangeError
from shipper.transport.resolver import SockAddress, Wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object

PIECE_BYTES = 65_536


class Stream(Protocol):
    """A connection as a request sees it, plain or TLS."""

    def send(self, data: bytes, until: float) -> bool:
        """Writes a request.

        Returns:
            Whether all of it was written. If not, the server has answered or hung up before it read it all:
            there may be an answer to read.

        Raises:
            ExchangeError: `timeout`.
        """

    def receive(self, until: float) -> bytes:
        """The next bytes; b"" when the server will send no more.

        Raises:
            ExchangeError: `timeout`, `reset` or `tls`.
        """

    def acknowledge(self) -> None:
        """Acknowledges what came at once, since more is to come.

        A server that writes head and body apart may wait for the first to be acknowledged (RFC 896), and the kernel
        here for something to send with it, 40 ms.
        """

    def is_idle(self) -> bool:
        """Whether the server still holds the connection and has said nothing: fit for another request."""

    def close(self) -> None:
        """Hangs up."""


class Connection:
    """A connected socket.

    Args:
        sock: Non-blocking.
        wait: Bounds every wait.
    """

    def __init__(self, sock: _socket.socket, wait: Wait) -> None:
        self._sock = sock
        self._wait = wait
        self._readable = select.poll()
        self._readable.register(sock, select.POLLIN)

    @classmethod
    def open(cls, address: SockAddress, wait: Wait, until: float) -> "Connection":
        """Connects.

        Raises:
            ExchangeError: `connect` or `timeout`.
        """
        family, where = address
        try:
            sock = _socket.socket(family, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        except OSError as exc:
            raise ExchangeError("connect", str(exc.strerror)) from exc
        connection = cls(sock, wait)
        try:
            sock.setblocking(False)
            # A request is written whole; its last piece must not wait for an acknowledgement.
            sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
            try:
                sock.connect(where)
            except BlockingIOError:
                connection._ready(select.POLLOUT, until, "connecting")
            error = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
            if error:
                raise OSError(error, os.strerror(error))  # noqa: TRY301 - as connect(2) would have
        except OSError as exc:
            connection.close()
            raise ExchangeError("connect", str(exc.strerror)) from exc
        except BaseException:
            connection.close()
            raise
        return connection

    def send(self, data: bytes, until: float) -> bool:
        """See `Stream`."""
        return self.write(data, until, early_answers=True)

    def write(self, data: bytes, until: float, *, early_answers: bool) -> bool:
        """Writes bytes; whether all of them, and not fewer because something has come or the server has hung up.

        Args:
            data: What to write.
            until: Monotonic seconds.
            early_answers: What comes meanwhile is an answer. (In TLS it may be a session ticket and none.)

        Raises:
            ExchangeError: `timeout`.
        """
        view = memoryview(data)
        events = select.POLLOUT | (select.POLLIN if early_answers else 0)
        while view:
            try:
                view = view[self._sock.send(view) :]
            except BlockingIOError:
                if not self._ready(events, until, "sending") & select.POLLOUT:
                    return False
            except OSError:  # what the server said before it hung up can still be read
                return False
        return True

    def receive(self, until: float) -> bytes:
        """See `Stream`."""
        # Asked for first: no answer is there as soon as its request is written, and a failed read costs an exception.
        while True:
            self._ready(select.POLLIN, until, "receiving")
            try:
                return self._sock.recv(PIECE_BYTES)
            except BlockingIOError:  # it was not for us: poll(2), "BUGS"
                continue
            except OSError as exc:
                raise ExchangeError("reset", str(exc.strerror)) from exc

    def waiting(self) -> bytes | None:
        """What has come and was not read; None if nothing.

        Raises:
            OSError: The connection is broken.
        """
        if not self._readable.poll(0):
            return None
        try:
            return self._sock.recv(PIECE_BYTES)
        except BlockingIOError:
            return None

    def acknowledge(self) -> None:
        """See `Stream`."""
        self._sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_QUICKACK, 1)

    def is_idle(self) -> bool:
        """See `Stream`."""
        try:
            return self.waiting() is None
        except OSError:
            return False

    def close(self) -> None:
        """See `Stream`."""
        self._sock.close()

    def _ready(self, events: int, until: float, doing: str) -> int:
        ready = self._wait(self._sock.fileno(), events, until)
        if not ready:
            raise ExchangeError("timeout", doing)
        return ready
