"""The spool: order, bounds, what a crash or a reset leaves, and what damage does."""

import os
import tracemalloc
from binascii import crc32
from collections import deque
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lifecycle.contract.backlog import Backlog, Writer
from lifecycle.contract.frames import (
    HEADER,
    OTLP_FORMS,
    BacklogFullError,
    BrokenFrameError,
    Frame,
    Kind,
    OtlpForm,
    first_of,
    is_spooled,
    kind_of,
)
from lifecycle.contract.spool import Spool, SpoolFullError

DIGEST = b"digest12"


def backlog_of(directory: Path, capacity: int = 1000, limit: int = 10_000) -> Backlog:
    return Backlog(capacity, Spool(str(directory), limit, frame_limit_bytes=capacity))


def appended(writer: Writer, payload: bytes) -> tuple[int, int]:
    return writer.append(payload, events=len(payload), observed_ns=7, digest=DIGEST, spills=True)


def payloads(backlog: Backlog, since: int, until: int) -> list[bytes]:
    return [bytes(frame.payload) for frame in backlog.frames(since, until)]


def test_what_the_ring_does_not_take_goes_to_files_and_is_read_in_order(tmp_path: Path) -> None:
    """Ring first, then the files, each frame as it was stored."""
    backlog = backlog_of(tmp_path / "spool")
    writer = Writer(backlog, end=0, released=0)
    written = [bytes([65 + number]) * 200 for number in range(12)]
    ends = [appended(writer, payload)[1] for payload in written]
    assert not is_spooled(ends[0])
    assert is_spooled(ends[-1])
    assert payloads(backlog, 0, ends[-1]) == written


def test_otlp_requests_are_spooled_and_found_again_by_their_forms(tmp_path: Path) -> None:
    """Spans of a compressed request may be more than its bytes; nobody's are more than gzip can hold."""
    backlog = backlog_of(tmp_path / "spool", capacity=1000)
    writer = Writer(backlog, end=0, released=0)
    appended(writer, b"x" * 800)
    since = writer.end
    for form in OTLP_FORMS:
        writer.append(
            b"y" * 100, events=101 if form.is_gzip else 100, observed_ns=7, digest=DIGEST, spills=True, form=form
        )
    assert [frame.form for frame in backlog.frames(0, writer.end)] == [None, *OTLP_FORMS]
    successor = Writer(backlog, end=since, released=0)
    assert [(frame.form, frame.events) for frame in successor.recover()] == [
        (form, 101 if form.is_gzip else 100) for form in OTLP_FORMS
    ]


@pytest.mark.parametrize(("is_gzip", "most"), [(False, 100), (True, 103_200)])
def test_more_items_than_an_otlp_request_can_hold_are_no_frame_of_ours(
    most: int, tmp_path: Path, *, is_gzip: bool
) -> None:
    """A file may say anything."""
    spool = Spool(str(tmp_path / "spool"), 10_000, frame_limit_bytes=1000)
    kind = kind_of(OtlpForm("traces", "http/protobuf", is_gzip))
    for events in (most, most + 1):
        spool.write(first_of(1), kind, HEADER.pack(100, kind, events, 7, DIGEST), bytes(100))
        found = [one.frame.events for one in spool.found(1, first_of(1)) if one.frame]
        assert found == ([events] if events <= most else [])


def test_nothing_is_spooled_while_the_ring_has_room(tmp_path: Path) -> None:
    """No file, no directory: a quiet function writes nothing."""
    backlog = backlog_of(tmp_path / "spool")
    writer = Writer(backlog, end=0, released=0)
    for _ in range(50):
        _, end = appended(writer, b"x" * 300)
        writer.release(end)
    assert not (tmp_path / "spool").exists()


def test_without_leave_to_spill_a_full_ring_refuses(tmp_path: Path) -> None:
    """First the platform is asked to wait."""
    writer = Writer(backlog_of(tmp_path / "spool"), end=0, released=0)
    writer.append(b"x" * 700, events=1, observed_ns=7, digest=DIGEST)
    with pytest.raises(BacklogFullError):
        writer.append(b"x" * 700, events=1, observed_ns=7, digest=DIGEST)
    assert not (tmp_path / "spool").exists()


