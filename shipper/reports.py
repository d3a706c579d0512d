"""Reports to the supervisor: how far a shipment got, and what became of every event on the way.

Owns the report pipe, and the batches that are not wholly reported. An event is reported once, in order, as soon as
every record that came from it is delivered or dropped; position, context and counts go with it.
"""

from collections import deque

import msgspec

from lifecycle.contract import wire
from lifecycle.contract.backlog import Backlog
from lifecycle.contract.counts import Counts
from lifecycle.contract.log import Log
from lifecycle.contract.wire import MOST_TEXT, Shipped, Stalled
from shipper.commands import Commands
from shipper.delivery.batch import Batch, Position
from shipper.model.context import packed
from shipper.model.events import sizes_at
from shipper.model.signals import METRICS, TRACES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Of batches up to this size, requests that follow one upon the other share a report: little is repeated should we die.
_SMALL_BATCH_BYTES = 65_536

# What events of the platform are made into, several together.
MADE_OF_PARTS = (TRACES, METRICS)

# Before every offset: the first command says where to begin.
NOWHERE = Position(-1)


class Tally(msgspec.Struct, frozen=True):
    """What became of some events; see `wire.Shipped`."""

    events: int = 0
    parts: int = 0
    parts_bytes: int = 0
    completes: bool = False
    dropped: dict[str, int] = {}
    dropped_bytes: dict[str, int] = {}
    unmapped: int = 0
    unredactable: int = 0
    otlp_shipped: dict[str, int] = {}
    otlp_dropped: dict[str, int] = {}


_NOTHING = Tally()


