"""The shipper's process: waits for a range of the backlog, delivers it, reports how far it got.

Owns its end of the two pipes. Decides nothing about when to ship, and keeps nothing that a replacement would
miss: position and context are in every report.
"""

import select
import time

from lifecycle import wire
from lifecycle.backlog import Backlog
from lifecycle.frames import BrokenFrameError
from lifecycle.log import Log
from lifecycle.settings import Settings
from lifecycle.wire import MOST_TEXT, Ship, Shipped, Stalled
from shipper.batches import Batch, Cutter, Limits, Position
from shipper.correlate import packed, unpacked
from shipper.delivery import Delivery
from shipper.destinations.base import Destination
from shipper.destinations.choose import chosen
from shipper.errors import HeldError, SupervisorGoneError
from shipper.orders import Orders
from shipper.transport import default_tls_context

# Before every offset: the first order says where to begin.
_NOWHERE = Position(-1)


def warm(settings: Settings) -> None:
    """Loads what shipping may ever need, where init is on nobody's path."""
    import httptools  # noqa: F401
    import tenacity  # noqa: F401

    for scheme in (settings.destination, settings.otlp_logs_endpoint, settings.otlp_endpoint):
        if scheme.startswith(("https:", "otlp+https:")):
            default_tls_context()


def run(*, commands: int, reports: int, backlog: Backlog, settings: Settings, log: Log) -> None:
    """Ships until the command pipe is closed.

    Args:
        commands: Read end of the pipe of `Ship`.
        reports: Write end of the pipe of `Shipped` and `Stalled`.
        backlog: The shared ring.
        settings: Of the environment.
        log: The shipper's.
    """
    orders = Orders(commands)
    destination = chosen(settings, orders.wait, log)
    worker = Worker(orders, reports, backlog, settings, destination, log)
    log.debug("shipper.started", destination=destination.label, batch_bytes=settings.batch_bytes)
    try:
        while True:
            ship = orders.next()
            if orders.restored is not None:
                settings.function.instance_id = orders.restored.instance_id
                orders.restored = None
                destination.close()
                destination = chosen(settings, orders.wait, log)
                worker = Worker(orders, reports, backlog, settings, destination, log)
                log.debug("shipper.restored", instance_id=settings.function.instance_id)
            worker.ship(ship)
    except (SupervisorGoneError, BrokenPipeError):
        log.debug("shipper.stopped")
    finally:
        destination.close()


class Worker:
    """One shipment after another.

    Args:
        orders: What the supervisor wants.
        reports: Where reports go.
        backlog: The shared ring.
        settings: Of the environment.
        destination: Where telemetry goes.
        log: The shipper's.
    """

    def __init__(
        self, orders: Orders, reports: int, backlog: Backlog, settings: Settings, destination: Destination, log: Log
    ) -> None:
        self._orders = orders
        self._reports = reports
        self._backlog = backlog
        self._log = log
        limits = Limits(settings.batch_bytes, settings.batch_records)
        self._cutter = Cutter(destination.encoder, limits, log, interleaved=settings.function.is_managed)
        self._delivery = Delivery(
            destination,
            orders,
            limits,
            base_s=settings.retry_base_ms / 1000,
            most_s=settings.retry_max_ms / 1000,
            log=log,
        )
        self._position = _NOWHERE

    def ship(self, ship: Ship) -> None:
        """Makes one shipment, and ends it with a report.

        Raises:
            SupervisorGoneError: Nobody waits for it any more.
        """
        # A `Ship` sent while our last report was on its way names an older position than ours.
        if (ship.since, ship.skip) > (self._position.through, self._position.skip):
            self._position = Position(ship.since, ship.skip, unpacked(ship.context))
        if self._log.is_debug:
            budget_ms = round(self._orders.time_left_s() * 1000, 1)
            self._log.debug(
                "shipper.shipment_started", since=ship.since, skip=ship.skip, until=ship.until, budget_ms=budget_ms
            )
        try:
            self._deliver()
        except HeldError as exc:
            self._stall(exc.reason, exc.retry_after_s)
        except BrokenFrameError as exc:
            self._log.error("shipper.frame_broken", error=str(exc))
            self._stall("broken_frame", 0.0)

    def _deliver(self) -> None:
        is_reported = False
        while True:
            until = self._orders.until
            for batch in self._cutter.batches(self._backlog.frames(self._position.through, until), self._position):
                started = time.monotonic()
                self._delivery.deliver(batch, self._settled)
                is_reported = True
                self._say_shipped(batch, started)
            # `until` may have moved on while the last batch was under way.
            if self._orders.until <= until:
                break
        if self._position.through < until or not is_reported:
            self._report(Position(max(until, self._position.through), 0, self._position.context), 0, {})
        self._log.debug("shipper.shipment_ended", through=self._position.through)

    def _say_shipped(self, batch: Batch, started: float) -> None:
        if self._log.is_debug:
            self._log.debug(
                "shipper.batch_shipped",
                events=batch.rows,
                body_bytes=batch.body_bytes,
                through=batch.end.through,
                skip=batch.end.skip,
                took_ms=round((time.monotonic() - started) * 1000, 1),
            )

    def _settled(self, batch: Batch) -> None:
        """Reports the rows of a batch that have come to rest."""
        floor = batch.floor()
        if floor > batch.settled:
            events, dropped = batch.tally(batch.settled, floor)
            batch.settled = floor
            self._report(batch.position(floor), events, dropped)

    def _report(self, position: Position, events: int, dropped: dict[str, int]) -> None:
        counts = self._delivery.counts.taken()
        if counts.rejected:
            dropped = dropped | {"rejected": counts.rejected}
            events -= counts.rejected
        self._position = position
        self._send(
            Shipped(
                through=position.through,
                skip=position.skip,
                events=events,
                dropped=dropped,
                requests=counts.requests,
                retries=counts.retries,
                wire_bytes=counts.wire_bytes,
                context=packed(position.context),
            )
        )

    def _stall(self, reason: str, retry_after_s: float) -> None:
        counts = self._delivery.counts
        self._log.debug("shipper.shipment_stalled", reason=reason, retry_after_s=retry_after_s)
        self._send(
            Stalled(
                reason=reason[:MOST_TEXT],
                deadline=self._orders.deadline,
                retry_after_s=retry_after_s,
                requests=counts.requests,
                retries=counts.retries,
            )
        )
        counts.requests = counts.retries = 0

    def _send(self, message: Shipped | Stalled) -> None:
        while True:
            try:
                wire.send(self._reports, message)
            except BlockingIOError:
                self._orders.wait(self._reports, select.POLLOUT, time.monotonic() + 1)
            else:
                return
