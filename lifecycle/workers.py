"""The worker processes: spawned, watched, messaged, reaped; and what a successor of any goes on from.

Forked, not started anew: they share the supervisor's pages, settings and backlog. Each gets a pair of pipes in
packet mode and keeps no other descriptor of ours, so that it ends when the supervisor does.
"""

import _signal  # type: ignore[import-not-found]
import fcntl
import gc
import os
import select
from collections import deque
from collections.abc import Callable, Collection, Iterator

from lifecycle.contract import heap, json_text, wire  # noqa: F401 - what both begin with is loaded once
from lifecycle.contract.backlog import Backlog, UnderWay
from lifecycle.contract.counts import Counts, Taken
from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings
from lifecycle.contract.wire import LAGGING
from lifecycle.machine import commands
from lifecycle.machine.commands import COLLECTOR, SHIPPER

REPORTS_PIPE_BYTES = 1_048_576

# Each command wakes its worker, and to be told of room costs the collector a fourth of what a batch does. Where it is
# alone with one shipper, and says itself when it has none, it is told of so much at once: some invocations' lines.
ROOM_BYTES = 32_768

DIGEST_KEY_BYTES = 16

# How long the first collector waits for the end of the function's init, of whose processor it would take 7 ms. An init
# that takes longer goes on beside it, so that what it logs is taken.
INIT_S = 1.0


class Worker:
    """One worker process and the pipes to it.

    Args:
        name: As the machine calls it.
        run: What the child runs, given the descriptors it reads commands from and writes reports to.
        log: Where the child says why it failed.
        kind: `collector` or `shipper`; unless given the name.
        fields: Of every line about it.

    Attributes:
        pid: The process; 0 while there is none.
        reports: Descriptor that reports arrive on; -1 while there is no process.
        commands: Descriptor that commands are written to; -1 likewise.
        is_ready: It has loaded everything.
        unsent: Commands that wait for room in the pipe, in order, the last of each kind.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[int, int, Log], None],
        log: Log,
        *,
        kind: str = "",
        fields: dict[str, object] | None = None,
    ) -> None:
        self.name = name
        self.kind = kind or name
        self.fields = fields or {}
        self.pid = 0
        self.reports = self.commands = -1
        self.is_ready = False
        self._run = run
        self._log = log
        self.unsent: dict[type[wire.Message], wire.Message] = {}
        # Says whether there is another report, which costs less than a read that fails.
        self._another = select.poll()

    def spawn(self, close: Callable[[], None]) -> None:
        """Forks.

        Args:
            close: Run first in the child: closes what belongs to the supervisor alone.

        Raises:
            OSError: There are no descriptors or no processes to be had; nothing is left of the try.
        """
        ends: list[int] = []
        try:
            ends += os.pipe2(os.O_DIRECT | os.O_CLOEXEC)
            ends += os.pipe2(os.O_DIRECT | os.O_CLOEXEC)
            their_commands, self.commands, self.reports, their_reports = ends
            _enlarge(their_reports)
            os.set_blocking(self.commands, False)
            os.set_blocking(self.reports, False)
            self._another = select.poll()
            self._another.register(self.reports, select.POLLIN)
            self.pid = os.fork()
        except OSError:
            self.commands = self.reports = -1
            for end in ends:
                os.close(end)
            raise
        if self.pid == 0:
            self.close()
            close()
            self._live(their_commands, their_reports)
        os.close(their_commands)
        os.close(their_reports)

    def _live(self, their_commands: int, their_reports: int) -> None:
        """The child's life; does not return."""
        status = 1
        gc.disable()  # loading makes next to nothing to collect, and a shipper's is looked through eight times
        log = self._log.named(self.kind, **self.fields)
        try:
            _signal.set_wakeup_fd(-1)
            _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
            for number in (_signal.SIGTERM, _signal.SIGINT):
                _signal.signal(number, _signal.SIG_IGN)  # the supervisor decides when all is done
            name_process(self.name)
            self._run(their_commands, their_reports, log)
            status = 0
        except BaseException:  # noqa: BLE001 - whatever it is, it is said before the process dies of it
            from traceback import format_exc

            log.error("worker.failed", traceback=format_exc())
        finally:
            os._exit(status)

    def send(self, command: wire.Message) -> None:
        """Sends a command.

        One that finds the pipe full waits, and a later one of its kind takes its place: that repeats all that counts of
        those before it. While there is no process nothing is sent: its successor is forked with all that it must know.
        """
        if self.commands < 0:
            return
        if self.unsent:
            self.unsent[type(command)] = command
            self.flush()
            return
        try:
            wire.send(self.commands, command)
        except BlockingIOError:
            self.unsent[type(command)] = command
        except BrokenPipeError:
            return  # it is dead, which its exit tells

    def flush(self) -> None:
        """Sends the commands that wait, as far as there is room now."""
        try:
            for kind, command in list(self.unsent.items()):
                wire.send(self.commands, command)
                del self.unsent[kind]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self.unsent.clear()  # it is dead, which its exit tells

    def packets(self) -> Iterator[bytes]:
        """The reports that have arrived; a closed pipe is the exit's business."""
        while self.reports >= 0:
            try:
                packet = wire.receive(self.reports)
            except BlockingIOError:
                return
            if not packet:
                os.close(self.reports)
                self.reports = -1
                return
            yield packet
            if self.reports < 0 or not self._another.poll(0):
                return

    def forget(self) -> None:
        """Lets go of a process that has been waited for."""
        self.close()
        self.pid = 0
        self.is_ready = False

    def close(self) -> None:
        """Closes our ends of the pipes."""
        self.close_commands()
        if self.reports >= 0:
            os.close(self.reports)
            self.reports = -1

    def close_commands(self) -> None:
        """Closes the command pipe, on which a worker exits by itself."""
        if self.commands >= 0:
            os.close(self.commands)
            self.commands = -1
        self.unsent.clear()

    def kill(self) -> None:
        """Ends the process; what it had not reported is done again by its successor."""
        if self.pid:
            os.kill(self.pid, _signal.SIGKILL)


