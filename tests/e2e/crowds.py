"""Crowds of connections that mean ill, for the hostile tests: each attack is a function that a thread runs."""

import itertools
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

# Closing sends RST instead of FIN (socket(7), SO_LINGER).
_RESETTING = struct.pack("ii", 1, 0)

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"

# The largest crowd, and what the test and its sandbox have open beside it.
MOST_CONNECTIONS = 1000
MOST_DESCRIPTORS = MOST_CONNECTIONS + 250


class Crowd:
    """Connections of one attacker; none of them ever blocks.

    Args:
        port: Where the collector listens.

    Attributes:
        over: Set when the attack is to end.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._sent: dict[socket.socket, int] = {}
        self.over = threading.Event()

    def dial(self, count: int) -> None:
        """Opens connections until there are `count`."""
        while len(self._sent) < count and not self.over.is_set():
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", self._port))
            self._sent[sock] = 0

    def say(self, data: bytes, *, repeated: bool = False) -> None:
        """Sends to each what it takes; a repeated text goes on where the connection left off."""
        for sock in list(self._sent):
            at = self._sent[sock] if repeated else 0
            try:
                self._sent[sock] = (at + sock.send(data[at:])) % len(data)
            except BlockingIOError:
                continue
            except OSError:
                del self._sent[sock]
                sock.close()

    def finish_sending(self) -> None:
        """Half-closes each."""
        for sock in self._sent:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_WR)

    def hang_up(self, *, resetting: bool = False) -> None:
        """Closes each."""
        for sock in self._sent:
            if resetting:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESETTING)
            sock.close()
        self._sent.clear()


def slow_loris(crowd: Crowd) -> None:
    """Three hundred requests that come a byte at a time and never end; who is sent away comes again."""
    for byte in itertools.cycle(b"X: y\r\n"):
        crowd.dial(300)
        crowd.say(bytes((byte,)))
        if crowd.over.wait(0.02):
            return


def thousand_connections(crowd: Crowd) -> None:
    """A thousand at once, all silent."""
    crowd.dial(MOST_CONNECTIONS)
    crowd.over.wait()


def half_open(crowd: Crowd) -> None:
    """Two hundred that send half a body, half of them with their side shut, and are never heard of again."""
    for _ in range(2):
        crowd.dial(100)
        time.sleep(0.05)
        crowd.say(HEAD + b'Content-Length: 10000\r\n\r\n["' + b"x" * 5000)
        crowd.finish_sending()
        crowd.dial(200)
    crowd.over.wait()


def resets(crowd: Crowd) -> None:
    """Fifty at a time break off in the middle of a body, again and again."""
    while not crowd.over.wait(0.02):
        crowd.dial(50)
        time.sleep(0.02)
        crowd.say(HEAD + b'Content-Length: 10000\r\n\r\n["' + b"x" * 5000)
        crowd.hang_up(resetting=True)


def endless_headers(crowd: Crowd) -> None:
    """Eight requests whose headers never end."""
    _endless(crowd, 8, b"X-Header: and so on\r\n" * 1000, HEAD)


def endless_bodies(crowd: Crowd) -> None:
    """Eight requests whose chunks never end."""
    _endless(crowd, 8, (b"1000\r\n" + b"x" * 4096 + b"\r\n") * 16, HEAD + b"Transfer-Encoding: chunked\r\n\r\n")


def hoarders(crowd: Crowd) -> None:
    """Sixty-four requests that each send most of the largest body that is taken, and then nothing."""
    crowd.dial(64)
    time.sleep(0.1)
    crowd.say(HEAD + b"Content-Length: 4000000\r\n\r\n")
    for _ in range(400):
        crowd.say(b"x" * 65_536)
        if crowd.over.wait(0.005):
            return
    crowd.over.wait()


def deaf(crowd: Crowd) -> None:
    """A hundred and fifty that ask and ask, and never read an answer."""
    _endless(crowd, 150, b"GET / HTTP/1.1\r\n\r\n" * 3640)


def deaf_and_polite(crowd: Crowd) -> None:
    """Likewise, but nothing is wrong with what they ask."""
    _endless(crowd, 150, (HEAD + b"Content-Length: 2\r\n\r\n[]") * 1500)


def endless_lines(crowd: Crowd) -> None:
    """Eight lines that never end."""
    _endless(crowd, 8, b'{"type":"' + b"x" * 65_536)


def junk_lines(crowd: Crowd) -> None:
    """Lines that are none, as fast as they are taken."""
    _endless(crowd, 2, b"x\n" * 2000 + b"\xff\n\x00\n{\n" + b"[" * 2000 + b"\n")


def _endless(crowd: Crowd, count: int, text: bytes, start: bytes = b"") -> None:
    while not crowd.over.is_set():
        crowd.dial(count)
        if start:
            time.sleep(0.02)
            crowd.say(start)
            start = b""
        crowd.say(text, repeated=True)
        crowd.over.wait(0.002)


@contextmanager
def attacked(port: int, attack: Callable[[Crowd], None]) -> Iterator[None]:
    """The attack goes on while the block runs."""
    crowd = Crowd(port)
    thread = threading.Thread(target=attack, args=(crowd,))
    thread.start()
    try:
        yield
    finally:
        crowd.over.set()
        thread.join(10)
        crowd.hang_up()
        assert not thread.is_alive()
