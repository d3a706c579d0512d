"""The most memory that a tree of processes had together, watched while it runs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tests.sandbox import procfs

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from tests.sandbox.environment import Environment

_EVERY_S = 0.02

# To see which processes there are takes a look at every one of the machine.
_LOOKS_PER_TREE = 10


class PeakMemory:
    """Looks again and again; what comes and goes between two looks is added from the kernel's own high-water mark.

    A context manager.

    Args:
        env: The environment.
        name: The extension.
    """

    def __init__(self, env: Environment, name: str) -> None:
        self._env = env
        self._name = name
        self._together_bytes = 0
        self._seen: dict[int, int] = {}
        self._highest: dict[int, int] = {}
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join()

    @property
    def peak_bytes(self) -> int:
        """The largest proportional set size of the whole tree, with what of its memory it has not mapped."""
        unseen = (highest - self._seen[pid] for pid, highest in list(self._highest.items()))
        return self._together_bytes + max(unseen, default=0)

    def _watch(self) -> None:
        looks, pids = 0, list[int]()
        while not self._is_over.wait(_EVERY_S):
            if looks % _LOOKS_PER_TREE == 0:
                pids = [process.pid for process in self._env.processes(self._name)]
            looks += 1
            self._look(pids)

    def _look(self, pids: list[int]) -> None:
        together = procfs.unmapped_bytes(pids)
        for pid in pids:
            # Of one moment: what came between two readings would be in neither.
            share, resident = procfs.shares_bytes(pid)
            together += share
            self._seen[pid] = max(self._seen.get(pid, 0), resident)
            self._highest[pid] = max(self._highest.get(pid, 0), procfs.highest_bytes(pid), resident)
        self._together_bytes = max(self._together_bytes, together)
