"""Batches out of bytes: one list of conversations, fed whole, byte by byte, cut anywhere, and with a tail."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.http_parser import (
    CHUNKED_PORTION_BYTES,
    HEADER_LIMIT_BYTES,
    KEPT_ROOM_BYTES,
    PORTION_BYTES,
    ROOM_FROM_BYTES,
    HttpParser,
    Rooms,
)
from collector.messages import Batch, Continue, Item, Problem
from tests.collector.support import chunked, post

LIMIT = 1000

# What is sent → what it says, as (status or body, whether the connection goes on).
CASES: dict[str, tuple[bytes, list[tuple[int | bytes, bool]]]] = {
    "sized": (post(b"[1]"), [(b"[1]", True)]),
    "chunked": (chunked(b"[1,2,3,4,5,6,7,8]"), [(b"[1,2,3,4,5,6,7,8]", True)]),
    "chunk extensions and trailers": (
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\n[1]\r\n0\r\nX: y\r\n\r\n",
        [(b"[1]", True)],
    ),
    "no body": (b"POST / HTTP/1.1\r\n\r\n", [(b"", True)]),
    "largest body": (post(b"x" * LIMIT), [(b"x" * LIMIT, True)]),
    "pipelined": (post(b"[1]") + chunked(b"[2]") + post(b"[3]"), [(b"[1]", True), (b"[2]", True), (b"[3]", True)]),
    "blank lines between": (b"\r\n\r\n" + post(b"[1]") + b"\r\n" + post(b"[2]"), [(b"[1]", True), (b"[2]", True)]),
    "close": (post(b"[1]", "Connection: close"), [(b"[1]", False)]),
    "1.0": (post(b"[1]", version="1.0"), [(b"[1]", False)]),
    "1.0 kept": (post(b"[1]", "Connection: keep-alive", version="1.0"), [(b"[1]", True)]),
    "method": (post(b"body", method="PUT") + post(b"[1]"), [(405, True), (b"[1]", True)]),
    "method, expecting": (post(b"", "Expect: 100-continue", method="PUT"), [(405, False)]),
    "method, closing": (post(b"", "Connection: close", method="GET"), [(405, False)]),
    "connect": (b"CONNECT a:1 HTTP/1.1\r\n\r\n", [(405, False)]),
    "too large": (post(b"x" * (LIMIT + 1)), [(413, False)]),
    "too large by far": (b"POST / HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n\r\n", [(413, False)]),
    "too large in chunks": (chunked(b"x" * (LIMIT + 1)), [(413, False)]),
    "good, then bad": (post(b"[1]") + b"nonsense\r\n\r\n", [(b"[1]", True), (400, False)]),
    "not HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", [(400, False)]),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [(400, False)]),
    "two lengths": (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", [(400, False)]),
    "length and chunks": (
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        [(400, False)],
    ),
    "negative length": (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", [(400, False)]),
    "bad chunk": (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", [(400, False)]),
    "upgrade": (post(b"[1]", "Connection: Upgrade", "Upgrade: h2c"), [(400, False)]),
    "long header": (b"POST / HTTP/1.1\r\nX: " + b"x" * HEADER_LIMIT_BYTES + b"\r\n\r\n", [(431, False)]),
    "long header without end": (b"POST / HTTP/1.1\r\nA: b\r\nX: " + b"x" * 2 * HEADER_LIMIT_BYTES, [(431, False)]),
    "many headers": (b"POST / HTTP/1.1\r\n" + b"X: 12345678\r\n" * 2000 + b"\r\n", [(431, False)]),
    "long target": (b"POST /" + b"x" * HEADER_LIMIT_BYTES + b" HTTP/1.1\r\n\r\n", [(431, False)]),
    "long trailer": (chunked(b"[1]")[:-2] + b"X: " + b"x" * HEADER_LIMIT_BYTES + b"\r\n\r\n", [(431, False)]),
}
cases = pytest.mark.parametrize(("sent", "said"), CASES.values(), ids=CASES.keys())

# Whether bodies of known length are read into a room: what is said is the same.
rooms = pytest.mark.parametrize("rooms", [None, Rooms(least_bytes=1)], ids=["in pieces", "in rooms"])


def fed(pieces: Iterable[bytes], intake: HttpParser | None = None) -> list[Item]:
    """What an intake says to pieces."""
    intake = intake or HttpParser(LIMIT)
    return [whole(item) for piece in pieces for item in intake.receive(memoryview(piece))]


def whole(item: Item) -> Item:
    """The item with a body of its own: that of a room is another's once nobody has it any more."""
    return Batch(bytes(item.body), item.keep_alive) if isinstance(item, Batch) else item


