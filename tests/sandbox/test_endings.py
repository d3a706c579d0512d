"""Shutdown: in time, too late, not asked for; and that nothing stays behind."""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

from tests.sandbox import Environment, Function, Platform

if TYPE_CHECKING:
    from tests.sandbox.conftest import Stage


def test_an_extension_has_time_to_leave(stage: Stage) -> None:
    """It hears SHUTDOWN with a deadline and a reason, and its way out is measured."""
    stage.extension(shutdown_s=0.1)
    env = stage.environment()
    env.invoke()
    ending = env.shutdown()
    assert ending.clean
    assert 100 <= ending.extensions["scripted"].exit_ms < 1900
    assert any(b'"shutdownReason":"spindown"' in call.answer for call in env.calls)


def test_at_the_deadline_it_is_killed(stage: Stage) -> None:
    """SIGKILL after shutdown_ms, not before."""
    stage.extension(shutdown_s=30)
    env = stage.environment(shutdown_ms=300)
    env.invoke()
    ending = env.shutdown().extensions["scripted"]
    assert ending.killed
    assert ending.exit_code == -9
    assert 300 <= ending.exit_ms < 5000


def test_without_a_subscription_to_shutdown_it_is_killed_at_once(stage: Stage) -> None:
    """INVOKE alone brings no warning."""
    stage.extension(events=["INVOKE"])
    env = stage.environment()
    env.invoke()
    ending = env.shutdown().extensions["scripted"]
    assert ending.killed
    assert ending.exit_ms < 1500


def test_a_bad_exit_code_is_not_clean(stage: Stage) -> None:
    """The code is told."""
    stage.extension(shutdown_code=3)
    env = stage.environment()
    env.invoke()
    ending = env.shutdown()
    assert not ending.clean
    assert ending.extensions["scripted"].exit_code == 3


def test_what_an_extension_leaves_behind_is_found_and_killed(stage: Stage) -> None:
    """A child in a session of its own outlives its parent: an orphan, by name."""
    stage.extension(child=True)
    env = stage.environment()
    env.invoke()
    child = env.processes("scripted")[-1]
    pidfd = os.pidfd_open(child.pid)
    ending = env.shutdown()
    assert not ending.clean
    assert ending.orphans == [f"{child.pid} {child.comm}"]
    dead, _, _ = select.select([pidfd], [], [], 5.0)
    os.close(pidfd)
    assert dead


def test_leaving_the_block_kills_everything(stage: Stage) -> None:
    """Also without a shutdown, also frozen, also what was detached."""
    stage.extension(child=True)
    function = Function(task_root=stage.task_root)
    with Environment(stage.layer / "extensions", function, Platform()) as env:
        env.invoke()
        pids = [process.pid for process in env.processes("scripted") + env.processes("runtime")]
        assert len(pids) == 3
    assert [pid for pid in pids if os.path.exists(f"/proc/{pid}/cwd")] == []  # noqa: PTH110


def test_an_environment_without_extensions_just_runs(stage: Stage) -> None:
    """The baseline every comparison needs."""
    env = stage.environment()
    assert env.invoke({"n": 1}).ok
    assert env.shutdown().clean
