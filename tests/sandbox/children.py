"""The environment's processes: started in sessions of their own, watched, frozen, thawed, killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.sandbox import procfs
from tests.sandbox.output import Output

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tests.sandbox.changes import Changes

# Stopping is the kernel's work of microseconds; what is not stopped after this never will be.
FREEZE_LIMIT_S = 2.0


@dataclass
class Child:
    """One process the platform started: an extension or the runtime."""

    name: str
    process: subprocess.Popen[bytes]
    output: Output
    exec_s: float
    exit_code: int | None = None
    exited_s: float | None = None

    @property
    def running(self) -> bool:
        """Whether it has not exited."""
        return self.exit_code is None

    def signal_group(self, number: int) -> None:
        """Send a signal to its whole process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


@dataclass
class Children:
    """Every process of the environment, dead ones included."""

    changes: Changes
    mark: bytes
    """`AWS_LAMBDA_RUNTIME_API=…`: unique to this environment, inherited by whatever it starts."""
    line_bytes: int
    """Longer lines are cut."""
    all: list[Child] = field(default_factory=list)
    frozen: bool = False
    left: set[int] = field(default_factory=set)
    """Processes that stay frozen at the next thaw."""
    _stopped: list[procfs.Process] = field(default_factory=list)

    def start(
        self,
        name: str,
        command: Sequence[str],
        cwd: Path,
        environ: Mapping[str, str],
        on_line: Callable[[str], None],
    ) -> Child:
        """Execute a command as leader of a session of its own.

        Raises:
            OSError: It cannot be executed.
        """
        output = Output(on_line, self.line_bytes)
        exec_s = time.monotonic()
        try:
            process = subprocess.Popen(
                list(command),
                cwd=cwd,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=output.write_fd,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError:
            output.close()
            raise
        output.started()
        child = Child(name, process, output, exec_s)
        self.all.append(child)
        pidfd = os.pidfd_open(process.pid)
        asyncio.get_running_loop().add_reader(pidfd, self._exited, child, pidfd)
        return child

    def _exited(self, child: Child, pidfd: int) -> None:
        asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)
        child.exited_s = time.monotonic()
        child.exit_code = child.process.wait()
        child.output.drain()
        self.changes.ring()

    def tree(self, *children: Child) -> list[procfs.Process]:
        """Living processes of some children, or of the whole environment, the detached ones included."""
        if children:
            return procfs.tree({child.process.pid for child in children})
        return procfs.tree({child.process.pid for child in self.all if child.running}, self.mark)

    async def freeze(self) -> None:
        """SIGSTOP the whole environment and wait until nothing of it runs."""
        self.frozen = True
        self._stopped = []
        limit_s = time.monotonic() + FREEZE_LIMIT_S
        while running := [p for p in self.tree() if p.state != "T"]:
            if time.monotonic() > limit_s:
                raise TimeoutError(f"not frozen after {FREEZE_LIMIT_S} s: {running}")
            _signal(running, signal.SIGSTOP)
            self._stopped.extend(running)
            await asyncio.sleep(0)

    def thaw(self) -> None:
        """SIGCONT everything, children before their parents."""
        if self.frozen:
            self.frozen = False
            # What is stopped starts nothing: those that were stopped are all there are.
            thawed = [process for process in self._stopped if process.pid not in self.left]
            _signal(sorted(thawed, key=lambda p: -p.started_ticks), signal.SIGCONT)
            self.left.clear()

    async def kill(self, child: Child) -> None:
        """SIGKILL one child's process group and wait for its end."""
        child.signal_group(signal.SIGKILL)
        await self.changes.until(lambda: not child.running)

    async def kill_all(self) -> None:
        """SIGKILL whatever of the environment still lives, and wait until nothing does."""
        for child in self.all:
            if child.running:
                child.signal_group(signal.SIGKILL)
        await self.changes.until(lambda: not any(child.running for child in self.all))
        while left := self.tree():
            _signal(left, signal.SIGKILL)
            await asyncio.sleep(0.001)
        for child in self.all:
            child.output.close()


def _signal(processes: list[procfs.Process], number: int) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
