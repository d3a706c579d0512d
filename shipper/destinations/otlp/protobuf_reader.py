"""Fields of a protobuf message, walked.

Source: "Encoding" of the Protocol Buffers documentation.
"""

from collections.abc import Iterator

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5

_FIXED_BYTES = {FIXED64: 8, FIXED32: 4}

# A varint holds 64 bits, seven a byte.
_MOST_VARINT_BYTES = 10


class WireError(ValueError):
    """Bytes that are no protobuf message."""


def fields(message: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Number, wire type and value of each field, as they come; what is fixed comes as its bytes.

    Raises:
        WireError: It is no message.
    """
    at = 0
    while at < len(message):
        tag, at = varint_at(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value, at = varint_at(message, at)
            yield number, wire, value
            continue
        if wire == LENGTH:
            size, at = varint_at(message, at)
        elif wire in _FIXED_BYTES:
            size = _FIXED_BYTES[wire]
        else:
            raise WireError(f"got wire type {wire} at byte {at}, expected 0, 1, 2 or 5")
        if size > len(message) - at:
            raise WireError(f"got {len(message) - at} bytes of a field, expected {size}")
        yield number, wire, message[at : at + size]
        at += size


def varint_at(message: bytes, at: int) -> tuple[int, int]:
    """The number that begins at a byte, and where it ends.

    Raises:
        WireError: There is none.
    """
    value = shift = 0
    for byte in message[at : at + _MOST_VARINT_BYTES]:
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the last one
            return value & (2**64 - 1), at
        shift += 7
    raise WireError(f"got a varint that does not end at byte {at}")
