"""What is wrong with each signal's endpoint: said once, and for how long it is left alone.

Loaded with the first request that fails. Pure but for the log.
"""

from collections.abc import Callable

from lifecycle.contract.log import Log
from shipper.delivery.outcome import Outcome

# Between tries of a signal that the others do not wait for: from one to the other, doubling, like the breaker's.
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0


class _Trouble:
    """One signal's."""

    def __init__(self) -> None:
        self.reason = ""
        self.said: set[str] = set()
        self.failures = 0
        self.pause_s = 0.0
        self.resumes_at = 0.0


class Troubles:
    """Those of every signal.

    Args:
        label: What the destination is called.
        log: Says a trouble when it begins or changes, and when it is over.
        jitter: Draws from [0, 1).
        clock: Monotonic seconds.
    """

    def __init__(self, label: str, log: Log, jitter: Callable[[], float], clock: Callable[[], float]) -> None:
        self._label = label
        self._log = log
        self._jitter = jitter
        self._clock = clock
        self._all: dict[str, _Trouble] = {}

    def reason(self, signal: str) -> str:
        """Why the last try failed; "" when it did not."""
        trouble = self._all.get(signal)
        return trouble.reason if trouble else ""

    def failed(self, signal: str, outcome: Outcome) -> None:
        """Says a trouble once, when it begins or changes."""
        trouble = self._all.setdefault(signal, _Trouble())
        trouble.failures += 1
        fields = {"reason": outcome.reason, "detail": outcome.detail, "retry_after_s": outcome.retry_after_s}
        self._log.debug("shipper.request_failed", signal=signal, failures=trouble.failures, **fields)
        if outcome.reason == "deadline":
            return
        trouble.reason = outcome.reason
        if outcome.reason not in trouble.said:
            trouble.said.add(outcome.reason)
            self._log.warning("shipper.delivery_failing", destination=self._label, signal=signal, **fields)

    def went_well(self, signal: str) -> None:
        """The signal is taken again."""
        trouble = self._all.pop(signal, None)
        if trouble is not None and trouble.reason:
            self._log.info(
                "shipper.delivery_recovered",
                destination=self._label,
                signal=signal,
                after=trouble.reason,
                failures=trouble.failures,
            )

    def put_off(self, signal: str, reason: str, retry_after_s: float) -> bool:
        """Leaves the signal alone for a while; not where nothing is known but that time was short.

        Returns:
            Whether it does.
        """
        trouble = self._all.setdefault(signal, _Trouble())
        if reason == "deadline" and not trouble.pause_s:
            return False
        trouble.pause_s = min(2 * trouble.pause_s or FIRST_PAUSE_S, LONGEST_PAUSE_S)
        pause_s = max(trouble.pause_s * (1 + self._jitter()) / 2, retry_after_s)
        trouble.resumes_at = self._clock() + pause_s
        self._log.debug("shipper.signal_put_off", signal=signal, reason=reason, pause_s=round(pause_s, 1))
        return True

    def is_put_off(self, signal: str) -> bool:
        """Whether it is left alone now."""
        trouble = self._all.get(signal)
        return trouble is not None and self._clock() < trouble.resumes_at

    def has_been_put_off(self, signal: str) -> bool:
        """Whether others do not wait for it: it is tried once at a time."""
        trouble = self._all.get(signal)
        return trouble is not None and trouble.pause_s > 0

    def gave_up(self, signal: str, records: int) -> None:
        """Says once what becomes of what nobody took."""
        trouble = self._all.setdefault(signal, _Trouble())
        say = self._log.debug if "given up" in trouble.said else self._log.warning
        trouble.said.add("given up")
        say(
            "shipper.signal_given_up",
            signal=signal,
            reason=trouble.reason or "deadline",
            records=records,
            effect="these records are lost; the other signals do not wait for them",
        )
