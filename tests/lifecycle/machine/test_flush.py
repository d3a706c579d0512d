"""The flush policy, by fake clock."""

import pytest

from lifecycle.machine.flush import (
    CROWDED_SHARE,
    FIRST_TRIAL_S,
    MISSES_TO_OPEN,
    SHORT_MISS,
    Choice,
    Decision,
    FlushPolicy,
    Traffic,
)


class Alone(FlushPolicy):
    """The policy of the only route, and the function's traffic."""

    def __init__(
        self,
        mode: str = "adaptive",
        *,
        interval_s: float = 10.0,
        budget_s: float = 0.5,
        jitter: float = 1.0,
        can_hold: bool = True,
    ) -> None:
        self.traffic = Traffic(interval_s)
        super().__init__(
            self.traffic,
            mode,
            interval_s=interval_s,
            budget_s=budget_s,
            jitter=lambda: jitter,
            can_hold=can_hold,
        )

    def invoked(self, now: float, waiting_since: float | None) -> Decision:
        """An invocation began: what to do about it."""
        self.traffic.invoked(now)
        return self.decide(now, waiting_since)


def choices(subject: Alone, *moments: float, waiting_since: float | None = None) -> list[Choice]:
    """What the policy chooses for invocations at these moments."""
    return [subject.invoked(moment, waiting_since).choice for moment in moments]


def test_first_invocation_of_an_environment_counts_as_rare_and_is_held() -> None:
    """Nobody knows yet whether another invocation comes."""
    assert choices(Alone(), 0.0) == [Choice.HOLD]


def test_frequent_invocations_are_released_while_the_next_is_expected_in_time() -> None:
    """With a second between invocations and ten to spare, nothing is held."""
    assert choices(Alone(), 0.0, 1.0, 2.0, 3.0) == [Choice.HOLD, Choice.RELEASE, Choice.RELEASE, Choice.RELEASE]


def test_frequent_invocation_is_held_when_the_next_would_come_after_the_interval() -> None:
    """The oldest record was stored at 0; the invocation expected at 10.5 would be too late for it."""
    subject = Alone()
    choices(subject, 7.5, 8.5)
    assert subject.invoked(9.5, 0.0).choice is Choice.HOLD


def test_rare_invocations_are_all_held() -> None:
    """A minute between invocations is more than the interval."""
    assert choices(Alone(), 0.0, 60.0, 120.0) == [Choice.HOLD] * 3


def test_unusually_long_gap_makes_an_environment_rare_again() -> None:
    """Traffic that stopped for an hour says nothing about when the next invocation comes."""
    subject = Alone()
    choices(subject, 0.0, 1.0, 2.0)
    assert subject.traffic.expected_gap_s == pytest.approx(1.0)
    assert choices(subject, 3602.0) == [Choice.HOLD]
    assert subject.traffic.expected_gap_s is None


def test_clock_that_goes_backwards_is_no_gap() -> None:
    """A gap is never negative."""
    subject = Alone()
    choices(subject, 100.0, 40.0)
    assert subject.traffic.expected_gap_s == 0.0


def test_end_holds_every_invocation() -> None:
    """However frequent they are."""
    assert choices(Alone("end"), 0.0, 0.1, 0.2) == [Choice.HOLD] * 3


def test_no_budget_means_no_hold() -> None:
    """TAILRACE_FLUSH_BUDGET_MS=0 switches holding off in every mode."""
    assert choices(Alone("end", budget_s=0), 0.0) == [Choice.RELEASE]


@pytest.mark.parametrize("mode", ["adaptive", "end", "interval"])
def test_where_holding_makes_no_sense_what_is_overdue_goes_alongside(mode: str) -> None:
    """No platform events, or a buffer longer than the budget: /next is never withheld, and nothing waits for ever."""
    subject = Alone(mode, can_hold=False)
    assert subject.invoked(0.0, None).choice is Choice.RELEASE
    assert subject.invoked(5.0, 1.0).choice is Choice.RELEASE
    assert subject.invoked(11.0, 1.0).choice is Choice.ALONGSIDE


