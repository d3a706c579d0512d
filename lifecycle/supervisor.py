"""The one loop: descriptors to events, commands to calls. No threads, no polling; decides nothing itself.

Here, and nowhere else, the platform's epoch milliseconds become monotonic seconds.
"""

import _signal  # type: ignore[import-not-found]
import gc
import os
import select
from collections.abc import Iterable, Iterator
from time import monotonic, sleep, time

from lifecycle.boot import Booted
from lifecycle.contract import wire
from lifecycle.contract.backlog import Backlog
from lifecycle.contract.frames import is_spooled
from lifecycle.contract.log import Log, fields_of
from lifecycle.contract.settings import Settings
from lifecycle.extensions_api import STATUS_OK, Answer, LocalApiError, PlatformEvent
from lifecycle.ledger import Ledger, line_of
from lifecycle.machine.commands import (
    COLLECTOR,
    SHIPPER,
    Command,
    Exit,
    FetchNext,
    GiveUp,
    KillWorker,
    PassBy,
    Ping,
    Release,
    Ship,
    StartWorker,
    WarnOfDeaths,
)
from lifecycle.machine.deadlines import MS_PER_S, SHUTDOWN_S, Deadlines
from lifecycle.machine.events import (
    BacklogCrowded,
    BatchStored,
    Event,
    ExportsSettled,
    ExportStored,
    IntakeHeld,
    Invoked,
    NextFailed,
    OffsetCommitted,
    RedactionFailed,
    ShipmentStalled,
    ShutdownRequested,
    TimePassed,
    UnknownEventReceived,
    WorkerAnswered,
    WorkerExited,
    WorkerReady,
)
from lifecycle.machine.flush import FlushPolicy, Traffic
from lifecycle.machine.machine import Machine, State
from lifecycle.machine.route import Route
from lifecycle.workers import WorkerPool, name_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lifecycle.contract.spool import Spool

# How long /next waits for workers that warm up; they go on warming after it.
WARM_LIMIT_S = 5.0

# Pauses before a supervisor is made again for which there were no descriptors.
START_PAUSES_S = (0.05, 0.1, 0.2, 0.4)

# What the line of the worker that reports, or that every line has, need not be repeated when the machine is told.
SAID_BY_WORKER = (
    *("start", "events", "body_bytes", "digest", "finished", "finished_epoch_s", "reported", "status"),
    *("requests", "wire_bytes", "request_id"),
)

# Objects made and not let go before cycles are looked for, here and in the workers, which make next to none. With the
# 700 that Python begins with it is done in each invocation, and takes a twentieth of what that costs.
MOST_YOUNG = 10_000

# Waits that are kept: usually there are two, with and without the answer to /next.
MOST_POLLS = 8

# How long a worker that is to exit has for its last line before it is ended.
EXIT_S = 0.1

# After an export was told, what the collector tells next may wait so long while a function runs: exporters come one
# after another, and to wake this process for each would cost more than all else that is done with it.
EXPORTS_TOGETHER_S = 0.005


def supervise(booted: Booted) -> int:
    """Runs the extension until SHUTDOWN or a signal.

    Returns:
        Exit status.
    """
    name_process("lifecycle")
    supervisor = _supervisor(booted)
    try:
        return supervisor.run()
    except Exception:
        supervisor.abandon()
        raise


def _supervisor(booted: Booted) -> "Supervisor":
    for pause_s in START_PAUSES_S:
        try:
            return Supervisor(booted)
        except OSError:
            sleep(pause_s)
    return Supervisor(booted)


