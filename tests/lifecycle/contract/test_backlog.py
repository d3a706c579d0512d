"""The ring: what is read is what was written, whatever the order of appends, releases and replacements."""

import errno
import mmap
import os
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lifecycle.contract.backlog import FILE_WRITE_BYTES, HEADER_BYTES, Backlog, Writer
from lifecycle.contract.frames import (
    HEADER,
    OTLP_FORMS,
    BacklogFullError,
    BrokenFrameError,
    FrameTooLargeError,
    Kind,
    first_of,
    is_spooled,
)

DIGEST = b"digest12"


def appended(writer: Writer, payload: bytes) -> tuple[int, int]:
    """A frame with a payload that matters, and the rest made up of it."""
    return writer.append(payload, events=len(payload), observed_ns=2**40 + len(payload), digest=DIGEST)


class Ring(RuleBasedStateMachine):
    """A writer, a supervisor that commits what a reader delivered, and what must be in the ring.

    `committed` is what the supervisor would tell a reader to begin at: the end of the last frame delivered, or
    the start of the next one when nothing waited before it.
    """

    @initialize(
        capacity=st.integers(HEADER_BYTES + 1, 300) | st.integers(2, 4).map(lambda n: n * mmap.PAGESIZE),
        before=st.none() | st.integers(0, 1000),
    )
    def begin(self, capacity: int, before: int | None = None) -> None:
        """An empty ring, new or with an offset so many bytes before its stretch ends; of a larger one, pages go."""
        self.backlog = Backlog(capacity, kept_bytes=0)
        self.committed = 0 if before is None else first_of(1) - before - 1
        self.writer = Writer(self.backlog, end=self.committed, released=self.committed)
        self.frames: list[tuple[int, int, bytes]] = []
        self.written = 0
        self.is_heard = True  # the writer knows what is delivered

    @rule(data=st.data())
    def append(self, data: st.DataObject) -> None:
        """A frame of any size, mostly one of which several fit."""
        capacity = self.backlog.capacity_bytes
        self.write(data.draw(st.integers(0, capacity // 4) | st.integers(0, capacity + 2)))

    @rule(data=st.data(), by=st.sampled_from([0, 1, -1]))
    def append_tight(self, data: st.DataObject, by: int) -> None:
        """A frame with which something begins or ends exactly: the ring, what is free, a header's worth of it."""
        capacity = self.backlog.capacity_bytes
        to_end = capacity - self.writer.end % capacity
        free = capacity - (self.writer.end - self.committed)
        edge = data.draw(st.sampled_from([free, free - to_end, to_end, to_end - HEADER_BYTES, capacity]))
        self.write(max(edge - HEADER_BYTES + by, 0))

    def write(self, size: int) -> None:
        """Appends, and expects what must come of it."""
        capacity = self.backlog.capacity_bytes
        self.written += 1
        payload = (b"%d/" % self.written * size)[:size]
        end = self.writer.end
        try:
            start, self_end = appended(self.writer, payload)
        except FrameTooLargeError:
            assert size > capacity - HEADER_BYTES
        except BacklogFullError:
            assert self.frames or not self.is_heard, "an empty ring takes every frame that fits it"
            assert end == self.writer.end
        else:
            assert start >= end
            assert self_end == self.writer.end == start + HEADER_BYTES + size
            if not self.frames:
                self.committed = start
            self.frames.append((start, self_end, payload))

    @precondition(lambda self: self.frames)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        """Some of the frames are delivered, and the writer is told."""
        for _ in range(data.draw(st.integers(1, len(self.frames)))):
            self.deliver_first()

    def deliver_first(self) -> None:
        """The oldest frame, if any, is delivered, and the writer is told."""
        if not self.frames:
            return
        self.committed = self.frames.pop(0)[1]
        self.writer.release(self.committed)
        self.is_heard = True

    @precondition(lambda self: self.frames)
    @rule()
    def deliver_unheard(self) -> None:
        """A frame is delivered and the word of it is still under way."""
        self.committed = self.frames.pop(0)[1]
        self.is_heard = False

    @rule(back=st.integers(0, 1000))
    def release_again(self, back: int) -> None:
        """An old release changes nothing."""
        self.writer.release(self.committed - back)

    @rule()
    def replace_writer(self) -> None:
        """Another process goes on from what the supervisor knows."""
        self.writer = Writer(self.backlog, end=self.writer.end, released=self.committed)
        self.is_heard = True

    @invariant()
    def holds_what_was_written(self) -> None:
        """Every frame not delivered is there, whole, in order, from wherever a reader may begin."""
        if not hasattr(self, "writer"):
            return
        for since in (self.committed, *(start for start, _, _ in self.frames)):
            read = list(self.backlog.frames(since, self.writer.end if self.frames else since))
            assert [(f.start, f.end, bytes(f.payload)) for f in read] == [f for f in self.frames if f[0] >= since]
            assert all(
                (f.events, f.observed_ns, f.digest) == (len(f.payload), 2**40 + len(f.payload), DIGEST) for f in read
            )

    @invariant()
    def stays_out_of_the_spool(self) -> None:
        """The offsets of files are none of the ring's."""
        assert not any(is_spooled(start) or is_spooled(end - 1) for start, end, _ in getattr(self, "frames", ()))

    @invariant()
    def keeps_within_its_capacity(self) -> None:
        """What is between the oldest frame and the end is never more than the ring."""
        if hasattr(self, "writer") and self.frames:
            assert self.writer.end - self.committed <= self.backlog.capacity_bytes


TestRing = Ring.TestCase
TestRing.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("way", ["as to a file", "by its mapping", "without such files", "with files limited"])
def test_frame_is_whole_whichever_way_it_is_written(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same ring takes both; where the C library or the kernel has no files of memory there is one."""
    if way == "without such files":
        monkeypatch.delattr(os, "memfd_create")
    elif way == "with files limited":
        monkeypatch.setattr(os, "ftruncate", refused)
    backlog = Backlog(4 * FILE_WRITE_BYTES)
    writer = Writer(backlog, end=0, released=0)
    size = FILE_WRITE_BYTES - HEADER_BYTES - (way == "by its mapping")
    payloads = [bytes([letter]) * size for letter in b"abcdefghij"]
    for payload in payloads:
        start, end = appended(writer, payload)
        appended(writer, b"small")
        for written in (payload, b"small"):
            frame = next(backlog.frames(start, writer.end))
            assert (bytes(frame.payload), frame.digest) == (written, DIGEST)
            start = frame.end
        writer.release(writer.end if payload < b"e" else end)


def refused(fd: int, size: int) -> None:
    """As ftruncate(2) is by RLIMIT_FSIZE."""
    raise OSError(errno.EFBIG, f"{size} bytes for {fd}")


def test_large_frame_is_no_memory_of_whoever_writes_it() -> None:
    """No page is touched for it: to have each one cleared and mapped takes as long as all else that is done with it."""
    backlog = Backlog(64 * FILE_WRITE_BYTES, kept_bytes=0)
    writer = Writer(backlog, end=0, released=0)
    mapped = mapped_bytes(backlog)
    appended(writer, bytes(32 * FILE_WRITE_BYTES))
    assert mapped_bytes(backlog) == mapped
    assert sum(next(backlog.frames(0, writer.end)).payload) == 0
    assert mapped_bytes(backlog) >= mapped + 32 * FILE_WRITE_BYTES


def mapped_bytes(backlog: Backlog) -> int:
    """How much of the ring this process has touched."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    found = 0
    for line in lines:
        if "tailrace-backlog" in line:
            size, rss = (next(other for other in lines if other.startswith(name)) for name in ("Size:", "Rss:"))
            found += int(rss.split()[1]) * 1024 if int(size.split()[1]) * 1024 == backlog.capacity_bytes else 0
    return found


def test_ring_that_nobody_has_any_more_leaves_no_descriptor() -> None:
    """It is a file of memory."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    backlog = Backlog(65_536)
    assert len(list(Path("/proc/self/fd").iterdir())) > before
    del backlog
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("seed", range(10))
def test_a_ring_kept_full_to_the_last_byte_overwrites_nothing(seed: int) -> None:
    """A long walk along the edges: frames that end exactly where room, ring or header end, one byte more or less."""
    dice = Random(seed)
    ring = Ring()
    ring.begin(dice.randint(HEADER_BYTES * 3, HEADER_BYTES * 8))
    for _ in range(2000):
        capacity = ring.backlog.capacity_bytes
        to_end = capacity - ring.writer.end % capacity
        free = capacity - (ring.writer.end - ring.committed)
        edge = dice.choice([free, free - to_end, to_end, to_end - HEADER_BYTES, dice.randint(0, capacity // 2)])
        ring.write(max(edge - HEADER_BYTES + dice.choice([-1, 0, 1]), 0))
        ring.holds_what_was_written()
        ring.keeps_within_its_capacity()
        if len(ring.frames) > 1 or dice.random() < 0.1:
            ring.deliver_first()


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=20), st.integers(1, 8))
def test_a_stream_longer_than_the_ring_passes_through_it(payloads: list[bytes], behind: int) -> None:
    """A reader that stays some frames behind reads every frame as it was written."""
    backlog = Backlog(behind * (HEADER_BYTES + 30) + 2 * (HEADER_BYTES + 30))
    writer = Writer(backlog, end=0, released=0)
    waiting: list[tuple[int, int]] = []
    out = []
    for payload in payloads:
        waiting.append(appended(writer, payload))
        if len(waiting) > behind:
            start, end = waiting.pop(0)
            out += [bytes(frame.payload) for frame in backlog.frames(start, end)]
            writer.release(end)
    for start, end in waiting:
        out += [bytes(frame.payload) for frame in backlog.frames(start, end)]
    assert out == payloads


def test_a_quiet_ring_touches_its_beginning_only() -> None:
    """Each frame delivered before the next: all begin at the ring's start, and the jump shows in `start`."""
    backlog = Backlog(64 * mmap.PAGESIZE)
    writer = Writer(backlog, end=0, released=0)
    for turn in range(300):
        start, end = appended(writer, b"x" * 1000)
        assert start == turn * backlog.capacity_bytes
        writer.release(end)
    assert not any(backlog.memory[mmap.PAGESIZE :])


@pytest.mark.parametrize("kept_pages", [0, 8])
def test_a_ring_takes_as_much_memory_as_waits_in_it(kept_pages: int) -> None:
    """And what is used first; whatever passed through it before."""
    backlog = Backlog(64 * mmap.PAGESIZE, kept_bytes=kept_pages * mmap.PAGESIZE)
    writer = Writer(backlog, end=0, released=0)
    waiting = []
    for _ in range(300):
        waiting.append(appended(writer, b"x" * 2500))
        if len(waiting) > 20:
            writer.release(waiting.pop(0)[1])
            waiting_pages = 20 * (2500 + HEADER_BYTES) // mmap.PAGESIZE
            assert resident_pages(backlog) <= waiting_pages + kept_pages + 3
    for start, end in waiting:
        assert [bytes(frame.payload) for frame in backlog.frames(start, end)] == [b"x" * 2500]


def resident_pages(backlog: Backlog) -> int:
    """Pages of the ring that hold anything: those given back are zeros again."""
    return sum(any(backlog.memory[at : at + mmap.PAGESIZE]) for at in range(0, backlog.capacity_bytes, mmap.PAGESIZE))


def test_a_frame_that_can_never_fit_is_told_from_one_that_does_not_fit_now() -> None:
    """One waits for room, the other is refused for good; neither changes anything."""
    backlog = Backlog(HEADER_BYTES + 100)
    writer = Writer(backlog, end=0, released=0)
    with pytest.raises(FrameTooLargeError, match=f"{HEADER_BYTES + 101} bytes, expected no more than"):
        appended(writer, b"x" * 101)
    _, end = appended(writer, b"x" * 100)
    with pytest.raises(BacklogFullError, match="0 free"):
        appended(writer, b"")
    assert writer.end == end
    writer.release(end)
    appended(writer, b"y" * 100)


def test_an_offset_inside_a_frame_is_not_taken_for_one() -> None:
    """A reader told a wrong range says so and does not make up records."""
    backlog = Backlog(1000)
    writer = Writer(backlog, end=0, released=0)
    _, end = appended(writer, b"\xff" * 100)
    with pytest.raises(BrokenFrameError, match="offset 40"):
        list(backlog.frames(40, end))
    with pytest.raises(BrokenFrameError, match=f"expected a frame that ends by {end - 1}"):
        list(backlog.frames(0, end - 1))


def test_a_ring_that_is_emptied_again_and_again_never_jams() -> None:
    """Each delivery that empties it costs a lap: 65,536 of them, of the largest backlog, fill a stretch of offsets."""
    capacity = 1 << 28
    backlog = Backlog(capacity)
    for laps_left in range(4):
        end = first_of(1) - laps_left * capacity - 1
        writer = Writer(backlog, end=end, released=end)
        for number in range(6):
            start, end = appended(writer, b"%d" % number)
            assert [bytes(frame.payload) for frame in backlog.frames(start, end)] == [b"%d" % number]
            writer.release(end)


def test_frame_says_of_an_otlp_request_what_it_holds_and_how() -> None:
    """Signal, encoding and compression; a batch of the platform's has no form."""
    backlog = Backlog(10_000)
    writer = Writer(backlog, end=0, released=0)
    for form in (*OTLP_FORMS, None):
        writer.append(b"payload", events=3, observed_ns=7, digest=DIGEST, form=form)
    frames = list(backlog.frames(0, writer.end))
    assert [frame.form for frame in frames] == [*OTLP_FORMS, None]
    assert {(frame.events, bytes(frame.payload)) for frame in frames} == {(3, b"payload")}
    assert {(form.signal, form.encoding) for form in OTLP_FORMS} == {
        (signal, encoding) for signal in ("logs", "traces", "metrics") for encoding in ("http/protobuf", "http/json")
    }


def test_kind_that_is_none_is_a_broken_frame() -> None:
    """One past the last form, and one between the kinds."""
    for kind in (Kind.OTLP + len(OTLP_FORMS), Kind.OTLP - 1, Kind.JUMP + 1):
        backlog = Backlog(1000)
        HEADER.pack_into(backlog.memory, 0, 5, kind, 1, 7, DIGEST)
        with pytest.raises(BrokenFrameError, match=f"got kind {int(kind)}"):
            list(backlog.frames(0, HEADER_BYTES + 5))