def shown(items: Iterable[Item]) -> list[tuple[int | bytes, bool]]:
    """Items as the cases have them."""
    out: list[tuple[int | bytes, bool]] = []
    for item in items:
        if isinstance(item, Batch):
            out.append((bytes(item.body), item.keep_alive))
        elif isinstance(item, Problem):
            out.append((item.status, item.keep_alive))
    return out


@rooms
@cases
def test_fed_whole(sent: bytes, said: list[tuple[int | bytes, bool]], rooms: Rooms | None) -> None:
    """All at once."""
    assert shown(fed([sent], HttpParser(LIMIT, rooms))) == said


@rooms
@cases
def test_fed_byte_by_byte(sent: bytes, said: list[tuple[int | bytes, bool]], rooms: Rooms | None) -> None:
    """A byte at a time."""
    assert shown(fed((bytes((byte,)) for byte in sent), HttpParser(LIMIT, rooms))) == said


@rooms
@cases
def test_fed_with_trailing_data(sent: bytes, said: list[tuple[int | bytes, bool]], rooms: Rooms | None) -> None:
    """A request behind it is read where the connection goes on, else discarded."""
    tail = post(b"[9]")
    expected = [*said, (b"[9]", True)] if said[-1][1] else said
    assert shown(fed([sent + tail], HttpParser(LIMIT, rooms))) == expected
    assert shown(fed([sent, tail], HttpParser(LIMIT, rooms))) == expected


