"""The one loop: descriptors to events, effects to calls. No threads, no polling; decides nothing itself."""

import _random
import _signal  # type: ignore[import-not-found]
import gc
import os
import select
from collections import deque
from time import monotonic, time

from lifecycle import wire
from lifecycle.arrivals import NextReader, fields
from lifecycle.backlog import Backlog
from lifecycle.boot import Booted
from lifecycle.deadlines import MS_PER_S, SHUTDOWN_S
from lifecycle.events import (
    BatchStored,
    Effect,
    Event,
    Exit,
    FetchNext,
    GoQuiet,
    IntakeHeld,
    Invoked,
    KillWorker,
    NextFailed,
    OffsetCommitted,
    Release,
    Ship,
    ShipmentStalled,
    ShutdownRequested,
    StartWorker,
    TimePassed,
    WorkerExited,
)
from lifecycle.flush import FlushPolicy
from lifecycle.ledger import Ledger
from lifecycle.local_api import LocalApiError
from lifecycle.log import Log
from lifecycle.machine import Machine
from lifecycle.settings import Settings
from lifecycle.states import State
from lifecycle.workers import Position, Worker, collector_body, name_process, shipper_body

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lifecycle.spool import Spool

# How long /next waits for workers that warm up; they go on warming after it.
WARM_LIMIT_S = 5.0

DIGEST_KEY_BYTES = 16

# How long a dismissed worker has for its last line before it is ended.
GOODBYE_S = 0.1


