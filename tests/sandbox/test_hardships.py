"""What else the sandbox can do to an extension and its connections, told from what a client sees of it."""

from __future__ import annotations

import errno
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.sandbox import BlackHole, Destination, Partial, PeakMemory, Raw, Renegotiate, Status
from tests.sandbox.process_limit import UnavailableError, no_forks

if TYPE_CHECKING:
    from tests.sandbox.conftest import Stage

BODY = b'{"uid":"1"}\n'
REQUEST = b"POST /x HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


def connected(backend: Destination) -> socket.socket:
    """A connection to a backend."""
    return socket.create_connection(("127.0.0.1", int(backend.url.rpartition(":")[2])), timeout=5)


def test_any_bytes_can_be_the_answer() -> None:
    """Once, or followed by others again and again; the records were not taken."""
    with Destination() as backend, connected(backend) as connection:
        backend.faults.script([Raw(b"HTTP/1.1 101 X\r\n\r\n"), Raw(b"a", more=b"bc", times=3, hangs_up=True)])
        connection.sendall(REQUEST)
        assert connection.recv(100) == b"HTTP/1.1 101 X\r\n\r\n"
        connection.sendall(REQUEST)
        assert b"".join(iter(lambda: connection.recv(100), b"")) == b"abcbcbc"
        assert backend.records() == []


def test_an_answer_can_come_before_the_body_was_read() -> None:
    """To requests of a size; what follows is left in the kernel, which takes little of it."""
    with Destination(receive_bytes=4096) as backend, connected(backend) as connection:
        backend.faults.early(Status(413), above_bytes=100_000)
        connection.sendall(REQUEST)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"POST /x HTTP/1.1\r\nContent-Length: 100000000\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.sendall(bytes(100_000_000))
        assert len(backend.records()) == 1


def test_connections_can_be_lost_without_a_word() -> None:
    """Those that were there; another is served."""
    with Destination() as backend, connected(backend) as lost:
        lost.sendall(REQUEST)
        assert lost.recv(100).startswith(b"HTTP/1.1 200 ")
        backend.leave_alone()
        lost.sendall(REQUEST)
        lost.settimeout(0.1)
        with pytest.raises(TimeoutError):
            lost.recv(100)
        with connected(backend) as other:
            other.sendall(REQUEST)
            assert other.recv(100).startswith(b"HTTP/1.1 200 ")
        assert len(backend.records()) == 2


def test_partial_success_can_be_compressed() -> None:
    """As the header says."""
    with Destination() as backend, connected(backend) as connection:
        backend.faults.script([Partial(1, gzipped=True)])
        connection.sendall(REQUEST)
        head, _, body = connection.recv(1000).partition(b"\r\n\r\n")
        assert b"Content-Encoding: gzip" in head
        assert body.startswith(b"\x1f\x8b")


def test_a_server_can_ask_for_another_handshake() -> None:
    """A client that does not wait for it finds that writing takes a read first."""
    with Destination(tls=True, most_tls=ssl.TLSVersion.TLSv1_2) as backend, connected(backend) as plain:
        backend.faults.script([Renegotiate()])
        context = ssl.create_default_context(cafile=str(backend.ca_path))
        arriving, leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = context.wrap_bio(arriving, leaving, server_hostname="localhost")

        def exchanged(act: str, *arguments: object) -> object:
            while True:
                try:
                    return getattr(client, act)(*arguments)
                except ssl.SSLWantReadError:
                    plain.sendall(leaving.read())
                    arriving.write(plain.recv(65536))

        exchanged("do_handshake")
        exchanged("write", REQUEST)
        exchanged("read", 1000)
        with pytest.raises(ssl.SSLWantReadError):
            client.write(REQUEST)


def test_a_black_hole_takes_no_connection_and_refuses_none() -> None:
    """Until it is closed."""
    with BlackHole() as hole, socket.socket() as one:
        one.settimeout(0.2)
        with pytest.raises(TimeoutError):
            one.connect((hole.address, hole.port))
    with socket.socket() as one, pytest.raises(ConnectionRefusedError):
        one.connect((hole.address, hole.port))


def test_a_name_can_have_other_addresses_for_extensions(stage: Stage) -> None:
    """In their own namespace: nobody else's changes."""
    (stage.layer / "extensions").mkdir(parents=True)
    looking = stage.layer / "extensions/looking"
    looking.write_text("#!/bin/sh\ngetent ahosts two.test | sort -u\n")
    looking.chmod(0o755)
    env = stage.environment({"hosts": ("127.0.0.2 two.test", "127.0.0.3 two.test")}, init_timeout_s=2.0)
    env.start()
    printed = "".join(env.printed("looking"))
    assert "127.0.0.2" in printed
    assert "127.0.0.3" in printed
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("two.test", 1)


