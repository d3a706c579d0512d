"""Shipments that hold nothing, alongside a running function: when one is due, and why. Pure."""

from lifecycle.machine.flush import FlushPolicy
from lifecycle.machine.invocation import Invocation
from lifecycle.machine.shipments import Shipments


def due_at(invocation: Invocation | None, shipments: Shipments, policy: FlushPolicy) -> float | None:
    """When something waits too long, or the invocation's deadline is near; None while nothing waits."""
    if not shipments.waiting_bytes:
        return None
    last_call_at = invocation.last_call_at if invocation else None
    timed = None if shipments.current else policy.due_at(shipments.waiting_since, shipments.last_ended)
    return min((at for at in (last_call_at, timed) if at is not None), default=None)


def due_reason(invocation: Invocation | None, now: float) -> str:
    """Why a shipment is due; an invocation's last call is made once."""
    if invocation and invocation.last_call_at and now >= invocation.last_call_at:
        invocation.last_call_at = None
        return "deadline_near"
    return "interval_passed"


def fills(shipments: Shipments, policy: FlushPolicy, capacity_bytes: int, now: float) -> bool:
    """Whether more than half of the backlog waits and nothing is done about it."""
    return 2 * shipments.waiting_bytes > capacity_bytes and shipments.current is None and policy.may_ship(now)
