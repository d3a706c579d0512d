"""What delivery needs of others: of a destination, and of the shipment's clock.

A destination is a composition: for each signal it takes there is an endpoint, with limits of its own, that makes
requests of records and sends them. Delivery splits, repeats and isolates by the outcomes; it knows no HTTP.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from shipper.delivery.outcome import Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from shipper.model.metrics import Export
    from shipper.model.span import Span
else:
    Protocol = object


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What an endpoint says it takes; 0: it does not say.

    Attributes:
        request_bytes: Largest body.
        request_items: Most records in a request.
        item_bytes: Largest record; one that is larger is dropped without being sent.
        is_compressed: `request_bytes` counts the body as it is sent, and not as it is before compression.
    """

    request_bytes: int = 0
    request_items: int = 0
    item_bytes: int = 0
    is_compressed: bool = False


NO_LIMITS = Limits()


class Several(bytes):
    """A record that stands for several items of what the ledger counts, and can be divided between them.

    Attributes:
        items: How many.
    """

    items: int

    def divided(self) -> "tuple[bytes, ...]":
        """Its parts, in order; none where it cannot be divided."""
        raise NotImplementedError


class Joined(Several):
    """Records of as many rows of a batch that follow one another, one of each: lines that were written at once."""

    def each(self) -> "list[bytes]":
        """These records, in order."""
        raise NotImplementedError


def items_of(record: bytes) -> int:
    """How many items of what the ledger counts a record stands for."""
    return record.items if isinstance(record, Several) else 1


def is_ours(record: bytes) -> bool:
    """Whether we wrote a record, and not whoever exported it."""
    return not isinstance(record, Several) or isinstance(record, Joined)


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What an endpoint made of some records, ready to be sent. Delivery reads its sizes, the endpoint the rest.

    Attributes:
        body: As sent.
        body_bytes: Its size before compression.
        items: How many records are in it.
        method: For HTTP, like what follows.
        target: Path and query, as the request's first line has them.
        headers: Those that belong to this request, not to all of the endpoint.
    """

    body: bytes
    body_bytes: int
    items: int = 0
    method: str = "POST"
    target: str = ""
    headers: tuple[tuple[str, str], ...] = ()


class Endpoint(Protocol):
    """Where the records of one signal go."""

    @property
    def label(self) -> str:
        """Scheme, host and path, or file name: what may be logged."""

    @property
    def limits(self) -> Limits:
        """What it takes at once."""

    def build(self, items: Sequence[bytes], key: str = "") -> Request:
        """The request for some records.

        Args:
            items: As the encoder wrote them.
            key: Of all of them, where the encoder gives records keys by which requests are grouped.
        """

    def send(self, request: Request) -> Outcome:
        """Makes the request and waits for its answer; never raises for what a server or a network does."""

    def close(self) -> None:
        """Lets go of what is open; what is sent afterwards opens it anew."""

    def begin(self, request: Request, within_s: float) -> Callable[[], Outcome] | None:
        """Sends the request without waiting for its answer.

        Returns:
            What waits for the answer. None if the request cannot be sent within `within_s`, or not while another is
            under way: then nothing has been sent.
        """


class Destination(Protocol):
    """Where telemetry goes."""

    @property
    def label(self) -> str:
        """Scheme, host and path, or file name: what may be logged."""

    @property
    def endpoints(self) -> Mapping[str, Endpoint]:
        """By signal."""


class Timing(Protocol):
    """The deadline, and a sleep that keeps it."""

    @property
    def is_final(self) -> bool:
        """Whether no other shipment comes after this one."""

    def time_left_s(self) -> float:
        """Seconds until the deadline."""

    def pause(self, seconds: float) -> None:
        """Sleeps, not past the deadline."""


class Passing(Protocol):
    """A destination's way to take requests of OTLP as they came."""

    def is_taken(self, request: Several) -> bool:
        """Whether a request is in the encoding that is taken now."""

    def passed(self, request: Several) -> Several:
        """A request, or a part of one, as a record that stands for all of its items.

        Raises:
            ValueError: It is no request.
        """


class Shapes(Protocol):
    """A destination's way to write what is no log record.

    Attributes:
        unsupported: Signals that the destination turned out not to know, as delivery notes them.
        passing: Takes requests of OTLP as they came; None where the destination does not.
    """

    unsupported: set[str]

    @property
    def passing(self) -> "Passing | None":
        """See above; loaded with the first request."""

    def span(self, span: "Span") -> bytes:
        """A span as a record."""

    def metrics(self, export: "Export") -> list[bytes]:
        """What was measured as records."""
