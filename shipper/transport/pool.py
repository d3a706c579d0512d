"""Requests to one server over one connection that is kept and, when it went stale, replaced.

Owns the connection. A request is bounded as a whole: name resolution, proxy, TLS handshake, the request and its
answer share one time.
"""

import functools
import time
from collections.abc import Callable

from lifecycle.contract.log import Log
from shipper.errors import ExchangeError
from shipper.transport.address import Address
from shipper.transport.connection import Connection
from shipper.transport.resolver import Names, Wait
from shipper.transport.response import Answer, AnswerReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl

# Balancers drop idle connections after 60 s and more, some without a word; a request on such a one would spend
# its whole time before that shows.
MOST_IDLE_S = 50.0


class Transport:
    """Talks to one server.

    Args:
        address: The server.
        proxy: Reached through this, if not None.
        wait: Bounds every wait.
        log: Says what becomes of connections.
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
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        tls_context: "Callable[[], ssl.SSLContext] | None" = None,
        names: Names | None = None,
    ) -> None:
        self._address = address
        self._proxy = proxy
        self._wait = wait
        self._log = log
        self._clock = clock
        self._wall_clock = wall_clock
        self._make_tls_context = tls_context or default_tls_context
        self._tls_context: ssl.SSLContext | None = None
        self._names = names or Names(wait, clock)
        self._connection: Connection | None = None
        self._spare: list[Connection] = []
        self._begun: set[Connection] = set()
        self._idle_since = (0.0, 0.0)

    def exchange(self, request: bytes, timeout_s: float) -> Answer:
        """Sends a request, head and body, and reads its answer.

        A kept connection that fails before any byte of the answer came is replaced once: the peer had hung
        up, or the environment was frozen, and neither says anything of the destination.

        Raises:
            ExchangeError: There is none, or not in time.
        """
        until = self._clock() + timeout_s
        kept = self._kept()
        if kept is not None:
            reader = AnswerReader()
            try:
                return self._talk(kept, request, reader, until)
            except ExchangeError as exc:
                if reader.has_begun or exc.reason == "timeout":
                    raise
                self._log.debug("shipper.connection_replaced", reason=exc.reason)
        return self._talk(self._opened(until), request, AnswerReader(), until)

    def begin(self, request: bytes, within_s: float, timeout_s: float) -> Callable[[], Answer]:
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

    def _finished(self, connection: Connection, until: float, *, is_whole: bool) -> Answer:
        """The answer to a request that was begun."""
        is_kept = False
        try:
            answer = _read(connection, AnswerReader(), until)
            is_kept = is_whole and answer.is_reusable
        finally:
            self._begun.discard(connection)
            if is_kept:
                self._spare.append(connection)
            else:
                connection.close()
        return answer

    def close(self) -> None:
        """Hangs up, if connected."""
        for connection in (*self._spare, *self._begun):
            connection.close()
        self._spare.clear()
        self._begun.clear()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _kept(self) -> Connection | None:
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

    def _talk(self, connection: Connection, request: bytes, reader: AnswerReader, until: float) -> Answer:
        """One request and its answer; the connection is kept only if it is fit for another."""
        self._connection = None
        is_kept = False
        try:
            sent = connection.send(request, until)
            answer = _read(connection, reader, until)
            is_kept = sent and answer.is_reusable
        finally:
            if is_kept:
                self._connection = connection
                self._idle_since = (self._clock(), self._wall_clock())
            else:
                connection.close()
                self._log.debug("shipper.connection_closed", destination=self._address.label)
        return answer

    def _opened(self, until: float) -> Connection:
        started = self._clock()
        server = self._proxy or self._address
        connection = self._connected(server, until)
        try:
            if self._proxy is not None:
                _tunnel(connection, self._proxy, self._address, until)
            if self._address.is_tls:
                if self._tls_context is None:
                    self._tls_context = self._make_tls_context()
                connection.start_tls(self._tls_context, self._address.host, until)
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
        return connection

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


@functools.cache
def default_tls_context() -> "ssl.SSLContext":
    """Verifies certificate and name against the system's authorities, or SSL_CERT_FILE's."""
    import ssl

    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _read(connection: Connection, reader: AnswerReader, until: float) -> Answer:
    while True:
        data = connection.receive(until)
        if not data:
            return reader.closed()
        answer = reader.feed(data)
        if answer is not None:
            return answer
        connection.acknowledge()


def _tunnel(connection: Connection, proxy: Address, address: Address, until: float) -> None:
    """Asks a proxy for a tunnel (RFC 9110, section 9.3.6).

    Raises:
        ExchangeError: It does not open one.
    """
    lines = [f"CONNECT {address.host_port} HTTP/1.1", f"Host: {address.host_port}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    connection.send("\r\n".join([*lines, "", ""]).encode("latin-1"), until)
    answer = _read(connection, AnswerReader(head_only=True), until)
    if answer.status // 100 != 2:  # noqa: PLR2004 - a class of status codes
        raise ExchangeError("proxy", f"status_{answer.status}")
