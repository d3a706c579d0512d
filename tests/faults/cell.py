"""What a cell of the matrix is made of: what is set, what is done, and what is required of it."""

import contextlib
import fcntl
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from lifecycle.contract import wire
from tests.sandbox import Destination, Environment, Platform
from tests.sandbox.process_limit import UnavailableError, no_forks
from tests.tools.bundles import load_from_source

NAME = "tailrace"
COLLECTOR, SHIPPER = "tr-collector", "tr-shipper"

# A second route, and its shipper's name, of which the kernel keeps 15 characters.
SECOND, SECOND_SHIPPER = "SECOND", "tr-shipper-seco"

# Promised for every cell; a cell may only add to it or say why something does not apply.
BUDGET_MS = 500.0
OVER_BUDGET_MS = 50.0
SHUTDOWN_MS = 1900.0
MEMORY_MB = 40.0

# Held in the median where the backend acknowledges nothing within the budget.
LATE_MS = 5.0

# A count that is not told.
ANY = -1

# A worker that was killed is there again long before this, unless everything is frozen.
REPLACED_WITHIN_S = 0.5

INVOCATIONS, LINES = 10, 20
LINE = {"lines": LINES}


class Scene:
    """What a cell's hooks may touch.

    Args:
        env: The environment.
        backend: Where telemetry goes.
        shipper: The one that is meant where a shipper is.
        layer: Of the layer that is played.

    Attributes:
        kills: Of workers, so far.
        problems: What a hook found that should have been otherwise.
    """

    def __init__(
        self, env: Environment, backend: Destination, shipper: str = SHIPPER, layer: Path | None = None
    ) -> None:
        self.env = env
        self.backend = backend
        self._shipper = shipper
        self._layer = layer
        self.kills = 0
        self.problems: list[str] = []
        self._under_way: list[threading.Thread] = []
        self._haunting: list[threading.Thread] = []
        self._is_over = threading.Event()
        self._kept = contextlib.ExitStack()
        self._crowd: list[socket.socket] = []

    def kill(self, *comms: str) -> None:
        """SIGKILL to workers; one that is just being replaced is waited for."""
        limit_s = time.monotonic() + REPLACED_WITHIN_S
        for comm in comms:
            while not self.signal(comm, signal.SIGKILL) and time.monotonic() < limit_s:
                time.sleep(0.001)

    def log(self, text: str) -> None:
        """Has the platform deliver a line of the function as one record, whatever is in it."""
        self.env.log(text)

    def signal(self, comm: str, number: int) -> bool:
        """Sends a signal to a worker; whether there was one."""
        try:
            self.env.kill(NAME, self._shipper if comm == SHIPPER else comm, number)
        except LookupError:
            return False
        self.kills += number == signal.SIGKILL
        return True

    def kill_after(self, delay_s: float, *comms: str) -> None:
        """SIGKILL to workers a moment after the invocation that is about to begin has begun."""
        self.later(delay_s, lambda: self.kill(*comms))

    def kill_again_and_again(self, delay_s: float, comm: str, times: int) -> None:
        """SIGKILL to a worker, and to its successors soon after they are there."""

        def act() -> None:
            for _ in range(times):
                self.kill(comm)
                time.sleep(0.005)

        self.later(delay_s, act)

    def later(self, delay_s: float, action: Callable[[], object]) -> None:
        """Does something while the invocation that is about to begin runs."""
        timer = threading.Timer(delay_s, action)
        self._under_way.append(timer)
        timer.start()

    def supervisor(self, number: int) -> None:
        """Sends a signal to the process that Lambda started."""
        self.env.world.extensions[NAME].process.send_signal(number)

    def short_of_descriptors(self, after_s: float, for_s: float) -> None:
        """Nobody of the extension can open anything for a while in the invocation that is about to begin."""
        self.later(after_s, lambda: self.env.exhaust_descriptors(NAME))
        self.later(after_s + for_s, lambda: self.env.release_descriptors(NAME))

    def short_of_processes(self, after_s: float, for_s: float) -> None:
        """Likewise, nobody can start a process."""

        def act() -> None:
            try:
                with no_forks([process.pid for process in self.env.processes(NAME)]):
                    time.sleep(for_s)
            except UnavailableError as exc:
                self.problems.append(str(exc))

        self.later(after_s, act)

    def fill_commands(self, for_s: float, *comms: str) -> None:
        """Workers that are frozen stay so for a while longer, with as many commands waiting as there is room for.

        Each of those asks whether it is there.
        """
        for comm in comms:
            pid = self.env.leave_frozen(NAME, comm)
            _fill(_commands_of(pid))
            self.later(for_s, partial(self.env.let_go_on, pid))

    def edit(self, module: str, old: str, new: str) -> None:
        """Changes a text in a module of the cell's own layer, for who loads it from now on."""
        if self._layer is None:
            raise LookupError("the cell has no layer of its own")
        source = self._layer / "tailrace" / module
        text = source.read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise LookupError(f"{old!r} stands {text.count(old)} times in {module}, expected once")
        source.write_text(text.replace(old, new), encoding="utf-8")
        load_from_source(self._layer / "tailrace", module.removesuffix(".py").replace("/", "."))

    def crowd(self, connections: int) -> None:
        """Connections to where the extension takes telemetry, each of which has said little and says no more."""
        port = self.env.listener(NAME)
        for _ in range(connections):
            # Without waiting: more may be asked for than it takes.
            one = self.keep(socket.socket())
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
            self._crowd.append(one)
        for one in self._crowd:
            with contextlib.suppress(OSError):
                one.send(b"POST / HTTP/1.1\r\n")

    def disperse(self) -> None:
        """Hangs up on behalf of the crowd."""
        for one in self._crowd:
            one.close()
        self._crowd.clear()

    def keep(self, kept: Any) -> Any:
        """Enters a context that is left with the cell's end."""
        return self._kept.enter_context(kept)

    def haunt(self, comm: str) -> None:
        """SIGKILL to a worker as soon as it is there, from now on."""

        def watch() -> None:
            while not self._is_over.wait(0.002):
                self.signal(comm, signal.SIGKILL)

        self._haunting.append(threading.Thread(target=watch))
        self._haunting[-1].start()

    def leave(self) -> None:
        """Ends all haunting, and whatever was kept."""
        self._is_over.set()
        for thread in self._haunting:
            thread.join()
        self._kept.close()

    def settle(self) -> None:
        """Waits for what was to be done during an invocation."""
        for thread in self._under_way:
            thread.join()
        self._under_way.clear()


