"""One connection: its socket, what came by it and what is still to go out.

Never decides what to answer (`handler` does) and never waits: the socket does not block.
"""

import _socket
import math
from collections import deque

import msgspec

from collector.messages import Item, payload_bytes
from collector.store import Prepared
from collector.timeouts import Timeouts
from lifecycle.contract.log import Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object

# Reads of a request before others are served again: a body of 256 KiB is taken in one turn, if it is there.
MOST_READS = 5


class Parser(Protocol):
    """What turns a connection's bytes into items."""

    @property
    def is_within(self) -> bool:
        """Whether something has begun and is not complete."""

    @property
    def buffered_bytes(self) -> int:
        """Bytes kept of what is not complete."""

    @property
    def read_bytes(self) -> int:
        """How much to read at once."""

    @property
    def room(self) -> memoryview | None:
        """Where to read to instead, if the parser wants it so."""

    def received(self, count: int) -> list[Item]:
        """So many bytes were read to `room`."""

    def receive(self, data: memoryview | bytes) -> list[Item]:
        """Takes what the peer sent."""

    def finish(self) -> list[Item]:
        """The peer sends no more."""

    def expire(self) -> list[Item]:
        """The peer was too slow."""

    def close(self) -> None:
        """Lets go of what is kept."""


class WaitingBatch(msgspec.Struct):
    """A batch that waits for room in the backlog.

    Attributes:
        prepared: The batch.
        keep_alive: Whether the connection serves another request after its answer.
        since_s: Awake time when the wait began.
        may_spill: Whether it waited long enough to go to the spool.
    """

    prepared: Prepared
    keep_alive: bool
    since_s: float
    may_spill: bool = False


