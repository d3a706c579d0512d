"""What is answered, without a socket in use."""

import _socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from collector.connection import Connection
from collector.handler import MOST_LINES, OK, OK_AND_CLOSE, Handler, refusal
from collector.http_parser import HttpParser
from collector.messages import Batch, Problem
from collector.store import Store
from collector.timeouts import Timeouts
from lifecycle.contract import wire
from lifecycle.contract.backlog import Backlog, Writer
from lifecycle.contract.log import Log
from lifecycle.contract.spool import Spool
from tests.collector.support import KEY, batch, event


class Desk:
    """A handler with a backlog of its own, and what it said."""

    def __init__(self, *, spool: Spool | None = None) -> None:
        self.sent: list[wire.Message] = []
        self.lines: list[bytes] = []
        log = Log("collector", write=self.lines.append)
        self.writer = Writer(Backlog(4096, spool), end=0, released=0)
        store = Store(self.writer, self.sent.append, [], KEY, log)
        self.handler = Handler(store, self.sent.append, Timeouts(room_s=2.0), log)
        self.sockets: list[_socket.socket] = []

    def connection(self) -> Connection:
        """A connection that nothing is read of."""
        near, far = _socket.socketpair()
        self.sockets += [near, far]
        return Connection(near, HttpParser(4096), len(self.sockets), 0.0, is_lines=False)


@pytest.fixture
def desk() -> Iterator[Desk]:
    """A desk that is cleared afterwards."""
    desk = Desk()
    yield desk
    for sock in desk.sockets:
        sock.close()


def test_batch_is_acknowledged_as_its_connection_goes_on(desk: Desk) -> None:
    """Kept alive or not; after the last answer nothing more is handled."""
    connection = desk.connection()
    connection.items.extend([Batch(batch(event("a"))), Batch(batch(event("b")), keep_alive=False), Batch(b"[]")])
    desk.handler.handle(connection, 0.0)
    assert connection.unsent == OK + OK_AND_CLOSE
    assert connection.is_ending
    assert len(connection.items) == 1


def test_batch_without_room_waits_in_line_and_is_refused_after_its_time(desk: Desk) -> None:
    """503 says when to come again; who waited behind it is served then."""
    first, second = desk.connection(), desk.connection()
    first.items.extend([Batch(batch(event("a" * 3000))), Batch(batch(event("b" * 3000)))])
    second.items.append(Batch(batch(event("c"))))
    desk.handler.handle(first, 1.0)
    desk.handler.handle(second, 1.5)
    assert (first.unsent, second.unsent) == (OK, b"")
    assert (desk.handler.has_waiting, desk.handler.due_s) == (True, 3.0)
    assert desk.handler.advance(2.9) == []
    assert desk.handler.advance(3.0) == [first, second]
    assert b"503" in first.unsent
    assert b"Retry-After: 1\r\n" in first.unsent
    assert second.unsent == OK
    assert not desk.handler.has_waiting


def test_release_makes_room_for_who_waits(desk: Desk) -> None:
    """At once, and in order."""
    connection = desk.connection()
    connection.items.extend([Batch(batch(event("a" * 3000))), Batch(batch(event("b" * 3000)))])
    desk.handler.handle(connection, 0.0)
    assert desk.handler.release(desk.writer.end, 0.5) == [connection]
    assert connection.unsent == OK + OK


@pytest.mark.parametrize("is_head", [False, True])
def test_refusal_says_what_came_and_what_was_expected(*, is_head: bool) -> None:
    """In JSON, but for a HEAD, whose answer has no body."""
    answer = refusal(Problem("bad_method", 405, "PUT", "POST", keep_alive=False, is_head=is_head))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 405 Method Not Allowed\r\nAllow: POST\r\n")
    assert b"Connection: close" in head
    expected = {"error": "bad_method", "got": "PUT", "expected": "POST"}
    assert body == (b"" if is_head else msgspec.json.encode(expected))


def test_every_refusal_is_reported_and_few_are_logged(desk: Desk) -> None:
    """Ten lines of a reason, the last of which says that it is; other reasons have their own ten."""
    connection = desk.connection()
    for _ in range(50):
        desk.handler.refuse(connection, Problem("malformed", 400, "this", "that", 7))
    desk.handler.refuse(connection, Problem("full", 503, "this", "that", 7))
    assert desk.sent == [wire.Refused(reason="malformed", status=400, body_bytes=7)] * 50 + [
        wire.Refused(reason="full", status=503, body_bytes=7)
    ]
    assert len(desk.lines) == MOST_LINES + 1
    assert [b"further_lines" in line for line in desk.lines] == [False] * 9 + [True, False]


def test_room_is_asked_for_once_until_something_changes() -> None:
    """A batch does not fit: whoever can make room is told, and again only when what was made is not enough."""
    desk = Desk()
    fits = batch(event("x" * 1800))
    first, second = desk.connection(), desk.connection()
    first.items.extend([Batch(fits), Batch(batch(event("y" * 1800))), Batch(batch(event("z" * 1800)))])
    desk.handler.handle(first, 0.0)
    assert desk.sent.count(wire.Crowded()) == 1
    second.items.append(Batch(batch(event("w" * 1800))))
    desk.handler.handle(second, 0.1)
    desk.handler.advance(0.2)
    assert desk.sent.count(wire.Crowded()) == 1
    desk.handler.release(1895, 0.3)
    assert desk.sent.count(wire.Crowded()) == 2
    for sock in desk.sockets:
        sock.close()


def test_room_is_asked_for_only_when_the_files_are_full_as_well(tmp_path: Path) -> None:
    """Where there is a spool it comes first."""
    desk = Desk(spool=Spool(str(tmp_path), 4096, frame_limit_bytes=4096))
    connection = desk.connection()
    connection.items.extend([Batch(batch(event(letter * 1500))) for letter in "abcd"])
    desk.handler.handle(connection, 0.0)
    desk.handler.advance(1.0)
    desk.handler.advance(2.0)
    assert connection.waiting is None
    assert list(tmp_path.glob("*.frames"))
    assert wire.Crowded() not in desk.sent
    connection.items.append(Batch(batch(event("e" * 1500))))
    desk.handler.handle(connection, 3.0)
    desk.handler.advance(4.0)
    assert desk.sent.count(wire.Crowded()) == 1
    for sock in desk.sockets:
        sock.close()
