"""A connection whose peer does all it does at a moment that is known."""

import socket
import time

from shipper.transport.connection import Connection
from tests.shipper.support import Waits, http


class Answering(socket.socket):
    """One end of a pair, which takes all it is given at once, and has an answer as soon as it was given anything.

    Attributes:
        peer: The other end.
        taken: Bytes.
    """

    peer: socket.socket
    taken = 0

    def send(self, data: "memoryview", flags: int = 0) -> int:  # type: ignore[override]
        """Takes them; the answer has come when this returns."""
        super().send(data[:1], flags)
        self.taken += len(data)
        self.peer.send(http(200))
        return len(data)


def test_an_answer_to_a_part_is_noticed_though_the_kernel_takes_the_rest() -> None:
    """A megabyte, which one call could have written."""
    here, there = socket.socketpair()
    with there, Answering(fileno=here.detach()) as sock:
        sock.peer = there
        sock.setblocking(False)
        connection = Connection(sock, Waits(), "peer")
        assert not connection.send([bytes(1_000_000)], time.monotonic() + 5)
        assert sock.taken < 100_000
        assert connection.receive(time.monotonic() + 5) == http(200)
