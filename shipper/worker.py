"""The shipper's process: waits for a range of the backlog, delivers it, reports how far it got.

Decides nothing about when to ship, and keeps nothing that a replacement would miss: position and context are in every
report (`reports`).
"""

import time
from collections.abc import Callable, Iterable, Iterator

import msgspec

from lifecycle.contract import wire
from lifecycle.contract.backlog import Backlog, UnderWay
from lifecycle.contract.counts import Counts
from lifecycle.contract.frames import BrokenFrameError
from lifecycle.contract.heap import LARGE_BYTES, give_back_large_blocks
from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings
from lifecycle.contract.wire import CRASHED, LAGGING, SECRET, GiveUp, Ship
from shipper.commands import Commands
from shipper.delivery.batch import Batch, BatchLimits, Position
from shipper.delivery.delivery import Delivery
from shipper.destinations import registry
from shipper.errors import HeldError, SupervisorGoneError
from shipper.model.context import unpacked
from shipper.model.signals import LOGS, selected_by
from shipper.pipeline import Pipeline
from shipper.reports import NOWHERE, Reports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.destinations.destination import Destination
    from shipper.rules.rule_set import Rules

# In the last shipment so much is under way at once, as far as there is memory for it.
_MOST_TOGETHER = 4
_MOST_TOGETHER_BYTES = 2_097_152

# Up to this size a batch waits for the next one to be made, which may be of metrics alone and go with it.
_SMALL_BATCH_BYTES = 65_536

# So much waits in memory for endpoints that are not well, as requests have it; then nothing more is cut.
_MOST_DEFERRED_BYTES = 4_194_304

# While a secret is asked for no shipment is ordered for so long.
_SECRET_PAUSE_S = 0.25

# Between records a glance at the clock costs nothing; one at the pipe is a system call.
_LOOK_EVERY_S = 0.005


def warm(settings: Settings) -> None:
    """Loads what shipping may ever need, where init is on nobody's path."""
    from lifecycle.contract.lean import load_tenacity
    from shipper.invocations import phases  # noqa: F401
    from shipper.parse import exceptions, json_lines  # noqa: F401

    load_tenacity()
    warm_connections(settings)


def load(routes: Iterable[Settings]) -> None:
    """Loads what the shippers of several routes begin with, so that there is one copy of it in memory."""
    for settings in routes:
        if settings.exported_signals() != (LOGS,):
            from shipper.invocations import phases  # noqa: F401
        registry.load(settings)


def warm_connections(settings: Settings) -> None:
    """Loads what only the destination in use needs, above all TLS."""
    registry.warm(settings)


def run(
    *,
    commands: int,
    reports: int,
    backlog: Backlog,
    settings: Settings,
    log: Log,
    counts: Counts | None = None,
    under_way: UnderWay | None = None,
) -> None:
    """Ships until the command pipe is closed.

    Args:
        commands: Read end of the pipe of `Ship`.
        reports: Write end of the pipe of `Shipped` and `Stalled`.
        backlog: The shared ring.
        settings: Of the environment.
        log: The shipper's.
        counts: Of requests, which outlive this process; new ones unless given.
        under_way: At which event it is, which outlives it, too; likewise.
    """
    counts, under_way = counts or Counts(), under_way or UnderWay()

    def answer() -> None:
        wire.send(reports, wire.Pong())
        if commands_in.is_final:  # nobody asks in the last shipment unless it takes its time: it may end with a line
            log.load()

    commands_in = Commands(commands, pong=answer)
    rules = _rules(settings, log)
    if rules is not None:
        settings = rules.redacted_settings(settings)
        log.redact(rules.shown)
        if rules.sends_nothing:
            wire.send(reports, wire.RedactionFailed())
    destination = registry.create(settings, commands_in, log)
    worker = Worker(commands_in, reports, backlog, settings, destination, log, counts, under_way, rules)
    log.debug("shipper.started", destination=destination.label, batch_bytes=settings.batch_bytes)
    # Of a snapshot there are many copies: what is secret is not asked for before each is itself.
    may_refresh = settings.function.initialization_type != "snap-start"
    next_ship = _next_ship(commands_in, destination, reports, may_refresh=may_refresh)
    try:
        while True:
            ship = next_ship()
            if commands_in.restored is not None:
                settings.function.instance_id = commands_in.restored.instance_id
                commands_in.restored = None
                destination.close()
                learnt = destination.learnt
                destination = registry.create(settings, commands_in, log)
                destination.learn(learnt)
                worker = Worker(commands_in, reports, backlog, settings, destination, log, counts, under_way, rules)
                next_ship = _next_ship(commands_in, destination, reports, may_refresh=True)
                log.debug("shipper.restored", instance_id=settings.function.instance_id)
            if ship is not None:
                worker.ship(ship)
            if commands_in.gives_up is not None:
                worker.give_up(commands_in.gives_up)
    except (SupervisorGoneError, BrokenPipeError):
        log.debug("shipper.stopped")
    finally:
        destination.close()


