"""Connections to one server: kept from request to request and, when they went stale, replaced.

Owns the connections. A request is bounded as a whole: name resolution, proxy, TLS handshake, the request and its
answer share one time.
"""

import time
from collections.abc import Callable

from lifecycle.contract.log import Log
from shipper.errors import ExchangeError
from shipper.transport.address import Address
from shipper.transport.connection import Connection, Stream
from shipper.transport.proxy import connect_request
from shipper.transport.resolver import Names, Wait
from shipper.transport.response import MOST_BODY, Response, ResponseReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl

# Balancers drop idle connections after 60 s and more, some without a word; a request on such a one would spend
# its whole time before that shows.
MOST_IDLE_S = 50.0

_SUCCESS = range(200, 300)


class Pool:
    """Talks to one server.

    Args:
        address: The server.
        proxy: Reached through this, if not None.
        wait: Bounds every wait.
        log: Says what becomes of connections.
        most_body: Bytes of an answer's body that are kept.
        clock: Monotonic seconds.
        wall_clock: Seconds since the epoch; tells a freeze that the monotonic clock slept through.
        tls_context: Makes the TLS context; the default one verifies certificate and name.
        names: Looks up names.
    """

    def __init__(
        self,
        address: Address,
        proxy: Address | None,
        wait: Wait,
        log: Log,
        *,
        most_body: int = MOST_BODY,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        tls_context: "Callable[[], ssl.SSLContext] | None" = None,
        names: Names | None = None,
    ) -> None:
        self._address = address
        self._proxy = proxy
        self._wait = wait
        self._log = log
        self._most_body = most_body
        self._clock = clock
        self._wall_clock = wall_clock
        self._make_tls_context = tls_context
        self._tls_context: ssl.SSLContext | None = None
        self._names = names or Names(wait, clock)
        self._connection: Stream | None = None
        self._spare: list[Stream] = []
        self._begun: set[Stream] = set()
        self._idle_since = (0.0, 0.0)

    def exchange(self, request: bytes, timeout_s: float) -> Response:
        """Sends a request, head and body, and reads its answer.

        A kept connection that fails before any byte of the answer came is replaced once: the server had hung
        up, or the environment was frozen, and neither says anything of the destination.

        Raises:
            ExchangeError: There is none, or not in time.
        """
        until = self._clock() + timeout_s
        kept = self._kept()
        if kept is not None:
            reader = self._reader()
            try:
                return self._talk(kept, request, reader, until)
            except ExchangeError as exc:
                if reader.has_begun or exc.reason == "timeout":
                    raise
                self._log.debug("shipper.connection_replaced", reason=exc.reason)
        return self._talk(self._opened(until), request, self._reader(), until)

    def begin(self, request: bytes, within_s: float, timeout_s: float) -> Callable[[], Response]:
        """Sends a request beside the connection that is kept; what is returned reads its answer, or raises as above.

        Raises:
            ExchangeError: It cannot be sent, or not in `within_s`.
        """
        now = self._clock()
        sent_by = now + min(within_s, timeout_s)
        connection = self._spare.pop() if self._spare else None
        if connection is None or not connection.is_idle():
            if connection is not None:
                connection.close()
            connection = self._opened(sent_by)
        try:
            sent = connection.send(request, sent_by)
        except BaseException:
            connection.close()
            raise
        self._begun.add(connection)
        return lambda: self._finished(connection, now + timeout_s, is_whole=sent)

    def _finished(self, connection: Stream, until: float, *, is_whole: bool) -> Response:
        """The answer to a request that was begun."""
        is_kept = False
        try:
            response = _read(connection, self._reader(), until)
            is_kept = is_whole and response.is_reusable
        finally:
            self._begun.discard(connection)
            if is_kept:
                self._spare.append(connection)
            else:
                connection.close()
        return response

    def close(self) -> None:
        """Hangs up, if connected."""
        for connection in (*self._spare, *self._begun):
            connection.close()
        self._spare.clear()
        self._begun.clear()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _reader(self) -> ResponseReader:
        return ResponseReader(most_body=self._most_body)

    def _kept(self) -> Stream | None:
        """The connection from before, if it is still good."""
        connection = self._connection
        if connection is None:
            return None
        monotonic, wall = self._idle_since
        idle_s = max(self._clock() - monotonic, self._wall_clock() - wall)
        if idle_s <= MOST_IDLE_S and connection.is_idle():
            return connection
        reason = "idle" if idle_s > MOST_IDLE_S else "closed_by_peer"
        self._log.debug("shipper.connection_replaced", reason=reason, idle_s=round(idle_s, 1))
        self.close()
        return None

    def _talk(self, connection: Stream, request: bytes, reader: ResponseReader, until: float) -> Response:
        """One request and its answer; the connection is kept only if it is fit for another."""
        self._connection = None
        is_kept = False
        try:
            sent = connection.send(request, until)
            response = _read(connection, reader, until)
            is_kept = sent and response.is_reusable
        finally:
            if is_kept:
                self._connection = connection
                self._idle_since = (self._clock(), self._wall_clock())
            else:
                connection.close()
                self._log.debug("shipper.connection_closed", destination=self._address.label)
        return response

    def _opened(self, until: float) -> Stream:
        started = self._clock()
        connection = self._connected(self._proxy or self._address, until)
        stream: Stream = connection
        try:
            if self._proxy is not None:
                _tunnel(connection, self._proxy, self._address, until)
            if self._address.is_tls:
                from shipper.transport import tls

                if self._tls_context is None:
                    self._tls_context = (self._make_tls_context or tls.default_context)()
                stream = tls.TlsConnection(connection, self._tls_context, self._address.host, until)
        except BaseException:
            connection.close()
            raise
        if self._log.is_debug:
            self._log.debug(
                "shipper.connection_opened",
                destination=self._address.label,
                proxy=self._proxy.host_port if self._proxy else "",
                took_ms=round((self._clock() - started) * 1000, 1),
            )
        return stream

    def _connected(self, server: Address, until: float) -> Connection:
        """A connection to the first of the server's addresses that takes one; each gets its share of the time."""
        addresses = self._names.addresses(server.host, server.port, until)
        failure = ExchangeError("resolve", "no address")
        for tried, address in enumerate(addresses):
            try:
                return Connection.open(address, self._wait, self._share(until, len(addresses) - tried))
            except ExchangeError as exc:
                failure = exc
        self._names.forget(server.host, server.port)
        raise failure

    def _share(self, until: float, among: int) -> float:
        now = self._clock()
        return now + (until - now) / among


def _read(connection: Stream, reader: ResponseReader, until: float) -> Response:
    while True:
        data = connection.receive(until)
        if not data:
            return reader.closed()
        response = reader.feed(data)
        if response is not None:
            return response
        connection.acknowledge()


def _tunnel(connection: Stream, proxy: Address, address: Address, until: float) -> None:
    """Asks a proxy for a tunnel.

    Raises:
        ExchangeError: It does not open one.
    """
    connection.send(connect_request(proxy, address), until)
    response = _read(connection, ResponseReader(head_only=True), until)
    if response.status not in _SUCCESS:
        raise ExchangeError("proxy", f"status_{response.status}")
