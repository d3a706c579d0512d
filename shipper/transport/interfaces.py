"""What the transport needs of others. Types only: nothing loads this at run time."""

from collections.abc import Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object


class Timing(Protocol):
    """Every wait, and the deadline that ends it."""

    @property
    def is_final(self) -> bool:
        """Whether no other shipment comes after this one."""

    def time_left_s(self) -> float:
        """Seconds until the deadline, which may move; negative when it has passed."""

    def wait(self, fd: int, events: int, until: float) -> int:
        """Waits until a descriptor is ready, until a time or until the deadline.

        What is ready is found ready even when the time is over: after a freeze, what came meanwhile is read first.

        Args:
            fd: What to wait for; -1 waits for time alone.
            events: select.POLLIN, select.POLLOUT or both.
            until: Monotonic seconds.

        Returns:
            poll(2)'s events of the descriptor; 0 when the time is over.
        """


class Stream(Protocol):
    """A connection as a request sees it, plain or TLS."""

    def send(self, pieces: Sequence[bytes], until: float) -> bool:
        """Writes a request, piece by piece.

        Returns:
            Whether all of it was written. If not, the server has said something or hung up before: there may be an
            answer to read.

        Raises:
            ExchangeError: `timeout` or `tls`.
        """

    def receive(self, until: float) -> bytes:
        """The next bytes; b"" when the server will send no more.

        Raises:
            ExchangeError: `timeout`, `reset`, `tls`, or `closed`: `close` was called.
        """

    def has_come(self, until: float) -> bool:
        """Waits for the next bytes, or the end; whether there are any."""

    def acknowledge(self) -> None:
        """Acknowledges what came at once, since more is to come.

        A server that writes head and body apart may wait for the first to be acknowledged (RFC 896), and the kernel
        here for something to send with it, 40 ms.
        """

    def is_idle(self) -> bool:
        """Whether the server still holds the connection and has said nothing: fit for another request."""

    def is_acknowledged(self) -> bool:
        """Whether the server's kernel has all that was written."""

    def close(self) -> None:
        """Hangs up."""
