"""What is answered to what came by a connection: batches are stored, problems refused, in order.

Touches no socket: answers are added to a connection's `unsent`. When the backlog is full, batches wait in one queue, so
that they are stored in the order in which they came. One that waited goes to the spool where there is one; an HTTP
batch that waited too long is answered 503, and the platform keeps it. Lines are never answered: they wait in the
kernel, and hold back the platform.

Source: RFC 9112, section 4.
"""

import math
from collections import deque
from collections.abc import Callable

import msgspec

from collector.batch import BadBatchError
from collector.connection import Connection, WaitingBatch
from collector.messages import Batch, Body, Continue, Lines, Problem
from collector.store import Store
from collector.timeouts import Timeouts
from lifecycle.contract.frames import BacklogFullError
from lifecycle.contract.log import Log
from lifecycle.contract.wire import Crowded, Message, Refused

# A connection that brought so many problems and nothing to keep is closed: each costs the supervisor a report.
MOST_REFUSED = 16

# After this many lines of a kind, more say nothing new; the supervisor's count goes on.
MOST_LINES = 10

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"
OK_AND_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

# Of a batch that is not stored, by reason; 400 for any other.
_STATUS = {"too_large": 413, "too_many": 413}

_PHRASES = {
    400: "Bad Request",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}

# RFC 9110 wants Allow with every 405 (15.5.6); Retry-After tells when a full backlog is worth another try.
_EXTRA_HEADERS = {405: "Allow: POST\r\n", 503: "Retry-After: 1\r\n"}


