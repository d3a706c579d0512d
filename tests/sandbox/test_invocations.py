"""The invoke phase: results, holding, timeouts, crashes, resets."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.sandbox.conftest import Stage
    from tests.sandbox.model import InvokeResult


def error_type(result: InvokeResult) -> str | None:
    """The error type a caller sees."""
    return None if result.error is None else str(result.error["errorType"])


def test_a_result_comes_back_from_the_real_runtime(stage: Stage) -> None:
    """Payload in, payload out; the first one's report tells of the init."""
    extension = stage.extension()
    env = stage.environment()
    first, second = env.invoke({"n": 1}), env.invoke({"n": 2})
    env.shutdown()
    assert (first.ok, first.payload) == (True, {"got": {"n": 1}})
    assert first.init_ms is not None
    assert second.init_ms is None
    metrics = [event["record"]["metrics"] for event in extension.events("platform.report")]
    assert ["initDurationMs" in each for each in metrics] == [True, False]
    assert metrics[0]["billedDurationMs"] == first.billed_ms


def test_invoke_carries_deadline_identity_and_trace(stage: Stage) -> None:
    """The extension's INVOKE and the telemetry events name the same request and trace."""
    extension = stage.extension()
    env = stage.environment(function={"timeout_s": 5.0})
    before_ms = time.time() * 1000
    result = env.invoke()
    env.shutdown()
    invoke = next(call for call in env.calls if call.api == "next" and b"INVOKE" in call.answer)
    assert result.request_id.encode() in invoke.answer
    assert b'"invokedFunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:demo"' in invoke.answer
    deadline_ms = int(invoke.answer.split(b'"deadlineMs":')[1].split(b",")[0])
    assert 5000 <= deadline_ms - before_ms < 7000
    start = extension.events("platform.start")[0]["record"]
    assert start["requestId"] == result.request_id
    assert start["tracing"]["value"].encode() in invoke.answer


def test_tracing_can_be_absent(stage: Stage) -> None:
    """Neither INVOKE nor the events mention a trace then."""
    extension = stage.extension()
    env = stage.environment(tracing=False)
    env.invoke()
    env.shutdown()
    assert not [event for event in extension.events() if "tracing" in event["record"]]
    assert not [call for call in env.calls if call.api == "next" and b"tracing" in call.answer]


def test_an_extension_that_holds_prolongs_the_phase_but_not_the_response(stage: Stage) -> None:
    """The caller has its response early; the bill has the holding."""
    stage.extension("quick")
    stage.extension("holding", hold_s=1.0)
    env = stage.environment()
    env.start()
    result = env.invoke()
    assert result.response_ms is not None
    assert result.response_ms < 900
    assert result.held_ms == result.held_ms_by["holding"] > 900
    assert result.held_ms_by["quick"] < 500
    assert result.billed_ms >= 1000


def test_a_raised_exception_is_the_functions_own_affair(stage: Stage) -> None:
    """Handled: the runtime reported it, runtimeDone says success, nothing is reset."""
    extension = stage.extension()
    env = stage.environment()
    result = env.invoke({"raise": "no"})
    assert (result.status, result.handled, error_type(result)) == ("success", True, "ValueError")
    env.shutdown()
    assert extension.events("platform.runtimeDone")[0]["record"]["status"] == "success"
    assert env.resets == []


def test_a_runtime_that_exits_is_reset_and_comes_back(stage: Stage) -> None:
    """Extensions hear SHUTDOWN with reason failure; the next invocation initialises again."""
    extension = stage.extension()
    env = stage.environment()
    result = env.invoke({"exit": 3})
    assert (result.status, error_type(result)) == ("error", "Runtime.ExitError")
    assert env.resets[0].reason == "failure"
    assert env.resets[0].clean
    assert env.invoke({"n": 2}).ok
    env.shutdown()
    done = [event["record"] for event in extension.events("platform.runtimeDone")]
    assert [(each["status"], each.get("errorType")) for each in done] == [
        ("error", "Runtime.ExitError"),
        ("success", None),
    ]
    phases = [event["record"]["phase"] for event in extension.events("platform.initStart")]
    assert phases == ["init", "invoke"]
    assert env.timeline("scripted", generation=2).register_ms > 0


