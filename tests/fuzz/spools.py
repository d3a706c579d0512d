"""What may lie in the spool's directory: it ends, and takes no more memory than the file has bytes."""

import struct
import tempfile
import tracemalloc
from binascii import crc32
from pathlib import Path

from lifecycle.contract.frames import HEADER, first_of
from lifecycle.contract.spool import MOST_INFLATED, OVERHEAD_BYTES, Spool

# What reading any file costs.
_SPARE_BYTES = 100_000


def read(content: bytes) -> list[tuple[int, int, int]]:
    """Reads a segment that has these bytes; start, end and events of the frames found in it."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "1.frames").write_bytes(content)
        spool = Spool(directory, 1 << 20, frame_limit_bytes=1 << 19)
        assert spool.stretches() == [1]
        found: list[tuple[int, int, int]] = []
        tracemalloc.start()
        try:
            for steps, one in enumerate(spool.found(1, first_of(1))):
                assert steps <= len(content) // OVERHEAD_BYTES, "it goes round in circles"
                if one.frame is not None:
                    assert len(one.frame.payload) <= len(content)
                    most = MOST_INFLATED if one.frame.form and one.frame.form.is_gzip else 1
                    assert one.frame.events <= max(1, len(one.frame.payload)) * most, "more events than bytes"
                    found.append((one.frame.start, one.frame.end, one.frame.events))
            assert tracemalloc.get_traced_memory()[1] <= 4 * len(content) + _SPARE_BYTES
        finally:
            tracemalloc.stop()
        return found


# Kind, length and events, as `framed_by` reads them.
_HEAD = struct.Struct("<BII")
HEAD_BYTES = _HEAD.size


def framed_by(part: bytes) -> bytes:
    """A frame that says what the beginning of some bytes says, and holds the rest of them."""
    kind, length, events = _HEAD.unpack_from(part)
    return framed(kind, length, events, part[HEAD_BYTES:])


def framed(kind: int, length: int, events: int, payload: bytes) -> bytes:
    """A frame whose checksums are right, whatever it says."""
    header = HEADER.pack(length & 0xFFFFFFFF, kind & 0xFF, events & 0xFFFFFFFF, 1, b"12345678")
    return crc32(header).to_bytes(4, "little") + crc32(payload).to_bytes(4, "little") + header + payload
