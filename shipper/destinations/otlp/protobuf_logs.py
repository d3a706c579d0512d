"""Log records in OTLP's protobuf. Source: opentelemetry/proto/logs/v1/logs.proto."""

from shipper.destinations.otlp.protobuf_values import any_value, field, fixed64, key_value, varint
from shipper.model.log_record import LogRecord


def encoded(record: LogRecord) -> bytes:
    """A record as a field of its scope."""
    pieces = []
    if record.time_ns is not None:
        pieces.append(b"\x09%b" % fixed64(record.time_ns))
    if record.severity_number:
        pieces.append(b"\x10%b" % varint(record.severity_number))
    if record.severity_text:
        pieces.append(field(b"\x1a", record.severity_text.encode("utf-8", "replace")))
    pieces.append(field(b"\x2a", any_value(record.body)))
    pieces += [key_value(b"\x32", name, any_value(raw)) for name, raw in record.attributes]
    return field(b"\x12", b"".join(pieces))
