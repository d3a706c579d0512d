"""What the machine is told: past participles. Offsets are positions in the backlog, moments are monotonic seconds."""

import msgspec

from lifecycle.machine.commands import SHIPPER


class Event(msgspec.Struct, frozen=True, tag=True):
    """Something that happened."""


class Invoked(Event, frozen=True):
    """/next was answered INVOKE. `deadline` is the function's, monotonic seconds."""

    request_id: str
    deadline: float


class ShutdownRequested(Event, frozen=True):
    """/next was answered SHUTDOWN, or a signal said so. `deadline` is when SIGKILL comes."""

    reason: str
    deadline: float


class NextFailed(Event, frozen=True):
    """/next was answered with the error `status`; 0 when the connection failed."""

    status: int


class UnknownEventReceived(Event, frozen=True):
    """/next was answered with an event of no known type."""


class BatchStored(Event, frozen=True):
    """The collector stored a batch: see `wire.Stored`. `finished_age_s`: how long ago the last finished one ended.

    `begun`: OTLP requests that were under way then.
    """

    start: int
    end: int
    finished: tuple[str, ...] = ()
    reported: tuple[str, ...] = ()
    finished_age_s: float | None = None
    begun: int = 0


class ExportStored(Event, frozen=True):
    """The collector stored an OTLP request of the function's, which says nothing about the platform."""

    start: int
    end: int


class ExportsSettled(Event, frozen=True):
    """The OTLP requests that were under way when an invocation ended are over: see `wire.Settled`."""

    through: int


class BacklogCrowded(Event, frozen=True):
    """What the collector has does not fit: see `wire.Crowded`."""


class IntakeHeld(Event, frozen=True):
    """The collector had to refuse a batch for want of room."""


class OffsetCommitted(Event, frozen=True):
    """A shipper got this far: see `wire.Shipped`. `gives_up`: by passing by what waited.

    `is_answer`: The destination took something, and it was not only that some of it needs no destination.
    """

    through: int
    skip: int = 0
    owes: bool = False
    waits: bool = False
    is_final: bool = True
    worker: str = SHIPPER
    is_late: bool = False
    gives_up: bool = False
    is_answer: bool = True


class ShipmentStalled(Event, frozen=True):
    """A shipper gave up for now: see `wire.Stalled`. `deadline` of the order it gave up; None: the last one's."""

    reason: str
    retry_after_s: float = 0.0
    deadline: float | None = None
    is_final: bool = True
    worker: str = SHIPPER


class WorkerReady(Event, frozen=True):
    """A worker has loaded everything."""

    worker: str


class WorkerAnswered(Event, frozen=True):
    """A worker that was asked is there."""

    worker: str


class RedactionFailed(Event, frozen=True):
    """What a route is to redact cannot be read: its shipper drops everything."""

    worker: str = SHIPPER


class WorkerExited(Event, frozen=True):
    """A worker died. `was_ready`: it had loaded everything before."""

    worker: str
    was_ready: bool = True


class TimePassed(Event, frozen=True):
    """Nothing but the moment that `wakes_at` named."""
