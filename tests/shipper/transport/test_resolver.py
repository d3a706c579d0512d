"""Names to addresses, in bounded time."""

import os
import select
import socket
import threading
import time
from pathlib import Path

import pytest

from shipper.commands import Commands
from shipper.errors import ExchangeError
from shipper.transport.resolver import Resolver
from tests.shipper.support import Waits


def test_a_name_that_takes_long_to_resolve_costs_the_timeout(tmp_path: Path) -> None:
    """The lookup goes on, and the next try uses its answer."""
    proceed = threading.Event()
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, *_rest: int) -> list[object]:
        asked.append(host)
        assert proceed.wait(10)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    pipe, supervisor = os.pipe()
    commands = Commands(pipe)
    commands.deadline = time.monotonic() + 10
    resolver = Resolver(commands, getaddrinfo=getaddrinfo, hosts=str(tmp_path / "none"))
    with pytest.raises(ExchangeError) as error:
        resolver.addresses("backend.example", 443, time.monotonic() + 0.05)
    assert error.value.reason == "timeout"
    proceed.set()
    expected = [(socket.AF_INET, ("127.0.0.1", 443))]
    assert resolver.addresses("backend.example", 443, time.monotonic() + 5) == expected
    assert resolver.addresses("backend.example", 443, 0.0) == expected
    assert asked == ["backend.example"]
    resolver.forget("backend.example", 443)
    assert resolver.addresses("backend.example", 443, time.monotonic() + 5) == expected
    assert len(asked) == 2
    os.close(pipe)
    os.close(supervisor)


def test_a_name_is_looked_up_at_once_only_where_no_name_server_is_asked(tmp_path: Path) -> None:
    """Numbers, and what the hosts file has: also localhost goes to a thread where that lacks it."""
    threads: list[str] = []

    def getaddrinfo(host: str, port: int, *_rest: int) -> list[object]:
        threads.append(threading.current_thread().name)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))]

    def wait(fd: int, _events: int, _until: float) -> int:
        select.select([fd], [], [])
        return 1

    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost here # elsewhere\n")
    for host in ("10.0.0.1", "::1", "localhost", "here", "elsewhere"):
        Resolver(Waits(wait), getaddrinfo=getaddrinfo, hosts=str(hosts)).addresses(host, 80, 1.0)
    Resolver(Waits(wait), getaddrinfo=getaddrinfo, hosts=str(tmp_path / "none")).addresses("localhost", 80, 1.0)
    assert [name == "MainThread" for name in threads] == [True, True, True, True, False, False]


def test_a_name_that_does_not_resolve_is_said_to() -> None:
    def getaddrinfo(*_: object) -> list[object]:
        raise OSError(-2, "Name or service not known")

    def wait(fd: int, _events: int, _until: float) -> int:
        select.select([fd], [], [])
        return 1

    resolver = Resolver(Waits(wait), getaddrinfo=getaddrinfo)
    with pytest.raises(ExchangeError) as error:
        resolver.addresses("nowhere.example", 80, 1.0)
    assert (error.value.reason, error.value.detail) == ("resolve", "Name or service not known")
