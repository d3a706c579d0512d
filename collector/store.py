"""Keeps batches: reads what a batch is about, writes it to the backlog, and tells the supervisor.

A batch counts as kept once `Stored` is in the pipe: only then may the platform have its answer. One that is
among the last few kept is acknowledged and not kept twice, also when another process kept it.
"""

import _blake2
import time
from collections.abc import Callable, Iterable

import msgspec

from collector.batch import BadBatchError, Envelope, read
from collector.messages import Body, Problem
from lifecycle.contract.backlog import Writer
from lifecycle.contract.frames import DIGEST_BYTES, Frame, FrameTooLargeError
from lifecycle.contract.heap import LARGE_BYTES, give_back_large_blocks
from lifecycle.contract.log import Log
from lifecycle.contract.wire import RECENT_BATCHES, Message, Repeated, Stored

# Lines of one read that are refused one by one; beyond these they are counted together.
MOST_PROBLEMS = 16

# Of a body at once, for its digest: pieces that the heap has room for without growing and shrinking again.
_HASHED_BYTES = 16_384


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A batch that is ready to be written.

    Attributes:
        envelope: The batch and what it says at a glance.
        digest: What tells it from others.
        once: Whether the same batch is not kept twice.
        log: Bound to the connection it came by.
        since_ns: When its reading began, for the log.
    """

    envelope: Envelope
    digest: bytes
    once: bool
    log: "Callable[[], Log]"
    since_ns: int


class Store:
    """Writes batches to the backlog.

    Args:
        writer: The collector's end of the ring.
        send: Puts a message into the supervisor's pipe.
        recent: Digests of the batches kept last, oldest first.
        digest_key: Key of the digests, the same for every process of an environment.
        log: Where to follow a batch.

    Attributes:
        digest_key: As given, until the environment is restored from a snapshot.
        exports_begun: How many OTLP requests are under way, asked when an invocation has ended; None: none are taken.
    """

    def __init__(
        self,
        writer: Writer,
        send: Callable[[Message], None],
        recent: Iterable[bytes],
        digest_key: bytes,
        log: Log,
    ) -> None:
        self._writer = writer
        self._send = send
        self._recent = dict.fromkeys(recent)
        self.digest_key = digest_key
        self.exports_begun: Callable[[], int] | None = None
        self._log = log

    def release(self, through: int) -> None:
        """Everything before `through` is delivered: its room is free."""
        self._writer.release(through)
        if self._log.is_debug:
            used = self._writer.end - self._writer.released
            self._log.debug("collector.backlog_released", through=through, used_bytes=used)

    def prepare(self, body: Body, log: Callable[[], Log] | None = None) -> Prepared | None:
        """Reads a request body; None when there is nothing to keep of it, and it is to be acknowledged.

        Args:
            body: Of the request.
            log: Makes a log bound to the connection it came by; called when something is said.

        Raises:
            BadBatchError: It is not a JSON array.
        """
        since_ns = time.perf_counter_ns()
        if len(body) >= LARGE_BYTES:
            give_back_large_blocks()
        digest = digest_of(body, self.digest_key)
        envelope = read(body)
        if not envelope.events or envelope.is_own:
            return None
        prepared = self._prepared(envelope, digest, log, since_ns, once=True)
        return None if self._is_repeated(prepared) else prepared

    def prepare_lines(
        self, lines: list[bytes], log: Callable[[], Log] | None = None
    ) -> tuple[Prepared | None, list[Problem]]:
        """Joins lines into one array; None when nothing is to be kept. Malformed lines are refused one by one."""
        since_ns = time.perf_counter_ns()
        problems: list[Problem] = []
        envelope = _joined(lines) if all(line.startswith(b"{") for line in lines) else None
        if envelope is None or envelope.events != len(lines):  # a broken line, or two that are one only when joined
            sound, problems = _sorted_out(lines)
            envelope = _joined(sound) if sound else None
        if envelope is None or envelope.is_own:
            return None, problems
        if len(envelope.payload) >= LARGE_BYTES:
            give_back_large_blocks()
        # Not looked for again, so it may be of the moment: the same text twice in a millisecond is two records.
        digest = digest_of(envelope.payload, self.digest_key, since_ns.to_bytes(8, "little"))
        return self._prepared(envelope, digest, log, since_ns, once=False), problems

    def _prepared(
        self, envelope: Envelope, digest: bytes, log: Callable[[], Log] | None, since_ns: int, *, once: bool
    ) -> Prepared:
        if envelope.started:  # whose lines these are, and what follows, until another one starts
            self._log.bind_process(request_id=envelope.started)
        log = log or (lambda: self._log)
        return Prepared(envelope=envelope, digest=digest, once=once, log=log, since_ns=since_ns)

    @property
    def can_spill(self) -> bool:
        """Whether there is somewhere to keep what a full backlog does not take."""
        return self._writer.can_spill

    def recover(self) -> None:
        """Reports what a predecessor, or an environment before a reset, left in the spool."""
        batches = events = 0
        for frame in self._writer.recover():
            count, size, digest = _counted(frame), len(frame.payload), frame.digest
            batches, events = batches + 1, events + count
            signal = frame.form.signal if frame.form else ""
            self._send(
                Stored(
                    start=frame.start,
                    end=frame.end,
                    events=count,
                    body_bytes=size,
                    digest=digest,
                    signal=signal,
                    is_found=True,
                )
            )
            if not signal:
                self._recent[digest] = None
        if batches:
            self._log.info("collector.spool_recovered", batches=batches, events=events)

    def store(self, prepared: Prepared, *, spills: bool = False) -> None:
        """Writes a batch to the backlog and reports it, unless it was kept meanwhile.

        Args:
            prepared: The batch.
            spills: Whether it may go to the spool when the backlog is full.

        Raises:
            BacklogFullError: There is no room until more is released; nothing was written.
            BadBatchError: There will never be.
        """
        if self._is_repeated(prepared):
            return
        envelope, digest = prepared.envelope, prepared.digest
        try:
            start, end = self._writer.append(
                envelope.payload,
                events=envelope.events,
                observed_ns=time.time_ns(),
                digest=digest,
                spills=spills,
            )
        except FrameTooLargeError as exc:
            raise BadBatchError("too_large", str(exc), "a batch that fits the backlog") from exc
        self._send(
            Stored(
                start=start,
                end=end,
                events=envelope.events,
                body_bytes=len(envelope.payload),
                digest=digest,
                finished=envelope.finished,
                reported=envelope.reported,
                finished_epoch_s=envelope.finished_epoch_s,
                lost_events=envelope.lost_events,
                lost_bytes=envelope.lost_bytes,
                begun=self.exports_begun() if envelope.finished and self.exports_begun else 0,
            )
        )
        if prepared.once:
            self._recent[digest] = None
            while len(self._recent) > RECENT_BATCHES:
                del self._recent[next(iter(self._recent))]
        if self._log.is_debug:
            prepared.log().debug(
                "collector.batch_stored",
                start=start,
                end=end,
                events=envelope.events,
                body_bytes=len(envelope.payload),
                digest=digest.hex(),
                finished=envelope.finished,
                reported=envelope.reported,
                took_us=(time.perf_counter_ns() - prepared.since_ns) // 1000,
            )

    def _is_repeated(self, prepared: Prepared) -> bool:
        """Whether a batch was kept before, which is then reported."""
        if not prepared.once or prepared.digest not in self._recent:
            return False
        events = prepared.envelope.events
        self._send(Repeated(events=events, digest=prepared.digest))
        if self._log.is_debug:
            prepared.log().debug(
                "collector.batch_repeated",
                events=events,
                body_bytes=len(prepared.envelope.payload),
                digest=prepared.digest.hex(),
            )
        return True


def digest_of(body: Body, key: bytes, further: bytes = b"") -> bytes:
    """What tells a body from others, in this environment.

    The body itself goes through Python's own hash: SipHash with a secret of the process, which all that are forked of
    it share, takes a quarter of BLAKE2's time or less. In pieces, so that no more than one is in memory once more.

    Args:
        body: What came.
        key: Of the environment: copies of a snapshot have the same secret, and each has its own key.
        further: What else tells it from others.
    """
    digest = _blake2.blake2b(further, digest_size=DIGEST_BYTES, key=key)
    whole = memoryview(body)
    for at in range(0, len(whole), _HASHED_BYTES):
        digest.update(hash(bytes(whole[at : at + _HASHED_BYTES])).to_bytes(8, "little", signed=True))
    return digest.digest()


def _counted(frame: Frame) -> int:
    """The events of a frame that was found in a file: as they are, and as the file says only where they are not whole.

    A count that is not that of what will be shipped would stand in the ledger for ever. Those of an OTLP request are
    as its header says, which has a checksum of its own.
    """
    if not frame.damaged_bytes and frame.form is None:
        try:
            return read(bytes(frame.payload)).events
        except BadBatchError:
            pass
    return max(frame.events, 1)


def _joined(lines: list[bytes]) -> Envelope | None:
    """The lines as one JSON array; None when that is not one."""
    try:
        return read(b"[" + b",".join(lines) + b"]")
    except BadBatchError:
        return None


def _sorted_out(lines: list[bytes]) -> tuple[list[bytes], list[Problem]]:
    """The lines that are one JSON value each, and a problem for each of the others that is not blank.

    Those beyond `MOST_PROBLEMS` share one.
    """
    sound: list[bytes] = []
    problems: list[Problem] = []
    further = further_bytes = 0
    for line in lines:
        if not line.strip():
            continue
        envelope = _joined([line]) if line.lstrip().startswith(b"{") else None
        if envelope is not None and envelope.events == 1:
            sound.append(line)
        elif len(problems) < MOST_PROBLEMS:
            problems.append(Problem("malformed", 0, "a line that is not", "one JSON object", len(line)))
        else:
            further, further_bytes = further + 1, further_bytes + len(line)
    if further:
        problems.append(Problem("malformed", 0, f"{further} more lines that are not", "one JSON object", further_bytes))
    return sound, problems