def test_output_can_be_left_unread(stage: Stage) -> None:
    """What is printed meanwhile is read when it is heeded again."""
    stage.extension(print="early")
    env = stage.environment()
    env.start()
    assert env.printed("scripted") == ["early\n"]
    env.ignore_output("scripted")
    env.invoke()
    env.heed_output("scripted")
    env.shutdown()
    assert env.printed("scripted") == ["early\n"]


def test_an_invocation_can_go_untold_until_the_next(stage: Stage) -> None:
    """Its events come first then."""
    extension = stage.extension(types=["function"])
    env = stage.environment(withheld=(1,), freeze=False)
    env.invoke({"lines": 1})
    env.idle(0.1)
    assert extension.events() == []
    env.invoke({"lines": 2})
    extension.wait_for(3)
    assert len(extension.events()) == 3


def test_every_batch_can_come_by_a_connection_of_its_own(stage: Stage) -> None:
    """As a client without keep-alive sends it."""
    extension = stage.extension(types=["function"])
    env = stage.environment(dials_anew=True, freeze=False)
    for number in range(3):
        env.invoke({"lines": 1})
        extension.wait_for(number + 1)
    assert len(extension.events()) == 3


def test_an_event_can_be_nested_deeper_than_any_reader_goes(stage: Stage) -> None:
    """It is the event all the same, with one member more."""
    extension = stage.extension()
    env = stage.environment(next_faults={1: "deep"})
    env.invoke()
    status, text = extension.answers("/next")[0]
    assert status == 200
    assert text.startswith('{"eventType":"INVOKE",')
    with pytest.raises(RecursionError):
        json.loads(text)


def test_a_record_can_be_logged_that_no_output_could_print(stage: Stage) -> None:
    """Of several lines, say."""
    extension = stage.extension(types=["function"])
    env = stage.environment(freeze=False)
    env.invoke()
    env.log("one\ntwo\n")
    extension.wait_for(1)
    assert [event["record"] for event in extension.events()] == ["one\ntwo\n"]


def test_the_listener_is_where_the_subscription_says(stage: Stage) -> None:
    """An extension that has not subscribed has none."""
    stage.extension()
    env = stage.environment()
    env.start()
    with socket.create_connection(("127.0.0.1", env.listener("scripted")), timeout=1):
        pass
    with pytest.raises(LookupError):
        env.listener("other")


def test_descriptors_can_run_short(stage: Stage) -> None:
    """Nothing can be opened any more: not even what the extension notes."""
    stage.extension()
    env = stage.environment()
    env.start()
    env.exhaust_descriptors("scripted")
    assert env.invoke().error is not None


def test_descriptors_can_be_had_again(stage: Stage) -> None:
    """As many as there were before."""
    stage.extension()
    env = stage.environment()
    env.start()
    env.exhaust_descriptors("scripted")
    env.release_descriptors("scripted")
    assert env.invoke().ok


def test_peak_memory_is_more_than_what_is_left(stage: Stage) -> None:
    """Also of what came and went between two looks."""
    (stage.layer / "extensions").mkdir(parents=True)
    greedy, seen = stage.layer / "extensions/greedy", stage.layer / "seen"
    greedy.write_text(f"""#!/usr/bin/env python3
import os, time
len(b"x" * 80_000_000)
while not os.path.exists({str(seen)!r}):
    time.sleep(0.01)
""")
    greedy.chmod(0o755)
    env = stage.environment(init_timeout_s=20.0)
    starting = threading.Thread(target=env.start)
    with PeakMemory(env, "greedy") as memory:
        starting.start()
        until = time.monotonic() + 15
        while memory.peak_bytes <= 80e6 and time.monotonic() < until:
            time.sleep(0.01)
        seen.touch()
        starting.join()
    assert 80e6 < memory.peak_bytes < 120e6


def test_processes_can_run_short() -> None:
    """Nobody of those named can start another, for a while."""
    program = """
import os, sys
for _ in sys.stdin:
    try:
        print(os.fork() or os._exit(0))
    except OSError as exc:
        print(-exc.errno)
"""
    with subprocess.Popen(
        [sys.executable, "-u", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as forking:
        told, says = forking.stdin, forking.stdout
        assert told is not None
        assert says is not None

        def forked() -> int:
            told.write(b"\n")
            told.flush()
            return int(says.readline())

        try:
            with no_forks([forking.pid]):
                assert forked() == -errno.EAGAIN
        except UnavailableError as exc:
            pytest.skip(str(exc))
        finally:
            assert forked() > 0
            told.close()
