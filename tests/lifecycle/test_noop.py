"""The extension when there is nothing to ship: every event is answered at once, until there are no more."""

import signal
from collections.abc import Iterator

import pytest

from lifecycle import noop
from lifecycle.boot import Booted
from lifecycle.contract.settings import Settings
from lifecycle.machine.backoff import MOST_UNCONNECTED
from tests.lifecycle.platform_stub import PlatformStub, refusal

INVOKE = b'{"eventType":"INVOKE","requestId":"r"}'
SHUTDOWN = b'{"eventType":"SHUTDOWN","shutdownReason":"spindown"}'


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Signal handlers are the process's, and this one goes on."""
    before = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)]
    yield
    for number, handler in before:
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses are written down and take no time."""
    found: list[float] = []
    monkeypatch.setattr(noop, "sleep", found.append)
    return found


def stayed(host_port: str) -> int:
    """Its exit status, at the platform of that address."""
    booted = Booted("tailrace", Settings({"AWS_LAMBDA_RUNTIME_API": host_port}))
    try:
        return noop.stay(booted)
    finally:
        booted.close()


def test_events_are_answered_until_shutdown(pauses: list[float]) -> None:
    """Each by the question for the next one."""
    with PlatformStub(refusal(200, INVOKE), refusal(200, INVOKE), refusal(200, SHUTDOWN)) as platform:
        assert stayed(platform.host_port) == 0
        assert platform.lines() == ["GET /2020-01-01/extension/event/next"] * 3
    assert not pauses


def test_errors_and_hang_ups_are_asked_through(pauses: list[float]) -> None:
    """Exiting would be a crash that fails an invocation; the first repetition is at once, the next after a pause."""
    with PlatformStub(refusal(500), refusal(403), b"", refusal(200, SHUTDOWN)) as platform:
        assert stayed(platform.host_port) == 0
    assert pauses[0] == 0
    assert 0 < pauses[1] < pauses[2]


def test_it_ends_when_the_platform_is_gone(pauses: list[float]) -> None:
    """Nobody takes a connection any more."""
    with PlatformStub() as platform:
        gone = platform.host_port
    assert stayed(gone) == 1
    assert len(pauses) == MOST_UNCONNECTED + 1
