"""OTLP's requests in protobuf: what stands around the records.

Source: opentelemetry/proto/collector/{logs,trace,metrics}/v1, whose messages have the same numbers for all signals.
"""

from collections.abc import Mapping, Sequence

from shipper.destinations.otlp.protobuf_values import attribute, field, text_field, varint

CONTENT_TYPE = "application/x-protobuf"


def resource(attributes: Mapping[str, str | int]) -> bytes:
    """The resource that all records of a request are of."""
    return field(b"\x0a", b"".join([attribute(b"\x0a", name, value) for name, value in attributes.items()]))


def scope(name: str, version: str = "") -> bytes:
    """The scope that the records after it are of."""
    return field(b"\x0a", text_field(b"\x0a", name) + text_field(b"\x12", version))


def request(resource: bytes, scopes: Sequence[tuple[bytes, Sequence[bytes]]]) -> list[bytes]:
    """An Export…ServiceRequest in pieces, none of which is joined before it is compressed.

    Args:
        resource: Made by `resource`.
        scopes: Made by `scope`, each with its records, which are fields of it.
    """
    pieces: list[bytes] = []
    size = len(resource)
    for head, records in scopes:
        inner = len(head) + sum(map(len, records))
        start = b"\x12%b%b" % (varint(inner), head)
        pieces.append(start)
        pieces += records
        size += len(start) - len(head) + inner
    return [b"\x0a%b%b" % (varint(size), resource), *pieces]
