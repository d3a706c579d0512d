"""Peers that bring much and nothing to keep: they cost little, and nobody else waits for them."""

import socket
import time
from contextlib import suppress

import pytest

from collector.handler import MOST_REFUSED
from collector.store import MOST_PROBLEMS
from collector.timeouts import Timeouts
from tests.collector.support import Client, Running, batch, event, post

BIG = "x" * 900_000

# Connections of which this process has both ends.
CROWD = 900


def test_a_connection_that_brings_nothing_but_problems_is_closed() -> None:
    """The last of its answers says so; a batch in between starts the count anew, one that came before does not."""
    bad = post(b"{")
    with Running() as collector:
        client = collector.client()
        for number in range(2):
            assert [client.ask(bad) for _ in range(MOST_REFUSED - 1)] == [400] * (MOST_REFUSED - 1)
            assert client.ask(post(batch(event(str(number))))) == 200
        client.send((bad + post(b"[]")) * (MOST_REFUSED + 5))
        answers = [client.answer() for _ in range(2 * MOST_REFUSED - 1)]
        assert [answer and answer.status for answer in answers] == [400, 200] * (MOST_REFUSED - 1) + [400]
        assert answers[-1] is not None
        assert answers[-1].headers["Connection"] == "close"
        assert client.answer() is None
        assert collector.client().ask(post(batch(event("next")))) == 200


def test_a_full_backlog_is_no_problem_of_the_peers() -> None:
    """However often it is answered 503, its connection is kept."""
    with Running(timeouts=Timeouts(room_s=0.01)) as collector:
        client = collector.client()
        assert [client.ask(post(batch(event(name + BIG)))) for name in "ab"] == [200, 200]
        assert [client.ask(post(batch(event("c" + BIG)))) for _ in range(MOST_REFUSED + 2)] == [503] * (
            MOST_REFUSED + 2
        )


def test_one_who_pipelines_without_end_leaves_the_others_their_turn() -> None:
    """Forty that ask and ask and never read: good batches are taken at once."""
    text = post(b"[]") * 1500
    with Running() as collector:
        platform = collector.client()
        assert platform.ask(post(batch(event("first")))) == 200
        crowd = [collector.client() for _ in range(40)]
        for client in crowd:
            client.sock.setblocking(False)
        for number in range(8):
            for client in crowd:
                with suppress(BlockingIOError):
                    client.sock.send(text)
            started_s = time.monotonic()
            assert platform.ask(post(batch(event(str(number))))) == 200
            assert time.monotonic() - started_s < 1.0


def test_many_malformed_lines_are_counted_together() -> None:
    """The first of a read one by one, the others in one report: each takes the supervisor's time."""
    with Running(protocol="tcp") as collector:
        client = collector.client()
        client.send(b"x\n" * (MOST_PROBLEMS + 100) + batch()[1:-1] + b"\n")
        refused = [collector.refused() for _ in range(MOST_PROBLEMS + 1)]
        assert [one.body_bytes for one in refused] == [1] * MOST_PROBLEMS + [100]
        assert collector.stored().events == 1


def test_a_line_that_is_no_object_is_refused_whoever_shares_its_read() -> None:
    """Alone as well."""
    with Running(protocol="tcp") as collector:
        for line in (b"[1]\n", b"7\n"):
            collector.client().send(line)
            assert collector.refused().reason == "malformed"


@pytest.mark.descriptors(2 * CROWD + 250)
def test_a_crowd_of_slow_connections_does_not_delay_a_platform_that_dials_anew() -> None:
    """Nine hundred, each with a request under way and a byte now and then: their places go to whoever comes."""
    crowd: list[socket.socket] = []
    took_s: list[float] = []
    with Running() as collector:
        for _ in range(CROWD):
            crowd.append(socket.create_connection(("127.0.0.1", collector.port)))
            crowd[-1].sendall(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n")
        for number in range(30):
            for slow in crowd[number::10]:
                with suppress(OSError):
                    slow.send(b"X")
            began_s = time.monotonic()
            client = Client(collector.port)
            assert client.ask(post(batch(event(str(number))))) == 200
            took_s.append(time.monotonic() - began_s)
            client.close()
    # Only now: each that hangs up within a request is a report, and nobody reads them here.
    for slow in crowd:
        slow.close()
    assert sorted(took_s)[len(took_s) // 2] < 0.05, took_s
    assert max(took_s) < 2 * Timeouts().pressed_stall_s, took_s  # one after the other they would wait far longer
