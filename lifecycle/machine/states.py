"""What the supervisor can be waiting for, and which events each state allows.

The states are about GET /event/next: the platform may freeze the environment whenever that question is out and the
function has returned, so withholding it is the one means to get time after the function's return.
"""

from enum import Enum

from lifecycle.machine.events import (
    BatchStored,
    Event,
    IntakeHeld,
    Invoked,
    NextFailed,
    OffsetCommitted,
    ShipmentStalled,
    ShutdownRequested,
    TimePassed,
    WorkerExited,
)


class State(Enum):
    """What the supervisor waits for."""

    WAITING = "waiting"
    """/next is out: the platform may freeze the environment."""
    HOLDING = "holding"
    """An invocation runs or has just ended; /next is withheld until it is finished and delivered."""
    OVERLAPPING = "overlapping"
    """An invocation runs; /next is withheld until the shipment alongside ends."""
    REFUSED = "refused"
    """The platform refused /next; it is asked again later."""
    DRAINING = "draining"
    """SHUTDOWN came; the last telemetry is being collected."""
    CLOSING = "closing"
    """The last shipment is under way."""
    CLOSED = "closed"
    """All is done; terminal."""


_ALWAYS = (
    BatchStored,
    IntakeHeld,
    OffsetCommitted,
    ShipmentStalled,
    WorkerExited,
    TimePassed,
    ShutdownRequested,
)
# A signal stands for a SHUTDOWN at any time, so that one is legal while /next is withheld, too.
LEGAL_EVENTS: dict[State, tuple[type[Event], ...]] = {
    State.WAITING: (Invoked, NextFailed, *_ALWAYS),
    State.HOLDING: _ALWAYS,
    State.OVERLAPPING: _ALWAYS,
    State.REFUSED: _ALWAYS,
    State.DRAINING: _ALWAYS,
    State.CLOSING: _ALWAYS,
    State.CLOSED: (),
}
