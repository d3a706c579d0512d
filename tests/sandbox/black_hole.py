"""An address that takes no connection and refuses none: what a VPC without a route looks like from inside."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

# Whoever is let in by a full queue is let in at once, on loopback.
_FULL_AFTER_S = 0.1
_MOST = 10


class BlackHole:
    """A listener whose queue is full: the kernel drops whatever else asks to connect. A context manager.

    Args:
        address: On loopback.
        port: 0 for any free one.
    """

    def __init__(self, address: str = "127.0.0.2", port: int = 0) -> None:
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((address, port))
        self._listener.listen(0)
        self.address, self.port = self._listener.getsockname()
        self._waiting: list[socket.socket] = []
        for _ in range(_MOST):
            waiting = socket.socket()
            waiting.settimeout(_FULL_AFTER_S)
            self._waiting.append(waiting)
            try:
                waiting.connect((self.address, self.port))
            except TimeoutError:
                return
        raise RuntimeError(f"{_MOST} connections were taken, expected the queue to be full")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Refuse from now on."""
        for one in (*self._waiting, self._listener):
            with contextlib.suppress(OSError):
                one.close()
