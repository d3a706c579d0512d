"""A destination as the machine sees it: who ships there, when, how far, and what an invocation is held for."""

from lifecycle.contract.enums import Enum
from lifecycle.machine.flush import FlushPolicy
from lifecycle.machine.shipments import Shipments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lifecycle.machine.shutdown import Shutdown


class Claim(Enum):
    """What /next is withheld for."""

    DELIVERY = "delivery"
    """Everything up to the invocation's end."""
    SHIPMENT = "shipment"
    """The end of the shipment alongside the function."""


class Route:
    """A destination with all that is its own: nothing that happens to one is another's trouble.

    Args:
        worker: What its shipper is called.
        policy: When to ship.
        capacity_bytes: Size of the backlog.
        now: The present moment.
        request_bytes: Size of a full request.

    Attributes:
        shipments: Where the backlog stands for it.
        shutdown: What is left to do before the environment ends; None while that has not begun.
        claim: What the invocation is held for; None: nothing of this route.
        is_called_last: What was there shortly before the invocation's deadline has been ordered out; that is done once.
        held_in_vain_s: How long invocations were held for it since the last delivery, for nothing.
        lagging: From where to where it is being passed by what waits for it; None: it is not.
        passing: Name of the limit within which that is to go on.
        late: Name of the limit within which a shipment that is late is to end.
    """

    def __init__(
        self, worker: str, policy: FlushPolicy, *, capacity_bytes: int, now: float, request_bytes: int = 0
    ) -> None:
        self.worker = worker
        self.policy = policy
        self.shipments = Shipments(capacity_bytes, now, worker, request_bytes)
        self.shutdown: Shutdown | None = None
        self.claim: Claim | None = None
        self.is_called_last = False
        self.held_in_vain_s = 0.0
        self.lagging: tuple[int, int] | None = None
        self.passing = f"{worker}'s passing"
        self.late = f"{worker}'s shipment"
