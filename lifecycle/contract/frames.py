"""What the backlog is made of: frames, and the offsets they lie at.

Offsets only grow. They are divided into stretches of 2**44 bytes: even ones lie in the ring, each odd one is a file of
the spool. So an offset goes on growing through the ring, the spool, and the ring again.
"""

import struct

import msgspec

from lifecycle.contract.schemes import EVERY_SIGNAL, JSON, PROTOBUF

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


class Kind:
    """What a frame is.

    A batch is the platform's. A skip covers the rest of the ring before a frame that would have wrapped. A jump's
    payload is the offset at which the backlog goes on, eight bytes, little endian. From `OTLP` on there is one kind for
    each form of an OTLP request, in the order of `OTLP_FORMS`.
    """

    SKIP = 0
    BATCH = 1
    JUMP = 2
    OTLP = 16


class OtlpForm(msgspec.Struct, frozen=True):
    """What an OTLP request holds, and how.

    Attributes:
        signal: `logs`, `traces` or `metrics`.
        encoding: `http/protobuf` or `http/json`.
        is_gzip: Whether the payload is compressed.
    """

    signal: str
    encoding: str
    is_gzip: bool = False


OTLP_FORMS = tuple(
    OtlpForm(signal, encoding, is_gzip)
    for signal in EVERY_SIGNAL
    for encoding in (PROTOBUF, JSON)
    for is_gzip in (False, True)
)


def kind_of(form: OtlpForm | None) -> int:
    """The kind of the frame that holds an OTLP request of a form; None: a batch of the platform's."""
    return Kind.BATCH if form is None else Kind.OTLP + OTLP_FORMS.index(form)


def form_of(kind: int) -> OtlpForm | None:
    """The form of the OTLP request that a frame of some kind holds; None: it holds none."""
    return OTLP_FORMS[kind - Kind.OTLP] if Kind.OTLP <= kind < Kind.OTLP + len(OTLP_FORMS) else None


def holds_telemetry(kind: int) -> bool:
    """Whether a frame of this kind is a batch or an OTLP request."""
    return kind == Kind.BATCH or form_of(kind) is not None


class Frame(msgspec.Struct, frozen=True):
    """One batch, or one OTLP request, in the backlog.

    Attributes:
        start: Offset of the frame.
        end: Offset just past it.
        events: Telemetry events in the payload; of an OTLP request spans, points or log records.
        observed_ns: When it was received, nanoseconds since the epoch.
        digest: 8 bytes that name the batch, or the request: they are of its path and its body without compression.
        payload: A JSON array of telemetry events, or the body of an OTLP request; as delivered, and valid until the
            frame is released.
        damaged_bytes: Size of a payload that is not what was stored, and is left out; only a file can come to that.
        form: Of the OTLP request; None: it is a batch of the platform's.
    """

    start: int
    end: int
    events: int
    observed_ns: int
    digest: bytes
    payload: memoryview
    damaged_bytes: int = 0
    form: OtlpForm | None = None


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
