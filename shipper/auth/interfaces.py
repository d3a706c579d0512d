"""How a request proves who sends it. Types only: nothing loads this at run time."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from shipper.delivery.interfaces import Request
    from shipper.delivery.outcome import Outcome
    from shipper.transport.request import Headers
    from shipper.transport.response import Response
else:
    Protocol = object


class Auth(Protocol):
    """Says who sends the requests to one place.

    It is asked for every try, as the head of the try is written: after any wait for a connection, and again after a
    freeze, so that nothing it says has grown old meanwhile.
    """

    @property
    def secrets(self) -> "tuple[Secret, ...]":
        """What it has to fetch before it can say anything."""

    @property
    def is_ready(self) -> bool:
        """Whether it can."""

    def target(self, request: "Request") -> str:
        """Path and query of a try."""

    def headers(self, request: "Request") -> "Headers":
        """Header fields of a try, over those that the request has of its own."""

    def judged(self, outcome: "Outcome", response: "Response") -> "Outcome":
        """What an answer means, by what is known of who sends: a refusal may be worth another try."""


class Secret(Protocol):
    """What has to be fetched before requests can say who sends them: a secret by reference, or credentials.

    It is fetched between shipments, in a time of its own; while it is not known, records wait.
    """

    @property
    def is_known(self) -> bool:
        """Whether requests can be made."""

    def due_in_s(self) -> float:
        """Seconds until it is to be fetched: 0 for now, infinite for never."""

    def refresh(self) -> None:
        """Fetches it, and says what came of that; never raises for what a server or a network does."""
