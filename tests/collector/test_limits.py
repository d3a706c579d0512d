"""Who may stay and who may be read, decided without a socket in use."""

import _socket
from collections.abc import Iterator

import pytest

from collector.connection import Connection
from collector.http_parser import HttpParser
from collector.limits import CONNECTION_BYTES, KEPT_CONNECTIONS, MOST_CONNECTIONS, Connections
from collector.line_parser import LineParser
from collector.timeouts import Timeouts
from tests.collector.support import post

LIMIT = 1 << 20
TIMEOUTS = Timeouts(stall_s=30, request_s=60, pressed_stall_s=1, pressed_request_s=5)


class Room:
    """Connections on socket pairs, and a clock that is set."""

    def __init__(self) -> None:
        self.connections = Connections(LIMIT)
        self.far: list[_socket.socket] = []
        self.now_s = 0.0

    def add(self, *, is_lines: bool = False) -> Connection:
        """A connection."""
        near, far = _socket.socketpair()
        near.setblocking(False)
        self.far.append(far)
        parser = LineParser(LIMIT) if is_lines else HttpParser(LIMIT)
        connection = Connection(near, parser, len(self.far), self.now_s, is_lines=is_lines)
        self.connections.add(connection)
        return connection

    def hear(self, connection: Connection, data: bytes) -> None:
        """The connection sends bytes and they are read."""
        far = self.far[connection.number - 1]
        buffer = memoryview(bytearray(65_536))
        for at in range(0, len(data), 65_536):
            far.sendall(data[at : at + 65_536])
            connection.receive(buffer, self.now_s)
        self.connections.count(connection)

    def readable(self, *, has_waiting: bool = False) -> list[int]:
        """Numbers of those that may be read."""
        return [
            one.number
            for one in self.connections.by_fd.values()
            if self.connections.may_read(one, has_waiting=has_waiting)
        ]


@pytest.fixture
def room() -> Iterator[Room]:
    """An empty room."""
    room = Room()
    yield room
    for connection in room.connections.by_fd.values():
        connection.close()
    for far in room.far:
        far.close()


def test_when_memory_is_short_only_the_request_that_began_first_is_read(room: Room) -> None:
    """It completes and makes room; then the others go on."""
    size = LIMIT - 100
    room.add()
    connections = [room.add() for _ in range(3)]
    for connection in connections:
        room.now_s += 1
        room.hear(connection, post(b"x" * size)[:-10])
    assert room.connections.is_short
    assert room.readable() == [2]
    assert room.readable(has_waiting=True) == []
    room.hear(connections[0], b"x" * 10)
    assert room.readable() == [3]
    connections[0].items.clear()
    room.connections.count(connections[0])
    room.connections.remove(connections[1])
    connections[1].close()
    assert not room.connections.is_short
    assert room.readable() == [1, 2, 4]


def test_memory_allows_a_whole_batch_and_some_of_everyone_else(room: Room) -> None:
    """One batch of the largest size never makes memory short."""
    room.hear(room.add(), post(b"x" * LIMIT)[:-1])
    for _ in range(MOST_CONNECTIONS - 1):
        room.hear(room.add(), post(b"x" * CONNECTION_BYTES)[:-1])
    assert not room.connections.is_short


def test_the_idle_connection_unused_for_longest_gives_way(room: Room) -> None:
    """Never one at work, never the one that just came; one that only has to close goes first."""
    working, old, recent, newest = (room.add() for _ in range(4))
    room.hear(working, b"POST")
    room.now_s = 5
    room.hear(recent, post(b"[]"))
    recent.items.clear()
    assert room.connections.least_useful(newest=newest.number) is old
    recent.end_output(room.now_s)
    assert room.connections.least_useful(newest=newest.number) is recent
    room.connections.remove(recent)
    room.connections.remove(old)
    assert room.connections.least_useful(newest=newest.number) is None
    recent.close()
    old.close()


