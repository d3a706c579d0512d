"""TLS and proxies, over real sockets."""

import select
import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from shipper.errors import ExchangeError
from shipper.transport import address
from shipper.transport.connection import Connection
from shipper.transport.pool import Pool
from shipper.transport.resolver import Names
from shipper.transport.tls import TlsConnection
from tests.shipper.support import Behaviour, Server, http
from tests.shipper.transport.client import REQUEST, Client


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that nobody signed."""
    path = tmp_path_factory.mktemp("tls")
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = "-addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem"
    subprocess.run([*make.split(), *names.split()], cwd=path, check=True, capture_output=True)
    return path


def tls(certificate: Path, behaviour: Behaviour) -> Behaviour:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")

    def behave(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            behaviour(wrapped)

    return behave


def test_tls_serves_many_requests_on_one_connection(server: Server, certificate: Path) -> None:
    """Session tickets that lie unread do not make it look used."""
    server.behaviours = [tls(certificate, server.answering(http(200, b"a"), http(200, b"b"), http(200, b"c" * 50_000)))]
    client = Client(
        f"https://localhost:{server.port}/", context=ssl.create_default_context(cafile=certificate / "cert.pem")
    )
    large = REQUEST.replace(b": 2", b": 300000")[:-2] + b"x" * 300_000
    assert [client.ask(), client.ask(large), client.ask()] == [(200, b"a"), (200, b"b"), (200, b"c" * 50_000)]
    assert (server.connections, len(server.requests[1][1])) == (1, 300_000)
    client.close()


def test_unread_session_tickets_do_not_make_a_connection_look_used(server: Server, certificate: Path) -> None:
    """They come after the handshake, on their own."""
    server.behaviours = [tls(certificate, server.hanging)]
    client = Client("http://unused/")
    connection = Connection.open(
        (socket.AF_INET, ("127.0.0.1", server.port)), client.commands.wait, time.monotonic() + 5
    )
    context = ssl.create_default_context(cafile=certificate / "cert.pem")
    stream = TlsConnection(connection, context, "localhost", time.monotonic() + 5)
    assert client.commands.wait(connection._sock.fileno(), select.POLLIN, time.monotonic() + 5)  # noqa: SLF001
    assert stream.is_idle()
    stream.close()
    client.close()


def test_a_tls_connection_closed_between_requests_is_replaced(server: Server, certificate: Path) -> None:
    server.behaviours = [tls(certificate, server.answering(http(200)))]
    client = Client(
        f"https://localhost:{server.port}/", context=ssl.create_default_context(cafile=certificate / "cert.pem")
    )
    assert [client.ask(), client.ask()] == [(200, b"")] * 2
    assert server.connections == 2
    client.close()


@pytest.mark.parametrize(("host", "trusted"), [("localhost", False), ("127.0.0.1", True)])
def test_a_certificate_of_nobody_or_for_another_name_is_not_taken(
    server: Server, certificate: Path, host: str, *, trusted: bool
) -> None:
    """By the default context, which is what the shipper uses."""
    server.behaviours = [tls(certificate, server.answering(http(200)))]
    context = ssl.create_default_context(cafile=certificate / "cert.pem") if trusted else None
    client = Client(f"https://{host}:{server.port}/", context=context)
    with pytest.raises(ExchangeError) as error:
        client.ask()
    assert error.value.reason == "certificate"
    assert server.requests == []
    client.close()


def test_a_tls_handshake_that_hangs_costs_the_timeout(server: Server) -> None:
    server.behaviours = [server.hanging]
    client = Client(f"https://localhost:{server.port}/")
    with pytest.raises(ExchangeError) as error:
        client.ask(timeout_s=0.3)
    assert error.value.reason == "timeout"
    client.close()


def test_one_time_bounds_lookup_handshake_request_and_answer(server: Server, certificate: Path) -> None:
    """Whatever one of them takes, the others have less: every wait of a request ends at the same moment."""

    def silent(connection: socket.socket) -> None:
        server.read(connection)
        server.over.wait(10)

    server.behaviours = [tls(certificate, silent)]
    client = Client(f"https://backend.example:{server.port}/")
    ends: list[float] = []

    def wait(fd: int, events: int, until: float) -> int:
        ends.append(until)
        return client.commands.wait(fd, events, until)

    def getaddrinfo(_host: str, port: int, *_rest: int) -> list[object]:
        time.sleep(0.05)  # long enough to be waited for
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    trusting = ssl.create_default_context(cafile=certificate / "cert.pem")
    trusting.check_hostname = False
    names = Names(wait, getaddrinfo=getaddrinfo, hosts="")
    where = address.parse(f"https://backend.example:{server.port}/")
    pool = Pool(where, None, wait, client.lines.log, tls_context=lambda: trusting, names=names)
    started = time.monotonic()
    with pytest.raises(ExchangeError) as error:
        pool.exchange(REQUEST, 0.5)
    assert (error.value.reason, error.value.detail) == ("timeout", "receiving")
    assert len(ends) >= 3  # the lookup, the handshake, the answer
    assert ends == [pytest.approx(started + 0.5, abs=0.02)] * len(ends)
    client.close()


def test_a_proxy_is_asked_for_a_tunnel(server: Server, certificate: Path) -> None:
    """With its own credentials; TLS begins inside."""

    def behave(connection: socket.socket) -> None:
        server.read(connection)
        connection.sendall(b"HTTP/1.1 200 Established\r\n\r\n")
        tls(certificate, server.answering(http(200)))(connection)

    server.behaviours = [behave]
    context = ssl.create_default_context(cafile=certificate / "cert.pem")
    client = Client("https://localhost:4317/x", proxy=f"http://me:secret@127.0.0.1:{server.port}", context=context)
    assert client.ask() == (200, b"")
    head = server.requests[0][0]
    assert head.startswith(b"CONNECT localhost:4317 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic bWU6c2VjcmV0" in head
    assert "secret" not in str(client.lines.written)
    client.close()


def test_a_proxy_that_refuses_is_a_failure(server: Server) -> None:
    server.behaviours = [server.answering(http(407))]
    client = Client("https://localhost:4317/x", proxy=f"http://127.0.0.1:{server.port}")
    with pytest.raises(ExchangeError) as error:
        client.ask()
    assert (error.value.reason, error.value.detail) == ("proxy", "status_407")
    client.close()
