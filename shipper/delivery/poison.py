"""Poison records: which records of a parcel are sent next, by what became of those before.

Pure. What is refused or too large is halved until the record that is at fault stands alone. It is given up only with a
proof that it is the record and not the endpoint: the endpoint takes another one beside it. Where nothing is taken,
records wait. An answer that may speak of the records or of the server (500) counts only where it came in several
shipments, and there as well only while others are taken.
"""

from collections.abc import Callable, Sequence

import msgspec

from shipper.delivery.batch import Parcel, Unproven
from shipper.delivery.interfaces import NO_LIMITS, Limits
from shipper.delivery.outcome import Outcome, Verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object

# A shipment that ended at one record so often with an answer that may speak of it is reason to look for it; and so
# many shipments in which it was not taken alone, while others were, are proof. A server that fails every now and then
# takes it in one of them.
MOST_SHIPMENTS = 3

# So many records in a row refused alone are reason to look elsewhere for one that is taken.
MOST_IN_A_ROW = 4

# An endpoint that takes less than this at once takes nothing: a record that is larger and too large needs no proof.
LEAST_BYTES = 4096


class Taker(Protocol):
    """An endpoint, as far as it proves something: see `health`."""

    taken: int


class Isolation:
    """What is sent of a parcel in one shipment.

    Args:
        parcel: Its records are settled as they are taken or given up.
        taker: The endpoint: how many requests it has taken so far.
        shipment: Its number.
        limits: What the endpoint says it takes: it need not be asked about a larger record.
        is_searching: Shipments ended here, so a record is looked for that answers like 500 may speak of.
        divide: Divides a record that stands for several items, given its index; returns how many it is now.

    Attributes:
        dropped: Records given up, with the answer that they met: for the caller to count and forget.
        failed: Why no more can be sent now; None while there is more, or nothing is owed that could be.
    """

    def __init__(
        self,
        parcel: Parcel,
        taker: Taker,
        *,
        shipment: int,
        limits: Limits = NO_LIMITS,
        is_searching: bool = False,
        divide: Callable[[int], int] = lambda _at: 1,
    ) -> None:
        self.dropped: list[tuple[int, Outcome]] = []
        self.failed: Outcome | None = None
        self._parcel = parcel
        self._divide = divide
        self._pieces: list[Sequence[int]] = []
        self._taker = taker
        self._shipment = shipment
        unproven = parcel.unproven
        self._is_searching = is_searching or (
            bool(unproven) and any(not one.outcome.is_refusal for one in unproven.values())
        )
        self._taken_before = taker.taken
        self._probe = -1
        if limits.item_bytes:
            too_large = self._too_large(limits.item_bytes)
            self.drop(too_large, Outcome(verdict=Verdict.SPLIT, reason="item_bytes"))
        owed = parcel.owed()
        if not is_searching and not parcel.unproven and parcel.pending is None:  # as nearly always
            is_one = owed and not limits.request_items
            self._pieces = [owed] if is_one else _chunks(owed, limits.request_items)[::-1]
            return
        # What is in a request that is under way is not sent beside it.
        aside = {*parcel.unproven, *(parcel.pending[0] if parcel.pending else ())}
        clear = [at for at in owed if at not in aside] if aside else owed
        if is_searching and clear:
            clear = self._down_to_one(list(clear))
        # From the last to be sent to the first.
        self._pieces = [[at] for at in reversed(self._due_unproven())]
        if is_searching and len(clear) > 1:
            # The last one first: if that is not taken either, it is the server, and one request was enough to tell.
            self._probe = clear[-1]
            self._pieces += [*_chunks(clear[:-1], limits.request_items)[::-1], clear[-1:]]
        else:
            self._pieces += _chunks(clear, limits.request_items)[::-1]

    @property
    def is_about_records(self) -> bool:
        """Whether what is owed waits for a proof, which another batch may bring."""
        return self.failed is not None and bool(self._parcel.unproven)

    def next(self) -> Sequence[int]:
        """The records to send now, by index; none when there are none, or when it failed."""
        if self.failed is not None:
            return ()
        if not self._pieces:
            if self._parcel.unproven:
                self._end()
            return ()
        return self._pieces.pop()

    def again(self) -> None:
        """What failed is to be tried again."""
        self.failed = None

    def answered(self, piece: Sequence[int], outcome: Outcome) -> None:
        """Takes note of what became of some records."""
        if outcome.items:
            self._answered_each(piece, outcome)
        elif outcome.verdict is Verdict.DONE:
            self._settle(piece)
        elif self._is_about(outcome):
            self._not_taken(piece, outcome)
        else:
            self._pieces.append(piece)
            self.failed = outcome

    def drop(self, piece: Sequence[int], outcome: Outcome) -> None:
        """Gives records up for good."""
        self.dropped += [(at, outcome) for at in piece]
        self._parcel.settle(piece)

    def _is_about(self, outcome: Outcome) -> bool:
        """Whether an outcome is taken to speak of the records."""
        return outcome.is_refusal or (self._is_searching and outcome.may_be_records)

    def _answered_each(self, piece: Sequence[int], outcome: Outcome) -> None:
        """What was taken is settled, what was refused beside it is given up, the rest is sent again."""
        rest = msgspec.structs.replace(outcome, items={})
        outcomes = {at: outcome.items.get(place, rest) for place, at in enumerate(piece)}
        done = [at for at, one in outcomes.items() if one.verdict is Verdict.DONE]
        refused = [at for at, one in outcomes.items() if one.is_refusal]
        later = [at for at, one in outcomes.items() if one.verdict is not Verdict.DONE and not one.is_refusal]
        if done:
            self._settle(done)
            for at in refused:
                self.drop([at], outcomes[at])
        elif refused:
            self._not_taken(refused, outcomes[refused[0]])
        if later:
            self._pieces.append(later)
            worst = max((outcomes[at] for at in later), key=lambda one: one.retry_after_s)
            self.failed = worst

    def _settle(self, piece: Sequence[int]) -> None:
        self._parcel.settle(piece)
        # Others are taken now: those refused before are sent once more, and given up if they are refused again.
        for at, earlier in self._parcel.unproven.items():
            if earlier.outcome.is_refusal and [at] not in self._pieces:
                self._pieces.append([at])

    def _not_taken(self, piece: Sequence[int], outcome: Outcome) -> None:
        if len(piece) > 1:
            middle = len(piece) // 2
            self._pieces += [piece[middle:], piece[:middle]]
            return
        at, parcel = piece[0], self._parcel
        parts = self._divided(at)
        if parts > 1:
            self._pieces += [[at + place] for place in reversed(range(parts))]
            return
        earlier = parcel.unproven.get(at)
        is_proven = self._taker.taken > (self._taken_before if earlier is None else earlier.taken)
        is_said = outcome.is_refusal
        is_too_large = outcome.verdict is Verdict.SPLIT and len(parcel.records[at]) >= LEAST_BYTES
        shipments = (earlier.shipments if earlier is not None else 0) + is_proven
        if (is_said and is_proven) or (is_too_large and not parcel.unproven) or shipments >= MOST_SHIPMENTS:
            self.drop(piece, outcome)
            return
        if not is_said and not is_proven and self._has_others:
            # Nothing is taken: that is no time to accuse a record.
            self._pieces.append(piece)
            self.failed = outcome
            return
        parcel.unproven[at] = Unproven(outcome, self._taker.taken, self._shipment, shipments)
        if is_proven:
            return
        if not is_said:
            self.failed = msgspec.structs.replace(outcome, verdict=Verdict.HELD)
        elif at == self._probe:
            self.failed = outcome
        elif len(parcel.unproven) >= MOST_IN_A_ROW:
            self._look_elsewhere(outcome)

    def _down_to_one(self, indexes: list[int]) -> list[int]:
        """The same records, the last one divided as far as it can be: it is to tell of the server with one request."""
        while (parts := self._divide(indexes[-1])) > 1:
            indexes += range(indexes[-1] + 1, indexes[-1] + parts)
        return indexes

    def _divided(self, at: int) -> int:
        """Divides a record, if it stands for several items; returns how many it is now."""
        parts = self._divide(at)
        more = parts - 1
        if more:
            self._pieces = [_moved(piece, at, more) for piece in self._pieces]
            self.dropped = [(found + more if found > at else found, outcome) for found, outcome in self.dropped]
            self._probe += more if self._probe > at else 0
        return parts

    def _too_large(self, most: int) -> list[int]:
        """The records that are larger than the endpoint takes, when they are divided as far as they can be."""
        found, at = [], 0
        while at < len(self._parcel.records):
            is_large = len(self._parcel.records[at]) > most and at in self._parcel.owed()
            if is_large and self._divided(at) > 1:
                continue
            found += [at] if is_large else []
            at += 1
        return found

    @property
    def _has_others(self) -> bool:
        """Whether there are records to be sent that are not unproven."""
        return any(piece[-1] not in self._parcel.unproven for piece in self._pieces)

    def _look_elsewhere(self, outcome: Outcome) -> None:
        """Sends the last record of all next."""
        others = [place for place, piece in enumerate(self._pieces) if piece[-1] not in self._parcel.unproven]
        if not others or self._probe >= 0:
            self.failed = outcome
            return
        piece = self._pieces.pop(others[0])
        self._probe = piece[-1]
        if len(piece) > 1:
            self._pieces.insert(others[0], piece[:-1])
        self._pieces.append(piece[-1:])

    def _due_unproven(self) -> list[int]:
        """Unproven that another try may tell something of."""
        return [
            at
            for at, earlier in self._parcel.unproven.items()
            if not (self._parcel.pending and at in self._parcel.pending[0])
            and (
                earlier.shipment != self._shipment or (earlier.outcome.is_refusal and self._taker.taken > earlier.taken)
            )
        ]

    def _end(self) -> None:
        """Everything was sent: what is still without a proof is what failed."""
        for earlier in self._parcel.unproven.values():
            if self._taker.taken <= earlier.taken and not earlier.shipments:
                self.failed = earlier.outcome


def _moved(piece: Sequence[int], at: int, more: int) -> Sequence[int]:
    """Indexes, those behind a place moved on by so many."""
    if isinstance(piece, range) and piece[0] > at:
        return range(piece.start + more, piece.stop + more)
    return [found + more if found > at else found for found in piece]


def _chunks(indexes: Sequence[int], most: int) -> list[Sequence[int]]:
    """In pieces of as many as a request may carry."""
    if not indexes:
        return []
    if not most or len(indexes) <= most:
        return [indexes]
    return [indexes[start : start + most] for start in range(0, len(indexes), most)]