@given(st.data())
def test_cut_anywhere_it_says_the_same(data: st.DataObject) -> None:
    """Any sequence of requests, cut anywhere."""
    names = data.draw(st.lists(st.sampled_from(sorted(CASES)), min_size=1, max_size=4))
    sent = b"".join(CASES[name][0] for name in names)
    said: list[tuple[int | bytes, bool]] = []
    for name in names:
        said += CASES[name][1]
        if not said[-1][1]:
            break
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=12)))
    pieces = [sent[at:end] for at, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    assert shown(fed(pieces)) == said
    assert shown(fed(pieces, HttpParser(LIMIT, Rooms(least_bytes=1)))) == said


def test_continue_is_asked_for_once_the_headers_are_read_and_only_then() -> None:
    """Not before the headers end, not when the body is there already, not for HTTP/1.0, not for an empty body."""
    request = post(b"[1]", "Expect: 100-continue", "X: y")
    head, body = request[:-3], request[-3:]
    intake = HttpParser(LIMIT)
    assert fed([head[:-2]], intake) == []
    assert fed([head[-2:]], intake) == [Continue()]
    assert fed([body], intake) == [Batch(b"[1]")]
    assert fed([request]) == [Batch(b"[1]")]
    assert fed([request[:-1]]) == []
    assert fed([post(b"[1]", "Expect: 100-continue", version="1.0")[:-3]]) == []
    assert fed([post(b"", "Expect: 100-continue")]) == [Batch(b"")]


def test_a_body_too_large_is_refused_before_it_comes() -> None:
    """The length alone says so, also to a peer that waits for 100 Continue."""
    head = post(b"x" * 5000, "Expect: 100-continue")[:-5000]
    assert [item.body_bytes for item in fed([head]) if isinstance(item, Problem)] == [5000]


def test_a_problem_says_what_came_and_what_was_expected() -> None:
    """Every field of it."""
    assert fed([post(b"", method="HEAD")]) == [Problem("bad_method", 405, "HEAD", "POST", is_head=True)]


@pytest.mark.parametrize(
    "endless", [b"\r\n", b"x", b"1;" + b"x" * 100], ids=["blank lines", "a name", "chunk extension"]
)
def test_what_never_ends_is_refused_and_never_kept(endless: bytes) -> None:
    """Blank lines, a header, a chunk extension without end."""
    intake = HttpParser(LIMIT)
    if endless == b"x":
        intake.receive(b"POST / HTTP/1.1\r\n")
    elif endless != b"\r\n":
        intake.receive(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;")
        endless = endless[2:]
    items = fed((endless for _ in range(20_000)), intake)
    assert shown(items) == [(431, False)]


def test_a_body_in_tiny_chunks_takes_no_more_memory_than_its_bytes() -> None:
    """The account is of bytes, and bytes is what is kept."""
    intake = HttpParser(LIMIT)
    fed([chunked(b"x" * 900, 1)[:-5]], intake)
    assert intake.buffered_bytes == 900
    assert intake.is_within


def test_much_is_read_only_of_what_is_one_body() -> None:
    """Where it may be many requests, a turn of the loop must not be filled by one peer's."""
    intake = HttpParser(1 << 20)
    assert intake.read_bytes == PORTION_BYTES
    fed([post(b"x" * 500_000)[:-500_000]], intake)
    assert intake.read_bytes == 500_000 + PORTION_BYTES
    fed([b"x" * 499_999], intake)
    assert intake.read_bytes == 1 + PORTION_BYTES
    fed([b"x"], intake)
    assert intake.read_bytes == PORTION_BYTES
    fed([chunked(b"x" * 900, 900)[:-7]], intake)
    assert intake.read_bytes == CHUNKED_PORTION_BYTES
    assert shown(fed([b"\r\n0\r\nContent-Length: 900000\r\n"], intake)) == [(400, False)]


def test_the_end_of_a_connection_inside_a_request_is_a_problem() -> None:
    """Between two requests it is none."""
    intake = HttpParser(LIMIT)
    fed([post(b"[1]")], intake)
    assert intake.finish() == []
    fed([post(b"[1]")[:-1]], intake)
    assert intake.finish() == [
        Problem("cut_off", 400, "2 bytes of a body", "a complete request", body_bytes=2, keep_alive=False)
    ]
    assert fed([post(b"[1]")], intake) == []


def test_bodies_of_usual_size_share_one_room_one_after_another() -> None:
    """No memory is taken for the second: pages that are new cost as much as all else that is done with a body."""
    intake = HttpParser(1 << 20, Rooms())
    seen = []
    for letter in (b"a", b"b"):
        for item in intake.receive(post(letter * ROOM_FROM_BYTES)):
            assert isinstance(item, Batch)
            assert isinstance(item.body, memoryview)
            assert item.body == letter * ROOM_FROM_BYTES
            seen.append(item.body.obj)
            del item
    assert seen[0] is seen[1]


def test_who_comes_while_the_room_is_taken_has_no_memory_for_what_is_but_announced() -> None:
    """Whoever is still at it, a body that waits for room in the backlog say, finds in it what was written."""
    rooms = Rooms()
    first, second, third = (HttpParser(1 << 20, rooms) for _ in range(3))
    half = ROOM_FROM_BYTES // 2
    for letter, parser in ((b"a", first), (b"b", second)):
        assert parser.receive(post(letter * ROOM_FROM_BYTES)[:-half]) == []
        assert parser.buffered_bytes == half
    assert third.receive(post(b"c" * (KEPT_ROOM_BYTES + 1))[:-1]) == []
    assert (second.room, third.room) == (None, None)
    assert first.room is not None
    first.room[:] = b"a" * half
    assert second.receive(b"b" * half) == [Batch(b"b" * ROOM_FROM_BYTES)]
    assert first.received(half) == [Batch(memoryview(b"a" * ROOM_FROM_BYTES))]
    assert third.receive(b"c") == [Batch(b"c" * (KEPT_ROOM_BYTES + 1))]


def test_body_that_is_chunked_or_small_has_no_room() -> None:
    """How long it is becomes known as it ends; or there is nothing to gain."""
    for request in (chunked(b"x" * 50_000, 50_000), post(b"x" * (ROOM_FROM_BYTES - 1))):
        intake = HttpParser(1 << 20, Rooms())
        intake.receive(request[:-100])
        assert intake.is_within
        assert intake.room is None
