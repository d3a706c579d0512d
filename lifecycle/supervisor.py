"""The one loop: descriptors to events, commands to calls. No threads, no polling; decides nothing itself."""

import _signal  # type: ignore[import-not-found]
import gc
import os
import select
from time import monotonic

from lifecycle.arrivals import NextReader, event_of, fields
from lifecycle.boot import Booted
from lifecycle.contract.backlog import Backlog
from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings
from lifecycle.crew import Crew
from lifecycle.extensions_api import LocalApiError
from lifecycle.ledger import Ledger
from lifecycle.machine.commands import Command, Exit, FetchNext, GoQuiet, KillWorker, Release, Ship, StartWorker
from lifecycle.machine.deadlines import MS_PER_S, SHUTDOWN_S
from lifecycle.machine.events import Event, Invoked, NextFailed, ShutdownRequested, TimePassed, WorkerExited
from lifecycle.machine.flush import FlushPolicy
from lifecycle.machine.machine import Machine, State
from lifecycle.workers import name_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lifecycle.contract.spool import Spool

# How long /next waits for workers that warm up; they go on warming after it.
WARM_LIMIT_S = 5.0

# How long a dismissed worker has for its last line before it is ended.
GOODBYE_S = 0.1


def supervise(booted: Booted) -> int:
    """Runs the extension until SHUTDOWN or a signal.

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
        self._tells_ledger = "metrics" in settings.exported_signals()
        self._next_reader = NextReader(self._log)
        self._exit_status: int | None = None
        # A snapshot's copies would all be alike; each makes itself one of a kind at its first invocation.
        self._is_snapshot = settings.function.initialization_type == "snap-start"
        policy = FlushPolicy(
            settings.flush,
            interval_s=settings.flush_interval_ms / MS_PER_S,
            budget_s=settings.flush_budget_ms / MS_PER_S,
            jitter=_even,
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
        self._crew = Crew(
            listener, backlog, settings, self._log, warms=booted.warms_first, close=self._close_what_is_ours
        )
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
        for name in self._crew.names:
            self._crew.start(name, 0)
        self._say_started()
        if self._booted.warms_first:
            warm_by = monotonic() + WARM_LIMIT_S
            while not self._crew.is_ready and monotonic() < warm_by:
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
        self._crew.watch(poll)
        timeout_ms = None if until is None else max(0.0, until - monotonic()) * MS_PER_S
        ready = {fd for fd, _ in poll.poll(timeout_ms)}
        for name in self._crew.names:
            self._crew.send_waiting(name)
            self._read_reports(name)
        if self._wake in ready:
            self._read_signals()
        if connection.awaiting and connection.fileno() in ready:
            self._read_next()
        wakes_at = self._machine.wakes_at
        if wakes_at is not None and monotonic() >= wakes_at:
            self._handle(TimePassed())

    def _read_reports(self, name: str) -> None:
        for report in self._crew.reports(name):
            self._ledger.note(report)
            event = event_of(report, self._log)
            if event is not None:
                self._handle(event)

    def _read_signals(self) -> None:
        signals = os.read(self._wake, 512)
        if _signal.SIGCHLD in signals:
            for worker, exit_status in self._crew.dead():
                self._bury(worker, exit_status)
        for number, name in ((_signal.SIGTERM, "sigterm"), (_signal.SIGINT, "sigint")):
            if number in signals:
                self._booted.connection.close()  # whatever /next would still answer is too late
                self._handle(ShutdownRequested(name, monotonic() + SHUTDOWN_S))

    def _bury(self, worker: str, exit_status: int) -> None:
        self._read_reports(worker)  # what it said before it died counts
        was_ready = self._crew.bury(worker)
        if self._exit_status is None:
            self._log.warning("worker.exited", worker=worker, exit_status=exit_status)
        self._handle(WorkerExited(worker, was_ready))

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
        function = self._booted.settings.function
        function.instance_id = _instance_id()
        self._crew.restore(function.instance_id)
        self._log.debug("lifecycle.restored", instance_id=function.instance_id)

    # Commands to calls.

    def _handle(self, event: Event) -> None:
        if self._exit_status is not None:
            return  # it is over; what still comes is only counted
        before = self._machine.state
        commands = self._machine.handle(event, monotonic())
        if self._log.is_debug:
            waiting = self._machine.shipments.waiting_bytes
            self._log.debug("machine.handled", waiting_bytes=waiting, **fields(event))
            if self._machine.state is not before:
                self._log.debug("machine.state_changed", before=before.value, after=self._machine.state.value)
        for command in commands:
            if self._log.is_debug:
                self._log.debug("machine.ordered", **fields(command))
            self._obey(command)

    def _obey(self, command: Command) -> None:
        match command:
            case FetchNext():
                self._ledger.held_ms += command.held_s * MS_PER_S
                self._ask_next()
            case Ship():
                self._crew.ship(command, self._ledger.counts() if self._tells_ledger else {})
            case Release():
                self._crew.release(command.through)
            case StartWorker():
                self._crew.start(command.worker, self._machine.shipments.shipped)
            case KillWorker():
                self._log.warning("worker.stuck", worker=command.worker, effect="it is replaced")
                self._crew.kill(command.worker)
            case GoQuiet():
                self._log.error("worker.given_up", effect="workers keep dying; nothing more is collected or shipped")
                self._booted.close_listener()  # a refused connection is clearer than one that nobody accepts
                self._crew.kill()
            case Exit():
                self._exit_status = command.status

    def _ask_next(self) -> None:
        try:
            self._booted.ask_next()
        except OSError as exc:
            self._booted.connection.close()
            self._log.warning("next.failed", error=str(exc))
            self._handle(NextFailed(0))

    def _close_what_is_ours(self) -> None:
        self._booted.connection.close()
        os.close(self._wake)
        os.close(self._wake_in)

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
        self._crew.kill()
        self._log.error("lifecycle.abandoned", **self._ledger.line())

    def _end(self) -> None:
        """No orphans, and the last line."""
        self._crew.dismiss()
        ends_at = monotonic() + GOODBYE_S
        while self._crew.is_alive and monotonic() < ends_at:
            self._turn(ends_at)
        self._crew.kill()
        say = self._log.info if self._ledger.is_clean else self._log.warning
        say("lifecycle.ended", **self._ledger.line())


def _even() -> float:
    """A number from 0 up to 1, from the kernel: copies of a snapshot do not draw alike."""
    return int.from_bytes(os.urandom(7), "little") / 2**56


def _instance_id() -> str:
    """A name for this environment."""
    return os.urandom(8).hex()


def _spool(settings: Settings) -> "Spool | None":
    if not settings.spool_bytes:
        return None
    from lifecycle.contract.spool import Spool

    return Spool(settings.spool_path, settings.spool_bytes)
