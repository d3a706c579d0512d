"""What the machine is told and what it orders: events are past participles, effects imperatives.

Offsets are positions in the backlog; every moment is monotonic seconds.
"""

import msgspec


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
    """/next was answered `status`, 0 when the connection failed, or with an event of no known type."""

    status: int


class BatchStored(Event, frozen=True):
    """The collector stored a batch: see `wire.Stored`. `finished_age_s`: how long ago the last finished one ended."""

    start: int
    end: int
    finished: tuple[str, ...] = ()
    reported: tuple[str, ...] = ()
    finished_age_s: float | None = None


class IntakeHeld(Event, frozen=True):
    """The collector had to refuse a batch for want of room."""


class OffsetCommitted(Event, frozen=True):
    """The shipper got this far: see `wire.Shipped`."""

    through: int
    skip: int = 0
    owes: bool = False
    waits: bool = False


class ShipmentStalled(Event, frozen=True):
    """The shipper gave up for now: see `wire.Stalled`. `deadline` of the order it gave up; None: the last one's."""

    reason: str
    retry_after_s: float = 0.0
    deadline: float | None = None


class WorkerExited(Event, frozen=True):
    """A worker died. `was_ready`: it had loaded everything before."""

    worker: str
    was_ready: bool = True


class TimePassed(Event, frozen=True):
    """Nothing but the moment that `wakes_at` named."""


class Effect(msgspec.Struct, frozen=True, tag=True):
    """Something to do."""


class FetchNext(Effect, frozen=True):
    """Ask for the next event. `held_s`: how long after the function's end, as far as known."""

    reason: str
    held_s: float = 0.0


class Ship(Effect, frozen=True):
    """Have [since, until) delivered by `deadline`. `is_final`: nothing comes after it."""

    since: int
    skip: int
    until: int
    deadline: float
    reason: str
    is_final: bool = False


class Release(Effect, frozen=True):
    """Tell the collector that everything before `through` is delivered."""

    through: int


class StartWorker(Effect, frozen=True):
    """Replace a dead worker."""

    worker: str


class KillWorker(Effect, frozen=True):
    """End a worker that does not keep its deadline."""

    worker: str


class GoQuiet(Effect, frozen=True):
    """Say that workers keep dying and that nothing more is shipped."""


class Exit(Effect, frozen=True):
    """The end, with an exit status."""

    status: int
