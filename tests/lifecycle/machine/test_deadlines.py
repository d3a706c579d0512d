"""Deadlines, over clocks that jump."""

import pytest

from lifecycle.machine.deadlines import SHUTDOWN_S, UNKNOWN_TIMEOUT_S, Deadlines

HOUR_S = 3600.0
EPOCH_S = 1_780_000_000.0


def left(deadlines: Deadlines, timeout_s: float, jump_s: float = 0.0) -> float:
    """Seconds an invocation is believed to have, when the wall clock jumped since its deadline was made."""
    deadline_ms = (EPOCH_S + timeout_s) * 1000
    return deadlines.of_invocation(deadline_ms, epoch_s=EPOCH_S + jump_s, now=50.0) - 50.0


@pytest.mark.parametrize("timeout_s", [0.5, 3.0, 900.0])
def test_deadline_is_what_the_platform_says(timeout_s: float) -> None:
    """Epoch milliseconds become monotonic seconds."""
    assert left(Deadlines(), timeout_s) == pytest.approx(timeout_s, abs=1e-3)


@pytest.mark.parametrize("jump_s", [HOUR_S, 24 * HOUR_S, -HOUR_S, -24 * HOUR_S])
def test_clock_that_jumped_breaks_no_deadline(jump_s: float) -> None:
    """The function's earlier deadlines say how long it may run."""
    deadlines = Deadlines()
    left(deadlines, 3.0)
    assert left(deadlines, 3.0, jump_s) == pytest.approx(3.0, abs=1e-3)
    assert left(deadlines, 3.0) == pytest.approx(3.0, abs=1e-3)


@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S])
def test_without_an_earlier_one_a_short_timeout_is_assumed(jump_s: float) -> None:
    """Better to let go early than late."""
    assert left(Deadlines(), 3.0, jump_s) == UNKNOWN_TIMEOUT_S


@pytest.mark.parametrize("first_s", [0.1, 1.2, 2.0])
def test_init_that_used_some_of_the_time_does_not_shorten_the_next(first_s: float) -> None:
    """After a reset, say, an init runs within the first invocation's timeout, and takes most of it."""
    deadlines = Deadlines()
    for timeout_s in (first_s, 3.0, 3.0, first_s, 3.0):
        assert left(deadlines, timeout_s) == pytest.approx(timeout_s, abs=1e-3)


def test_clock_that_lags_by_minutes_after_a_freeze_is_not_believed() -> None:
    """What would be left is more than the function ever had; a clock that stays so is believed the second time."""
    deadlines = Deadlines()
    left(deadlines, 3.0)
    left(deadlines, 3.0)
    assert left(deadlines, 3.0, -600.0) == pytest.approx(3.0, abs=1e-3)
    assert left(deadlines, 3.0) == pytest.approx(3.0, abs=1e-3)
    assert left(deadlines, 600.0) == pytest.approx(3.0, abs=1e-3)
    assert left(deadlines, 600.0) == pytest.approx(600.0, abs=1e-3)


@pytest.mark.parametrize(
    ("left_s", "believed_s"), [(2.0, 2.0), (0.7, 0.7), (-HOUR_S, SHUTDOWN_S), (HOUR_S, SHUTDOWN_S)]
)
def test_shutdown_has_two_seconds_at_most(left_s: float, believed_s: float) -> None:
    """Whatever the clock says."""
    moment = Deadlines.of_shutdown((EPOCH_S + left_s) * 1000, epoch_s=EPOCH_S, now=50.0)
    assert moment - 50.0 == pytest.approx(believed_s, abs=1e-3)
