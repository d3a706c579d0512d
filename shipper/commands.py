"""The supervisor's commands, and every wait of the shipper.

Owns the command pipe. Each wait, for a socket or for a pause, watches that pipe as well, so a deadline can be
moved and a supervisor's death be noticed in the middle of anything. The environment may be frozen in the middle of a
wait: what is waited for is looked for first, and the time that passed frozen counts for nothing but the very end.
"""

import math
import select
import time
from collections.abc import Callable

import msgspec

from lifecycle.contract import wire
from shipper.errors import SupervisorGoneError

# A report that can wait for the next one is sent when a wait gets as long as this: most answers come sooner.
_LONG_WAIT_MS = 50

# No wait is longer in one call, so that a freeze shows; and one that takes this much longer than it was to was frozen,
# or on a machine so busy that it comes to the same.
_LONGEST_POLL_MS = 100
_SLACK_S = 0.1

# What is under way when the last order comes has so long to end by itself, as it does with any destination that is
# quick: to cut a request that was just made is to make it again.
_ENDS_WITHIN_S = 0.05

# More than this is for ever, and more than poll(2) counts.
_MOST_POLL_S = 1_000_000.0


class Commands:
    """The command pipe.

    Args:
        pipe: Its read end.
        clock: Monotonic seconds.
        pong: Answers the supervisor that asks whether we are there.

    Attributes:
        until: Offset to deliver up to, by the last command.
        deadline: Monotonic seconds at which the shipment under way stops.
        is_final: Nothing comes after the shipment under way.
        aim: Offset up to which what is under way now delivers; None while nothing is.
        last: The first order of the last shipment, if it asks for more than that: what is under way has a moment to
            end, answers that are waited for stay so, and it is begun then. Further orders only move it.
        ledger: The supervisor's counts, by the last command.
        gives_up: What is to be passed by, for which the shipment under way ends; None once it has been.
        restored: What the last restore from a snapshot changed; None once it has been acted upon.
        between: Takes what is to be shipped, instead of a shipment, while there is none: see `aside`.
        waiting_report: Called, once, when a wait gets long: sends what could be reported together with what is waited
            for.
    """

    def __init__(
        self, pipe: int, clock: Callable[[], float] = time.monotonic, pong: Callable[[], None] | None = None
    ) -> None:
        self._pipe = pipe
        self._clock = clock
        self._pong = pong
        self._poll = select.poll()
        self._poll.register(pipe, select.POLLIN)
        self.until = 0
        self.deadline = 0.0
        self.is_final = False
        self.aim: int | None = None
        self.last: wire.Ship | None = None
        self._last_at = 0.0
        self.ledger: dict[str, int] = {}
        self.gives_up: wire.GiveUp | None = None
        self.restored: wire.Restored | None = None
        self.between: Callable[[wire.Ship], None] | None = None
        self.waiting_report: Callable[[], None] | None = None
        # The last freeze: from when to when, and how much of that no wait was meant to take.
        self._frozen_at = self._thawed_at = self._frozen_s = 0.0
        # Time frozen since the last command, by which its deadline comes later.
        self._lost_s = 0.0

    def next(self, within_s: float = math.inf) -> wire.Ship | None:
        """Blocks until there is something to ship; None: there is something else to do, or the time is over.

        Raises:
            SupervisorGoneError: There never will be.
        """
        if self.last is not None:  # what was under way when it came has crashed
            self.begin(last := self.last)
            return last
        until = self._clock() + within_s
        while True:
            left_s = until - self._clock()
            self._poll.poll(None if left_s > _MOST_POLL_S else max(0, math.ceil(left_s * 1000)))
            ship = self._received()
            if ship is not None or self.has_else or self._clock() >= until:
                return ship

    @property
    def has_else(self) -> bool:
        """Whether there is something else to do than to ship."""
        return self.restored is not None or self.gives_up is not None

    def aside(self, limit_s: float, between: Callable[[wire.Ship], None]) -> None:
        """What is waited for from now on belongs to no shipment, until the next one begins.

        Args:
            limit_s: Longest time for it.
            between: Takes what is to be shipped meanwhile; may end the time, or begin the shipment.
        """
        self.between = between
        self.deadline, self._lost_s, self.is_final = self._clock() + limit_s, 0.0, False

    def begin(self, ship: wire.Ship) -> None:
        """A shipment begins, or the one under way goes on so."""
        self.between = self.last = None
        self.until = ship.until
        self.deadline, self._lost_s = ship.deadline, 0.0
        self.is_final = ship.is_final
        self.ledger = ship.ledger

    def time_left_s(self) -> float:
        """Seconds until the deadline; negative when it has passed."""
        return self._ends_at - self._clock()

    @property
    def _ends_at(self) -> float:
        """When the shipment under way stops: at once if something is to be passed by, soon if the last is to begin."""
        if self.gives_up is not None:
            return 0.0
        ends_at = self.deadline + self._lost_s
        return ends_at if self.last is None else min(ends_at, self._last_at + _ENDS_WITHIN_S)

    def look(self) -> None:
        """Takes what has come meanwhile, and does not wait.

        Raises:
            SupervisorGoneError: The command pipe was closed.
        """
        if self._poll.poll(0):
            self._received()

    def wait(self, fd: int, events: int, until: float) -> int:
        """Waits until `fd` is ready, until the time `until` or until the deadline.

        Args:
            fd: What to wait for; -1 waits for time alone.
            events: select.POLLIN, select.POLLOUT or both.
            until: Monotonic seconds.

        Returns:
            poll(2)'s events of `fd`; 0 when the time is over.

        Raises:
            SupervisorGoneError: The command pipe was closed meanwhile.
        """
        if fd >= 0:
            self._poll.register(fd, events)
        try:
            # A pause is the destination's time, which passes while we are frozen; what is waited for is not.
            until = self._awake(until) if fd >= 0 else until
            while True:
                began = self._clock()
                left_s = min(until, self._ends_at) - began
                # Rounded up: poll(2) must not return early and make this a busy loop.
                longest_ms = _LONGEST_POLL_MS if self.waiting_report is None else _LONG_WAIT_MS
                left_ms = min(max(0, int(left_s * 1000 + 0.999)), longest_ms)
                ready = dict(self._poll.poll(left_ms))
                if self._clock() - began > left_ms / 1000 + _SLACK_S:
                    self._thaw(began, left_ms / 1000)
                    until = self._awake(until) if fd >= 0 else until
                if self._pipe in ready:
                    self._received()
                if fd in ready:
                    return ready[fd]
                if not ready:
                    self.report()
                if self._clock() >= min(until, self._ends_at) and (not ready or self.gives_up is not None):
                    return 0
        finally:
            if fd >= 0:
                self._poll.unregister(fd)

    def _thaw(self, began: float, asked_s: float) -> None:
        """A wait took far longer than it was to: what that was longer was no time for the shipment.

        The end of the environment is not put off by it.
        """
        self._frozen_at, self._thawed_at = began, self._clock()
        self._frozen_s = self._thawed_at - began - asked_s
        if not self.is_final:
            self._lost_s += self._frozen_s

    def _awake(self, until: float) -> float:
        """A moment that came while the environment was frozen, moved on by as much; any other as it is."""
        return until + self._frozen_s if self._frozen_at <= until < self._thawed_at else until

    def report(self) -> None:
        """Sends the report that waits, if one does."""
        send, self.waiting_report = self.waiting_report, None
        if send is not None:
            send()

    def pause(self, seconds: float) -> None:
        """Sleeps, but not past the deadline; time frozen is slept as well."""
        self.wait(-1, 0, self._clock() + seconds)

    def _received(self) -> wire.Ship | None:
        try:
            packet = wire.receive(self._pipe)
        except BlockingIOError:
            return None
        if not packet:
            raise SupervisorGoneError
        try:
            command = wire.shipper_commands.decode(packet)
        except msgspec.MsgspecError as exc:  # the two ends are of one build; go on rather than die
            raise SupervisorGoneError(f"got {len(packet)} bytes, expected a command") from exc
        if isinstance(command, wire.Ping):
            if self._pong is not None:
                self._pong()
            return None
        if isinstance(command, wire.Restored):
            self.restored = command
            return None
        if isinstance(command, wire.GiveUp):
            self.gives_up = command
            return None
        if self.between is not None:
            self.between(command)
        elif command.is_final and not self.is_final and self.aim is not None and command.until > self.aim:
            if self.last is None:
                self._last_at = self._clock()
            self.last = command
        else:
            self.begin(command)
        return command
