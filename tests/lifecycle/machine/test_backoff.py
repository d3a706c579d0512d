"""Pauses that double: between questions, restarts and probes."""

import pytest

from lifecycle.machine.backoff import MOST_UNCONNECTED, Backoff, NextRetry


def pauses(subject: Backoff, count: int, jitter: float = 1.0) -> list[float]:
    """What is paused after each of so many failures."""
    found = []
    for _ in range(count):
        subject.failed(jitter)
        found.append(subject.pause_s)
    return found


def test_pauses_double_from_the_first_to_the_longest() -> None:
    """However many there are."""
    assert pauses(Backoff(1.0, 10.0), 6) == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert pauses(Backoff(0.1, 10.0), 5000)[-1] == 10.0


def test_first_failures_may_cost_no_pause() -> None:
    """What was killed is started again at once."""
    assert pauses(Backoff(0.5, 10.0, at_once=3), 5) == [0.0, 0.0, 0.0, 0.5, 1.0]


def test_success_begins_the_pauses_anew() -> None:
    """Nothing paused before the next failure."""
    subject = Backoff(1.0, 10.0)
    pauses(subject, 3)
    subject.succeeded()
    assert (subject.failures, subject.pause_s) == (0, 0.0)
    assert pauses(subject, 1) == [1.0]


@pytest.mark.parametrize(("jitter", "pause_s"), [(0.0, 2.0), (0.5, 3.0), (1.0, 4.0)])
def test_jitter_is_over_the_upper_half(jitter: float, pause_s: float) -> None:
    """Never at once."""
    assert pauses(Backoff(1.0, 10.0), 3, jitter)[-1] == pause_s


@pytest.mark.parametrize(("within_s", "pause_s"), [(100.0, 8.0), (3.0, 3.0), (0.0, 1.0)])
def test_pause_may_be_held_shorter_but_not_shorter_than_the_first(within_s: float, pause_s: float) -> None:
    """And held longer it is what it was."""
    subject = Backoff(1.0, 10.0)
    pauses(subject, 4)
    assert subject.pause_within(within_s) == pause_s


def test_next_event_is_asked_for_again_at_once_and_then_with_pauses() -> None:
    """An answer ends them."""
    subject = NextRetry()
    found = []
    for _ in range(4):
        subject.failed(500)
        found.append(subject.pause_s)
    assert found == [0.0, 0.1, 0.2, 0.4]
    subject.answered()
    subject.failed(500)
    assert subject.pause_s == 0.0


def test_platform_is_gone_when_it_takes_no_connection_many_times_in_a_row() -> None:
    """One answer, if only a refusal, says that it is there."""
    subject = NextRetry()
    for status in (*[0] * MOST_UNCONNECTED, 500, *[0] * MOST_UNCONNECTED):
        subject.failed(status)
        assert not subject.is_platform_gone
    subject.failed(0)
    assert subject.is_platform_gone