class Handler:
    """Answers what came.

    Args:
        store: Keeps batches.
        report: Puts a message into the supervisor's pipe.
        timeouts: How long a batch waits for room.
        log: Where to follow a batch. Takes a warning for each problem, up to `MOST_LINES` of a reason, later ones at
            debug.
    """

    def __init__(
        self,
        store: Store,
        report: Callable[[Message], None],
        timeouts: Timeouts,
        log: Log,
    ) -> None:
        # Whether room may be asked for anew: it was not since something changed.
        self._may_ask = True
        self._store = store
        self._report = report
        self._timeouts = timeouts
        self._log = log
        self._queue: deque[Connection] = deque()
        # Why the last batch that was to go there was not taken by the spool.
        self._spool_error = ""
        self._refused: dict[str, int] = {}

    @property
    def has_waiting(self) -> bool:
        """Whether a batch waits for room."""
        return bool(self._queue)

    @property
    def due_s(self) -> float:
        """Awake time when the first in the queue has waited enough for what comes next; infinite when nothing does."""
        first = self._queue[0].waiting if self._queue else None
        if first is None:
            return math.inf
        if self._store.can_spill and not first.may_spill:
            return first.since_s + self._timeouts.spill_s
        return math.inf if self._queue[0].is_lines else first.since_s + self._timeouts.room_s

    def handle(self, connection: Connection, now_s: float) -> None:
        """Handles what came by a connection, up to a batch that must wait."""
        while connection.items and connection.waiting is None and not connection.is_ending:
            match connection.items.popleft():
                case Batch(body, keep_alive):
                    self._take_batch(connection, body, now_s, keep_alive=keep_alive)
                case Lines(lines):
                    prepared, problems = self._store.prepare_lines(lines, lambda: connection.named_in(self._log))
                    for problem in problems:
                        self.refuse(connection, problem)
                    if prepared is not None:
                        self._keep(connection, WaitingBatch(prepared, keep_alive=True, since_s=now_s))
                case Continue():
                    connection.unsent += CONTINUE
                case Problem() as problem:
                    self.refuse(connection, problem)

    def release(self, through: int, now_s: float) -> list[Connection]:
        """Everything before `through` is delivered; returns the connections whose batch need not wait any longer."""
        self._store.release(through)
        self._may_ask = True
        return self.advance(now_s)

    def advance(self, now_s: float) -> list[Connection]:
        """Stores what waits and has room now, refuses what waited too long; returns the connections it was."""
        moved = []
        while self._queue:
            connection = self._queue[0]
            batch = connection.waiting
            if batch is not None and not self._try_to_keep(connection, batch):
                if now_s < self.due_s:
                    break
                if self._store.can_spill and not batch.may_spill:
                    batch.may_spill = True
                    continue
                size = len(batch.prepared.envelope.payload)
                got = f"{size} bytes, and a full backlog for {self._timeouts.room_s:g} s"
                if batch.may_spill:
                    got += f"; the spool: {self._spool_error}"
                self.refuse(connection, Problem("full", 503, got, "room in the backlog", size, batch.keep_alive))
            connection.waiting = None
            self._queue.popleft()
            self.handle(connection, now_s)
            moved.append(connection)
        return moved

    def refuse(self, connection: Connection, problem: Problem) -> None:
        """Reports a problem, and answers it where there are answers."""
        self._note(problem, connection.named_in(self._log))
        if problem.status:
            connection.refused += problem.reason != "full"  # that one is ours
            if connection.refused >= MOST_REFUSED:
                problem = msgspec.structs.replace(problem, keep_alive=False)
            connection.unsent += refusal(problem)
        connection.is_ending = not problem.keep_alive

    def _note(self, problem: Problem, log: Log) -> None:
        self._report(Refused(reason=problem.reason, status=problem.status, body_bytes=problem.body_bytes))
        seen = self._refused[problem.reason] = self._refused.get(problem.reason, 0) + 1
        say = log.warning if seen <= MOST_LINES else log.debug
        extra = {"further_lines": "at debug only"} if seen == MOST_LINES else {}
        say(
            "collector.request_refused",
            reason=problem.reason,
            status=problem.status,
            got=problem.got,
            expected=problem.expected,
            body_bytes=problem.body_bytes,
            **extra,
        )

    def _take_batch(self, connection: Connection, body: Body, now_s: float, *, keep_alive: bool) -> None:
        try:
            prepared = self._store.prepare(body, lambda: connection.named_in(self._log))
        except BadBatchError as error:
            self._refuse_batch(connection, error, len(body), keep_alive=keep_alive)
            return
        if prepared is None:
            self._acknowledge(connection, keep_alive=keep_alive)
        else:
            self._keep(connection, WaitingBatch(prepared, keep_alive, now_s))

    def _keep(self, connection: Connection, batch: WaitingBatch) -> None:
        """Stores a batch, at once or when those before it are stored."""
        log = connection.named_in(self._log)
        if not self._queue and self._try_to_keep(connection, batch):
            return
        connection.waiting = batch
        self._queue.append(connection)
        if log.is_debug:
            log.debug(
                "collector.batch_held",
                body_bytes=len(batch.prepared.envelope.payload),
                reason="full" if len(self._queue) == 1 else "behind_another",
                waiting=len(self._queue),
            )

    def _try_to_keep(self, connection: Connection, batch: WaitingBatch) -> bool:
        """Stores or refuses a batch and answers; False when there is no room now."""
        try:
            self._store.store(batch.prepared, spills=batch.may_spill)
        except BacklogFullError as exc:
            if batch.may_spill:
                self._spool_error = str(exc)
            if self._may_ask and (batch.may_spill or not self._store.can_spill):
                self._may_ask = False
                self._report(Crowded())
            return False
        except BadBatchError as error:
            size = len(batch.prepared.envelope.payload)
            self._refuse_batch(connection, error, size, keep_alive=batch.keep_alive)
            return True
        self._may_ask = True
        connection.has_kept, connection.refused = True, 0
        self._acknowledge(connection, keep_alive=batch.keep_alive)
        return True

    def _acknowledge(self, connection: Connection, *, keep_alive: bool) -> None:
        if not connection.is_lines:
            connection.unsent += OK if keep_alive else OK_AND_CLOSE
            connection.is_ending = not keep_alive

    def _refuse_batch(self, connection: Connection, error: BadBatchError, body_bytes: int, *, keep_alive: bool) -> None:
        status = 0 if connection.is_lines else _STATUS.get(error.reason, 400)
        self.refuse(connection, Problem(error.reason, status, error.got, error.expected, body_bytes, keep_alive))


def refusal(problem: Problem) -> bytes:
    """The answer to a request that is not taken: its body is short JSON that says what came and what was expected."""
    body = msgspec.json.encode({"error": problem.reason, "got": problem.got, "expected": problem.expected})
    head = (
        f"HTTP/1.1 {problem.status} {_PHRASES[problem.status]}\r\n"
        f"{_EXTRA_HEADERS.get(problem.status, '')}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Connection: {'keep-alive' if problem.keep_alive else 'close'}\r\n\r\n"
    )
    return head.encode() + (b"" if problem.is_head else body)