class Reports:
    """The report pipe.

    Args:
        pipe: Its write end.
        commands: What the reports answer; keeps what need not be reported at once.
        backlog: Where sizes are looked up.
        counts: Of requests since the last report.
        log: Says why a shipment stalls.
        owes: Something may be made of a context should nothing more come.
        learnt: What was found out of where each signal goes, so far.

    Attributes:
        position: As last reported.
        gives_up: What is reported was passed by.
        open: Batches with rows that are not reported, in order: what is deferred, then what is under way.
    """

    def __init__(
        self,
        pipe: int,
        commands: Commands,
        backlog: Backlog,
        counts: Counts,
        log: Log,
        *,
        owes: bool = False,
        learnt: "Callable[[], dict[str, str]]" = dict,
    ) -> None:
        self._pipe = pipe
        self._commands = commands
        self._backlog = backlog
        self._counts = counts
        self._log = log
        self._owes = owes
        self._learnt = learnt
        self._is_late = False
        self.position = NOWHERE
        self.gives_up = False
        self.open: deque[Batch] = deque()

    def begin_at(self, position: Position) -> None:
        """Forgets what is open: the supervisor says where to begin."""
        self.position = position
        self.open.clear()

    def note(self, batch: Batch) -> None:
        """Reports what is settled, or leaves it to the next report if that comes soon: each wakes the supervisor."""
        self._commands.waiting_report = self._report_settled
        if batch.is_done or batch.body_bytes > _SMALL_BATCH_BYTES:
            self._commands.report()

    def end(self, until: int, *, waits: bool = False) -> None:
        """Reports that a shipment got to `until`; `waits`: that it gets no further now, which is no failure."""
        self._commands.report()
        position = self.position
        if not waits:
            position = Position(max(until, position.through), 0, position.context)
        self._send(position, waits=waits)

    def stall(self, reason: str, retry_after_s: float = 0.0) -> None:
        """Reports that a shipment ends before its time, after what was taken."""
        self._commands.report()
        counts = self._counts.taken()
        reason = self._log.shown(reason)  # it may have in it what a server said
        self._log.debug("shipper.shipment_stalled", reason=reason, retry_after_s=retry_after_s)
        wire.send(
            self._pipe,
            Stalled(
                reason=reason[:MOST_TEXT],
                deadline=self._commands.deadline,
                retry_after_s=retry_after_s,
                requests=counts.requests,
                retries=counts.retries,
                wire_bytes=counts.wire_bytes,
                is_final=self._commands.is_final,
            ),
        )

    def _report_settled(self) -> None:
        """Reports the rows whose every record is delivered or dropped, up to the first that has another."""
        while self.open:
            batch = self.open[0]
            floor = batch.floor()
            if floor > batch.settled or (batch.is_done and not batch.is_reported):
                first, batch.settled = batch.settled, floor
                batch.is_reported = batch.is_done
                self._is_late, batch.is_late = batch.is_late, False
                self._send(batch.position(floor), self._settled(batch, first, floor))
            if not batch.is_done:
                return
            self.open.popleft()

    def _settled(self, batch: Batch, first: int, last: int) -> Tally:
        """What became of the rows [first, last); sizes are looked up only where something was given up."""
        events, dropped = batch.tally(first, last)
        shipped, given_up = batch.tally_exported(first, last) if batch.exported else ({}, {})
        parts = [size for row, size in batch.parts.items() if first <= row < last]
        events -= len(parts)
        if batch.lost:
            unknown = [row for row in batch.lost if first <= row < last and row not in batch.lost_bytes]
            batch.lost_bytes |= self._sizes(batch, unknown)
        dropped_bytes = batch.tally_bytes(first, last) if batch.lost else {}
        rejected = _rejected(batch, events - sum(shipped.values()), shipped, given_up) if batch.rejected else 0
        if rejected:
            # How many, but not which: of all that were in question, each counts alike.
            taken = [row for row in range(first, last) if row not in batch.lost]
            sizes = self._sizes(batch, [row for row in taken if row not in batch.exported])
            size = sum(sizes.values()) + sum(batch.lost_bytes[row] for row in taken if row in batch.exported)
            dropped["rejected"] = rejected
            dropped_bytes["rejected"] = round(size * rejected / events)
        completes = not batch.taken.isdisjoint(MADE_OF_PARTS)
        unmapped = sum(first <= row < last for row in batch.unmapped) if batch.unmapped else 0
        unredactable = sum(first <= row < last for row in batch.unredactable) if batch.unredactable else 0
        return Tally(
            events=events - rejected,
            parts=len(parts),
            parts_bytes=sum(parts),
            completes=completes,
            dropped=dropped,
            dropped_bytes=dropped_bytes,
            unmapped=unmapped,
            unredactable=unredactable,
            otlp_shipped=shipped,
            otlp_dropped=given_up,
        )

    def _sizes(self, batch: Batch, rows: list[int]) -> dict[int, int]:
        """Bytes of the events of some rows."""
        if not rows:
            return {}
        positions = {row: batch.position(row) for row in rows}
        places = {row: (position.through, position.skip) for row, position in positions.items()}
        since, _ = min(places.values())
        found = sizes_at(self._backlog.frames(since, self._commands.until), places.values())
        return {row: found.get(place, 0) for row, place in places.items()}

    def _send(self, position: Position, settled: Tally = _NOTHING, *, waits: bool = False) -> None:
        counts = self._counts.taken()
        self.position = position
        context, learnt = position.context, self._learnt()
        if learnt != context.learnt:
            context = msgspec.structs.replace(context, learnt=learnt)
        wire.send(
            self._pipe,
            Shipped(
                through=position.through,
                skip=position.skip,
                events=settled.events,
                parts=settled.parts,
                parts_bytes=settled.parts_bytes,
                completes=settled.completes,
                dropped=wire.folded(settled.dropped) if settled.dropped else {},
                dropped_bytes=wire.folded(settled.dropped_bytes) if settled.dropped_bytes else {},
                requests=counts.requests,
                retries=counts.retries,
                wire_bytes=counts.wire_bytes,
                unmapped=settled.unmapped,
                unredactable=settled.unredactable,
                otlp_shipped=settled.otlp_shipped,
                otlp_dropped=settled.otlp_dropped,
                context=packed(context),
                owes=self._owes and bool(context.open or context.phase or context.meters.values),
                waits=waits,
                is_final=self._commands.is_final,
                is_late=self._is_late,
                gives_up=self.gives_up,
            ),
        )


def _rejected(batch: Batch, events: int, shipped: dict[str, int], given_up: dict[str, int]) -> int:
    """How many of the delivered were rejected: known by the request, and what was in it may be reported later.

    Our own spans and data points are not events, and count as little here as they do elsewhere.

    Args:
        batch: Which they belong to.
        events: Of the platform that were delivered.
        shipped: Items of the function's own requests that were, by signal: less those of them that were rejected.
        given_up: Items that were given up: with these.
    """
    total, left = 0, events
    for signal, rejected in batch.rejected.items():
        of_requests = min(rejected, shipped.get(signal, 0))
        if of_requests:
            shipped[signal] -= of_requests
            given_up[signal] = given_up.get(signal, 0) + of_requests
        of_events = min(rejected - of_requests, left)
        left -= of_events
        batch.rejected[signal] -= of_requests + of_events
        total += of_requests + of_events
    return total
