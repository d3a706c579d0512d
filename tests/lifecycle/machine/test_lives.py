"""Lives drawn at random: whatever happens in whatever order, the next event is asked for, and the end comes in time."""

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.machine.commands import (
    COLLECTOR,
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
    ShipmentStalled,
    ShutdownRequested,
    TimePassed,
    UnknownEventReceived,
    WorkerAnswered,
    WorkerExited,
    WorkerReady,
)
from lifecycle.machine.machine import State
from lifecycle.machine.shutdown import GONE_S, LAST_REPORT_S, SHUTDOWN_MARGIN_S
from tests.lifecycle.machine.conversation import CAPACITY, machine

TIMEOUT_S = 3.0
SHUTDOWN_S = 2.0

# What is stored this shortly before the end may be left without a shipment of its own.
SHORTLY_S = 0.1

# Moments are floats: this much is no difference.
NOTHING_S = 1e-6


class Life:
    """The platform, the workers and the time around a machine; checks what must hold at every moment.

    Args:
        mode: Of the flush policy.
        budget_s: Likewise.
        freezes: Whether the environment is frozen between invocations.
        routes: How many there are; their shippers are started later.
    """

    def __init__(self, mode: str, *, budget_s: float = 0.5, freezes: bool = True, routes: int = 1) -> None:
        self.machine = machine(
            mode, budget_s=budget_s, interval_s=2.0, freezes=freezes, routes=routes, starts_all=False
        )
        self.now = 0.0
        self.exit: Exit | None = None
        self.killed_at: float | None = None  # by the platform
        self.last_stored = 0.0
        self.tried_until = {route.worker: 0 for route in self.machine.routes}
        self._is_asked = True
        self._invocations = 0
        self._times_out_at = 0.0
        self._alive = {COLLECTOR}
        self._later = {route.worker for route in self.machine.routes}
        self._is_finished = False
        self._stuck: set[str] = set()
        self._to_come: deque[Event] = deque()
        self._ships: dict[str, Ship] = {}

    @property
    def ends_at(self) -> float:
        """When all must be done."""
        assert self.killed_at is not None
        return self.killed_at - SHUTDOWN_MARGIN_S

    # What happens.

    def happen(self, what: str, pause_s: float, share: float, which: int) -> None:  # noqa: C901, PLR0912, PLR0915 - a life has many turns
        """Time passes, and then one thing happens, if it can."""
        self._wait(pause_s)
        route = self.machine.routes[which % len(self.machine.routes)]
        worker = route.worker
        end, shipped = route.shipments.end, route.shipments.shipped
        size = max(1, round(share * CAPACITY / 3))
        has_room = end + size - self.machine.released <= CAPACITY and self._works("collector")
        order = self._ships.get(worker) if self._works(worker) else None
        named = worker if what.startswith("shipper") else COLLECTOR
        request_id = f"r{self._invocations}"
        match what:
            case _ if self.exit:
                pass
            case "invoke" if self._is_asked and self.killed_at is None:
                self._is_asked = False
                self._invocations += 1
                self._times_out_at = self.now + TIMEOUT_S
                self._tell(Invoked(f"r{self._invocations}", self._times_out_at))
            case "store" if has_room:
                self._store(BatchStored(end, end + size))
            case "finish" if has_room:
                self._store(BatchStored(end, end + size, (request_id,), (), share / 10))
            case "finish while exporting" if has_room:
                self._store(BatchStored(end, end + size, (request_id,), (), share / 10, begun=1))
            case "export" if has_room:
                self._store(ExportStored(end, end + size))
            case "settle exports" if self._works("collector"):
                self._tell(ExportsSettled(end))
            case "report" if has_room:
                self._store(BatchStored(end, end + size, (), (request_id,)))
            case "refuse" if self._works("collector"):
                self._tell(IntakeHeld())
            case "commit" if order:
                self._tell(OffsetCommitted(order.until, worker=worker))
            case "commit a part" if order and order.until > shipped:
                self._tell(
                    OffsetCommitted(shipped + round(share * (order.until - shipped)), owes=share > 1 / 2, worker=worker)
                )
            case "put off" if order and order.until > shipped:
                self._tell(OffsetCommitted(shipped + round(share * (order.until - shipped)), waits=True, worker=worker))
            case "stall" if order:
                self._tell(ShipmentStalled("status_503", deadline=order.deadline, worker=worker))
            case "ask to wait" if order:
                wait_s = 10 * share
                self._tell(ShipmentStalled("status_429", wait_s, deadline=order.deadline, worker=worker))
            case "crowd" if self._works("collector"):
                self._tell(BacklogCrowded())
            case "collector dies" | "shipper dies":
                self._exit(WorkerExited(named, share > 1 / 2))
            case "collector is ready" | "shipper is ready" if self._works(named):
                self._tell(WorkerReady(named))
            case "collector hangs" | "shipper hangs":
                self._stuck |= {named} & self._alive
            case "fail" | "gone" if self._is_asked and self.killed_at is None:
                self._is_asked = False
                self._tell(NextFailed(500 if what == "fail" else 0))
            case "warp" if self._is_asked and self.killed_at is None:
                self._is_asked = False
                self._tell(UnknownEventReceived())
            case "shutdown" if self._is_asked and self.killed_at is None:
                self._is_asked = False
                self._shut_down(SHUTDOWN_S)
            case "signal" if self.killed_at is None:
                self._shut_down(SHUTDOWN_S)

    def end(self) -> None:
        """To the exit, by time alone once SHUTDOWN has come."""
        if self.killed_at is None and not self.exit:
            self._shut_down(SHUTDOWN_S)
        while not self.exit:
            wakes_at = self.machine.wakes_at
            assert wakes_at is not None
            self._wait(max(0.0, wakes_at - self.now))

    def _wait(self, pause_s: float) -> None:
        until = self.now + pause_s
        while not self.exit:
            wakes_at = self.machine.wakes_at
            if wakes_at is None or wakes_at > until:
                break
            self.now = max(self.now, wakes_at)
            self._tell(TimePassed())
            wakes_at = self.machine.wakes_at
            assert wakes_at is None or wakes_at > self.now, "a timer that is busy"
        if not self.exit:
            self.now = until

    def _shut_down(self, within_s: float) -> None:
        self.killed_at = self.now + within_s
        self._tell(ShutdownRequested("spindown", self.killed_at))

    def _store(self, event: BatchStored | ExportStored) -> None:
        self.last_stored = self.now
        self._tell(event)

    def _works(self, worker: str) -> bool:
        return worker in self._alive - self._stuck

    def _exit(self, event: WorkerExited) -> None:
        if event.worker in self._alive:
            self._alive.remove(event.worker)
            self._stuck.discard(event.worker)
            self._ships.pop(event.worker, None)
            self._tell(event)

    # What is ordered.

    def _tell(self, event: Event) -> None:
        if isinstance(event, Invoked):
            self._is_finished = False
        if isinstance(event, BatchStored):
            self._is_finished |= f"r{self._invocations}" in event.finished
        for command in self.machine.handle(event, self.now):
            self._obey(command)
        if self.machine.state is State.DRAINING and self.killed_at is None:
            self.killed_at = self.now + GONE_S + SHUTDOWN_MARGIN_S  # the platform is gone
        assert self.exit or self._is_asked == (self.machine.state is State.WAITING) or self.killed_at is not None
        if self.machine.state in (State.HOLDING, State.OVERLAPPING):
            assert self.now < self._times_out_at
        while self._to_come and not self.exit:
            event = self._to_come.popleft()
            if isinstance(event, WorkerExited):
                self._exit(event)
            elif (isinstance(event, WorkerAnswered) and self._works(event.worker)) or isinstance(
                event, OffsetCommitted
            ):
                self._tell(event)

    def _obey(self, command: Command) -> None:
        assert self.exit is None, "nothing is ordered after the exit"
        match command:
            case FetchNext():
                assert not self._is_asked
                assert command.held_s >= 0
                self._is_asked = True
            case Ship():
                assert command.worker in self._alive
                self._ships[command.worker] = command
                if self.killed_at is not None and self.now < self.ends_at:
                    self.tried_until[command.worker] = command.until
            case Release():
                assert "collector" in self._alive
                assert all(command.through <= route.shipments.shipped for route in self.machine.routes)
            case GiveUp() | PassBy():
                self._give_up(command)
            case StartWorker():
                assert command.worker not in self._alive
                assert command.worker not in self._later or not self._is_held, "nobody waits for a first start"
                self._later.discard(command.worker)
                self._alive.add(command.worker)
            case Ping():
                self._to_come.append(WorkerAnswered(command.worker))
            case KillWorker():
                assert command.worker in self._stuck or self._ships, "nobody is killed who does what he owes"
                self._to_come.append(WorkerExited(command.worker))
            case Exit():
                assert self.killed_at is not None
                assert self.now <= self.ends_at + LAST_REPORT_S + NOTHING_S, "an exit after the deadline"
                self.exit = command
            case WarnOfDeaths():
                assert command.worker not in self._alive

    @property
    def _is_held(self) -> bool:
        """Whether an invocation that has returned, as is known, waits for us."""
        return self.machine.state in (State.HOLDING, State.OVERLAPPING) and self.killed_at is None and self._is_finished

    def _give_up(self, command: GiveUp | PassBy) -> None:
        """Others need the room: nothing that they have not got is given up, and nothing of the only route."""
        (route,) = [route for route in self.machine.routes if route.worker == command.worker]
        others = [one.shipments.shipped for one in self.machine.routes if one is not route]
        assert route.shipments.shipped < command.at_least <= command.at_most
        assert command.at_most in others
        assert all(command.at_most <= one or one == route.shipments.shipped for one in others)
        is_there = command.worker in self._alive
        assert is_there == isinstance(command, GiveUp), "a shipper is asked if there is one"
        if not is_there or self._works(command.worker):
            self._ships.pop(command.worker, None)
            self._to_come.append(OffsetCommitted(command.at_least, worker=command.worker, gives_up=True))


