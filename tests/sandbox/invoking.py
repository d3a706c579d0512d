"""The invoke phase: extensions released, then the runtime; it ends when all of them have come back."""

from __future__ import annotations

import asyncio
import json
import math
import secrets
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.sandbox import ending, events, faults
from tests.sandbox.extensions_api import invoke_event
from tests.sandbox.model import InvokeResult, Status
from tests.sandbox.runtime_api import Invocation

if TYPE_CHECKING:
    from tests.sandbox.faults import Fault
    from tests.sandbox.world import World

_PAGE_BYTES = 4096


@dataclass
class Timing:
    """The moments of one invocation, monotonic, and what its report will say of the init before it."""

    called_s: float
    deadline_s: float
    init_ms: float | None = None
    restore_ms: float | None = None
    started_s: float = 0.0
    runtime_done_s: float | None = None
    ended_s: float = 0.0


def new_invocation(world: World, payload: Any, deadline_s: float) -> Invocation:
    """Make an invocation with a fresh request id and trace header."""
    tracing = None
    if world.platform.tracing:
        root, sampled = f"{int(time.time()):08x}-{secrets.token_hex(12)}", int(world.platform.sampled)
        tracing = {
            "spanId": secrets.token_hex(8),
            "type": "X-Amzn-Trace-Id",
            "value": f"Root=1-{root};Parent={secrets.token_hex(8)};Sampled={sampled}",
        }
    return Invocation(
        request_id=str(uuid.uuid4()),
        payload=json.dumps(payload).encode(),
        deadline_epoch_ms=int((time.time() + deadline_s - time.monotonic()) * 1000),
        arn=world.function.arn,
        tracing=tracing,
    )


async def invoke(world: World, payload: Any, timing: Timing) -> InvokeResult:
    """Run one invocation in an initialised environment, to the end of its phase."""
    invocation = new_invocation(world, payload, timing.deadline_s)
    timing.started_s = time.monotonic()
    world.invocations += 1
    is_told = world.invocations not in world.platform.runtime_done_lost
    fault = faults.present(world)
    if fault is None:
        arn = invocation.arn if world.platform.managed else None
        world.hub.emit(events.start(invocation.request_id, world.function.version, invocation.tracing, arn))
        fault = await _run(world, invocation, timing, is_told=is_told)
    if fault is None and not world.platform.managed:
        fault = await _extensions_back(world, timing)
    timing.ended_s = time.monotonic()
    result = _result(world, invocation, timing, fault)
    _report_later(world, invocation, timing, result)
    if fault is not None and not world.platform.managed:
        await ending.reset(world, "timeout" if fault.status == "timeout" else "failure")
    return result


def never_started(world: World, payload: Any, timing: Timing, fault: Fault) -> InvokeResult:
    """The result of an invocation whose init failed."""
    invocation = new_invocation(world, payload, timing.deadline_s)
    timing.started_s = timing.called_s
    timing.ended_s = time.monotonic()
    return _result(world, invocation, timing, fault)


async def _run(world: World, invocation: Invocation, timing: Timing, *, is_told: bool) -> Fault | None:
    for agent in world.registry.subscribed("INVOKE"):
        agent.send(
            invoke_event(invocation.request_id, invocation.deadline_epoch_ms, invocation.arn, invocation.tracing)
        )
    runtime, managed = world.runtime_api, world.platform.managed
    # On managed instances another invocation may have taken the worker this one was woken for.
    while await world.changes.until(lambda: _over(world) or runtime.is_idle, _left_s(timing)):
        if _over(world):
            break
        if runtime.is_idle:
            runtime.release(invocation)
            break
    await world.changes.until(
        lambda: (
            _over(world)
            or ((invocation if managed else invocation.done_s) is not None and invocation.responded_s is not None)
        ),
        _left_s(timing),
    )
    fault = faults.present(world)
    if invocation.responded_s is None or (invocation.done_s is None and not managed):
        fault = fault or faults.timed_out(world.function.timeout_s)
    else:
        timing.runtime_done_s = invocation.done_s or invocation.responded_s
    if world.runtime is not None:
        world.runtime.output.drain()
    runtime.in_flight.pop(invocation.request_id, None)
    if is_told and not managed:
        world.hub.emit(_runtime_done(invocation, timing, fault))
    return fault


async def _extensions_back(world: World, timing: Timing) -> Fault | None:
    agents = world.registry.subscribed("INVOKE")

    def back() -> bool:
        return all(agent.is_back for agent in agents)

    await world.changes.until(lambda: _over(world) or back(), _left_s(timing))
    fault = faults.present(world)
    if fault is None and not back():
        fault = faults.timed_out(world.function.timeout_s)
    return fault


def _over(world: World) -> bool:
    return faults.present(world) is not None


