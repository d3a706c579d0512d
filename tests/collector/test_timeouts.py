"""Awake time: what a freeze adds to it, and how long is waited."""

import pytest

from collector.timeouts import SLACK_S, TICK_S, AwakeClock, wait_s


def test_a_freeze_adds_no_more_than_the_wait_it_fell_into(monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour frozen in a tick of half a second is a tick; an endless wait depended on nothing."""
    time_s = 100.0
    monkeypatch.setattr("collector.timeouts.time.monotonic", lambda: time_s)
    clock = AwakeClock()
    time_s += 0.25
    clock.advance(TICK_S)
    assert clock.now_s == 0.25
    time_s += 3600
    clock.advance(TICK_S)
    assert clock.now_s == 0.25 + TICK_S + SLACK_S
    time_s += 3600
    clock.advance(None)
    assert clock.now_s > 3600


def test_waits_are_cut_into_ticks_only_when_something_is_due() -> None:
    """Nothing pending: no timer at all."""
    assert wait_s(float("inf"), 7) is None
    assert wait_s(100, 7) == TICK_S
    assert wait_s(7.25, 7) == 0.25
    assert wait_s(6, 7) == 0
