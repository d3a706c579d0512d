"""The platform's scripted misbehaviour: subscriptions that fail, /next that fails or surprises."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.sandbox.conftest import Stage


@pytest.mark.parametrize(
    ("fault", "error_type"),
    [
        (202, "Telemetry.NotSupported"),
        (400, "ValidationError"),
        (403, "Telemetry.SubscriptionClosed"),
        (500, "InternalServerError"),
    ],
)
def test_a_subscription_can_fail_and_the_function_still_run(stage: Stage, fault: Any, error_type: str) -> None:
    """The extension hears the status; nothing is ever delivered; invocations go on."""
    extension = stage.extension()
    env = stage.environment(subscribe_fault=fault)
    assert env.invoke().ok
    status, text = extension.answers("/telemetry")[0]
    assert (status, json.loads(text)["errorType"]) == (fault, error_type)
    assert extension.seen("batch") == []


def test_a_subscription_can_be_cut_off(stage: Stage) -> None:
    """The connection closes without an answer."""
    extension = stage.extension()
    env = stage.environment(subscribe_fault="drop")
    assert env.invoke().ok
    assert len(extension.seen("lost")) == 1


@pytest.mark.parametrize("fault", [403, 500, "drop"])
def test_next_can_fail(stage: Stage, fault: Any) -> None:
    """The second /next fails, the extension leaves as it must, and that is a crash."""
    stage.extension()
    env = stage.environment(next_faults={2: fault})
    result = env.invoke({"sleep": 0.1})
    assert result.error is not None
    assert result.error["errorType"] == "Extension.Crash"


def test_next_can_bring_an_unknown_event(stage: Stage) -> None:
    """An extension that just asks again goes on."""
    extension = stage.extension()
    env = stage.environment(next_faults={1: "unknown-event", 3: "unknown-event"})
    assert env.invoke().ok
    assert env.invoke().ok
    kinds = [json.loads(text)["eventType"] for _, text in extension.answers("/next")]
    assert kinds == ["HIBERNATE", "INVOKE", "HIBERNATE", "INVOKE"]


def test_a_runtime_done_can_be_lost(stage: Stage) -> None:
    """Of the second invocation, and of no other."""
    stage.extension()
    env = stage.environment(runtime_done_lost=(2,))
    ids = [env.invoke().request_id for _ in range(3)]
    told = [event.record["requestId"] for event in env.events if event.type == "platform.runtimeDone"]  # type: ignore[index]
    assert told == [ids[0], ids[2]]
