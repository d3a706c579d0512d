"""While a secret has yet to be asked for: holds end at once, nothing is tried over and over, and no breaker opens."""

from collections.abc import Sequence

from lifecycle.contract.wire import SECRET
from lifecycle.machine.commands import FetchNext, Ship
from lifecycle.machine.events import Event, Invoked, OffsetCommitted, ShipmentStalled
from lifecycle.machine.machine import Machine, State
from tests.lifecycle.machine.conversation import machine, stored

PAUSE_S = 0.25


def invoked(told: Machine, number: int, now: float) -> list[object]:
    """One invocation, of which all telemetry is stored: what is ordered."""
    end = 100 * number
    heard: list[object] = [*told.handle(Invoked(str(number), now + 3.0), now)]
    return [*heard, *told.handle(stored(end, finished=str(number)), now + 0.01)]


def of(kind: type, orders: Sequence[object]) -> list[object]:
    """Those of one kind."""
    return [order for order in orders if isinstance(order, kind)]


def test_a_hold_ends_at_once_and_no_breaker_opens() -> None:
    """However often: it says nothing of the destination. What waits is delivered with the first that can be sent."""
    told = machine("end")
    for number in range(1, 21):
        now = float(number)
        (ship,) = of(Ship, invoked(told, number, now))
        assert isinstance(ship, Ship)
        assert told.state is State.HOLDING
        stalled: Event = ShipmentStalled(SECRET, PAUSE_S, ship.deadline)
        assert of(FetchNext, [*told.handle(stalled, now + 0.011)])
        assert not told.routes[0].policy.is_open
    (ship,) = of(Ship, invoked(told, 21, 21.0))
    assert isinstance(ship, Ship)
    assert (ship.since, ship.until) == (0, 2100)
    assert of(FetchNext, [*told.handle(OffsetCommitted(2100), 21.05)])


def test_nothing_is_held_or_tried_before_a_pause_is_over() -> None:
    """As much that waits would have it."""
    told = machine("end")
    assert of(Ship, [*told.handle(Invoked("1", 3.0), 0.0), *told.handle(stored(6000, start=0, finished="1"), 0.01)])
    orders = [*told.handle(ShipmentStalled(SECRET, PAUSE_S), 0.02)]
    assert of(FetchNext, orders)
    orders = [*told.handle(Invoked("2", 3.0), 0.03), *told.handle(stored(6100, finished="2"), 0.04)]
    assert not of(Ship, orders)
    assert of(Ship, [*told.handle(Invoked("3", 4.0), 0.5), *told.handle(stored(6200, finished="3"), 0.51)])
