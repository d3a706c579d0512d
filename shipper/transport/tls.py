"""TLS over a connection: memory buffers beside the socket, so that every wait is the connection's own.

Loaded with the first TLS connection. `_ssl` alone does it: `ssl` around it makes enumerations of all its constants, for
10 ms and 2 MB. Whatever `_ssl` raises leaves as an `ExchangeError`.
"""

import _ssl
from functools import partial

from shipper.errors import ExchangeError
from shipper.transport.connection import PIECE_BYTES, Connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    Value = TypeVar("Value")

# Of records without content: tickets, and what keys are agreed upon with. Nobody needs more of them in a row.
_MOST_WITHOUT_CONTENT = 1_048_576

# Of a name, in bytes (RFC 1035, 2.3.4).
_LONGEST_LABEL = 63


class TlsConnection:
    """A connection within TLS, certificate and name verified.

    Args:
        connection: What it lies on, and closes with it.
        make_context: Makes what says how it is verified.
        host: Name the certificate must be for.
        until: Monotonic seconds at which the handshake must be done.

    Raises:
        ExchangeError: `certificate`, `tls`, `timeout` or `reset`.
    """

    def __init__(
        self, connection: Connection, make_context: "Callable[[], _ssl._SSLContext]", host: str, until: float
    ) -> None:
        self._connection = connection
        self._incoming, self._outgoing = _ssl.MemoryBIO(), _ssl.MemoryBIO()
        # What was read of an answer before its request was written; that nothing was, a moment ago.
        self._early, self._is_found_idle = b"", False
        try:
            wrap = make_context()._wrap_bio  # type: ignore[attr-defined]  # noqa: SLF001
            self._tls = wrap(self._incoming, self._outgoing, False, named(host))
        except (OSError, ValueError) as exc:  # authorities that cannot be read; a host that IDNA refuses
            raise _as_ours(exc) from exc
        doing, connection.doing = connection.doing, "handshake with"
        self._repeated(self._tls.do_handshake, until)
        self._flush(until)
        connection.doing = doing

    def send(self, pieces: "Sequence[bytes]", until: float) -> bool:
        """See `Stream`."""
        return all(self._sent(memoryview(piece), until) for piece in pieces)

    def _sent(self, view: memoryview, until: float) -> bool:
        while view:
            is_silent, self._is_found_idle = self._is_found_idle or self._is_silent(), False
            if not is_silent:
                return False
            view = view[self._repeated(partial(self._tls.write, view[:PIECE_BYTES]), until) :]
            if not self._flush(until):
                return False
        return True

    def receive(self, until: float) -> bytes:
        """See `Stream`."""
        early, self._early = self._early, b""
        if early:
            return early
        if not self._incoming.pending and not self._tls.pending():
            # Nothing is there to be read but at the socket; to find that out costs an exception.
            self._outgoing_and_incoming(until)
        return self._repeated(partial(self._tls.read, PIECE_BYTES), until, at_end=b"")

    def has_come(self, until: float) -> bool:
        """See `Stream`."""
        return bool(self._early) or self._connection.has_come(until)

    def acknowledge(self) -> None:
        """See `Stream`."""
        self._connection.acknowledge()

    def is_idle(self) -> bool:
        """See `Stream`."""
        self._is_found_idle = not self._early and self._is_silent()
        return self._is_found_idle

    def is_acknowledged(self) -> bool:
        """See `Stream`."""
        return self._connection.is_acknowledged()

    def close(self) -> None:
        """See `Stream`."""
        self._connection.close()

    def _is_silent(self) -> bool:
        """Whether nothing has come but what belongs to TLS itself; keeps what has."""
        data = self._connection.waiting()
        if data is None:
            return True
        if not data:
            return False
        self._incoming.write(data)
        try:
            self._early += self._tls.read(PIECE_BYTES)
        except _ssl.SSLWantReadError:  # it was no content but a ticket of the handshake
            return True
        except _ssl.SSLError:
            return False
        return False

    def _repeated(self, action: "Callable[[], Value]", until: float, at_end: "Value | None" = None) -> "Value":
        """What an action comes to, once it has got what it wants to read: also writing may want that.

        Args:
            action: Of the TLS object's.
            until: Monotonic seconds.
            at_end: Instead, where the server says that nothing more comes; None: that is an error.
        """
        received_bytes = 0
        while True:
            try:
                return action()
            except _ssl.SSLWantReadError:
                pass
            except (_ssl.SSLZeroReturnError, _ssl.SSLEOFError) as exc:
                if at_end is None:
                    raise _as_ours(exc) from exc
                return at_end
            except (OSError, ValueError) as exc:
                raise _as_ours(exc) from exc
            # One that sends for ever what is no content must not be listened to for ever.
            received_bytes += self._outgoing_and_incoming(until) or _MOST_WITHOUT_CONTENT // 2
            if received_bytes > _MOST_WITHOUT_CONTENT:
                raise ExchangeError("tls", f"{received_bytes} bytes without content")

    def _outgoing_and_incoming(self, until: float) -> int:
        """Sends what there is to be sent, and takes what comes next, or the end; how many bytes came."""
        self._flush(until)
        data = self._connection.receive(until)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        return len(data)

    def _flush(self, until: float) -> bool:
        data = self._outgoing.read()
        return not data or self._connection.write(data, until)


def named(host: str) -> str:
    """A host as certificates name it.

    Raises:
        UnicodeError: It cannot be a name.
    """
    if not host.isascii():
        return host.encode("idna").decode("ascii")
    # As the codec of IDNA has it, which is not loaded, with its tables, for a name that it would not change.
    *labels, last = host.split(".")
    if not all(0 < len(label) <= _LONGEST_LABEL for label in (*labels, last or "-")):
        raise UnicodeError("label empty or too long")
    return host


def _as_ours(exc: Exception) -> ExchangeError:
    if isinstance(exc, _ssl.SSLCertVerificationError):
        return ExchangeError("certificate", exc.verify_message)
    return ExchangeError("tls", str(getattr(exc, "reason", None) or exc) or type(exc).__name__)
