"""Connections to one server: kept from request to request and, when they went stale, replaced.

Owns the connections. A request is bounded as a whole: name resolution, proxy, TLS handshake, the request and its
answer share one time. None of them may use it up: nothing is sent whose answer could not be waited for, and a
connection from before that is silent makes way for a new one while there is time for that.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from lifecycle.contract.log import Log
from lifecycle.contract.quick import suppress
from shipper.errors import ExchangeError, PendingError
from shipper.transport.address import Address
from shipper.transport.dialer import Dialer
from shipper.transport.proxy import connect_request
from shipper.transport.resolver import Resolver
from shipper.transport.response import MOST_BODY, Response, ResponseReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _ssl import _SSLContext as Context

    from shipper.transport.connection import Connection
    from shipper.transport.interfaces import Stream, Timing

# Balancers drop idle connections after 60 s and more, some without a word; a request on such a one would spend
# its share of the time before that shows.
MOST_IDLE_S = 50.0

# Connections kept: as many as requests that are ever under way at once.
MOST_KEPT = 6

# Of the time for a request, what may go before it is sent.
SET_UP_SHARE = 3 / 4

# Of the time for a request, what a connection from before may be silent, and never less than this: an answer may be
# slow, and who sends again too soon sends twice. One that takes some time as a rule is given several times that.
REUSED_SHARE = 1 / 4

# Likewise, on one that owes an answer from an earlier shipment.
LATE_SHARE = 1 / 4

# So long after a request its answer is waited for, also in further shipments, where its server has it: that is slow
# rather than dead, and to ask again takes as long. The last shipment leaves time to do so nevertheless. Where a request
# that was made after it has been answered, this one's answer will hardly come.
LATE_S = 2.0
MOST_LATE_SHARE = 3 / 4
LEAST_REUSED_S = 0.25
_TIMES_AS_USUAL = 5

# Requests made within so long were made together: that one is answered says nothing of the other's answer.
TOGETHER_S = 0.25

# Of the time for a request, what writing it to a connection from before may take.
SENDING_SHARE = 1 / 2

# With less left nobody answers, wherever he is.
LEAST_TIME_S = 0.005

# What an answer that was slow still counts for with each one after it.
_FORGETTING = 0.9

# Up to this size head and body are joined, which costs less than another call of the kernel; more is not copied.
SMALL_BYTES = 16_384

_SUCCESS = range(200, 300)


class Pool:
    """Talks to one server.

    Args:
        address: The server.
        proxy: Reached through this, if not None.
        timing: Bounds every wait.
        log: Says what becomes of connections, where no request's own does.
        most_body: Bytes of an answer's body that are kept.
        clock: Monotonic seconds.
        wall_clock: Seconds since the epoch; tells a freeze that the monotonic clock slept through.
        tls_context: Makes the TLS context; the default one verifies certificate and name.
        resolver: Looks up names.
    """

    def __init__(
        self,
        address: Address,
        proxy: Address | None,
        timing: "Timing",
        log: Log,
        *,
        most_body: int = MOST_BODY,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        tls_context: "Callable[[], Context] | None" = None,
        resolver: Resolver | None = None,
    ) -> None:
        self._address = address
        self._proxy = proxy
        self._timing = timing
        self._log = log.bind(destination=address.label)
        self._most_body = most_body
        self._clock = clock
        self._wall_clock = wall_clock
        self._tls_context = tls_context
        server = proxy or address
        self._dialer = Dialer(server.host, server.port, timing, resolver or Resolver(timing, clock), clock)
        # Those that are idle, the last used last, each with the moment since when: monotonic, and on the wall.
        self._kept: list[tuple[Stream, float, float]] = []
        # Each with the log of the request that it is busy with.
        self._busy: dict[Stream, Log] = {}
        # What the slowest of the last answers took, forgotten by and by; with how long others have been waited for that
        # did not come yet.
        self._slowest_s = self._usual_s = 0.0
        # Since when the last request that was answered had been waited for.
        self._answered_since = 0.0

    def exchange(self, write: Callable[[], Sequence[bytes]], timeout_s: float, log: Log | None = None) -> Response:
        """Sends a request, head and body, and reads its answer.

        Args:
            write: Makes the request, head and body, anew for each time that it is sent.
            timeout_s: Longest time for all of it.
            log: The request's.

        Raises:
            ExchangeError: There is none, or not in time.
        """
        return self.begin(write, timeout_s, timeout_s, log)()

    def begin(
        self, write: Callable[[], Sequence[bytes]], within_s: float, timeout_s: float, log: Log | None = None
    ) -> Callable[[], Response]:
        """Sends a request; what is returned reads its answer, or raises as above.

        A connection from before that fails before any byte of the answer came, or is silent for too long, is replaced
        once: the server had hung up, or something on the way had forgotten the connection, or the environment was
        frozen, and none of them says anything of the destination.

        Raises:
            ExchangeError: It cannot be sent, or not in `within_s`.
        """
        request = _Timed(self._clock(), timeout_s, self._timing.time_left_s(), log or self._log)
        if request.time_s < self._least_s():
            raise ExchangeError("deadline", "no time left for an answer")
        sent_by = request.started + min(within_s, request.time_s)
        stream = self._idle(request.log)
        if stream is not None:
            try:
                is_whole = self._sent(stream, write(), min(sent_by, request.share(SENDING_SHARE)), request.log)
            except ExchangeError as exc:
                request.log.debug("shipper.connection_replaced", reason=exc.reason)
            else:
                return lambda: self._answered_or_replaced(stream, write, request, is_whole=is_whole)
        return self._begun_anew(write, request, sent_by)

    def warm(self) -> None:
        """Loads now what the first connection would load: TLS, and the authorities that are trusted.

        What keeps it from that is the first connection's to meet and to say.
        """
        if self._address.is_tls:
            with suppress(Exception):
                from shipper.transport import tls, trust  # noqa: F401

                (self._tls_context or trust.context_of)()

    def close(self) -> None:
        """Hangs up."""
        for stream in (*self._busy, *[stream for stream, _, _ in self._kept]):
            stream.close()
        self._busy.clear()
        self._kept.clear()

    def _begun_anew(
        self, write: Callable[[], Sequence[bytes]], request: "_Timed", sent_by: float
    ) -> Callable[[], Response]:
        """Sends a request on a connection of its own; what is returned reads its answer."""
        now = self._clock()
        stream = self._opened(min(sent_by, now + (sent_by - now) * SET_UP_SHARE), request.log)
        if self._timing.time_left_s() < self._least_s():
            self._keep(stream)
            raise ExchangeError("deadline", "no time left for an answer")
        is_whole = self._sent(stream, write(), sent_by, request.log)
        asked = self._clock()
        return lambda: self._answered(stream, self._reader(), request.until, is_whole=is_whole, asked=asked)

    def _answered_or_replaced(
        self, stream: "Stream", write: Callable[[], Sequence[bytes]], request: "_Timed", *, is_whole: bool
    ) -> Response:
        reader = self._reader()
        try:
            first = self._first(stream, request)
            began = request.started
            return self._answered(
                stream, reader, request.until, is_whole=is_whole, first=first, asked=began, started=began
            )
        except PendingError:
            raise
        except ExchangeError as exc:
            if reader.has_begun or exc.reason == "timeout":
                raise
            reason = exc.reason
        request.log.debug("shipper.connection_replaced", reason=reason)
        sent_by = min(request.until, self._clock() + self._timing.time_left_s())
        return self._begun_anew(write, request, sent_by)()

    def _first(self, stream: "Stream", request: "_Timed") -> bytes | None:
        """What comes first on a connection from before; None if nothing has come, and it is to be waited for.

        Raises:
            ExchangeError: `silent`: it is time to try another one instead. Or what `Stream.receive` raises.
        """
        silent_until = max(request.share(REUSED_SHARE), request.started + LEAST_REUSED_S)
        try:
            return stream.receive(min(silent_until, request.until))
        except ExchangeError as exc:
            if exc.reason != "timeout":
                self._drop(stream)
                raise
        # Its kernel has what was written: it is the server that takes its time, as it may do as a rule.
        usual_until = min(request.started + _TIMES_AS_USUAL * self._usual_s, request.until)
        if usual_until > silent_until and stream.is_acknowledged() and stream.has_come(usual_until):
            return None
        if self._timing.time_left_s() <= 2 * max(self._usual_s, self._least_s()):
            return None
        self._drop(stream)
        raise ExchangeError("silent")

    def _least_s(self) -> float:
        """Less time than this is too little to hear an answer in."""
        return max(LEAST_TIME_S, min(self._usual_s, LEAST_REUSED_S))

    def _reader(self) -> ResponseReader:
        return ResponseReader(most_body=self._most_body)

    def _idle(self, log: Log) -> "Stream | None":
        """A connection from before, if there is one that is still good."""
        while self._kept:
            stream, monotonic, wall = self._kept.pop()
            idle_s = max(self._clock() - monotonic, self._wall_clock() - wall)
            if idle_s <= MOST_IDLE_S and stream.is_idle():
                return stream
            stream.close()
            reason = "idle" if idle_s > MOST_IDLE_S else "closed_by_server"
            log.debug("shipper.connection_replaced", reason=reason, idle_s=round(idle_s, 1))
        return None

    def _sent(self, stream: "Stream", pieces: Sequence[bytes], until: float, log: Log) -> bool:
        """Writes a request; whether all of it."""
        self._busy[stream] = log
        if sum(map(len, pieces)) <= SMALL_BYTES:
            pieces = [b"".join(pieces)]
        try:
            return stream.send(pieces, until)
        except BaseException:
            self._drop(stream)
            raise

    def _answered(
        self,
        stream: "Stream",
        reader: ResponseReader,
        until: float,
        *,
        is_whole: bool,
        first: bytes | None = None,
        asked: float,
        started: float | None = None,
        late: "_Late | None" = None,
    ) -> Response:
        """The answer to a request, `first` its first bytes; the connection is kept only if it is fit for another.

        It was made at `asked`. `started` is since when it has been waited for, if not just now: from it the pool learns
        what answers take. What earlier shipments know of the request is in `late`.
        """
        started = self._clock() if started is None else started
        waited_s = late.waited_s if late else 0.0
        is_kept = is_pending = False
        try:
            try:
                response = _read(stream, reader, until, first)
            except ExchangeError as exc:
                if exc.reason == "timeout" and not reader.has_begun and self._timing.time_left_s() <= 0:
                    is_pending = True
                    waited_s += self._clock() - started
                    self._usual_s = max(self._usual_s, waited_s)
                    raise self._pending(_Late(stream, asked, waited_s, until, exc.detail, is_whole)) from exc
                raise
            # The kernel here takes what the server's has no room for: what is not acknowledged was not read.
            is_whole = is_whole and stream.is_acknowledged()
            is_kept = is_whole and response.is_reusable
        finally:
            if not is_pending:
                if is_kept and len(self._kept) < MOST_KEPT:
                    self._keep(stream)
                else:
                    self._drop(stream)
        took_s = waited_s + self._clock() - started
        self._slowest_s = max(took_s, self._slowest_s * _FORGETTING)
        self._usual_s = max(took_s, self._usual_s * _FORGETTING)
        self._answered_since = max(self._answered_since, asked)
        return response if is_whole else msgspec.structs.replace(response, is_early=True)

    def _pending(self, late: "_Late") -> PendingError:
        return PendingError(late.doing, partial(self._answered_late, late))

    def _answered_late(self, late: "_Late") -> Response:
        """The answer to a request for which an earlier shipment had no more time; what has come is read first.

        Raises:
            ExchangeError: `deadline`: nothing comes, and there is time to make the request anew.
        """
        stream, began = late.stream, self._clock()
        left_s = self._timing.time_left_s()
        # What not even the server's kernel has by now will not be answered.
        is_there = stream.is_acknowledged() or began - late.asked < LEAST_REUSED_S
        wait_s = left_s * LATE_SHARE if is_there else 0.0
        if late.asked + TOGETHER_S < self._answered_since:
            wait_s = min(wait_s, LEAST_REUSED_S)
        elif wait_s:
            most_s = left_s
            # A request made anew would not be answered in the rest where the server takes longer than that.
            if self._timing.is_final and left_s * (1 - MOST_LATE_SHARE) > self._slowest_s:
                most_s = left_s * MOST_LATE_SHARE
            wait_s = max(wait_s, min(late.asked + LATE_S - began, most_s))
        if not stream.has_come(began + wait_s):
            late.waited_s += self._clock() - began
            if self._timing.time_left_s() <= 0:
                raise self._pending(late)
            self._drop(stream)
            raise ExchangeError("deadline", late.doing)
        until = max(late.until, self._clock() + left_s)
        return self._answered(
            stream, self._reader(), until, is_whole=late.is_whole, asked=late.asked, started=began, late=late
        )

    def _keep(self, stream: "Stream") -> None:
        self._busy.pop(stream, None)
        self._kept.append((stream, self._clock(), self._wall_clock()))

    def _drop(self, stream: "Stream") -> None:
        stream.close()
        self._busy.pop(stream, self._log).debug("shipper.connection_closed")

    def _opened(self, until: float, log: Log) -> "Stream":
        started = self._clock()
        connection = self._dialer.connected(until)
        stream: Stream = connection
        try:
            if self._proxy is not None:
                _tunnel(connection, self._proxy, self._address, until)
            if self._address.is_tls:
                try:
                    from shipper.transport import tls, trust
                except (ImportError, OSError) as exc:  # a Python whose libssl cannot be loaded
                    raise ExchangeError("tls", str(exc)) from exc
                context = self._tls_context or (lambda: trust.context_of()[0])
                stream = tls.TlsConnection(connection, context, self._address.host, until)
        except BaseException:
            connection.close()
            raise
        if log.is_debug:
            log.debug(
                "shipper.connection_opened",
                proxy=self._proxy.host_port if self._proxy else "",
                took_ms=round((self._clock() - started) * 1000, 1),
            )
        return stream


class _Late(msgspec.Struct, gc=False):
    """A request whose answer an earlier shipment had no more time for.

    Attributes:
        stream: Its connection.
        asked: Since when the answer is waited for, monotonic seconds.
        waited_s: How long it has been, while there was a shipment.
        until: When the request's time is over.
        doing: What was waited for.
        is_whole: Whether all of the request was written.
    """

    stream: "Stream"
    asked: float
    waited_s: float
    until: float
    doing: str
    is_whole: bool


class _Timed:
    """A request: when it began, how long it may take, and where it is told of.

    Args:
        started: Monotonic seconds.
        timeout_s: Longest time for it.
        left_s: Time left for all that is to be done.
        log: The request's.
    """

    def __init__(self, started: float, timeout_s: float, left_s: float, log: Log) -> None:
        self.log = log
        self.started = started
        self.until = started + timeout_s  # the deadline, which may move, is kept by every wait
        self.time_s = min(timeout_s, left_s)

    def share(self, share: float) -> float:
        """The moment at which a share of the time is over."""
        return self.started + self.time_s * share


def _read(stream: "Stream", reader: ResponseReader, until: float, data: bytes | None = None) -> Response:
    try:
        while True:
            if data is None:
                data = stream.receive(until)
            if not data:
                return reader.closed()
            response = reader.feed(data)
            if response is not None:
                return response
            data = None
            stream.acknowledge()
    finally:
        reader.release()


def _tunnel(connection: "Connection", proxy: Address, address: Address, until: float) -> None:
    """Asks a proxy for a tunnel.

    Raises:
        ExchangeError: It does not open one.
    """
    doing, connection.doing = connection.doing, "waiting for the proxy"
    connection.send([connect_request(proxy, address)], until)
    response = _read(connection, ResponseReader(head_only=True), until)
    connection.doing = doing
    if response.status not in _SUCCESS:
        raise ExchangeError("proxy", f"status_{response.status}")
