"""Where the backlog stands for a route, and what its shipper is at. Pure facts, no decisions about when."""

import msgspec

from lifecycle.contract.frames import first_of, is_spooled, stretch_of
from lifecycle.machine.commands import SHIPPER, Ship

# A shipper that has not ended a shipment so long after its deadline is late, and one that is still at it when it was
# awake for so long after its deadline is stuck, and replaced. One that was
# ordered at shutdown to end it has less, since its successor needs the time: more than a batch takes on a small
# processor share.
LATE_AFTER_S = 0.1
STUCK_AFTER_S = 2.0
STUCK_AFTER_CUT_S = 0.5

# What waits takes memory, and where it is a full request's worth, it makes no fewer of them to wait for more.
SHIPPED_ALONGSIDE_BYTES = 1_048_576


class Shipment(msgspec.Struct, frozen=True):
    """What the shipper was last ordered.

    Attributes:
        until: Where it is to get.
        deadline: When it is to stop.
        allowed_s: How long it has from when it was last ordered.
        began: When it was first ordered.
        is_held: Whether an invocation is held for it.
        is_cut: Whether it was ordered to end at once.
        is_final: Whether it was ordered as the last one.
    """

    until: int
    deadline: float
    allowed_s: float
    began: float
    is_held: bool
    is_cut: bool = False
    is_final: bool = False

    @property
    def late_at(self) -> float:
        """From when on the shipper owes its end."""
        return self.deadline + LATE_AFTER_S

    @property
    def grace_s(self) -> float:
        """Time awake from then on within which the shipper ends it, or is stuck.

        The shipper goes by the time that it was awake. A shipment that holds nothing may have been frozen for all but a
        moment of its time, and then has it still before it.
        """
        if self.is_cut:
            return STUCK_AFTER_CUT_S - LATE_AFTER_S
        return STUCK_AFTER_S - LATE_AFTER_S + (0.0 if self.is_held else self.allowed_s)


