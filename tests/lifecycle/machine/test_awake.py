"""Limits in time that the environment was awake."""

import pytest

from lifecycle.machine.awake import SLACK_S, TICK_S, AwakeLimits


def test_limit_is_over_when_so_much_time_was_looked_at() -> None:
    """Tick by tick, and at its very end."""
    subject = AwakeLimits(10.0)
    subject.begin("shipper", 0.25)
    moments = []
    while subject.wakes_at is not None:
        moments.append(subject.wakes_at)
        subject.pass_time(subject.wakes_at)
    assert moments == pytest.approx([10.1, 10.2, 10.25])
    assert subject.is_over("shipper")


def test_freeze_adds_no_more_than_a_tick() -> None:
    """However long it is."""
    subject = AwakeLimits(0.0)
    subject.begin("shipper", 2.0)
    looks = 0
    while not subject.is_over("shipper"):
        looks += 1
        subject.pass_time(3600.0 * looks)
    assert looks >= 2.0 / (TICK_S + SLACK_S)


def test_time_before_it_began_does_not_count() -> None:
    """Nor a clock that goes backwards."""
    subject = AwakeLimits(0.0)
    subject.pass_time(100.0)
    subject.begin("shipper", 0.05)
    assert not subject.is_over("shipper")
    subject.pass_time(99.0)
    assert not subject.is_over("shipper")


def test_limit_that_runs_is_not_begun_anew_and_ends_when_it_is_kept() -> None:
    """Each by its name."""
    subject = AwakeLimits(0.0)
    subject.begin("shipper", 0.1)
    subject.begin("collector", 0.5)
    subject.pass_time(0.1)
    subject.begin("shipper", 0.1)
    assert (subject.is_over("shipper"), subject.is_over("collector")) == (True, False)
    subject.end("shipper")
    assert (subject.is_running("shipper"), subject.is_running("collector")) == (False, True)
    assert not subject.is_over("shipper")
