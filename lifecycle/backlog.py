"""The shared ring of frames between collector and shipper.

Anonymous shared memory made before the fork, so it outlives any worker. A frame is a header (length, kind,
count, time, digest) and a payload as the platform delivered it. Offsets only grow; a frame never wraps, the
rest of the ring before it is skipped. There is one writer and one reader, and an offset counts only once it
came over a pipe: nothing here is a lock or is read to find out how far the other side got.

When nothing is waiting, the next frame starts at the ring's beginning, so a quiet function touches a few pages
and not the whole ring. The jump shows as a `start` past the previous `end`.
"""

import mmap
import struct
from collections.abc import Iterator

import msgspec

# length u32 · kind u8 · events u32 · observed time u64 (ns since the epoch) · digest
_HEADER = struct.Struct("<IB3xIQ8s")
HEADER_BYTES = _HEADER.size
DIGEST_BYTES = 8

_SKIP = 0
_BATCH = 1


class Frame(msgspec.Struct, frozen=True):
    """One batch in the ring.

    Attributes:
        start: Offset of the frame.
        end: Offset just past it.
        events: Telemetry events in the payload.
        observed_ns: When it was received, nanoseconds since the epoch.
        digest: 8 bytes that name the batch.
        payload: A JSON array of telemetry events, as delivered; valid until the frame is released.
    """

    start: int
    end: int
    events: int
    observed_ns: int
    digest: bytes
    payload: memoryview


class BacklogFullError(Exception):
    """The frame fits the ring, but not now."""


class FrameTooLargeError(Exception):
    """The frame can never fit the ring."""


class BrokenFrameError(Exception):
    """What stands at an offset is not a frame: the offset was not one the writer reported."""


class Backlog:
    """The memory itself. Made once, before the fork.

    Args:
        capacity_bytes: Size of the ring, headers included.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.memory = mmap.mmap(-1, capacity_bytes)
        self._view = memoryview(self.memory)

    def frames(self, since: int, until: int) -> Iterator[Frame]:
        """The frames in [since, until), oldest first.

        Raises:
            BrokenFrameError: `since` is not where a frame starts, or `until` not where one ends.
        """
        offset = since
        while offset < until:
            at = offset % self.capacity_bytes
            room = self.capacity_bytes - at
            if room < HEADER_BYTES:
                offset += room
                continue
            length, kind, events, observed_ns, digest = _HEADER.unpack_from(self._view, at)
            end = offset + HEADER_BYTES + length
            if kind not in (_SKIP, _BATCH) or length > room - HEADER_BYTES or end > until:
                raise BrokenFrameError(
                    f"offset {offset}: got kind {kind} and {length} bytes, expected a frame that ends by {until}"
                )
            if kind == _BATCH:
                payload = self._view[at + HEADER_BYTES : at + HEADER_BYTES + length]
                yield Frame(offset, end, events, observed_ns, digest, payload)
            offset = end


class Writer:
    """The collector's end.

    Args:
        backlog: The ring.
        end: Offset where the last reported frame ended.
        released: Everything before this offset may be written over.
    """

    def __init__(self, backlog: Backlog, *, end: int, released: int) -> None:
        self._backlog = backlog
        self._memory = memoryview(backlog.memory)
        self.end = end
        self.released = released

    def release(self, through: int) -> None:
        """Frees everything before `through`; an older offset changes nothing."""
        self.released = max(self.released, through)

    def append(self, payload: bytes, *, events: int, observed_ns: int, digest: bytes) -> tuple[int, int]:
        """Writes one frame.

        Returns:
            Its start and end. `start` may lie past the previous end.

        Raises:
            BacklogFullError: There is no room until more is released; nothing was written.
            FrameTooLargeError: There will never be; nothing was written.
        """
        capacity = self._backlog.capacity_bytes
        needed = HEADER_BYTES + len(payload)
        if needed > capacity:
            raise FrameTooLargeError(f"frame of {needed} bytes, expected no more than {capacity}")
        at = self.end % capacity
        room = capacity - at
        start, released = self.end, self.released
        if released >= self.end and at:  # nothing waits: begin anew at the ring's start
            start = released = self.end + room
        elif needed > room:
            start = self.end + room
        if start + needed - released > capacity:
            raise BacklogFullError(f"frame of {needed} bytes, {capacity - (self.end - released)} free")
        if start > self.end and released < start and room >= HEADER_BYTES:
            _HEADER.pack_into(self._memory, at, room - HEADER_BYTES, _SKIP, 0, 0, bytes(DIGEST_BYTES))
        at = start % capacity
        _HEADER.pack_into(self._memory, at, len(payload), _BATCH, events, observed_ns, digest)
        self._memory[at + HEADER_BYTES : at + needed] = payload
        self.released = released
        self.end = start + needed
        return start, self.end
