"""Waits: for a descriptor, for time, for the supervisor; and what a freeze does to them."""

import os
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lifecycle.contract import wire
from lifecycle.contract.wire import Ship
from shipper.commands import Commands
from shipper.errors import SupervisorGoneError
from tests.shipper.support import Clock


class Freezes:
    """poll(2) on a clock that stands: a wait takes the time it was to, the next one as much more as told.

    Attributes:
        ready: What is found ready at the end of each wait.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.frozen_s = 0.0
        self.ready: list[tuple[int, int]] = []
        self.waits: list[int] = []

    def register(self, fd: int, events: int) -> None:
        """Nothing."""

    def unregister(self, fd: int) -> None:
        """Nothing."""

    def poll(self, wait_ms: int) -> list[tuple[int, int]]:
        """The time passes."""
        self.waits.append(wait_ms)
        self.clock.now += wait_ms / 1000 + self.frozen_s + 1e-6
        self.frozen_s = 0.0
        return self.ready


@contextmanager
def freezing() -> Iterator[tuple[Commands, Freezes, Clock]]:
    """Commands whose deadline is half a second away."""
    reading, writing = os.pipe2(os.O_DIRECT)
    clock = Clock()
    commands = Commands(reading, clock)
    poll = Freezes(clock)
    commands._poll = poll  # type: ignore[assignment]  # noqa: SLF001 - there is no other way to freeze a test
    commands.deadline = clock.now + 0.5
    yield commands, poll, clock
    os.close(reading)
    os.close(writing)


def test_wait_ends_when_its_time_or_the_shipments_is_over() -> None:
    with freezing() as (commands, poll, clock):
        began = clock.now
        assert commands.wait(7, select.POLLIN, began + 0.2) == 0
        assert clock.now == pytest.approx(began + 0.2, abs=0.01)
        assert commands.wait(7, select.POLLIN, began + 10) == 0
        assert clock.now == pytest.approx(began + 0.5, abs=0.01)
        assert sum(poll.waits) == pytest.approx(500, abs=10)


@pytest.mark.parametrize("frozen_s", [0.3, 7, 3600])
def test_time_that_passes_frozen_is_no_time_of_the_shipment(frozen_s: float) -> None:
    """Neither the wait nor the deadline comes nearer by it."""
    with freezing() as (commands, poll, clock):
        began = clock.now
        until = began + 0.3
        poll.frozen_s = frozen_s
        assert commands.wait(7, select.POLLIN, until) == 0
        assert clock.now == pytest.approx(began + 0.3 + frozen_s, abs=0.01)
        assert commands.time_left_s() == pytest.approx(0.2, abs=0.01)
        # The same moment, which has come long ago, is still waited for by whoever asks again.
        poll.frozen_s = frozen_s
        assert commands.wait(7, select.POLLIN, clock.now + 0.1) == 0
        assert commands.time_left_s() == pytest.approx(0.1, abs=0.01)


def test_pause_passes_while_frozen_and_is_no_time_of_the_shipment() -> None:
    """A destination gets better meanwhile: a second's pause is not one of five invocations of 200 ms, minutes apart."""
    with freezing() as (commands, poll, clock):
        commands.deadline = clock.now + 10
        began = clock.now
        poll.frozen_s = 30.0
        commands.pause(2.5)
        assert clock.now == pytest.approx(began + 30.1, abs=0.01)
        assert commands.time_left_s() == pytest.approx(9.9, abs=0.01)
        commands.pause(0.3)
        assert clock.now == pytest.approx(began + 30.4, abs=0.01)


def test_what_came_while_frozen_is_found_first() -> None:
    with freezing() as (commands, poll, _):
        poll.frozen_s = 60.0
        poll.ready = [(7, select.POLLIN)]
        assert commands.wait(7, select.POLLIN, 0.0) == select.POLLIN
        assert commands.time_left_s() > 0.4


def test_moment_that_passed_before_the_freeze_is_over() -> None:
    """Only what lay within it is moved."""
    with freezing() as (commands, poll, clock):
        poll.frozen_s = 60.0
        commands.wait(7, select.POLLIN, clock.now + 0.2)
        poll.waits.clear()
        assert commands.wait(7, select.POLLIN, clock.now - 100) == 0
        assert poll.waits == [0]


def test_end_of_the_environment_is_not_put_off() -> None:
    """A machine that is busy at shutdown moves no SIGKILL."""
    with freezing() as (commands, poll, clock):
        commands.is_final = True
        poll.frozen_s = 1.0
        assert commands.wait(7, select.POLLIN, clock.now + 10) == 0
        assert commands.time_left_s() < 0


def test_command_moves_the_deadline_of_a_wait() -> None:
    reading, writing = os.pipe2(os.O_DIRECT)
    commands = Commands(reading)
    commands.deadline = time.monotonic() + 60
    wire.send(writing, Ship(since=0, skip=0, until=7, deadline=time.monotonic() - 1))
    assert commands.wait(-1, 0, time.monotonic() + 60) == 0
    assert commands.until == 7
    os.close(writing)
    with pytest.raises(SupervisorGoneError):
        commands.wait(-1, 0, time.monotonic() + 60)
    os.close(reading)


def test_report_that_can_wait_is_sent_once_a_wait_gets_long() -> None:
    with freezing() as (commands, poll, clock):
        sent: list[float] = []
        began = clock.now
        commands.waiting_report = lambda: sent.append(clock.now - began)
        commands.wait(7, select.POLLIN, began + 0.3)
        assert sent == [pytest.approx(0.05, abs=0.01)]
        assert commands.waiting_report is None
        assert poll.waits[0] == 50