def test_delivered_spool_is_deleted_and_the_ring_used_again(tmp_path: Path) -> None:
    """Until everything in it is delivered, what comes goes there, so that the order stays."""
    backlog = backlog_of(tmp_path / "spool")
    writer = Writer(backlog, end=0, released=0)
    written = [b"%03d" % number + b"." * 300 for number in range(6)]
    for payload in written[:5]:
        _, end = appended(writer, payload)
    writer.release(900)
    assert is_spooled(appended(writer, written[5])[1])
    assert payloads(backlog, 0, writer.end) == written
    writer.release(writer.end)
    start, end = appended(writer, b"again")
    assert not is_spooled(end)
    assert list((tmp_path / "spool").iterdir()) == []
    assert payloads(backlog, start, end) == [b"again"]


def test_files_never_hold_more_than_the_limit(tmp_path: Path) -> None:
    """Past it the backlog is full, and says so."""
    backlog = backlog_of(tmp_path / "spool", limit=4000)
    writer = Writer(backlog, end=0, released=0)
    with pytest.raises(BacklogFullError):
        deque((appended(writer, b"x" * 300) for _ in range(100)), maxlen=0)
    used = sum(path.stat().st_size for path in (tmp_path / "spool").iterdir())
    assert 3000 < used <= 4000 + 100  # a jump between segments is not counted


def test_delivered_segment_gives_its_room_back(tmp_path: Path) -> None:
    """A spool that is read and written at once does not end at its limit."""
    backlog = backlog_of(tmp_path / "spool", limit=8000)
    writer = Writer(backlog, end=0, released=0)
    waiting: deque[tuple[int, bytes]] = deque()
    read = 0
    for number in range(200):
        payload = b"%04d" % number + b"." * 300
        waiting.append((appended(writer, payload)[1], payload))
        if len(waiting) > 15:
            end, expected = waiting.popleft()
            assert payloads(backlog, read, end) == [expected]
            read = end
            writer.release(end)
    assert payloads(backlog, read, writer.end) == [payload for _, payload in waiting]


def test_reset_environment_finds_what_the_last_one_left(tmp_path: Path) -> None:
    """The ring is gone with it, the files are not."""
    first = Writer(backlog_of(tmp_path / "spool"), end=0, released=0)
    written = [b"%03d" % number + b"." * 300 for number in range(20)]
    spooled = [payload for payload in written if is_spooled(appended(first, payload)[1])]
    backlog = backlog_of(tmp_path / "spool")
    writer = Writer(backlog, end=0, released=0)
    found = list(writer.recover())
    assert [bytes(frame.payload) for frame in found] == spooled
    assert [frame.digest for frame in found] == [DIGEST] * len(spooled)
    appended(writer, b"new")
    assert payloads(backlog, found[0].start, writer.end) == [*spooled, b"new"]


@pytest.mark.parametrize("cut", range(1, 45))
def test_torn_last_frame_is_skipped(tmp_path: Path, cut: int) -> None:
    """Somebody was killed while writing it; it was never acknowledged."""
    first = Writer(backlog_of(tmp_path / "spool", capacity=200), end=0, released=0)
    for payload in (b"a" * 100, b"b" * 100, b"c" * 8):
        appended(first, payload)
    (segment,) = (tmp_path / "spool").iterdir()
    os.truncate(segment, segment.stat().st_size - cut)
    backlog = backlog_of(tmp_path / "spool", capacity=200)
    writer = Writer(backlog, end=0, released=0)
    found = list(writer.recover())
    assert [bytes(frame.payload) for frame in found] == [b"b" * 100]
    appended(writer, b"new")
    assert payloads(backlog, found[0].start, writer.end) == [b"b" * 100, b"new"]


