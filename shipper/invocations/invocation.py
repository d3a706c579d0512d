"""One invocation: its trace, its outcome, its span. Pure."""

import msgspec

from lifecycle.contract import late
from shipper.invocations.attributes import attributes_of, bounded
from shipper.model import meters
from shipper.model.context import MOST_ID, Child, Context, Invocation
from shipper.model.platform_records import Ended, Metrics, Tracing
from shipper.model.semconv import FAAS_COLDSTART, FAAS_INVOCATION_ID, FAAS_TRIGGER
from shipper.model.signals import AUTO, YES, Selection
from shipper.model.span import Span
from shipper.model.trace_ids import SPAN_DIGITS, hex_id, ids_of, trace_header
from shipper.parse.times import duration_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

replace = msgspec.structs.replace

NS_PER_MS = 1_000_000
BYTES_PER_MB = 1024 * 1024

# What `error.type` says where the platform names no type.
TIMEOUT = "timeout"
UNREPORTED = "unreported"

# Required of spans that serve (semantic conventions, "FaaS spans"), and told by nothing that the platform says.
UNKNOWN_TRIGGER = "other"

# Error types of the platform's that say so, too.
_TIMEOUTS = (TIMEOUT, "Sandbox.Timeout", "Sandbox.Timedout")

_FAULTED = late.pattern(rb"RequestId: ([0-9a-fA-F-]{36})")
_ERROR_TYPE = late.pattern(rb"ErrorType: ([\w.]+)")

_EXTENSION_OVERHEAD = "extensionOverhead"
_MEMORY_ERRORS = ("OutOfMemory", "MemoryError", "NoMemoryError")

Taken = tuple[tuple[int, float | None], ...]


def is_left_out(sampled: bool | None, context: Context, selection: Selection) -> bool:  # noqa: FBT001 - X-Ray's word
    """Whether what X-Ray decided this of gets no span, where spans are made.

    Without active tracing, and called by nobody who is traced, every invocation is one that is not sampled: that is no
    decision of anybody's.
    """
    if not selection.traces or sampled is not False:
        return False
    return selection.unsampled != YES and (selection.unsampled != AUTO or context.is_sampling)


def samples(invocation: Invocation | None, tracing: Tracing | None) -> bool:
    """Whether a record shows that X-Ray samples here.

    Args:
        invocation: What the record is of, as known before it; None for nothing.
        tracing: What it says of it.
    """
    decided = trace_header(tracing.value).sampled if tracing else None
    # By the Logs API only reports tell of a trace, and only where X-Ray's tracing is active.
    is_told_late = invocation is not None and invocation.sampled is None and not invocation.parent_id
    return decided is True or (decided is False and is_told_late)


def done(invocation: Invocation, record: Ended, at_ns: int, children: tuple[Child, ...]) -> Invocation:
    """The invocation after its platform.runtimeDone or platform.end."""
    metrics = record.metrics or Metrics()
    attributes = {**dict(attributes_of(metrics, "duration_ms")), **invocation.attributes, **dict(_said(record))}
    return replace(
        invocation,
        status=record.status,
        error_type=record.error_type[:200],
        done_ns=at_ns,
        done_ms=metrics.duration_ms,
        children=children,
        attributes=bounded(attributes),
    )


def faulted(context: Context, raw: bytes) -> Context:
    """The context after a platform.fault of the Logs API: `RequestId: … Status: error ErrorType: Runtime.ExitError`."""
    found = _FAULTED.search(raw)
    if found is None:
        return context
    error = _ERROR_TYPE.search(raw, found.end())
    return noted(context, found[1].decode(), error[1].decode() if error else "fault")


def noted(context: Context, request_id: str, error: str, *, is_oom: bool = False) -> Context:
    """The context after a line that tells how an invocation fails; the first error told is the one that counts."""
    one = context.invocation(request_id)
    if one is None or ((one.error or not error) and (one.is_oom or not is_oom)):
        return context
    failed = replace(one, error=one.error or error[:MOST_ID], is_oom=one.is_oom or is_oom)
    return replace(context, open=tuple(failed if other is one else other for other in context.open))


def failure(invocation: Invocation) -> str:
    """What went wrong, as `error.type`; "" when nothing did, as far as is known."""
    if invocation.status == TIMEOUT:
        return TIMEOUT
    if invocation.error_type:
        return invocation.error_type
    # An exception that the runtime reports is status `success` in platform.runtimeDone: only its line tells.
    if invocation.error:
        return invocation.error
    return invocation.status if invocation.status not in ("", "success") else ""


def outcome(invocation: Invocation, metrics: Metrics | None = None) -> Taken:
    """What an invocation's end counts, once it is known how it ended."""
    error = failure(invocation)
    counted = meters.TIMEOUTS if error in _TIMEOUTS else meters.ERRORS if error else meters.INVOCATIONS
    memory = metrics or Metrics()
    return (
        (counted, 1),
        (meters.COLD_STARTS, 1 if invocation.is_cold else None),
        (meters.INVOKE_DURATION, meters.seconds(invocation.done_ms)),
        (meters.PRODUCED_BYTES, invocation.attributes.get("aws.lambda.produced_bytes")),
        (meters.OUT_OF_MEMORY, 1 if error and is_out_of_memory(invocation, memory) else None),
    )


