"""Requests over real sockets, to servers that misbehave in every way."""

import os
import socket
import struct
import threading
import time
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lifecycle.contract import wire
from shipper.errors import ExchangeError, PendingError, SupervisorGoneError
from shipper.transport import address
from shipper.transport.pool import MOST_IDLE_S, REUSED_SHARE, SET_UP_SHARE, Pool
from shipper.transport.response import MOST_HEAD
from tests.shipper.support import Behaviour, Server, http
from tests.shipper.transport.answers import answers
from tests.shipper.transport.client import REQUEST, Client
from tests.shipper.transport.listeners import full_listener

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
    assert [line["reason"] for line in replaced] == ["closed_by_server"]


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
    assert 0.1 <= time.monotonic() - started < 5


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
    assert time.monotonic() - started < 5


def test_a_new_order_moves_the_deadline_of_a_request_under_way(server: Server, client: Client) -> None:
    server.behaviours = [server.hanging]
    ship = wire.Ship(since=0, skip=0, until=7, deadline=time.monotonic() + 0.2)
    threading.Timer(0.05, wire.send, (client.supervisor, ship)).start()
    started = time.monotonic()
    with pytest.raises(ExchangeError):
        client.ask(timeout_s=10)
    assert time.monotonic() - started < 5
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


def test_another_protocol_that_nobody_asked_for_is_no_answer(server: Server, client: Client) -> None:
    """101 with Upgrade: httptools tells it by an exception of its own."""
    server.behaviours = [server.answering(b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n")]
    with pytest.raises(ExchangeError) as error:
        client.ask()
    assert error.value.reason == "broken_answer"


def test_an_endless_head_is_no_answer(server: Server, client: Client) -> None:
    """Many lines, and many informational answers."""

    def endless(line: bytes) -> Behaviour:
        def behave(connection: socket.socket) -> None:
            server.read(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\n" if line.startswith(b"A") else b"")
            while True:
                connection.sendall(line)

        return behave

    server.behaviours = [endless(b"A: b\r\n" * 1000), endless(b"HTTP/1.1 100 Continue\r\n\r\n")]
    for _ in range(2):
        with pytest.raises(ExchangeError) as error:
            client.ask()
        assert (error.value.reason, error.value.detail) == ("broken_answer", f"head of more than {MOST_HEAD} bytes")


@pytest.mark.parametrize("status", [200, 413])
def test_an_answer_before_the_request_was_written_is_said_to_be_early(
    server: Server, client: Client, status: int
) -> None:
    """Also where the server goes on reading, so that all of it could be written."""

    def early(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(http(status))
        while connection.recv(65536):
            pass

    server.behaviours = [early]
    response = client.exchange(b"x" * 20_000_000)
    assert (response.status, response.is_early) == (status, True)


def test_what_the_kernel_here_keeps_was_not_written(server: Server, client: Client) -> None:
    """It takes far more than a server with a small window has room for."""

    def early(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(http(200))
        server.over.wait(10)

    server.narrow(4096)
    server.behaviours = [early, server.answering(http(201))]
    assert client.exchange(b"x" * 300_000).is_early
    assert client.ask() == (201, b"")


def test_a_server_that_speaks_first_has_not_read_the_request(server: Server, client: Client) -> None:
    spoken = threading.Event()

    def first(connection: socket.socket) -> None:
        connection.sendall(http(200))
        spoken.set()
        server.over.wait(10)

    def write() -> list[bytes]:
        assert spoken.wait(5)
        return [REQUEST[:10], REQUEST[10:]]

    server.behaviours = [first]
    assert client.pool.exchange(write, 5.0).is_early


class TestReused:
    """A connection from before."""

    def test_one_that_died_without_a_word_makes_way_for_a_new_one(self, server: Server, client: Client) -> None:
        """Which has most of the time; on this one the server's kernel still acknowledges what is written."""

        def dead(connection: socket.socket) -> None:
            server.answering(http(200))(connection)
            server.over.wait(10)

        server.behaviours = [dead, server.answering(http(201))]
        client.ask()
        started = time.monotonic()
        assert client.ask(timeout_s=2.0) == (201, b"")
        assert 2.0 * REUSED_SHARE <= time.monotonic() - started < 2.0
        assert server.connections == 2

    def test_one_whose_server_is_slow_as_a_rule_is_given_time(self, server: Server, client: Client) -> None:
        """Sending again would make two of everything."""

        def slow(connection: socket.socket) -> None:
            while True:
                server.read(connection)
                server.over.wait(0.35)
                connection.sendall(http(200))

        server.behaviours = [slow]
        assert [client.ask(timeout_s=1.2) for _ in range(3)] == [(200, b"")] * 3
        assert (server.connections, len(server.requests)) == (1, 3)

    def test_one_is_not_replaced_when_there_is_no_time_to_hear_the_new_ones_answer(
        self, server: Server, client: Client
    ) -> None:
        """The old one may still answer; the request is not sent twice for nothing."""

        def slow(connection: socket.socket) -> None:
            while True:
                server.read(connection)
                server.over.wait(0.2)
                connection.sendall(http(200))

        server.behaviours = [slow]
        client.ask()
        client.commands.deadline = time.monotonic() + 0.5
        assert client.ask() == (200, b"")
        assert len(server.requests) == 2

    def test_a_request_sent_ahead_on_one_that_died_is_sent_again(self, server: Server, client: Client) -> None:
        """Whichever way: closed, or silent."""
        server.behaviours = [
            server.answering(http(200)),
            server.answering(http(201), http(202)),
        ]
        client.ask()
        answered = client.pool.begin(lambda: [REQUEST], 1.0, 2.0)
        assert answered().status == 201


def test_nothing_is_sent_when_there_is_no_time_to_hear_its_answer(server: Server, client: Client) -> None:
    """It might be taken, and would be sent again."""
    server.behaviours = [server.answering(http(200))]
    client.commands.deadline = time.monotonic() + 0.001
    with pytest.raises(ExchangeError) as error:
        client.ask()
    assert (error.value.reason, server.requests) == ("deadline", [])


def test_connecting_leaves_time_for_the_answer(client: Client) -> None:
    """And what was waited for is said, with the address."""
    with full_listener() as port:
        pool = Pool(address.parse(f"http://127.0.0.1:{port}/"), None, client.commands, client.lines.log)
        started = time.monotonic()
        with pytest.raises(ExchangeError) as error:
            pool.exchange(lambda: [REQUEST], 1.2)
        took_s = time.monotonic() - started
    assert (error.value.reason, error.value.detail) == ("timeout", f"connecting to 127.0.0.1:{port}")
    assert 1.2 * SET_UP_SHARE <= took_s < 1.2


def test_what_lies_in_the_socket_is_read_although_the_time_is_over(server: Server, client: Client) -> None:
    """As after a freeze: the answer came while nobody was awake to read it."""
    frozen = threading.Event()

    def behave(connection: socket.socket) -> None:
        server.read(connection)
        connection.sendall(http(200, b"taken"))
        frozen.set()

    server.behaviours = [behave]
    answered = client.pool.begin(lambda: [REQUEST], 1.0, 1.0)
    assert frozen.wait(5)
    client.commands.deadline = time.monotonic() - 60
    assert answered().body == b"taken"


def test_late_answer_is_waited_for_over_several_short_shipments(server: Server, client: Client) -> None:
    """Its server has the request; to ask again in the little time of each would never come to an end."""

    def slow(connection: socket.socket) -> None:
        server.read(connection)
        time.sleep(1.0)
        connection.sendall(http(200, b"taken"))

    server.behaviours = [slow]
    client.commands.deadline = time.monotonic() + 0.3
    with pytest.raises(PendingError) as pending:
        client.ask()
    for _ in range(20):
        client.commands.deadline = time.monotonic() + 0.2
        try:
            assert pending.value.answered().body == b"taken"
            break
        except PendingError as exc:
            pending.value.answered = exc.answered
    assert server.connections == 1


@pytest.mark.parametrize(("is_answered_since", "least_s", "longest_s"), [(False, 1.2, 3.5), (True, 0.0, 1.2)])
def test_late_answer_is_waited_for_for_a_while_unless_a_later_request_was_answered(
    server: Server, client: Client, *, is_answered_since: bool, least_s: float, longest_s: float
) -> None:
    """The server is well again then, and what it owes from before will not come."""
    server.behaviours = [server.hanging, server.answering(http(200))]
    client.commands.deadline = time.monotonic() + 0.3
    with pytest.raises(PendingError) as pending:
        client.ask()
    client.commands.deadline = time.monotonic() + 6
    if is_answered_since:
        assert client.ask()[0] == 200
    began = time.monotonic()
    with pytest.raises(ExchangeError) as error:
        pending.value.answered()
    assert error.value.reason == "deadline"
    assert least_s < time.monotonic() - began < longest_s


def test_late_answer_to_what_was_just_sent_is_waited_for_though_it_is_not_acknowledged(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its packets are on their way still: a server may be far."""

    def slow(connection: socket.socket) -> None:
        server.read(connection)
        time.sleep(0.3)
        connection.sendall(http(200, b"taken"))

    server.behaviours = [slow]
    client.commands.deadline = time.monotonic() + 0.1
    with pytest.raises(PendingError) as pending:
        client.ask()
    monkeypatch.setattr("shipper.transport.connection.Connection.is_acknowledged", lambda _self: False)
    client.commands.deadline = time.monotonic() + 5
    assert pending.value.answered().body == b"taken"


@pytest.mark.parametrize("is_known_to_be_slow", [True, False])
def test_late_answer_has_all_of_the_last_shipment_where_another_request_could_not_be_answered(
    server: Server, client: Client, *, is_known_to_be_slow: bool
) -> None:
    """Of a server that has not answered anything yet nobody knows that: time is left to ask it anew."""

    def slow(connection: socket.socket) -> None:
        server.read(connection)
        time.sleep(1.2)
        connection.sendall(http(200, b"taken", "Connection: close"))

    def asked() -> PendingError:
        client.commands.deadline = time.monotonic() + 0.3
        with pytest.raises(PendingError) as pending:
            client.ask()
        return pending.value

    server.behaviours = [slow, slow]
    if is_known_to_be_slow:
        first = asked()
        client.commands.deadline = time.monotonic() + 5
        assert first.answered().body == b"taken"
    last = asked()
    client.commands.is_final = True
    client.commands.deadline = time.monotonic() + 1.1
    if is_known_to_be_slow:
        assert last.answered().body == b"taken"
        return
    with pytest.raises(ExchangeError) as error:
        last.answered()
    assert error.value.reason == "deadline"
    assert client.commands.time_left_s() > 0.05


def test_answer_to_a_request_of_the_same_moment_says_nothing_of_another(server: Server, client: Client) -> None:
    """Both leave together: that one is answered sooner does not make the other's answer unlikely."""

    def slow(connection: socket.socket) -> None:
        server.read(connection)
        time.sleep(0.8)
        connection.sendall(http(200, b"taken"))

    server.behaviours = [slow, server.answering(http(200, b"quick"))]
    client.commands.deadline = time.monotonic() + 0.3
    answers = [client.pool.begin(lambda: [REQUEST], 0.2, 5.0) for _ in range(2)]
    with pytest.raises(PendingError) as pending:
        answers[0]()
    assert answers[1]().body == b"quick"
    client.commands.deadline = time.monotonic() + 3
    assert pending.value.answered().body == b"taken"
    assert len(server.requests) == 2


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(answers(), st.booleans())
def test_whatever_a_server_sends_is_an_answer_or_an_error_of_ours(
    server: Server,
    client: Client,
    pieces: list[bytes],
    hangs_up: bool,  # noqa: FBT001 - drawn
) -> None:
    """Any bytes, in any pieces, with an end or without."""

    def behave(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number, piece in enumerate(pieces):
            if number == 1:
                server.read(connection)
            connection.sendall(piece)
        if not hangs_up:
            server.over.wait(0.1)

    server.behaviours = [behave]
    with suppress(ExchangeError):
        assert 100 <= client.exchange(timeout_s=0.05).status <= 999
