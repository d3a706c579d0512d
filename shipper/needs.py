"""What delivery needs of others. Types only: nothing loads this at run time."""

from collections.abc import Sequence

from shipper.outcome import Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object


class Destination(Protocol):
    """Where parcels go."""

    @property
    def label(self) -> str:
        """Scheme, host and path, or file name: what may be logged."""

    def prepare(self, signal: str, records: Sequence[bytes]) -> bytes:
        """The request body for some records, compressed."""

    def send(self, signal: str, body: bytes) -> Outcome:
        """Makes one request; never raises for what a destination or a network does."""


class Timing(Protocol):
    """The deadline, and a sleep that keeps it."""

    def time_left_s(self) -> float:
        """Seconds until the deadline."""

    def pause(self, seconds: float) -> None:
        """Sleeps, not past the deadline."""
