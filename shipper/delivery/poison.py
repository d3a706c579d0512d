"""Whether a record that was refused alone is at fault, or the destination is: a few bad minutes refuse everything.

Pure. A record is at fault once the destination took another one beside it, or after it was refused alone in several
shipments while nothing else was taken either: then it must not keep what comes after it for ever.
"""

from collections.abc import Sequence

from shipper.delivery.outcome import Outcome, Verdict

# Refused alone this often, each time in another shipment, and for this long, a record is given up without proof: a
# destination that was deployed badly is mended or rolled back by then.
MOST_REFUSALS = 3
LONGEST_PATIENCE_S = 60.0

# So many records in a row refused alone are reason to look elsewhere for one that is taken.
MOST_IN_A_ROW = 4


class Suspects:
    """The records of one parcel that were refused alone and are neither given up nor cleared.

    Attributes:
        refused: Index and answer of each, in a row from the first that is not delivered.
        is_proven: The destination took a record of this parcel: what it refuses is at fault.
    """

    def __init__(self) -> None:
        self.refused: list[tuple[int, Outcome]] = []
        self.is_proven = False

    @property
    def are_many(self) -> bool:
        """Whether it is time to look elsewhere."""
        return len(self.refused) >= MOST_IN_A_ROW

    def is_one_too_large(self, records: Sequence[bytes], least_bytes: int) -> bool:
        """Whether it is a single one, and that for its size, which needs no proof from so many bytes on."""
        if len(self.refused) != 1:
            return False
        at, outcome = self.refused[0]
        return outcome.verdict is Verdict.SPLIT and len(records[at]) >= least_bytes

    def taken(self) -> list[tuple[int, Outcome]]:
        """The suspects, who are none any more."""
        taken, self.refused = self.refused, []
        return taken


class Patience:
    """Counts the shipments that ended at the same record."""

    def __init__(self) -> None:
        self._where: tuple[int, int] | None = None
        self._times = 0
        self._since = 0.0

    def is_over(self, through: int, skip: int, now: float) -> bool:
        """Notes another shipment that ended at a position; whether it was one too many."""
        if self._where != (through, skip):
            self._where, self._times, self._since = (through, skip), 0, now
        self._times += 1
        return self._times >= MOST_REFUSALS and now >= self._since + LONGEST_PATIENCE_S
