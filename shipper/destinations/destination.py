"""What a destination is composed of.

An encoder writes records as items; a request builder makes requests of items; a sender takes them there and says what
became of them. What is behind HTTP has further parts (`http`).
"""

from collections.abc import Callable, Mapping, Sequence

from lifecycle.contract.settings import Settings
from shipper.delivery.interfaces import NO_LIMITS, Limits, Request, Shapes
from shipper.delivery.outcome import Outcome
from shipper.model.log_record import Encoder
from shipper.model.signals import LOGS, TRACES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from shipper.auth.interfaces import Secret
    from shipper.destinations.http import Place

    # Items, and the key that they have in common, to a request.
    RequestBuilder = Callable[[Sequence[bytes], str], Request]
else:
    Protocol = RequestBuilder = object


class Sender(Protocol):
    """Takes requests somewhere."""

    @property
    def label(self) -> str:
        """What may be logged of where: scheme, host and path, or file name."""

    @property
    def place(self) -> "Place | None":
        """Where that is, if it is behind HTTP."""

    @property
    def secrets(self) -> "tuple[Secret, ...]":
        """What has to be fetched before anything can be sent."""

    @property
    def is_ready(self) -> bool:
        """Whether anything can."""

    def send(self, request: Request) -> Outcome:
        """Makes a request; never raises for what a server, a network or a disk does."""

    def begin(self, request: Request, within_s: float) -> Callable[[], Outcome] | None:
        """Sends a request; what is returned waits for its answer. None if it cannot be sent ahead."""

    def warm(self) -> None:
        """Loads now what would be loaded when it is needed."""

    def close(self) -> None:
        """Lets go of what is open."""


class Endpoint:
    """Where the records of one signal go.

    Args:
        build: Makes requests of them.
        sender: Takes those there.
        limits: What it takes at once.
    """

    def __init__(self, build: RequestBuilder, sender: Sender, limits: Limits = NO_LIMITS) -> None:
        self.label = sender.label
        self.limits = limits
        self.place = sender.place
        self.secrets = sender.secrets
        self._build = build
        self._sender = sender

    @property
    def is_ready(self) -> bool:
        """Whether anything can be sent: nothing has to be fetched first."""
        return self._sender.is_ready

    @property
    def learnt(self) -> str:
        """What was found out of it that a successor need not find out again; "" for nothing."""
        return ""

    def learn(self, learnt: str) -> None:
        """Takes what a predecessor found out."""

    def forms(self) -> "dict[str, Endpoint]":
        """The forms in which requests may be written, by name, each as an endpoint that knows no other."""
        return {"": self}

    def build(self, items: Sequence[bytes], key: str = "") -> Request:
        """A request for some items."""
        return self._build(items, key)

    def send(self, request: Request) -> Outcome:
        """Makes a request and waits for its answer."""
        return self._sender.send(request)

    def begin(self, request: Request, within_s: float) -> Callable[[], Outcome] | None:
        """Sends a request ahead."""
        return self._sender.begin(request, within_s)

    def warm(self) -> None:
        """Loads now what would be loaded when it is needed."""
        self._sender.warm()

    def close(self) -> None:
        """Lets go of what is open."""
        self._sender.close()


class Destination:
    """Where telemetry goes.

    Args:
        encoder: Writes log records.
        endpoints: By signal.
        shapes: Writes spans and metrics; None where it takes none.
        load: Loads what is otherwise loaded when it is needed.
    """

    def __init__(
        self,
        encoder: Encoder,
        endpoints: Mapping[str, Endpoint],
        shapes: Shapes | None = None,
        load: Callable[[], None] = lambda: None,
    ) -> None:
        self.label = next(iter(endpoints.values())).label
        self.encoder = encoder
        self.endpoints = endpoints
        self.shapes = shapes
        self._load = load
        self._learnt: dict[str, str] = {}

    @property
    def learnt(self) -> dict[str, str]:
        """What was found out of each signal's endpoint, for a successor."""
        if len(self._learnt) < len(self.endpoints):  # what is found out stands
            self._learnt = {signal: endpoint.learnt for signal, endpoint in self.endpoints.items() if endpoint.learnt}
        return self._learnt

    def learn(self, learnt: Mapping[str, str]) -> None:
        """Takes what a predecessor found out."""
        self._learnt = {}
        for signal, text in learnt.items():
            if signal in self.endpoints:
                self.endpoints[signal].learn(text)

    @property
    def secrets(self) -> "list[Secret]":
        """What has to be fetched before everything can be sent, each once."""
        found = [secret for endpoint in self.endpoints.values() for secret in endpoint.secrets]
        return list(dict.fromkeys(found))

    @property
    def is_ready(self) -> bool:
        """Whether anything can be sent to one of its endpoints."""
        return any(endpoint.is_ready for endpoint in self.endpoints.values())

    def load(self) -> None:
        """Loads now the modules that its records would be written with."""
        self._load()

    def warm(self) -> None:
        """Loads now what would be loaded when it is needed."""
        self._load()
        for endpoint in self.endpoints.values():
            endpoint.warm()

    def close(self) -> None:
        """Lets go of what is open."""
        for endpoint in self.endpoints.values():
            endpoint.close()


def of_records(settings: Settings, encoder: Encoder, endpoint: Callable[[str], Endpoint]) -> Destination:
    """A destination of records alone: a span is one of them, where spans are asked for.

    Args:
        settings: Say which signals there are.
        encoder: Writes records.
        endpoint: Makes the endpoint of a signal; all go to the same place.
    """
    signals = settings.exported_signals() or (LOGS,)
    shapes = None
    if TRACES in signals:
        from shipper.destinations.span_records import SpanRecords

        shapes = SpanRecords(encoder)
    return Destination(encoder, {signal: endpoint(signal) for signal in signals}, shapes)