def test_successor_goes_on_behind_what_was_reported(tmp_path: Path) -> None:
    """A collector that was killed before it reported its last frame: the frame is found, and reported now."""
    backlog = backlog_of(tmp_path / "spool")
    first = Writer(backlog, end=0, released=0)
    for payload in (b"a" * 700, b"b" * 700):
        _, reported = appended(first, payload)
    appended(first, b"c" * 700)
    second = Writer(backlog, end=reported, released=0)
    assert [bytes(frame.payload) for frame in second.recover()] == [b"c" * 700]
    appended(second, b"d")
    assert payloads(backlog, 0, second.end) == [b"a" * 700, b"b" * 700, b"c" * 700, b"d"]


def test_successor_of_one_killed_between_ring_and_spool_finds_the_way(tmp_path: Path) -> None:
    """The frame was in the file, the ring did not yet say so."""
    backlog = backlog_of(tmp_path / "spool")
    first = Writer(backlog, end=0, released=0)
    _, reported = appended(first, b"a" * 700)
    appended(first, b"b" * 700)
    backlog.memory[reported : reported + 50] = bytes(50)
    second = Writer(backlog, end=reported, released=0)
    (found,) = second.recover()
    assert payloads(backlog, 0, found.end) == [b"a" * 700, b"b" * 700]


def test_damaged_payload_is_told_and_the_next_frame_read(tmp_path: Path) -> None:
    """How many records it held is still known."""
    backlog = backlog_of(tmp_path / "spool")
    writer = Writer(backlog, end=0, released=0)
    appended(writer, b"a" * 700)
    start, _ = appended(writer, b"b" * 700)
    appended(writer, b"c" * 7)
    (segment,) = (tmp_path / "spool").iterdir()
    with segment.open("r+b") as file:
        file.seek(200)
        file.write(b"X")
    frames = list(backlog.frames(start, writer.end))
    assert [(frame.damaged_bytes, frame.events, bytes(frame.payload)) for frame in frames] == [
        (700, 700, b""),
        (0, 7, b"c" * 7),
    ]


def test_damaged_header_is_a_broken_frame(tmp_path: Path) -> None:
    """What cannot be counted is not passed over."""
    backlog = backlog_of(tmp_path / "spool")
    writer = Writer(backlog, end=0, released=0)
    appended(writer, b"a" * 700)
    start, end = appended(writer, b"b" * 700)
    (segment,) = (tmp_path / "spool").iterdir()
    with segment.open("r+b") as file:
        file.seek(9)
        file.write(b"\xff")
    with pytest.raises(BrokenFrameError, match="checksum"):
        list(backlog.frames(start, end))


def test_files_are_the_owners_alone_and_no_link_is_followed(tmp_path: Path) -> None:
    """The directory is in a place where others may write."""
    writer = Writer(backlog_of(tmp_path / "spool"), end=0, released=0)
    appended(writer, b"a" * 700)
    (tmp_path / "spool").mkdir()
    target = tmp_path / "victim"
    target.write_text("precious")
    (tmp_path / "spool" / "1.frames").symlink_to(target)
    with pytest.raises(BacklogFullError):
        appended(writer, b"b" * 700)
    assert target.read_text() == "precious"
    (tmp_path / "spool" / "1.frames").unlink()
    appended(writer, b"b" * 700)
    assert (tmp_path / "spool" / "1.frames").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "name", ["\u00b21.frames", "9" * 30 + ".frames", "17592186044417.frames", "x.frames", "-1.frames"]
)
def test_files_that_are_not_ours_are_left_alone(tmp_path: Path, name: str) -> None:
    """The function may write there, too: nothing is made of what nobody here would have called so."""
    file = tmp_path / f"{name}.frames"
    file.write_bytes(b"junk" * 100)
    writer = Writer(backlog_of(tmp_path), end=0, released=0)
    assert list(writer.recover()) == []
    for number in range(20):
        _, end = appended(writer, bytes([65 + number]) * 300)
        writer.release(end)
    assert file.exists()


def test_directory_in_a_segments_place_does_not_keep_others_from_being_deleted(tmp_path: Path) -> None:
    """The function may have made it; the collector is not to die of it."""
    (tmp_path / "1.frames").mkdir()
    (tmp_path / "3.frames").write_bytes(b"delivered")
    Spool(str(tmp_path), 1000, frame_limit_bytes=1000).discard_before(5)
    assert [path.name for path in tmp_path.iterdir()] == ["1.frames"]


