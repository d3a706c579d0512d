"""Metrics in OTLP's protobuf. Source: opentelemetry/proto/metrics/v1/metrics.proto."""

import struct

from shipper.destinations.otlp.protobuf_values import attribute, field, fixed64, text_field, varint
from shipper.model.metrics import Export, Histogram, Metric, Point

_sfixed64 = struct.Struct("<q").pack
_double = struct.Struct("<d").pack


def encoded(export: Export) -> list[bytes]:
    """Every metric, one record each."""
    times = b"\x11%b\x19%b" % (fixed64(export.since_ns), fixed64(export.until_ns))
    return [field(b"\x12", _encoded(metric, times, export.temporality)) for metric in export.metrics]


def _encoded(metric: Metric, times: bytes, temporality: int) -> bytes:
    head = text_field(b"\x0a", metric.name) + text_field(b"\x12", metric.description) + text_field(b"\x1a", metric.unit)
    points = b"".join([field(b"\x0a", _point(point, times)) for point in metric.points])
    if metric.is_gauge:
        return head + field(b"\x2a", points)
    kind = b"%b\x10%b" % (points, varint(temporality))
    if isinstance(metric.points[0].value, Histogram):
        return head + field(b"\x4a", kind)
    return head + field(b"\x3a", kind + b"\x18\x01" if metric.is_monotonic else kind)


def _point(point: Point, times: bytes) -> bytes:
    value = point.value
    if not isinstance(value, Histogram):
        attributes = [attribute(b"\x3a", name, text) for name, text in point.attributes.items()]
        number = b"\x21" + _double(value) if isinstance(value, float) else b"\x31" + _sfixed64(value)
        return b"%b%b%b" % (times, number, b"".join(attributes))
    attributes = [attribute(b"\x4a", name, text) for name, text in point.attributes.items()]
    return b"".join(
        (
            times,
            b"\x21%b\x29%b" % (fixed64(value.count), _double(value.total)),
            field(b"\x32", struct.pack(f"<{len(value.buckets)}Q", *value.buckets)),
            field(b"\x3a", struct.pack(f"<{len(value.bounds)}d", *value.bounds)),
            *attributes,
            b"\x59%b\x61%b" % (_double(value.least), _double(value.most)),
        )
    )
