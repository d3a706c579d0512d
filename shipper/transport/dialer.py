"""Connects to a server that may have several addresses: one attempt after another, and the first to succeed wins.

An address that drops packets costs a moment and not the whole time ("Happy Eyeballs", RFC 8305): the next one is tried
beside it. The last good one comes first.
"""

import _socket
import os
import select
import time
from collections.abc import Callable, Iterable

from lifecycle.contract.quick import suppress
from shipper.errors import ExchangeError
from shipper.transport.connection import Connection
from shipper.transport.resolver import Resolver, SockAddress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.transport.interfaces import Timing

# Between two attempts (RFC 8305, section 5), and as a share of the time, where that is short.
ATTEMPT_DELAY_S = 0.25
ATTEMPT_SHARE = 1 / 8

# Of the addresses of a name: more are not tried at once.
MOST_ADDRESSES = 6


class Dialer:
    """Connects to one server.

    Args:
        host: Name or numeric address.
        port: Where it listens.
        timing: Bounds every wait.
        resolver: Looks up names.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        host: str,
        port: int,
        timing: "Timing",
        resolver: Resolver,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host = host
        self._port = port
        self._timing = timing
        self._resolver = resolver
        self._clock = clock
        self._last_good: SockAddress | None = None

    def connected(self, until: float) -> Connection:
        """A connection to the first of the server's addresses that takes one.

        Raises:
            ExchangeError: `resolve`, `connect` or `timeout`.
        """
        addresses = self._resolver.addresses(self._host, self._port, until)
        order = alternating(addresses)[:MOST_ADDRESSES]
        if self._last_good in order:
            order.remove(self._last_good)
            order.insert(0, self._last_good)
        try:
            sock, address = self._raced(order, until)
        except ExchangeError:
            self._last_good = None
            self._resolver.forget(self._host, self._port)
            raise
        self._last_good = address
        return Connection(sock, self._timing, shown(address))

    def _raced(self, addresses: list[SockAddress], until: float) -> "tuple[_socket.socket, SockAddress]":
        race = _Race()
        waiting = addresses[::-1]
        delay_s = min(ATTEMPT_DELAY_S, (until - self._clock()) * ATTEMPT_SHARE)
        try:
            while True:
                if waiting:
                    race.add(waiting.pop())
                won = race.won()
                if won is not None:
                    return won
                if not race.under_way:
                    if not waiting:
                        raise race.failure
                    continue
                turn = min(until, self._clock() + delay_s) if waiting else until
                if not self._timing.wait(race.fd, select.POLLIN, turn) and (not waiting or self._clock() >= until):
                    tried = ", ".join(map(shown, race.under_way.values()))
                    raise ExchangeError("timeout", f"connecting to {tried}")
        finally:
            race.close()


class _Race:
    """Attempts that are under way.

    Attributes:
        fd: Readable when one of them has come to an end.
        under_way: Address of each, by descriptor.
        failure: Why the last one failed.
    """

    def __init__(self) -> None:
        self._poll = select.epoll()
        self.fd = self._poll.fileno()
        self._sockets: dict[int, _socket.socket] = {}
        self.under_way: dict[int, SockAddress] = {}
        self.failure = ExchangeError("resolve", "no address")

    def add(self, address: SockAddress) -> None:
        """Begins an attempt."""
        try:
            sock = _socket.socket(address[0], _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        except OSError as exc:
            self.failure = _failed(exc, address)
            return
        fd = sock.fileno()
        self._sockets[fd] = sock
        try:
            sock.setblocking(False)
            # A request is written whole; its last piece must not wait for an acknowledgement.
            sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
            with suppress(BlockingIOError):
                sock.connect(address[1])
            self._poll.register(fd, select.EPOLLOUT)
            self.under_way[fd] = address
        except OSError as exc:
            self.failure = _failed(exc, address)
            self._sockets.pop(fd).close()

    def won(self) -> "tuple[_socket.socket, SockAddress] | None":
        """The first that is connected, which is the caller's from now on; those that failed are over."""
        for fd, _ in self._poll.poll(0):
            address = self.under_way.pop(fd)
            sock = self._sockets.pop(fd)
            self._poll.unregister(fd)
            error = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
            if not error:
                return sock, address
            sock.close()
            self.failure = _failed(OSError(error, os.strerror(error)), address)
        return None

    def close(self) -> None:
        """Ends those that did not win."""
        for sock in self._sockets.values():
            sock.close()
        self._poll.close()


def alternating(addresses: Iterable[SockAddress]) -> list[SockAddress]:
    """Addresses in the order of the system's preference, but one of each family in turn (RFC 8305, section 4)."""
    by_family: dict[int, list[SockAddress]] = {}
    for address in addresses:
        by_family.setdefault(address[0], []).append(address)
    order: list[SockAddress] = []
    while any(by_family.values()):
        order += [found.pop(0) for found in by_family.values() if found]
    return order


def shown(address: SockAddress) -> str:
    """An address as it may be said: host and port."""
    host, port, *_ = address[1]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


def _failed(error: OSError, address: SockAddress) -> ExchangeError:
    return ExchangeError("connect", f"{error.strerror}, {shown(address)}")
