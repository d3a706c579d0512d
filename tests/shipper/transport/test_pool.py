"""Requests over real sockets, to servers that misbehave in every way."""

import os
import socket
import struct
import threading
import time

import pytest

from lifecycle.contract import wire
from shipper.errors import ExchangeError, SupervisorGoneError
from shipper.transport.pool import MOST_IDLE_S
from tests.shipper.support import Server, http
from tests.shipper.transport.client import Client

# For so long Linux waits for something to send an acknowledgement with.
DELAYED_ACK_S = 0.04


def test_one_connection_serves_many_requests(server: Server, client: Client) -> None:
    server.behaviours = [server.answering(*[http(200, b"a")] * 3)]
    assert [client.ask() for _ in range(3)] == [(200, b"a")] * 3
    assert (server.connections, server.requests[0][1]) == (1, b"ok")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + http(202, b"abc"), (202, b"abc")),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nX: y\r\n\r\n", (200, b"abc")),
        (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"")),
    ],
)
def test_an_answer_is_read_whole_and_byte_by_byte(
    server: Server, client: Client, answer: bytes, expected: tuple[int, bytes]
) -> None:
    """And the connection serves the next request."""

    def behave(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server.read(connection)
        connection.sendall(answer)
        server.read(connection)
        for byte in answer:
            connection.sendall(bytes([byte]))
        server.read(connection)
        connection.sendall(http(200))

    server.behaviours = [behave]
    assert [client.ask(), client.ask(), client.ask()] == [expected, expected, (200, b"")]
    assert server.connections == 1


def test_a_server_that_writes_head_and_body_apart_is_not_kept_waiting(server: Server, client: Client) -> None:
    """TCP lets it wait for an acknowledgement, which the kernel here would keep for 40 ms."""

    def behave(connection: socket.socket) -> None:
        while True:
            server.read(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
            connection.sendall(b"{}")

    server.behaviours = [behave]
    took_s = []
    for _ in range(5):
        began = time.monotonic()
        assert client.ask() == (200, b"{}")
        took_s.append(time.monotonic() - began)
    assert sorted(took_s[1:])[1] < DELAYED_ACK_S


def test_a_body_without_a_length_ends_with_the_connection(server: Server, client: Client) -> None:
    server.behaviours = [server.answering(b"HTTP/1.1 200 OK\r\n\r\nabc")]
    assert [client.ask(), client.ask()] == [(200, b"abc")] * 2
    assert server.connections == 2


def test_of_a_long_body_the_beginning_is_kept(server: Server, client: Client) -> None:
    """And an endless one does not hold the shipper."""

    def endless(connection: socket.socket) -> None:
        server.read(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    server.behaviours = [endless]
    status, body = client.ask()
    assert (status, len(body)) == (200, 65536)


@pytest.mark.parametrize(
    "junk", [b"SSH-2.0-x\r\n", b"HTTP/1.1 xyz\r\n\r\n", b"HTTP/1.1 200 OK\r\nA: " + b"x" * 2_000_000]
)
def test_what_is_no_answer_is_said_to_be_broken(server: Server, client: Client, junk: bytes) -> None:
    server.behaviours = [server.answering(junk)]
    with pytest.raises(ExchangeError) as error:
        client.ask()
    assert error.value.reason == "broken_answer"


def test_a_connection_closed_between_requests_is_replaced_unseen(server: Server, client: Client) -> None:
    """The peer's goodbye lies in the socket before the next request is written."""
    closed = threading.Event()

    def once(connection: socket.socket) -> None:
        server.answering(http(200))(connection)
        connection.shutdown(socket.SHUT_RDWR)
        closed.set()

    server.behaviours = [once]
    assert client.ask() == (200, b"")
    assert closed.wait(5)
    assert client.ask() == (200, b"")
    replaced = [line for line in client.lines.written if line["event"] == "shipper.connection_replaced"]
    assert [line["reason"] for line in replaced] == ["closed_by_peer"]


def test_a_connection_that_dies_under_a_request_is_replaced_once(server: Server, client: Client) -> None:
    """The peer hangs up when it sees the second request: no failure, as no byte of an answer came."""

    def dying(connection: socket.socket) -> None:
        server.answering(http(200))(connection)
        server.read(connection)
        # Linger 0: a reset, no goodbye.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    server.behaviours = [dying, server.answering(http(201))]
    assert [client.ask(), client.ask()] == [(200, b""), (201, b"")]
    assert server.connections == 2


def test_a_new_connection_that_dies_is_a_failure(server: Server, client: Client) -> None:
    def hang_up(connection: socket.socket) -> None:
        server.read(connection)

    server.behaviours = [hang_up]
    with pytest.raises(ExchangeError) as error:
        client.ask()
    assert (error.value.reason, server.connections) == ("closed", 1)


def test_half_an_answer_is_a_failure_also_on_a_kept_connection(server: Server, client: Client) -> None:
    """It came from a living server, so the request may have been taken."""
    server.behaviours = [server.answering(http(200), http(200, b"abcdef")[:-3])]
    assert client.ask() == (200, b"")
    with pytest.raises(ExchangeError) as error:
        client.ask()
    assert (error.value.reason, server.connections) == ("closed", 1)


def test_a_connection_idle_for_long_is_not_trusted(server: Server, client: Client) -> None:
    """Also when only the wall clock saw the time pass, as after a freeze."""
    server.behaviours = [server.answering(http(200), http(200))]
    client.ask()
    client.wall.now += MOST_IDLE_S + 1
    client.ask()
    assert server.connections == 2


def test_a_server_that_never_answers_costs_the_timeout(server: Server, client: Client) -> None:
    server.behaviours = [server.hanging]
    started = time.monotonic()
    with pytest.raises(ExchangeError) as error:
        client.ask(timeout_s=0.1)
    assert error.value.reason == "timeout"
    assert 0.1 <= time.monotonic() - started < 1


def test_a_server_that_reads_nothing_costs_the_timeout(server: Server, client: Client) -> None:
    """The request is larger than all buffers on the way."""
    server.behaviours = [server.hanging]
    with pytest.raises(ExchangeError) as error:
        client.ask(b"x" * 20_000_000, timeout_s=0.2)
    assert error.value.reason == "timeout"


def test_the_deadline_bounds_a_request_before_its_timeout(server: Server, client: Client) -> None:
    server.behaviours = [server.hanging]
    client.commands.deadline = time.monotonic() + 0.1
    started = time.monotonic()
    with pytest.raises(ExchangeError):
        client.ask(timeout_s=10)
    assert time.monotonic() - started < 1


def test_a_new_order_moves_the_deadline_of_a_request_under_way(server: Server, client: Client) -> None:
    server.behaviours = [server.hanging]
    ship = wire.Ship(since=0, skip=0, until=7, deadline=time.monotonic() + 0.2)
    threading.Timer(0.05, wire.send, (client.supervisor, ship)).start()
    started = time.monotonic()
    with pytest.raises(ExchangeError):
        client.ask(timeout_s=10)
    assert time.monotonic() - started < 1
    assert client.commands.until == 7


def test_a_supervisor_that_dies_ends_a_request_under_way(server: Server, client: Client) -> None:
    server.behaviours = [server.hanging]

    def die() -> None:
        fd, client.supervisor = client.supervisor, -1
        os.close(fd)

    threading.Timer(0.05, die).start()
    with pytest.raises(SupervisorGoneError):
        client.ask(timeout_s=10)


def test_an_answer_before_the_whole_request_was_read_is_taken(server: Server, client: Client) -> None:
    """413 from a server that reads no further; the connection is not used again."""

    def early(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(http(413))
        server.over.wait(10)

    server.behaviours = [early, server.answering(http(200))]
    assert client.ask(b"x" * 20_000_000) == (413, b"")
    assert client.ask() == (200, b"")


def test_nobody_listening_is_a_failure_to_connect() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = Client(f"http://127.0.0.1:{port}/")
    with pytest.raises(ExchangeError) as error:
        client.ask()
    assert error.value.reason == "connect"
    client.close()


def test_localhost_is_reached_whichever_family_listens(server: Server) -> None:
    server.behaviours = [server.answering(http(200))]
    client = Client(f"http://localhost:{server.port}/")
    assert client.ask() == (200, b"")
    client.close()