def test_directory_that_cannot_be_made_is_a_full_backlog(tmp_path: Path) -> None:
    """The platform keeps the batch."""
    (tmp_path / "file").write_text("")
    writer = Writer(backlog_of(tmp_path / "file" / "spool"), end=0, released=0)
    appended(writer, b"a" * 700)
    with pytest.raises(BacklogFullError):
        appended(writer, b"b" * 700)


def test_frame_that_was_refused_is_not_found_by_a_successor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk has room for it, and then none to say where it is: the platform keeps the batch, and sends it again."""
    backlog = backlog_of(tmp_path / "spool", limit=8000)
    writer = Writer(backlog, end=0, released=0)
    for name in (b"a", b"b", b"c"):
        appended(writer, name * 700)
    write = Spool.write

    def write_no_jump(spool: Spool, offset: int, kind: int, header: bytes, payload: bytes) -> int:
        if kind == Kind.JUMP:
            raise SpoolFullError("no space left")
        return write(spool, offset, kind, header, payload)

    with monkeypatch.context() as patched:
        patched.setattr(Spool, "write", write_no_jump)
        with pytest.raises(BacklogFullError):
            appended(writer, b"d" * 700)
    successor = Writer(backlog, end=writer.end, released=0)
    assert list(successor.recover()) == []
    appended(successor, b"d" * 700)
    assert payloads(backlog, 0, successor.end) == [name * 700 for name in (b"a", b"b", b"c", b"d")]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60, deadline=None
)
@given(
    story=st.lists(
        st.tuples(st.sampled_from(["append", "append", "deliver", "crash"]), st.integers(1, 400)), max_size=50
    )
)
def test_whatever_happens_everything_reported_is_read_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, story: list[tuple[str, int]]
) -> None:
    """Through the ring, the spool and back, over any number of crashed collectors."""
    backlog = backlog_of(tmp_path_factory.mktemp("story") / "spool", capacity=600, limit=6000)
    writer = Writer(backlog, end=0, released=0)
    waiting: deque[tuple[int, int, bytes]] = deque()
    shipped = end = number = 0
    for what, size in story:
        if what == "append":
            payload = b"%06d" % number + b"." * size
            number += 1
            try:
                start, new_end = appended(writer, payload)
            except BacklogFullError:
                continue
            if shipped == end:
                shipped = start
            end = new_end
            waiting.append((start, end, payload))
        elif what == "deliver" and waiting:
            _, through, payload = waiting.popleft()
            assert payloads(backlog, shipped, through) == [payload]
            shipped = through
            writer.release(through)
        elif what == "crash":
            writer = Writer(backlog, end=end, released=shipped)
            assert list(writer.recover()) == []
        assert payloads(backlog, shipped, end) == [payload for _, _, payload in waiting]


def test_frame_says_what_it_is(tmp_path: Path) -> None:
    """Also when it comes from a file: time and digest are the ring's."""
    backlog = backlog_of(tmp_path / "spool")
    writer = Writer(backlog, end=0, released=0)
    appended(writer, b"a" * 700)
    start, end = appended(writer, b"b" * 400)
    (frame,) = backlog.frames(start, end)
    assert frame == Frame(start, end, 400, 7, DIGEST, memoryview(b"b" * 400))


def forged(kind: int, payload: bytes, *, length: int | None = None, events: int = 1) -> bytes:
    """A frame as anybody can write it into a file: checksums and all."""
    header = HEADER.pack(len(payload) if length is None else length, kind, events, 7, DIGEST)
    return crc32(header).to_bytes(4, "little") + crc32(payload).to_bytes(4, "little") + header + payload


def target(offset: int) -> bytes:
    return offset.to_bytes(8, "little")


def spool_with(directory: Path, **segments: bytes) -> Backlog:
    """A backlog that finds such files; `_1` is the segment of the first stretch."""
    directory.mkdir(mode=0o700)
    for name, content in segments.items():
        (directory / f"{name[1:]}.frames").write_bytes(content)
    return backlog_of(directory)


