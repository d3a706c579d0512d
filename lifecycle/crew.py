"""The two workers together: started, listened to, told, buried; and what a successor of either goes on from."""

import os
import select
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress

from lifecycle.arrivals import fields
from lifecycle.contract import wire
from lifecycle.contract.backlog import Backlog
from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings
from lifecycle.machine.commands import Ship
from lifecycle.workers import Position, Worker, collector_body, shipper_body

DIGEST_KEY_BYTES = 16


class Crew:
    """Collector and shipper.

    Args:
        listener: Descriptor of the listening socket; -1: there is none.
        backlog: The shared ring.
        settings: Of the environment.
        log: The supervisor's.
        warms: Whether the shipper loads all it may ever need before it says it is ready.
        close: Run first in each child: closes what belongs to the supervisor alone.
    """

    def __init__(
        self,
        listener: int,
        backlog: Backlog,
        settings: Settings,
        log: Log,
        *,
        warms: bool,
        close: Callable[[], None],
    ) -> None:
        self._log = log
        self._close = close
        recent: deque[bytes] = deque(maxlen=wire.RECENT_BATCHES)
        self._position = Position(end=0, released=0, recent=recent, digest_key=os.urandom(DIGEST_KEY_BYTES))
        self._context = b""
        self._ready: set[str] = set()
        self._collector = Worker("collector", collector_body(listener, backlog, self._position, settings, log))
        self._shipper = Worker("shipper", shipper_body(listener, backlog, settings, log, warms=warms))
        self._workers = {worker.name: worker for worker in (self._collector, self._shipper)}

    @property
    def names(self) -> tuple[str, ...]:
        """What the workers are called."""
        return tuple(self._workers)

    @property
    def is_ready(self) -> bool:
        """Whether all have loaded everything."""
        return len(self._ready) == len(self._workers)

    @property
    def is_alive(self) -> bool:
        """Whether one of them is not yet buried."""
        return any(worker.pid for worker in self._workers.values())

    def start(self, name: str, released: int) -> None:
        """Forks one; everything before `released` is delivered."""
        self._position.released = released
        worker = self._workers[name]
        worker.start(self._close_in_child)
        self._log.debug("worker.started", worker=worker.name, worker_pid=worker.pid)

    def _close_in_child(self) -> None:
        self._close()
        for worker in self._workers.values():
            for fd in (worker.commands, worker.reports):
                with suppress(OSError):
                    os.close(fd)

    # What they say.

    def watch(self, poll: "select.poll") -> None:
        """Registers what they are heard on, and told by."""
        for worker in self._workers.values():
            if worker.reports >= 0:
                poll.register(worker.reports, select.POLLIN)
            if worker.is_backed_up:
                poll.register(worker.commands, select.POLLOUT)

    def send_waiting(self, name: str) -> None:
        """Tries to send the command that waits for room."""
        self._workers[name].send_waiting()

    def reports(self, name: str) -> Iterator[wire.Report]:
        """What one has reported; what its successor needs to know of it is kept."""
        worker = self._workers[name]
        decoder = wire.collector_reports if worker is self._collector else wire.shipper_reports
        for packet in worker.packets():
            report = decoder.decode(packet)
            if self._log.is_debug:
                self._log.debug(f"{worker.name}.reported", **fields(report))
            if isinstance(report, wire.Ready):
                self._ready.add(worker.name)
                continue
            if isinstance(report, wire.Stored):
                self._position.end = report.end
                self._position.recent.append(report.digest)
            elif isinstance(report, wire.Shipped):
                self._context = report.context
            yield report

    def dead(self) -> Iterator[tuple[str, int]]:
        """Who has died, and the exit status; each is to be heard to its end, and buried."""
        for worker in self._workers.values():
            if worker.pid:
                pid, status = os.waitpid(worker.pid, os.WNOHANG)
                if pid:
                    yield worker.name, os.waitstatus_to_exitcode(status)

    def bury(self, name: str) -> bool:
        """Forgets a process that has died; whether it had loaded everything."""
        self._workers[name].buried()
        was_ready = name in self._ready
        self._ready.discard(name)
        return was_ready

    # What they are told.

    def ship(self, order: Ship, ledger: dict[str, int]) -> None:
        """Has the shipper deliver; `ledger` is for the destination."""
        self._shipper.order(
            wire.Ship(
                since=order.since,
                skip=order.skip,
                until=order.until,
                deadline=order.deadline,
                context=self._context,
                is_final=order.is_final,
                ledger=ledger,
            )
        )

    def release(self, through: int) -> None:
        """Tells the collector of room."""
        self._collector.order(wire.Released(through=through))

    def restore(self, instance_id: str) -> None:
        """This copy of a snapshot has a name of its own, and makes ids of its own."""
        self._position.digest_key = os.urandom(DIGEST_KEY_BYTES)
        restored = wire.Restored(digest_key=self._position.digest_key, instance_id=instance_id)
        for worker in self._workers.values():
            worker.order(restored)

    def dismiss(self) -> None:
        """Closes their command pipes, on which they exit by themselves."""
        for worker in self._workers.values():
            worker.dismiss()

    def kill(self, *names: str) -> None:
        """Ends some, or without names all."""
        for name in names or self._workers:
            self._workers[name].kill()