# "commit" and "invoke" twice: what goes well is what a life is mostly made of.
HAPPENINGS = (
    *(
        "crowd",
        "invoke",
        "invoke",
        "store",
        "finish",
        "report",
        "refuse",
        "commit",
        "commit",
        "commit a part",
        "put off",
    ),
    *(
        "stall",
        "ask to wait",
        "collector dies",
        "shipper dies",
        "fail",
        "gone",
        "warp",
        "shutdown",
        "signal",
        *("collector is ready", "shipper is ready", "collector hangs", "shipper hangs", "nothing"),
        *("finish while exporting", "export", "settle exports"),
    ),
)
Story = list[tuple[str, float, float, int]]
PAUSES = st.one_of(st.floats(0, 0.1), st.floats(0, 3), st.floats(0, 60))
STORIES: st.SearchStrategy[Story] = st.lists(
    st.tuples(st.sampled_from(HAPPENINGS), PAUSES, st.floats(0, 1), st.integers(0, 5)), max_size=60
)
BUDGETS = st.sampled_from([0.0, 0.5, 2.0])
MODES = st.sampled_from(["adaptive", "end", "interval"])
ROUTES = st.sampled_from([1, 1, 2, 3])


def lived(mode: str, budget_s: float, story: Story, *, freezes: bool = True, routes: int = 1) -> Life:
    """A whole life."""
    life = Life(mode, budget_s=budget_s, freezes=freezes, routes=routes)
    for what, pause_s, share, which in story:
        life.happen(what, pause_s, share, which)
    life.end()
    return life


@settings(max_examples=400, deadline=None)
@given(mode=MODES, budget_s=BUDGETS, story=STORIES, freezes=st.booleans(), routes=ROUTES)
def test_every_life_asks_for_the_next_event_and_ends_in_time(
    mode: str, budget_s: float, story: Story, routes: int, *, freezes: bool
) -> None:
    """No illegal event, no busy timer, /next asked never twice, no hold past the deadline, no exit after SIGKILL."""
    life = lived(mode, budget_s, story, freezes=freezes, routes=routes)
    assert life.machine.state is State.CLOSED


@settings(max_examples=400, deadline=None)
@given(mode=MODES, budget_s=BUDGETS, story=STORIES, routes=ROUTES)
def test_no_life_ends_with_records_that_wait_and_were_not_tried(
    mode: str, budget_s: float, story: Story, routes: int
) -> None:
    """While there is time left, all that waits is ordered out once more, on every route."""
    life = lived(mode, budget_s, story, routes=routes)
    for route in life.machine.routes:
        if route.shipments.waiting_bytes and life.last_stored < life.ends_at - SHORTLY_S:
            assert life.tried_until[route.worker] == route.shipments.end