def test_a_function_that_runs_too_long_is_stopped_and_reset(stage: Stage) -> None:
    """RuntimeDone says timeout without an error type, SHUTDOWN says why."""
    extension = stage.extension()
    env = stage.environment(function={"timeout_s": 1.0})
    result = env.invoke({"sleep": 30})
    assert result.status == "timeout"
    assert 1000 <= result.duration_ms < 10_000
    assert any(b'"shutdownReason":"timeout"' in call.answer for call in env.calls)
    assert env.invoke().ok
    env.shutdown()
    done = extension.events("platform.runtimeDone")[0]["record"]
    assert done["status"] == "timeout"
    assert "errorType" not in done
    assert done["metrics"]["producedBytes"] == 0


def test_an_extension_that_holds_past_the_deadline_times_the_function_out(stage: Stage) -> None:
    """The response was there, the invocation fails all the same: the extension's fault."""
    stage.extension(hold_s=30)
    env = stage.environment(function={"timeout_s": 0.4}, shutdown_ms=100)
    result = env.invoke()
    assert result.status == "timeout"
    assert result.payload == {"got": {}}
    assert env.resets[0].extensions["scripted"].killed


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        ({"exit_at": "invoke", "once": True, "exit_code": 0}, "Extension.Crash"),
        ({"exit_at": "invoke", "once": True, "exit_code": 9}, "Extension.Crash"),
        ({"exit_error": True}, "Extension.ExitError"),
    ],
)
def test_an_extension_that_leaves_fails_the_invocation(stage: Stage, behaviour: dict[str, Any], expected: str) -> None:
    """Any exit outside shutdown is a crash, exit 0 included; the environment is reset."""
    stage.extension(**behaviour)
    env = stage.environment()
    result = env.invoke({"sleep": 0.2})
    assert (result.status, error_type(result)) == ("error", expected)
    assert len(env.resets) == 1
    if "once" in behaviour:
        assert env.invoke().ok


def test_an_extension_killed_between_invocations_fails_the_next(stage: Stage) -> None:
    """Nobody watches a frozen environment; the next caller finds out."""
    stage.extension()
    env = stage.environment()
    env.invoke()
    env.kill("scripted", "python")
    assert error_type(env.invoke()) == "Extension.Crash"
    assert env.invoke().ok


def test_a_subscription_survives_a_reset(stage: Stage) -> None:
    """What the new environment emits before the extension subscribes again is delivered as well."""
    extension = stage.extension(print="up")
    env = stage.environment()
    env.invoke({"exit": 1})
    env.invoke()
    env.shutdown()
    stats = env.telemetry("scripted")
    assert stats.waiting_events == 0
    assert [event["record"] for event in extension.events("extension")] == ["up\n", "up\n"]


def test_any_command_can_be_the_runtime(stage: Stage) -> None:
    """A runtime of the user's own gets the Runtime API and its variables."""
    source = (
        "import http.client, os; base = '/2018-06-01/runtime/invocation/'\n"
        "while True:\n"
        "    api = http.client.HTTPConnection(os.environ['AWS_LAMBDA_RUNTIME_API'])\n"
        "    api.request('GET', base + 'next'); event = api.getresponse(); event.read()\n"
        "    path = base + event.getheader('Lambda-Runtime-Aws-Request-Id') + '/response'\n"
        "    api.request('POST', path, '{\"handler\": \"%s\"}' % os.environ['_HANDLER'])\n"
        "    api.getresponse().read()\n"
    )
    (stage.task_root / "own.py").write_text(source)
    env = stage.environment(function={"runtime_command": ["python3", "own.py"], "handler": "own.main"})
    assert env.invoke().payload == {"handler": "own.main"}