def _left_s(timing: Timing) -> float:
    return timing.deadline_s - time.monotonic()


def _runtime_done(invocation: Invocation, timing: Timing, fault: Fault | None) -> events.Event:
    status, error_type = "success", None
    if fault is not None:
        status = fault.status
        error_type = None if status == "timeout" else fault.error_type
    elif invocation.error_type == "Function.ResponseSizeTooLarge":
        status, error_type = "error", invocation.error_type
    return events.runtime_done(
        invocation.request_id,
        status,
        ((timing.runtime_done_s or time.monotonic()) - timing.started_s) * 1000,
        len(invocation.response or b""),
        error_type=error_type,
        spans=_response_spans(invocation, timing) if fault is None else None,
        tracing=invocation.tracing,
    )


def _response_spans(invocation: Invocation, timing: Timing) -> list[events.Record] | None:
    if invocation.responded_s is None:
        return None
    done_s = timing.runtime_done_s or invocation.responded_s
    epoch_less_monotonic_s = time.time() - time.monotonic()
    started_epoch_s = timing.started_s + epoch_less_monotonic_s
    responded_epoch_s = invocation.responded_s + epoch_less_monotonic_s
    return [
        events.span("responseLatency", started_epoch_s, (invocation.responded_s - timing.started_s) * 1000),
        # The response was read whole before it counted, so its own duration is not known here.
        events.span("responseDuration", responded_epoch_s, 0.05),
        events.span("runtimeOverhead", responded_epoch_s, (done_s - invocation.responded_s) * 1000),
    ]


def _result(world: World, invocation: Invocation, timing: Timing, fault: Fault | None) -> InvokeResult:
    status: Status = "success"
    error = invocation.error
    if fault is not None:
        status = "timeout" if fault.status == "timeout" else "error"
        error = error or fault.as_error(invocation.request_id)
    responded_s, done_s = invocation.responded_s, timing.runtime_done_s
    held_ms_by = {}
    if done_s is not None:
        for agent in world.registry.subscribed("INVOKE"):
            back_s = agent.ready_s if agent.is_back and agent.ready_s else timing.ended_s
            held_ms_by[agent.name] = max(0.0, (back_s - done_s) * 1000)
    duration_ms = (timing.ended_s - timing.started_s) * 1000
    return InvokeResult(
        request_id=invocation.request_id,
        status=status,
        payload=_payload(invocation.response),
        error=error,
        handled=fault is None and error is not None,
        response_ms=None if responded_s is None else (responded_s - timing.started_s) * 1000,
        latency_ms=((responded_s or timing.ended_s) - timing.called_s) * 1000,
        duration_ms=duration_ms,
        billed_ms=math.ceil(duration_ms),
        held_ms=max(held_ms_by.values(), default=0.0),
        held_ms_by=held_ms_by,
        init_ms=timing.init_ms,
    )


def _payload(body: bytes | None) -> Any:
    if body is None:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


def _report_later(world: World, invocation: Invocation, timing: Timing, result: InvokeResult) -> None:
    metrics: dict[str, Any] = {"durationMs": round(result.duration_ms, 3)}
    spans = None
    if world.platform.managed:
        spans = _response_spans(invocation, timing)
    else:
        metrics["billedDurationMs"] = result.billed_ms
        metrics["memorySizeMB"] = world.function.memory_mb
        metrics["maxMemoryUsedMB"] = _runtime_mb(world)
        if timing.init_ms is not None:
            metrics["initDurationMs"] = round(timing.init_ms, 3)
        if timing.restore_ms is not None:
            metrics["restoreDurationMs"] = round(timing.restore_ms, 3)
            metrics["billedRestoreDurationMs"] = math.ceil(timing.restore_ms)
        if timing.runtime_done_s is not None:
            overhead_ms = (timing.ended_s - timing.runtime_done_s) * 1000
            spans = [events.span("extensionOverhead", time.time() - overhead_ms / 1000, overhead_ms)]
    timed_out = result.status == "timeout"
    event = events.report(
        invocation.request_id,
        result.status,
        metrics,
        error_type=result.error["errorType"] if result.status == "error" and result.error else None,
        spans=None if timed_out else spans,
        tracing=invocation.tracing,
        time_s=time.time(),
    )
    due_s = timing.runtime_done_s or timing.ended_s
    if not world.platform.managed:
        due_s += world.platform.report_delay_s
    delay_s = max(0.0, due_s - time.monotonic())
    asyncio.get_running_loop().call_later(delay_s, world.hub.emit, event)


def _runtime_mb(world: World) -> int:
    if world.runtime is None:
        return 0
    try:
        pages = Path(f"/proc/{world.runtime.process.pid}/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * _PAGE_BYTES // 1024 // 1024
