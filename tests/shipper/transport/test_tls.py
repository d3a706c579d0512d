"""TLS and proxies, over real sockets."""

import os
import select
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shipper.errors import ExchangeError
from shipper.transport import address
from shipper.transport.dialer import Dialer
from shipper.transport.pool import SET_UP_SHARE, Pool
from shipper.transport.resolver import Resolver
from shipper.transport.tls import TlsConnection, named
from tests.shipper.support import Behaviour, Server, Waits, http
from tests.shipper.transport.answers import answers
from tests.shipper.transport.client import REQUEST, Client


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
    dialer = Dialer("127.0.0.1", server.port, client.commands, Resolver(client.commands))
    connection = dialer.connected(time.monotonic() + 5)
    context = ssl.create_default_context(cafile=certificate / "cert.pem")
    stream = TlsConnection(connection, lambda: context, "localhost", time.monotonic() + 5)
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
    """Whatever one of them takes, the others have less: the answer keeps its share."""

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
    resolver = Resolver(Waits(wait), getaddrinfo=getaddrinfo, hosts="")
    where = address.parse(f"https://backend.example:{server.port}/")
    pool = Pool(where, None, Waits(wait), client.lines.log, tls_context=lambda: trusting, resolver=resolver)
    started = time.monotonic()
    with pytest.raises(ExchangeError) as error:
        pool.exchange(lambda: [REQUEST], 0.5)
    expected = f"waiting for the answer of 127.0.0.1:{server.port}"
    assert (error.value.reason, error.value.detail) == ("timeout", expected)
    # The lookup and the handshake leave time for the answer; all that is waited for in the end is that.
    whole = max(ends)
    assert whole == ends[-1] == pytest.approx(started + 0.5, abs=0.2)
    assert ends[:2] == [pytest.approx(whole - 0.5 * (1 - SET_UP_SHARE), abs=0.02)] * 2
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


