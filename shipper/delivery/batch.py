"""A batch: as much as one request of each signal may carry, with the position each part of it stands for.

Every event becomes one row, also one that is dropped and one that becomes no record, so positions can be told at any
row.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate

import msgspec

from shipper.delivery.interfaces import Joined, Several, items_of
from shipper.delivery.outcome import Outcome
from shipper.model.context import NOTHING, Context
from shipper.model.signals import LOGS, SIGNALS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    V = TypeVar("V")


class Position(msgspec.Struct, frozen=True):
    """A place in the stream of events, and what is running there.

    Attributes:
        through: Start of the first frame that is not wholly past, or end of the last that is.
        skip: Events of the frame at `through` that are past.
    """

    through: int
    skip: int = 0
    context: Context = NOTHING


class BatchLimits:
    """How large a batch may grow; smaller once the destination found one too large."""

    def __init__(self, batch_bytes: int, batch_records: int) -> None:
        self.batch_bytes = batch_bytes
        self.batch_records = batch_records


class Unproven(msgspec.Struct):
    """A record that was not taken alone, and of which it is not known yet whether it is at fault: see `poison`.

    Attributes:
        outcome: What it met last.
        taken: What the endpoint had taken by then.
        shipment: In which that was.
        shipments: In how many it was, while others were taken.
    """

    outcome: Outcome
    taken: int
    shipment: int
    shipments: int


class Parcel:
    """The records of one signal in a batch and, where requests are grouped by a key, of one key.

    Attributes:
        signal: Which one.
        key: Of the records; "" where they have none.
        records: As the destination's body has them.
        rows: For each, the row of the batch it came from; of joined ones, the first.
        unproven: By index in `records`, among those that are owed.
        pending: Records in a request whose answer may still come, and what waits for it; None if there is none.
        asked_s: When its last request was sent, on the clock.
    """

    __slots__ = ("_first", "_settled", "asked_s", "key", "pending", "records", "rows", "signal", "unproven")

    def __init__(self, signal: str, key: str = "") -> None:
        self.signal = signal
        self.key = key
        self.records: list[bytes] = []
        self.rows: list[int] = []
        self.unproven: dict[int, Unproven] = {}
        self.pending: tuple[Sequence[int], Callable[[], Outcome]] | None = None
        self.asked_s = 0.0
        # Records, from the first, of which none is owed; and those behind the first that is.
        self._first = 0
        self._settled: set[int] = set()

    @property
    def is_done(self) -> bool:
        """Whether every record is delivered or dropped."""
        return self._first >= len(self.rows)

    @property
    def is_begun(self) -> bool:
        """Whether any record is, or may turn out to be."""
        return bool(self._first or self._settled or self.pending)

    @property
    def floor(self) -> int | None:
        """Row of the first record that is owed; None if none is."""
        return None if self.is_done else self.rows[self._first]

    def rows_of(self, at: int) -> range:
        """The rows of the batch that a record came from."""
        record, row = self.records[at], self.rows[at]
        return range(row, row + (record.items if isinstance(record, Joined) else 1))

    def owed(self) -> Sequence[int]:
        """Indexes of the records that are neither delivered nor dropped."""
        rest = range(self._first, len(self.rows))
        return [at for at in rest if at not in self._settled] if self._settled else rest

    def settle(self, indexes: Sequence[int]) -> None:
        """Records are delivered or dropped."""
        if self.unproven:
            for at in indexes:
                self.unproven.pop(at, None)
        if isinstance(indexes, range) and indexes.step == 1 and indexes.start == self._first:
            self._first = indexes.stop
        else:
            self._settled.update(indexes)
        while self._first in self._settled:
            self._settled.discard(self._first)
            self._first += 1

    def replace(self, at: int, records: Sequence[bytes], rows: Sequence[int]) -> None:
        """Puts several records, each with its row, in the place of one that is owed."""
        more = len(records) - 1
        self.records[at : at + 1] = records
        self.rows[at : at + 1] = rows
        self._settled = {found + more if found > at else found for found in self._settled}
        _make_room(self.unproven, at, more)
        if self.pending is not None:
            piece, answered = self.pending
            self.pending = [found + more if found > at else found for found in piece], answered

    def trim(self) -> None:
        """Lets go of the records that are not owed."""
        owed = self.owed()
        if len(owed) < len(self.records):
            places = {at: place for place, at in enumerate(owed)}
            self.unproven = {places[at]: one for at, one in self.unproven.items()}
            if self.pending is not None:
                piece, answered = self.pending
                self.pending = [places[at] for at in piece], answered
            self.records = [self.records[at] for at in owed]
            self.rows = [self.rows[at] for at in owed]
            self._first, self._settled = 0, set()


class Batch:
    """Rows, what they became, and where they stand.

    Attributes:
        rows: Events in it, those dropped included.
        body_bytes: Size of all records.
        parcels: By signal or, where records have keys, by signal and key.
        lost: Reason by row, for rows that are given up.
        lost_bytes: Size by row, for those of them whose size is known.
        rejected: By signal, records that the destination took a request without; not yet among what was reported.
        is_reported: Its end has been.
        unmapped: Rows that were not understood, and passed through as text.
        unredactable: Rows that could not be redacted, and left blanked.
        weights: Events that a row stands for, where that is not one.
        exported: Signal by row, for rows that are items of the function's own requests, and no events.
        parts: Size by row, for rows that are nothing by themselves and part of a span or a metric to come.
        taken: Signals of which something was delivered.
        is_late: Something of it was taken, not yet reported, by an answer to a request of an earlier shipment.
        end: Position after the last row.
        settled: Rows, from the first, that have been reported.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.body_bytes = 0
        self.parcels: dict[str, Parcel] = {}
        self.lost: dict[int, str] = {}
        self.lost_bytes: dict[int, int] = {}
        self.rejected: dict[str, int] = {}
        self.unmapped: set[int] = set()
        self.unredactable: set[int] = set()
        self.weights: dict[int, int] = {}
        self.exported: dict[int, str] = {}
        self.parts: dict[int, int] = {}
        self.taken: set[str] = set()
        self.is_late = False
        self.end = Position(0)
        self.settled = 0
        self.is_reported = False
        self._marks: list[tuple[int, Position]] = []
        self._is_begun = False

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
        if len(self.parcels) > 1:
            self.parcels = dict(sorted(self.parcels.items(), key=_order_of))

    def add(self, signal: str, record: bytes, key: str = "") -> None:
        """Adds a record that came from the row under way."""
        name = f"{signal} {key}" if key else signal
        parcel = self.parcels.get(name)
        if parcel is None:
            parcel = self.parcels[name] = Parcel(signal, key)
        parcel.records.append(record)
        parcel.rows.append(self.rows)
        self.body_bytes += len(record) + 1

    def add_line(self, record: bytes) -> None:
        """Adds a row that is a log record without a key and nothing else, in as few steps as there can be."""
        parcel = self.parcels.get(LOGS) or self._lines
        parcel.records.append(record)
        parcel.rows.append(self.rows)
        self.body_bytes += len(record) + 1
        self.rows += 1

    def add_lines(self, records: Sequence[bytes], most_bytes: int) -> int:
        """Adds rows that are such records, joined or not, as many as it has room for.

        Args:
            records: Of these rows.
            most_bytes: How large the batch is then, at most.

        Returns:
            How many rows.
        """
        if isinstance(records[0], Joined):
            return self._add_joined(records, most_bytes)
        size, count = self.body_bytes + sum(map(len, records)) + len(records), len(records)
        if size > most_bytes:
            size = self.body_bytes
            for place, record in enumerate(records):
                if size + len(record) > most_bytes:
                    count = place
                    break
                size += len(record) + 1
        if count:
            parcel = self._lines
            parcel.records += records[:count]
            parcel.rows += range(self.rows, self.rows + count)
            self.body_bytes, self.rows = size, self.rows + count
        return count

    def _add_joined(self, records: Sequence[bytes], most_bytes: int) -> int:
        first = self.rows
        for record in records:
            count = items_of(record)
            size = self.body_bytes + len(record) + count
            if size > most_bytes:
                if isinstance(record, Joined):
                    self.add_lines(record.each(), most_bytes)
                break
            parcel = self._lines
            parcel.records.append(record)
            parcel.rows.append(self.rows)
            self.body_bytes, self.rows = size, self.rows + count
        return self.rows - first

    @property
    def _lines(self) -> Parcel:
        """Where log records without a key are."""
        parcel = self.parcels.get(LOGS)
        if parcel is None:
            parcel = self.parcels[LOGS] = Parcel(LOGS)
        return parcel

    def reject(self, signal: str, records: int) -> None:
        """Notes that a request of a signal was taken without some records."""
        self.rejected[signal] = self.rejected.get(signal, 0) + records

    def divide(self, parcel: Parcel, at: int) -> int:
        """Divides a record between the items that it stands for, if it can be; a row of its own becomes as many.

        Returns:
            How many records it is now.
        """
        record = parcel.records[at]
        parts = record.divided() if isinstance(record, Several) else ()
        if not parts:
            return 1
        row, more = parcel.rows[at], len(parts) - 1
        if isinstance(record, Joined):  # each of them has a row already
            parcel.replace(at, parts, [row + first for first in accumulate(map(items_of, parts[:-1]), initial=0)])
            return more + 1
        position = self.position(row)
        for one in self.parcels.values():
            one.rows = [found + more if found > row else found for found in one.rows]
        parcel.replace(at, parts, [row + place for place in range(more + 1)])
        for counts in (self.lost_bytes, self.weights, self.parts):
            _make_room(counts, row, more)
        for texts in (self.lost, self.exported):
            _make_room(texts, row, more)
        for rows in (self.unmapped, self.unredactable):
            moved = {found + more for found in rows if found > row}
            rows.difference_update([found for found in rows if found > row])
            rows.update(moved)
        self._marks = [(first + more if first > row else first, mark) for first, mark in self._marks]
        size, items = self.lost_bytes.get(row, 0), sum(map(items_of, parts))
        for place, part in enumerate(parts):
            if place:
                self._marks.append((row + place, position))
                self.exported[row + place] = self.exported[row]
            self.weights[row + place] = items_of(part)
            self.lost_bytes[row + place] = size * items_of(part) // max(1, items)
            position = Position(position.through, position.skip + items_of(part), position.context)
        self._marks.sort(key=_first_of)
        self.rows += more
        return more + 1

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
        floor = self.rows
        for parcel in self.parcels.values():
            row = parcel.floor
            if row is not None and row < floor:
                floor = row
        return max(0, floor)

    @property
    def is_begun(self) -> bool:
        """Whether any record is delivered or dropped."""
        return self._is_begun or any(parcel.is_begun for parcel in self.parcels.values())

    @property
    def is_done(self) -> bool:
        """Whether every record is delivered or dropped."""
        for parcel in self.parcels.values():  # noqa: SIM110 - asked for again and again: a generator takes longer
            if not parcel.is_done:
                return False
        return True

    @property
    def owed(self) -> set[str]:
        """Signals of which not every record is delivered or dropped."""
        return {parcel.signal for parcel in self.parcels.values() if not parcel.is_done}

    @property
    def owed_bytes(self) -> int:
        """Size of the records that are held for them."""
        return sum(sum(map(len, parcel.records)) for parcel in self.parcels.values() if not parcel.is_done)

    def lose(self, signal: str, reason: str) -> int:
        """Gives up what of a signal is neither delivered nor dropped, also what may be answered still.

        Returns:
            How many records that is.
        """
        lost = 0
        for parcel in self.parcels.values():
            if parcel.signal == signal:
                owed = parcel.owed()
                lost += self._give_up(parcel, owed, reason)
                parcel.settle(owed)
                parcel.pending = None
        return lost

    def _give_up(self, parcel: Parcel, indexes: Sequence[int], reason: str) -> int:
        """Notes why records are lost; how many rows those are."""
        lost = 0
        for at in indexes:
            rows = parcel.rows_of(at)
            lost += len(rows)
            for row in rows:
                self.lost.setdefault(row, reason)
        return lost

    def lose_before(self, offset: int, reason: str) -> None:
        """Gives up what is owed of frames that begin before `offset`; an answer that may still come counts no more."""
        limit = min((first for first, mark in self._marks if mark.through >= offset), default=self.rows)
        for parcel in self.parcels.values():
            owed = [at for at in parcel.owed() if parcel.rows[at] < limit]
            self._give_up(parcel, owed, reason)
            parcel.settle(owed)
            parcel.pending = None

    def trim(self) -> None:
        """Lets go of the records that are delivered or dropped: what is owed may wait for long."""
        self._is_begun = self.is_begun
        self.parcels = {name: parcel for name, parcel in self.parcels.items() if not parcel.is_done}
        for parcel in self.parcels.values():
            parcel.trim()

    def tally(self, first: int, last: int) -> tuple[int, dict[str, int]]:
        """Events delivered and events dropped by reason in rows [first, last)."""
        total = last - first
        if self.weights:
            total += sum(n - 1 for row, n in self.weights.items() if first <= row < last)
        dropped: dict[str, int] = {}
        for row, reason in self.lost.items():
            if first <= row < last:
                dropped[reason] = dropped.get(reason, 0) + self.weights.get(row, 1)
        return total - sum(dropped.values()), dropped

    def tally_exported(self, first: int, last: int) -> tuple[dict[str, int], dict[str, int]]:
        """Of those, the items of the function's own requests, by signal: delivered, and dropped."""
        shipped: dict[str, int] = {}
        dropped: dict[str, int] = {}
        for row, signal in self.exported.items():
            if first <= row < last:
                found = dropped if row in self.lost else shipped
                found[signal] = found.get(signal, 0) + self.weights[row]
        return shipped, dropped

    def tally_bytes(self, first: int, last: int) -> dict[str, int]:
        """Size of the events dropped in rows [first, last), by reason."""
        dropped: dict[str, int] = {}
        for row, reason in self.lost.items():
            if first <= row < last:
                dropped[reason] = dropped.get(reason, 0) + self.lost_bytes.get(row, 0)
        return dropped


def _make_room(by_place: "dict[int, V]", at: int, more: int) -> None:
    """Moves what stands behind a place on by so many."""
    for place in sorted((place for place in by_place if place > at), reverse=True):
        by_place[place + more] = by_place.pop(place)


def _order_of(item: tuple[str, Parcel]) -> int:
    return SIGNALS.index(item[1].signal)


def _first_of(mark: tuple[int, Position]) -> int:
    return mark[0]
