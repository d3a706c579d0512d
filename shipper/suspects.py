"""Whether a record that was refused alone is at fault, or the destination is: a few bad minutes refuse everything.

Pure. A record is at fault once the destination took another one beside it, or after it was refused alone in several
shipments while nothing else was taken either: then it must not keep what comes after it for ever.
"""

from shipper.outcome import Outcome, Verdict

# Refused alone this often, each time in another shipment, a record is given up without proof.
MOST_REFUSALS = 3

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

    @property
    def is_one_too_large(self) -> bool:
        """Whether it is a single one, and that for its size, which needs no proof."""
        return len(self.refused) == 1 and self.refused[0][1].verdict is Verdict.TOO_LARGE

    def taken(self) -> list[tuple[int, Outcome]]:
        """The suspects, who are none any more."""
        taken, self.refused = self.refused, []
        return taken


class Patience:
    """Counts the shipments that ended at the same record."""

    def __init__(self) -> None:
        self._where: tuple[int, int] | None = None
        self._times = 0

    def is_over(self, through: int, skip: int) -> bool:
        """Notes another shipment that ended at a position; whether it was one too many."""
        self._times = self._times + 1 if self._where == (through, skip) else 1
        self._where = (through, skip)
        return self._times >= MOST_REFUSALS
