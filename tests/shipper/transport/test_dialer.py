"""Connecting to a server of several addresses, some of which nobody answers at."""

import socket
import time
from collections.abc import Iterator

import pytest

from shipper.errors import ExchangeError
from shipper.transport.dialer import ATTEMPT_DELAY_S, MOST_ADDRESSES, Dialer, alternating, shown
from shipper.transport.resolver import Resolver
from tests.shipper.transport.client import Client
from tests.shipper.transport.listeners import full_listener

V4, V6 = socket.AF_INET, socket.AF_INET6


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def dialer_of(client: Client, port: int, *hosts: str) -> tuple[Dialer, list[str]]:
    """A dialer of a name that has these addresses, and what was looked up."""
    asked: list[str] = []

    def getaddrinfo(host: str, _port: int, *_rest: int) -> list[object]:
        asked.append(host)
        return [(V4, socket.SOCK_STREAM, 6, "", (host, port)) for host in hosts]

    resolver = Resolver(client.commands, getaddrinfo=getaddrinfo, hosts="")
    return Dialer("backend.example", port, client.commands, resolver), asked


def test_an_address_that_drops_packets_costs_a_moment(listener: socket.socket, client: Client) -> None:
    """The next one is tried beside it, and is the first to be tried from then on."""
    with full_listener() as port, socket.create_server(("127.0.0.2", port)):
        dialer, _ = dialer_of(client, port, "127.0.0.1", "127.0.0.2")
        took_s = []
        for _ in range(2):
            started = time.monotonic()
            connection = dialer.connected(started + 5)
            took_s.append(time.monotonic() - started)
            connection.close()
    assert ATTEMPT_DELAY_S <= took_s[0] < 5
    assert took_s[1] < ATTEMPT_DELAY_S
    assert listener.fileno() >= 0


def test_where_time_is_short_the_next_address_is_tried_sooner(client: Client) -> None:
    """A share of it, and not all, goes into one."""
    with full_listener() as port, socket.create_server(("127.0.0.2", port)):
        dialer, _ = dialer_of(client, port, "127.0.0.1", "127.0.0.2")
        started = time.monotonic()
        dialer.connected(started + 0.4).close()
        assert time.monotonic() - started < ATTEMPT_DELAY_S


def test_an_address_that_refuses_costs_nothing(listener: socket.socket, client: Client) -> None:
    """The next one is tried at once."""
    port = listener.getsockname()[1]
    dialer, _ = dialer_of(client, port, "127.0.0.3", "127.0.0.1")
    started = time.monotonic()
    dialer.connected(started + 5).close()
    assert time.monotonic() - started < ATTEMPT_DELAY_S


def test_when_none_takes_a_connection_the_last_refusal_is_said(client: Client) -> None:
    """And the name is looked up again the next time: its addresses may be others by then."""
    with socket.create_server(("127.0.0.9", 0)) as taken:
        port = taken.getsockname()[1]
        dialer, asked = dialer_of(client, port, "127.0.0.3", "127.0.0.4")
        for _ in range(2):
            with pytest.raises(ExchangeError) as error:
                dialer.connected(time.monotonic() + 5)
    assert (error.value.reason, error.value.detail) == ("connect", f"Connection refused, 127.0.0.4:{port}")
    assert len(asked) == 2


def test_every_address_that_was_waited_for_is_said(client: Client) -> None:
    """Once the time is over."""
    with full_listener() as port, full_listener("127.0.0.2", port):
        dialer, _ = dialer_of(client, port, "127.0.0.1", "127.0.0.2")
        with pytest.raises(ExchangeError) as error:
            dialer.connected(time.monotonic() + 0.2)
    assert error.value.reason == "timeout"
    assert error.value.detail == f"connecting to 127.0.0.1:{port}, 127.0.0.2:{port}"


def test_a_name_without_addresses_is_said_to_have_none(client: Client) -> None:
    dialer, _ = dialer_of(client, 1)
    with pytest.raises(ExchangeError) as error:
        dialer.connected(time.monotonic() + 5)
    assert (error.value.reason, error.value.detail) == ("resolve", "no address")


def test_a_name_with_very_many_addresses_costs_no_more_descriptors(client: Client) -> None:
    """Those of a large service; the system prefers the first ones."""
    with full_listener() as port:
        dialer, _ = dialer_of(client, port, *["127.0.0.1"] * 100)
        with pytest.raises(ExchangeError) as error:
            dialer.connected(time.monotonic() + 0.3)
    assert error.value.detail.count("127.0.0.1") == MOST_ADDRESSES


def test_families_take_turns() -> None:
    """The first one's first (RFC 8305, section 4)."""
    addresses: list[tuple[int, tuple[object, ...]]] = [(V6, ("a", 1)), (V6, ("b", 1)), (V4, ("c", 1)), (V6, ("d", 1))]
    assert [address[1][0] for address in alternating(addresses)] == ["a", "c", "b", "d"]


def test_an_address_is_shown_as_one_writes_it() -> None:
    assert shown((V6, ("::1", 443, 0, 0))) == "[::1]:443"
    assert shown((V4, ("10.0.0.1", 443))) == "10.0.0.1:443"
