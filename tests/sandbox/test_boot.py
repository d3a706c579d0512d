"""Init as section 1 of the notes on Lambda's APIs has it: order, environment, failures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.sandbox.conftest import Stage


def test_the_runtime_starts_only_when_every_extension_has_registered(stage: Stage) -> None:
    """One slow register delays the runtime's start for everyone."""
    stage.extension("fast")
    stage.extension("slow", register_after_s=0.5)
    env = stage.environment()
    assert env.start().status == "success"
    slow, fast = env.timeline("slow"), env.timeline("fast")
    runtime_exec_s = env.timeline("runtime").exec_s
    assert runtime_exec_s is not None
    assert slow.register_received_s is not None
    assert fast.register_received_s is not None
    assert fast.register_received_s < slow.register_received_s < runtime_exec_s
    assert slow.register_ms > 500


def test_init_lasts_until_every_extension_has_asked_for_an_event(stage: Stage) -> None:
    """A late first /next is part of init."""
    stage.extension(next_after_s=1.0)
    env = stage.environment()
    result = env.start()
    runtime_next_s = next(call.received_s for call in env.calls if call.api == "runtime_invocation_next")
    assert result.duration_ms > 1000
    assert runtime_next_s < env.timeline("scripted").next_received_s[0]


def test_telemetry_of_init_comes_in_the_platforms_order(stage: Stage) -> None:
    """What happened before the subscription is replayed, then the rest follows."""
    extension = stage.extension(print="hello from the extension")
    env = stage.environment()
    env.start()
    env.shutdown()
    assert extension.types() == [
        "platform.initStart",
        "extension",
        "platform.telemetrySubscription",
        "platform.initRuntimeDone",
        "platform.extension",
        "platform.initReport",
    ]
    assert extension.events("extension")[0]["record"] == "hello from the extension\n"
    assert env.printed("scripted") == ["hello from the extension\n"]


def test_an_extension_sees_less_environment_than_the_runtime(stage: Stage) -> None:
    """Absent is what AWS documents as absent, and nothing of the test's own environment leaks in."""
    extension = stage.extension()
    env = stage.environment(function={"environ": {"MINE": "1"}, "memory_mb": 256})
    env.start()
    started = extension.seen("started")[0]
    environ = started["environ"]
    assert started["cwd"] == str(stage.task_root)
    absent = {"_HANDLER", "AWS_EXECUTION_ENV", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR"}
    assert not absent & set(environ)
    assert not [name for name in environ if name.startswith(("AWS_LAMBDA_LOG_", "AWS_XRAY", "PYTEST"))]
    assert environ["MINE"] == "1"
    assert environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert environ["AWS_LAMBDA_INITIALIZATION_TYPE"] == "on-demand"


def test_subscribing_after_init_is_refused(stage: Stage) -> None:
    """The window closes with the last first /next."""
    extension = stage.extension(late_subscribe=True)
    env = stage.environment()
    env.invoke()
    statuses = extension.answers("/telemetry")
    assert [status for status, _ in statuses] == [200, 403]
    assert json.loads(statuses[1][1])["errorType"] == "Telemetry.SubscriptionClosed"


def test_files_that_are_not_executable_are_not_started(stage: Stage) -> None:
    """Lambda starts executables only."""
    stage.extension().path.with_name("README.txt").write_text("not a program")
    env = stage.environment()
    assert env.invoke().ok
    assert {call.name for call in env.calls} == {"scripted", "runtime"}


def test_an_extension_that_leaves_in_init_fails_the_function(stage: Stage) -> None:
    """Exit 0 is no excuse; init is tried once more inside the invocation, then the caller hears of it."""
    extension = stage.extension(exit_at="registered", exit_code=0)
    env = stage.environment()
    result = env.invoke()
    assert result.status == "error"
    assert result.error is not None
    assert result.error["errorType"] == "Extension.Crash"
    assert len(extension.seen("started")) == 2


def test_an_init_error_fails_the_function(stage: Stage) -> None:
    """/init/error is said to the caller as Extension.InitError."""
    stage.extension(init_error=True)
    result = stage.environment().invoke()
    assert result.error is not None
    assert result.error["errorType"] == "Extension.InitError"


def test_a_file_that_cannot_be_executed_fails_the_function(stage: Stage) -> None:
    """A wrong interpreter line is Extension.LaunchError."""
    path = stage.extension().path
    path.write_text("#!/nowhere/python3\n")
    init = stage.environment().start()
    assert (init.status, init.error_type) == ("error", "Extension.LaunchError")


def test_an_init_that_takes_too_long_is_tried_again_inside_the_invocation(stage: Stage) -> None:
    """The second init has phase invoke, and the invocation then goes on."""
    extension = stage.extension(hang_at="started")
    env = stage.environment(init_timeout_s=1.0, function={"timeout_s": 10.0})
    result = env.invoke({"n": 1})
    assert result.ok
    env.shutdown()
    assert env.resets[0].reason == "timeout"
    starts = [event["record"]["phase"] for event in extension.events("platform.initStart")]
    assert starts == ["invoke"]
    assert [e.record["status"] for e in env.events if e.type == "platform.initReport"] == ["timeout", "success"]  # type: ignore[index]


def test_a_handler_that_cannot_be_imported_fails_with_the_runtimes_error(stage: Stage) -> None:
    """The runtime's /init/error is the caller's error."""
    env = stage.environment(function={"handler": "missing.handler"})
    result = env.invoke()
    assert result.error is not None
    assert result.error["errorType"] == "Runtime.ImportModuleError"
