"""Lives drawn at random: whatever happens in whatever order, the next event is asked for, and the end comes in time."""

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.machine.commands import (
    Command,
    Exit,
    FetchNext,
    KillWorker,
    Ping,
    Release,
    Ship,
    StartWorker,
    WarnOfDeaths,
)
from lifecycle.machine.events import (
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
    """

    def __init__(self, mode: str, *, budget_s: float = 0.5, freezes: bool = True) -> None:
        self.machine = machine(mode, budget_s=budget_s, interval_s=2.0, freezes=freezes)
        self.now = 0.0
        self.exit: Exit | None = None
        self.killed_at: float | None = None  # by the platform
        self.last_stored = 0.0
        self.tried_until = 0
        self._is_asked = True
        self._invocations = 0
        self._times_out_at = 0.0
        self._alive = {"collector", "shipper"}
        self._stuck: set[str] = set()
        self._to_come: deque[Event] = deque()
        self._ship: Ship | None = None

    @property
    def waiting_bytes(self) -> int:
        """What has not been delivered."""
        return self.machine.routes[0].shipments.waiting_bytes

    @property
    def ends_at(self) -> float:
        """When all must be done."""
        assert self.killed_at is not None
        return self.killed_at - SHUTDOWN_MARGIN_S

    # What happens.

    def happen(self, what: str, pause_s: float, share: float) -> None:  # noqa: C901, PLR0912, PLR0915 - a life has many turns
        """Time passes, and then one thing happens, if it can."""
        self._wait(pause_s)
        end, shipped = self.machine.routes[0].shipments.end, self.machine.routes[0].shipments.shipped
        size = max(1, round(share * CAPACITY / 3))
        has_room = end + size - shipped <= CAPACITY and self._works("collector")
        order = self._ship if self._works("shipper") else None
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
                self._tell(OffsetCommitted(order.until))
            case "commit a part" if order and order.until > shipped:
                self._tell(OffsetCommitted(shipped + round(share * (order.until - shipped)), owes=share > 1 / 2))
            case "put off" if order and order.until > shipped:
                self._tell(OffsetCommitted(shipped + round(share * (order.until - shipped)), waits=True))
            case "stall" if order:
                self._tell(ShipmentStalled("status_503", deadline=order.deadline))
            case "ask to wait" if order:
                self._tell(ShipmentStalled("status_429", retry_after_s=10 * share, deadline=order.deadline))
            case "collector dies" | "shipper dies":
                self._exit(WorkerExited(what.partition(" ")[0], share > 1 / 2))
            case "collector is ready" | "shipper is ready" if self._works(what.partition(" ")[0]):
                self._tell(WorkerReady(what.partition(" ")[0]))
            case "collector hangs" | "shipper hangs":
                self._stuck.add(what.partition(" ")[0])
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
            self._ship = None if event.worker == "shipper" else self._ship
            self._tell(event)

    # What is ordered.

    def _tell(self, event: Event) -> None:
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
            elif isinstance(event, WorkerAnswered) and self._works(event.worker):
                self._tell(event)

    def _obey(self, command: Command) -> None:
        assert self.exit is None, "nothing is ordered after the exit"
        match command:
            case FetchNext():
                assert not self._is_asked
                assert command.held_s >= 0
                self._is_asked = True
            case Ship():
                assert "shipper" in self._alive
                self._ship = command
                if self.killed_at is not None and self.now < self.ends_at:
                    self.tried_until = command.until
            case Release():
                assert "collector" in self._alive
                assert command.through <= self.machine.routes[0].shipments.end
            case StartWorker():
                assert command.worker not in self._alive
                self._alive.add(command.worker)
            case Ping():
                self._to_come.append(WorkerAnswered(command.worker))
            case KillWorker():
                assert command.worker in self._stuck or self._ship is not None, "nobody is killed who does what he owes"
                self._to_come.append(WorkerExited(command.worker))
            case Exit():
                assert self.killed_at is not None
                assert self.now <= self.ends_at + LAST_REPORT_S + NOTHING_S, "an exit after the deadline"
                self.exit = command
            case WarnOfDeaths():
                assert command.worker not in self._alive


# "commit" and "invoke" twice: what goes well is what a life is mostly made of.
HAPPENINGS = (
    *("invoke", "invoke", "store", "finish", "report", "refuse", "commit", "commit", "commit a part", "put off"),
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
Story = list[tuple[str, float, float]]
PAUSES = st.one_of(st.floats(0, 0.1), st.floats(0, 3), st.floats(0, 60))
STORIES: st.SearchStrategy[Story] = st.lists(
    st.tuples(st.sampled_from(HAPPENINGS), PAUSES, st.floats(0, 1)), max_size=60
)
BUDGETS = st.sampled_from([0.0, 0.5, 2.0])
MODES = st.sampled_from(["adaptive", "end", "interval"])


def lived(mode: str, budget_s: float, story: Story, *, freezes: bool = True) -> Life:
    """A whole life."""
    life = Life(mode, budget_s=budget_s, freezes=freezes)
    for what, pause_s, share in story:
        life.happen(what, pause_s, share)
    life.end()
    return life


@settings(max_examples=400)
@given(mode=MODES, budget_s=BUDGETS, story=STORIES, freezes=st.booleans())
def test_every_life_asks_for_the_next_event_and_ends_in_time(
    mode: str, budget_s: float, story: Story, *, freezes: bool
) -> None:
    """No illegal event, no busy timer, /next asked never twice, no hold past the deadline, no exit after SIGKILL."""
    life = lived(mode, budget_s, story, freezes=freezes)
    assert life.machine.state is State.CLOSED


@settings(max_examples=400)
@given(mode=MODES, budget_s=BUDGETS, story=STORIES)
def test_no_life_ends_with_records_that_wait_and_were_not_tried(mode: str, budget_s: float, story: Story) -> None:
    """While there is time left, all that waits is ordered out once more."""
    life = lived(mode, budget_s, story)
    if life.waiting_bytes and life.last_stored < life.ends_at - SHORTLY_S:
        assert life.tried_until == life.machine.routes[0].shipments.end
