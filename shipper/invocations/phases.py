"""Invocations, inits and restores: what their events say together.

Owns how the context moves on with an event, which spans are complete with it and what is measured. Pure: an event and
a context in, what follows out. Source: AWS, "Converting Lambda Telemetry API Event objects to OpenTelemetry Spans":
start, runtimeDone and report make one span.
"""

import msgspec

from shipper.invocations import invocation as invocations
from shipper.invocations.attributes import attributes_of, bounded
from shipper.model import meters
from shipper.model.context import MOST_ID, Child, Context, Invocation, Phase
from shipper.model.events import Event
from shipper.model.platform_records import (
    Announced,
    ChildSpan,
    Dropped,
    Ended,
    PhaseEnded,
    PhaseStarted,
    Started,
    Tracing,
    record_of,
)
from shipper.model.semconv import FAAS_COLDSTART, FAAS_TRIGGER
from shipper.model.signals import Selection
from shipper.model.span import Span
from shipper.model.trace_ids import SPAN_DIGITS, TRACE_DIGITS, generated, hex_id, ids_of, trace_header
from shipper.parse.times import duration_ns, unix_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from shipper.model.log_record import LogRecord

replace = msgspec.structs.replace

# Parts of a phase; the platform tells of three or four.
MOST_CHILDREN = 8

# Invocations that wait for their reports: the platform is one behind, seldom two; on Managed Instances as many may run
# at a time as AWS_LAMBDA_MAX_CONCURRENCY says.
MOST_OPEN = 4
MOST_INTERLEAVED = 256

# What the runtime's version has in it where the function is a durable one: `python:3.14.DurableFunction.v6`.
DURABLE = "DurableFunction"

# An init this much older than the moment it was delivered was told again by a restored snapshot: events are delivered
# within seconds, and no init lasts longer than a quarter of an hour.
STALE_NS = 20 * 60 * 1_000_000_000


class Moved(msgspec.Struct, frozen=True, gc=False):
    """What an event came to.

    Attributes:
        context: After it.
        spans: Complete with it.
        is_strange: It is not understood.
        is_part: A span or a metric is made from it.
        is_unsampled: It is nothing, or no more than part of a metric, because its invocation is not sampled.
    """

    context: Context
    spans: tuple[Span, ...] = ()
    is_strange: bool = False
    is_part: bool = False
    is_unsampled: bool = False