def test_interval_overlaps_only_when_the_interval_has_passed() -> None:
    """Nothing waits, waits for a while, waits for too long."""
    subject = Alone("interval")
    assert subject.invoked(0.0, None).choice is Choice.RELEASE
    assert subject.invoked(5.0, 1.0).choice is Choice.RELEASE
    assert subject.invoked(11.0, 1.0).choice is Choice.OVERLAP


def test_missing_runtime_done_stops_holds_until_one_is_seen() -> None:
    """One that never arrives costs one invocation, not all that follow."""
    subject = Alone("end")
    subject.traffic.unfinished()
    assert choices(subject, 0.0, 1.0) == [Choice.RELEASE] * 2
    subject.traffic.finished()
    assert choices(subject, 2.0) == [Choice.HOLD]


def test_breaker_opens_after_two_failures_and_holds_nothing() -> None:
    """One failure is a hiccup; with two the function comes first."""
    subject = Alone("end")
    subject.failed(0.0)
    assert choices(subject, 0.1) == [Choice.HOLD]
    subject.failed(0.2)
    assert subject.is_open
    assert choices(subject, 0.3, 0.4) == [Choice.RELEASE] * 2


def test_open_breaker_probes_with_doubling_pauses() -> None:
    """Each probe that fails makes the next one later."""
    subject = Alone("end")
    subject.failed(0.0)
    subject.failed(0.0)
    assert subject.invoked(0.99, 0.0).choice is Choice.RELEASE
    assert subject.invoked(1.0, 0.0).choice is Choice.ALONGSIDE
    subject.failed(1.0)
    assert subject.invoked(2.9, 0.0).choice is Choice.RELEASE
    assert subject.invoked(3.0, 0.0).choice is Choice.ALONGSIDE


def test_pauses_between_probes_end_at_a_minute() -> None:
    """An hour down is noticed to be over within a minute."""
    subject = Alone("end")
    for _ in range(20):
        subject.failed(0.0)
    assert subject.invoked(60.0, 0.0).choice is Choice.ALONGSIDE


@pytest.mark.parametrize(
    ("share", "pause_s"),
    [(0.0, 60.0), (CROWDED_SHARE / 2, 30.0), (CROWDED_SHARE * 0.9, 6.0), (CROWDED_SHARE, 1.0), (1.0, 1.0), (9.0, 1.0)],
)
def test_longest_pause_shrinks_as_the_backlog_fills(share: float, pause_s: float) -> None:
    """As much waits as a shutdown has time for: then the pause is the first one, and never shorter."""
    subject = Alone("end")
    for _ in range(20):
        subject.failed(100.0)
    subject.filled(share)
    assert not subject.may_ship(100.0 + pause_s - 0.01)
    assert subject.may_ship(100.0 + pause_s + 0.01)
    assert subject.invoked(100.0 + pause_s - 0.01, 0.0).choice is Choice.RELEASE
    assert subject.invoked(100.0 + pause_s + 0.01, 0.0).choice is Choice.ALONGSIDE


def test_backlog_that_fills_makes_no_pause_longer_and_keeps_the_jitter() -> None:
    """The second pause is two seconds, whatever the longest may be; half of any is by chance."""
    subject = Alone("end", jitter=0.0)
    for _ in range(3):
        subject.failed(0.0)
    subject.filled(CROWDED_SHARE / 2)
    assert (subject.may_ship(0.99), subject.may_ship(1.01)) == (False, True)
    subject.filled(1.0)
    assert (subject.may_ship(0.49), subject.may_ship(0.51)) == (False, True)


def test_backlog_that_fills_does_not_overrule_a_destination_that_asks_to_wait() -> None:
    """It knows better when it can take something."""
    subject = Alone("end")
    for _ in range(2):
        subject.failed(0.0, retry_after_s=30.0)
    subject.filled(1.0)
    assert (subject.may_ship(29.0), subject.may_ship(30.0)) == (False, True)


def test_probe_without_anything_to_ship_is_not_made() -> None:
    """There is nothing to try the destination with."""
    subject = Alone("end")
    subject.failed(0.0)
    subject.failed(0.0)
    assert subject.invoked(100.0, None).choice is Choice.RELEASE