def _next_ship(
    commands: Commands, destination: "Destination", reports: int, *, may_refresh: bool
) -> Callable[[], Ship | None]:
    """What waits for the next shipment; where there are secrets to fetch, it fetches them meanwhile."""
    secrets = destination.secrets
    if not secrets or not may_refresh:
        return commands.next
    from shipper.secret_refresh import SecretRefresh

    def refuse(ship: Ship) -> None:
        stalled = wire.Stalled(
            reason=SECRET, deadline=ship.deadline, retry_after_s=_SECRET_PAUSE_S, is_final=ship.is_final
        )
        wire.send(reports, stalled)

    return SecretRefresh(commands, secrets, lambda: destination.is_ready, refuse).next


class Worker:
    """One shipment after another.

    Args:
        commands: The supervisor's.
        reports: Where reports go.
        backlog: The shared ring.
        settings: Of the environment.
        destination: Where telemetry goes.
        log: The shipper's.
        counts: Of requests.
        under_way: At which event it is.
        rules: What leaves; None for everything.
    """

    def __init__(
        self,
        commands: Commands,
        reports: int,
        backlog: Backlog,
        settings: Settings,
        destination: "Destination",
        log: Log,
        counts: Counts | None = None,
        under_way: UnderWay | None = None,
        rules: "Rules | None" = None,
    ) -> None:
        self._commands = commands
        self._backlog = backlog
        self._log = log
        limits = BatchLimits(settings.batch_bytes, settings.batch_records)
        selection = selected_by(settings)
        shapes = destination.shapes
        self._pipeline = Pipeline(destination.encoder, limits, log, selection, shapes, rules, under_way)
        self._pipeline.between = self._between
        # While a batch is made: when the supervisor's commands are looked at next, and when the batch is to leave.
        self._look_at = self._leave_at = 0.0
        # What a shipment that ended early was at, each with the position it was cut from: the next one goes on with
        # it, and repeats nothing that was taken.
        self._unfinished: list[tuple[Position, Batch]] = []
        # Where the next batch begins; what is committed may be behind it.
        self._cut = NOWHERE
        # Not all was made of what was wanted: what waits has taken all the memory that there is for it.
        self._is_short = False
        self._doubt: HeldError | None = None
        # Where the last shipment ended with an exception that nobody expected.
        self._crashed_at: Position | None = None
        self._destination = destination
        self._delivery = Delivery(
            destination,
            commands,
            limits,
            base_s=settings.retry_base_ms / 1000,
            most_s=settings.retry_max_ms / 1000,
            log=log,
            unsupported=shapes.unsupported if shapes is not None else set(),
            counts=counts,
        )
        owes = (selection.traces or selection.metrics) and shapes is not None
        counts = self._delivery.counts
        self._reports = Reports(reports, commands, backlog, counts, log, owes=owes, learnt=lambda: destination.learnt)
        self._learn = destination.learn

    def ship(self, ship: Ship) -> None:
        """Makes one shipment, and ends it with a report.

        Raises:
            SupervisorGoneError: Nobody waits for it any more.
        """
        self._begin_at(ship)
        self._log.bind_process(request_id=ship.request_id)
        began_s, budget_s = time.monotonic(), self._commands.time_left_s()
        try:
            self._deliver()
        except HeldError as exc:
            self._reports.stall(f"{exc.reason}: {exc.detail}" if exc.detail else exc.reason, exc.retry_after_s)
        except BrokenFrameError as exc:
            self._log.error("shipper.frame_broken", error=str(exc))
            self._reports.stall("broken_frame")
        except (SupervisorGoneError, BrokenPipeError):
            raise
        except Exception as exc:
            # Begins again where it stood. If that ends so a second time, a successor knows what we were at, and passes
            # it through as text.
            if self._crashed_at == self._reports.position:
                raise
            self._crashed_at = self._reports.position
            from traceback import format_exc

            self._log.error("shipper.shipment_crashed", error=type(exc).__name__, traceback=format_exc())
            self._begin_anew()
            self._reports.stall(CRASHED)
        if self._log.is_debug:
            budget_ms, took_ms = round(budget_s * 1000, 1), round((time.monotonic() - began_s) * 1000, 1)
            self._log.debug("shipper.shipment_ended", budget_ms=budget_ms, took_ms=took_ms)
        self._log.bind_process(request_id="")  # what it does until the next one is for no invocation

    def give_up(self, command: GiveUp) -> None:
        """Passes by what others need the room of: it is read, and nothing of it is sent.

        Raises:
            SupervisorGoneError: Nobody waits for it any more.
        """
        reports, commands, pipeline = self._reports, self._commands, self._pipeline
        self._begin_at(command)
        began = reports.position
        through = self._backlog.boundary(command.since, command.at_least, command.at_most)
        commands.until = max(commands.until, command.at_most)
        self._destination.close()  # an answer that is still owed would be taken for another's
        self._cut_anew()
        reports.gives_up = True
        for batch in list(reports.open):
            batch.lose_before(through, LAGGING)
            reports.note(batch)
        commands.report()
        self._unfinished = [one for one in self._unfinished if not one[1].is_done]
        if self._cut.through < through:
            pipeline.between = self._look
            pipeline.look_ahead(self._backlog.frames(self._cut.through, through), self._cut, is_pressed=True)
            for batch in pipeline.passed(self._backlog.frames(self._cut.through, through), self._cut):
                reports.open.append(batch)
                batch.lose_before(through, LAGGING)
                self._cut = batch.end
                reports.note(batch)
                commands.report()
            pipeline.between = self._between
        if self._cut.through < through:  # what is left to the ring's end holds nothing, and is let go as well
            self._cut = Position(through, 0, self._cut.context)
        if reports.position == began or reports.position.through < through:
            reports.end(through, waits=reports.position.through >= through)
        reports.gives_up = False
        commands.gives_up = None

    def _look(self) -> bool:
        self._commands.look()
        return False

    def _begin_at(self, command: Ship | GiveUp) -> None:
        """Goes on from where the supervisor says, unless we are further: our report crossed it on the way."""
        if (command.since, command.skip) > (self._reports.position.through, self._reports.position.skip):
            context = unpacked(command.context)
            if command.has_gap:
                context = msgspec.structs.replace(context, open=(), phase=None, request_id="", kept="")
            self._cut = Position(command.since, command.skip, context)
            self._learn(self._cut.context.learnt)
            self._reports.begin_at(self._cut)
            self._unfinished.clear()

    def _cut_anew(self) -> None:
        """Forgets of what is unfinished that of which nothing was taken; it is made once more."""
        while self._unfinished and not (self._unfinished[-1][1].is_begun or self._unfinished[-1][1].is_done):
            self._cut, batch = self._unfinished.pop()
            if batch.settled:
                self._cut = batch.position(batch.settled)
            self._reports.open.pop()

    def _begin_anew(self) -> None:
        """Forgets all but what has been reported, and lets go of every connection."""
        self._destination.close()
        self._commands.waiting_report = None
        self._cut = self._reports.position
        self._reports.begin_at(self._cut)
        self._unfinished.clear()

    def _deliver(self) -> None:
        """Delivers everything up to where the supervisor wants it, and reports the end."""
        reports, commands = self._reports, self._commands
        is_reported = False
        self._doubt = None
        self._delivery.begin_shipment()
        while True:
            until, is_final = commands.until, commands.is_final
            self._is_short = False
            commands.aim = until
            try:
                for batches in self._together(until):
                    self._deliver_together(batches)
                    is_reported = True
                    del batches  # or they would be in memory beside the next ones while those are made
                if reports.open and commands.until <= until:
                    self._deliver_deferred(until)
                # Both may have moved on; where something is left, the command may still lie in the pipe.
                if reports.open:
                    commands.look()
            except HeldError:
                if commands.last is None:
                    raise
            finally:
                commands.aim = None
            if commands.last is not None:
                commands.begin(commands.last)
                self._doubt = None
                self._delivery.begin_shipment()
                continue
            has_moved = commands.until > until or commands.is_final != is_final
            if not has_moved and (reports.open or not self._is_short):
                break
        if reports.open and self._delivery.lacked_time:
            reports.stall("deadline")
        elif self._pipeline.waits or reports.open:
            reports.end(until, waits=True)
        elif reports.position.through < until or not is_reported:
            reports.end(until)

    def _deliver_together(self, batches: list[Batch]) -> None:
        started = time.monotonic()
        for batch in batches:
            if batch.body_bytes >= LARGE_BYTES:
                give_back_large_blocks()
        try:
            self._delivery.deliver(batches, self._reports.note)
        except HeldError as exc:
            if not exc.is_about_records or self._doubt is not None:
                raise
            # Whether a record is at fault, or its endpoint, the next batch may tell.
            self._doubt = exc
        self._commands.report()
        self._unfinished = [one for one in self._unfinished if one[1] not in batches]
        for batch in batches:
            if self._log.is_debug:
                self._say_shipped(batch, started)
            if not batch.is_done:
                batch.trim()

    def _deliver_deferred(self, until: int) -> None:
        """Tries again what signals still owe, now that the others have left; gives up what can wait no longer.

        That is what keeps its place in a backlog that is nearly full, or in the last shipment.
        """
        reports = self._reports
        self._delivery.deliver(list(reports.open), reports.note, with_deferred=True)
        is_pressed = self._is_pressed(until, reports.position)
        if is_pressed or self._commands.is_final:
            for batch in list(reports.open):
                self._delivery.give_up(batch, reports.note)

    def _together(self, until: int) -> Iterator[list[Batch]]:
        """Batches that are delivered together: all that is owed with the next one.

        That is followed by what only brings the shipment's metrics: a hold costs the time of one answer. In the last
        shipment, where there may be time for no other, several batches go together.
        """
        self._cut_anew()  # more may be in it now, and time for one request only
        owed, together, size = list(self._reports.open), list[Batch](), 0
        for batch in self._batches(until):
            if together and not self._is_one_more(together, batch):
                yield [*owed, *together]
                owed, together, size = [one for one in self._reports.open if one is not batch], [], 0
            together.append(batch)
            size += batch.body_bytes
            del batch
            if size > _SMALL_BATCH_BYTES and not self._commands.is_final:
                # The next one is not to be in memory beside it.
                yield [*owed, *together]
                owed, together, size = list(self._reports.open), [], 0
        if owed or together:
            yield [*owed, *together]

    def _is_one_more(self, together: list[Batch], batch: Batch) -> bool:
        """Whether a batch goes with those before it."""
        if not self._commands.is_final:
            return not batch.rows
        return len(together) < _MOST_TOGETHER and sum(one.body_bytes for one in together) < _MOST_TOGETHER_BYTES

    def _batches(self, until: int) -> Iterator[Batch]:
        """All from where the last one ended up to `until`."""
        is_open = self._reports.open
        pipeline, through = self._pipeline, self._cut.through
        self._leave_at = self._half_time()
        pipeline.ledger, pipeline.is_final = self._commands.ledger, self._commands.is_final
        is_pressed = self._is_pressed(until, self._cut)
        pipeline.look_ahead(self._backlog.frames(through, until), self._cut, is_pressed=is_pressed)
        for batch in pipeline.batches(self._backlog.frames(through, until), self._cut):
            self._unfinished.append((self._cut, batch))
            is_open.append(batch)
            self._cut = batch.end
            yield batch
            del batch
            self._leave_at = self._half_time()
            if is_open and not pipeline.is_final and sum(one.owed_bytes for one in is_open) > _MOST_DEFERRED_BYTES:
                self._is_short = True
                break

    def _between(self) -> bool:
        """Looks at the deadline and the commands between two records; whether the batch is to leave as it is.

        Half of the time is for making it, at most: what is made and has no time to be sent would be made in vain, again
        and again.

        Raises:
            HeldError: The deadline has come.
        """
        now = time.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + _LOOK_EVERY_S
        deadline = self._commands.deadline
        self._commands.look()
        if self._commands.deadline != deadline:
            self._leave_at = self._half_time()
        if self._commands.time_left_s() <= 0:
            raise HeldError("deadline")
        return now >= self._leave_at

    def _half_time(self) -> float:
        left_s = self._commands.time_left_s()
        return self._commands.deadline - left_s / 2

    def _is_pressed(self, until: int, since: Position) -> bool:
        """Whether the backlog has hardly room left to let what begins at `since` wait in it."""
        return 4 * (until - since.through) > 3 * self._backlog.capacity_bytes

    def _say_shipped(self, batch: Batch, started: float) -> None:
        self._log.debug(
            "shipper.batch_shipped",
            events=batch.rows,
            body_bytes=batch.body_bytes,
            through=batch.end.through,
            skip=batch.end.skip,
            took_ms=round((time.monotonic() - started) * 1000, 1),
        )


def _rules(settings: Settings, log: Log) -> "Rules | None":
    """The rules of the environment; None where there are none, and nothing is loaded."""
    is_whole = settings.sample >= 1 and not (settings.min_level or settings.drop or settings.keep or settings.redact)
    if is_whole:
        return None
    from shipper.rules.rule_set import Rules

    return Rules(settings, log)
