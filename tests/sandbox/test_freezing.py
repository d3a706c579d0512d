"""Freeze and thaw: what runs between invocations, and what the platform does meanwhile."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.sandbox.conftest import Stage
    from tests.sandbox.scripted import Scripted


def longest_gap_s(extension: Scripted) -> float:
    """The longest time in which the extension's clockwork stood still."""
    ticks: list[float] = [tick["at"] for tick in extension.seen("tick")]
    return max(later - earlier for earlier, later in pairwise(ticks))


def test_everything_stands_still_between_invocations(stage: Stage) -> None:
    """The extension's threads stop, and what it started in a session of its own stops with them."""
    extension = stage.extension(ticks=True, child=True)
    env = stage.environment()
    env.invoke()
    states = {process.state for process in env.processes("scripted")}
    assert (len(env.processes("scripted")), states) == (2, {"T"})
    env.idle(0.4)
    assert env.invoke().ok
    assert longest_gap_s(extension) > 0.35


def test_freezing_can_be_switched_off(stage: Stage) -> None:
    """Then nothing stops."""
    extension = stage.extension(ticks=True)
    env = stage.environment(freeze=False)
    env.invoke()
    env.idle(1.0)
    env.invoke()
    assert longest_gap_s(extension) < 0.9


def test_an_environment_is_not_frozen_before_its_first_invocation_on_demand(stage: Stage) -> None:
    """On demand an init is followed by an invocation at once."""
    stage.extension()
    env = stage.environment()
    env.start()
    assert {process.state for process in env.processes("scripted")} <= {"S", "R"}


def test_a_report_comes_after_the_thaw(stage: Stage) -> None:
    """platform.report of an invocation arrives during the next one, or after SHUTDOWN."""
    extension = stage.extension()
    env = stage.environment()
    first = env.invoke()
    env.idle(0.2)
    assert extension.events("platform.report") == []
    second = env.invoke({"sleep": 0.5})
    assert [e["record"]["requestId"] for e in extension.events("platform.report")] == [first.request_id]
    env.shutdown()
    assert [e["record"]["requestId"] for e in extension.events("platform.report")] == [
        first.request_id,
        second.request_id,
    ]


def test_nothing_is_delivered_while_frozen(stage: Stage) -> None:
    """A batch that comes due during the freeze goes out after it."""
    extension = stage.extension(types=["function"], buffering={"timeoutMs": 500})
    env = stage.environment()
    env.start()
    env.invoke({"lines": 1})
    env.idle(0.7)
    assert extension.events() == []
    env.invoke({"sleep": 0.3})
    assert len(extension.events("function")) == 1


def test_memory_and_cpu_of_a_tree_can_be_read(stage: Stage) -> None:
    """Proportional memory and CPU time of the extension and its children."""
    stage.extension(child=True)
    env = stage.environment()
    env.invoke({"sleep": 0.1})
    assert 5_000_000 < env.memory_pss_bytes("scripted") < 100_000_000
    assert 0 < env.cpu_s("scripted") < 5
