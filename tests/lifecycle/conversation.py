"""What tests of the machine say to it, and hear of what it orders."""

from lifecycle.machine.events import (
    BatchStored,
    Effect,
    FetchNext,
    Invoked,
    Ship,
)
from lifecycle.machine.flush import FlushPolicy
from lifecycle.machine.machine import Machine

CAPACITY = 10_000


def machine(mode: str = "end", *, budget_s: float = 0.5, freezes: bool = True, interval_s: float = 10.0) -> Machine:
    """A machine at moment 0; the platform holds a batch back for 25 ms."""
    policy = FlushPolicy(mode, interval_s=interval_s, budget_s=budget_s, jitter=lambda: 1.0)
    return Machine(policy, capacity_bytes=CAPACITY, buffer_s=0.025, freezes=freezes, now=0.0)


def stored(end: int, *, start: int | None = None, finished: str = "", reported: str = "") -> BatchStored:
    return BatchStored(
        start=end - 100 if start is None else start,
        end=end,
        finished=(finished,) if finished else (),
        reported=(reported,) if reported else (),
    )


def invoke(subject: Machine, at: float, request_id: str = "r1", timeout_s: float = 60.0) -> list[Effect]:
    return subject.handle(Invoked(request_id, at + timeout_s), at)


def ships(effects: list[Effect]) -> list[tuple[int, int, str]]:
    return [(effect.since, effect.until, effect.reason) for effect in effects if isinstance(effect, Ship)]


def reasons_to_fetch(effects: list[Effect]) -> list[str]:
    return [effect.reason for effect in effects if isinstance(effect, FetchNext)]
