"""Who may stay and who may be read, decided without a socket in use."""

import _socket
from collections.abc import Iterator

import pytest

from collector.connection import Peer
from collector.http_parser import HttpIntake
from collector.limits import KEPT_PEERS, MOST_PEERS, PEER_BYTES, Peers
from collector.line_parser import LineIntake
from collector.refusals import MOST_LINES, Refusals
from collector.timeouts import SLACK_S, TICK_S, AwakeClock, Patience, wait_s
from lifecycle.contract import wire
from lifecycle.contract.log import Log
from tests.collector.support import post

LIMIT = 1 << 20
PATIENCE = Patience(stall_s=30, request_s=60, pressed_stall_s=1, pressed_request_s=5)


class Room:
    """Peers on socket pairs, and a clock that is told."""

    def __init__(self) -> None:
        self.peers = Peers(LIMIT)
        self.far: list[_socket.socket] = []
        self.now_s = 0.0

    def add(self, *, is_lines: bool = False) -> Peer:
        """A connection."""
        near, far = _socket.socketpair()
        near.setblocking(False)
        self.far.append(far)
        intake = LineIntake(LIMIT) if is_lines else HttpIntake(LIMIT)
        peer = Peer(near, intake, len(self.far), self.now_s, is_lines=is_lines)
        self.peers.add(peer)
        return peer

    def hear(self, peer: Peer, data: bytes) -> None:
        """The peer sends bytes and they are read."""
        far = self.far[peer.number - 1]
        buffer = memoryview(bytearray(65_536))
        for at in range(0, len(data), 65_536):
            far.sendall(data[at : at + 65_536])
            peer.receive(buffer, self.now_s)
        self.peers.count(peer)

    def readable(self, *, is_holding: bool = False) -> list[int]:
        """Numbers of those that may be read."""
        return [p.number for p in self.peers.by_fd.values() if self.peers.may_read(p, is_holding=is_holding)]


@pytest.fixture
def room() -> Iterator[Room]:
    """An empty room."""
    room = Room()
    yield room
    for peer in room.peers.by_fd.values():
        peer.close()
    for far in room.far:
        far.close()


def test_when_memory_is_short_only_the_request_that_began_first_is_read(room: Room) -> None:
    """It completes and makes room; then the others go on."""
    size = LIMIT - 100
    room.add()
    peers = [room.add() for _ in range(3)]
    for peer in peers:
        room.now_s += 1
        room.hear(peer, post(b"x" * size)[:-10])
    assert room.peers.is_short
    assert room.readable() == [2]
    assert room.readable(is_holding=True) == []
    room.hear(peers[0], b"x" * 10)
    assert room.readable() == [3]
    peers[0].items.clear()
    room.peers.count(peers[0])
    room.peers.remove(peers[1])
    peers[1].close()
    assert not room.peers.is_short
    assert room.readable() == [1, 2, 4]


def test_memory_allows_a_whole_batch_and_some_of_everyone_else(room: Room) -> None:
    """One batch of the largest size never makes memory short."""
    room.hear(room.add(), post(b"x" * LIMIT)[:-1])
    for _ in range(MOST_PEERS - 1):
        room.hear(room.add(), post(b"x" * PEER_BYTES)[:-1])
    assert not room.peers.is_short


def test_the_idle_connection_unused_for_longest_gives_way(room: Room) -> None:
    """Never one at work, never the one that just came; one that only has to close goes first."""
    working, old, recent, newest = (room.add() for _ in range(4))
    room.hear(working, b"POST")
    room.now_s = 5
    room.hear(recent, post(b"[]"))
    recent.items.clear()
    assert room.peers.dispensable(newest=newest.number) is old
    recent.end_output(room.now_s)
    assert room.peers.dispensable(newest=newest.number) is recent
    room.peers.remove(recent)
    room.peers.remove(old)
    assert room.peers.dispensable(newest=newest.number) is None
    recent.close()
    old.close()


def test_connections_that_brought_batches_stay_whoever_comes(room: Room) -> None:
    """All idle, those that brought nothing go first, then who has been useless for long, however busy."""
    useful = [room.add() for _ in range(KEPT_PEERS + 1)]
    for peer in useful:
        peer.has_spoken = peer.has_kept = True
    room.now_s = 5
    idle, busy, newest = (room.add() for _ in range(3))
    room.hear(busy, b"POST")
    assert room.peers.dispensable(newest=newest.number, came_before_s=9) is idle
    room.hear(idle, b"POST")
    assert room.peers.dispensable(newest=newest.number, came_before_s=9) is idle
    assert room.peers.dispensable(newest=newest.number, came_before_s=5) is useful[0]
    room.hear(useful[0], b"POST")
    assert room.peers.dispensable(newest=newest.number, came_before_s=5) is None


