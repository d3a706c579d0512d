"""Where the backlog overflows to when it stays full: segment files of frames, in a directory of their own.

Off unless `TAILRACE_SPOOL_BYTES` says how much. Frames are the ring's, verbatim, with a checksum of the header and one
of the payload before them. A segment that is delivered is deleted. `/tmp` survives a reset of the environment, so a
later collector finds what an earlier one left; a frame that was being written then is recognised and cut off.

Beside them lies a file for each route: how far it has delivered what is in them. A later environment begins there.

The function may write in `/tmp` as well, so nothing in a file is believed that could harm: the directory is ours and no
link, a segment is a regular file, a frame is no larger than what is stored here, a jump leads onward.
"""

import os
import stat
import struct
from binascii import crc32
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EPERM

import msgspec

from lifecycle.contract.frames import (
    HEADER,
    STRETCH_BITS,
    BrokenFrameError,
    Frame,
    Kind,
    form_of,
    holds_telemetry,
    jump_target,
    stretch_of,
)

_POSITION = (1 << STRETCH_BITS) - 1

# Checksums of header and payload.
_CHECKS = struct.Struct("<II")
OVERHEAD_BYTES = _CHECKS.size + HEADER.size

# An event takes a byte at the least. What gzip comes to has at most so many for each of its own (RFC 1951).
MOST_INFLATED = 1032

# A delivered segment gives its room back: with this many, at most an eighth of the spool waits for its neighbours.
SEGMENTS = 8

SUFFIX = ".frames"

