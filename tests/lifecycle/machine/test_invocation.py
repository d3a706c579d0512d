"""The invocation that runs: when it is let go at the latest, and when it ended."""

import pytest

from lifecycle.machine.events import BatchStored
from lifecycle.machine.invocation import DEADLINE_MARGIN_S, LAST_CALL_S, Invocation

BUFFER_S = 0.025


def invocation(timeout_s: float = 3.0, budget_s: float = 0.5) -> Invocation:
    """One that begins at moment 10."""
    return Invocation("r1", 10.0 + timeout_s, 10.0, budget_s=budget_s, buffer_s=BUFFER_S)


def finished(age_s: float | None = None, request_id: str = "r1") -> BatchStored:
    return BatchStored(100, 200, (request_id,), (), age_s)


def test_hold_ends_a_margin_before_the_deadline() -> None:
    """Until the function's end is known."""
    assert invocation().hold_ends == 13.0 - DEADLINE_MARGIN_S


@pytest.mark.parametrize(("timeout_s", "at"), [(3.0, 13.0 - LAST_CALL_S), (0.5, 10.25)])
def test_last_call_is_half_a_second_before_the_deadline_or_in_the_middle(timeout_s: float, at: float) -> None:
    """As there is time for it."""
    assert invocation(timeout_s).last_call_at == at


@pytest.mark.parametrize(
    ("age_s", "at"), [(None, 11.0 - BUFFER_S), (0.25, 10.75), (3600.0, 10.5), (-1.0, 11.0 - BUFFER_S)]
)
def test_end_is_as_old_as_the_platform_says_where_that_is_plausible(age_s: float | None, at: float) -> None:
    """Else about as old as the platform's buffer makes it."""
    subject = invocation()
    subject.stored(finished(age_s), 11.0)
    assert subject.finished_at == pytest.approx(at)
    assert subject.hold_ends == pytest.approx(at + 0.5)
    assert subject.hold_through == 200


def test_end_is_taken_once_and_from_its_own_runtime_done() -> None:
    """Another invocation's, and its own a second time, change nothing."""
    subject = invocation()
    subject.stored(finished(request_id="r0"), 10.5)
    assert subject.finished_at is None
    subject.stored(finished(0.0), 11.0)
    subject.stored(finished(0.0), 12.0)
    assert subject.finished_at == 11.0


def test_report_is_told_apart_from_the_end() -> None:
    """It may come later, or in the same batch."""
    subject = invocation()
    subject.stored(finished(), 11.0)
    assert not subject.is_reported
    subject.stored(BatchStored(200, 300, (), ("r1",)), 11.1)
    assert subject.is_reported


@pytest.mark.parametrize(("again", "ends"), [(False, 12.0 - BUFFER_S + 0.5), (True, 10.5)])
def test_collector_that_died_gives_the_hold_an_end(ends: float, *, again: bool) -> None:
    """It was at work until now, or was not there at all."""
    subject = invocation()
    subject.collector_died(12.0, again=again)
    assert subject.hold_ends == pytest.approx(ends)


def test_collector_that_died_after_the_end_changes_nothing() -> None:
    """All that is waited for is known."""
    subject = invocation()
    subject.stored(finished(0.0), 11.0)
    subject.collector_died(11.1, again=True)
    assert subject.hold_ends == 11.5