class Supervisor:
    """Owns the backlog, the workers and the connection to the platform.

    Args:
        booted: What booting came to.
    """

    def __init__(self, booted: Booted) -> None:
        settings = booted.settings
        settings.function.instance_id = _instance_id()
        self._booted = booted
        self._log = Log("lifecycle", settings.log_level, settings.secrets())
        # By what the shipper of each route is called.
        first, *others = settings.routes
        self._routes = {SHIPPER: first, **{f"{SHIPPER}-{route.route}": route for route in others}}
        self._ledgers = {worker: Ledger() for worker in self._routes}
        # Those whose destinations take the ledger's counts.
        self._counting = {worker for worker, route in self._routes.items() if "metrics" in route.exported_signals()}
        self._next_reader = NextReader(self._log)
        self._exit_status: int | None = None
        # Until when the collector may wait to be heard.
        self._hears_at = 0.0
        # What the event was reported by that is handled next; None: it is none of a worker's, or of several exports.
        self._report: wire.Report | None = None
        # Routes whose breaker is open, by what their shippers are called.
        self._open: set[str] = set()
        # Of the invocation under way or, until the next one, over; "": of none.
        self._request_id = ""
        # A snapshot's copies would all be alike; each makes itself one of a kind at its first invocation.
        self._is_snapshot = settings.function.initialization_type == "snap-start"
        now = monotonic()
        tells_ends = booted.listener is not None
        traffic = Traffic(max(route.flush_interval_ms for route in self._routes.values()) / MS_PER_S)
        self._machine = Machine(
            traffic,
            [
                Route(
                    worker,
                    _policy(traffic, route, tells_ends=tells_ends),
                    capacity_bytes=settings.backlog_bytes,
                    now=now,
                    request_bytes=route.batch_bytes,
                )
                for worker, route in self._routes.items()
            ],
            buffer_s=settings.buffer_ms / MS_PER_S,
            freezes=not settings.function.is_managed,
            now=now,
            starts_all=booted.warms_first,
        )
        self._spool = _spool(settings)
        backlog = Backlog(settings.backlog_bytes, self._spool)
        if self._spool is not None:
            for route in self._machine.routes:
                name = self._routes[route.worker].route
                route.shipments.begins_at = self._spool.cursor(name)
                self._spool.forget_cursor(name)
        listener = booted.listener.fileno() if booted.listener else -1
        self._pool = WorkerPool(
            listener,
            backlog,
            settings,
            self._routes,
            self._log,
            warms=booted.warms_first,
            close=self._close_in_child,
            intake=tuple(one.fileno() for one in booted.intake),
        )
        self._signals, self._signals_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # By the descriptors that are waited for, with what of them: what waits for them.
        self._polls: dict[tuple[tuple[int, int], ...], select.poll] = {}
        _signal.set_wakeup_fd(self._signals_in, warn_on_full_buffer=False)
        for number in (_signal.SIGCHLD, _signal.SIGTERM, _signal.SIGINT):
            _signal.signal(number, lambda *_: None)

    def run(self) -> int:
        """The loop.

        Returns:
            Exit status.
        """
        gc.freeze()  # what is shared with the workers stays shared
        gc.set_threshold(MOST_YOUNG)
        gc.enable()
        for name in self._pool.names if self._booted.warms_first else (COLLECTOR,):
            self._spawn(name)
        self._say_started()
        if self._booted.warms_first:
            warm_by = monotonic() + WARM_LIMIT_S
            while not self._pool.is_ready and monotonic() < warm_by:
                self._turn(warm_by)
            if self._machine.state is State.WAITING:
                self._ask_next()
        while self._exit_status is None:
            self._turn(self._machine.wakes_at)
        self._end()
        return self._exit_status

    # Descriptors to events.

    def _turn(self, until: float | None) -> None:
        """Waits for something to happen, no longer than `until`, and handles it."""
        connection = self._booted.connection
        now = monotonic()
        hears_all = now >= self._hears_at or not self._machine.may_hear_late
        watched = self._pool.watched(but="" if hears_all else COLLECTOR)
        if not hears_all:
            until = self._hears_at if until is None else min(until, self._hears_at)
        platform = connection.fileno() if connection.awaiting else -1
        if platform >= 0:
            watched.append((platform, select.POLLIN))
        poll = self._polls.get(tuple(watched)) or self._poll_of(watched)
        timeout_ms = None if until is None else max(0.0, until - now) * MS_PER_S
        ready = dict(poll.poll(timeout_ms))
        for name in self._pool.reporting(ready):
            self._read_reports(name)
        if not hears_all:
            self._read_reports(COLLECTOR)
        if self._signals in ready:
            self._read_signals()
        if platform in ready and connection.awaiting:
            self._read_next()
        wakes_at = self._machine.wakes_at
        if wakes_at is not None and monotonic() >= wakes_at:
            self._handle(TimePassed())

    def _poll_of(self, watched: list[tuple[int, int]]) -> "select.poll":
        """What waits for these, and for signals; it is kept, since it is the same few that are waited for in turn."""
        if len(self._polls) >= MOST_POLLS:
            self._polls.clear()
        poll = self._polls[tuple(watched)] = select.poll()
        poll.register(self._signals, select.POLLIN)
        for fd, events in watched:
            poll.register(fd, events)
        return poll

    def _read_reports(self, name: str) -> None:
        events = self._events_of(name)
        # What a predecessor had of a spool is looked for frame by frame.
        for event in together(events) if self._booted.intake and self._spool is None else events:
            self._handle(event)
            if isinstance(event, ExportStored):
                self._hears_at = monotonic() + EXPORTS_TOGETHER_S

    def _events_of(self, name: str) -> Iterator[Event]:
        """What a worker has reported, counted, as events."""
        for report in self._pool.reports(name):
            for worker, ledger in self._ledgers.items():
                if name in (COLLECTOR, worker):
                    ledger.note(report)
            if self._spool is not None:
                self._note_spooled(self._spool, report, name)
            event = event_of(report, name, self._log)
            if event is not None:
                if self._log.is_debug:
                    self._report = report
                yield event

    def _note_spooled(self, spool: "Spool", report: wire.Report, name: str) -> None:
        """Keeps how far a route is with what lies in files, before these are let go; counts what it was with before."""
        match report:
            case wire.Shipped() if is_spooled(report.through):
                spool.keep_cursor(self._routes[name].route, report.through, report.skip)
                others = [one.shipments.shipped for one in self._machine.routes if one.worker != name]
                if min((report.through, *others)) >= self._machine.routes[0].shipments.end:
                    for route in self._routes.values():  # nothing is left in the files
                        spool.forget_cursor(route.route)
            case wire.Stored():
                for one in self._machine.routes:
                    if not report.is_found:  # nothing more is, and offsets of what is new may be any
                        one.shipments.begins_at = None
                    offset, skip = one.shipments.begins_at or (0, 0)
                    done = report.events if report.end <= offset else skip if report.start == offset else 0
                    self._ledgers[one.worker].shipped += min(done, report.events)

    def _read_signals(self) -> None:
        signals = os.read(self._signals, 512)
        if _signal.SIGCHLD in signals:
            for worker, exit_status in self._pool.reap():
                self._worker_exited(worker, exit_status)
        for number, name in ((_signal.SIGTERM, "sigterm"), (_signal.SIGINT, "sigint")):
            if number in signals:
                self._booted.connection.close()  # whatever /next would still answer is too late
                self._note_invocation("")
                self._handle(ShutdownRequested(name, monotonic() + SHUTDOWN_S))

    def _worker_exited(self, worker: str, exit_status: int) -> None:
        self._read_reports(worker)  # what it said before it died counts
        was_ready = self._pool.forget(worker)
        if worker in self._ledgers:
            self._ledgers[worker].note_unreported(self._pool.unreported(worker))
        is_wanted = self._exit_status is None
        self._handle(WorkerExited(worker, was_ready))
        if is_wanted:  # said when a successor is started, for whom somebody may wait: a first line takes 12 ms
            self._log.warning("worker.exited", worker=worker, exit_status=exit_status)

    def _read_next(self) -> None:
        try:
            answer = self._booted.connection.receive()
        except (OSError, LocalApiError) as exc:
            self._booted.connection.close()
            self._log.warning("next.failed", error=str(exc))
            self._handle(NextFailed(0))
            return
        if answer is not None:
            event = self._next_reader.event(answer)
            if isinstance(event, Invoked):
                if self._is_snapshot:
                    self._restore()
                self._note_invocation(event.request_id)
            elif isinstance(event, ShutdownRequested):
                self._note_invocation("")
            self._handle(event)

    def _restore(self) -> None:
        """Makes this copy of a snapshot one of a kind."""
        self._is_snapshot = False
        function = self._booted.settings.function
        function.instance_id = _instance_id()
        self._pool.restore(function.instance_id)
        self._log.debug("lifecycle.restored", instance_id=function.instance_id)

    # Commands to calls.

    def _handle(self, event: Event) -> None:
        if self._exit_status is not None:
            return  # it is over; what still comes is only counted
        self._pool.end_init()
        before = self._machine.state
        commands = self._machine.handle(event, monotonic())
        for ledger in self._ledgers.values():
            ledger.held_ms = self._machine.held_s * MS_PER_S
        for route in self._machine.routes:
            if route.policy.is_open is not (route.worker in self._open):
                self._open ^= {route.worker}
                self._say_breaker(route, event)
        if self._log.is_debug:
            self._say_handled(event, before)
        for command in commands:
            if self._log.is_debug:
                self._log.debug("machine.ordered", **fields_of(command))
            self._obey(command)

    def _note_invocation(self, request_id: str) -> None:
        """What is done and said from now on is for this invocation or, with "", for none."""
        self._request_id = request_id
        self._log.bind_process(request_id=request_id)

    def _say_handled(self, event: Event, before: State) -> None:
        said = {}
        if self._report is not None and not isinstance(event, ExportStored):
            said, self._report = fields_of(self._report, SAID_BY_WORKER), None
        said |= fields_of(event, SAID_BY_WORKER)
        if self._machine.state is not before:
            said |= {"before": before.value, "after": self._machine.state.value}
        waiting = self._machine.routes[0].shipments.end - self._machine.released
        self._log.debug("machine.handled", waiting_bytes=waiting, **said)

    def _say_breaker(self, route: Route, event: Event) -> None:
        fields = {**self._pool.fields_of(route.worker), **fields_of(event)}
        held_ms = round(route.held_in_vain_s * MS_PER_S, 1)
        if route.policy.is_open:
            effect = "no invocation is held for it; the destination is tried alongside running functions"
            self._log.warning("breaker.opened", held_in_vain_ms=held_ms, effect=effect, **fields)
        else:
            self._log.warning("breaker.closed", effect="invocations are held for it again", **fields)

    def _obey(self, command: Command) -> None:
        match command:
            case FetchNext():
                self._ask_next()
            case Ship():
                counts = self._ledgers[command.worker].counts() if command.worker in self._counting else {}
                self._pool.ship(command, counts, self._request_id)
            case GiveUp() | PassBy():
                self._give_up(command)
            case Release():
                self._pool.release(command.through)
            case StartWorker():
                self._spawn(command.worker)
            case Ping():
                self._pool.ping(command.worker)
                if self._machine.state is State.CLOSING:
                    self._log.load()  # the last shipment takes its time: the line about it comes right before the end
            case KillWorker():
                self._pool.kill(command.worker)
                self._log.warning("worker.stuck", worker=command.worker, effect="it is replaced")
            case WarnOfDeaths():
                effect = "it is started again, with pauses; no invocation is held meanwhile"
                self._log.error("worker.kept_dying", worker=command.worker, effect=effect)
            case Exit():
                self._exit_status = command.status

    def _give_up(self, command: GiveUp | PassBy) -> None:
        """Has what waits for a route passed by, by its shipper or, where there is none, here."""
        worker = command.worker
        shipments = next(route.shipments for route in self._machine.routes if route.worker == worker)
        since, skip = shipments.shipped, shipments.skip
        effect = "others need the room: its oldest records are given up, and counted as lagging"
        self._log.warning("route.lagging", route=self._routes[worker].route, effect=effect)
        if isinstance(command, GiveUp):
            self._pool.give_up(command, since, skip)
            return
        report = self._pool.pass_by(command, since, skip)
        self._ledgers[worker].note(report)
        self._handle(OffsetCommitted(report.through, owes=shipments.owes, worker=worker, gives_up=True))

    def _spawn(self, worker: str) -> None:
        """Forks a worker. That there is nothing to fork it with is a death like any other, and tried again."""
        try:
            self._pool.spawn(worker, self._machine.released)
        except OSError as exc:
            self._log.warning("worker.not_started", worker=worker, error=str(exc), effect="it is tried again")
            self._handle(WorkerExited(worker, was_ready=False))

    def _ask_next(self) -> None:
        try:
            self._booted.ask_next()
        except OSError as exc:
            self._booted.connection.close()
            self._log.warning("next.failed", error=str(exc))
            self._handle(NextFailed(0))

    def _close_in_child(self) -> None:
        """What a worker is not to keep: nobody but the supervisor speaks to the platform."""
        self._booted.connection.close()
        os.close(self._signals)
        os.close(self._signals_in)

    def _say_started(self) -> None:
        for problem in self._booted.settings.problems:
            self._log.warning("settings.value_ignored", **problem.explained())
        if self._booted.unsubscribed_reason:
            effect = "nothing is shipped but what the function itself exports"
            self._log.warning("lifecycle.unsubscribed", effect=effect, **self._booted.unsubscribed_reason)
        if self._log.is_debug:
            marks = self._booted.marks
            steps = {f"{step}_ms": round((at - marks["started"]) * MS_PER_S, 2) for step, at in marks.items()}
            self._log.debug("lifecycle.booted", flush=self._booted.settings.flush, **steps)

    def abandon(self) -> None:
        """After a failure of this process: nobody goes on acknowledging what nobody will ship."""
        self._booted.close_listeners()
        self._pool.kill()
        self._log.error("lifecycle.abandoned", **self._ledger_line())

    def _end(self) -> None:
        """No orphans, nothing that says where to export to, and the last line."""
        self._pool.dismiss()
        self._booted.close_listeners()
        ends_at = monotonic() + EXIT_S
        while self._pool.is_alive and monotonic() < ends_at:
            self._turn(ends_at)
        self._pool.kill()
        for name in self._pool.names:
            self._read_reports(name)
        for worker, ledger in self._ledgers.items():
            ledger.note_unreported(self._pool.unreported(worker))
            ledger.close()
        say = self._log.info if all(ledger.is_clean for ledger in self._ledgers.values()) else self._log.warning
        say("lifecycle.ended", **self._ledger_line())

    def _ledger_line(self) -> dict[str, object]:
        return line_of({self._routes[worker].route: ledger for worker, ledger in self._ledgers.items()})


