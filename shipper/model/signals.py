"""The signals, and which of them are made of the telemetry: the settings as the pipeline needs them."""

import msgspec

from lifecycle.contract import schemes
from lifecycle.contract.settings import OF_PLATFORM, PLATFORM_EVENTS, Settings

LOGS, TRACES, METRICS = schemes.LOGS, schemes.TRACES, schemes.METRICS

# In this order a batch's signals are sent: a destination that takes only some of them has had the lines by then.
SIGNALS = (LOGS, TRACES, METRICS)

# What `unsampled` may be.
AUTO, YES = "auto", "1"

_NS_PER_MS = 1_000_000


def _types(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(OF_PLATFORM + name for name in names)


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """What is made.

    Attributes:
        logs: Log records.
        traces: Spans.
        metrics: Metrics.
        platform_logs: Types of the platform's events that become log records, too.
        unsampled: Whether there are spans also where X-Ray's decision is against them: `1`, `0`, or `auto`, which is
            until X-Ray is seen to sample here.
        emf: Metrics also of lines in CloudWatch's Embedded Metric Format.
        interleaved: Invocations overlap, so the stream does not tell which one a line belongs to.
        interval_ns: Metrics are exported no more often.
        is_cumulative: Metrics count from the environment's beginning.
        service: The function's name, as spans have it.
        asked: Signals that are asked for by name; empty where nobody did.
    """

    logs: bool = True
    traces: bool = False
    metrics: bool = False
    platform_logs: frozenset[str] = _types(PLATFORM_EVENTS)
    unsampled: str = AUTO
    emf: bool = True
    interleaved: bool = False
    interval_ns: int = 10_000 * _NS_PER_MS
    is_cumulative: bool = False
    service: str = "function"
    asked: tuple[str, ...] = ()


def selected_by(settings: Settings) -> Selection:
    """What one environment's settings ask for."""
    signals = settings.exported_signals()
    return Selection(
        logs=LOGS in signals,
        traces=TRACES in signals,
        metrics=METRICS in signals,
        platform_logs=_types(settings.platform_logs),
        unsampled=settings.trace_unsampled,
        emf=settings.emf,
        interleaved=settings.function.is_managed,
        interval_ns=settings.flush_interval_ms * _NS_PER_MS,
        is_cumulative=settings.metrics_temporality == "cumulative",
        service=settings.function.name or "function",
        asked=settings.signals,
    )
