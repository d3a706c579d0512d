"""Waiting for a state: one bell that everything rings, and waiters that look whether it rang for them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Changes:
    """Rung after every change of the platform's state; belongs to one event loop."""

    def __init__(self) -> None:
        self._waiters: dict[asyncio.Future[None], Callable[[], bool]] = {}

    def ring(self) -> None:
        """Wake every waiter whose condition holds now."""
        for waiter, holds in list(self._waiters.items()):
            if not waiter.done() and holds():
                waiter.set_result(None)

    async def until(self, holds: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Wait until a condition held at some ring.

        Returns:
            False when the time ran out first.
        """
        if holds():
            return True
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = holds
        try:
            await asyncio.wait_for(waiter, timeout_s)
        except asyncio.TimeoutError:
            return holds()
        else:
            return True
        finally:
            self._waiters.pop(waiter, None)
