"""What every destination offers. Types only: nothing loads this at run time."""

from shipper.delivery import interfaces
from shipper.delivery.batch import Encoder
from shipper.delivery.interfaces import Shapes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object


class Destination(interfaces.Destination, Protocol):
    """A place that takes telemetry."""

    @property
    def encoder(self) -> Encoder:
        """How it has events written."""

    @property
    def shapes(self) -> Shapes | None:
        """How it has spans and metrics written; None when it takes none."""

    def close(self) -> None:
        """Lets go of what is open."""
