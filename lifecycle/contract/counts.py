"""Counts that outlive the process that makes them: what it counted and did not live to report is still there.

A page of shared memory, made before the fork. One process counts at a time, and whoever starts it takes what is left
once it is dead; so nothing here is read while it is written.
"""

import mmap

import msgspec


class Taken(msgspec.Struct, frozen=True):
    """What was counted since it was last taken.

    Attributes:
        requests: Made to the destination.
        retries: Those among them that repeated a failed one.
        wire_bytes: Of their bodies as sent.
    """

    requests: int = 0
    retries: int = 0
    wire_bytes: int = 0


class Counts:
    """The counts of one shipper and its successors, in the order of `Taken`."""

    def __init__(self) -> None:
        self._counted = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("q")

    def add(self, requests: int, *, retries: int, wire_bytes: int) -> None:
        """Counts requests; a negative number takes back what was counted and then not sent."""
        self._counted[0] += requests
        self._counted[1] += retries
        self._counted[2] += wire_bytes

    @property
    def so_far(self) -> Taken:
        """The counts so far."""
        return Taken(*self._counted[:3])

    def taken(self) -> Taken:
        """The counts so far, which begin anew."""
        taken = self.so_far
        self._counted[:3] = _NOTHING
        return taken


_NOTHING = memoryview(bytes(3 * 8)).cast("q")
