"""A batch: as much as one request of each signal may carry, with the position each part of it stands for.

Every event becomes one row, also one that is dropped and one that becomes no record, so positions can be told at any
row.
"""

import msgspec

from shipper.model.context import NOTHING, Context
from shipper.model.signals import SIGNALS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from shipper.delivery.interfaces import Request
    from shipper.delivery.outcome import Outcome


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


class Parcel:
    """The records of one signal in a batch: what one request carries.

    Attributes:
        records: As the destination's body has them.
        rows: For each, the row of the batch it came from.
        done: How many, from the first, are delivered or dropped.
        request: The one for those that are not, if it has been made ahead of its turn.
        answered: Waits for the answer to it, if it has been sent, too.
    """

    __slots__ = ("answered", "done", "records", "request", "rows")

    def __init__(self) -> None:
        self.records: list[bytes] = []
        self.rows: list[int] = []
        self.done = 0
        self.request: Request | None = None
        self.answered: Callable[[], Outcome] | None = None


class Batch:
    """Rows, what they became, and where they stand.

    Attributes:
        rows: Events in it, those dropped included.
        body_bytes: Size of all records.
        parcels: By signal.
        lost: Reason by row, for rows that are given up.
        lost_bytes: Size by row, for those of them whose size is known.
        rejected: Records that the destination took a request without; not yet among what was reported.
        is_reported: Its end has been.
        weights: Events that a row stands for, where that is not one.
        end: Position after the last row.
        settled: Rows, from the first, that have been reported.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.body_bytes = 0
        self.parcels: dict[str, Parcel] = {}
        self.lost: dict[int, str] = {}
        self.lost_bytes: dict[int, int] = {}
        self.rejected = 0
        self.weights: dict[int, int] = {}
        self.end = Position(0)
        self.settled = 0
        self.is_reported = False
        self._marks: list[tuple[int, Position]] = []

    def mark(self, position: Position) -> None:
        """Says where the next row stands; rows after it follow in its frame."""
        self._marks.append((self.rows, position))

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it, neither events nor records."""
        return not self.rows and not self.parcels

    def close(self, end: Position) -> None:
        """Nothing more is added: says where it ends, and puts its signals in the order in which they are sent."""
        self.end = end
        self.parcels = {signal: self.parcels[signal] for signal in SIGNALS if signal in self.parcels}

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
        if not 0 <= row < self.rows:
            return self.end
        for first, mark in reversed(self._marks):
            if first <= row:
                return Position(mark.through, mark.skip + row - first, mark.context)
        raise IndexError(f"row {row}, expected one after a mark")

    def floor(self) -> int:
        """Rows, from the first, whose every record is delivered or dropped."""
        waiting = (parcel.rows[parcel.done] for parcel in self.parcels.values() if parcel.done < len(parcel.rows))
        return max(0, min(waiting, default=self.rows))

    @property
    def is_begun(self) -> bool:
        """Whether any record is delivered or dropped."""
        return any(parcel.done for parcel in self.parcels.values())

    def lose(self, signal: str, reason: str) -> int:
        """Gives up what of a signal is neither delivered nor dropped; returns how many records that is."""
        parcel = self.parcels[signal]
        rows = parcel.rows[parcel.done :]
        for row in rows:
            self.lost.setdefault(row, reason)
        parcel.done = len(parcel.rows)
        return len(rows)

    def trim(self) -> None:
        """Lets go of the records of signals that are wholly delivered or dropped."""
        owed = self.owed
        self.parcels = {name: parcel for name, parcel in self.parcels.items() if name in owed}

    @property
    def owed(self) -> set[str]:
        """Signals of which not every record is delivered or dropped."""
        return {name for name, parcel in self.parcels.items() if parcel.done < len(parcel.rows)}

    @property
    def is_done(self) -> bool:
        """Whether every record is delivered or dropped."""
        return all(parcel.done >= len(parcel.records) for parcel in self.parcels.values())

    def tally(self, first: int, last: int) -> tuple[int, dict[str, int]]:
        """Events delivered and events dropped by reason in rows [first, last)."""
        total = last - first + sum(n - 1 for row, n in self.weights.items() if first <= row < last)
        dropped: dict[str, int] = {}
        for row, reason in self.lost.items():
            if first <= row < last:
                dropped[reason] = dropped.get(reason, 0) + self.weights.get(row, 1)
        return total - sum(dropped.values()), dropped

    def tally_bytes(self, first: int, last: int) -> dict[str, int]:
        """Size of the events dropped in rows [first, last), by reason."""
        dropped: dict[str, int] = {}
        for row, reason in self.lost.items():
            if first <= row < last:
                dropped[reason] = dropped.get(reason, 0) + self.lost_bytes.get(row, 0)
        return dropped
