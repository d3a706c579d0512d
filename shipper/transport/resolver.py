"""Host names to addresses, in bounded time.

getaddrinfo(3) takes as long as it likes, so a name that is neither numeric nor in /etc/hosts is looked up in a
thread, and only the wait for it is bounded. A lookup that outlives its wait goes on, and the next try uses it.
"""

import _socket
import _thread
import os
import select
import time
from collections.abc import Callable

from shipper.errors import ExchangeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from shipper.transport.interfaces import Timing

# A backend behind a balancer changes its addresses now and then. Connecting is rare: connections are kept.
KEPT_S = 300.0

# Family and address, as connect(2) takes them.
SockAddress = tuple[int, tuple[object, ...]]


def _getaddrinfo(host: str, *rest: int) -> "list[Any]":
    """The system's. A text would load the codec of IDNA with its tables, several ms, though most names need none."""
    return _socket.getaddrinfo(host.encode() if host.isascii() else host, *rest)


class Resolver:
    """Looks up names and remembers the answers.

    Args:
        timing: Bounds the wait for a lookup.
        clock: Monotonic seconds.
        getaddrinfo: The system's, unless a test stands in.
        hosts: The file of names that need no network.
    """

    def __init__(
        self,
        timing: "Timing",
        clock: Callable[[], float] = time.monotonic,
        getaddrinfo: "Callable[..., list[Any]]" = _getaddrinfo,
        hosts: str = "/etc/hosts",
    ) -> None:
        self._timing = timing
        self._clock = clock
        self._getaddrinfo = getaddrinfo
        self._hosts = hosts
        self._known: dict[tuple[str, int], tuple[float, list[SockAddress]]] = {}
        self._pending: dict[tuple[str, int], _Lookup] = {}

    def addresses(self, host: str, port: int, until: float) -> list[SockAddress]:
        """Family and socket address of each way to reach `host`, the system's preference first.

        Raises:
            ExchangeError: `resolve` when there is none, `timeout` when it is not known in time.
        """
        expires, found = self._known.get((host, port), (0.0, []))
        if found and self._clock() < expires:
            return found
        try:
            if _is_numeric(host):
                found = self._looked_up(host, port, _socket.AI_NUMERICHOST)
            elif self._is_in_hosts(host):
                found = self._looked_up(host, port, 0)
            else:
                found = self._threaded(host, port, until)
        except OSError as exc:
            raise ExchangeError("resolve", str(exc.strerror or exc)) from exc
        except (UnicodeError, RuntimeError) as exc:  # a name that IDNA refuses; no thread to be had
            raise ExchangeError("resolve", str(exc)) from exc
        self._known[host, port] = (self._clock() + KEPT_S, found)
        return found

    def forget(self, host: str, port: int) -> None:
        """The addresses did not work: the next lookup asks again."""
        self._known.pop((host, port), None)

    def _looked_up(self, host: str, port: int, flags: int) -> list[SockAddress]:
        infos = self._getaddrinfo(host, port, 0, _socket.SOCK_STREAM, 0, flags)
        return [(family, address) for family, _, _, _, address in infos]

    def _threaded(self, host: str, port: int, until: float) -> list[SockAddress]:
        lookup = self._pending.get((host, port))
        if lookup is None:
            lookup = self._pending[host, port] = _Lookup(lambda: self._looked_up(host, port, _socket.AI_ADDRCONFIG))
        if not self._timing.wait(lookup.done, select.POLLIN, until):
            raise ExchangeError("timeout", f"resolving {host}")
        del self._pending[host, port]
        return lookup.result()

    def _is_in_hosts(self, host: str) -> bool:
        try:
            with open(self._hosts, "rb") as file:  # noqa: PTH123 - pathlib is not imported here
                lines = file.read().splitlines()
        except OSError:
            return False
        name = host.lower().encode()
        return any(name in line.partition(b"#")[0].lower().split()[1:] for line in lines)


class _Lookup:
    """A lookup in a thread; `done` is readable once it is finished."""

    def __init__(self, look_up: Callable[[], list[SockAddress]]) -> None:
        self._look_up = look_up
        self._found: list[SockAddress] = []
        self._error: OSError | None = None
        self.done, self._finished = os.pipe()
        try:
            _thread.start_new_thread(self._run, ())
        except BaseException:
            os.close(self.done)
            os.close(self._finished)
            raise

    def _run(self) -> None:
        try:
            self._found = self._look_up()
        except OSError as exc:
            self._error = exc
        except UnicodeError as exc:  # a label too long for the encoding of names
            self._error = OSError(0, str(exc))
        finally:
            os.close(self._finished)

    def result(self) -> list[SockAddress]:
        """What was found. Raises what was raised."""
        os.close(self.done)
        if self._error is not None:
            raise self._error
        return self._found


def _is_numeric(host: str) -> bool:
    if ":" in host:
        return True
    try:
        _socket.inet_aton(host)
    except OSError:
        return False
    return True