BATCH = forged(Kind.BATCH, b"a" * 30, events=3)


@pytest.mark.parametrize("to", [0, 17, first_of(1), first_of(1) + len(BATCH), first_of(1) + 9999, 2**63, 2**64 - 1])
def test_jump_that_leads_nowhere_ahead_is_the_end(tmp_path: Path, to: int) -> None:
    """To itself, back, or past all offsets: whoever followed it would go in circles."""
    backlog = spool_with(tmp_path / "spool", _1=BATCH + forged(Kind.JUMP, target(to)) + BATCH)
    writer = Writer(backlog, end=0, released=0)
    assert [bytes(frame.payload) for frame in writer.recover()] == [b"a" * 30]
    appended(writer, b"new")
    assert payloads(backlog, first_of(1), writer.end) == [b"a" * 30, b"new"]


@pytest.mark.parametrize(
    "frame",
    [
        forged(Kind.BATCH, b"", length=2_000_000_000),
        forged(Kind.BATCH, b"", length=2**32 - 1),
        forged(Kind.BATCH, b"a" * 30, events=2**32 - 1),
        forged(Kind.SKIP, b"a" * 30),
        forged(7, b"a" * 30),
        forged(Kind.JUMP, b"short"),
    ],
)
def test_header_is_not_believed(tmp_path: Path, frame: bytes) -> None:
    """Neither memory nor counts that a file asks for: what follows is cut off."""
    backlog = spool_with(tmp_path / "spool", _1=BATCH + frame)
    os.truncate(tmp_path / "spool" / "1.frames", 3_000_000_000)  # it has the room, and takes none
    tracemalloc.start()
    try:
        found = list(Writer(backlog, end=0, released=0).recover())
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert [(bytes(one.payload), one.events) for one in found] == [(b"a" * 30, 3)]


def test_directory_that_is_not_ours_alone_is_not_used(tmp_path: Path) -> None:
    """A link, one that others may write in, somebody else's: nothing is read of it or written to it."""
    real = tmp_path / "real"
    spool_with(real, _1=BATCH)
    (tmp_path / "link").symlink_to(real)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "open" / "1.frames").write_bytes(BATCH)
    refused = [tmp_path / "link", tmp_path / "open"]
    if os.geteuid() == 0:
        refused.append(tmp_path / "other")
        spool_with(refused[-1], _1=BATCH)
        os.chown(refused[-1], 1234, 1234)
    for directory in refused:
        writer = Writer(backlog_of(directory), end=0, released=0)
        assert list(writer.recover()) == []
        appended(writer, b"a" * 700)
        with pytest.raises(BacklogFullError):
            appended(writer, b"b" * 700)
    assert len(list(Writer(backlog_of(real), end=0, released=0).recover())) == 1


def test_segment_that_is_no_file_is_none(tmp_path: Path) -> None:
    """Nobody waits at a FIFO."""
    backlog = spool_with(tmp_path / "spool")
    os.mkfifo(tmp_path / "spool" / "1.frames")
    writer = Writer(backlog, end=0, released=0)
    assert list(writer.recover()) == []
    appended(writer, b"a" * 700)
    with pytest.raises(BacklogFullError):
        appended(writer, b"b" * 700)


def test_delivered_file_is_not_kept_open(tmp_path: Path) -> None:
    """It would go on taking its room."""
    backlog = backlog_of(tmp_path / "spool")
    writer = Writer(backlog, end=0, released=0)
    for name in (b"a", b"b", b"c"):
        appended(writer, name * 700)
    assert len(payloads(backlog, 0, writer.end)) == 3
    writer.release(writer.end)
    opened = [str(fd.readlink()) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]
    assert not [name for name in opened if str(tmp_path) in name]