def is_out_of_memory(invocation: Invocation, metrics: Metrics) -> bool:
    """Whether a failed invocation ran out of memory, by any sign that Lambda or a runtime gives."""
    used, size = metrics.max_memory_used_mb, metrics.memory_size_mb
    return (
        invocation.is_oom
        or any(name in failure(invocation) for name in _MEMORY_ERRORS)
        or (used is not None and size is not None and used >= size > 0)
    )


def reported(
    invocation: Invocation | None,
    record: Ended,
    at_ns: int,
    children: tuple[Child, ...],
    context: Context,
    selection: Selection,
) -> tuple[Span | None, Taken]:
    """The span of an invocation, complete with its platform.report, and what that measures.

    Args:
        invocation: As known so far; None when its start was never seen. Then another environment, one before a reset,
            has counted how it ended, and this one only adds what it measured; unless some of its own were forgotten.
        record: The report.
        at_ns: Its time.
        children: Parts that it tells.
        context: Before it.
        selection: What is made.
    """
    metrics = record.metrics or Metrics()
    is_ours = invocation is not None or context.forgotten > 0
    one = invocation or _unseen(record, metrics, at_ns)
    had_ended = bool(one.done_ns)
    overhead_ms = _overhead_ms(one, metrics, children)
    knew_oom = had_ended and bool(failure(one)) and is_out_of_memory(one, Metrics())
    one = replace(
        one,
        status=one.status if failure(one) else record.status or one.status,
        error_type=one.error_type or record.error_type[:200],
        children=(*one.children, *children),
        done_ms=metrics.duration_ms if one.done_ms is None else one.done_ms,
    )
    init_ms = None if context.has_init or selection.interleaved else metrics.init_duration_ms
    if init_ms is not None:
        one = replace(one, is_cold=True)  # the Logs API tells of no init but here
    taken: Taken = (
        (meters.INIT_DURATION, meters.seconds(init_ms)),
        (meters.BILLED_DURATION, meters.seconds(metrics.billed_duration_ms)),
        (meters.MEMORY_USED, None if metrics.max_memory_used_mb is None else metrics.max_memory_used_mb * BYTES_PER_MB),
        (meters.EXTENSION_OVERHEAD, meters.seconds(overhead_ms)),
    )
    if is_ours and not had_ended:
        taken += outcome(one, metrics)
    elif had_ended and failure(one) and not knew_oom and is_out_of_memory(one, metrics):
        taken += ((meters.OUT_OF_MEMORY, 1),)
    if not selection.traces or is_left_out(one.sampled, context, selection):
        return None, taken
    attributes = {**one.attributes, **dict(_said(record)), **dict(attributes_of(metrics))}
    return _span(one, max(at_ns, one.start_ns), attributes, context, selection, metrics), taken


def unreported(
    invocation: Invocation, context: Context, now_ns: int, selection: Selection
) -> tuple[Span | None, Taken]:
    """The span of an invocation whose report never came, and what its end counts if nothing has counted it."""
    end_ns = max(invocation.done_ns or now_ns, invocation.start_ns)
    one = invocation if invocation.status or failure(invocation) else replace(invocation, error_type=UNREPORTED)
    taken = () if invocation.done_ns else outcome(one)
    if not selection.traces or is_left_out(one.sampled, context, selection):
        return None, taken
    return _span(one, end_ns, one.attributes, context, selection), taken


def _unseen(record: Ended, metrics: Metrics, at_ns: int) -> Invocation:
    tracing = trace_header(record.tracing.value if record.tracing else "")
    return Invocation(
        request_id=record.request_id,
        trace_id=tracing.trace_id,
        span_id=hex_id(record.tracing.span_id if record.tracing else "", SPAN_DIGITS),
        parent_id=tracing.parent_id,
        sampled=tracing.sampled,
        start_ns=at_ns - duration_ns(metrics.duration_ms),
    )


def _span(
    one: Invocation,
    end_ns: int,
    attributes: "dict[str, Any]",
    context: Context,
    selection: Selection,
    metrics: Metrics | None = None,
) -> Span:
    trace_id, span_id = ids_of(one)
    error = failure(one)
    head = {FAAS_INVOCATION_ID: one.request_id, FAAS_COLDSTART: one.is_cold, FAAS_TRIGGER: UNKNOWN_TRIGGER}
    attributes = {**head, **attributes}
    if one.status:
        attributes["aws.lambda.status"] = one.status
    if error and is_out_of_memory(one, metrics or Metrics()):
        attributes["aws.lambda.out_of_memory"] = True
    messages = {
        TIMEOUT: "The function did not end before its timeout",
        UNREPORTED: "The environment ended before the platform told how this invocation went",
    }
    return Span(
        name=selection.service,
        trace_id=trace_id,
        span_id=span_id,
        parent_id=one.parent_id,
        is_sampled=one.sampled is not False,
        start_ns=one.start_ns,
        end_ns=end_ns,
        error=error,
        message=messages.get(error, f"The invocation failed: {error}") if error else "",
        attributes=attributes,
        children=one.children,
        link=context.link if one.is_cold else ("", ""),
    )


def _overhead_ms(one: Invocation, metrics: Metrics, children: tuple[Child, ...]) -> float | None:
    for child in children:
        if child.name == _EXTENSION_OVERHEAD:
            return (child.end_ns - child.start_ns) / NS_PER_MS
    if one.done_ms is None or metrics.duration_ms is None:
        return None
    return max(0.0, metrics.duration_ms - one.done_ms)


def _said(record: Ended) -> "Iterator[tuple[str, Any]]":
    return attributes_of(record, "request_id", "status", "error_type", "metrics", "spans", "tracing")
