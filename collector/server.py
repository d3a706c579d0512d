"""The collector's loop: one thread, one epoll.

Owns the connections and nothing else: listener and backlog are the supervisor's and outlive it. Ready
descriptors are served before time is looked at, so nobody is too late whose bytes are already here.
"""

import select
from collections.abc import Iterable

from collector.connection import Peer
from collector.door import Door
from collector.handler import Service
from collector.http_parser import HttpIntake
from collector.limits import Peers
from collector.line_parser import LineIntake
from collector.messages import CollectorError
from collector.refusals import Refusals
from collector.store import Keeper
from collector.timeouts import TICK_S, AwakeClock, Patience, wait_s
from lifecycle.contract import wire
from lifecycle.contract.backlog import Writer
from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings

# One read: a batch of the platform's smallest buffer (256 KiB) takes a few, and the buffer stays allocated.
READ_BYTES = 65_536

# Connections accepted before others are served again.
ACCEPTS_AT_ONCE = 16


class SupervisorGoneError(CollectorError):
    """Nobody reads the reports any more."""


class Collector:
    """Collects; what it is given is what `worker.run` is given.

    Args:
        listener: Descriptor of the listening socket.
        commands: Read end of the pipe that brings `wire.Released` and `wire.Restored`.
        reports: Write end of the pipe that takes `wire.Stored`, `wire.Repeated` and `wire.Refused`.
        writer: The collector's end of the backlog.
        settings: Limits and protocol.
        log: Where to write lines.
        recent: Digests of the batches kept last, oldest first.
        digest_key: Key of the digests.
        patience: How long to wait for peers and for room.
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
        patience: Patience,
    ) -> None:
        self._commands = commands
        self._reports = reports
        self._log = log
        self._patience = patience
        self._is_lines = settings.protocol == "tcp"
        self._batch_limit_bytes = settings.batch_limit_bytes
        self._clock = AwakeClock()
        self._peers = Peers(self._batch_limit_bytes)
        self._keeper = keeper = Keeper(writer, self._report, recent, digest_key, log)
        keeper.recover()
        self._service = Service(keeper, Refusals(self._report, log), patience, log)
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._accepted = 0
        self._was_short = False
        self._shut_s = 0.0
        self._door = Door(listener)
        log.debug(
            "collector.started",
            protocol=settings.protocol,
            end=writer.end,
            released=writer.released,
            batch_limit_bytes=self._batch_limit_bytes,
        )

    def run(self) -> None:
        """Collects until the supervisor closes the command pipe or is gone."""
        with select.epoll() as self._epoll:
            self._epoll.register(self._commands, select.EPOLLIN)
            self._door.open(self._epoll)
            try:
                while self._turn():
                    pass
            except SupervisorGoneError:
                self._log.debug("collector.supervisor_lost")
            finally:
                for peer in list(self._peers.by_fd.values()):
                    self._close(peer, "stopped")
                self._door.leave()

    def _turn(self) -> bool:
        """One wait and what it brings; False when the command pipe is closed."""
        asked_s = wait_s(self._due_s(), self._clock.now_s)
        ready = self._epoll.poll(asked_s)
        self._clock.advance(asked_s)
        # What the supervisor says comes first: epoll may name a peer before it whose bytes came later.
        for fd, mask in sorted(ready, key=lambda one: one[0] != self._commands):
            if fd == self._commands:
                if not self._obey():
                    return False
            elif fd == self._door.fd:
                self._accept()
            elif (peer := self._peers.by_fd.get(fd)) is not None:
                self._serve(peer, mask)
        self._pass_time()
        return True

    def _due_s(self) -> float:
        is_pressed = self._peers.is_pressed
        due_s = self._service.due_s
        for peer in self._peers.by_fd.values():
            due_s = min(due_s, peer.due_s(self._patience, is_pressed=is_pressed))
        return due_s if self._door.is_open else min(due_s, self._clock.now_s + TICK_S)

    def _obey(self) -> bool:
        try:
            packet = wire.receive(self._commands)
        except BlockingIOError:
            return True
        if not packet:
            return False
        match wire.collector_commands.decode(packet):
            case wire.Released(through=through):
                self._settle(*self._service.release(through, self._clock.now_s))
            case wire.Restored(digest_key=digest_key):
                self._keeper.digest_key = digest_key
        return True

    def _report(self, message: wire.Message) -> None:
        try:
            wire.send(self._reports, message)
        except BrokenPipeError as exc:
            raise SupervisorGoneError from exc

    def _accept(self) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            sock = self._door.accept(self._epoll)
            if sock is None:
                self._shut_s = self._clock.now_s
                return
            self._accepted += 1
            limit = self._batch_limit_bytes
            intake = LineIntake(limit) if self._is_lines else HttpIntake(limit)
            peer = Peer(sock, intake, self._accepted, self._clock.now_s, is_lines=self._is_lines)
            self._peers.add(peer)
            self._serve(peer, select.EPOLLIN)
            if self._peers.is_crowded and not self._make_room():
                self._peers.is_turned_away = True
                self._door.shut(self._epoll)
                return

    def _make_room(self) -> bool:
        """Closes a connection that lost its use for the one that came last; False when there is none."""
        leaving = self._peers.dispensable(
            newest=self._accepted, came_before_s=self._clock.now_s - self._patience.pressed_useless_s
        )
        if leaving is None:
            return False
        self._close(leaving, "room_needed")
        return True

    def _serve(self, peer: Peer, mask: int) -> None:
        now_s = self._clock.now_s
        may_read = self._peers.may_read(peer, is_holding=self._service.is_holding)
        if mask & ~select.EPOLLOUT and may_read:
            peer.receive(self._buffer, now_s)
            self._service.work(peer, now_s)
        self._settle(peer)

    def _settle(self, *peers: Peer) -> None:
        """Sends answers, closes what is done, and watches for what may come next."""
        now_s = self._clock.now_s
        for peer in peers:
            if peer.unsent:
                peer.send(now_s)
            self._peers.count(peer)
            if peer.is_ending and not peer.unsent and peer.lingering_s is None:
                peer.end_output(now_s)
            if peer.has_finished and not peer.unsent and (peer.is_ending or peer.is_served):
                self._close(peer, "finished")
            else:
                self._watch(peer)

    def _watch(self, peer: Peer) -> None:
        may_read = self._peers.may_read(peer, is_holding=self._service.is_holding)
        wanted = (select.EPOLLIN if may_read else 0) | (select.EPOLLOUT if peer.unsent else 0)
        if may_read:
            peer.resume(self._clock.now_s)
        else:
            peer.rest(self._clock.now_s)
        if wanted == peer.mask:
            return
        if not wanted:  # not watched at all: a reset connection would wake us for ever
            self._epoll.unregister(peer.fd)
        elif peer.mask:
            self._epoll.modify(peer.fd, wanted)
        else:
            self._epoll.register(peer.fd, wanted)
        peer.mask = wanted

    def _pass_time(self) -> None:
        """Ends what took too long, and lets those go on for whom there is room again."""
        now_s = self._clock.now_s
        if self._service.is_holding:
            self._settle(*self._service.advance(now_s))
        is_pressed = self._peers.is_pressed
        for peer in list(self._peers.by_fd.values()):
            if peer.due_s(self._patience, is_pressed=is_pressed) > now_s:
                continue
            if peer.lingering_s is not None or peer.unsent:
                self._close(peer, "too_slow")
            else:
                peer.items += peer.intake.expire()
                self._service.work(peer, now_s)
                self._settle(peer)
        if not self._door.is_open and self._may_open(now_s):
            self._peers.is_turned_away = False
            self._door.open(self._epoll)
        if self._was_short or self._peers.is_short:
            self._was_short = self._peers.is_short
            for peer in self._peers.by_fd.values():
                self._watch(peer)

    def _may_open(self, now_s: float) -> bool:
        """Whether a shut door has a reason to open: room, or after a lack of descriptors some time."""
        if self._peers.is_turned_away:
            return not self._peers.is_crowded or self._make_room()
        return now_s >= self._shut_s + TICK_S

    def _close(self, peer: Peer, reason: str) -> None:
        if peer.mask:
            self._epoll.unregister(peer.fd)
        self._peers.remove(peer)
        peer.close()
        if peer.is_named:
            self._log.debug("collector.connection_closed", connection=peer.number, reason=reason)