class Phases:
    """Follows the stream.

    Args:
        selection: What is made.
    """

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        # Whether anything is made of how an invocation went: a span, or what is measured.
        self._is_told = selection.traces or selection.metrics

    def moved(self, event: Event, seed: str, observed_ns: int, context: Context) -> Moved:
        """What a platform event comes to.

        Args:
            event: Of any type.
            seed: Names this very event.
            observed_ns: When it was received.
            context: Before it.
        """
        raw = bytes(event.record)
        if event.type == "platform.fault":
            return Moved(invocations.faulted(context, raw), is_strange=True)
        record = record_of(event.type, raw)
        if record is None:
            return Moved(context, is_strange=True)
        at_ns = unix_ns(event.time) or observed_ns
        match record:
            case Started():
                return self._started(record, at_ns, context)
            case Ended():
                return self._ended(event.type, record, at_ns, context)
            case PhaseStarted():
                return Moved(self._phase_started(event.type, record, seed, at_ns, observed_ns, context), is_part=True)
            case PhaseEnded():
                return self._phase_ended(event.type, record, seed, at_ns, context)
            case Announced() | Dropped():
                return Moved(context)

    def finished(self, context: Context, now_ns: int) -> tuple[Context, tuple[Span, ...]]:
        """The environment is at its end: what is still open gets its span from what is known of it.

        Returns:
            The context after it, and the spans.
        """
        spans: list[Span] = []
        for one in context.open:
            context, lost = self._given_up(one, context, now_ns)
            spans += lost
        phase = context.phase
        if phase is not None and self._has_span(phase, context):
            error = phase.error_type or invocations.UNREPORTED
            spans.append(self._phase_span(replace(phase, error_type=error), max(now_ns, phase.start_ns)))
        return replace(context, open=(), phase=None), tuple(spans)

    def noticed(self, record: "LogRecord", context: Context) -> Context:
        """The context after a line that may tell that its invocation fails."""
        from shipper.parse.exceptions import failure_in

        failure = failure_in(record, context.runtime)
        if failure is None:
            return context
        error = invocations.TIMEOUT if failure.is_timeout else failure.error
        return invocations.noted(context, record.origin.request_id, error, is_oom=failure.is_out_of_memory)

    # Invocations.

    def _started(self, record: Started, at_ns: int, context: Context) -> Moved:
        tracing = trace_header(record.tracing.value if record.tracing else "")
        invocation = Invocation(
            request_id=record.request_id[:MOST_ID],
            trace_id=tracing.trace_id,
            span_id=hex_id(record.tracing.span_id if record.tracing else "", SPAN_DIGITS),
            parent_id=tracing.parent_id,
            sampled=tracing.sampled,
            start_ns=at_ns,
            is_cold=context.is_cold,
            attributes=bounded(dict(attributes_of(record, "request_id", "tracing"))),
        )
        if self._selection.traces:
            trace_id, span_id = ids_of(invocation)
            invocation = replace(invocation, trace_id=trace_id, span_id=span_id)
        spans: list[Span] = []
        before = context.invocation(invocation.request_id)
        if before is not None and before.done_ns:
            # Lambda tries an asynchronous invocation again under the same id; the first try was not reported.
            context, spans = self._given_up(before, context, at_ns)
        open_ = (*(one for one in context.open if one.request_id != invocation.request_id), invocation)
        while len(open_) > (MOST_INTERLEAVED if self._selection.interleaved else MOST_OPEN):
            # Its report is lost: the platform tells of one invocation after the other.
            context, lost = self._given_up(open_[0], context, at_ns)
            spans += lost
            open_ = open_[1:]
        began = context.meters
        if self._selection.metrics and not began.since_ns:
            began = replace(began, since_ns=at_ns)  # no init was told: a point must span some time all the same
        context = replace(context, is_cold=False, open=open_, meters=began)
        if not context.is_sampling and invocations.samples(None, record.tracing):
            context = replace(context, is_sampling=True)
        is_unsampled = self._is_nothing(invocation, context)
        if self._selection.interleaved:
            # What follows belongs to the init no more, and to no invocation that the stream could tell.
            context = replace(context, trace_id="", span_id="", flags=0)
            return Moved(context, tuple(spans), is_part=True, is_unsampled=is_unsampled)
        context = replace(
            context,
            request_id=invocation.request_id,
            trace_id=invocation.trace_id,
            span_id=invocation.span_id,
            flags=invocation.flags,
        )
        return Moved(context, tuple(spans), is_part=True, is_unsampled=is_unsampled)

    def _is_nothing(self, invocation: Invocation, context: Context) -> bool:
        """Whether the events of an invocation come to nothing: it gets no span, and metrics are not made."""
        return not self._selection.metrics and invocations.is_left_out(invocation.sampled, context, self._selection)

    def _given_up(self, one: Invocation, context: Context, now_ns: int) -> tuple[Context, list[Span]]:
        """The context and the span, if any, of an invocation that will not be reported any more."""
        span, taken = invocations.unreported(one, context, now_ns, self._selection)
        return self._measured(context, one.done_ns or now_ns, *taken), [span] if span else []

    def _ended(self, kind: str, record: Ended, at_ns: int, context: Context) -> Moved:
        request_id = record.request_id[:MOST_ID]
        invocation = context.invocation(request_id)
        if kind == "platform.report" and not self._is_told:
            return Moved(context.closed(request_id), is_part=True)
        children = self._children(record.spans) if self._is_told else ()
        if kind == "platform.report":
            span, taken = invocations.reported(invocation, record, at_ns, children, context, self._selection)
            is_sampling = context.is_sampling or invocations.samples(invocation, record.tracing)
            context = replace(context.closed(request_id), is_sampling=is_sampling)
            is_unsampled = span is None and self._selection.traces
            context = self._measured(context, at_ns, *taken)
            return Moved(context, (span,) if span else (), is_part=True, is_unsampled=is_unsampled)
        if kind == "platform.end" or invocation is None or invocation.done_ns:
            return Moved(context, is_part=True)
        done = invocations.done(invocation, record, at_ns, children)
        open_ = tuple(done if one is invocation else one for one in context.open)
        is_unsampled = self._is_nothing(done, context)
        context = self._measured(replace(context, open=open_), at_ns, *invocations.outcome(done))
        return Moved(context, is_part=True, is_unsampled=is_unsampled)

    # Inits and restores.

    def _phase_started(
        self, kind: str, record: PhaseStarted, seed: str, at_ns: int, observed_ns: int, context: Context
    ) -> Context:
        is_restore = kind == "platform.restoreStart"
        is_snapshot = record.initialization_type == "snap-start" and not is_restore
        if is_snapshot:
            # Every copy of a snapshot may tell its init again: it is one and the same span.
            seed = f"{record.function_arn or record.function_name}:{record.function_version} {at_ns}"
        attributes = dict(attributes_of(record, "function_name", "function_version", "tracing"))
        if DURABLE in record.runtime_version:
            attributes["aws.lambda.durable_function"] = True
        phase = Phase(
            kind="restore" if is_restore else "init",
            seed=seed,
            start_ns=at_ns,
            initialization_type=record.initialization_type,
            is_stale=is_snapshot and observed_ns - at_ns > STALE_NS,
            attributes=bounded(attributes),
            **_traced(record.tracing),
        )
        is_sampling = context.is_sampling or invocations.samples(None, record.tracing)
        context = replace(context, is_sampling=is_sampling, runtime=record.runtime or context.runtime)
        began = context.meters
        if not began.since_ns and not phase.is_stale:
            began = replace(began, since_ns=at_ns)
        is_cold = is_restore or record.initialization_type == "on-demand"
        running = context.invocation(context.request_id)
        if record.phase == "invoke" and running is not None and not running.done_ns:
            # The init before it failed, and this one is part of the invocation that has begun: its lines are, too.
            open_ = tuple(replace(one, is_cold=is_cold) if one is running else one for one in context.open)
            return replace(context, phase=phase, open=open_, has_init=True, meters=began)
        # Lines before the first invocation belong to it, where it gets a span.
        has_span = self._has_span(phase, context)
        trace_id, span_id = _ids_of(phase) if has_span else (phase.trace_id, phase.span_id)
        return replace(
            context,
            phase=phase,
            is_cold=is_cold,
            has_init=True,
            meters=began,
            request_id="",
            trace_id=trace_id,
            span_id=span_id,
            flags=int(bool(trace_id) and phase.sampled is not False),
        )

    def _phase_ended(self, kind: str, record: PhaseEnded, seed: str, at_ns: int, context: Context) -> Moved:
        name = "restore" if kind.startswith("platform.restore") else "init"
        phase = context.phase
        if phase is None or phase.kind != name:
            if not kind.endswith("Report"):
                return Moved(context, is_part=True)
            duration_ms = record.metrics.duration_ms if record.metrics else None
            start_ns = at_ns - duration_ns(duration_ms)
            phase = Phase(
                kind=name,
                seed=seed,
                start_ns=start_ns,
                initialization_type=record.initialization_type,
                **_traced(record.tracing),
            )
        phase = replace(
            phase,
            status=record.status or phase.status,
            error_type=record.error_type or phase.error_type,
            children=(*phase.children, *self._children(record.spans))[:MOST_CHILDREN],
            attributes=bounded(
                {**phase.attributes, **dict(attributes_of(record, "metrics", "spans", "error_type", "tracing"))}
            ),
        )
        if not kind.endswith("Report"):
            return Moved(replace(context, phase=phase), is_part=True)
        context = replace(context, phase=None)
        if phase.is_stale:
            return Moved(context, is_part=True)
        span = self._phase_span(phase, at_ns)
        duration_s = meters.seconds(record.metrics.duration_ms if record.metrics else None)
        if name == "restore":
            taken = ((meters.RESTORE_DURATION, duration_s),)
        else:
            # A snapshot's init was made once, before any of its copies.
            is_snapshot = phase.initialization_type == "snap-start"
            taken = ((meters.INIT_DURATION, None if is_snapshot else duration_s),)
        context = self._measured(replace(context, has_init=True), at_ns, *taken)
        if not self._has_span(phase, context):
            return Moved(context, is_part=True, is_unsampled=self._selection.traces)
        return Moved(replace(context, link=(span.trace_id, span.span_id)), (span,), is_part=True)

    def _has_span(self, phase: Phase, context: Context) -> bool:
        """Whether an init or restore gets a span."""
        is_left_out = phase.is_stale or invocations.is_left_out(phase.sampled, context, self._selection)
        return self._selection.traces and not is_left_out

    def _phase_span(self, phase: Phase, end_ns: int) -> Span:
        failed = phase.error_type or (phase.status if phase.status not in ("", "success") else "")
        attributes = {FAAS_TRIGGER: invocations.UNKNOWN_TRIGGER, **phase.attributes}
        trace_id, span_id = _ids_of(phase)
        if phase.initialization_type == "on-demand" or phase.kind == "restore":
            attributes[FAAS_COLDSTART] = True
        return Span(
            name=f"{self._selection.service} {phase.kind}",
            trace_id=trace_id,
            span_id=span_id,
            parent_id=phase.parent_id,
            is_sampled=phase.sampled is not False,
            start_ns=phase.start_ns,
            end_ns=max(phase.start_ns, end_ns),
            error=failed,
            message=f"The {phase.kind} failed: {failed}" if failed else "",
            attributes=attributes,
            children=phase.children,
        )

    def _children(self, spans: list[ChildSpan]) -> tuple[Child, ...]:
        found = []
        for span in spans[:MOST_CHILDREN]:
            start_ns = unix_ns(span.start)
            if start_ns is not None:
                said = bounded(dict(attributes_of(span, "name", "start", "duration_ms"))) if span.others else {}
                end_ns = start_ns + duration_ns(span.duration_ms)
                found.append(Child(span.name[:MOST_ID], start_ns, end_ns, said))
        return tuple(found)

    def _measured(self, context: Context, at_ns: int, *taken: tuple[int, float | None]) -> Context:
        if not taken or not self._selection.metrics:
            return context
        return replace(context, meters=meters.measured(context.meters, at_ns, *taken))


def _traced(tracing: Tracing | None) -> "dict[str, Any]":
    """What X-Ray's context of an init or restore says, as members of its phase."""
    if tracing is None:
        return {}
    header = trace_header(tracing.value)
    return {
        "trace_id": header.trace_id,
        "span_id": hex_id(tracing.span_id, SPAN_DIGITS) if header.trace_id else "",
        "parent_id": header.parent_id if header.trace_id else "",
        "sampled": header.sampled,
    }


def _ids_of(phase: Phase) -> tuple[str, str]:
    """Trace and span id of an init or restore: the platform's, else made from what it is."""
    return (
        phase.trace_id or generated(f"trace {phase.kind} {phase.seed}", TRACE_DIGITS),
        phase.span_id or generated(f"span {phase.kind} {phase.seed}", SPAN_DIGITS),
    )