def test_destination_that_asks_to_wait_is_given_that_time() -> None:
    """Retry-After goes before our own pause when it is longer."""
    subject = Alone("end")
    subject.failed(0.0)
    subject.failed(0.0, retry_after_s=30.0)
    assert subject.invoked(29.0, 0.0).choice is Choice.RELEASE
    assert subject.invoked(30.0, 0.0).choice is Choice.ALONGSIDE


def test_delivery_closes_the_breaker() -> None:
    """It closes by itself."""
    subject = Alone("end")
    subject.failed(0.0)
    subject.failed(0.0)
    subject.delivered(0.5, 0.1)
    assert choices(subject, 1.0) == [Choice.HOLD]


def test_delivery_slower_than_the_budget_leaves_the_breaker_open_and_ships_alongside() -> None:
    """A destination that needs 1.5 s works, but no invocation is to wait for it."""
    subject = Alone("end")
    subject.failed(0.0)
    subject.failed(0.0)
    subject.delivered(1.6, 1.5)
    assert [subject.invoked(moment, 0.0).choice for moment in (2.0, 2.1)] == [Choice.ALONGSIDE] * 2


def test_timed_shipment_is_due_an_interval_after_the_oldest_record() -> None:
    """And not before an interval has passed since the last try."""
    subject = Alone()
    assert subject.due_at(None, 0.0) is None
    assert subject.due_at(5.0, 0.0) == 15.0
    assert subject.due_at(5.0, 9.0) == 19.0


def test_timed_shipment_waits_for_the_probe_when_the_breaker_is_open() -> None:
    """A long-running function does not hammer a dead destination."""
    subject = Alone(interval_s=0.1)
    for _ in range(5):
        subject.failed(0.0)
    assert subject.due_at(0.0, 0.0) == 8.0
    assert not subject.may_ship(7.9)
    assert subject.may_ship(8.0)


def test_shipment_that_had_too_little_time_says_little() -> None:
    """Only many of them in a row, without a single answer, come to as much as one that had a hold's whole time."""
    subject = Alone("end")
    for _ in range(round(MISSES_TO_OPEN / SHORT_MISS) - 1):
        subject.failed(0.0, is_short=True)
    assert not subject.is_open
    subject.failed(0.0, is_short=True)
    assert subject.is_open


def test_answer_within_the_budget_is_as_good_as_a_delivery_while_the_breaker_is_closed() -> None:
    """Much was to be shipped, and there was no time for all of it."""
    subject = Alone("end")
    for _ in range(10):
        subject.failed(0.0)
        subject.answered(0.4)
    assert not subject.is_open
    subject.failed(0.0)
    subject.answered(0.6)
    subject.failed(0.0)
    assert subject.is_open
    subject.answered(0.1)
    assert subject.is_open


def test_delivery_of_unknown_speed_closes_the_breaker_for_a_trial_now_and_then() -> None:
    """A freeze may have lain between request and answer; one more miss opens it again, for twice as long."""
    subject = Alone("end")
    subject.failed(0.0)
    subject.failed(0.0)
    subject.delivered(FIRST_TRIAL_S - 0.1, None)
    assert subject.is_open
    subject.delivered(FIRST_TRIAL_S, None)
    assert choices(subject, FIRST_TRIAL_S) == [Choice.HOLD]
    subject.failed(FIRST_TRIAL_S)
    assert subject.is_open
    subject.delivered(2.9 * FIRST_TRIAL_S, None)
    assert subject.is_open
    subject.delivered(3.0 * FIRST_TRIAL_S, None)
    assert not subject.is_open
    subject.delivered(3.0 * FIRST_TRIAL_S, 0.1)
    subject.failed(40.0)
    assert not subject.is_open


@pytest.mark.parametrize(("took_s", "is_quick"), [(0.1, True), (0.6, False), (None, False)])
def test_destination_is_quick_that_is_known_to_have_been(took_s: float | None, *, is_quick: bool) -> None:
    """Nothing is known of one at the beginning, nor after a failure."""
    subject = Alone("end")
    assert not subject.is_quick
    subject.delivered(0.0, took_s)
    assert subject.is_quick == is_quick
    subject.failed(1.0)
    assert not subject.is_quick
