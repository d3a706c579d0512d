"""One environment: the platform, the function and the shipper around a real machine, frozen between invocations.

What cannot change anything is not played: the platform's first batch of a held invocation, which says that the
collector is there, comes with the last one.
"""

from collections import deque

from lifecycle.machine.commands import COLLECTOR, SHIPPER, Command, FetchNext, KillWorker, Ping, Ship
from lifecycle.machine.events import (
    BatchStored,
    Event,
    Invoked,
    OffsetCommitted,
    ShipmentStalled,
    TimePassed,
    WorkerAnswered,
    WorkerExited,
    WorkerReady,
)
from lifecycle.machine.flush import FlushPolicy, Traffic
from lifecycle.machine.machine import Machine, State
from lifecycle.machine.route import Route
from shipper.delivery.retry import pause_before

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.fleet.world import Happening, World

# The defaults of settings.
BUFFER_S = 0.025
INTERVAL_S = 10.0
BUDGET_S = 0.5
BACKLOG_BYTES = 8_388_608
RETRY_BASE_S = 0.05
RETRY_MOST_S = 5.0

# A member of an Enum is looked up by code of its class.
WAITING, HOLDING = State.WAITING, State.HOLDING

# How long a function may run.
TIMEOUT_S = 30.0

# From a batch's being due to its being stored, and from an order to the request on the wire.
STORE_S = 0.001
MAKE_S = 0.004

# A line, and what an invocation has besides of the platform's.
LINE_BYTES = 170
PLATFORM_BYTES = 1300


