"""When a dead worker is replaced: at once, with backoff, not at all."""

from lifecycle.machine.restarts import FIRST_PAUSE_S, IMMEDIATE, MOST_DEATHS, Restarts


def test_first_deaths_are_answered_at_once_the_next_with_doubling_pauses() -> None:
    """Up to the limit; after it nobody asks any more."""
    subject = Restarts()
    pauses = []
    for _ in range(MOST_DEATHS):
        subject.died("shipper", 10.0)
        assert not subject.is_alive("shipper")
        assert subject.wakes_at is not None
        pauses.append(round(subject.wakes_at - 10.0, 3))
        assert subject.due(subject.wakes_at) == ["shipper"]
        assert subject.is_alive("shipper")
    doubling = [FIRST_PAUSE_S * 2**n for n in range(MOST_DEATHS - IMMEDIATE)]
    assert pauses == [0.0] * IMMEDIATE + doubling
    assert subject.are_hopeless


def test_progress_makes_the_deaths_before_it_count_no_more() -> None:
    """Of that worker alone."""
    subject = Restarts()
    for _ in range(MOST_DEATHS - 1):
        subject.died("shipper", 0.0)
        subject.died("collector", 0.0)
    subject.progressed("shipper")
    subject.died("shipper", 0.0)
    assert not subject.are_hopeless
    subject.died("collector", 0.0)
    assert subject.are_hopeless


def test_worker_that_is_given_up_is_not_replaced() -> None:
    """Nor any other."""
    subject = Restarts()
    subject.died("shipper", 0.0)
    subject.give_up()
    assert (subject.wakes_at, subject.due(100.0)) == (None, [])
