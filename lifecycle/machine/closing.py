"""From SHUTDOWN to the exit: what is collected, the last shipment, and when it is over. Pure."""

import math
from collections.abc import Iterator

from lifecycle.machine.events import Effect, Exit
from lifecycle.machine.situation import Situation
from lifecycle.machine.states import State


def wakes_at(known: Situation) -> Iterator[float | None]:
    """When time alone changes something."""
    shipments, ending = known.shipments, known.ending
    if known.state is State.DRAINING:
        yield known.told_at
        return
    owes = shipments.owes and (shipments.current is not None or not known.can_ship)
    if shipments.waiting_bytes or owes:
        yield ending.ends_at if shipments.current is None else ending.heard_at
    else:
        yield known.told_at
    yield ending.stale_at(shipments)


def go_on_ending(known: Situation, now: float) -> Iterator[Effect]:
    """Collects until all is told, ships what there is, and ends."""
    shipments, ending = known.shipments, known.ending
    is_over = now >= ending.ends_at or known.is_quiet
    is_all_told = now >= known.told_at
    if known.state is State.DRAINING and (is_over or is_all_told):
        known.state = State.CLOSING
        shipments.has_stalled = False  # whatever came of it while collecting: one last try
    if shipments.waiting_bytes and not is_over and not shipments.has_stalled:
        current = shipments.current
        if known.state is State.DRAINING and known.policy.is_open:
            pass  # there may be time for one request only: it waits for the last report
        elif current and current.is_cut:
            pass  # what is ordered next would prolong it
        elif known.state is State.CLOSING and now >= (ending.stale_at(shipments) or math.inf):
            yield shipments.cut(now, "stale")
        elif current is None or current.until < shipments.end or current.deadline != ending.ends_at:
            yield from known.ship(now, ending.ends_at, "shutdown")
        elif known.state is State.CLOSING and not current.is_final:
            yield from known.ship(now, ending.ends_at, "shutdown")  # the same, and now known to be the last
    elif known.state is State.CLOSING and shipments.owes and not is_over and not shipments.has_stalled:
        if is_all_told and shipments.current is None and known.can_ship:
            yield shipments.order(now, ending.ends_at, "shutdown", held=False, is_final=True)
    elif is_over and not known.is_quiet and shipments.current and now < ending.heard_at:
        pass  # it ends now, and says what became of it
    elif known.state is State.CLOSING and (is_over or is_all_told or shipments.has_stalled):
        known.state = State.CLOSED
        yield Exit(ending.exit_status)
