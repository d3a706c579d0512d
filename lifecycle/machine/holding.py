"""While /next is withheld: for what, and when it is asked after all. Pure."""

from collections.abc import Iterator

from lifecycle.machine.events import Effect, FetchNext, KillWorker
from lifecycle.machine.invocation import Invocation
from lifecycle.machine.situation import REPORT_MARGIN_S, Situation
from lifecycle.machine.states import State

# By then and the platform's buffer an invocation's start has been told: a hold that a near deadline cuts shorter does
# not say that nobody listens.
TOLD_WITHIN_S = 0.2


def go_on_holding(known: Situation, invocation: Invocation, now: float) -> Iterator[Effect]:
    """An invocation is held until it is finished and delivered."""
    shipments = known.shipments
    current = shipments.current
    is_finished = invocation.finished_at is not None
    if known.is_quiet:
        yield from _let_go(known, now, "workers_keep_dying")
    elif is_finished and shipments.shipped >= invocation.hold_through:
        yield from _let_go(known, now, "delivered")
    elif is_finished and shipments.has_stalled and current is None:
        yield from _let_go(known, now, "not_delivered")
    elif now >= invocation.hold_ends:
        if not is_finished:
            known.policy.unfinished()
            if known.ending.last_stored < invocation.began <= now - known.buffer_s - TOLD_WITHIN_S:
                yield KillWorker("collector")  # not even the invocation's start was told: it may be stuck
        yield from _let_go(known, now, "budget_spent" if is_finished else "end_not_told")
    elif not is_finished and known.is_stuck(now):
        yield from _let_go(known, now, "backlog_stuck")
    elif not is_finished and known.policy.is_open:
        yield from _let_go(known, now, "breaker_open")
    elif not is_finished:
        yield from known.ship_alongside(now)
    elif current is None or not current.held:
        yield from known.ship(now, invocation.hold_ends - REPORT_MARGIN_S, "invocation_finished", held=True)


def go_on_overlapping(known: Situation, invocation: Invocation, now: float) -> Iterator[Effect]:
    """/next waits for the shipment alongside."""
    shipments = known.shipments
    current = shipments.current
    if current is None:
        yield from _let_go(known, now, "not_delivered" if shipments.has_stalled else "delivered")
    elif now >= invocation.hold_ends:
        yield from _let_go(known, now, "budget_spent")
    elif invocation.finished_at is None and known.is_stuck(now):
        yield from _let_go(known, now, "backlog_stuck")
    elif invocation.finished_at is not None and not current.held:
        yield from known.ship(now, invocation.hold_ends - REPORT_MARGIN_S, "invocation_finished", held=True)


def _let_go(known: Situation, now: float, reason: str) -> Iterator[Effect]:
    finished_at = known.invocation.finished_at if known.invocation else None
    known.state = State.WAITING
    yield FetchNext(reason, 0.0 if finished_at is None else now - finished_at)
    yield from known.ship_alongside(now)