# A route's position: offset, events of the frame there that are done, and a checksum of both.
_CURSOR = struct.Struct("<QI")
_CURSOR_CHECK = struct.Struct("<I")
CURSOR_SUFFIX = ".cursor"

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
        frame_limit_bytes: The largest payload.
    """

    def __init__(self, directory: str, limit_bytes: int, *, frame_limit_bytes: int) -> None:
        self._directory = directory
        self._limit_bytes = limit_bytes
        self._frame_limit_bytes = frame_limit_bytes

    @property
    def segment_bytes(self) -> int:
        """Size at which a segment is followed by another."""
        return self._limit_bytes // SEGMENTS

    def stretches(self) -> list[int]:
        """The segments there are, oldest first; none where the directory cannot be read."""
        try:
            with self._opened_directory() as directory:
                names = os.listdir(directory)
        except OSError:
            return []
        return sorted(number for number in map(_stretch_named, names) if number & 1)

    def write(self, offset: int, kind: int, header: bytes, payload: bytes | bytearray | memoryview) -> int:
        """Writes one frame at `offset`, cutting off whatever stands there.

        Returns:
            Offset just past it.

        Raises:
            SpoolFullError: It does not fit; nothing counts as written.
        """
        size = OVERHEAD_BYTES + len(payload)
        checks = _CHECKS.pack(crc32(header), crc32(payload))
        try:
            with suppress(FileExistsError):
                os.makedirs(self._directory, mode=0o700)
            if kind != Kind.JUMP and self._used_bytes() + size > self._limit_bytes:
                raise SpoolFullError(f"frame of {size} bytes, expected the spool to stay below {self._limit_bytes}")
            with self._opened(stretch_of(offset), os.O_CREAT) as fd:
                os.ftruncate(fd, offset & _POSITION)
                written = os.pwritev(fd, [checks, header, payload], offset & _POSITION)
        except OSError as exc:
            raise SpoolFullError(f"{self._directory}: {exc.strerror}") from exc
        if written < size:
            raise SpoolFullError(f"{self._directory}: {written} of {size} bytes written")
        return offset + size

    def cut(self, offset: int) -> None:
        """Cuts off what stands at `offset`: it does not count."""
        with suppress(OSError), self._opened(stretch_of(offset), 0) as fd:
            os.ftruncate(fd, offset & _POSITION)

    def read(self, offset: int) -> Found:
        """What stands at `offset`.

        Raises:
            BrokenFrameError: No whole frame of ours does.
        """
        try:
            with self._opened(stretch_of(offset), 0) as fd:
                return self._read(fd, offset)
        except OSError as exc:
            raise BrokenFrameError(f"offset {offset}: {exc.strerror}") from exc

    def _read(self, fd: int, offset: int) -> Found:
        head = os.pread(fd, OVERHEAD_BYTES, offset & _POSITION)
        if len(head) < OVERHEAD_BYTES:
            raise BrokenFrameError(f"offset {offset}: the segment ends after {len(head)} bytes of a header")
        header_check, payload_check = _CHECKS.unpack_from(head)
        header = head[_CHECKS.size :]
        if crc32(header) != header_check:
            raise BrokenFrameError(f"offset {offset}: the header's checksum does not match")
        length, number, events, observed_ns, digest = HEADER.unpack(header)
        form = form_of(number)
        most_events = length * MOST_INFLATED if form is not None and form.is_gzip else length
        is_known = number == Kind.JUMP or holds_telemetry(number)
        if length > self._frame_limit_bytes or events > most_events or not is_known:
            raise BrokenFrameError(f"offset {offset}: got kind {number}, {length} bytes and {events} events")
        payload = os.pread(fd, length, (offset & _POSITION) + OVERHEAD_BYTES)
        if len(payload) < length:
            raise BrokenFrameError(f"offset {offset}: the segment ends after {len(payload)} of {length} bytes")
        end = offset + OVERHEAD_BYTES + length
        is_damaged = crc32(payload) != payload_check
        if number == Kind.JUMP and not is_damaged:
            return Found(end, target=jump_target(offset, payload))
        kept = memoryview(b"" if is_damaged else payload)
        return Found(end, Frame(offset, end, events, observed_ns, digest, kept, length if is_damaged else 0, form))

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
        with suppress(OSError), self._opened_directory() as directory:
            for number in self.stretches():
                if number < stretch:
                    with suppress(OSError):  # what is no file, or not ours, was not delivered from
                        os.unlink(_name(number), dir_fd=directory)

    def keep_cursor(self, route: str, offset: int, skip: int) -> None:
        """Writes how far a route has got; a directory that cannot be written keeps nothing, and is delivered again."""
        position = _CURSOR.pack(offset, skip)
        with suppress(OSError), self._opened_directory() as directory:
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            fd = os.open(f"{route}{CURSOR_SUFFIX}", flags, 0o600, dir_fd=directory)
            try:
                os.pwrite(fd, position + _CURSOR_CHECK.pack(crc32(position)), 0)
            finally:
                os.close(fd)

    def cursor(self, route: str) -> tuple[int, int] | None:
        """How far a route had got in what a predecessor left; None where that is not known for sure."""
        try:
            with self._opened_directory() as directory:
                flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
                fd = os.open(f"{route}{CURSOR_SUFFIX}", flags, dir_fd=directory)
        except OSError:
            return None
        try:
            found = os.read(fd, _CURSOR.size + _CURSOR_CHECK.size)
        except OSError:
            return None
        finally:
            os.close(fd)
        position, check = found[: _CURSOR.size], found[_CURSOR.size :]
        if check != _CURSOR_CHECK.pack(crc32(position)):
            return None
        offset, skip = _CURSOR.unpack(position)
        return offset, skip

    def forget_cursor(self, route: str) -> None:
        """Deletes what a route had got to: it is not true any more, or of nothing that is there."""
        with suppress(OSError), self._opened_directory() as directory:
            os.unlink(f"{route}{CURSOR_SUFFIX}", dir_fd=directory)

    def _used_bytes(self) -> int:
        with self._opened_directory() as directory:
            sizes = (os.stat(_name(number), dir_fd=directory, follow_symlinks=False) for number in self.stretches())
            return sum(size.st_size for size in sizes)

    @contextmanager
    def _opened_directory(self) -> Iterator[int]:
        """The directory, which nobody else can have put there.

        Raises:
            OSError: There is none, it is a link, or others may write in it.
        """
        fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            status = os.fstat(fd)
            if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise PermissionError(EPERM, "the directory is somebody else's, or open to others")
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def _opened(self, stretch: int, flags: int) -> Iterator[int]:
        """A segment; open no longer than it is needed, or one that was deleted would go on taking its room.

        Raises:
            OSError: There is none, or what is there is no file of ours.
        """
        with self._opened_directory() as directory:
            # Never through a link, nor blocking as a FIFO would.
            mode = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | flags
            fd = os.open(_name(stretch), mode, 0o600, dir_fd=directory)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise PermissionError(EPERM, "a segment is no file")
            yield fd
        finally:
            os.close(fd)


def _name(stretch: int) -> str:
    return f"{stretch}{SUFFIX}"


def _stretch_named(name: str) -> int:
    """The segment that a file's name means; 0, which is none, for what we would not have written."""
    number = name.removesuffix(SUFFIX)
    is_ours = name.endswith(SUFFIX) and number.isascii() and number.isdigit() and len(number) < len(str(MOST_STRETCHES))
    return int(number) if is_ours else 0