def test_an_early_answer_is_seen_before_the_whole_request_is_out(server: Server, certificate: Path) -> None:
    """413 from a server that reads no further: the rest would only be thrown away."""
    read: list[int] = []
    hung_up = threading.Event()

    def early(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(http(413))
        while data := connection.recv(65536):
            read.append(len(data))
        hung_up.set()

    server.behaviours = [tls(certificate, early)]
    context = ssl.create_default_context(cafile=certificate / "cert.pem")
    client = Client(f"https://localhost:{server.port}/", context=context)
    response = client.exchange(b"x" * 50_000_000)
    assert (response.status, response.is_early) == (413, True)
    client.close()
    assert hung_up.wait(5)
    assert sum(read) < 49_000_000


def test_a_handshake_that_hangs_is_said_to(server: Server) -> None:
    server.behaviours = [server.hanging]
    client = Client(f"https://localhost:{server.port}/")
    with pytest.raises(ExchangeError) as error:
        client.ask(timeout_s=0.3)
    assert (error.value.reason, error.value.detail) == ("timeout", f"handshake with 127.0.0.1:{server.port}")
    client.close()


def test_a_host_that_cannot_be_a_name_is_an_error_of_tls(server: Server) -> None:
    """IDNA refuses it; through a proxy nobody looks it up before."""

    def behave(connection: socket.socket) -> None:
        server.read(connection)
        connection.sendall(b"HTTP/1.1 200 Established\r\n\r\n")
        server.over.wait(10)

    server.behaviours = [behave]
    client = Client("https://h..x/", proxy=f"http://127.0.0.1:{server.port}", context=ssl.create_default_context())
    with pytest.raises(ExchangeError) as error:
        client.ask()
    assert error.value.reason == "tls"
    client.close()


@given(
    st.lists(st.text("aZ-0_", max_size=3) | st.sampled_from(["x" * 63, "x" * 64, "ü", "ß"]), max_size=4).map(".".join)
)
def test_a_host_is_named_as_the_codec_of_idna_names_it(host: str) -> None:
    """Which an ASCII name does without."""
    try:
        expected = host.encode("idna").decode("ascii")
    except UnicodeError:
        with pytest.raises(UnicodeError):
            named(host)
    else:
        assert named(host) == expected


def test_tls_needs_nothing_of_ssl_but_the_library_itself(server: Server, certificate: Path) -> None:
    """Neither its enumerations nor the tables of internationalised names, which take 2 MB; a whole exchange does."""
    server.behaviours = [tls(certificate, server.answering(http(200)))]
    script = f"""if True:
        import os, sys, time
        sys.path.insert(0, {str(Path(__file__).parents[3])!r})
        from lifecycle.contract.log import Log
        from shipper.commands import Commands
        from shipper.transport.address import parse
        from shipper.transport.pool import Pool
        from shipper.transport.trust import context_of
        before = set(sys.modules)
        commands = Commands(os.pipe()[0])
        commands.deadline = time.monotonic() + 20
        context, _ = context_of(("CERTIFICATE", {str(certificate / "cert.pem")!r}))
        url = "https://localhost:{server.port}/"
        pool = Pool(parse(url), None, commands, Log("shipper"), tls_context=lambda: context)
        request = b"POST / HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 2\\r\\n\\r\\nok"
        print(pool.exchange(lambda: [request], 20).status)
        print(*set(sys.modules) & {{"ssl", "socket", "enum", "encodings.idna", "stringprep", "unicodedata"}} - before)
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["200"]


def test_authorities_that_cannot_be_read_are_an_error_of_tls(server: Server) -> None:
    server.behaviours = [server.hanging]
    client = Client(f"https://localhost:{server.port}/")

    def context() -> ssl.SSLContext:
        return ssl.create_default_context(cafile="/nowhere")

    client.pool = Pool(address.parse(client.url), None, client.commands, client.lines.log, tls_context=context)
    with pytest.raises(ExchangeError) as error:
        client.ask()
    assert (error.value.reason, error.value.detail) == ("tls", "[Errno 2] No such file or directory")
    client.close()


def test_a_python_without_libssl_is_an_error_of_tls(server: Server) -> None:
    """As where a library is missing; the connection itself is none of its business."""
    server.behaviours = [server.hanging]
    script = f"""if True:
        import select, sys
        sys.modules["_ssl"] = None
        from lifecycle.contract.log import Log
        from shipper.errors import ExchangeError
        from shipper.transport.address import parse
        from shipper.transport.pool import Pool
        class Timing:
            def time_left_s(self): return 5
            def wait(self, fd, events, until):
                poll = select.poll(); poll.register(fd, events)
                return dict(poll.poll(5000)).get(fd, 0)
        try:
            Pool(parse("https://127.0.0.1:{server.port}/"), None, Timing(), Log("x")).exchange(list, 5)
        except ExchangeError as exc:
            print(exc.reason)
    """
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert (found.stdout, found.stderr) == ("tls\n", "")


def said_of(process: subprocess.Popen[bytes], text: bytes) -> None:
    """Reads what a process says until this stands in it."""
    assert process.stdout is not None
    assert any(text in line for line in process.stdout), f"it ended without {text!r}"


def test_a_server_that_renegotiates_is_followed(certificate: Path) -> None:
    """TLS 1.2: in the middle of a connection, when the next request is about to be written."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = f"openssl s_server -tls1_2 -accept {port} -cert cert.pem -key key.pem".split()
    with subprocess.Popen(
        command, cwd=certificate, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdin is not None
        client = Client("http://unused/")
        dialer = Dialer("127.0.0.1", port, client.commands, Resolver(client.commands))
        context = ssl.create_default_context(cafile=certificate / "cert.pem")
        said_of(process, b"ACCEPT")
        stream = TlsConnection(
            dialer.connected(time.monotonic() + 5), lambda: context, "localhost", time.monotonic() + 5
        )
        said_of(process, b"Secure Renegotiation")
        process.stdin.write(b"r\n")  # asks for a new handshake
        process.stdin.flush()
        assert stream.has_come(time.monotonic() + 5)
        assert stream.send([b"GET /after HTTP/1.1\r\n\r\n"], time.monotonic() + 5)
        said_of(process, b"GET /after")
        stream.close()
        client.close()
        process.kill()


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(answers(), st.sampled_from(["within", "instead", "after", "goodbye"]))
def test_whatever_a_server_sends_is_an_answer_or_an_error_of_ours(
    server: Server, certificate: Path, pieces: list[bytes], where: str
) -> None:
    """Any bytes, within TLS, instead of it or after it, with a goodbye or without."""

    def within(connection: socket.socket) -> None:
        raw = socket.socket(fileno=os.dup(connection.fileno()))
        with raw:
            for number, piece in enumerate(pieces):
                if number == 1:
                    server.read(connection)
                (raw if where == "after" else connection).sendall(piece)
            if where == "goodbye":
                raw.settimeout(0.1)
                connection.unwrap()  # type: ignore[attr-defined]

    def instead(connection: socket.socket) -> None:
        for piece in pieces:
            connection.sendall(piece)

    server.behaviours = [instead if where == "instead" else tls(certificate, within)]
    context = ssl.create_default_context(cafile=certificate / "cert.pem")
    client = Client(f"https://localhost:{server.port}/", context=context)
    with suppress(ExchangeError):
        assert 100 <= client.exchange(timeout_s=0.3).status <= 999
    client.close()
