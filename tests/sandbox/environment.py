"""One execution environment for synchronous callers: start, invoke, idle, shut down, look inside."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.sandbox import ending, faults, initialising, invoking, procfs
from tests.sandbox.changes import Changes
from tests.sandbox.children import Children
from tests.sandbox.events import Event
from tests.sandbox.loop_thread import LoopThread
from tests.sandbox.model import Ending, Function, InitResult, InvokeResult, Platform
from tests.sandbox.rapid import Rapid
from tests.sandbox.world import World

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

    from tests.sandbox.delivery import DeliveryStats
    from tests.sandbox.journal import Call, Timeline


class Environment:
    """A Lambda execution environment on this machine.

    A context manager: leaving it kills every process it started. Its methods may be called from several
    threads; on managed instances invocations then interleave.
    """

    def __init__(self, extensions_dir: Path, function: Function, platform: Platform | None = None) -> None:
        self.ending: Ending | None = None
        self._closed = False
        self._loop = LoopThread("sandbox")
        self._loop.call(self._open(extensions_dir, function, platform or Platform()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> InitResult:
        """Run the init phase now; on SnapStart the snapshot is then taken."""
        return self._loop.call(self._start())

    def invoke(self, payload: Any = None) -> InvokeResult:
        """Invoke the function and wait until the invoke phase has ended (and the freeze has begun)."""
        return self._loop.call(self._invoke({} if payload is None else payload))

    def idle(self, seconds: float) -> None:
        """Let wall time pass between invocations; frozen, unless the platform does not freeze."""
        time.sleep(seconds)

    def shutdown(self, reason: str = "spindown") -> Ending:
        """End the environment as Lambda does; a second call returns what the first did."""
        if self.ending is None:
            self.ending = self._loop.call(ending.end(self.world, reason))
        return self.ending

    def close(self) -> None:
        """Kill whatever still runs and stop serving."""
        if self._closed:
            return
        self._closed = True
        try:
            self._loop.call(self._close())
        finally:
            self._loop.close()

    @property
    def calls(self) -> list[Call]:
        """Every API call so far, in the order received."""
        return list(self.world.journal.calls)

    @property
    def events(self) -> list[Event]:
        """Every telemetry event so far, delivered or not."""
        return list(self.world.hub.events)

    @property
    def resets(self) -> list[Ending]:
        """How each reset so far went."""
        return list(self.world.resets)

    def timeline(self, name: str, generation: int = 1) -> Timeline:
        """When an extension was executed, registered, subscribed and asked for events.

        Args:
            name: The extension's name.
            generation: 1 for the first environment, one more after each reset.
        """
        return self.world.journal.timeline(name, generation)

    def telemetry(self, name: str) -> DeliveryStats:
        """What became of the events an extension subscribed to.

        Raises:
            KeyError: It has not subscribed.
        """
        return self.world.hub.subscriptions[name].stats

    def printed(self, name: str) -> list[str]:
        """The lines an extension, or `runtime`, has printed, over all generations."""
        earlier = self.world.printed.get(name, [])
        if self.ending is not None:
            return list(earlier)
        now = self.world.runtime if name == "runtime" else self.world.extensions.get(name)
        return [*earlier, *(now.output.lines if now else ())]

    def processes(self, name: str) -> list[procfs.Process]:
        """The living processes of an extension's (or the `runtime`'s) tree, oldest first."""
        child = self.world.runtime if name == "runtime" else self.world.extensions.get(name)
        if child is None:
            return []
        return sorted(self.world.children.tree(child), key=lambda process: process.started_ticks)

    def memory_pss_bytes(self, name: str) -> int:
        """The proportional set size of a tree, and what of its memory it has not mapped."""
        pids = [process.pid for process in self.processes(name)]
        return sum(map(procfs.pss_bytes, pids)) + procfs.unmapped_bytes(pids)

    def starved_ms(self, name: str) -> float:
        """How long a tree's processes, and the platform itself, were ready to run and had no processor."""
        platform_ms = procfs.starved_ms(os.getpid(), self._loop.native_id)
        return platform_ms + sum(procfs.starved_ms(process.pid) for process in self.processes(name))

    def cpu_s(self, name: str) -> float:
        """CPU time of a tree, of its children that have ended included."""
        return sum(process.cpu_s for process in self.processes(name))

    def log(self, text: str) -> None:
        """Log a record of the function's, of several lines or of more than its output's limit, say."""
        event = Event("function", text)
        self._loop.call(_soon(lambda: self.world.hub.emit(event)))

    def listener(self, name: str) -> int:
        """The port on which an extension takes telemetry, as it last subscribed.

        Raises:
            LookupError: It has not.
        """
        for call in reversed(self.calls):
            if call.name == name and call.api in ("telemetry", "logs") and call.status == HTTPStatus.OK:
                destination = json.loads(call.body)["destination"]
                return int(destination.get("port") or urlsplit(destination["URI"]).port)
        raise LookupError(f"{name} has not subscribed")

    def ignore_output(self, name: str) -> None:
        """Read nothing more of what an extension prints."""
        self._loop.call(_soon(self.world.extensions[name].output.ignore))

    def heed_output(self, name: str) -> None:
        """Read again what an extension prints."""
        self._loop.call(_soon(self.world.extensions[name].output.heed))

    def exhaust_descriptors(self, name: str) -> None:
        """Let no process of an extension open anything more, as if all its descriptors were in use."""
        for process in self.processes(name):
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                taken = {int(entry.name) for entry in Path(f"/proc/{process.pid}/fd").iterdir()}
                free = next(number for number in range(len(taken) + 1) if number not in taken)
                _, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
                resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (free, hard))

    def release_descriptors(self, name: str) -> None:
        """Let them open as much as this process may."""
        for process in self.processes(name):
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(process.pid, resource.RLIMIT_NOFILE, resource.getrlimit(resource.RLIMIT_NOFILE))

    def leave_frozen(self, name: str, comm: str) -> int:
        """Let one process of an extension's tree, which is frozen, stay so when the others go on.

        Returns:
            The process id, for `let_go_on`.

        Raises:
            LookupError: No process of that name is there.
        """
        for process in self.processes(name):
            if process.comm == comm:
                self.world.children.left.add(process.pid)
                return process.pid
        raise LookupError(f"no process {comm!r}")

    def let_go_on(self, pid: int) -> None:
        """Have a process go on that was left frozen, or go on with the others if they have not yet."""
        if pid in self.world.children.left:
            self.world.children.left.discard(pid)
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    def kill(self, name: str, comm: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to one process of an extension's tree, found by its comm or its command line.

        Returns:
            The process id.

        Raises:
            LookupError: No process of that name is there.
        """
        processes = self.processes(name)
        named = [process for process in processes if process.comm == comm]
        for process in named or [p for p in processes if comm in procfs.cmdline(p.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)
            return process.pid
        raise LookupError(f"no process {comm!r} in {[process.comm for process in processes]}")

    async def _open(self, extensions_dir: Path, function: Function, platform: Platform) -> None:
        changes = Changes()
        self.world = World(
            function=function,
            platform=platform,
            extensions_dir=extensions_dir,
            children=Children(changes, b"", platform.line_bytes),
            changes=changes,
        )
        self._rapid = Rapid(self.world)
        self._phase = asyncio.Lock()
        self.world.api = await self._rapid.open()
        self.world.children.mark = f"AWS_LAMBDA_RUNTIME_API={self.world.api}".encode()

    async def _close(self) -> None:
        self.world.children.thaw()
        await self.world.children.kill_all()
        self.world.hub.close()
        await self._rapid.close()

    async def _start(self) -> InitResult:
        async with self._phase:
            return await self._init()

    async def _init(self) -> InitResult:
        world = self.world
        limit_s = world.platform.init_limit_s(world.function)
        result = await initialising.initialise(world, "init", limit_s)
        world.first_init = result
        if world.initialised and world.platform.flavour == "snap-start":
            await self._freeze()
            await asyncio.sleep(world.platform.snapshot_s)
        elif world.initialised and world.platform.flavour == "provisioned-concurrency":
            await self._freeze()
        return result

    async def _invoke(self, payload: Any) -> InvokeResult:
        if self.ending is not None:
            raise RuntimeError("the environment has been shut down")
        world = self.world
        if world.platform.managed:
            async with self._phase:
                timing, fault = await self._prepare()
            if fault is not None:
                return invoking.never_started(world, payload, timing, fault)
            return await invoking.invoke(world, payload, timing)
        async with self._phase:
            timing, fault = await self._prepare()
            if fault is not None:
                return invoking.never_started(world, payload, timing, fault)
            result = await invoking.invoke(world, payload, timing)
            if world.initialised:
                await self._freeze()
            return result

    async def _prepare(self) -> tuple[invoking.Timing, faults.Fault | None]:
        """Thaw, and initialise or restore where that is still to be done."""
        world = self.world
        timeout_s = world.function.timeout_s
        called_s = time.monotonic()
        first_init_ms = None
        if world.first_init is None:
            first_init_ms = (await self._init()).duration_ms
            if world.platform.flavour != "on-demand":
                called_s = time.monotonic()
        elif world.initialised and not world.invoked:
            first_init_ms = world.first_init.duration_ms
        world.invoked = True
        self._deliver_or_not()
        self._thaw()
        if world.platform.managed and world.initialised and faults.present(world) is not None:
            # Those that ran when it failed have heard of it; nobody else was there to reset it.
            await ending.reset(world, "failure")
        timing = invoking.Timing(called_s=called_s, deadline_s=time.monotonic() + timeout_s)
        if not world.initialised:
            again = await initialising.initialise(world, "invoke", timeout_s)
            if again.error_type is not None:
                return timing, faults.Fault(again.error_type, again.error_message or "", again.status)
        elif world.platform.flavour == "on-demand":
            timing.init_ms = first_init_ms
        if world.runtime_api.restore_waits:
            restored = await initialising.restore(world)
            timing.restore_ms = restored.duration_ms
            timing.deadline_s = time.monotonic() + timeout_s
            if restored.error_type is not None:
                return timing, faults.Fault(restored.error_type, restored.error_message or "")
        return timing, None

    async def _freeze(self) -> None:
        if self.world.platform.freezes:
            self.world.hub.thawed.clear()
            await self.world.children.freeze()

    def _deliver_or_not(self) -> None:
        """What was withheld during an earlier invocation follows, unless this one is of that kind, too."""
        if self.world.invocations + 1 in self.world.platform.withheld:
            self.world.hub.flowing.clear()
        else:
            self.world.hub.flowing.set()

    def _thaw(self) -> None:
        self.world.children.thaw()
        self.world.hub.thawed.set()


async def _soon(act: Callable[[], None]) -> None:
    act()
