"""What cutting and delivering need of others. Types only: nothing loads this at run time."""

from collections.abc import Callable, Sequence

from shipper.delivery.outcome import Outcome
from shipper.model.context import Meters
from shipper.model.span import Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object


class SeveralAtOnce(Protocol):
    """A destination that takes the request of one signal while it is at another's."""

    def begin(self, signal: str, body: bytes, within_s: float) -> Callable[[], Outcome] | None:
        """Sends a request; what is returned waits for its answer. None if it cannot be sent in time."""


class Destination(Protocol):
    """Where parcels go."""

    @property
    def label(self) -> str:
        """Scheme, host and path, or file name: what may be logged."""

    def prepare(self, signal: str, records: Sequence[bytes]) -> bytes:
        """The request body for some records, compressed."""

    def send(self, signal: str, body: bytes) -> Outcome:
        """Makes one request; never raises for what a destination or a network does."""

    @property
    def several(self) -> SeveralAtOnce | None:
        """How it takes several signals at once; None when it does not."""


class Timing(Protocol):
    """The deadline, and a sleep that keeps it."""

    @property
    def is_final(self) -> bool:
        """Whether no other shipment comes after this one."""

    def time_left_s(self) -> float:
        """Seconds until the deadline."""

    def pause(self, seconds: float) -> None:
        """Sleeps, not past the deadline."""


class Shapes(Protocol):
    """A destination's way to write what is no log record.

    Attributes:
        untaken: Signals that the destination turned out not to know.
    """

    untaken: set[str]

    def span(self, span: Span) -> bytes:
        """A span as a record."""

    def metrics(self, meters: Meters, ledger: dict[str, int], *, is_cumulative: bool) -> list[bytes]:
        """What was measured as records."""
