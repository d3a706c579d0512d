"""Metrics in OTLP's JSON. Source: opentelemetry/proto/metrics/v1/metrics.proto; metrics data model, "Temporality".

Counts are written as numbers: protobuf's JSON takes 64-bit integers as numbers and as text, and receivers built on
Rust's opentelemetry-proto take them as numbers only, and lose a text without a word. Times are text to all.
"""

from collections.abc import Iterator

import msgspec

from shipper.destinations.otlp.json_values import key_value, plain_value
from shipper.model.context import Meters
from shipper.model.meters import HEAD, TABLE, Instrument

_DELTA, _CUMULATIVE = 1, 2

_to_json = msgspec.json.Encoder().encode

# The supervisor's ledger as metrics of the extension itself: name, unit and what it counts. What is dropped is one
# metric of events and one of bytes, with the reason as an attribute.
LEDGER = {
    "accepted": ("tailrace.events.accepted", "{event}", "Telemetry events taken from the platform"),
    "shipped": ("tailrace.events.shipped", "{event}", "Telemetry events acknowledged by the destination"),
    "repeated": ("tailrace.events.repeated", "{event}", "Telemetry events the platform sent again"),
    "lost_by_platform": ("tailrace.events.lost_by_platform", "{event}", "Events the platform gave up before delivery"),
    "lost_by_platform_bytes": ("tailrace.events.lost_by_platform.size", "By", "Bytes of those"),
    "requests": ("tailrace.requests", "{request}", "Requests made to the destination"),
    "retried": ("tailrace.requests.retried", "{request}", "Requests that repeated a failed one"),
    "wire_bytes": ("tailrace.requests.size", "By", "Request bodies as sent"),
    "held_ms": ("tailrace.held", "ms", "Time that finished invocations were held"),
}
BY_REASON = {
    "dropped": ("tailrace.events.dropped", "{event}", "Telemetry events given up, by reason"),
    "dropped_bytes": ("tailrace.events.dropped.size", "By", "Telemetry events given up, by reason, as delivered"),
}


def encoded(meters: Meters, ledger: dict[str, int], *, is_cumulative: bool) -> Iterator[bytes]:
    """Every metric that has something to say, one record each.

    Args:
        meters: What was measured.
        ledger: The supervisor's counts, since the environment began.
        is_cumulative: Whether values count from there, too.
    """
    times = b'"startTimeUnixNano":"%d","timeUnixNano":"%d"' % (meters.since_ns, meters.until_ns)
    temporality = _CUMULATIVE if is_cumulative else _DELTA
    for number, state in sorted(meters.values.items()):
        instrument = TABLE[number]
        if instrument.bounds:
            point = _histogram_point(instrument, state, times)
            kind = b'"histogram":{"aggregationTemporality":%d,"dataPoints":[%b]}' % (temporality, point)
        else:
            kind = _sum([b'{%b,"asInt":%d}' % (times, state[0])], temporality)
        yield _metric(instrument.name, instrument.unit, instrument.about, kind)
    before = {} if is_cumulative else meters.ledger
    by_reason: dict[str, list[bytes]] = {}
    for name, count in ledger.items():
        more = count - before.get(name, 0)
        if more <= 0:
            continue
        what, _, reason = name.partition(".")
        if what in BY_REASON:
            told = key_value("reason", plain_value(reason))
            by_reason.setdefault(what, []).append(b'{%b,"asInt":%d,"attributes":[%b]}' % (times, more, told))
        elif name in LEDGER:
            yield _metric(*LEDGER[name], _sum([b'{%b,"asInt":%d}' % (times, more)], temporality))
    for what, points in by_reason.items():
        yield _metric(*BY_REASON[what], _sum(points, temporality))


def _metric(name: str, unit: str, about: str, kind: bytes) -> bytes:
    return b'{"name":%b,"unit":%b,"description":%b,%b}' % (_to_json(name), _to_json(unit), _to_json(about), kind)


def _sum(points: list[bytes], temporality: int) -> bytes:
    return b'"sum":{"aggregationTemporality":%d,"isMonotonic":true,"dataPoints":[%b]}' % (
        temporality,
        b",".join(points),
    )


def _histogram_point(instrument: Instrument, state: list[int | float], times: bytes) -> bytes:
    count, total, least, most = state[:HEAD]
    return b'{%b,"count":%d,"sum":%b,"min":%b,"max":%b,"bucketCounts":[%b],"explicitBounds":%b}' % (
        times,
        count,
        _to_json(float(total)),
        _to_json(float(least)),
        _to_json(float(most)),
        b",".join([b"%d" % bucket for bucket in state[HEAD:]]),
        _to_json(instrument.bounds),
    )
