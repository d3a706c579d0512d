"""Serves what came by the connections: keeps batches, refuses problems, writes answers, in order.

Touches no socket: answers are added to a peer's `unsent`. When the backlog is full, batches wait in one line, so that
they are kept in the order in which they came. One that waited goes to the spool where there is one; an HTTP batch that
waited too long is answered 503, and the platform keeps it. Lines are never answered: they wait in the kernel, and hold
back the platform.
"""

import math
from collections import deque

import msgspec

from collector import answers
from collector.batch import BadBatchError
from collector.connection import Held, Peer
from collector.messages import Batch, Body, Continue, Lines, Problem
from collector.refusals import Refusals
from collector.store import Keeper
from collector.timeouts import Patience
from lifecycle.contract.frames import BacklogFullError
from lifecycle.contract.log import Log

_STATUS = {"too_large": 413, "too_many": 413}


# A connection that brought so many problems and nothing to keep is closed: each costs the supervisor a report.
MOST_REFUSED = 16


class Service:
    """Answers for what came.

    Args:
        keeper: Keeps batches.
        refusals: Reports problems.
        patience: How long a batch waits for room.
        log: Where to follow a batch.
    """

    def __init__(self, keeper: Keeper, refusals: Refusals, patience: Patience, log: Log) -> None:
        self._keeper = keeper
        self._refusals = refusals
        self._patience = patience
        self._log = log
        self._line: deque[Peer] = deque()
        # Why the last batch that was to go there was not taken by the spool.
        self._spool_error = ""

    @property
    def is_holding(self) -> bool:
        """Whether a batch waits for room."""
        return bool(self._line)

    @property
    def due_s(self) -> float:
        """Awake time when the first in line has waited long enough for what comes next; infinite when nothing does."""
        head = self._line[0] if self._line else None
        if head is None or head.held is None:
            return math.inf
        if self._keeper.can_spill and not head.held.has_tried_spool:
            return head.held.since_s + self._patience.spill_s
        return math.inf if head.is_lines else head.held.since_s + self._patience.hold_s

    def work(self, peer: Peer, now_s: float) -> None:
        """Serves what came by a connection, up to a batch that must wait."""
        while peer.items and peer.held is None and not peer.is_ending:
            match peer.items.popleft():
                case Batch(body, keep_alive):
                    self._take(peer, body, now_s, keep_alive=keep_alive)
                case Lines(lines):
                    prepared, problems = self._keeper.prepare_lines(lines, connection=peer.number)
                    for problem in problems:
                        self.refuse(peer, problem)
                    if prepared is not None:
                        self._keep(peer, Held(prepared, keep_alive=True, since_s=now_s))
                case Continue():
                    peer.unsent += answers.CONTINUE
                case Problem() as problem:
                    self.refuse(peer, problem)

    def release(self, through: int, now_s: float) -> list[Peer]:
        """Everything before `through` is delivered; returns the peers whose batch need not wait any longer."""
        self._keeper.release(through)
        return self.advance(now_s)

    def advance(self, now_s: float) -> list[Peer]:
        """Keeps what waits and has room now, refuses what waited too long; returns the peers it was."""
        moved = []
        while self._line:
            peer = self._line[0]
            held = peer.held
            if held is not None and not self._try(peer, held):
                if now_s < self.due_s:
                    break
                if self._keeper.can_spill and not held.has_tried_spool:
                    held.has_tried_spool = True
                    continue
                size = len(held.prepared.envelope.payload)
                got = f"{size} bytes, and a full backlog for {self._patience.hold_s:g} s"
                if held.has_tried_spool:
                    got += f"; the spool: {self._spool_error}"
                self.refuse(peer, Problem("full", 503, got, "room in the backlog", size, held.keep_alive))
            peer.held = None
            self._line.popleft()
            self.work(peer, now_s)
            moved.append(peer)
        return moved

    def refuse(self, peer: Peer, problem: Problem) -> None:
        """Reports a problem and answers it where there are answers."""
        self._introduce(peer)
        self._refusals.note(problem, connection=peer.number)
        if problem.status:
            peer.refused += problem.reason != "full"  # that one is ours
            if peer.refused >= MOST_REFUSED:
                problem = msgspec.structs.replace(problem, keep_alive=False)
            peer.unsent += answers.refused(problem)
        peer.is_ending = not problem.keep_alive

    def _take(self, peer: Peer, body: Body, now_s: float, *, keep_alive: bool) -> None:
        try:
            prepared = self._keeper.prepare(body, connection=peer.number)
        except BadBatchError as error:
            self._refuse_batch(peer, error, len(body), keep_alive=keep_alive)
            return
        if prepared is None:
            self._acknowledge(peer, keep_alive=keep_alive)
        else:
            self._keep(peer, Held(prepared, keep_alive, now_s))

    def _keep(self, peer: Peer, held: Held) -> None:
        """Keeps a batch, at once or when those before it are."""
        self._introduce(peer)
        if not self._line and self._try(peer, held):
            return
        peer.held = held
        self._line.append(peer)
        if self._log.is_debug:
            self._log.debug(
                "collector.batch_held",
                connection=peer.number,
                body_bytes=len(held.prepared.envelope.payload),
                reason="full" if len(self._line) == 1 else "behind_another",
                waiting=len(self._line),
            )

    def _try(self, peer: Peer, held: Held) -> bool:
        """Keeps or refuses a batch and answers; False when there is no room now."""
        try:
            self._keeper.store(held.prepared, spills=held.has_tried_spool)
            peer.has_kept, peer.refused = True, 0
        except BacklogFullError as exc:
            if held.has_tried_spool:
                self._spool_error = str(exc)
            return False
        except BadBatchError as error:
            size = len(held.prepared.envelope.payload)
            self._refuse_batch(peer, error, size, keep_alive=held.keep_alive)
            return True
        self._acknowledge(peer, keep_alive=held.keep_alive)
        return True

    def _acknowledge(self, peer: Peer, *, keep_alive: bool) -> None:
        if not peer.is_lines:
            peer.unsent += answers.taken(keep_alive=keep_alive)
            peer.is_ending = not keep_alive

    def _refuse_batch(self, peer: Peer, error: BadBatchError, body_bytes: int, *, keep_alive: bool) -> None:
        status = 0 if peer.is_lines else _STATUS.get(error.reason, 400)
        self.refuse(peer, Problem(error.reason, status, error.got, error.expected, body_bytes, keep_alive))

    def _introduce(self, peer: Peer) -> None:
        """Names a connection in the log once it is of interest: one that brings our own lines never is."""
        if self._log.is_debug and not peer.is_named:
            peer.is_named = True
            self._log.debug("collector.connection_accepted", connection=peer.number)