class Environment:
    """An environment that ships by the machine.

    Args:
        world: Time, backend and figures.
    """

    __slots__ = (
        "_answer",
        "_deadline",
        "_end",
        "_ends_at",
        "_finished",
        "_frozen_at",
        "_held_back",
        "_is_asked",
        "_is_at_it",
        "_is_frozen",
        "_is_late",
        "_machine",
        "_number",
        "_order",
        "_queue",
        "_sent",
        "_tries",
        "_turn",
        "_wakes_at",
        "_world",
    )

    def __init__(self, world: "World") -> None:
        traffic = Traffic(INTERVAL_S)
        policy = FlushPolicy(traffic, "adaptive", interval_s=INTERVAL_S, budget_s=BUDGET_S, jitter=world.draw)
        route = Route(SHIPPER, policy, capacity_bytes=BACKLOG_BYTES, now=0.0)
        self._machine = Machine(traffic, [route], buffer_s=BUFFER_S, freezes=True, now=0.0)
        self._machine.handle(WorkerReady(COLLECTOR), 0.0)
        self._machine.handle(WorkerReady(SHIPPER), 0.0)
        self._world = world
        self._number = 0
        self._end = 0
        self._ends_at = self._frozen_at = self._deadline = 0.0
        self._wakes_at: float | None = None
        self._is_frozen = True
        # What came due while it was frozen; the ends of invocations that are not stored yet.
        self._held_back: list[tuple[Happening, float]] = []
        self._finished: list[tuple[str, float]] = []
        # Where each invocation's lines end, and when it began.
        self._queue: deque[tuple[int, float]] = deque()
        # The shipper: what it was last ordered, where the request on the wire ends, what came of it, and how often
        # nothing did in a row.
        self._order: Ship | None = None
        self._is_at_it = self._is_asked = self._is_late = False
        self._answer: tuple[bool, float] | None = None
        self._sent = self._tries = 0
        self._turn = 0.0

    @property
    def is_busy(self) -> bool:
        """Whether there cannot be another invocation yet."""
        return not self._is_frozen

    @property
    def waiting(self) -> int:
        """Invocations whose lines wait."""
        return len(self._queue) + len(self._finished)

    def invoke(self, now: float) -> None:
        """An invocation begins: the environment thaws."""
        self._is_frozen = False
        if self._is_at_it and self._order is not None:
            self._deadline += now - self._frozen_at  # the shipper goes by the time that it is awake
        self._number += 1
        name = str(self._number)
        self._ends_at = now + self._world.run_s
        self._finished.append((name, self._ends_at))
        self._tell(Invoked(name, now + TIMEOUT_S), now)
        push = self._world.push
        push(self._ends_at + BUFFER_S + STORE_S, self._store, 0.0)
        if self._machine.state is not HOLDING:
            if len(self._finished) > 1:
                push(now + BUFFER_S + STORE_S, self._begin, 0.0)
            self._look_ahead()
        if self._held_back:
            held_back, self._held_back = self._held_back, []
            for what, which in held_back:
                push(now + STORE_S, what, which)
        if self._is_at_it:
            push(self._deadline, self._end_shipment, self._deadline)

    # What is due happens when the environment is awake; it has whatever was due for its own part forgotten by a freeze.

    def _freeze(self, _which: float, now: float) -> None:
        if self._machine.state is WAITING and now >= self._ends_at - 1e-9 and not self._is_frozen:
            self._is_frozen = True
            self._frozen_at = now

    def _wake(self, which: float, now: float) -> None:
        if which == self._wakes_at and not self._is_frozen:
            self._tell(TimePassed(), now)
            self._look_ahead()

    def _look_ahead(self) -> None:
        """Has the machine wake when it wants to, should it be awake then."""
        self._wakes_at = wakes_at = self._machine.wakes_at
        if wakes_at is not None and not self._is_frozen:
            self._world.push(wakes_at, self._wake, wakes_at)

    def _tell(self, event: Event, now: float) -> None:
        for command in self._machine.handle(event, now):
            self._obey(command, now)

    def _obey(self, command: Command, now: float) -> None:
        if isinstance(command, FetchNext):
            if command.held_s:
                self._world.figures.held(command.held_s, now, is_in_vain=command.reason != "delivered")
            if now < self._ends_at:
                self._world.push(self._ends_at, self._freeze, 0.0)
            else:
                self._freeze(0.0, now)
        elif isinstance(command, Ship):
            self._ship(command, now)
        elif isinstance(command, Ping):
            self._tell(WorkerAnswered(command.worker), now)
        elif isinstance(command, KillWorker):
            self._world.figures.kills += 1
            self._is_at_it = self._is_asked = False
            self._tell(WorkerExited(command.worker), now)
            self._tell(WorkerReady(command.worker), now)

    # The platform.

    def _begin(self, _which: float, now: float) -> None:
        """The platform's first batch brings what could not be stored before the freeze, too."""
        if len(self._finished) > 1 and not self._is_frozen:
            self._put(self._finished[:-1], now)
            del self._finished[:-1]
            self._look_ahead()

    def _store(self, _which: float, now: float) -> None:
        """Its last one brings the lines and the end."""
        if self._finished and self._finished[-1][1] <= now and not self._is_frozen:
            self._put(self._finished, now)
            self._finished = []
            if self._machine.state is not HOLDING or not self._is_at_it:  # else the shipment's end comes first
                self._look_ahead()

    def _put(self, finished: list[tuple[str, float]], now: float) -> None:
        start, world = self._end, self._world
        size = len(finished) * (world.lines * LINE_BYTES + PLATFORM_BYTES)
        if start + size - self._machine.released > BACKLOG_BYTES:
            world.figures.lost_invocations += len(finished)
            size = PLATFORM_BYTES
        else:
            for at, (_, ended_at) in enumerate(finished, 1):
                self._queue.append((start + size * at // len(finished), ended_at - world.run_s))
        self._end = start + size
        names = tuple([name for name, _ in finished])
        self._tell(BatchStored(start, self._end, names, (), now - finished[-1][1]), now)

    # The shipper.

    def _ship(self, ship: Ship, now: float) -> None:
        self._order = ship
        self._deadline = ship.deadline
        if self._is_at_it or self._is_asked:  # else it is looked at when a request leaves, or a pause is planned
            self._world.push(ship.deadline, self._end_shipment, ship.deadline)
        if self._is_at_it:
            return
        self._is_at_it = True
        if self._answer is None:
            self._plan(now + MAKE_S)
        elif not self._is_asked:
            self._world.push(now, self._take_answer, 0.0)

    def _plan(self, at: float) -> None:
        """The next try; a try that was planned before is none any more."""
        self._turn += 1.0
        if at >= self._deadline:
            self._world.push(self._deadline, self._end_shipment, self._deadline)
        self._world.push(at, self._send, self._turn)

    def _send(self, which: float, now: float) -> None:
        if which != self._turn:
            return
        if self._is_frozen:
            self._held_back.append((self._send, which))  # the pause is over once it thaws
            return
        if not self._is_at_it or self._is_asked or self._order is None:
            return
        self._is_asked = True
        self._sent = self._order.until
        self._tries += 1
        push = self._world.push
        answered_at, is_taken, retry_after_s = self._world.backend.ask(now)
        self._answer = is_taken, retry_after_s
        push(answered_at, self._take_answer, 0.0)
        if answered_at >= self._deadline:
            push(self._deadline, self._end_shipment, self._deadline)

    def _end_shipment(self, which: float, now: float) -> None:
        """The time for a shipment is over."""
        if self._is_at_it and which == self._deadline and not self._is_frozen:
            self._stall("deadline", 0.0, now)

    def _take_answer(self, _which: float, now: float) -> None:
        if self._is_frozen:
            self._held_back.append((self._take_answer, 0.0))  # it is there once it thaws
            return
        if self._answer is None:
            return
        self._is_asked = False
        if not self._is_at_it:
            self._is_late = True  # the next shipment finds it
            return
        (is_taken, retry_after_s), self._answer = self._answer, None
        is_late, self._is_late = self._is_late, False
        if is_taken:
            self._take_delivery(now, is_late=is_late)
            return
        left_s = self._deadline - now
        pause_s = pause_before(
            self._tries,
            base_s=RETRY_BASE_S,
            most_s=RETRY_MOST_S,
            asked_s=retry_after_s,
            jitter=self._world.draw,
        )
        if pause_s >= left_s:
            self._stall("status_503", retry_after_s, now)
        else:
            self._plan(now + pause_s)

    def _take_delivery(self, now: float, *, is_late: bool) -> None:
        through, queue = self._sent, self._queue
        while queue and queue[0][0] <= through:
            self._world.figures.arrived(queue.popleft()[1], now)
        order = self._order
        self._tries = 0
        self._is_at_it = order is not None and through < order.until
        if self._is_at_it:
            self._plan(now + MAKE_S)
        self._tell(OffsetCommitted(through, is_late=is_late), now)

    def _stall(self, reason: str, retry_after_s: float, now: float) -> None:
        order, self._is_at_it = self._order, False
        self._turn += 1.0
        if order is not None:
            self._tell(ShipmentStalled(reason, retry_after_s, deadline=order.deadline), now)
        if not self._is_frozen:
            self._look_ahead()
