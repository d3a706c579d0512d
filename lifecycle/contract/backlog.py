"""The shared ring of frames between collector and shipper.

Shared memory made before the fork, so it outlives any worker. A frame never wraps, the rest of the ring
before it is skipped. There is one writer and one reader, and an offset counts only once it came over a pipe: nothing
here is a lock or is read to find out how far the other side got.

When nothing is waiting, the next frame starts at the ring's beginning, so a quiet function touches a few pages and not
the whole ring. The jump shows as a `start` past the previous `end`. After more than that, what is delivered goes back
to the kernel: the ring takes as much memory as waits in it, not as much as ever did.

With a spool, a ring that stays full goes on in files: a jump frame in the ring says where. Until everything in the
spool is delivered what comes goes there, so that the order stays; then the ring is used again.
"""

import mmap
import os
from collections.abc import Iterator

from lifecycle.contract.frames import (
    DIGEST_BYTES,
    HEADER,
    TARGET_BYTES,
    BacklogFullError,
    BrokenFrameError,
    Frame,
    FrameTooLargeError,
    Kind,
    OtlpForm,
    first_of,
    form_of,
    holds_telemetry,
    is_spooled,
    jump_target,
    kind_of,
    stretch_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lifecycle.contract.spool import Found, Spool

HEADER_BYTES = HEADER.size
_NO_DIGEST = bytes(DIGEST_BYTES)

# Of the ring's beginning so much stays, for it is used first: a batch of the platform's default size.
KEPT_BYTES = 256 * 1024

# From this size on a frame is written to the ring as to a file: where its pages are new, they are not cleared first,
# and none has to be asked for by touching it, which takes twice as long. Smaller frames mostly find the pages there.
FILE_WRITE_BYTES = 16 * 1024

# Kept free behind every frame where there is a spool: a jump to it, and what that would skip at the ring's end.
_JUMP_BYTES = 2 * (HEADER_BYTES + TARGET_BYTES)


class Backlog:
    """The memory itself. Made once, before the fork.

    Args:
        capacity_bytes: Size of the ring, headers included.
        spool: Where it overflows to; None: nowhere.
        kept_bytes: Of the ring's beginning, what is never given back to the kernel: a multiple of a page's size.
    """

    def __init__(self, capacity_bytes: int, spool: "Spool | None" = None, *, kept_bytes: int = KEPT_BYTES) -> None:
        self.capacity_bytes = capacity_bytes
        self.kept_bytes = kept_bytes
        self.spool = spool
        # The memory as a file; -1 where the C library is older than such files, or the kernel has none.
        self._fd = _memory_file(capacity_bytes)
        self.memory = mmap.mmap(self._fd, capacity_bytes)
        self._view = memoryview(self.memory)

    def __del__(self) -> None:
        """Gives the descriptor back: the mapping has one of its own."""
        if getattr(self, "_fd", -1) >= 0:
            os.close(self._fd)

    def write(self, at: int, header: bytes, payload: bytes | bytearray | memoryview) -> None:
        """Writes a frame, which does not wrap, at a place in the memory."""
        size = len(header) + len(payload)
        if self._fd >= 0 and size >= FILE_WRITE_BYTES:
            try:
                if os.pwritev(self._fd, (header, payload), at) == size:
                    return
            except OSError:
                pass  # or a part of it: what is wrong with the memory is found out as with any other
        self._view[at : at + len(header)] = header
        self._view[at + len(header) : at + size] = payload

    def frames(self, since: int, until: int) -> Iterator[Frame]:
        """The frames in [since, until), oldest first.

        Raises:
            BrokenFrameError: `since` is not where a frame starts, or `until` not where one ends.
        """
        offset = since
        while offset < until:
            if is_spooled(offset):
                found = self._spooled(offset)
                if found.frame is not None:
                    yield found.frame
                offset = found.target or found.end
                continue
            at = offset % self.capacity_bytes
            room = self.capacity_bytes - at
            if room < HEADER_BYTES:
                offset += room
                continue
            length, kind, events, observed_ns, digest = HEADER.unpack_from(self._view, at)
            end = offset + HEADER_BYTES + length
            is_kept = holds_telemetry(kind)
            if not (is_kept or kind <= Kind.JUMP) or length > room - HEADER_BYTES or end > until:
                raise BrokenFrameError(
                    f"offset {offset}: got kind {kind} and {length} bytes, expected a frame that ends by {until}"
                )
            payload = self._view[at + HEADER_BYTES : at + HEADER_BYTES + length]
            if is_kept:
                yield Frame(offset, end, events, observed_ns, digest, payload, form=form_of(kind))
            offset = jump_target(offset, payload) if kind == Kind.JUMP else end

    def boundary(self, since: int, at_least: int, at_most: int) -> int:
        """Where the first frame begins that does so at `at_least` or later, or else `at_most`."""
        starts = (frame.start for frame in self.frames(since, at_most))
        return next((start for start in starts if start >= at_least), at_most)

    def _spooled(self, offset: int) -> "Found":
        if self.spool is None:
            raise BrokenFrameError(f"offset {offset} lies in the spool, and there is none")
        return self.spool.read(offset)


def _memory_file(size: int) -> int:
    fd = -1
    try:
        fd = os.memfd_create("tailrace-backlog", os.MFD_CLOEXEC)
        os.ftruncate(fd, size)
    except (AttributeError, OSError):
        if fd >= 0:  # it may not be that large, by a limit of the process's on files
            os.close(fd)
        return -1
    return fd


# Which event of a frame: the frame's offset, and the event's index in it; `ALL_OF_IT` for the frame as a whole,
# `SEVERAL` for some of it that are read together: which of them it was is not known.
Place = tuple[int, int]
ALL_OF_IT, SEVERAL = 2**32, 2**32 + 1


class UnderWay:
    """At which event the shipper is, in memory that outlives it: so its successor knows what it may have died of."""

    # The place under way, its index counted from 1; how many places are remembered; the places.
    _FRAME, _INDEX, _COUNT, _PLACES = 0, 1, 2, 4
    _MOST_PLACES = 128

    def __init__(self) -> None:
        self.words = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")

    def enter(self, frame: int, index: int) -> None:
        """An event is begun."""
        self.words[self._FRAME] = frame
        self.words[self._INDEX] = index + 1

    def leave(self) -> None:
        """None is under way."""
        self.words[self._INDEX] = 0

    def places(self) -> frozenset[Place]:
        """Where shippers died so far. To be asked once by each, before it begins.

        Where one died and another again, which left that event alone, it is not the event: it is the frame.
        """
        words, first = self.words, self._PLACES
        count = words[self._COUNT]
        found = [(words[first + 2 * at], words[first + 2 * at + 1]) for at in range(count)]
        if words[self._INDEX]:
            place = words[self._FRAME], words[self._INDEX] - 1
            if place in found:
                place = words[self._FRAME], ALL_OF_IT
            found = [*found, place][-self._MOST_PLACES :] if place not in found else found
            for at, (frame, index) in enumerate(found):
                words[first + 2 * at], words[first + 2 * at + 1] = frame, index
            words[self._COUNT] = len(found)
            self.leave()
        return frozenset(found)


class Writer:
    """The collector's end.

    Args:
        backlog: The ring.
        end: Offset where the last reported frame ended.
        released: Everything before this offset may be written over.
    """

    def __init__(self, backlog: Backlog, *, end: int, released: int) -> None:
        self._backlog = backlog
        self._spool = backlog.spool
        self._kept_free = 0 if backlog.spool is None else _JUMP_BYTES
        self._memory = memoryview(backlog.memory)
        self.end = end
        self.released = self._returned = released

    @property
    def can_spill(self) -> bool:
        """Whether there is a spool for what the ring does not take."""
        return self._spool is not None

    def frames(self) -> Iterator[Frame]:
        """What is not released yet, oldest first.

        Raises:
            BrokenFrameError: What is released does not end where a frame does.
        """
        return self._backlog.frames(self.released, self.end)

    def release(self, through: int) -> None:
        """Frees everything before `through`; an older offset changes nothing."""
        if through <= self.released:
            return
        if self._spool is not None and stretch_of(through) > stretch_of(self.released):
            self._spool.discard_before(stretch_of(through))
        if stretch_of(through) == stretch_of(self.end) and not is_spooled(through):
            self._give_back(through)
        self.released = through
        if is_spooled(self.end) and through >= self.end:
            self._return_to_ring()

    def _give_back(self, through: int) -> None:
        """Gives the kernel back the ring's pages before `through` that nothing waits in."""
        capacity = self._backlog.capacity_bytes
        since = max(self._returned, self.end - capacity)  # what lies before that has been written over
        while since < through:
            lap = since - since % capacity
            first, last = since - lap, min(through - lap, capacity)
            first = max(first + -first % mmap.PAGESIZE, self._backlog.kept_bytes)
            last -= last % mmap.PAGESIZE if last < capacity else 0
            if first < last:
                try:
                    self._backlog.memory.madvise(mmap.MADV_REMOVE, first, last - first)
                except OSError:  # a kernel that cannot: nothing is lost but memory
                    self._backlog.kept_bytes = capacity
            since = max(since, lap + last)
            if last < capacity:
                break
        self._returned = since

    def recover(self) -> Iterator[Frame]:
        """Goes on behind what the spool holds past `end`: left by a predecessor, or by an environment before a reset.

        Yields:
            The frames found, oldest first; each is to be reported as stored.
        """
        if self._spool is None:
            return
        from lifecycle.contract.spool import SpoolFullError

        for stretch in self._spool.stretches():
            if stretch < stretch_of(self.end):
                continue
            offset = max(self.end, first_of(stretch))
            if stretch > stretch_of(self.end):
                # The jump may not have been written, and its segment may have broken off.
                try:
                    self._jump(self.end, offset)
                except SpoolFullError:
                    return
            for found in self._spool.found(stretch, offset):
                self.end = found.target or found.end
                if found.frame is not None:
                    yield found.frame

    def append(
        self,
        payload: bytes | bytearray | memoryview,
        *,
        events: int,
        observed_ns: int,
        digest: bytes,
        spills: bool = False,
        form: OtlpForm | None = None,
    ) -> tuple[int, int]:
        """Writes one frame.

        Args:
            payload: The batch, or the OTLP request.
            events: Telemetry events in it.
            observed_ns: When it was received, nanoseconds since the epoch.
            digest: 8 bytes that name it.
            spills: Whether it may go to the spool when the ring is full.
            form: Of the OTLP request; None: it is a batch.

        Returns:
            Its start and end. `start` may lie past the previous end.

        Raises:
            BacklogFullError: There is no room until more is released; nothing was written.
            FrameTooLargeError: There will never be; nothing was written.
        """
        capacity = self._backlog.capacity_bytes
        needed = HEADER_BYTES + len(payload)
        if needed + self._kept_free > capacity:
            raise FrameTooLargeError(f"frame of {needed} bytes, expected no more than {capacity - self._kept_free}")
        kind = kind_of(form)
        header = HEADER.pack(len(payload), kind, events, observed_ns, digest)
        if is_spooled(self.end):
            if self.released < self.end:
                return self._append_spooled(self.end, kind, header, payload)
            self._return_to_ring()
        at = self.end % capacity
        room = capacity - at
        start, released = self.end, self.released
        if released >= self.end:  # nothing waits
            start = released = self._restarted(self.end)
            if start > self.end:
                self._returned = start
        elif needed > room:
            start = self.end + room
        after = start + needed + self._kept_free
        if after > released + capacity or after >= first_of(stretch_of(start) + 1):
            if spills and self._spool is not None:
                return self._append_spooled(first_of(stretch_of(self.end) + 1), kind, header, payload)
            raise BacklogFullError(f"frame of {needed} bytes, {capacity - (self.end - released)} free")
        if start > self.end and released < start and room >= HEADER_BYTES:
            HEADER.pack_into(self._memory, at, room - HEADER_BYTES, Kind.SKIP, 0, 0, _NO_DIGEST)
        at = start % capacity
        self._backlog.write(at, header, payload)
        self.released = released
        self.end = start + needed
        return start, self.end

    def _restarted(self, offset: int) -> int:
        """Where an empty ring goes on: at its beginning.

        Each lap costs offsets: where those of the stretch come to their end, it is the next stretch of the ring's.
        """
        capacity = self._backlog.capacity_bytes
        start = offset + -offset % capacity
        if start + capacity >= first_of(stretch_of(offset) + 1):
            start = first_of(stretch_of(offset) + 2)
            start += -start % capacity
        return start

    def _append_spooled(
        self, start: int, kind: int, header: bytes, payload: bytes | bytearray | memoryview
    ) -> tuple[int, int]:
        from lifecycle.contract.spool import SpoolFullError

        spool = self._spool
        if spool is None:
            raise BacklogFullError("the spool is gone")
        stretch = stretch_of(start)
        if start - first_of(stretch) >= spool.segment_bytes:
            start = first_of(stretch + 2)
        try:
            end = spool.write(start, kind, header, payload)
            if stretch_of(start) != stretch_of(self.end):
                self._lead_on(spool, start)
        except SpoolFullError as exc:
            raise BacklogFullError(str(exc)) from exc
        self.end = end
        return start, end

    def _lead_on(self, spool: "Spool", start: int) -> None:
        """Has the backlog go on at a frame of the spool, or takes the frame back: a successor would find it there.

        Raises:
            SpoolFullError: There is no room for the jump.
        """
        from lifecycle.contract.spool import SpoolFullError

        try:
            self._jump(self.end, start)
        except SpoolFullError:
            spool.cut(start)
            raise

    def _jump(self, offset: int, target: int) -> None:
        """Writes at `offset` that the backlog goes on at `target`."""
        header = HEADER.pack(TARGET_BYTES, Kind.JUMP, 0, 0, _NO_DIGEST)
        payload = target.to_bytes(TARGET_BYTES, "little")
        if is_spooled(offset) and self._spool is not None:
            self._spool.write(offset, Kind.JUMP, header, payload)
            return
        capacity = self._backlog.capacity_bytes
        at = offset % capacity
        room = capacity - at
        if room < HEADER_BYTES + TARGET_BYTES:
            if room >= HEADER_BYTES:
                HEADER.pack_into(self._memory, at, room - HEADER_BYTES, Kind.SKIP, 0, 0, _NO_DIGEST)
            at = 0
        self._memory[at : at + HEADER_BYTES + TARGET_BYTES] = header + payload

    def _return_to_ring(self) -> None:
        """The spool is delivered: its files go, and offsets go on in the ring."""
        after = stretch_of(self.end) + 1
        if self._spool is not None:
            self._spool.discard_before(after)
        self.end = self.released = self._returned = first_of(after)