class Connection:
    """One connection.

    Attributes:
        number: Names it in the log.
        items: What is to be answered, in order.
        waiting: The batch that waits for room; nothing else of the connection is served meanwhile.
        unsent: Bytes of answers the peer has not taken.
        is_ending: The last answer is given.
        has_finished: The peer sends no more.
        log: Bound to it; None: the log does not know of it yet.
        has_spoken: It has sent something.
        has_kept: A batch of it was stored: it is the platform's, or as good as.
        is_lines: It sends lines, not requests.
        accepted_s: Awake time when it came.
        progress_s: Awake time of the last byte either way.
        started_s: Awake time of the first byte of what is incomplete; None: nothing is.
        paused_s: Awake time since when we do not read; None: we do.
        lingering_s: Awake time when the last answer was out; None: it is not.
        refused: Problems answered since a batch was stored.
        mask: What epoll watches for; 0: not registered.
        counted_bytes: What the collector's account says of it.
    """

    __slots__ = (
        "accepted_s", "counted_bytes", "fd", "has_finished", "has_kept", "has_spoken", "is_ending", "is_lines",
        "items", "lingering_s", "log", "mask", "number", "parser", "paused_s", "progress_s", "refused", "sock",
        "started_s", "unsent", "waiting",
    )  # fmt: skip

    def __init__(self, sock: _socket.socket, parser: Parser, number: int, now_s: float, *, is_lines: bool) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.parser = parser
        self.number = number
        self.is_lines = is_lines
        self.items: deque[Item] = deque()
        self.waiting: WaitingBatch | None = None
        self.unsent = b""
        self.is_ending = False
        self.has_finished = False
        self.has_spoken = False
        self.has_kept = False
        self.log: Log | None = None
        self.accepted_s = self.progress_s = now_s
        self.started_s: float | None = None
        self.paused_s: float | None = None
        self.lingering_s: float | None = None
        self.refused = 0
        self.mask = 0
        self.counted_bytes = 0

    def named_in(self, log: Log) -> Log:
        """The log bound to this connection, which it names once it is of interest: one with our own lines never is."""
        if self.log is None:
            self.log = log.bind(connection=self.number)
            self.log.debug("collector.connection_accepted")
        return self.log

    @property
    def buffered_bytes(self) -> int:
        """Telemetry it keeps in memory."""
        waiting = len(self.waiting.prepared.envelope.payload) if self.waiting else 0
        return self.parser.buffered_bytes + waiting + (sum(map(payload_bytes, self.items)) if self.items else 0)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way on it."""
        return self.started_s is None and not (self.items or self.waiting or self.unsent)

    @property
    def is_served(self) -> bool:
        """Whether all that came by it is answered and the answers are sent."""
        return not (self.items or self.waiting or self.unsent)

    def receive(self, buffer: memoryview, now_s: float) -> None:
        """Reads what is there of one request, up to `MOST_READS`; what that completes is added to `items`."""
        for _ in range(MOST_READS):
            if not self._read(buffer, now_s) or self.items or not self.parser.is_within:
                return

    def _read(self, buffer: memoryview, now_s: float) -> bool:
        """Reads once; whether there may be more."""
        parser, room = self.parser, None
        if self.lingering_s is not None:
            most = len(buffer)
        elif (room := parser.room) is not None:
            most = len(room)
        else:
            most = min(len(buffer), parser.read_bytes)
        try:
            count = self.sock.recv_into(buffer if room is None else room, most)
        except BlockingIOError:
            return False
        except OSError:
            count = 0
        if self.lingering_s is not None:
            self.has_finished = self.has_finished or not count
            return False
        self.progress_s = now_s
        self.has_spoken = True
        if count:
            self.items += parser.receive(buffer[:count]) if room is None else parser.received(count)
        else:
            self.has_finished = True
            self.items += parser.finish()
        if not parser.is_within:
            self.started_s = None
        elif self.started_s is None or self.items:  # a new request
            self.started_s = now_s
            self._acknowledge()
        return bool(count)

    def _acknowledge(self) -> None:
        """Acknowledges what came at once, since more is to come.

        A peer that writes head and body apart may wait for the first to be acknowledged (RFC 896), and the kernel here
        for something to send with it, 40 ms: an invocation would be held that much longer.
        """
        try:
            self.sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_QUICKACK, 1)
        except OSError:
            return  # it may be gone, which the next read tells

    def send(self, now_s: float) -> None:
        """Sends what it can of `unsent`; a peer that is gone has no use for the rest."""
        try:
            count = self.sock.send(self.unsent)
        except BlockingIOError:
            return
        except OSError:
            self.unsent = b""
            self.is_ending = self.has_finished = True
            return
        self.unsent = self.unsent[count:]
        self.progress_s = now_s

    def end_output(self, now_s: float) -> None:
        """Says that no answer follows, and waits for the peer to close."""
        self.lingering_s = now_s
        self.started_s = None
        self.parser.close()
        try:
            self.sock.shutdown(_socket.SHUT_WR)
        except OSError:
            self.has_finished = True

    def pause(self, now_s: float) -> None:
        """We stop reading: from now on the peer's silence is ours."""
        if self.paused_s is None:
            self.paused_s = now_s

    def resume(self, now_s: float) -> None:
        """We read again: the pause does not count against the peer."""
        if self.paused_s is None:
            return
        if self.started_s is not None:
            self.started_s += now_s - self.paused_s
        self.progress_s = now_s
        self.paused_s = None

    def due_s(self, timeouts: Timeouts, *, is_pressed: bool) -> float:
        """Awake time when the peer was too slow; infinite when nothing is expected of it."""
        if self.lingering_s is not None:
            return self.lingering_s + timeouts.linger_s
        if self.unsent:
            return self.progress_s + (timeouts.pressed_stall_s if is_pressed else timeouts.stall_s)
        if self.started_s is None or self.paused_s is not None:
            return math.inf
        if is_pressed:
            return min(self.progress_s + timeouts.pressed_stall_s, self.started_s + timeouts.pressed_request_s)
        if self.is_lines:  # a stream of lines has no requests, and its platform never connects again
            return math.inf
        return min(self.progress_s + timeouts.stall_s, self.started_s + timeouts.request_s)

    def close(self) -> None:
        """Closes the connection."""
        self.parser.close()
        self.sock.close()
