"""Tries again: full-jitter exponential backoff by tenacity.

The only module that imports tenacity, and it is imported when the first retry is needed: a healthy run never
pays for it. Clock and sleep are the caller's.
"""

import os
from collections.abc import Callable

from shipper.delivery.outcome import Outcome, Verdict

# Each pause may be so many times as long as the one before: three tries fit a hold. Were they more, many environments
# that find a backend gone would ask it, each several times, for far more than it ever had.
_GROWTH = 4.0

# Where nothing comes afterwards, a pause leaves at least three times its length for what follows it: a try that is not
# made helps nobody. It need not be shorter than the first one, though.
_SHARE = 4

# Where nothing comes afterwards, a server that asks for more time than there is gets one more try, after this share of
# what is left: there is no better moment.
_LAST_SHARE = 0.5


def even() -> float:
    """A number from 0 up to 1, from the kernel: a restored snapshot does not repeat it."""
    return int.from_bytes(os.urandom(7), "little") / 2**56


def pause_before(tries: int, *, base_s: float, most_s: float, asked_s: float, jitter: Callable[[], float]) -> float:
    """Seconds until the next try.

    Drawn evenly from zero to `base_s * 4**(tries - 1)`, at most `most_s` ("Full Jitter", AWS Architecture Blog, 2015),
    and never shorter than what the destination asked for.

    Args:
        tries: Made in a row, and in vain.
        base_s: Bound of the first pause.
        most_s: Bound of any.
        asked_s: What the destination asked for; 0 when it did not.
        jitter: Draws from [0, 1).
    """
    # The exponent is bounded so that a long night makes no huge number of it.
    bound_s = min(most_s, base_s * _GROWTH ** min(tries - 1, 30))
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
    before: int = 0,
    jitter: Callable[[], float] = even,
) -> Outcome:
    """Repeats a try until it ends otherwise than in RETRY, or the next pause (`pause_before`) would pass the deadline.

    Pauses go on growing where the last shipment left them: a destination that took nothing then is asked once or twice
    by the next one, which ends soon. Where nothing comes afterwards they begin anew, and leave time for further tries.

    Args:
        first: Outcome of the first try, which was made without this module.
        again: Makes another.
        base_s: Bound of the first pause.
        most_s: Bound of any.
        time_left_s: Seconds until the deadline, which may move meanwhile.
        pause: Sleeps.
        planned: Called for each failed try that is to be repeated: outcome, its number, pause in seconds.
        is_final: Whether nothing comes afterwards.
        before: Tries that were made in vain since the destination last took something, the first one not counted.
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
        tries, longest_s = state.attempt_number + before, most_s
        if is_final():
            tries, longest_s = state.attempt_number, min(most_s, max(base_s, time_left_s() / _SHARE))
        pause_s = pause_before(
            tries,
            base_s=base_s,
            most_s=longest_s,
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
