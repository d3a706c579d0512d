"""The two workers: forked, told, listened to, replaced.

Forked, not started anew: they share the supervisor's pages, settings and backlog. Each gets a pair of pipes in
packet mode and keeps no other descriptor of ours, so that it ends when the supervisor does.
"""

import _signal  # type: ignore[import-not-found]
import fcntl
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import msgspec

from lifecycle.contract import wire
from lifecycle.contract.backlog import Backlog
from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings

REPORTS_PIPE_BYTES = 1_048_576


class Position(msgspec.Struct):
    """What a new collector goes on from.

    Attributes:
        end: Offset where the last reported batch ended.
        released: Offset before which everything is delivered.
        recent: Digests of the last batches.
        digest_key: Key of the digests.
    """

    end: int
    released: int
    recent: deque[bytes]
    digest_key: bytes


class Worker:
    """One worker process and the pipes to it.

    Args:
        name: `collector` or `shipper`.
        body: What the child runs, given the descriptors it reads commands from and writes reports to.

    Attributes:
        pid: The process; 0 while there is none.
        reports: Descriptor that reports arrive on; -1 while there is no process.
        began: When it was forked.
    """

    def __init__(self, name: str, body: Callable[[int, int], None]) -> None:
        self.name = name
        self.pid = 0
        self.reports = -1
        self._commands = -1
        self._body = body
        self._unsent: wire.Message | None = None

    @property
    def is_backed_up(self) -> bool:
        """Whether a command waits for room in the pipe."""
        return self._unsent is not None

    @property
    def commands(self) -> int:
        """Descriptor that commands are written to; -1 while there is no process."""
        return self._commands

    def start(self, close: Callable[[], None]) -> None:
        """Forks.

        Args:
            close: Run first in the child: closes what belongs to the supervisor alone.
        """
        commands, self._commands = os.pipe2(os.O_DIRECT | os.O_CLOEXEC)
        self.reports, reports = os.pipe2(os.O_DIRECT | os.O_CLOEXEC)
        # A packet takes a page of the pipe: by default 16 reports would fill it and hold the collector up.
        with suppress(OSError):  # beyond what this user's pipes may hold together; smaller works, too
            fcntl.fcntl(reports, fcntl.F_SETPIPE_SZ, REPORTS_PIPE_BYTES)
        os.set_blocking(self._commands, False)
        os.set_blocking(self.reports, False)
        self._unsent = None
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._commands)
            os.close(self.reports)
            close()
            _live(self.name, lambda: self._body(commands, reports))
        os.close(commands)
        os.close(reports)

    def order(self, command: wire.Message) -> None:
        """Sends a command; one that finds the pipe full waits, and a later one takes its place.

        Every command repeats what counts of the ones before it, so the newest is enough.
        """
        self._unsent = command
        self.send_waiting()

    def send_waiting(self) -> None:
        """Tries to send the command that waits for room."""
        if self._unsent is None or self._commands < 0:
            return
        try:
            wire.send(self._commands, self._unsent)
        except BlockingIOError:
            return
        except BrokenPipeError:
            pass  # it is dead; its successor is told anew
        self._unsent = None

    def packets(self) -> list[bytes]:
        """The reports that have arrived; a closed pipe is the exit's business."""
        packets = []
        while self.reports >= 0:
            try:
                packet = wire.receive(self.reports)
            except BlockingIOError:
                break
            if not packet:
                os.close(self.reports)
                self.reports = -1
                break
            packets.append(packet)
        return packets

    def buried(self) -> None:
        """Forgets a process that has been waited for."""
        for fd in (self._commands, self.reports):
            if fd >= 0:
                os.close(fd)
        self.pid, self._commands, self.reports = 0, -1, -1
        self._unsent = None

    def dismiss(self) -> None:
        """Closes the command pipe, on which a worker exits by itself."""
        if self._commands >= 0:
            os.close(self._commands)
            self._commands = -1
        self._unsent = None

    def kill(self) -> None:
        """Ends the process; what it had not reported is done again by its successor."""
        if self.pid:
            os.kill(self.pid, _signal.SIGKILL)


def _live(name: str, body: Callable[[], None]) -> None:
    """A child's life; does not return."""
    status = 1
    try:
        _signal.set_wakeup_fd(-1)
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        for number in (_signal.SIGTERM, _signal.SIGINT):
            _signal.signal(number, _signal.SIG_IGN)  # the supervisor decides when all is done
        name_process(name)
        body()
        status = 0
    finally:
        os._exit(status)


def name_process(name: str) -> None:
    """Shows `name` in process lists: tr-lifecycle, tr-collector, tr-shipper."""
    try:
        with open("/proc/self/comm", "wb", buffering=0) as comm:
            comm.write(f"tr-{name}".encode())
    except OSError:
        return  # a name is a convenience


def collector_body(
    listener: int, backlog: Backlog, position: Position, settings: Settings, log: Log
) -> Callable[[int, int], None]:
    """What the collector's process runs; reads `position` when it is forked."""

    def body(commands: int, reports: int) -> None:
        named = log.named("collector")
        with _told(named):
            from collector.server import run

            wire.send(reports, wire.Ready())
            run(
                listener=listener,
                commands=commands,
                reports=reports,
                backlog=backlog,
                end=position.end,
                released=position.released,
                recent=position.recent,
                digest_key=position.digest_key,
                settings=settings,
                log=named,
            )

    return body


def shipper_body(
    listener: int, backlog: Backlog, settings: Settings, log: Log, *, warms: bool
) -> Callable[[int, int], None]:
    """What the shipper's process runs; `warms` loads all it may ever need before it says it is ready."""

    def body(commands: int, reports: int) -> None:
        os.close(listener)
        named = log.named("shipper")
        with _told(named):
            from shipper import worker

            if warms:
                worker.warm(settings)
            wire.send(reports, wire.Ready())
            worker.run(commands=commands, reports=reports, backlog=backlog, settings=settings, log=named)

    return body


class _told:  # noqa: N801 - used as a statement
    """Says why a worker failed before it dies of it."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            from traceback import format_exception

            self._log.error("worker.failed", traceback="".join(format_exception(error)))
