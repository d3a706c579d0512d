"""Telemetry as the platform delivers it: buffered, ordered, retried, repeated, dropped, in either protocol."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.sandbox.conftest import Stage

CLASSIC_ORDER = [
    "platform.initStart",
    "platform.telemetrySubscription",
    "platform.initRuntimeDone",
    "platform.extension",
    "platform.initReport",
    "platform.start",
    "function",
    "function",
    "platform.runtimeDone",
    "platform.report",
]


@pytest.mark.parametrize("protocol", ["HTTP", "TCP"])
def test_events_of_an_invocation_come_in_order(stage: Stage, protocol: str) -> None:
    """Classic order over both protocols; text keeps its newline."""
    extension = stage.extension(protocol=protocol)
    env = stage.environment(freeze=False)
    env.invoke({"lines": 2})
    extension.wait_for(len(CLASSIC_ORDER))
    env.shutdown()
    assert extension.types() == CLASSIC_ORDER
    assert [event["record"] for event in extension.events("function")] == ["line 0 \n", "line 1 \n"]
    assert extension.events()[0]["time"].endswith("Z")


def test_only_subscribed_types_are_delivered(stage: Stage) -> None:
    """A subscription to function logs brings nothing else."""
    extension = stage.extension(types=["function"], print="not wanted")
    env = stage.environment()
    env.invoke({"lines": 3})
    env.shutdown()
    assert set(extension.types()) == {"function"}


def test_a_batch_goes_out_when_it_has_the_items(stage: Stage) -> None:
    """With a long timeout only maxItems sends; the remainder waits."""
    extension = stage.extension(types=["function"], buffering={"maxItems": 1000, "timeoutMs": 30000})
    env = stage.environment(freeze=False)
    env.invoke({"lines": 2500})
    env.shutdown()
    assert [len(batch["events"]) for batch in extension.seen("batch")] == [1000, 1000]
    assert env.telemetry("scripted").waiting_events == 500


def test_a_batch_goes_out_when_it_has_the_bytes(stage: Stage) -> None:
    """A batch is complete by `maxBytes` before it is by its items."""
    extension = stage.extension(types=["function"], buffering={"timeoutMs": 30000})
    env = stage.environment(freeze=False)
    env.invoke({"lines": 700, "width": 900})
    env.shutdown()
    sizes = [len(json.dumps(batch["events"])) for batch in extension.seen("batch")]
    assert sizes
    assert all(262144 <= size < 2 * 262144 for size in sizes)


def test_a_batch_goes_out_at_its_time(stage: Stage) -> None:
    """It waits `timeoutMs` after its first event, not less."""
    extension = stage.extension(types=["function"], buffering={"timeoutMs": 200})
    env = stage.environment(freeze=False)
    env.start()
    env.invoke({"lines": 1})
    printed_s = env.calls[-1].received_s
    extension.wait_for(1)
    arrived_s = extension.seen("batch")[0]["at"]
    assert 0.15 <= arrived_s - printed_s < 1


def test_a_destination_that_refuses_connections_is_tried_again(stage: Stage) -> None:
    """The extension listens only at its first INVOKE; everything from before arrives then, in order."""
    extension = stage.extension(deaf=True)
    env = stage.environment(freeze=False)
    env.start()
    env.idle(0.2)
    env.invoke({"lines": 2, "sleep": 0.1})
    extension.wait_for(len(CLASSIC_ORDER))
    env.shutdown()
    assert env.telemetry("scripted").failed_tries > 0
    assert extension.types() == CLASSIC_ORDER


def test_a_batch_answered_503_is_tried_again_before_the_next(stage: Stage) -> None:
    """Order is kept over failures, nothing is lost or doubled."""
    extension = stage.extension(answers=[503, 503])
    env = stage.environment(freeze=False)
    env.invoke({"lines": 2})
    extension.wait_for(len(CLASSIC_ORDER))
    env.shutdown()
    assert env.telemetry("scripted").statuses[:3] == [503, 503, 200]
    assert extension.types() == CLASSIC_ORDER


def test_a_batch_answered_400_is_dropped_after_some_tries(stage: Stage) -> None:
    """The platform gives up on it and says so in its statistics."""
    extension = stage.extension(answers=[400, 400])
    env = stage.environment(refused_retries=1)
    env.start()
    env.idle(0.2)
    env.shutdown()
    stats = env.telemetry("scripted")
    assert stats.refused_tries == 2
    assert stats.refused_events > 0
    assert stats.refused_events + len(stats.acknowledged) == len(stats.emitted)
    assert len(extension.events()) == len(stats.acknowledged)


def test_batches_can_be_delivered_twice(stage: Stage) -> None:
    """Every k-th batch comes again at once, byte for byte."""
    extension = stage.extension()
    env = stage.environment(duplicate_every=1)
    env.invoke({"lines": 2})
    env.shutdown()
    batches = [batch["events"] for batch in extension.seen("batch")]
    assert batches[0::2] == batches[1::2]
    assert env.telemetry("scripted").duplicated_batches == len(batches) // 2


def test_a_full_buffer_drops_and_says_so(stage: Stage) -> None:
    """A subscriber that is slow loses events, and platform.logsDropped counts them."""
    extension = stage.extension(answer_after_s=0.1)
    env = stage.environment(buffer_bytes=20_000, freeze=False)
    env.invoke({"lines": 500, "width": 100})
    env.idle(0.5)
    env.shutdown()
    dropped = extension.events("platform.logsDropped")
    assert sum(event["record"]["droppedRecords"] for event in dropped) > 100
    assert len(extension.events("function")) < 500
    assert env.telemetry("scripted").dropped_events > 100


def test_a_slow_answer_is_waited_for_up_to_the_limit(stage: Stage) -> None:
    """Past delivery_timeout_s the platform sends the batch again: the extension sees it twice."""
    extension = stage.extension(answer_after_s=0.25, types=["platform"])
    env = stage.environment(delivery_timeout_s=0.2, freeze=False)
    env.start()
    env.idle(0.5)
    env.shutdown()
    batches = [batch["events"] for batch in extension.seen("batch")]
    assert batches[0] == batches[1]
    assert env.telemetry("scripted").failed_tries > 0


def test_telemetry_can_come_chunked(stage: Stage) -> None:
    """A body without a length is the same events."""
    extension = stage.extension()
    env = stage.environment(chunked=True)
    env.start()
    env.shutdown()
    assert "platform.initReport" in extension.types()


@pytest.mark.parametrize(("schema", "kind"), [("2022-07-01", str), ("2022-12-13", dict), ("2025-01-29", dict)])
def test_json_logs_are_objects_from_the_second_schema_on(stage: Stage, schema: str, kind: type[Any]) -> None:
    """What the runtime logs as JSON is text in the oldest schema; what is printed stays text."""
    extension = stage.extension(schema=schema)
    env = stage.environment(function={"log_format": "JSON"})
    env.invoke({"log": "watch out", "say": "plain"})
    env.shutdown()
    records = [event["record"] for event in extension.events("function")]
    assert "plain\n" in records
    logged = next(record for record in records if record != "plain\n")
    assert type(logged) is kind
    assert "watch out" in str(logged)


@pytest.mark.parametrize(("schema", "has_done"), [("2020-08-15", False), ("2021-03-18", True)])
def test_the_logs_api_has_the_older_shapes(stage: Stage, schema: str, *, has_done: bool) -> None:
    """platform.end instead of spans, runtimeDone only from the second schema on."""
    extension = stage.extension(subscribe="/2020-08-15/logs", schema=schema)
    env = stage.environment()
    env.invoke({"lines": 1})
    env.shutdown()
    done = ["platform.runtimeDone"] if has_done else []
    assert extension.types() == [
        "platform.logsSubscription",
        "platform.extension",
        "platform.start",
        "function",
        *done,
        "platform.end",
        "platform.report",
    ]


def test_the_logs_api_tells_of_a_fault_in_words(stage: Stage) -> None:
    """platform.fault is a line of text."""
    extension = stage.extension(subscribe="/2020-08-15/logs", schema="2021-03-18")
    env = stage.environment()
    result = env.invoke({"exit": 1})
    env.shutdown()
    fault = extension.events("platform.fault")[0]["record"]
    assert fault == f"RequestId: {result.request_id}\tStatus: error\tErrorType: Runtime.ExitError\n"


def test_a_bad_subscription_is_refused_with_its_reason(stage: Stage) -> None:
    """Values out of range are a ValidationError, and nothing is delivered."""
    extension = stage.extension(buffering={"timeoutMs": 1})
    env = stage.environment()
    env.invoke()
    status, text = extension.answers("/telemetry")[0]
    assert (status, json.loads(text)["errorType"]) == (400, "ValidationError")
    assert extension.seen("batch") == []