class NextReader:
    """Reads answers to /next as events.

    Args:
        log: Where odd ones are said.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._deadlines = Deadlines()
        self._is_refused = False

    def event(self, answer: Answer) -> Event:
        """The event that an answer is."""
        if answer.status != STATUS_OK:
            shown = answer.body[:300].decode("utf-8", "replace")
            say = self._log.debug if self._is_refused else self._log.error  # once, however often it is asked
            say("next.refused", status=answer.status, answer=shown, effect="it is asked again, with pauses")
            self._is_refused = True
            return NextFailed(answer.status)
        self._is_refused = False
        try:
            event = PlatformEvent(answer.body)
        except LocalApiError as exc:
            self._log.warning("next.unknown", error=str(exc), effect="the next event is asked for")
            return UnknownEventReceived()
        match event.kind:
            case "INVOKE":
                deadline = self._deadlines.of_invocation(event.deadline_epoch_ms, epoch_s=time(), now=monotonic())
                return Invoked(event.request_id, deadline)
            case "SHUTDOWN":
                deadline = self._deadlines.of_shutdown(event.deadline_epoch_ms, epoch_s=time(), now=monotonic())
                return ShutdownRequested(event.shutdown_reason, deadline)
            case unknown:
                self._log.warning("next.unknown", event_type=unknown[:100], effect="the next event is asked for")
                return UnknownEventReceived()


def together(events: Iterable[Event]) -> Iterator[Event]:
    """Events with exports that follow one another as one: the machine has to look but once at what they come to."""
    exports: ExportStored | None = None
    for event in events:
        if isinstance(event, ExportStored):
            exports = ExportStored(exports.start, event.end) if exports else event
            continue
        if exports:
            yield exports
            exports = None
        yield event
    if exports:
        yield exports


def event_of(report: wire.Report, worker: str, log: Log) -> Event | None:
    """What a worker's report is to the machine; None when it is only counted."""
    match report:
        case wire.Stored():
            return _event_of_stored(report, log)
        case wire.Settled():
            return ExportsSettled(report.through)
        case wire.Shipped():
            return OffsetCommitted(
                through=report.through,
                skip=report.skip,
                owes=report.owes,
                waits=report.waits,
                is_final=report.is_final,
                is_late=report.is_late,
                worker=worker,
                gives_up=report.gives_up,
                is_answer=bool(report.events or report.completes),
            )
        case wire.Stalled():
            return ShipmentStalled(report.reason, report.retry_after_s, report.deadline, report.is_final, worker)
        case wire.Refused():
            return IntakeHeld() if report.reason == "full" else None
        case wire.Ready():
            return WorkerReady(worker)
        case wire.RedactionFailed():
            return RedactionFailed(worker)
        case wire.Pong():
            return WorkerAnswered(worker)
        case wire.Crowded() | wire.Overflowed():
            return BacklogCrowded()
        case wire.Repeated():
            return None