def test_connections_that_brought_batches_stay_whoever_comes(room: Room) -> None:
    """All idle, those that brought nothing go first, then who has been useless for long, however busy."""
    useful = [room.add() for _ in range(KEPT_CONNECTIONS + 1)]
    for connection in useful:
        connection.has_spoken = connection.has_kept = True
    room.now_s = 5
    idle, busy, newest = (room.add() for _ in range(3))
    room.hear(busy, b"POST")
    assert room.connections.least_useful(newest=newest.number, came_before_s=9) is idle
    room.hear(idle, b"POST")
    assert room.connections.least_useful(newest=newest.number, came_before_s=9) is idle
    assert room.connections.least_useful(newest=newest.number, came_before_s=5) is useful[0]
    room.hear(useful[0], b"POST")
    assert room.connections.least_useful(newest=newest.number, came_before_s=5) is useful[0]
    useful[0].accepted_s = 5
    assert room.connections.least_useful(newest=newest.number, came_before_s=5) is None


def test_one_left_aside_comes_back_when_there_is_a_place(room: Room) -> None:
    """The first one first; meanwhile it takes no place, and is closed like any other."""
    first, second, third = (room.add() for _ in range(3))
    room.connections.set_aside(first)
    room.connections.set_aside(second)
    assert (list(room.connections.by_fd), room.connections.first_aside) == ([third.fd], first)
    assert room.connections.is_pressed
    room.connections.remove(first)
    first.close()
    assert room.connections.taken_back() is second
    assert room.connections.taken_back() is None
    assert not room.connections.is_pressed
    for _ in range(MOST_CONNECTIONS - 2):
        room.add()
    room.connections.set_aside(second)
    room.add()
    assert room.connections.taken_back() is None
    room.connections.remove(second)
    second.close()


def test_a_stream_of_lines_that_spoke_is_never_given_up(room: Room) -> None:
    """The platform would not connect again; of the silent ones the newest goes."""
    platform, first, second, newest = (room.add(is_lines=True) for _ in range(4))
    room.hear(platform, b"{}\n")
    platform.items.clear()
    assert room.connections.least_useful(newest=newest.number) is second
    room.hear(second, b"{")
    assert room.connections.least_useful(newest=newest.number) is first


def test_a_request_has_a_time_between_its_bytes_and_a_time_in_all(room: Room) -> None:
    """One byte now and then does not keep it open for ever; under pressure both are short."""
    connection = room.add()
    assert connection.due_s(TIMEOUTS, is_pressed=True) == float("inf")
    room.hear(connection, b"P")
    assert connection.due_s(TIMEOUTS, is_pressed=False) == 30
    assert connection.due_s(TIMEOUTS, is_pressed=True) == 1
    room.now_s = 29
    room.hear(connection, b"O")
    assert connection.due_s(TIMEOUTS, is_pressed=False) == 59
    room.now_s = 58
    room.hear(connection, b"S")
    assert connection.due_s(TIMEOUTS, is_pressed=False) == 60
    assert connection.due_s(TIMEOUTS, is_pressed=True) == 5


def test_each_request_of_a_connection_has_its_own_time(room: Room) -> None:
    """One that begins in the same read in which another ended began then."""
    connection = room.add()
    room.hear(connection, b"P")
    room.now_s = 29
    room.hear(connection, post(b"[]")[1:] + b"P")
    assert connection.started_s == 29


def test_a_pause_of_ours_does_not_count_against_the_peer(room: Room) -> None:
    """While we do not read it nothing is due, and afterwards the pause is added."""
    connection = room.add()
    room.hear(connection, b"P")
    connection.pause(10)
    assert connection.due_s(TIMEOUTS, is_pressed=True) == float("inf")
    connection.resume(50)
    assert connection.due_s(TIMEOUTS, is_pressed=False) == 80
    assert connection.started_s == 40


def test_an_unfinished_line_is_waited_for_unless_others_need_the_room(room: Room) -> None:
    """A stream has no requests."""
    connection = room.add(is_lines=True)
    room.hear(connection, b"{")
    assert connection.due_s(TIMEOUTS, is_pressed=False) == float("inf")
    assert connection.due_s(TIMEOUTS, is_pressed=True) == 1


def test_an_answer_that_is_not_taken_is_not_waited_for_long(room: Room) -> None:
    """A connection that sends requests and reads no answers is not read either, and is ended."""
    connection = room.add()
    connection.unsent = b"x" * (8 << 20)
    connection.send(3)
    assert connection.unsent
    assert room.readable() == []
    assert connection.due_s(TIMEOUTS, is_pressed=False) == 33
