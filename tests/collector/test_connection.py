"""One connection: how much of what has come is read at once."""

import socket
from collections.abc import Iterator

import pytest

from collector.connection import MOST_READS, Connection
from collector.http_parser import HttpParser, Rooms
from collector.server import READ_BYTES
from tests.collector.support import post

LIMIT_BYTES = 2 * MOST_READS * READ_BYTES


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Ours and the peer's, with room for all that a test sends."""
    ours, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LIMIT_BYTES)
    ours.setblocking(False)
    theirs.settimeout(20)
    with ours, theirs:
        yield ours, theirs


def received(ours: socket.socket) -> Connection:
    """A connection that was told once that there is something to read."""
    connection = Connection(ours, HttpParser(LIMIT_BYTES, Rooms()), 1, 0.0, is_lines=False)
    connection.receive(memoryview(bytearray(READ_BYTES)), 0.0)
    return connection


def test_request_that_is_there_is_read_in_one_turn(ends: tuple[socket.socket, socket.socket]) -> None:
    """Each turn of the loop costs as much as reading 100 KB."""
    ours, theirs = ends
    theirs.sendall(post(bytes(2 * READ_BYTES)))
    assert len(received(ours).items) == 1


def test_one_request_after_another_is_not(ends: tuple[socket.socket, socket.socket]) -> None:
    """Whoever sends many leaves the others their turn."""
    ours, theirs = ends
    theirs.sendall(post(b"[]") * 200)
    assert 0 < len(received(ours).items) < 100
