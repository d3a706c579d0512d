"""What the backlog is made of: frames, and the offsets they lie at.

Offsets only grow. They are divided into stretches of 2**44 bytes: even ones lie in the ring, each odd one is a file of
the spool. So an offset goes on growing through the ring, the spool, and the ring again.
"""

import struct
from enum import IntEnum

import msgspec

# length u32 · kind u8 · events u32 · observed time u64 (ns since the epoch) · digest
HEADER = struct.Struct("<IB3xIQ8s")
DIGEST_BYTES = 8


# Of the payload of a jump.
TARGET_BYTES = 8

STRETCH_BITS = 44


def is_spooled(offset: int) -> bool:
    """Whether an offset lies in the spool."""
    return bool(offset >> STRETCH_BITS & 1)


def stretch_of(offset: int) -> int:
    """Number of the stretch that an offset lies in."""
    return offset >> STRETCH_BITS


def first_of(stretch: int) -> int:
    """First offset of a stretch."""
    return stretch << STRETCH_BITS


class Kind(IntEnum):
    """What a frame is.

    A skip covers the rest of the ring before a frame that would have wrapped. A jump's payload is the offset at which
    the backlog goes on, eight bytes, little endian.
    """

    SKIP = 0
    BATCH = 1
    JUMP = 2


class Frame(msgspec.Struct, frozen=True):
    """One batch in the backlog.

    Attributes:
        start: Offset of the frame.
        end: Offset just past it.
        events: Telemetry events in the payload.
        observed_ns: When it was received, nanoseconds since the epoch.
        digest: 8 bytes that name the batch.
        payload: A JSON array of telemetry events, as delivered; valid until the frame is released.
        damaged_bytes: Size of a payload that is not what was stored, and is left out; only a file can come to that.
    """

    start: int
    end: int
    events: int
    observed_ns: int
    digest: bytes
    payload: memoryview
    damaged_bytes: int = 0


class BacklogFullError(Exception):
    """The frame fits, but not now."""


class FrameTooLargeError(Exception):
    """The frame can never fit."""


class BrokenFrameError(Exception):
    """What stands at an offset is not a frame: it was not one the writer reported, or the file was damaged."""


def jump_target(offset: int, payload: bytes | memoryview) -> int:
    """Where a jump at `offset` goes on.

    Raises:
        BrokenFrameError: Nowhere that lies ahead: whoever followed it would go in circles.
    """
    target = int.from_bytes(payload, "little")
    if len(payload) != TARGET_BYTES or stretch_of(target) <= stretch_of(offset) or target >> 63:
        raise BrokenFrameError(f"offset {offset}: got a jump to {target}, expected a later stretch")
    return target
