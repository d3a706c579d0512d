"""Where the backlog overflows to when it stays full: segment files of frames, in a directory of their own.

Off unless `TAILRACE_SPOOL_BYTES` says how much. Frames are the ring's, verbatim, with a checksum of the header and one
of the payload before them. A segment that is delivered is deleted. `/tmp` survives a reset of the environment, so a
later collector finds what an earlier one left; a frame that was being written then is recognised and cut off.
"""

import os
import struct
from binascii import crc32
from collections.abc import Iterator
from contextlib import suppress

import msgspec

from lifecycle.contract.frames import HEADER, STRETCH_BITS, BrokenFrameError, Frame, Kind, stretch_of

_POSITION = (1 << STRETCH_BITS) - 1

# Checksums of header and payload.
_CHECKS = struct.Struct("<II")
OVERHEAD_BYTES = _CHECKS.size + HEADER.size

# A delivered segment gives its room back: with this many, at most an eighth of the spool waits for its neighbours.
SEGMENTS = 8

SUFFIX = ".frames"

# Offsets stay below 2**63.
MOST_STRETCHES = 1 << (63 - STRETCH_BITS)


class SpoolFullError(Exception):
    """There is no room in the spool, or the file system has none."""


class Found(msgspec.Struct, frozen=True):
    """What stands at an offset of the spool.

    Attributes:
        end: Offset just past it.
        frame: The frame, damaged or not; None for a jump.
        target: Where a jump goes on.
    """

    end: int
    frame: Frame | None = None
    target: int = 0


class Spool:
    """The segment files.

    Args:
        directory: Where they lie; made when it is needed.
        limit_bytes: What they may hold together.
    """

    def __init__(self, directory: str, limit_bytes: int) -> None:
        self._directory = directory
        self._limit_bytes = limit_bytes
        self._fd = -1
        self._open_stretch = -1

    @property
    def segment_bytes(self) -> int:
        """Size at which a segment is followed by another."""
        return self._limit_bytes // SEGMENTS

    def stretches(self) -> list[int]:
        """The segments there are, oldest first; none where the directory cannot be read."""
        try:
            names = os.listdir(self._directory)
        except OSError:
            return []
        return sorted(number for number in map(_stretch_named, names) if number & 1)

    def write(self, offset: int, kind: Kind, header: bytes, payload: bytes | bytearray | memoryview) -> int:
        """Writes one frame at `offset`, cutting off whatever stands there.

        Returns:
            Offset just past it.

        Raises:
            SpoolFullError: It does not fit; nothing counts as written.
        """
        size = OVERHEAD_BYTES + len(payload)
        if kind is Kind.BATCH and self._used_bytes() + size > self._limit_bytes:
            raise SpoolFullError(f"frame of {size} bytes, expected the spool to stay below {self._limit_bytes}")
        checks = _CHECKS.pack(crc32(header), crc32(payload))
        try:
            fd = self._opened(stretch_of(offset), os.O_CREAT)
            os.ftruncate(fd, offset & _POSITION)
            written = os.pwritev(fd, [checks, header, payload], offset & _POSITION)
        except OSError as exc:
            raise SpoolFullError(f"{self._directory}: {exc.strerror}") from exc
        if written < size:
            raise SpoolFullError(f"{self._directory}: {written} of {size} bytes written")
        return offset + size

    def read(self, offset: int) -> Found:
        """What stands at `offset`.

        Raises:
            BrokenFrameError: No whole frame does.
        """
        try:
            fd = self._opened(stretch_of(offset), 0)
            head = os.pread(fd, OVERHEAD_BYTES, offset & _POSITION)
            if len(head) < OVERHEAD_BYTES:
                raise BrokenFrameError(f"offset {offset}: the segment ends after {len(head)} bytes of a header")
            header_check, payload_check = _CHECKS.unpack_from(head)
            header = head[_CHECKS.size :]
            if crc32(header) != header_check:
                raise BrokenFrameError(f"offset {offset}: the header's checksum does not match")
            length, number, events, observed_ns, digest = HEADER.unpack(header)
            payload = os.pread(fd, length, (offset & _POSITION) + OVERHEAD_BYTES)
        except OSError as exc:
            raise BrokenFrameError(f"offset {offset}: {exc.strerror}") from exc
        if len(payload) < length:
            raise BrokenFrameError(f"offset {offset}: the segment ends after {len(payload)} of {length} bytes")
        end = offset + OVERHEAD_BYTES + length
        is_damaged = crc32(payload) != payload_check
        if number == Kind.JUMP and not is_damaged:
            return Found(end, target=int.from_bytes(payload, "little"))
        kept = memoryview(b"" if is_damaged else payload)
        return Found(end, Frame(offset, end, events, observed_ns, digest, kept, length if is_damaged else 0))

    def found(self, stretch: int, offset: int) -> Iterator[Found]:
        """The whole frames of a segment from `offset` on, up to its end, a jump, or the first that is not whole."""
        while stretch_of(offset) == stretch:
            try:
                found = self.read(offset)
            except BrokenFrameError:
                return
            yield found
            offset = found.target or found.end

    def discard_before(self, stretch: int) -> None:
        """Deletes the segments before `stretch`."""
        for number in self.stretches():
            if number < stretch:
                with suppress(OSError):  # what is no file, or not ours, was not delivered from
                    os.unlink(self._path(number))

    def _used_bytes(self) -> int:
        return sum(os.stat(self._path(number)).st_size for number in self.stretches())

    def _path(self, stretch: int) -> str:
        return f"{self._directory}/{stretch}{SUFFIX}"

    def _opened(self, stretch: int, flags: int) -> int:
        if stretch != self._open_stretch:
            if flags & os.O_CREAT:
                os.makedirs(self._directory, mode=0o700, exist_ok=True)
            # Never through a link that somebody else put there.
            fd = os.open(self._path(stretch), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o600)
            if self._fd >= 0:
                os.close(self._fd)
            self._fd, self._open_stretch = fd, stretch
        return self._fd


def _stretch_named(name: str) -> int:
    """The segment that a file's name means; 0, which is none, for what we would not have written."""
    number = name.removesuffix(SUFFIX)
    is_ours = name.endswith(SUFFIX) and number.isascii() and number.isdigit() and len(number) < len(str(MOST_STRETCHES))
    return int(number) if is_ours else 0
