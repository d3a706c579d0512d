"""Provisioned concurrency, SnapStart, Managed Instances: what differs from on demand."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.sandbox.conftest import Stage

MANAGED: dict[str, Any] = {"flavour": "lambda-managed-instances", "concurrency": 2}


def test_provisioned_init_is_not_the_callers(stage: Stage) -> None:
    """Init is over before the call, the environment waits frozen, and the report does not count it."""
    extension = stage.extension(next_after_s=1.0)
    env = stage.environment(flavour="provisioned-concurrency")
    assert env.start().duration_ms > 1000
    assert {process.state for process in env.processes("scripted")} == {"T"}
    result = env.invoke()
    env.shutdown()
    assert result.latency_ms < 900
    assert result.init_ms is None
    assert extension.seen("started")[0]["environ"]["AWS_LAMBDA_INITIALIZATION_TYPE"] == ("provisioned-concurrency")
    assert extension.events("platform.initStart")[0]["record"]["initializationType"] == ("provisioned-concurrency")


def test_snap_start_freezes_after_init_and_tells_of_the_restore(stage: Stage) -> None:
    """The real runtime waits at restore/next; the restore events come before the start."""
    extension = stage.extension(ticks=True)
    env = stage.environment(flavour="snap-start", snapshot_s=0.4)
    result = env.invoke()
    env.shutdown()
    assert result.ok
    types = extension.types()
    where = [types.index(name) for name in ("platform.initReport", "platform.restoreStart", "platform.start")]
    assert where == sorted(where)
    assert types.count("platform.restoreRuntimeDone") == types.count("platform.restoreReport") == 1
    assert "restoreDurationMs" in extension.events("platform.report")[0]["record"]["metrics"]
    ticks = [tick["at"] for tick in extension.seen("tick")]
    assert max(b - a for a, b in pairwise(ticks)) > 0.35


def test_managed_instances_refuse_invoke(stage: Stage) -> None:
    """Registering for INVOKE is 403, so the function fails."""
    extension = stage.extension()
    result = stage.environment(**MANAGED).invoke()
    assert result.status == "error"
    status, text = extension.answers("/register")[0]
    assert status == 403
    assert text == '{"errorMessage":"INVOKE: ErrorInvalidEventType","errorType":"Extension.InvalidEventType"}'


def test_managed_instances_interleave_and_never_freeze(stage: Stage) -> None:
    """Two invocations at once take the time of one; no runtimeDone, no freeze."""
    extension = stage.extension(events=["SHUTDOWN"], schema="2025-01-29")
    env = stage.environment(function={"log_format": "JSON"}, **MANAGED)
    env.invoke()
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(env.invoke, [{"sleep": 1.0}, {"sleep": 1.0}]))
    assert [result.ok for result in results] == [True, True]
    assert all(result.latency_ms < 1900 for result in results)
    assert {process.state for process in env.processes("scripted")} <= {"S", "R"}
    env.idle(0.15)
    env.shutdown()
    types = extension.types()
    assert [kind for kind in types if kind in ("platform.start", "platform.report")] == [
        *("platform.start", "platform.report"),
        *("platform.start", "platform.start", "platform.report", "platform.report"),
    ]
    assert "platform.runtimeDone" not in types
    assert "functionArn" in extension.events("platform.start")[0]["record"]


def test_managed_instances_need_the_newest_schema(stage: Stage) -> None:
    """An older schemaVersion is 400 there."""
    extension = stage.extension(events=["SHUTDOWN"], schema="2022-12-13")
    stage.environment(**MANAGED).start()
    assert extension.answers("/telemetry")[0][0] == 400


def test_managed_instances_have_no_logs_api(stage: Stage) -> None:
    """The path is not there, as on AWS's emulator."""
    extension = stage.extension(events=["SHUTDOWN"], subscribe="/2020-08-15/logs", schema="2021-03-18")
    stage.environment(**MANAGED).start()
    assert extension.answers("/logs")[0][0] == 404


def test_managed_instances_recover_from_a_crash(stage: Stage) -> None:
    """What ran hears of the extension's crash, what comes later finds a new environment."""
    stage.extension(events=["SHUTDOWN"], schema="2025-01-29")
    env = stage.environment(**MANAGED)
    env.start()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(env.invoke, {"sleep": 5})
        env.idle(0.5)
        env.kill("scripted", "scripted")
        failed = running.result()
    assert failed.error is not None
    assert failed.error["errorType"] == "Extension.Crash"
    assert env.invoke({"n": 2}).ok