FRAMES = st.builds(
    forged,
    st.sampled_from([Kind.SKIP, Kind.BATCH, Kind.JUMP, Kind.OTLP, 7]),
    st.binary(max_size=30)
    | st.builds(target, st.sampled_from([0, first_of(1), first_of(2), first_of(3), first_of(4), first_of(7), 2**63])),
    length=st.none() | st.sampled_from([0, 5, 1000, 2**32 - 1]),
    events=st.integers(0, 40) | st.just(2**32 - 1),
)
FILES = st.lists(FRAMES | st.binary(max_size=50), max_size=5).map(b"".join)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=200, deadline=None
)
@given(files=st.dictionaries(st.sampled_from(["_1", "_2", "_3", "_5", "_7"]), FILES, max_size=4))
def test_whatever_lies_in_the_files_what_is_reported_is_read_and_the_spool_goes_on(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    """Nothing is raised or gone round in, and what comes behind it is stored and read like any other."""
    backlog = spool_with(tmp_path_factory.mktemp("files") / "spool", **files)
    writer = Writer(backlog, end=0, released=0)
    found = list(writer.recover())
    new = [b"new" * 100 for _ in range(9)]
    start = appended(writer, new[0])[0]
    for payload in new[1:]:
        appended(writer, payload)
    read = list(backlog.frames(found[0].start if found else start, writer.end))
    assert [(one.start, one.events) for one in read[: len(found)]] == [(one.start, one.events) for one in found]
    assert [bytes(one.payload) for one in read[len(found) :]] == new


def test_position_of_a_route_is_found_again(tmp_path: Path) -> None:
    """Each route has its own; the last one counts."""
    spool = Spool(str(tmp_path), 10_000, frame_limit_bytes=1000)
    spool.keep_cursor("default", 2**62, 7)
    spool.keep_cursor("archive", 5, 0)
    spool.keep_cursor("archive", 2**44 + 99, 3)
    again = Spool(str(tmp_path), 10_000, frame_limit_bytes=1000)
    assert (again.cursor("default"), again.cursor("archive")) == ((2**62, 7), (2**44 + 99, 3))
    again.forget_cursor("archive")
    assert again.cursor("archive") is None
    assert spool.stretches() == []


@given(damage=st.binary(max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=50)
def test_position_that_is_not_whole_is_none(tmp_path: Path, damage: bytes) -> None:
    """Everything is delivered again then, under the same ids: nothing that a file says may lose a record."""
    spool = Spool(str(tmp_path), 10_000, frame_limit_bytes=1000)
    spool.keep_cursor("archive", 2**44, 3)
    place = tmp_path / "archive.cursor"
    whole = place.read_bytes()
    place.write_bytes(damage)
    assert (spool.cursor("archive") is None) is (damage[: len(whole)] != whole)


def test_position_is_not_read_through_a_link(tmp_path: Path) -> None:
    """Nor from a pipe, for which it would wait."""
    spool = Spool(str(tmp_path / "spool"), 10_000, frame_limit_bytes=1000)
    (tmp_path / "spool").mkdir(mode=0o700)
    spool.keep_cursor("default", 1, 1)
    (tmp_path / "spool" / "linked.cursor").symlink_to(tmp_path / "spool" / "default.cursor")
    os.mkfifo(tmp_path / "spool" / "pipe.cursor")
    assert (spool.cursor("linked"), spool.cursor("pipe"), spool.cursor("missing")) == (None, None, None)
    spool.keep_cursor("linked", 5, 5)
    assert spool.cursor("default") == (1, 1)


def test_first_frame_at_or_behind_an_offset_is_a_boundary(tmp_path: Path) -> None:
    """Also where that lies in files; the end where none begins so late."""
    backlog = backlog_of(tmp_path / "spool")
    writer = Writer(backlog, end=0, released=0)
    ends = [appended(writer, bytes(200))[1] for _ in range(8)]
    starts = [frame.start for frame in backlog.frames(0, ends[-1])]
    assert [backlog.boundary(0, start, ends[-1]) for start in starts] == starts
    assert backlog.boundary(0, starts[-1] + 1, ends[-1]) == ends[-1]
    assert backlog.boundary(0, first_of(1), ends[-1]) == next(start for start in starts if is_spooled(start))
