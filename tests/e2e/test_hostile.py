"""Peers that mean ill, against the built layer: bounded memory, the right answer, and nobody else notices."""

import json
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.e2e import crowds
from tests.e2e.conftest import NAME, Run, Start
from tests.e2e.crowds import Crowd, attacked
from tests.sandbox import Platform

pytestmark = pytest.mark.e2e

# All processes together, whatever is sent, with the default settings: 16 MiB when idle, the backlog's 8 MiB, and two
# batches of 4 MiB where one is read while another waits.
MOST_PSS_BYTES = 64 << 20

# The default budget, and as much again for a machine that is busy with the attack itself.
MOST_HELD_MS = 500 + 500
USUALLY_HELD_MS = 300  # a crowd that never rests has one of two processors to itself

# "Promptly", on a new connection: whoever comes is served at once, and the machine is busy with the attack.
PROMPTLY_S = 2.0

# Where the memory for requests is taken, whoever comes waits until those who hold it have said nothing for a second,
# one batch of them after the other.
HOARDED_S = 8.0

LARGEST = pytest.param(crowds.thousand_connections, marks=pytest.mark.descriptors(crowds.MOST_DESCRIPTORS))

INVOCATIONS, LINES, GOOD = 6, 3, 2


def port_of(run: Run) -> int:
    """Where the collector listens, as it told the platform."""
    call = next(call for call in run.env.calls if call.status == 200 and b'"buffering"' in call.body)
    destination = json.loads(call.body)["destination"]
    return int(destination["port"] if "port" in destination else destination["URI"].rpartition(":")[2].strip("/"))


