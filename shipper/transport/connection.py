"""One connection to one server, plain or TLS, whose every wait is bounded.

Non-blocking `_socket` sockets: `socket` costs 8 ms to import. TLS runs on memory buffers beside the socket, so
`ssl` is imported only when the first TLS connection is made.
"""

import _socket
import os
import select

from shipper.errors import ExchangeError
from shipper.transport.resolver import SockAddress, Wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl

_PIECE_BYTES = 65_536


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
        self._tls: ssl.SSLObject | None = None

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

    def start_tls(self, context: "ssl.SSLContext", host: str, until: float) -> None:
        """Makes the TLS handshake, certificate and name verified by `context`.

        Raises:
            ExchangeError: `certificate`, `tls`, `timeout` or `reset`.
        """
        import ssl

        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush(until)
                self._fill(until)
            except ssl.SSLCertVerificationError as exc:
                raise ExchangeError("certificate", exc.verify_message) from exc
            except ssl.SSLError as exc:
                raise ExchangeError("tls", exc.reason or type(exc).__name__) from exc
        self._flush(until)
        self._tls = tls

    def send(self, data: bytes, until: float) -> bool:
        """Writes a request.

        Returns:
            Whether all of it was written. If not, the server has answered or hung up before it read it all:
            there may be an answer to read.

        Raises:
            ExchangeError: `timeout`.
        """
        if self._tls is None:
            return self._send_plain(memoryview(data), until, early_answers=True)
        view = memoryview(data)
        for start in range(0, len(view), _PIECE_BYTES):
            self._tls.write(view[start : start + _PIECE_BYTES])
            # What comes in meanwhile may be a session ticket and no answer.
            if not self._send_plain(memoryview(self._outgoing.read()), until, early_answers=False):
                return False
        return True

    def receive(self, until: float) -> bytes:
        """The next bytes; b"" when the peer will send no more.

        Raises:
            ExchangeError: `timeout`, `reset` or `tls`.
        """
        if self._tls is None:
            return self._receive_plain(until)
        import ssl

        while True:
            try:
                return self._tls.read(_PIECE_BYTES)
            except ssl.SSLWantReadError:
                self._flush(until)
                self._fill(until)
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""
            except ssl.SSLError as exc:
                raise ExchangeError("tls", exc.reason or type(exc).__name__) from exc

    def acknowledge(self) -> None:
        """Acknowledges what came at once, since more is to come.

        A server that writes head and body apart may wait for the first to be acknowledged (RFC 896), and the kernel
        here for something to send with it, 40 ms.
        """
        self._sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_QUICKACK, 1)

    def is_idle(self) -> bool:
        """Whether the peer still holds the connection and has said nothing: fit for another request."""
        if not self._readable.poll(0):
            return True
        try:
            if self._tls is None:
                self._sock.recv(1)
                return False
            data = self._sock.recv(_PIECE_BYTES)
            if not data:
                return False
        except BlockingIOError:
            return True
        except OSError:
            return False
        import ssl

        self._incoming.write(data)
        try:
            self._tls.read(1)
        except ssl.SSLWantReadError:  # it was no content but a ticket of the handshake
            return True
        except ssl.SSLError:
            return False
        return False

    def close(self) -> None:
        """Hangs up."""
        self._sock.close()

    def _send_plain(self, view: memoryview, until: float, *, early_answers: bool) -> bool:
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

    def _receive_plain(self, until: float) -> bytes:
        # Asked for first: no answer is there as soon as its request is written, and a failed read costs an exception.
        while True:
            self._ready(select.POLLIN, until, "receiving")
            try:
                return self._sock.recv(_PIECE_BYTES)
            except BlockingIOError:  # it was not for us: poll(2), "BUGS"
                continue
            except OSError as exc:
                raise ExchangeError("reset", str(exc.strerror)) from exc

    def _flush(self, until: float) -> None:
        data = self._outgoing.read()
        if data:
            self._send_plain(memoryview(data), until, early_answers=False)

    def _fill(self, until: float) -> None:
        data = self._receive_plain(until)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _ready(self, events: int, until: float, doing: str) -> int:
        ready = self._wait(self._sock.fileno(), events, until)
        if not ready:
            raise ExchangeError("timeout", doing)
        return ready