def test_a_stream_of_lines_that_spoke_is_never_given_up(room: Room) -> None:
    """The platform would not connect again; of the silent ones the newest goes."""
    platform, first, second, newest = (room.add(is_lines=True) for _ in range(4))
    room.hear(platform, b"{}\n")
    platform.items.clear()
    assert room.peers.dispensable(newest=newest.number) is second
    room.hear(second, b"{")
    assert room.peers.dispensable(newest=newest.number) is first


def test_a_request_has_a_time_between_its_bytes_and_a_time_in_all(room: Room) -> None:
    """One byte now and then does not keep it open for ever; under pressure both are short."""
    peer = room.add()
    assert peer.due_s(PATIENCE, is_pressed=True) == float("inf")
    room.hear(peer, b"P")
    assert peer.due_s(PATIENCE, is_pressed=False) == 30
    assert peer.due_s(PATIENCE, is_pressed=True) == 1
    room.now_s = 29
    room.hear(peer, b"O")
    assert peer.due_s(PATIENCE, is_pressed=False) == 59
    room.now_s = 58
    room.hear(peer, b"S")
    assert peer.due_s(PATIENCE, is_pressed=False) == 60
    assert peer.due_s(PATIENCE, is_pressed=True) == 5


def test_each_request_of_a_connection_has_its_own_time(room: Room) -> None:
    """One that begins in the same read in which another ended began then."""
    peer = room.add()
    room.hear(peer, b"P")
    room.now_s = 29
    room.hear(peer, post(b"[]")[1:] + b"P")
    assert peer.started_s == 29


def test_a_pause_of_ours_does_not_count_against_the_peer(room: Room) -> None:
    """While we do not read it nothing is due, and afterwards the pause is added."""
    peer = room.add()
    room.hear(peer, b"P")
    peer.rest(10)
    assert peer.due_s(PATIENCE, is_pressed=True) == float("inf")
    peer.resume(50)
    assert peer.due_s(PATIENCE, is_pressed=False) == 80
    assert peer.started_s == 40


def test_an_unfinished_line_is_waited_for_unless_others_need_the_room(room: Room) -> None:
    """A stream has no requests."""
    peer = room.add(is_lines=True)
    room.hear(peer, b"{")
    assert peer.due_s(PATIENCE, is_pressed=False) == float("inf")
    assert peer.due_s(PATIENCE, is_pressed=True) == 1


def test_an_answer_that_is_not_taken_is_not_waited_for_long(room: Room) -> None:
    """A peer that sends requests and reads no answers is not read either, and is ended."""
    peer = room.add()
    peer.unsent = b"x" * (8 << 20)
    peer.send(3)
    assert peer.unsent
    assert room.readable() == []
    assert peer.due_s(PATIENCE, is_pressed=False) == 33


def test_a_freeze_adds_no_more_than_the_wait_it_fell_into(monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour frozen in a tick of half a second is a tick; an endless wait depended on nothing."""
    time_s = 100.0
    monkeypatch.setattr("collector.timeouts.time.monotonic", lambda: time_s)
    clock = AwakeClock()
    time_s += 0.25
    clock.advance(TICK_S)
    assert clock.now_s == 0.25
    time_s += 3600
    clock.advance(TICK_S)
    assert clock.now_s == 0.25 + TICK_S + SLACK_S
    time_s += 3600
    clock.advance(None)
    assert clock.now_s > 3600


def test_waits_are_cut_into_ticks_only_when_something_is_due() -> None:
    """Nothing pending: no timer at all."""
    assert wait_s(float("inf"), 7) is None
    assert wait_s(100, 7) == TICK_S
    assert wait_s(7.25, 7) == 0.25
    assert wait_s(6, 7) == 0


def test_every_refusal_is_reported_and_few_are_logged() -> None:
    """Ten lines of a reason, the last of which says that it is; other reasons have their own ten."""
    from collector.messages import Problem

    lines: list[bytes] = []
    sent: list[wire.Message] = []
    refusals = Refusals(sent.append, Log("collector", write=lines.append))
    for _ in range(50):
        refusals.note(Problem("malformed", 400, "this", "that", 7), connection=1)
    refusals.note(Problem("full", 503, "this", "that", 7), connection=1)
    assert sent == [wire.Refused(reason="malformed", status=400, body_bytes=7)] * 50 + [
        wire.Refused(reason="full", status=503, body_bytes=7)
    ]
    assert len(lines) == MOST_LINES + 1
    assert [b"further_lines" in line for line in lines] == [False] * 9 + [True, False]