@contextmanager
def memory_watched(run: Run) -> Iterator[list[int]]:
    """The proportional set size of all processes, taken again and again while the block runs."""
    seen: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.03):
            seen.append(run.env.memory_pss_bytes(NAME))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def ask(port: int, request: bytes) -> int:
    """Sends bytes on a connection of its own and half-closes it; the status of the answer, 0 when there was none."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        answer = b""
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            while more := connection.recv(65_536):
                answer += more
        except ConnectionError:
            pass
        return int(answer.split(b" ", 2)[1]) if answer else 0


def posted(body: bytes, *headers: bytes) -> bytes:
    """A request with this body."""
    return b"\r\n".join((b"POST / HTTP/1.1", b"Host: x", b"Content-Length: %d" % len(body), *headers, b"", body))


def event(record: bytes) -> bytes:
    """A batch of one event, whose record is this JSON."""
    return b'[{"time":"2026-01-01T00:00:00.000Z","type":"function","record":%b}]' % record


@pytest.mark.parametrize(
    "attack",
    [
        crowds.slow_loris,
        LARGEST,
        crowds.half_open,
        crowds.resets,
        crowds.endless_headers,
        crowds.endless_bodies,
        crowds.hoarders,
        crowds.deaf,
        crowds.deaf_and_polite,
    ],
)
def test_crowd_over_http_disturbs_nobody(start: Start, attack: Callable[[Crowd], None]) -> None:
    """While it goes on, invocations are held no longer than ever, good batches are taken, and nothing is lost."""
    run = start(platform=Platform(freeze=False), TAILRACE_FLUSH="end")
    run.invoke(lines=LINES)
    port = port_of(run)
    held_ms: list[float] = []
    took_s: list[float] = []
    with memory_watched(run) as memory, attacked(port, attack):
        time.sleep(0.4)
        for number in range(INVOCATIONS):
            held_ms.append(run.held_ms(lines=LINES))
            if number < GOOD:
                with run.timed() as asked_s:
                    assert ask(port, posted(event(b'"good %d\\n"' % number))) == 200
                took_s += asked_s
    run.end()
    assert run.lost() == -GOOD
    assert max(memory) < MOST_PSS_BYTES
    assert max(held_ms) < MOST_HELD_MS, held_ms
    assert statistics.median(held_ms) < USUALLY_HELD_MS, held_ms
    assert max(took_s) < (HOARDED_S if attack is crowds.hoarders else PROMPTLY_S), took_s
    assert len(run.said()) < 100
    assert not run.events("worker.exited")


@pytest.mark.parametrize("attack", [LARGEST, crowds.endless_lines, crowds.junk_lines])
def test_crowd_over_tcp_disturbs_nobody(start: Start, attack: Callable[[Crowd], None]) -> None:
    """Likewise where there are no answers and the platform would not connect again."""
    run = start(platform=Platform(freeze=False), TAILRACE_FLUSH="end", TAILRACE_PROTOCOL="tcp")
    run.invoke(lines=LINES)
    with memory_watched(run) as memory, attacked(port_of(run), attack):
        time.sleep(0.4)
        held_ms = [run.held_ms(lines=LINES) for _ in range(INVOCATIONS)]
    run.end()
    assert run.lost() == 0
    assert max(memory) < MOST_PSS_BYTES
    assert max(held_ms) < MOST_HELD_MS, held_ms
    assert statistics.median(held_ms) < USUALLY_HELD_MS, held_ms
    assert len(run.said()) < 100


DEEP = 50_000
MOST_BYTES = 4 << 20

# What is sent, the status it gets, and how many events of it arrive at the backend.
REQUESTS: dict[str, tuple[bytes, int, int]] = {
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2, 400, 0),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x12\x04\x00\x00\x00\x00\x00", 400, 0),
    "HTTP/2 by upgrade": (posted(b"[]", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c"), 400, 0),
    "SSH": (b"SSH-2.0-OpenSSH_9.9\r\n", 400, 0),
    "proxy protocol": (b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n" + posted(b"[]"), 400, 0),
    "NUL bytes": (bytes(4096), 400, 0),
    "NUL in a header": (posted(b"[]", b"X: a\0b"), 400, 0),
    "header without end": (b"POST / HTTP/1.1\r\nX: " + b"x" * 100_000, 431, 0),
    "headers without end": (b"POST / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000, 431, 0),
    "length of 2^64": (b"POST / HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n\r\n", 400, 0),
    "length below 0": (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n[]", 400, 0),
    "two lengths": (posted(b"[]", b"Content-Length: 3"), 400, 0),
    "length and chunks": (posted(b"[]", b"Transfer-Encoding: chunked"), 400, 0),
    "chunk of 2^64": (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 17 + b"\r\n", 400, 0),
    "body without end": (posted(b"x" * (20 << 20)), 413, 0),
    "body cut off": (posted(event(b'"x"'))[:-3], 400, 0),
    "two million elements": (posted(b"[" + b"1," * (MOST_BYTES // 2 - 2) + b"1]"), 413, 0),
    "brackets": (posted(b"[" * MOST_BYTES), 400, 0),
    "invalid UTF-8": (posted(event(b'"\xff\xfe"')), 400, 0),
    "a surrogate in UTF-8": (posted(event(b'"\xed\xa0\x80"')), 400, 0),
    "a NUL in a string": (posted(event(b'"a\0b"')), 400, 0),
    "not a number": (posted(event(b"NaN")), 400, 0),
    "UTF-16": (posted('[{"a":1}]'.encode("utf-16")), 400, 0),
    "an escaped NUL": (posted(event(b'"a\\u0000b"')), 200, 1),
    "lone surrogates": (posted(event(b'"\\ud800 \\udfff"')), 200, 1),
    "deeply nested": (posted(event(b"[" * DEEP + b"]" * DEEP)[:-1] + b"," + event(b'"beside it"')[1:]), 200, 2),
    "a huge number": (posted(event(b"9" * 100_000)), 200, 1),
    "a huge exponent": (posted(event(b"[1e999999999, -1e-999999999, 1e%b]" % (b"9" * 5000))), 200, 1),
    "the same member often": (posted(event(b'{"a":1,"a":2,"a":{"a":3,"a":4}}')), 200, 1),
    "a million numbers": (posted(event(b"[" + b"1," * 1_000_000 + b"1]")), 200, 1),
}


def test_each_request_gets_its_answer_and_the_next_good_one_is_taken(start: Start) -> None:
    """What can be kept is kept and arrives; the rest is refused by the right name, in bounded memory."""
    run = start(platform=Platform(freeze=False), TAILRACE_FLUSH="end", timeout_s=20.0)
    run.invoke(lines=LINES)
    port = port_of(run)
    with memory_watched(run) as memory:
        for name, (request, status, _) in REQUESTS.items():
            assert ask(port, request) == status, name
            asked_s = time.monotonic()
            assert ask(port, posted(event(json.dumps(f"after {name}\n").encode()))) == 200
            assert time.monotonic() - asked_s < PROMPTLY_S, name
        run.invoke(lines=LINES)
        run.end()
    assert run.lost() == -len(REQUESTS) - sum(arriving for _, _, arriving in REQUESTS.values())
    assert {f"after {name}" for name in REQUESTS} <= set(run.bodies())
    assert "beside it" in run.bodies()
    assert max(memory) < MOST_PSS_BYTES
    assert not run.events("worker.exited")
    assert not run.events("shipper.record_unmappable")
