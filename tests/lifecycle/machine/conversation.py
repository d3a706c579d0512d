"""What tests of the machine say to it, and hear of what it orders."""

from lifecycle.machine.commands import SHIPPER, Command, FetchNext, Ship
from lifecycle.machine.events import BatchStored, Invoked, NextFailed, OffsetCommitted, ShutdownRequested, TimePassed
from lifecycle.machine.flush import FlushPolicy, Traffic
from lifecycle.machine.machine import Machine, State
from lifecycle.machine.route import Route

CAPACITY = 10_000


# What the shippers of further routes are called here.
SECOND, THIRD = "shipper-second", "shipper-third"


def machine(
    mode: str = "end",
    *,
    budget_s: float = 0.5,
    freezes: bool = True,
    interval_s: float = 10.0,
    is_quick: bool = False,
    routes: int = 1,
    starts_all: bool = True,
) -> Machine:
    """A machine at moment 0; the platform holds a batch back for 25 ms. `is_quick`: so is the destination, as known."""
    traffic = Traffic(interval_s)
    policies = [
        FlushPolicy(traffic, mode, interval_s=interval_s, budget_s=budget_s, jitter=lambda: 1.0) for _ in range(routes)
    ]
    if is_quick:
        policies[0].delivered(0.0, 0.01)
    found = [
        Route(worker, policy, capacity_bytes=CAPACITY, now=0.0)
        for worker, policy in zip((SHIPPER, SECOND, THIRD), policies, strict=False)
    ]
    return Machine(traffic, found, buffer_s=0.025, freezes=freezes, now=0.0, starts_all=starts_all)


def alone(
    traffic: Traffic,
    policy: FlushPolicy,
    *,
    capacity_bytes: int = CAPACITY,
    buffer_s: float = 0.025,
    freezes: bool = True,
) -> Machine:
    """A machine at moment 0 that has one route."""
    route = Route("shipper", policy, capacity_bytes=capacity_bytes, now=0.0)
    return Machine(traffic, [route], buffer_s=buffer_s, freezes=freezes, now=0.0)


def stored(end: int, *, start: int | None = None, finished: str = "", reported: str = "") -> BatchStored:
    return BatchStored(
        start=end - 100 if start is None else start,
        end=end,
        finished=(finished,) if finished else (),
        reported=(reported,) if reported else (),
    )


def invoke(subject: Machine, at: float, request_id: str = "r1", timeout_s: float = 60.0) -> list[Command]:
    return subject.handle(Invoked(request_id, at + timeout_s), at)


def pass_time(subject: Machine, until: float) -> list[Command]:
    """Every moment that the machine wants to wake at, up to `until`; what it orders then."""
    commands: list[Command] = []
    for _ in range(10_000):
        if subject.wakes_at is None or subject.wakes_at > until:
            return commands
        commands += subject.handle(TimePassed(), subject.wakes_at)
    raise AssertionError("a timer that is busy")


def ships(commands: list[Command]) -> list[tuple[int, int, str]]:
    return [(command.since, command.until, command.reason) for command in commands if isinstance(command, Ship)]


def reasons_to_fetch(commands: list[Command]) -> list[str]:
    return [command.reason for command in commands if isinstance(command, FetchNext)]


def machine_in(state: State) -> tuple[Machine, float]:
    """A machine that has got to `state`, and the moment when it has."""
    subject = machine("interval" if state in (State.WAITING, State.OVERLAPPING) else "end", interval_s=1.0)
    if state is State.OVERLAPPING:
        subject.handle(stored(100), 0.0)
    invoke(subject, 1.0)
    if state is State.REFUSED:
        subject.handle(stored(100, finished="r1"), 1.1)
        subject.handle(OffsetCommitted(100), 1.2)
        subject.handle(NextFailed(500), 1.3)
        subject.handle(NextFailed(500), 1.4)
    now = 1.5
    if state in (State.DRAINING, State.CLOSING, State.CLOSED):
        subject.handle(stored(100), 1.5)
        subject.handle(ShutdownRequested("spindown", 4.0), 1.5)
    if state in (State.CLOSING, State.CLOSED):
        now = 2.0
        subject.handle(TimePassed(), now)
    if state is State.CLOSED:
        subject.handle(OffsetCommitted(100), now)
    assert subject.state is state
    return subject, now
