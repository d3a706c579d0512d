"""TLS over a connection: memory buffers beside the socket, so that every wait is the connection's own.

Loaded with the first TLS connection, since `ssl` costs 15 ms.
"""

import functools
import ssl

from shipper.errors import ExchangeError
from shipper.transport.connection import PIECE_BYTES, Connection


@functools.cache
def default_context() -> ssl.SSLContext:
    """Verifies certificate and name against the system's authorities, or SSL_CERT_FILE's."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


class TlsConnection:
    """A connection within TLS, certificate and name verified by `context`.

    Args:
        connection: What it lies on, and closes with it.
        context: Says what is verified.
        host: Name the certificate must be for.
        until: Monotonic seconds at which the handshake must be done.

    Raises:
        ExchangeError: `certificate`, `tls`, `timeout` or `reset`.
    """

    def __init__(self, connection: Connection, context: ssl.SSLContext, host: str, until: float) -> None:
        self._connection = connection
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush(until)
                self._fill(until)
            except ssl.SSLCertVerificationError as exc:
                raise ExchangeError("certificate", exc.verify_message) from exc
            except ssl.SSLError as exc:
                raise ExchangeError("tls", exc.reason or type(exc).__name__) from exc
        self._flush(until)

    def send(self, data: bytes, until: float) -> bool:
        """See `Stream`."""
        view = memoryview(data)
        for start in range(0, len(view), PIECE_BYTES):
            self._tls.write(view[start : start + PIECE_BYTES])
            if not self._connection.write(self._outgoing.read(), until, early_answers=False):
                return False
        return True

    def receive(self, until: float) -> bytes:
        """See `Stream`."""
        while True:
            try:
                return self._tls.read(PIECE_BYTES)
            except ssl.SSLWantReadError:
                self._flush(until)
                self._fill(until)
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""
            except ssl.SSLError as exc:
                raise ExchangeError("tls", exc.reason or type(exc).__name__) from exc

    def acknowledge(self) -> None:
        """See `Stream`."""
        self._connection.acknowledge()

    def is_idle(self) -> bool:
        """See `Stream`."""
        try:
            data = self._connection.waiting()
        except OSError:
            return False
        if data is None:
            return True
        if not data:
            return False
        self._incoming.write(data)
        try:
            self._tls.read(1)
        except ssl.SSLWantReadError:  # it was no content but a ticket of the handshake
            return True
        except ssl.SSLError:
            return False
        return False

    def close(self) -> None:
        """See `Stream`."""
        self._connection.close()

    def _flush(self, until: float) -> None:
        data = self._outgoing.read()
        if data:
            self._connection.write(data, until, early_answers=False)

    def _fill(self, until: float) -> None:
        data = self._connection.receive(until)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
