"""Metrics in OTLP's JSON. Source: opentelemetry/proto/metrics/v1/metrics.proto.

Counts are written as numbers: protobuf's JSON takes 64-bit integers as numbers and as text, and receivers built on
Rust's opentelemetry-proto take them as numbers only, and lose a text without a word. Times are text to all.
"""

import msgspec

from shipper.destinations.otlp.json_values import attribute
from shipper.model.metrics import Export, Histogram, Metric, Point

_to_json = msgspec.json.Encoder().encode


def encoded(export: Export) -> list[bytes]:
    """Every metric, one record each."""
    times = b'"startTimeUnixNano":"%d","timeUnixNano":"%d"' % (export.since_ns, export.until_ns)
    return [_encoded(metric, times, export.temporality) for metric in export.metrics]


def _encoded(metric: Metric, times: bytes, temporality: int) -> bytes:
    head = b'{"name":%b,"unit":%b,"description":%b' % (
        _to_json(metric.name),
        _to_json(metric.unit),
        _to_json(metric.description),
    )
    points = b",".join([_point(point, times) for point in metric.points])
    if metric.is_gauge:
        return b'%b,"gauge":{"dataPoints":[%b]}}' % (head, points)
    kind = b'"sum":{"isMonotonic":true,' if metric.is_monotonic else b'"sum":{'
    kind = b'"histogram":{' if isinstance(metric.points[0].value, Histogram) else kind
    return b'%b,%b"aggregationTemporality":%d,"dataPoints":[%b]}}' % (head, kind, temporality, points)


def _point(point: Point, times: bytes) -> bytes:
    attributes = b",".join([attribute(name, value) for name, value in point.attributes.items()])
    beside = b',"attributes":[%b]' % attributes if attributes else b""
    value = point.value
    if isinstance(value, float):
        return b'{%b,"asDouble":%b%b}' % (times, _to_json(value), beside)
    if not isinstance(value, Histogram):
        return b'{%b,"asInt":%d%b}' % (times, value, beside)
    return b'{%b,"count":%d,"sum":%b,"min":%b,"max":%b,"bucketCounts":%b,"explicitBounds":%b%b}' % (
        times,
        value.count,
        _to_json(value.total),
        _to_json(value.least),
        _to_json(value.most),
        _to_json(value.buckets),
        _to_json(value.bounds),
        beside,
    )
