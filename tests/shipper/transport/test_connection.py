"""One connection to one server, whose every wait is bounded; what lies on it is tested with the pool."""

import select
import socket
import struct
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from shipper.errors import ExchangeError
from shipper.transport.connection import Connection
from tests.shipper.support import Waits

if TYPE_CHECKING:
    from shipper.transport.interfaces import Stream, Timing


def polled(fd: int, events: int, until: float) -> int:
    """Waits, but not past the time."""
    poll = select.poll()
    poll.register(fd, events)
    return dict(poll.poll(max(0, (until - time.monotonic()) * 1000))).get(fd, 0)


class Pair:
    """A connection, and the server's end of it."""

    def __init__(self) -> None:
        timing: Timing = Waits(polled)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            sock = socket.create_connection(listener.getsockname())
            self.server, _ = listener.accept()
        sock.setblocking(False)
        self.connection = Connection(sock, timing, "127.0.0.1:1")

    def close(self) -> None:
        """Both ends."""
        self.connection.close()
        self.server.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.close()


def soon() -> float:
    """Time enough on a slow machine."""
    return time.monotonic() + 10


def test_what_is_sent_arrives_and_the_answer_is_read_to_its_end(pair: Pair) -> None:
    """Piece by piece; then the server hangs up."""
    stream: Stream = pair.connection
    assert stream.send([b"ab", b"cd"], soon())
    pair.server.settimeout(10)
    assert b"".join(pair.server.recv(1) for _ in range(4)) == b"abcd"
    assert stream.is_idle()
    pair.server.sendall(b"answer")
    assert stream.has_come(soon())
    assert stream.receive(soon()) == b"answer"
    pair.server.shutdown(socket.SHUT_WR)
    assert stream.receive(soon()) == b""


def test_nothing_is_written_to_who_has_spoken_or_hung_up_before(pair: Pair) -> None:
    """It is no answer to this; the connection is not fit for another request."""
    pair.server.sendall(b"408")
    assert pair.connection.has_come(soon())
    assert not pair.connection.send([b"request"], soon())
    assert pair.connection.waiting() == b"408"
    assert pair.connection.waiting() is None
    pair.server.shutdown(socket.SHUT_WR)
    assert pair.connection.has_come(soon())
    assert not pair.connection.is_idle()


def test_waits_end(pair: Pair) -> None:
    """For an answer that does not come, and for a server that reads nothing; it is said what was waited for."""
    with pytest.raises(ExchangeError, match="waiting for the answer"):
        pair.connection.receive(time.monotonic() + 0.02)
    with pytest.raises(ExchangeError, match="sending to"):
        pair.connection.send([bytes(50_000_000)], time.monotonic() + 0.02)


def test_a_reset_is_told_as_one(pair: Pair) -> None:
    """In the words of the system."""
    pair.server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    pair.server.close()
    with pytest.raises(ExchangeError, match="reset"):
        pair.connection.receive(soon())


def test_what_we_have_hung_up_ourselves_is_not_waited_for(pair: Pair) -> None:
    """Another request's fault may be why; there is nothing to wait for but time."""
    pair.connection.close()
    began = time.monotonic()
    assert pair.connection.has_come(began + 5)
    assert pair.connection.is_acknowledged()
    with pytest.raises(ExchangeError) as error:
        pair.connection.receive(began + 5)
    assert (error.value.reason, time.monotonic() - began < 1) == ("closed", True)
