"""The requests of a batch: made, sent, tried again until that ends otherwise or the time is over.

Owns what is known of each signal's endpoint: whether it is well and, once one was not, its troubles. Decides nothing
of records.
"""

from collections.abc import Callable

import msgspec

from lifecycle.contract.log import Log
from shipper.delivery import retry as backoff
from shipper.delivery.batch import Parcel
from shipper.delivery.counts import Counts
from shipper.delivery.outcome import Outcome, Verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.delivery.health import Troubles
    from shipper.delivery.interfaces import Destination, Request, Timing

# Share of the time left that may go into sending other signals ahead: the first one comes first.
_AHEAD_SHARE = 0.25


class Tries:
    """Requests, one after another.

    Args:
        destination: Where to.
        timing: Until when.
        base_s: Bound of the first pause before a retry.
        most_s: Bound of any.
        log: Says what goes wrong once, and when it goes well again.
        jitter: Draws from [0, 1).
        clock: Monotonic seconds.

    Attributes:
        counts: What was done since it was last reported.
        reserved_s: Of the time left, what is not for trying again.
    """

    def __init__(
        self,
        destination: "Destination",
        timing: "Timing",
        *,
        base_s: float,
        most_s: float,
        log: Log,
        jitter: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self.counts = Counts()
        self.reserved_s = 0.0
        self._label = destination.label
        self._endpoints = destination.endpoints
        self._timing = timing
        self._base_s = base_s
        self._most_s = most_s
        self._log = log
        self._jitter = jitter
        self._clock = clock
        # Signals whose last request was taken.
        self._well: set[str] = set()
        self._troubles: Troubles | None = None

    @property
    def have_all_gone_well(self) -> bool:
        """Whether none has ever failed."""
        return self._troubles is None

    @property
    def troubles(self) -> "Troubles":
        """Those of every signal; loaded with the first."""
        if self._troubles is None:
            from shipper.delivery.health import Troubles

            self._troubles = Troubles(self._label, self._log, self._jitter, self._clock)
        return self._troubles

    def is_put_off(self, signal: str) -> bool:
        """Whether a signal is left alone now."""
        return self._troubles is not None and self._troubles.is_put_off(signal)

    def is_another_well(self, signal: str) -> bool:
        """Whether other signals are taken, whatever becomes of this one."""
        return bool(self._well - {signal})

    def failed(self, signal: str, outcome: Outcome) -> None:
        """Notes that a signal was not taken."""
        self._well.discard(signal)
        self.troubles.failed(signal, outcome)

    def prepare(self, signal: str, parcel: Parcel) -> None:
        """Makes the request for what is not done of a parcel, ahead of its turn."""
        if parcel.request is None:
            parcel.request = self._endpoints[signal].build(parcel.records[parcel.done :])

    def begin(self, signal: str, parcel: Parcel) -> None:
        """Sends it, too, if the destination can be at several: unless the signal was put off, and may take long."""
        if parcel.answered is not None or self._has_been_put_off(signal):
            return
        endpoint = self._endpoints[signal]
        if parcel.request is None:
            parcel.request = endpoint.build(parcel.records[parcel.done :])
        parcel.answered = endpoint.begin(parcel.request, self._timing.time_left_s() * _AHEAD_SHARE)

    def persist(self, signal: str, parcel: Parcel, low: int, high: int) -> Outcome:
        """Sends the records [low, high) until that ends otherwise than in RETRY or the time is over."""
        answered, parcel.answered = parcel.answered, None
        if answered is None and self._timing.time_left_s() <= 0:
            return Outcome(verdict=Verdict.HELD, reason=self._reason(signal))
        # What was made ahead is for all that is not done, which is what is sent first.
        made, parcel.request = parcel.request, None
        request = self._endpoints[signal].build(parcel.records[low:high]) if made is None else made
        was_put_off = self._has_been_put_off(signal)
        outcome = self._tried(signal, request, answered)
        if outcome.verdict is Verdict.RETRY and not was_put_off:
            outcome = backoff.persist(
                outcome,
                lambda: self._tried_again(signal, request),
                base_s=self._base_s,
                most_s=self._most_s,
                time_left_s=lambda: self._timing.time_left_s() - self.reserved_s,
                pause=self._timing.pause,
                said=self._retrying,
                jitter=self._jitter,
            )
        return outcome

    def _tried(self, signal: str, request: "Request", answered: Callable[[], Outcome] | None = None) -> Outcome:
        self.counts.requests += 1
        self.counts.wire_bytes += len(request.body)
        outcome = answered() if answered is not None else self._endpoints[signal].send(request)
        is_late = outcome.reason == "timeout" and self._timing.time_left_s() <= 0
        if outcome.reason == "deadline" or is_late:
            # The destination may be well: it was the shipment that had no time.
            outcome = msgspec.structs.replace(outcome, reason=self._reason(signal))
        if outcome.verdict is Verdict.RETRY or outcome.verdict is Verdict.HELD:
            self.failed(signal, outcome)
        elif outcome.verdict is Verdict.DONE:
            self._well.add(signal)
            if self._troubles is not None:
                self._troubles.went_well(signal)
        return outcome

    def _tried_again(self, signal: str, request: "Request") -> Outcome:
        if self._timing.time_left_s() <= 0:
            return Outcome(verdict=Verdict.HELD, reason=self._reason(signal))
        self.counts.retries += 1
        return self._tried(signal, request)

    def _has_been_put_off(self, signal: str) -> bool:
        return self._troubles is not None and self._troubles.has_been_put_off(signal)

    def _retrying(self, outcome: Outcome, tries: int, pause_s: float) -> None:
        pause_ms = round(pause_s * 1000, 1)
        self._log.debug("shipper.retry_planned", reason=outcome.reason, tries=tries, pause_ms=pause_ms)

    def _reason(self, signal: str) -> str:
        """Why there was no time left for a signal."""
        return (self._troubles.reason(signal) if self._troubles is not None else "") or "deadline"
