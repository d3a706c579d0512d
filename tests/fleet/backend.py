"""A backend of limited capacity: what it answers, and when."""

import random

import msgspec

# What an answer takes of a backend that has nothing else to do: from, and up to so much more.
LATENCY_S = 0.02
SPREAD_S = 0.02

# A refused connection, and an answer that needs no work.
REFUSED_S = 0.005

# A client's patience (TAILRACE_REQUEST_TIMEOUT_MS).
TIMEOUT_S = 5.0

# Requests queue for so long, then they are turned away with 503.
LONGEST_QUEUE_S = 1.0


class Trouble(msgspec.Struct, frozen=True):
    """What is wrong from one second to another.

    Attributes:
        begins_s: From when.
        ends_s: Until when.
        capacity: Share of the capacity that is left.
        hangs: Whether requests are never answered, where no capacity is left; otherwise they are refused at once.
        is_limit: Whether what exceeds the capacity is answered 429 at once, and not after a queue.
        retry_after_s: What these ask to wait; 0: they do not say.
    """

    begins_s: float
    ends_s: float
    capacity: float = 0.0
    hangs: bool = False
    is_limit: bool = False
    retry_after_s: float = 0.0


class Backend:
    """Answers requests one after the other.

    Args:
        capacity: Requests a second.
        troubles: What goes wrong, when.
        duration_s: How long it is watched.
        random: Of all that is random.

    Attributes:
        asked: Requests in each second.
        taken: Of those, the ones it took.
    """

    def __init__(self, capacity: float, troubles: tuple[Trouble, ...], duration_s: int, random: random.Random) -> None:
        self._capacity = capacity
        self._troubles = troubles
        self._draw = random.random
        self._free_at = 0.0
        self.asked = [0] * (duration_s + 1)
        self.taken = [0] * (duration_s + 1)

    def ask(self, now: float) -> tuple[float, bool, float]:
        """One request.

        Returns:
            When it is answered, whether it was taken, what is asked to wait.
        """
        self.asked[int(now)] += 1
        rate, longest_s, retry_after_s, base_s = self._capacity, LONGEST_QUEUE_S, 0.0, LATENCY_S
        for trouble in self._troubles:
            if trouble.begins_s <= now < trouble.ends_s:
                rate *= trouble.capacity
                if rate <= 0:
                    return now + (TIMEOUT_S if trouble.hangs else REFUSED_S), False, 0.0
                if trouble.is_limit:
                    longest_s, retry_after_s = 0.1, trouble.retry_after_s
        begins = max(now, self._free_at)
        if begins - now > longest_s:
            return now + REFUSED_S, False, retry_after_s
        self._free_at = begins + 1 / rate
        self.taken[int(now)] += 1
        return begins + base_s + SPREAD_S * self._draw(), True, 0.0