class Shipments:
    """Offsets of the backlog and the shipment under way.

    Args:
        capacity_bytes: Size of the backlog.
        now: The present moment.
        worker: What the shipper is called.
        request_bytes: Size of a full request.

    Attributes:
        end: Offset where the backlog ends.
        shipped: Committed offset.
        skip: Records of the frame at `shipped` that are done.
        current: The shipment under way.
        waiting_since: When the oldest record that waits was stored or, after a delivery, at the latest; None when
            nothing waits.
        last_stored: When a batch of the platform's was last stored.
        last_ended: When a shipment last ended.
        last_committed: When the shipper last got somewhere.
        last_answered: When the destination last took something that it was sent by the shipment under way.
        begins_at: Offset, and events of the frame there, up to which what a predecessor left is delivered; None once
            that is behind, or something new is stored.
        owes: The shipper makes something of what it knows should nothing more come.
        has_stalled: The last shipment ended without delivery.
        is_intake_held: The platform still has a batch for which there was no room.
    """

    def __init__(self, capacity_bytes: int, now: float, worker: str = SHIPPER, request_bytes: int = 0) -> None:
        self._worker = worker
        self._capacity_bytes = capacity_bytes
        self._enough_bytes = min(capacity_bytes // 2, max(SHIPPED_ALONGSIDE_BYTES, request_bytes))
        self._filled_since: float | None = None
        self.end = self.shipped = self.skip = self._tried_until = 0
        self.begins_at: tuple[int, int] | None = None
        self.current: Shipment | None = None
        self.waiting_since: float | None = None
        self.last_stored = self.last_ended = self.last_committed = self.last_answered = now
        self.owes = self.has_stalled = self.is_intake_held = False

    @property
    def waiting_bytes(self) -> int:
        """Bytes of the backlog that are not yet delivered."""
        return self.end - self.shipped

    @property
    def waiting_share(self) -> float:
        """Share of the backlog that is not yet delivered; what overflows to a spool makes it more than 1."""
        return (self.end - self.shipped) / self._capacity_bytes

    @property
    def is_filling(self) -> bool:
        """Whether so much waits that it is shipped beside the running function, whatever the policy."""
        return self.waiting_bytes > self._enough_bytes

    def unanswered_s(self, now: float) -> float:
        """How long the shipment under way has been waiting for the destination to take something."""
        return now - max(self.current.began, self.last_answered) if self.current else 0.0

    def jammed_at(self, budget_s: float) -> float | None:
        """When the backlog counts as jammed should the destination take nothing; None while less than half of it waits.

        A full backlog sends the platform away, and with it the news that the function has finished.
        """
        return None if self._filled_since is None else max(self._filled_since, self.last_committed) + budget_s

    def stored(self, start: int, end: int, now: float, *, is_platform: bool = True) -> None:
        """A frame was stored at [start, end), with telemetry of the platform's or the function's own."""
        if self.shipped == self.end:
            self.shipped = start  # the ring may have begun anew
            self.waiting_since = now
        self.end = end
        if self.begins_at is not None:
            self._go_to(*self.begins_at, start)
        if is_platform:
            self.last_stored = now
            self.is_intake_held = False
        self._note_fill(now)

    def _go_to(self, offset: int, skip: int, start: int) -> None:
        """Passes by what a predecessor had delivered, up to the frame that it was at."""
        if self.end <= offset:
            self.shipped, self.waiting_since = self.end, None
            return
        self.begins_at = None
        if start == offset:
            self.skip = skip

    def intake_held(self) -> None:
        """The platform was sent away with a batch for which there was no room."""
        self.is_intake_held = True

    def committed(self, through: int, skip: int, now: float, *, owes: bool = False, waits: bool = False) -> bool:
        """The shipper got to (through, skip).

        Args:
            through: Offset of a frame.
            skip: Records of it that are done.
            now: The present moment.
            owes: Something is made of what the shipper knows should nothing more come.
            waits: That is all it can do before more telemetry is there: nothing is to be held for the rest.

        Returns:
            Whether the shipment ends with this.
        """
        self.shipped, self.skip, self.last_committed = through, skip, now
        self.owes = owes
        self.waiting_since = now if self.waiting_bytes else None
        self._note_fill(now)
        if self.current is None or (through < self.current.until and not waits):
            return False
        if waits:
            self.stalled(now)
        else:
            self.has_stalled = False
            self.ended(now)
        return True

    def passed(self, through: int, skip: int, now: float, *, owes: bool) -> None:
        """What waited up to (through, skip) is given up; the destination has taken nothing."""
        self.shipped, self.skip, self.owes = through, skip, owes
        self.waiting_since = now if self.waiting_bytes else None
        self._note_fill(now)

    def room_at(self) -> int:
        """How far what waits is to be given up where others need the room: half of the backlog may stay.

        Where it goes on in the spool, room is made by whole files: up to the end of the first one that waits.
        """
        first, last = stretch_of(self.shipped), stretch_of(self.end)
        if first == last and not is_spooled(self.end):
            return max(self.end - self._capacity_bytes // 2, self.shipped + 1)
        return first_of(first + (1 if is_spooled(self.shipped) else 2))

    def stalled(self, now: float) -> None:
        """The shipment ended without delivery of all."""
        self.has_stalled, self._tried_until = True, self.current.until if self.current else self.end
        self.ended(now)

    @property
    def has_more(self) -> bool:
        """More waits than the shipment that stalled was to take."""
        return self.end > self._tried_until

    def answered(self, now: float) -> None:
        """The destination took something of the shipment under way."""
        self.last_answered = now

    def ended(self, now: float) -> None:
        """The shipment is over, or the shipper that was at it."""
        self.current = None
        self.last_ended = now

    def forget_stall(self) -> None:
        """Whatever came of the last shipment, the next one is another matter."""
        self.has_stalled = False

    def begin(self, now: float, deadline: float, reason: str, *, is_held: bool, is_final: bool = False) -> Ship:
        """A shipment of all that waits; it replaces the one under way."""
        began = self.current.began if self.current else now
        self.has_stalled = False
        self.current = Shipment(
            until=self.end,
            deadline=deadline,
            allowed_s=max(0.0, deadline - now),
            began=began,
            is_held=is_held,
            is_final=is_final,
        )
        return Ship(self.shipped, self.skip, self.end, deadline, reason, is_final, self._worker)

    def cut(self, now: float, reason: str) -> Ship:
        """An end to the shipment under way; it is answered as one that stalled."""
        ship = self.begin(now, now, reason, is_held=False)
        if self.current:
            self.current = msgspec.structs.replace(self.current, is_cut=True)
        return ship

    def _note_fill(self, now: float) -> None:
        if self.waiting_share <= 1 / 2:
            self._filled_since = None
        elif self._filled_since is None:
            self._filled_since = now
