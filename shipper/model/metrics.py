"""What was measured, as metrics in OpenTelemetry's data model: what is exported, in no destination's form.

Source: metrics data model, "Temporality" and "Single-Writer".
"""

from collections.abc import Iterator

import msgspec

from shipper.model.context import Meters
from shipper.model.meters import HEAD, TABLE, Instrument

DELTA, CUMULATIVE = 1, 2

# The supervisor's ledger as metrics of the extension itself: name, unit and what it counts. What is dropped is one
# metric of events and one of bytes, with the reason as an attribute.
LEDGER = {
    "accepted": ("tailrace.events.accepted", "{event}", "Telemetry events taken from the platform"),
    "shipped": ("tailrace.events.shipped", "{event}", "Telemetry events acknowledged by the destination"),
    "repeated": ("tailrace.events.repeated", "{event}", "Telemetry events the platform sent again"),
    "lost_by_platform": ("tailrace.events.lost_by_platform", "{event}", "Events the platform gave up before delivery"),
    "lost_by_platform_bytes": ("tailrace.events.lost_by_platform.size", "By", "Bytes of those"),
    "unmapped": ("tailrace.events.unmapped", "{event}", "Telemetry events not understood, passed through as text"),
    "unredactable": ("tailrace.events.unredactable", "{event}", "Telemetry events that could not be redacted: blanked"),
    "requests": ("tailrace.requests", "{request}", "Requests made to the destination"),
    "retried": ("tailrace.requests.retried", "{request}", "Requests that repeated a failed one"),
    "wire_bytes": ("tailrace.requests.size", "By", "Request bodies as sent"),
    "held_ms": ("tailrace.held", "ms", "Time that finished invocations were held"),
}
BY_REASON = {
    "dropped": ("tailrace.events.dropped", "{event}", "Telemetry events given up, by reason"),
    "dropped_bytes": ("tailrace.events.dropped.size", "By", "Telemetry events given up, by reason, as delivered"),
}


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """What a histogram's point says.

    Attributes:
        total: Sum of all values.
        buckets: Counts, one more than there are bounds.
    """

    count: int
    total: float
    least: float
    most: float
    buckets: list[int]
    bounds: tuple[float, ...]


class Point(msgspec.Struct, frozen=True):
    """A value, and the attributes that tell it from the other points of its metric."""

    value: int | float | Histogram
    attributes: dict[str, str] = {}


class Metric(msgspec.Struct, frozen=True):
    """A sum, or a histogram where its points are.

    Attributes:
        is_gauge: It is neither, but what was last measured.
        is_monotonic: Of a sum: it only grows.
    """

    name: str
    unit: str
    description: str
    points: list[Point]
    is_gauge: bool = False
    is_monotonic: bool = True


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """What is exported together: every metric that has something to say.

    Attributes:
        temporality: `DELTA` or `CUMULATIVE`.
    """

    since_ns: int
    until_ns: int
    temporality: int
    metrics: list[Metric]


def export_of(meters: Meters, ledger: dict[str, int], *, is_cumulative: bool) -> Export:
    """What was measured.

    Args:
        meters: Measurements of the function.
        ledger: The supervisor's counts, since the environment began.
        is_cumulative: Whether values count from there, too.
    """
    before = {} if is_cumulative else meters.ledger
    metrics = [_measured(TABLE[number], state) for number, state in sorted(meters.values.items())]
    return Export(
        since_ns=meters.since_ns,
        until_ns=meters.until_ns,
        temporality=CUMULATIVE if is_cumulative else DELTA,
        metrics=[*metrics, *_counted(ledger, before)],
    )


def _measured(instrument: Instrument, state: list[int | float]) -> Metric:
    value: int | Histogram = int(state[0])
    if instrument.bounds:
        count, total, least, most = state[:HEAD]
        value = Histogram(
            count=int(count),
            total=float(total),
            least=float(least),
            most=float(most),
            buckets=[int(bucket) for bucket in state[HEAD:]],
            bounds=instrument.bounds,
        )
    return Metric(instrument.name, instrument.unit, instrument.about, [Point(value)])


def _counted(ledger: dict[str, int], before: dict[str, int]) -> Iterator[Metric]:
    by_reason: dict[str, list[Point]] = {}
    for name, count in ledger.items():
        more = count - before.get(name, 0)
        if more <= 0:
            continue
        what, _, reason = name.partition(".")
        if what in BY_REASON:
            by_reason.setdefault(what, []).append(Point(more, {"reason": reason}))
        elif name in LEDGER:
            yield Metric(*LEDGER[name], [Point(more)])
    for what, points in by_reason.items():
        yield Metric(*BY_REASON[what], points)
