"""The listening socket, borrowed from the supervisor: it is never closed here.

Open or shut says only whether we look; who comes meanwhile waits in the kernel's queue. Built on `_socket`: the
module around it would cost 3 ms and 350 KB for nothing that is needed here.
"""

import _socket
import errno
import select

# What accept(2) says of a connection that died while it waited, not of us.
_STILLBORN = (errno.ECONNABORTED, errno.EPROTO)


class Door:
    """Accepts connections.

    Args:
        listener: Descriptor of a listening, non-blocking TCP socket.

    Attributes:
        fd: The descriptor.
        is_open: Whether epoll watches it.
    """

    def __init__(self, listener: int) -> None:
        self._sock = _socket.socket(fileno=listener)
        self.fd = listener
        self.is_open = False

    def open(self, epoll: select.epoll) -> None:
        """Looks for who comes."""
        epoll.register(self.fd, select.EPOLLIN)
        self.is_open = True

    def shut(self, epoll: select.epoll) -> None:
        """Looks no more."""
        epoll.unregister(self.fd)
        self.is_open = False

    def accept(self, epoll: select.epoll) -> _socket.socket | None:
        """The next connection, not blocking; None when nobody waits, or there are no descriptors to be had."""
        try:
            fd, _ = self._sock._accept()  # type: ignore[attr-defined]  # noqa: SLF001
        except BlockingIOError:
            return None
        except OSError as exc:
            if exc.errno not in _STILLBORN:
                self.shut(epoll)
            return None
        sock = _socket.socket(self._sock.family, self._sock.type, self._sock.proto, fd)
        sock.setblocking(False)
        return sock

    def leave(self) -> None:
        """Lets go of the descriptor without closing it."""
        self._sock.detach()
