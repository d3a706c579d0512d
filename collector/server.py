"""The collector's process: one thread, one epoll loop, over the listeners, the connections and the supervisor's pipe.

Owns the connections and nothing else: listeners and backlog are the supervisor's and outlive it, and nothing is kept
here that another collector could not go on from. Ready descriptors are served before time is looked at, so nobody is
too late whose bytes are already here.
"""

import _socket
import errno
import math
import select
from collections.abc import Callable, Iterable

from collector.connection import Connection, Parser
from collector.handler import Handler
from collector.http_parser import HttpParser, Rooms
from collector.limits import Connections
from collector.line_parser import LineParser
from collector.messages import CollectorError
from collector.store import Store
from collector.timeouts import TICK_S, AwakeClock, Timeouts, wait_s
from lifecycle.contract import wire
from lifecycle.contract.backlog import Backlog, Writer
from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collector.otlp_intake import Intake

# One read: a batch of the platform's smallest buffer (256 KiB) takes a few, and the buffer stays allocated.
READ_BYTES = 65_536

# Connections accepted before others are served again.
ACCEPTS_AT_ONCE = 16

# What accept(2) says of a connection that died while it waited, not of us.
_DIED_WAITING = (errno.ECONNABORTED, errno.EPROTO)


class SupervisorGoneError(CollectorError):
    """Nobody reads the reports any more."""


def run(
    *,
    listener: int,
    commands: int,
    reports: int,
    backlog: Backlog,
    end: int,
    released: int,
    recent: Iterable[bytes],
    digest_key: bytes,
    settings: Settings,
    log: Log,
    intake: tuple[int, ...] = (),
    recent_exports: Iterable[bytes] = (),
) -> None:
    """What the supervisor calls in the forked child: collects until the command pipe is closed.

    Args:
        listener: Descriptor of a listening, non-blocking TCP socket; stays open. -1: the platform delivers nothing.
        commands: Read end of the pipe that brings `wire.Released` and `wire.Restored`.
        reports: Write end of the pipe that takes `wire.Stored`, `wire.Repeated` and `wire.Refused`.
        backlog: Where batches are kept.
        end: Offset where the last reported frame ended.
        released: Everything before this offset may be written over.
        recent: Digests of the batches kept last, oldest first.
        digest_key: Key of the digests.
        settings: Limits and protocol.
        log: Where to write lines.
        intake: Descriptors of such sockets, at which the function's own telemetry is taken.
        recent_exports: Digests of the OTLP requests kept last, oldest first.
    """
    writer = Writer(backlog, end=end, released=released)
    server = Server(
        listener, commands, reports, writer, settings, log, recent=recent, digest_key=digest_key, timeouts=Timeouts()
    )
    if intake:
        server.open_intake(intake, recent_exports)
    server.run()


class Listener:
    """The listening socket, borrowed from the supervisor: it is never closed here.

    Paused or not says only whether we look; who comes meanwhile waits in the kernel's queue. Built on `_socket`: the
    module around it would cost 3 ms and 350 KB for nothing that is needed here.

    Args:
        listener: Descriptor of a listening, non-blocking TCP socket.
        epoll: What is waited on.

    Attributes:
        fd: The descriptor.
        is_paused: Whether nobody is accepted for now.
    """

    def __init__(self, listener: int, epoll: select.epoll) -> None:
        self._sock = _socket.socket(fileno=listener)
        self._epoll = epoll
        self.fd = listener
        self.is_paused = True

    def resume(self) -> None:
        """Looks for who comes."""
        self._epoll.register(self.fd, select.EPOLLIN)
        self.is_paused = False

    def pause(self) -> None:
        """Looks no more."""
        self._epoll.unregister(self.fd)
        self.is_paused = True

    def accept(self) -> _socket.socket | None:
        """The next connection, not blocking; None when nobody waits, or there are no descriptors to be had."""
        try:
            fd, _ = self._sock._accept()  # type: ignore[attr-defined]  # noqa: SLF001
        except BlockingIOError:
            return None
        except OSError as exc:
            if exc.errno not in _DIED_WAITING:
                self.pause()
            return None
        sock = _socket.socket(self._sock.family, self._sock.type, self._sock.proto, fd)
        sock.setblocking(False)
        return sock

    def detach(self) -> None:
        """Lets go of the descriptor without closing it."""
        self._sock.detach()


