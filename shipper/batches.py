"""Frames in, batches out: as much as one request may carry, with the position each part of it stands for.

A generator: no more than one batch and one decoded piece of a frame exist at a time. Every event becomes one
row of a batch, also one that is dropped, so positions can be told at any row.
"""

from collections.abc import Iterator
from typing import Protocol

import msgspec

from lifecycle.frames import Frame
from lifecycle.log import Log
from shipper.correlate import NOTHING, Context, after
from shipper.telemetry import AnyEvent, BrokenEvent, Event, events, is_own

LOGS = "logs"


class Position(msgspec.Struct, frozen=True):
    """A place in the stream of events, and what is running there.

    Attributes:
        through: Start of the first frame that is not wholly past, or end of the last that is.
        skip: Events of the frame at `through` that are past.
    """

    through: int
    skip: int = 0
    context: Context = NOTHING


class Limits:
    """How large a batch may grow; smaller once the destination found one too large."""

    def __init__(self, batch_bytes: int, batch_records: int) -> None:
        self.batch_bytes = batch_bytes
        self.batch_records = batch_records


class Encoder(Protocol):
    """A destination's way to write events."""

    def begin(self, frame: Frame) -> None:
        """Takes note of the frame that the next events belong to."""

    def encode(self, event: AnyEvent, index: int, context: Context) -> bytes:
        """One event as the destination's request body has it; `index` is its place in the frame."""


class Parcel:
    """The records of one signal in a batch: what one request carries.

    Attributes:
        records: As the destination's body has them.
        rows: For each, the row of the batch it came from.
        done: How many, from the first, are delivered or dropped.
    """

    __slots__ = ("done", "records", "rows")

    def __init__(self) -> None:
        self.records: list[bytes] = []
        self.rows: list[int] = []
        self.done = 0


class Batch:
    """Rows, what they became, and where they stand.

    Attributes:
        rows: Events in it, those dropped included.
        body_bytes: Size of all records.
        parcels: By signal.
        lost: Reason by row, for rows that are given up.
        weights: Events that a row stands for, where that is not one.
        end: Position after the last row.
        settled: Rows, from the first, that have been reported.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.body_bytes = 0
        self.parcels: dict[str, Parcel] = {}
        self.lost: dict[int, str] = {}
        self.weights: dict[int, int] = {}
        self.end = Position(0)
        self.settled = 0
        self._marks: list[tuple[int, Position]] = []

    def mark(self, position: Position) -> None:
        """Says where the next row stands; rows after it follow in its frame."""
        self._marks.append((self.rows, position))

    def add(self, signal: str, record: bytes) -> None:
        """Adds a record that came from the row under way."""
        parcel = self.parcels.get(signal)
        if parcel is None:
            parcel = self.parcels[signal] = Parcel()
        parcel.records.append(record)
        parcel.rows.append(self.rows)
        self.body_bytes += len(record) + 1

    def position(self, row: int) -> Position:
        """Where row `row` stands."""
        if row >= self.rows:
            return self.end
        for first, mark in reversed(self._marks):
            if first <= row:
                return Position(mark.through, mark.skip + row - first, mark.context)
        raise IndexError(f"row {row}, expected one after a mark")

    def floor(self) -> int:
        """Rows, from the first, whose every record is delivered or dropped."""
        waiting = (parcel.rows[parcel.done] for parcel in self.parcels.values() if parcel.done < len(parcel.rows))
        return min(waiting, default=self.rows)

    def tally(self, first: int, last: int) -> tuple[int, dict[str, int]]:
        """Events delivered and events dropped by reason in rows [first, last)."""
        total = last - first + sum(n - 1 for row, n in self.weights.items() if first <= row < last)
        dropped: dict[str, int] = {}
        for row, reason in self.lost.items():
            if first <= row < last:
                dropped[reason] = dropped.get(reason, 0) + self.weights.get(row, 1)
        return total - sum(dropped.values()), dropped


class Cutter:
    """Cuts frames into batches.

    Args:
        encoder: Writes events.
        limits: Looked at anew for every record.
        log: Says what could not be written.
        interleaved: Invocations overlap, so the stream does not tell which one a line belongs to.
    """

    def __init__(self, encoder: Encoder, limits: Limits, log: Log, *, interleaved: bool = False) -> None:
        self._encoder = encoder
        self._limits = limits
        self._log = log
        self._interleaved = interleaved

    def batches(self, frames: Iterator[Frame], start: Position) -> Iterator[Batch]:
        """The events of `frames` from `start` on; the first frame is that at `start.through`."""
        limits, written = self._limits, self._written
        context, skip = start.context, start.skip
        batch = Batch()
        for frame in frames:
            self._encoder.begin(frame)
            batch.mark(Position(frame.start, skip, context))
            for index, event in enumerate(events(frame)):
                if index < skip:
                    continue
                record, reason, following = written(event, index, context)
                if batch.rows and (
                    batch.body_bytes + len(record) > limits.batch_bytes or batch.rows >= limits.batch_records
                ):
                    batch.end = Position(frame.start, index, context)
                    yield batch
                    batch = Batch()
                    batch.mark(Position(frame.start, index, context))
                if reason:
                    batch.lost[batch.rows] = reason
                else:
                    batch.add(LOGS, record)
                if type(event) is BrokenEvent:
                    batch.weights[batch.rows] = event.events
                batch.rows += 1
                if following is not context:
                    context = following
                    batch.mark(Position(frame.start, index + 1, context))
            skip = 0
            batch.end = Position(frame.end, 0, context)
        if batch.rows:
            yield batch

    def _written(self, event: AnyEvent, index: int, context: Context) -> tuple[bytes, str, Context]:
        """An event's record, or why it has none, and the context after it."""
        if type(event) is not Event or event.type != "function":
            if is_own(event):
                return b"", "own_line", context
            if not self._interleaved:
                context = after(context, event)
        try:
            return self._encoder.encode(event, index, context), "", context
        except Exception as exc:  # noqa: BLE001 - no record may take the shipper down
            self._log.error("shipper.record_unmappable", error=type(exc).__name__, index=index)
            return b"", "unmappable", context