class Shipper(Worker):
    """The shipper of one route, and what its successor goes on from.

    Args:
        name: As the machine calls it.
        settings: Of the route.
        run: What the child runs, given this and the descriptors it reads commands from and writes reports to.
        log: Where the child says why it failed.
        fields: Of every line about it.

    Attributes:
        settings: As given.
        context: Correlation state at the committed offset, unread.
        has_gap: What stood before that was passed by unread.
        counts: What the last one counted.
        under_way: At which event it was.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        run: "Callable[[Shipper, int, int, Log], None]",
        log: Log,
        *,
        fields: dict[str, object],
    ) -> None:
        super().__init__(name, lambda *pipes: run(self, *pipes), log, kind=SHIPPER, fields=fields)
        self.settings = settings
        self.context = b""
        self.has_gap = False
        self.counts = Counts()
        self.under_way = UnderWay()


class WorkerPool:
    """The collector, and a shipper for each route.

    Args:
        listener: Descriptor of the listening socket; -1: there is none.
        intake: Descriptors of those at which the function's own telemetry is taken.
        backlog: The shared ring.
        settings: Of the environment.
        routes: Settings of each route, by what its shipper is called.
        log: The supervisor's.
        warms: Whether shippers load all they may ever need before they say they are ready.
        close: Run first in each child: closes what belongs to the supervisor alone.
    """

    def __init__(
        self,
        listener: int,
        backlog: Backlog,
        settings: Settings,
        routes: dict[str, Settings],
        log: Log,
        *,
        warms: bool,
        close: Callable[[], None],
        intake: tuple[int, ...] = (),
    ) -> None:
        self._listener = listener
        self._intake = intake
        self._backlog = backlog
        self._settings = settings
        self._log = log
        self._warms = warms
        self._close = close
        # What a new collector goes on from: where the last reported batch ended, before where all is delivered, and the
        # digests of the last batches and of the last OTLP requests, with their key.
        self._end = self._released = 0
        # How far all is delivered, of which the collector may not know yet; what of it is worth a command, and whether
        # a batch waits for any.
        self._delivered = 0
        is_alone = len(routes) == 1 and not intake and backlog.spool is None
        self._room_bytes = min(ROOM_BYTES, backlog.capacity_bytes // 8) if is_alone else 0
        self._is_crowded = False
        self._recent: deque[bytes] = deque(maxlen=wire.RECENT_BATCHES)
        self._recent_exports: deque[bytes] = deque(maxlen=wire.RECENT_BATCHES)
        self._digest_key = os.urandom(DIGEST_KEY_BYTES)
        self._have_loaded = False
        # The function's init is not over, as far as known: the first collector is to load nothing yet.
        self._is_in_init = not warms
        self._collector = Worker(COLLECTOR, self._run_collector, log)
        self._shippers = {
            name: Shipper(name, route, self._run_shipper, log, fields={"route": route.route})
            for name, route in routes.items()
        }
        self._workers: dict[str, Worker] = {COLLECTOR: self._collector, **self._shippers}

    @property
    def names(self) -> tuple[str, ...]:
        """What the workers are called."""
        return tuple(self._workers)

    def fields_of(self, name: str) -> dict[str, object]:
        """What lines about a worker say of it."""
        return self._workers[name].fields

    @property
    def is_ready(self) -> bool:
        """Whether all have loaded everything."""
        return all(worker.is_ready for worker in self._workers.values())

    @property
    def is_alive(self) -> bool:
        """Whether one of them is not yet reaped."""
        return any(worker.pid for worker in self._workers.values())

    def spawn(self, name: str, released: int) -> None:
        """Forks one; everything before `released` is delivered.

        Raises:
            OSError: There are no descriptors or no processes to be had.
        """
        worker = self._workers[name]
        if worker is self._collector:
            self._released = self._delivered = released
            self._is_crowded = False
        if worker is not self._collector and len(self._shippers) > 1:
            self._share()
        worker.spawn(self._close_in_child)
        self._log.debug("worker.started", worker=name, worker_pid=worker.pid)

    def _share(self) -> None:
        """Loads what shippers begin with before the first of several is forked: they have it in memory once."""
        if not self._have_loaded:
            from shipper import worker

            self._have_loaded = True
            worker.load(shipper.settings for shipper in self._shippers.values())
            gc.freeze()

    def _close_in_child(self) -> None:
        self._close()
        for worker in self._workers.values():
            worker.close()

    def _run_collector(self, their_commands: int, their_reports: int, log: Log) -> None:
        if self._is_in_init:
            poll = select.poll()
            for fd in (their_commands, *self._intake):  # whoever exports meanwhile waits for nothing
                poll.register(fd, select.POLLIN)
            poll.poll(INIT_S * 1000)
        from collector.server import run

        _keep_loaded()
        wire.send(their_reports, wire.Ready())
        run(
            listener=self._listener,
            commands=their_commands,
            reports=their_reports,
            backlog=self._backlog,
            end=self._end,
            released=self._released,
            recent=self._recent,
            digest_key=self._digest_key,
            settings=self._settings,
            log=log,
            intake=self._intake,
            recent_exports=self._recent_exports,
        )

    def _run_shipper(self, shipper: Shipper, their_commands: int, their_reports: int, log: Log) -> None:
        for listener in (self._listener, *self._intake):
            if listener >= 0:
                os.close(listener)
        from shipper import worker

        if self._warms:
            worker.warm(shipper.settings)
        else:  # it is started when there is time for that, which is not when it is to ship
            worker.warm_connections(shipper.settings)
        _keep_loaded()
        wire.send(their_reports, wire.Ready())
        worker.run(
            commands=their_commands,
            reports=their_reports,
            backlog=self._backlog,
            settings=shipper.settings,
            log=log,
            counts=shipper.counts,
            under_way=shipper.under_way,
        )

    # What they report.

    def watched(self, *, but: str = "") -> list[tuple[int, int]]:
        """The descriptors on which they report, and those on which a command waits for room, each as poll(2) has it.

        Args:
            but: The one whose reports can wait.
        """
        found = []
        for worker in self._workers.values():
            if worker.reports >= 0 and worker.name != but:
                found.append((worker.reports, select.POLLIN))
            if worker.unsent:
                found.append((worker.commands, select.POLLOUT))
        return found

    def reporting(self, ready: Collection[int]) -> list[str]:
        """Those that report on one of some descriptors; commands that wait are sent as far as there is room."""
        found = []
        for worker in self._workers.values():
            if worker.unsent:
                worker.flush()
            if worker.reports in ready:
                found.append(worker.name)
        return found

    def reports(self, name: str) -> Iterator[wire.Report]:
        """What one has reported; what its successor goes on from is kept."""
        worker = self._workers[name]
        decoder = wire.collector_reports if worker is self._collector else wire.shipper_reports
        for packet in worker.packets():
            report = decoder.decode(packet)
            if isinstance(report, wire.Ready):
                worker.is_ready = True
            elif isinstance(report, wire.Stored):
                if self._released >= self._end:  # it knew that nothing waited, and may have begun the ring anew
                    self._released = report.start
                self._end = report.end
                self._is_crowded = False
                (self._recent_exports if report.signal else self._recent).append(report.digest)
            elif isinstance(report, wire.Shipped):
                shipper = self._shippers[name]
                shipper.context, shipper.has_gap = report.context, False
            elif isinstance(report, wire.Crowded):
                self._is_crowded = True
                self._tell_of_room()
            yield report

    def reap(self) -> Iterator[tuple[str, int]]:
        """Who has died, and the exit status. What it reported before is to be read, and then it is to be forgotten."""
        for worker in self._workers.values():
            if worker.pid:
                pid, status = os.waitpid(worker.pid, os.WNOHANG)
                if pid:
                    yield worker.name, os.waitstatus_to_exitcode(status)

    def unreported(self, name: str) -> Taken:
        """What a shipper that is dead had counted and not reported."""
        return self._shippers[name].counts.taken()

    def forget(self, name: str) -> bool:
        """Lets go of a process that was reaped; whether it had loaded everything."""
        was_ready = self._workers[name].is_ready
        self._workers[name].forget()
        return was_ready

    # What they are to do.

    def ship(self, shipment: commands.Ship, ledger: dict[str, int], request_id: str) -> None:
        """Has a shipper deliver, for an invocation or, with "", for none; `ledger` is for the destination."""
        shipper = self._shippers[shipment.worker]
        shipper.send(
            wire.Ship(
                since=shipment.since,
                skip=shipment.skip,
                until=shipment.until,
                deadline=shipment.deadline,
                context=shipper.context,
                is_final=shipment.is_final,
                ledger=ledger,
                has_gap=shipper.has_gap,
                request_id=request_id,
            )
        )

    def give_up(self, command: commands.GiveUp, since: int, skip: int) -> None:
        """Has a shipper pass by what waits from (since, skip) on."""
        shipper = self._shippers[command.worker]
        shipper.send(
            wire.GiveUp(
                since=since,
                skip=skip,
                context=shipper.context,
                has_gap=shipper.has_gap,
                at_least=command.at_least,
                at_most=command.at_most,
            )
        )

    def pass_by(self, command: commands.PassBy, since: int, skip: int) -> wire.Shipped:
        """Passes by what waits from (since, skip) on for a shipper that is dead; what would have been its report."""
        shipper = self._shippers[command.worker]
        shipper.has_gap = True
        through = self._backlog.boundary(since, command.at_least, command.at_most)
        events = size = 0
        for frame in self._backlog.frames(since, through):
            passed = skip if frame.start == since else 0
            events += frame.events - passed
            size += len(frame.payload) * (frame.events - passed) // max(1, frame.events)
        dropped, dropped_bytes = ({LAGGING: events}, {LAGGING: size}) if events else ({}, {})
        return wire.Shipped(
            through=through, dropped=dropped, dropped_bytes=dropped_bytes, context=shipper.context, gives_up=True
        )

    def end_init(self) -> None:
        """The function's init is over, as far as known: a collector that waited for it waits no longer."""
        if self._is_in_init:
            self._is_in_init = False
            self._collector.send(wire.Released(through=self._delivered))

    def release(self, through: int) -> None:
        """Tells the collector of room, once it is worth a command."""
        self._delivered = through
        if self._is_crowded or through - self._released >= self._room_bytes:
            self._tell_of_room()

    def _tell_of_room(self) -> None:
        if self._delivered > self._released:
            self._released = self._delivered
            self._collector.send(wire.Released(through=self._delivered))

    def ping(self, name: str) -> None:
        """Asks one whether it is there."""
        self._workers[name].send(wire.Ping())

    def restore(self, instance_id: str) -> None:
        """This copy of a snapshot has a name of its own, and makes ids of its own."""
        self._digest_key = os.urandom(DIGEST_KEY_BYTES)
        for worker in self._workers.values():
            worker.send(wire.Restored(digest_key=self._digest_key, instance_id=instance_id))

    def dismiss(self) -> None:
        """Closes their command pipes, on which they exit by themselves."""
        for worker in self._workers.values():
            worker.close_commands()

    def kill(self, *names: str) -> None:
        """Ends some, or without names all."""
        for name in names or self._workers:
            self._workers[name].kill()


def _keep_loaded() -> None:
    """What is loaded stays: nobody is to look through it again and again for what can go."""
    gc.freeze()
    gc.enable()


def _enlarge(their_reports: int) -> None:
    """Makes room for many packets, each of which takes a page of the pipe: by default 16 would fill it."""
    try:
        fcntl.fcntl(their_reports, fcntl.F_SETPIPE_SZ, REPORTS_PIPE_BYTES)
    except OSError:
        return  # beyond what this user's pipes may hold together; smaller works, too


def name_process(name: str) -> None:
    """Shows `name` in process lists: tr-lifecycle, tr-collector, tr-shipper."""
    try:
        with open("/proc/self/comm", "wb", buffering=0) as comm:
            comm.write(f"tr-{name}".encode())
    except OSError:
        return  # a name is a convenience
