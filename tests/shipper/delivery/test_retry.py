"""Tries again: how long after, how often, and when no longer."""

import pytest

from shipper.delivery.outcome import DONE, Outcome, Verdict
from shipper.delivery.retry import even, pause_before, persist
from tests.shipper.support import Timing

AGAIN = Outcome(verdict=Verdict.RETRY, reason="status_503")


def bound(tries: int, *, asked_s: float = 0.0) -> float:
    """The longest pause there can be."""
    return pause_before(tries, base_s=0.1, most_s=5.0, asked_s=asked_s, jitter=lambda: 1.0)


def persisted(
    timing: Timing, *outcomes: Outcome, first: Outcome = AGAIN, before: int = 0
) -> tuple[Outcome, list[tuple[str, int]]]:
    """The last outcome, and what was said of each try that was to be repeated."""
    rest, planned = list(outcomes), []
    last = persist(
        first,
        lambda: rest.pop(0),
        base_s=0.1,
        most_s=5.0,
        time_left_s=timing.time_left_s,
        pause=timing.pause,
        planned=lambda outcome, tries, _pause_s: planned.append((outcome.reason, tries)),
        is_final=lambda: timing.is_final,
        before=before,
        jitter=lambda: 1.0,
    )
    assert not rest
    return last, planned


def test_pauses_grow_up_to_the_longest() -> None:
    """Whatever the number of tries."""
    assert [bound(tries) for tries in (1, 2, 3)] == [0.1, 0.4, 1.6]
    assert bound(4) == bound(10_000) == 5.0


def test_a_pause_is_drawn_from_zero_up() -> None:
    """Full jitter; the numbers are the kernel's, so that no restored snapshot repeats another's."""
    assert pause_before(1, base_s=0.1, most_s=5.0, asked_s=0.0, jitter=lambda: 0.0) == 0.0
    drawn = {even() for _ in range(50)}
    assert len(drawn) == 50
    assert all(0 <= number < 1 for number in drawn)


@pytest.mark.parametrize(("left_s", "pauses"), [(4.0, [0.1, 0.4, 0.875]), (0.4, [0.1, 0.1, 0.1])])
def test_a_pause_of_the_last_shipment_leaves_time_for_what_follows(left_s: float, pauses: list[float]) -> None:
    """Three times its length, but for the first one's; and they begin anew, whatever was before."""
    timing = Timing(left_s)
    timing.is_final = True
    persisted(timing, AGAIN, AGAIN, DONE, before=9)
    assert timing.pauses == pytest.approx(pauses)


def test_pauses_go_on_growing_where_the_last_shipment_left_them() -> None:
    """Who took nothing then is asked less often now, and a pause that is too long ends the shipment at once."""
    timing = Timing(4.0)
    assert persisted(timing, AGAIN, before=2) == (AGAIN, [("status_503", 1)])
    assert timing.pauses == [1.6]
    timing = Timing(4.0)
    assert persisted(timing, before=3) == (AGAIN, [])


def test_what_the_destination_asks_for_is_kept() -> None:
    """However long, and never less."""
    assert bound(1, asked_s=30.0) == 30.0
    assert bound(9, asked_s=0.5) == 5.0


def test_it_ends_with_what_is_no_retry() -> None:
    """Taken or refused."""
    refused = Outcome(verdict=Verdict.REFUSED, reason="status_400")
    timing = Timing(100.0)
    assert persisted(timing, AGAIN, AGAIN, DONE) == (DONE, [("status_503", 1), ("status_503", 2), ("status_503", 3)])
    assert timing.pauses == [0.1, 0.4, 1.6]
    assert persisted(timing, first=refused) == (refused, [])


def test_it_ends_before_a_pause_that_the_deadline_would_cut() -> None:
    """The last outcome says why."""
    timing = Timing(1.0)
    asked = Outcome(verdict=Verdict.RETRY, reason="status_429", retry_after_s=1.0)
    assert persisted(timing, first=asked) == (asked, [])
    assert timing.pauses == []


def test_the_last_shipment_asks_once_more_after_half_of_the_time() -> None:
    """There is no better moment than that, and no second one."""
    timing = Timing(2.0)
    timing.is_final = True
    asked = Outcome(verdict=Verdict.RETRY, reason="status_429", retry_after_s=60.0)
    assert persisted(timing, asked, first=asked) == (asked, [("status_429", 1)])
    assert timing.pauses == [1.0]