class Door:
    """A way in: who is waited for, who has come by it, and who answers them.

    Args:
        listeners: The listening sockets.
        connections: Those who have come.
        handler: Answers them.
        parser: Makes one that reads what a connection brings.
        is_lines: They send lines, not requests.

    Attributes:
        paused_s: Awake time when nobody more could be accepted.
        was_short: Memory was short when it was last looked at.
    """

    def __init__(
        self,
        listeners: tuple[Listener, ...],
        connections: Connections,
        handler: "Handler | Intake",
        parser: Callable[[], Parser],
        *,
        is_lines: bool = False,
    ) -> None:
        self.listeners = listeners
        self.connections = connections
        self.handler = handler
        self.parser = parser
        self.is_lines = is_lines
        self.paused_s = 0.0
        self.was_short = False

    @property
    def is_paused(self) -> bool:
        """Whether nobody is accepted for now by one of the listeners."""
        for listener in self.listeners:  # noqa: SIM110 - asked for with every turn: a generator takes longer
            if listener.is_paused:
                return True
        return False

    def resume(self) -> None:
        """Looks for who comes, wherever that is not done."""
        for listener in self.listeners:
            if listener.is_paused:
                listener.resume()

    def pause(self) -> None:
        """Looks no more for who comes."""
        for listener in self.listeners:
            if not listener.is_paused:
                listener.pause()

    def may_read(self, connection: Connection) -> bool:
        """Whether a connection may be read now."""
        return self.connections.may_read(connection, has_waiting=self.handler.has_waiting)


