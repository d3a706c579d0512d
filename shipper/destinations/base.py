"""What every destination offers."""

from typing import Protocol

from shipper import delivery
from shipper.batches import Encoder


class Destination(delivery.Destination, Protocol):
    """A place that takes telemetry."""

    @property
    def encoder(self) -> Encoder:
        """How it has events written."""

    def close(self) -> None:
        """Lets go of what is open."""
