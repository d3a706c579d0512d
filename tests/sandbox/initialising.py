"""The init phase: extensions, then the runtime, in the order section 1 of the notes gives; and the restore."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.sandbox import ending, environ, events, faults
from tests.sandbox.faults import Fault
from tests.sandbox.model import InitResult, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.sandbox.world import World


# A file of its own would have to be removed: the lines go into one that is gone with the namespace.
_WITH_HOSTS = """
set -e
mount -t tmpfs -o size=64k sandbox /mnt
printf %s "$0" >/mnt/hosts
mount --bind /mnt/hosts /etc/hosts
umount -l /mnt
exec "$1"
"""


class FailedError(Exception):
    """Init cannot go on."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


async def initialise(world: World, phase: str, limit_s: float) -> InitResult:
    """Bring the environment up; on failure it is torn down again.

    Args:
        world: A fresh or a reset world.
        phase: `init` in the init phase, `invoke` for an init suppressed into an invocation.
        limit_s: How long it may take.
    """
    begin_s = time.monotonic()
    function, flavour = world.function, world.platform.flavour
    shown = "snap-start" if flavour == "snap-start" and phase == "init" else phase
    world.hub.open_window()
    world.hub.emit(events.init_start(flavour, shown, function.name, function.version, function.memory_mb))
    fault = None
    told = False
    try:
        _start_extensions(world)
        registry = world.registry
        await _wait(world, lambda: len(registry.registered) >= len(world.extensions), begin_s, limit_s)
        _start_runtime(world)
        runtime = world.runtime_api
        await _wait(world, lambda: runtime.asked > 0 or runtime.restore_waits, begin_s, limit_s)
        registry.closed = True
        told = True
        world.hub.emit(events.init_runtime_done(flavour, shown, "success", None))
        await _wait(world, lambda: all(agent.is_back for agent in registry.registered), begin_s, limit_s)
    except FailedError as exc:
        fault = exc.fault
    duration_ms = (time.monotonic() - begin_s) * 1000
    status: Status = "success"
    if fault is not None:
        status = "timeout" if fault.status == "timeout" else "error"
        if not told:
            world.hub.emit(events.init_runtime_done(flavour, shown, status, fault.error_type))
    error_type = fault.error_type if fault else None
    for agent in world.registry.registered:
        world.hub.emit(events.extension(agent.name, agent.state.value, agent.events, agent.error_type))
    world.hub.close_window()
    world.hub.emit(events.init_report(flavour, shown, status, error_type, duration_ms))
    if fault is not None:
        await ending.reset(world, "timeout" if status == "timeout" else "failure")
    else:
        world.initialised = True
    return InitResult(
        status=status,
        duration_ms=duration_ms,
        error_type=error_type,
        error_message=fault.message if fault else None,
    )


async def restore(world: World) -> InitResult:
    """Wake a SnapStart snapshot: the runtime's after-restore hooks run, then it asks for an invocation."""
    begin_s = time.monotonic()
    function = world.function
    world.hub.emit(events.restore_start(function.name, function.version, function.memory_mb))
    world.runtime_api.restore()
    fault = None
    try:
        await _wait(world, lambda: world.runtime_api.asked > 0, begin_s, 10.0)
    except FailedError as exc:
        fault = exc.fault
    duration_ms = (time.monotonic() - begin_s) * 1000
    status: Status = "success" if fault is None else "error"
    error_type = fault.error_type if fault else None
    world.hub.emit(events.restore_runtime_done(status, error_type))
    world.hub.emit(events.restore_report(status, error_type, duration_ms))
    world.runtime_api.restore_waits = False
    message = fault.message if fault else None
    return InitResult(status=status, duration_ms=duration_ms, error_type=error_type, error_message=message)


def executables(directory: Path) -> list[Path]:
    """The files Lambda starts: every executable one, in the order of their names."""
    if not directory.is_dir():
        return []
    return [path for path in sorted(directory.iterdir()) if path.is_file() and os.access(path, os.X_OK)]


def _start_extensions(world: World) -> None:
    found = executables(world.extensions_dir)
    for path in found:
        world.registry.expect(path.name)
    variables = environ.for_extension(world.function, world.platform, world.api)
    for path in found:
        world.journal.started(path.name)
        try:
            world.extensions[path.name] = world.children.start(
                path.name, _command(world, path), world.function.task_root, variables, _logger(world, "extension")
            )
        except OSError as exc:
            agent = world.registry.agents[path.name]
            world.hub.emit(events.extension(agent.name, "LaunchError", [], "Extension.LaunchError"))
            raise FailedError(Fault("Extension.LaunchError", f"{path}: {exc.strerror}")) from exc


def _command(world: World, path: Path) -> list[str]:
    """How an extension is executed: as it is, or where its names have the addresses that the function's hosts say."""
    executable = str(path.absolute())
    if not world.function.hosts:
        return [executable]
    lines = "".join(f"{line}\n" for line in world.function.hosts)
    # Mounts are root's, or those of whoever is root in a namespace of users.
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *as_root, "--mount", "--propagation=private", "sh", "-c", _WITH_HOSTS, lines, executable]


def _start_runtime(world: World) -> None:
    function = world.function
    command: Sequence[str] = function.runtime_command or (
        str(function.python),
        "-m",
        "awslambdaric",
        function.handler,
    )
    wrapper = function.environ.get("AWS_LAMBDA_EXEC_WRAPPER")
    command = [wrapper, *command] if wrapper else command
    variables = environ.for_runtime(function, world.platform, world.api, world.extensions_dir.parent)
    world.journal.started("runtime")
    try:
        world.runtime = world.children.start(
            "runtime", command, function.task_root, variables, _logger(world, "function")
        )
    except OSError as exc:
        raise FailedError(Fault("Runtime.InvalidEntrypoint", f"{command[0]}: {exc.strerror}")) from exc


def _logger(world: World, kind: str) -> Callable[[str], None]:
    return lambda line: world.hub.emit(events.Event(kind, line))


async def _wait(world: World, holds: Callable[[], bool], begin_s: float, limit_s: float) -> None:
    left_s = begin_s + limit_s - time.monotonic()
    held = await world.changes.until(lambda: holds() or faults.present(world) is not None, left_s)
    fault = faults.present(world)
    if fault is not None:
        raise FailedError(fault)
    if not held:
        raise FailedError(replace(faults.timed_out(limit_s), error_type="Sandbox.Timedout"))