def _commands_of(pid: int) -> Path:
    """The one pipe that a worker reads from."""
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        flags = Path(f"/proc/{pid}/fdinfo", entry.name).read_text().partition("flags:")[2].split()[0]
        if str(entry.readlink()).startswith("pipe:") and int(flags, 8) & os.O_ACCMODE == os.O_RDONLY:
            return entry
    raise LookupError(f"{pid} reads no pipe")


def _fill(commands: Path) -> None:
    with commands.open("wb", buffering=0) as pipe:
        # A message a packet, as from the supervisor.
        fcntl.fcntl(pipe, fcntl.F_SETFL, os.O_DIRECT | os.O_NONBLOCK)
        with contextlib.suppress(BlockingIOError):
            while True:
                wire.send(pipe.fileno(), wire.Ping())


@dataclass(frozen=True, kw_only=True)
class Required:
    """What a cell is held to, beside what every cell is.

    Attributes:
        lost: Events that may be missing at the backend, exactly; None: whatever is, as long as each is counted.
        most_lost: Likewise, at most; None: it is `lost` that says it.
        dropped: What the ledger must have given up, by reason; ANY for some, however many.
        waits: The events missing are the ledger's waiting and dropped ones, exactly.
        may_have_arrived: Some of them may have arrived all the same: the shipper was killed before it could say so.
        is_lost_before_us: What is missing was never told to anyone: only our own count must be exact.
        p50_ms: Held in the median, at most.
        late_p50_ms: Held in the median over the second half of the invocations, at most.
        retry_after_s: What the destination asked to wait, and no request may come before.
        resent: Whether records may, or must, arrive twice; None: they may.
        failing: Invocations (from 0) that must fail; all others must succeed.
        unending: Invocations whose end nobody tells us: held to their deadline less a margin.
        kills: Workers that must have been killed, at least.
        retried: Whether requests may be repeated for a failure.
        by_lines: Whether only the function's lines are looked for: the platform's events become spans and metrics.
        platform_keeps: Whether the platform may be left with events that nobody took.
        platform_drops: Whether the platform drops events, every one of which must be in our ledger.
        prompt_from: The lines of invocations from this one on are at the backend when they have ended; None: whenever.
        has_spans: Whether every invocation's span must have arrived.
        says: Texts that must stand in what the extension printed, each in exactly one line of it.
        unsaid: Texts that must not.
        most_copies: Events that may arrive again.
        memory_mb: What all processes together may take at most.
        answered_p50_ms: What the function exports is answered within, in the median.
        answered_ms: Likewise, the slowest of it.
    """

    lost: int | None = 0
    most_lost: int | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)
    waits: bool = False
    may_have_arrived: bool = False
    is_lost_before_us: bool = False
    p50_ms: float | None = None
    late_p50_ms: float | None = None
    retry_after_s: float = 0.0
    resent: bool | None = None
    failing: Collection[int] = ()
    unending: Collection[int] = ()
    kills: int = 0
    retried: bool = True
    platform_drops: bool = False
    platform_keeps: bool = False
    by_lines: bool = False
    prompt_from: int | None = None
    has_spans: bool = False
    says: Sequence[str] = ()
    unsaid: Sequence[str] = ()
    most_copies: int | None = None
    memory_mb: float = MEMORY_MB
    answered_p50_ms: float | None = None
    answered_ms: float | None = None


Hook = Callable[[Scene], None]
PerInvocation = Callable[[Scene, int], None]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One row of the matrix.

    Attributes:
        name: What goes wrong.
        settings: Of the extension, beside those of every cell; {port} in a value is the backend's.
        is_default: Whether nothing is set but what the cell sets: all signals, policy adaptive.
        backend: Makes the backend.
        hosts: Lines of the /etc/hosts that the extension sees.
        platform: How Lambda behaves.
        timeout_s: The function's.
        events: One an invocation.
        start: Done before the environment starts.
        before: Done before each invocation, with its number from 0.
        ending: Done before SHUTDOWN.
        endpoint: Where telemetry goes instead of the backend; given the backend's port.
        required: What it is held to.
        owns_layer: Whether a copy of the layer is played, which `Scene.edit` may change.
        is_slow: Whether `make faults` alone plays it.
        is_beside: Whether all this is so on a second route: the first one is well, and is what is measured.
    """

    name: str
    settings: Mapping[str, str] = field(default_factory=dict)
    is_default: bool = False
    backend: Callable[[], Destination] = Destination
    hosts: Sequence[str] = ()
    platform: Platform = field(default_factory=Platform)
    timeout_s: float = 3.0
    events: Sequence[Mapping[str, Any]] = (LINE,) * INVOCATIONS
    start: Hook | None = None
    before: PerInvocation | None = None
    ending: Hook | None = None
    endpoint: Callable[[int], str] | None = None
    required: Required = field(default_factory=Required)
    owns_layer: bool = False
    is_slow: bool = False
    is_beside: bool = False