def supervise(booted: Booted) -> int:
    """Runs the extension until SHUTDOWN or a _signal.

    Returns:
        Exit status.
    """
    name_process("lifecycle")
    supervisor = Supervisor(booted)
    try:
        return supervisor.run()
    except Exception:
        supervisor.abandon()
        raise


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
        self._ledger = Ledger()
        self._tells_ledger = "metrics" in settings.wanted_signals()
        self._next_reader = NextReader(self._log)
        self._context = b""
        self._exit_status: int | None = None
        self._is_ready: set[str] = set()
        # A snapshot's copies would all be alike; each makes itself one of a kind at its first invocation.
        self._is_snapshot = settings.function.initialization_type == "snap-start"
        # Seeded per environment; the random module would cost a tenth of the boot.
        self._random = _random.Random(int.from_bytes(os.urandom(8), "big"))
        policy = FlushPolicy(
            settings.flush,
            interval_s=settings.flush_interval_ms / MS_PER_S,
            budget_s=settings.flush_budget_ms / MS_PER_S,
            jitter=self._random.random,
            can_hold="platform" in settings.types and settings.buffer_ms < settings.flush_budget_ms,
        )
        self._machine = Machine(
            policy,
            capacity_bytes=settings.backlog_bytes,
            buffer_s=settings.buffer_ms / MS_PER_S,
            freezes=not settings.function.is_managed,
            now=monotonic(),
        )
        backlog = Backlog(settings.backlog_bytes, _spool(settings))
        listener = booted.listener.fileno() if booted.listener else -1
        recent: deque[bytes] = deque(maxlen=wire.RECENT_BATCHES)
        self._position = Position(end=0, released=0, recent=recent, digest_key=os.urandom(DIGEST_KEY_BYTES))
        collect = collector_body(listener, backlog, self._position, settings, self._log)
        ship = shipper_body(listener, backlog, settings, self._log, warms=booted.warms_first)
        self._collector = Worker("collector", collect)
        self._shipper = Worker("shipper", ship)
        self._workers = {worker.name: worker for worker in (self._collector, self._shipper)}
        self._wake, wake_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wake_in = wake_in
        _signal.set_wakeup_fd(wake_in, warn_on_full_buffer=False)
        for number in (_signal.SIGCHLD, _signal.SIGTERM, _signal.SIGINT):
            _signal.signal(number, lambda *_: None)

    def run(self) -> int:
        """The loop.

        Returns:
            Exit status.
        """
        gc.freeze()  # what is shared with the workers stays shared
        gc.enable()
        for worker in self._workers.values():
            self._start(worker)
        self._say_started()
        if self._booted.warms_first:
            warm_by = monotonic() + WARM_LIMIT_S
            while len(self._is_ready) < len(self._workers) and monotonic() < warm_by:
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
        poll = select.poll()
        connection = self._booted.connection
        poll.register(self._wake, select.POLLIN)
        if connection.awaiting:
            poll.register(connection.fileno(), select.POLLIN)
        for worker in self._workers.values():
            if worker.reports >= 0:
                poll.register(worker.reports, select.POLLIN)
            if worker.is_backed_up:
                poll.register(worker.commands, select.POLLOUT)
        timeout_ms = None if until is None else max(0.0, until - monotonic()) * MS_PER_S
        ready = {fd for fd, _ in poll.poll(timeout_ms)}
        for worker in self._workers.values():
            worker.send_waiting()
            self._read_reports(worker)
        if self._wake in ready:
            self._read_signals()
        if connection.awaiting and connection.fileno() in ready:
            self._read_next()
        wakes_at = self._machine.wakes_at
        if wakes_at is not None and monotonic() >= wakes_at:
            self._handle(TimePassed())

    def _read_reports(self, worker: Worker) -> None:
        decoder = wire.collector_reports if worker is self._collector else wire.shipper_reports
        for packet in worker.packets():
            report = decoder.decode(packet)
            if self._log.is_debug:
                self._log.debug(f"{worker.name}.reported", **fields(report))
            if isinstance(report, wire.Ready):
                self._is_ready.add(worker.name)
                continue
            self._ledger.note(report)
            event = self._noted(report)
            if event is not None:
                self._handle(event)

    def _noted(self, report: wire.Stored | wire.Repeated | wire.Refused | wire.Shipped | wire.Stalled) -> Event | None:
        """Keeps what a successor needs to know, and says what the machine must."""
        match report:
            case wire.Stored():
                self._position.end = report.end
                self._position.recent.append(report.digest)
                if report.lost_events or report.lost_bytes:
                    self._log.warning(
                        "platform.logs_dropped",
                        events=report.lost_events,
                        lost_bytes=report.lost_bytes,
                        effect="the platform gave them up before they were delivered to us",
                    )
                # An age, since the two clocks may jump apart later.
                age_s = time() - report.finished_epoch_s if report.finished_epoch_s else None
                return BatchStored(report.start, report.end, report.finished, report.reported, age_s)
            case wire.Shipped():
                self._context = report.context
                return OffsetCommitted(report.through, report.skip, report.owes, report.waits)
            case wire.Stalled():
                return ShipmentStalled(report.reason, report.retry_after_s, report.deadline)
            case wire.Refused():
                return IntakeHeld() if report.reason == "full" else None
            case wire.Repeated():
                return None

    def _read_signals(self) -> None:
        signals = os.read(self._wake, 512)
        if _signal.SIGCHLD in signals:
            for worker in self._workers.values():
                self._bury(worker)
        for number, name in ((_signal.SIGTERM, "sigterm"), (_signal.SIGINT, "sigint")):
            if number in signals:
                self._booted.connection.close()  # whatever /next would still answer is too late
                self._handle(ShutdownRequested(name, monotonic() + SHUTDOWN_S))

    def _bury(self, worker: Worker) -> None:
        if not worker.pid:
            return
        pid, status = os.waitpid(worker.pid, os.WNOHANG)
        if not pid:
            return
        self._read_reports(worker)  # what it said before it died counts
        worker.buried()
        if self._exit_status is None:
            self._log.warning("worker.exited", worker=worker.name, exit_status=os.waitstatus_to_exitcode(status))
        was_ready = worker.name in self._is_ready
        self._is_ready.discard(worker.name)
        self._handle(WorkerExited(worker.name, was_ready))

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
            if self._is_snapshot and isinstance(event, Invoked):
                self._restore()
            self._handle(event)

    def _restore(self) -> None:
        """Makes this copy of a snapshot one of a kind."""
        self._is_snapshot = False
        self._random.seed(int.from_bytes(os.urandom(8), "big"))
        function = self._booted.settings.function
        function.instance_id = _instance_id()
        self._position.digest_key = os.urandom(DIGEST_KEY_BYTES)
        restored = wire.Restored(digest_key=self._position.digest_key, instance_id=function.instance_id)
        for worker in self._workers.values():
            worker.order(restored)
        self._log.debug("lifecycle.restored", instance_id=function.instance_id)

    # Effects to calls.

    def _handle(self, event: Event) -> None:
        if self._exit_status is not None:
            return  # it is over; what still comes is only counted
        before = self._machine.state
        effects = self._machine.handle(event, monotonic())
        if self._log.is_debug:
            waiting = self._machine.shipments.waiting_bytes
            self._log.debug("machine.handled", waiting_bytes=waiting, **fields(event))
            if self._machine.state is not before:
                self._log.debug("machine.state_changed", before=before.value, after=self._machine.state.value)
        for effect in effects:
            if self._log.is_debug:
                self._log.debug("machine.ordered", **fields(effect))
            self._take(effect)

    def _take(self, effect: Effect) -> None:
        match effect:
            case FetchNext():
                self._ledger.held_ms += effect.held_s * MS_PER_S
                self._ask_next()
            case Ship():
                self._shipper.order(
                    wire.Ship(
                        since=effect.since,
                        skip=effect.skip,
                        until=effect.until,
                        deadline=effect.deadline,
                        context=self._context,
                        is_final=effect.is_final,
                        ledger=self._ledger.counts() if self._tells_ledger else {},
                    )
                )
            case Release():
                self._collector.order(wire.Released(through=effect.through))
            case StartWorker():
                self._start(self._workers[effect.worker])
            case KillWorker():
                self._log.warning("worker.stuck", worker=effect.worker, effect="it is replaced")
                self._workers[effect.worker].kill()
            case GoQuiet():
                self._log.error("worker.given_up", effect="workers keep dying; nothing more is collected or shipped")
                self._booted.close_listener()  # a refused connection is clearer than one that nobody accepts
                for worker in self._workers.values():
                    worker.kill()
            case Exit():
                self._exit_status = effect.status

    def _ask_next(self) -> None:
        try:
            self._booted.ask_next()
        except OSError as exc:
            self._booted.connection.close()
            self._log.warning("next.failed", error=str(exc))
            self._handle(NextFailed(0))

    def _start(self, worker: Worker) -> None:
        self._position.released = self._machine.shipments.shipped
        worker.start(self._close_own)
        self._log.debug("worker.started", worker=worker.name, worker_pid=worker.pid)

    def _close_own(self) -> None:
        """In a child: closes what belongs to the supervisor alone."""
        self._booted.connection.close()
        os.close(self._wake)
        os.close(self._wake_in)
        for worker in self._workers.values():
            for fd in (worker.commands, worker.reports):
                try:
                    os.close(fd)
                except OSError:
                    continue

    def _say_started(self) -> None:
        for problem in self._booted.settings.problems:
            self._log.warning("settings.value_ignored", **problem.explained())
        if self._log.is_debug:
            marks = self._booted.marks
            steps = {f"{step}_ms": round((at - marks["started"]) * MS_PER_S, 2) for step, at in marks.items()}
            self._log.debug("lifecycle.booted", flush=self._booted.settings.flush, **steps)

    def abandon(self) -> None:
        """After a failure of this process: nobody goes on acknowledging what nobody will ship."""
        self._booted.close_listener()
        for worker in self._workers.values():
            worker.kill()
        self._log.error("lifecycle.abandoned", **self._ledger.line())

    def _end(self) -> None:
        """No orphans, and the last line."""
        for worker in self._workers.values():
            worker.dismiss()
        ends_at = monotonic() + GOODBYE_S
        while any(worker.pid for worker in self._workers.values()) and monotonic() < ends_at:
            self._turn(ends_at)
        for worker in self._workers.values():
            worker.kill()
        say = self._log.info if self._ledger.is_clean else self._log.warning
        say("lifecycle.ended", **self._ledger.line())


def _instance_id() -> str:
    """A name for this environment."""
    return os.urandom(8).hex()


def _spool(settings: Settings) -> "Spool | None":
    if not settings.spool_bytes:
        return None
    from lifecycle.spool import Spool

    return Spool(settings.spool_path, settings.spool_bytes)