def _event_of_stored(report: wire.Stored, log: Log) -> Event:
    if report.signal:
        return ExportStored(report.start, report.end)
    if report.lost_events or report.lost_bytes:
        log.warning(
            "platform.logs_dropped",
            events=report.lost_events,
            lost_bytes=report.lost_bytes,
            effect="the platform gave them up before they were delivered to us",
        )
    # An age, since the two clocks may jump apart later.
    age_s = time() - report.finished_epoch_s if report.finished_epoch_s else None
    return BatchStored(report.start, report.end, report.finished, report.reported, age_s, report.begun)


def _policy(traffic: Traffic, settings: Settings, *, tells_ends: bool) -> FlushPolicy:
    """When to ship by a route. `tells_ends`: the platform tells of the ends of invocations."""
    return FlushPolicy(
        traffic,
        settings.flush,
        interval_s=settings.flush_interval_ms / MS_PER_S,
        budget_s=settings.flush_budget_ms / MS_PER_S,
        jitter=_uniform,
        can_hold=tells_ends and settings.can_hold,
    )


def _uniform() -> float:
    """A number from 0 up to 1, from the kernel: copies of a snapshot do not draw alike."""
    return int.from_bytes(os.urandom(7), "little") / 2**56


def _instance_id() -> str:
    """A name for this environment."""
    return os.urandom(8).hex()


def _spool(settings: Settings) -> "Spool | None":
    if not settings.spool_bytes:
        return None
    from lifecycle.contract.spool import Spool

    return Spool(settings.spool_path, settings.spool_bytes, frame_limit_bytes=settings.backlog_bytes)
