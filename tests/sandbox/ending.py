"""How an environment ends: SHUTDOWN to those who asked for it, SIGKILL at the deadline, a count of the left.

The same for the end of life and for a reset after a timeout or a failure.
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from tests.sandbox.extensions_api import shutdown_event
from tests.sandbox.model import Ending, ExtensionEnding

if TYPE_CHECKING:
    from tests.sandbox.children import Child
    from tests.sandbox.world import World

# The runtime's part of the time for shutdown; then it is killed.
RUNTIME_SHARE = 0.3
# After the last extension has gone, its own children notice closed pipes and leave within this.
ORPHAN_GRACE_S = 1.0


async def end(world: World, reason: str) -> Ending:
    """Tear the environment down.

    Args:
        world: What to end; its processes are gone afterwards.
        reason: `spindown` ends the runtime with SIGTERM, `timeout` and `failure` with SIGKILL.
    """
    begin_s = time.monotonic()
    world.children.thaw()
    world.hub.thawed.set()
    world.hub.flowing.set()
    shutdown_s = world.platform.shutdown_ms / 1000
    if world.runtime is not None and world.runtime.running:
        await _end_runtime(world, world.runtime, reason, shutdown_s)
    sent_s = time.monotonic()
    deadline_epoch_ms = int(time.time() * 1000) + world.platform.shutdown_ms
    killed = set()
    for name, child in world.extensions.items():
        agent = world.registry.agents[name]
        if agent.has_failed:
            # It is on its way out by itself, and hears nothing more.
            continue
        if child.running and "SHUTDOWN" in agent.events:
            agent.send(shutdown_event(reason, deadline_epoch_ms))
        elif child.running:
            killed.add(name)
            child.signal_group(signal.SIGKILL)
    children = world.extensions.values()
    await world.changes.until(lambda: not any(child.running for child in children), shutdown_s)
    for name, child in world.extensions.items():
        if child.running:
            killed.add(name)
            await world.children.kill(child)
    orphans = await _orphans(world)
    await world.children.kill_all()
    for agent in world.registry.agents.values():
        agent.abandon()
    world.runtime_api.abandon()
    everyone = [*world.extensions.values(), *([world.runtime] if world.runtime else [])]
    for child in everyone:
        world.printed.setdefault(child.name, []).extend(child.output.lines)
    return Ending(
        reason=reason,
        extensions={
            name: ExtensionEnding(
                exit_code=child.exit_code,
                exit_ms=max(0.0, ((child.exited_s or sent_s) - sent_s) * 1000),
                killed=name in killed,
            )
            for name, child in world.extensions.items()
        },
        orphans=orphans,
        duration_ms=(time.monotonic() - begin_s) * 1000,
    )


async def reset(world: World, reason: str) -> None:
    """Tear the environment down and make ready for another init; subscriptions stay."""
    world.resets.append(await end(world, reason))
    world.begin_again()


async def _end_runtime(world: World, runtime: Child, reason: str, shutdown_s: float) -> None:
    if reason == "spindown" and world.extensions:
        runtime.signal_group(signal.SIGTERM)
        await world.changes.until(lambda: not runtime.running, shutdown_s * RUNTIME_SHARE)
    if runtime.running:
        await world.children.kill(runtime)


async def _orphans(world: World) -> list[str]:
    limit_s = time.monotonic() + ORPHAN_GRACE_S
    while left := world.children.tree():
        if time.monotonic() > limit_s:
            return [f"{process.pid} {process.comm}" for process in left]
        await world.changes.until(lambda: False, 0.005)
    return []
