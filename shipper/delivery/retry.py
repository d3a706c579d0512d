"""Tries again: full-jitter exponential backoff by tenacity.

The only module that imports tenacity, and it is imported when the first retry is needed: a healthy run never
pays for it. Clock and sleep are the caller's.
"""

import os
from collections.abc import Callable

from shipper.delivery.outcome import Outcome, Verdict

# A pause leaves at least three times its length for what follows it: a try that is not made helps nobody, and at
# shutdown there is no other time. It need not be shorter than the first one, though.
_SHARE = 4

# Where nothing comes afterwards, a server that asks for more time than there is gets one more try, after this share of
# what is left: there is no better moment.
_LAST_SHARE = 0.5


def even() -> float:
    """A number from 0 up to 1, from the kernel: a restored snapshot does not repeat it."""
    return int.from_bytes(os.urandom(7), "little") / 2**56


def pause_before(
    tries: int, *, base_s: float, most_s: float, left_s: float, asked_s: float, jitter: Callable[[], float]
) -> float:
    """Seconds until the next try.

    Drawn evenly from zero to `base_s * 2**(tries - 1)`, at most `most_s` ("Full Jitter", AWS Architecture Blog, 2015),
    nor more than a share of the time left, and never shorter than what the destination asked for.

    Args:
        tries: Made so far.
        base_s: Bound of the first pause.
        most_s: Bound of any.
        left_s: Seconds until the deadline.
        asked_s: What the destination asked for; 0 when it did not.
        jitter: Draws from [0, 1).
    """
    # The exponent is bounded so that a long night makes no huge number of it.
    bound_s = min(most_s, base_s * (1 << min(tries - 1, 30)), max(base_s, left_s / _SHARE))
    return max(jitter() * bound_s, asked_s)


def persist(
    first: Outcome,
    again: Callable[[], Outcome],
    *,
    base_s: float,
    most_s: float,
    time_left_s: Callable[[], float],
    pause: Callable[[float], None],
    planned: Callable[[Outcome, int, float], None],
    is_final: Callable[[], bool] = lambda: False,
    jitter: Callable[[], float] = even,
) -> Outcome:
    """Repeats a try until it ends otherwise than in RETRY, or the next pause (`pause_before`) would pass the deadline.

    Args:
        first: Outcome of the first try, which was made without this module.
        again: Makes another.
        base_s: Bound of the first pause.
        most_s: Bound of any.
        time_left_s: Seconds until the deadline, which may move meanwhile.
        pause: Sleeps.
        planned: Called for each failed try that is to be repeated: outcome, its number, pause in seconds.
        is_final: Whether nothing comes afterwards.
        jitter: Draws from [0, 1).

    Returns:
        The last try's outcome.
    """
    from lifecycle.contract.lean import load_tenacity

    load_tenacity()
    import tenacity

    made = [first]
    has_had_last = False

    def attempt() -> Outcome:
        return made.pop() if made else again()

    def outcome_of(state: tenacity.RetryCallState) -> Outcome:
        if state.outcome is None:
            raise TypeError("tenacity asked about a try that was not made")
        result: Outcome = state.outcome.result()
        return result

    def wait(state: tenacity.RetryCallState) -> float:
        pause_s = pause_before(
            state.attempt_number,
            base_s=base_s,
            most_s=most_s,
            left_s=time_left_s(),
            asked_s=outcome_of(state).retry_after_s,
            jitter=jitter,
        )
        nonlocal has_had_last
        if is_final() and not has_had_last and pause_s >= time_left_s():
            has_had_last = True
            return time_left_s() * _LAST_SHARE
        return pause_s

    def stop(state: tenacity.RetryCallState) -> bool:
        return state.upcoming_sleep >= time_left_s()

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda outcome: outcome.verdict is Verdict.RETRY),
        wait=wait,
        stop=stop,
        sleep=pause,
        before_sleep=lambda state: planned(outcome_of(state), state.attempt_number, state.upcoming_sleep),
        retry_error_callback=outcome_of,
    )
    return retrying(attempt)
