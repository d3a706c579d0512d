"""One connection to one server, whose every wait is bounded.

Non-blocking `_socket` sockets: `socket` costs 8 ms to import. TLS lies on top of it (`tls`).
"""

import _socket
import fcntl
import select
import struct

from shipper.errors import ExchangeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from shipper.transport.interfaces import Timing

PIECE_BYTES = 65_536
# ioctl(2): bytes written and not acknowledged (tcp(7)). `termios`, which names it, is not loaded for one number.
_SIOCOUTQ = 0x5411


class Connection:
    """A connected socket.

    Args:
        sock: Non-blocking.
        timing: Bounds every wait.
        peer: Whose address it is connected to, as it may be shown.

    Attributes:
        doing: What takes too long, as a person is told, who is then told the address.
    """

    def __init__(self, sock: _socket.socket, timing: "Timing", peer: str) -> None:
        self.doing = "waiting for the answer of"
        self._sock = sock
        self._timing = timing
        self._peer = peer
        self._readable = select.poll()
        self._readable.register(sock, select.POLLIN)

    def send(self, pieces: "Sequence[bytes]", until: float) -> bool:
        """See `Stream`."""
        for number, piece in enumerate(pieces, 1):
            more = _socket.MSG_MORE if number < len(pieces) else 0  # or a packet would leave with the head alone
            if not self._sent(memoryview(piece), until, more):
                return False
        return True

    def write(self, data: bytes, until: float) -> bool:
        """Writes bytes, whatever comes meanwhile; whether the server has not hung up before.

        Raises:
            ExchangeError: `timeout`.
        """
        view = memoryview(data)
        while view:
            try:
                view = view[self._sock.send(view) :]
            except BlockingIOError:
                self._ready(select.POLLOUT, until, "sending to")
            except OSError:  # what the server said before it hung up can still be read
                return False
        return True

    def receive(self, until: float) -> bytes:
        """See `Stream`."""
        # Asked for first: no answer is there as soon as its request is written, and a failed read costs an exception.
        while True:
            self._ready(select.POLLIN, until, self.doing)
            try:
                return self._sock.recv(PIECE_BYTES)
            except BlockingIOError:  # it was not for us: poll(2), "BUGS"
                continue
            except OSError as exc:
                raise ExchangeError("reset", str(exc.strerror)) from exc

    def waiting(self) -> bytes | None:
        """What has come and was not read; None if nothing, b"" if the server has hung up."""
        if not self._readable.poll(0):
            return None
        try:
            return self._sock.recv(PIECE_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def has_come(self, until: float) -> bool:
        """See `Stream`."""
        return self._is_closed or bool(self._timing.wait(self._sock.fileno(), select.POLLIN, until))

    def acknowledge(self) -> None:
        """See `Stream`."""
        try:
            self._sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_QUICKACK, 1)
        except OSError:  # a reset that has just come shows when it is read
            return

    def is_idle(self) -> bool:
        """See `Stream`."""
        return self.waiting() is None

    def is_acknowledged(self) -> bool:
        """See `Stream`."""
        if self._is_closed:
            return True
        try:
            (unacknowledged,) = struct.unpack("i", fcntl.ioctl(self._sock, _SIOCOUTQ, bytes(4)))
        except OSError:  # nobody says
            return True
        return not unacknowledged

    def close(self) -> None:
        """See `Stream`."""
        self._sock.close()

    def _sent(self, view: memoryview, until: float, flags: int) -> bool:
        # What comes before all is written is no answer to it, or one that more of it will not change. Looked for before
        # each piece: a server that reads on while it answers could be given megabytes by one call of the kernel.
        while not self._readable.poll(0):
            is_more = len(view) > PIECE_BYTES
            try:
                view = view[self._sock.send(view[:PIECE_BYTES], _socket.MSG_MORE if is_more else flags) :]
            except BlockingIOError:
                pass
            except OSError:  # what the server said before it hung up can still be read
                return False
            if not view:
                return True
            self._ready(select.POLLOUT | select.POLLIN, until, "sending to")
        return False

    @property
    def _is_closed(self) -> bool:
        """Whether we have hung up ourselves, who may still be waiting for an answer."""
        return self._sock.fileno() < 0

    def _ready(self, events: int, until: float, doing: str) -> int:
        if self._is_closed:  # there is nothing to wait for but time
            raise ExchangeError("closed", "by ourselves")
        ready = self._timing.wait(self._sock.fileno(), events, until)
        if not ready:
            raise ExchangeError("timeout", f"{doing} {self._peer}")
        return ready
