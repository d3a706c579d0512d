"""What the supervisor is to do: imperatives. Offsets are positions in the backlog, moments are monotonic seconds."""

import msgspec

# What workers are called. A further route's shipper is called so, a hyphen and the route's name.
COLLECTOR = "collector"
SHIPPER = "shipper"


class Command(msgspec.Struct, frozen=True, tag=True):
    """Something to do."""


class FetchNext(Command, frozen=True):
    """Ask for the next event. `held_s`: how long after the function's end, as far as known."""

    reason: str
    held_s: float = 0.0


class Ship(Command, frozen=True):
    """Have a shipper deliver [since, until) by `deadline`. `is_final`: nothing comes after it."""

    since: int
    skip: int
    until: int
    deadline: float
    reason: str
    is_final: bool = False
    worker: str = SHIPPER


class GiveUp(Command, frozen=True):
    """Have a shipper pass by what waits: to the first frame at `at_least` or later, but not past `at_most`."""

    worker: str
    at_least: int
    at_most: int


class PassBy(Command, frozen=True):
    """Pass by what waits for a shipper that is not there; likewise."""

    worker: str
    at_least: int
    at_most: int


class Release(Command, frozen=True):
    """Tell the collector that everything before `through` is delivered, wherever it goes."""

    through: int


class StartWorker(Command, frozen=True):
    """Replace a dead worker."""

    worker: str


class Ping(Command, frozen=True):
    """Ask a worker whether it is there."""

    worker: str


class KillWorker(Command, frozen=True):
    """End a worker that is stuck."""

    worker: str


class WarnOfDeaths(Command, frozen=True):
    """Say that a worker keeps dying; it is replaced all the same, with pauses."""

    worker: str


class Exit(Command, frozen=True):
    """The end, with an exit status."""

    status: int
