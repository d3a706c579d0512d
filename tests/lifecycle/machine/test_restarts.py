"""When a dead worker is replaced: at once, then with pauses, and never not at all."""

from lifecycle.machine.restarts import DEATHS_TO_FAIL, FIRST_PAUSE_S, IMMEDIATE, LONGEST_PAUSE_S, SETTLED_S, Restarts


def test_first_deaths_are_answered_at_once_the_next_with_doubling_pauses() -> None:
    """Up to the longest, for ever."""
    subject = Restarts(0.0)
    pauses = []
    for _ in range(30):
        subject.died("shipper", 10.0)
        assert not subject.is_alive("shipper")
        assert subject.wakes_at is not None
        pauses.append(round(subject.wakes_at - 10.0, 3))
        assert subject.due(subject.wakes_at) == ["shipper"]
        assert subject.is_alive("shipper")
    doubling = [FIRST_PAUSE_S * 2**n for n in range(5)]
    assert pauses[: IMMEDIATE + 5] == [0.0] * IMMEDIATE + doubling
    assert pauses[-1] == LONGEST_PAUSE_S


def test_progress_makes_the_deaths_before_it_count_no_more() -> None:
    """Of that worker alone."""
    subject = Restarts(0.0)
    for _ in range(DEATHS_TO_FAIL - 1):
        subject.died("shipper", 0.0)
        subject.died("collector", 0.0)
    subject.progressed("shipper")
    subject.died("shipper", 0.0)
    subject.died("collector", 0.0)
    assert (subject.deaths("shipper"), subject.is_failing("shipper")) == (1, False)
    assert (subject.deaths("collector"), subject.is_failing("collector")) == (DEATHS_TO_FAIL, True)


def test_worker_in_its_pause_is_back_by_the_moment_when_it_is_due() -> None:
    """One that is there is back by any."""
    subject = Restarts(0.0)
    assert subject.is_back_by("shipper", 0.0)
    for _ in range(IMMEDIATE + 1):
        subject.died("shipper", 10.0)
    assert not subject.is_back_by("shipper", 10.0)
    assert subject.is_back_by("shipper", 10.0 + FIRST_PAUSE_S)


def test_pauses_can_be_ended_at_once() -> None:
    """Whoever is in one is due."""
    subject = Restarts(0.0)
    for _ in range(20):
        subject.died("shipper", 10.0)
    assert subject.due(10.1) == []
    subject.hasten(10.1)
    assert subject.due(10.1) == ["shipper"]


def test_worker_that_is_killed_while_it_has_nothing_to_do_is_replaced_at_once_if_it_lived_for_a_while() -> None:
    """One that dies as soon as it is started may be ill all the same."""
    subject = Restarts(0.0)
    for number in range(1, 20):
        subject.died("shipper", number * SETTLED_S, was_idle=True)
        assert subject.due(number * SETTLED_S) == ["shipper"]
    for _ in range(IMMEDIATE):
        subject.died("shipper", 20.0, was_idle=True)
        subject.due(20.0)
    assert not subject.is_failing("shipper")
    subject.died("shipper", 20.0, was_idle=True)
    assert subject.due(20.0) == []


def test_worker_is_there_from_its_start_until_it_is_killed() -> None:
    """Not in the pause before its successor, either."""
    subject = Restarts(5.0)
    assert subject.started_at("collector") == 5.0
    subject.killed("collector")
    assert subject.started_at("collector") is None
    subject.died("collector", 6.0)
    assert subject.started_at("collector") is None
    subject.due(7.0)
    assert subject.started_at("collector") == 7.0