class Server:
    """Collects; what it is given is what `run` is given.

    Args:
        listener: Descriptor of the listening socket.
        commands: Read end of the pipe that brings `wire.Released` and `wire.Restored`.
        reports: Write end of the pipe that takes `wire.Stored`, `wire.Repeated` and `wire.Refused`.
        writer: The collector's end of the backlog.
        settings: Limits and protocol.
        log: Where to write lines.
        recent: Digests of the batches kept last, oldest first.
        digest_key: Key of the digests.
        timeouts: How long to wait for the other end of a connection, and for room.
    """

    def __init__(
        self,
        listener: int,
        commands: int,
        reports: int,
        writer: Writer,
        settings: Settings,
        log: Log,
        *,
        recent: Iterable[bytes],
        digest_key: bytes,
        timeouts: Timeouts,
    ) -> None:
        self._commands = commands
        self._reports = reports
        self._log = log
        self._timeouts = timeouts
        self._clock = AwakeClock()
        self._writer = writer
        self._settings = settings
        self._intake: Intake | None = None
        self._store = store = Store(writer, self._report, recent, digest_key, log)
        store.recover()
        self._handler = Handler(store, self._report, timeouts, log)
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._accepted = 0
        self._epoll = select.epoll()
        limit = settings.batch_limit_bytes
        is_lines = settings.protocol == "tcp"
        rooms = Rooms()
        platform = Door(
            (Listener(listener, self._epoll),) if listener >= 0 else (),
            Connections(limit),
            self._handler,
            (lambda: LineParser(limit)) if is_lines else (lambda: HttpParser(limit, rooms)),
            is_lines=is_lines,
        )
        self._doors: tuple[Door, ...] = (platform,)
        log.debug(
            "collector.started",
            protocol=settings.protocol,
            end=writer.end,
            released=writer.released,
            batch_limit_bytes=limit,
        )

    def open_intake(self, listeners: tuple[int, ...], recent: Iterable[bytes]) -> None:
        """Takes the function's own telemetry, too: at a door before the platform's, to which it comes first.

        Args:
            listeners: Descriptors of listening, non-blocking TCP sockets.
            recent: Digests of the requests kept last, oldest first.
        """
        from collector.otlp_intake import Intake

        settings, store = self._settings, self._store
        self._intake = intake = Intake(
            self._writer,
            self._report,
            recent,
            store.digest_key,
            limit_bytes=settings.export_limit_bytes,
            room_bytes=(settings.backlog_bytes + settings.spool_bytes) // 2,
            log=self._log,
        )
        store.exports_begun = intake.begun
        sockets = tuple(Listener(fd, self._epoll) for fd in listeners)
        self._doors = (Door(sockets, intake.connections, intake, intake.parser), *self._doors)

    def run(self) -> None:
        """Collects until the supervisor closes the command pipe or is gone."""
        with self._epoll:
            self._epoll.register(self._commands, select.EPOLLIN)
            for door in self._doors:
                door.resume()
            try:
                while self._turn():
                    pass
            except SupervisorGoneError:
                self._log.debug("collector.supervisor_lost")
            finally:
                for door in self._doors:
                    for connection in (*door.connections.by_fd.values(), *door.connections.aside.values()):
                        self._close(door, connection, "stopped")
                    for listener in door.listeners:
                        listener.detach()

    def _turn(self) -> bool:
        """One wait and what it brings; False when the command pipe is closed."""
        asked_s = wait_s(min(map(self._due_s, self._doors)), self._clock.now_s)
        ready = self._epoll.poll(asked_s)
        self._clock.advance(asked_s)
        # What the supervisor says comes first: epoll may name a connection before it whose bytes came later. Then, door
        # by door, who is new: a crowd that is slow has time.
        fds = dict(ready)
        if self._commands in fds and not self._read_command():
            return False
        for door in self._doors:
            for listener in door.listeners:
                if listener.fd in fds and not listener.is_paused:
                    self._accept(door, listener)
            for fd, mask in ready:
                if (connection := door.connections.by_fd.get(fd)) is not None:
                    self._serve(door, connection, mask)
        for door in self._doors:
            self._pass_time(door)
        if self._intake:
            self._intake.settle()
        return True

    def _due_s(self, door: Door) -> float:
        connections = door.connections
        is_pressed = connections.is_pressed
        due_s = door.handler.due_s
        for connection in connections.by_fd.values():
            due_s = min(due_s, connection.due_s(self._timeouts, is_pressed=is_pressed))
        if not door.is_paused:
            return due_s
        if connections.is_turned_away:
            due_s = min(due_s, self._aside_due_s(connections))
        return min(due_s, self._clock.now_s + TICK_S)

    def _aside_due_s(self, connections: Connections) -> float:
        """Awake time when one that was left aside may be closed for another; infinite when there is none."""
        first = connections.first_aside
        return math.inf if first is None or first.paused_s is None else first.paused_s + self._timeouts.aside_s

    def _read_command(self) -> bool:
        try:
            packet = wire.receive(self._commands)
        except BlockingIOError:
            return True
        if not packet:
            return False
        match wire.collector_commands.decode(packet):
            case wire.Released(through=through):
                self._settle(self._doors[-1], *self._handler.release(through, self._clock.now_s))
                if self._intake:
                    self._intake.release(through)
            case wire.Ping():
                self._report(wire.Pong())
            case wire.Restored(digest_key=digest_key):
                self._store.digest_key = digest_key
                if self._intake:
                    self._intake.digest_key = digest_key
        return True

    def _report(self, message: wire.Message) -> None:
        try:
            wire.send(self._reports, message)
        except BrokenPipeError as exc:
            raise SupervisorGoneError from exc

    def _accept(self, door: Door, listener: Listener) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            sock = listener.accept()
            if sock is None:
                door.paused_s = self._clock.now_s
                return
            self._accepted += 1
            connection = Connection(sock, door.parser(), self._accepted, self._clock.now_s, is_lines=door.is_lines)
            door.connections.add(connection)
            self._serve(door, connection, select.EPOLLIN)
            if door.connections.is_crowded and not self._make_room(door):
                door.connections.is_turned_away = True
                door.pause()
                return

    def _make_room(self, door: Door) -> bool:
        """Lets a connection make room for the one that came last; False when none can."""
        connections = door.connections
        now_s = self._clock.now_s
        leaving = connections.least_useful(newest=self._accepted, came_before_s=now_s)
        if leaving is None:
            return False
        is_under_way = leaving.lingering_s is None and not (leaving.is_idle or leaving.is_lines)
        if not is_under_way or connections.is_short:
            self._close(door, leaving, "room_needed")
            return True
        first = connections.first_aside
        if first is not None and len(connections.aside) >= connections.most_aside:
            if now_s < self._aside_due_s(connections):
                return False
            self._close(door, first, "room_needed")
        self._unwatch(leaving)
        leaving.pause(now_s)
        connections.set_aside(leaving)
        return True

    def _serve(self, door: Door, connection: Connection, mask: int) -> None:
        now_s = self._clock.now_s
        if mask & ~select.EPOLLOUT and door.may_read(connection):
            connection.receive(self._buffer, now_s)
            door.handler.handle(connection, now_s)
        self._settle(door, connection)

    def _settle(self, door: Door, *connections: Connection) -> None:
        """Sends answers, closes what is done, and watches for what may come next."""
        now_s = self._clock.now_s
        for connection in connections:
            if connection.unsent:
                connection.send(now_s)
            door.connections.count(connection)
            if connection.is_ending and not connection.unsent and connection.lingering_s is None:
                connection.end_output(now_s)
            if connection.has_finished and not connection.unsent and (connection.is_ending or connection.is_served):
                self._close(door, connection, "finished")
            else:
                self._watch(door, connection)

    def _watch(self, door: Door, connection: Connection) -> None:
        may_read = door.may_read(connection)
        mask = (select.EPOLLIN if may_read else 0) | (select.EPOLLOUT if connection.unsent else 0)
        if may_read:
            connection.resume(self._clock.now_s)
        else:
            connection.pause(self._clock.now_s)
        if mask == connection.mask:
            return
        if not mask:  # not watched at all: a reset connection would wake us for ever
            self._unwatch(connection)
        elif connection.mask:
            self._epoll.modify(connection.fd, mask)
        else:
            self._epoll.register(connection.fd, mask)
        connection.mask = mask

    def _unwatch(self, connection: Connection) -> None:
        if connection.mask:
            self._epoll.unregister(connection.fd)
            connection.mask = 0

    def _pass_time(self, door: Door) -> None:
        """Ends what took too long, and lets those go on for whom there is room again."""
        connections = door.connections
        now_s = self._clock.now_s
        if door.handler.has_waiting:
            self._settle(door, *door.handler.advance(now_s))
        is_pressed = connections.is_pressed
        for connection in list(connections.by_fd.values()):
            if connection.due_s(self._timeouts, is_pressed=is_pressed) > now_s:
                continue
            if connection.lingering_s is not None or connection.unsent:
                self._close(door, connection, "too_slow")
            else:
                connection.items += connection.parser.expire()
                door.handler.handle(connection, now_s)
                self._settle(door, connection)
        while connections.is_short and (aside := connections.first_aside) is not None:
            self._close(door, aside, "room_needed")
        while (aside := connections.taken_back()) is not None:
            self._settle(door, aside)
        if door.is_paused and self._may_accept(door, now_s):
            connections.is_turned_away = False
            door.resume()
        if door.was_short or connections.is_short:
            door.was_short = connections.is_short
            for connection in connections.by_fd.values():
                self._watch(door, connection)

    def _may_accept(self, door: Door, now_s: float) -> bool:
        """Whether paused listeners have a reason to go on: room, or after a lack of descriptors some time."""
        if door.connections.is_turned_away:
            return not door.connections.is_crowded or self._make_room(door)
        return now_s >= door.paused_s + TICK_S

    def _close(self, door: Door, connection: Connection, reason: str) -> None:
        self._unwatch(connection)
        door.connections.remove(connection)
        connection.close()
        if connection.log is not None:
            connection.log.debug("collector.connection_closed", reason=reason)
