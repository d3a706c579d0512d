"""Brings a batch to its destination: tries again, splits what is too large, isolates what is refused.

Decides only; `tries` makes the requests. What cannot be delivered now is held, never dropped: given
up is a record alone that is too large by itself, or that is refused where others are taken (`suspects`). A signal whose
endpoint fails while another's is well is put off, and nothing waits for it.
"""

import time
from collections.abc import Callable, Collection, Iterable

from lifecycle.contract.log import Log
from shipper.delivery import retry as backoff
from shipper.delivery.batch import Batch, Limits, Parcel
from shipper.delivery.outcome import UNKNOWN_PATH, Outcome, Verdict
from shipper.delivery.poison import Patience, Suspects
from shipper.delivery.sender import Tries
from shipper.errors import HeldError
from shipper.model.signals import LOGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.delivery.interfaces import Destination, Timing

# A destination that takes less than this at once takes nothing.
_LEAST_BATCH_BYTES = 4096

# What the ledger calls records that a signal's endpoint took neither in time nor while there was room to wait.
UNDELIVERED = "undelivered"

# What it calls records that were given up for what was answered.
TOO_LARGE = "too_large"
REFUSED = "refused"
UNTAKEN = "untaken"

# Of batches up to this size all bodies are made before the first is sent: one right after the other costs half of what
# it costs after a wait, in which others have used the processor's caches.
_SMALL_BATCH_BYTES = 65_536


class Delivery:
    """Delivers batches, one after another.

    Args:
        destination: Where to.
        timing: Until when.
        limits: Made smaller when the destination says too large.
        base_s: Bound of the first pause before a retry.
        most_s: Bound of any.
        log: Says what goes wrong once, and when it goes well again.
        jitter: Draws from [0, 1).
        clock: Monotonic seconds.

    Attributes:
        counts: What was done since it was last reported.
        lacked_time: Some signal of the batches since this was last set did not get its turn before the deadline.
    """

    def __init__(
        self,
        destination: "Destination",
        timing: "Timing",
        limits: Limits,
        *,
        base_s: float,
        most_s: float,
        log: Log,
        jitter: Callable[[], float] = backoff.even,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tries = Tries(destination, timing, base_s=base_s, most_s=most_s, log=log, jitter=jitter, clock=clock)
        self.counts = self._tries.counts
        self.lacked_time = False
        self._timing = timing
        self._limits = limits
        self._log = log
        self._clock = clock
        self._patience: dict[str, Patience] = {}
        self._gave_up = False

    def deliver(
        self,
        batch: Batch,
        settled: Callable[[Batch], None],
        *,
        behind: Collection[str] = (),
        even_put_off: bool = False,
    ) -> None:
        """Delivers or drops the records of a batch, signal by signal; a signal that is put off is left as it is.

        Args:
            batch: Its parcels' `done` and its `lost` tell how far it got, also after an error.
            settled: Told after every request, and at the end.
            behind: Signals that earlier batches owe: theirs go first, so these are left, too.
            even_put_off: There is no later: what is put off is tried, too.

        Raises:
            HeldError: The rest cannot be delivered now, and no signal goes on without it.
        """
        self._gave_up = False
        tries, owed = self._tries, batch.owed.difference(behind)
        signals = [name for name in batch.parcels if name in owed and (even_put_off or not tries.is_put_off(name))]
        self._prepare(batch, signals)
        held: HeldError | None = None
        is_first_try = True
        while signals:
            signal = signals.pop(0)
            # Lines have all the time; what comes after them leaves half of it to what is behind.
            is_modest = signal != LOGS and tries.is_another_well(signal)
            tries.reserved_s = self._timing.time_left_s() / 2 if is_modest else 0.0
            try:
                self._deliver(signal, batch.parcels[signal], batch, settled)
            except HeldError as exc:
                if signal == LOGS and exc.reason in UNKNOWN_PATH and signals and is_first_try:
                    # It may be that the destination knows no logs: that shows once it has taken another signal.
                    signals.append(signal)
                    is_first_try = False
                elif signal != LOGS and tries.is_another_well(signal):
                    self.lacked_time |= not tries.troubles.put_off(signal, exc.reason, exc.retry_after_s)
                elif self._timing.is_final:
                    held = held or exc  # the others have no later
                else:
                    raise
        if held is not None:
            raise held
        settled(batch)

    def begin(self, batches: Iterable[Batch]) -> None:
        """Has the destination work on all spans and metrics at once: one by one, there may be time for one answer."""
        for batch in batches:
            for signal in batch.owed - {LOGS}:
                self._tries.begin(signal, batch.parcels[signal])

    def _prepare(self, batch: Batch, signals: list[str]) -> None:
        """Makes requests before their turn: in the last shipment, and of a small batch if nothing ever went wrong."""
        if self._timing.is_final:
            for signal in signals[1:]:
                self._tries.begin(signal, batch.parcels[signal])
        elif len(signals) > 1 and batch.body_bytes <= _SMALL_BATCH_BYTES and self._tries.have_all_gone_well:
            for signal in signals:
                self._tries.prepare(signal, batch.parcels[signal])

    def give_up(self, batch: Batch, settled: Callable[[Batch], None]) -> None:
        """Gives up what of a batch is put off: there is neither time nor room to wait any longer."""
        for signal in batch.owed:
            self._tries.troubles.gave_up(signal, batch.lose(signal, UNDELIVERED))
        settled(batch)

    def _deliver(self, signal: str, parcel: Parcel, batch: Batch, settled: Callable[[Batch], None]) -> None:
        ranges = [(parcel.done, len(parcel.records))] if parcel.done < len(parcel.records) else []
        suspects = Suspects()
        while ranges:
            low, high = ranges.pop()
            outcome = self._tries.persist(signal, parcel, low, high)
            if outcome.verdict is Verdict.DONE:
                batch.rejected += self._rejected(outcome, high - low)
                self._try_suspects_again(signal, suspects, batch, parcel)
            elif outcome.verdict is Verdict.UNSUPPORTED:
                self._leave(signal, outcome, batch)
                settled(batch)
                break
            elif outcome.verdict not in (Verdict.SPLIT, Verdict.REFUSED):
                raise HeldError(outcome.reason, outcome.retry_after_s)
            elif high - low > 1:
                middle = (low + high) // 2
                ranges += [(middle, high), (low, middle)]
                self._shrink(outcome, parcel, low, high)
                continue
            else:
                suspects.refused.append((low, outcome))
                is_time = not suspects.is_proven and suspects.are_many and bool(ranges)
                if is_time and self._takes_the_last(signal, batch, parcel, ranges):
                    self._try_suspects_again(signal, suspects, batch, parcel)
            if suspects.is_proven or suspects.is_one_too_large(parcel.records, _LEAST_BATCH_BYTES):
                self._convict(suspects, batch, parcel)
                parcel.done = high
                settled(batch)
            elif suspects.are_many or not ranges:
                self._hold(signal, suspects, outcome, batch, parcel)
                parcel.done = high
                settled(batch)
        parcel.done = len(parcel.records)

    def _leave(self, signal: str, outcome: Outcome, batch: Batch) -> None:
        """Gives up what the destination knows no records of: nothing is wrong with it, and other signals go on."""
        batch.lose(signal, UNTAKEN)
        self._log.warning(
            "shipper.signal_untaken",
            signal=signal,
            answer=outcome.reason,
            effect="this signal is not sent any more; TAILRACE_SIGNALS says which are",
        )

    def _takes_the_last(self, signal: str, batch: Batch, parcel: Parcel, ranges: list[tuple[int, int]]) -> bool:
        """Whether the destination takes the last record of all, which then need not be sent again.

        Raises:
            HeldError: It cannot be told now.
        """
        low, end = ranges[0]
        outcome = self._tries.persist(signal, parcel, end - 1, end)
        if outcome.verdict in (Verdict.SPLIT, Verdict.REFUSED):
            return False
        if outcome.verdict is not Verdict.DONE:
            raise HeldError(outcome.reason, outcome.retry_after_s)
        batch.rejected += self._rejected(outcome, 1)
        ranges[:1] = [(low, end - 1)] if low < end - 1 else []
        return True

    def _try_suspects_again(self, signal: str, suspects: Suspects, batch: Batch, parcel: Parcel) -> None:
        """Others are taken now: those refused before are sent once more, and given up if they are refused again.

        Raises:
            HeldError: It cannot be told now.
        """
        suspects.is_proven = True
        for at, _ in suspects.taken():
            outcome = self._tries.persist(signal, parcel, at, at + 1)
            if outcome.verdict in (Verdict.SPLIT, Verdict.REFUSED):
                self._give_up(outcome, batch, parcel, at)
            elif outcome.verdict is Verdict.DONE:
                batch.rejected += self._rejected(outcome, 1)
            else:
                raise HeldError(outcome.reason, outcome.retry_after_s)
            parcel.done = at + 1

    def _hold(self, signal: str, suspects: Suspects, outcome: Outcome, batch: Batch, parcel: Parcel) -> None:
        """Nothing was taken: ends the shipment, or gives the suspects up once it has ended so too often.

        Raises:
            HeldError: The suspects stay.
        """
        first, _ = suspects.refused[0]
        position = batch.position(parcel.rows[first])
        patience = self._patience.setdefault(signal, Patience())
        if not patience.is_over(position.through, position.skip, self._clock()):
            self._tries.failed(signal, outcome)
            raise HeldError(outcome.reason)
        self._convict(suspects, batch, parcel)

    def _convict(self, suspects: Suspects, batch: Batch, parcel: Parcel) -> None:
        for at, outcome in suspects.taken():
            self._give_up(outcome, batch, parcel, at)

    def _shrink(self, outcome: Outcome, parcel: Parcel, low: int, high: int) -> None:
        """Remembers what was too large, so that the next batches need not find out again."""
        if outcome.verdict is not Verdict.SPLIT:
            return
        half = sum(map(len, parcel.records[low:high])) // 2
        if half < self._limits.batch_bytes:
            self._limits.batch_bytes = max(_LEAST_BATCH_BYTES, half)
            self._log.info("shipper.batch_limit_lowered", batch_bytes=self._limits.batch_bytes, reason=outcome.reason)

    def _give_up(self, outcome: Outcome, batch: Batch, parcel: Parcel, at: int) -> None:
        reason = TOO_LARGE if outcome.verdict is Verdict.SPLIT else REFUSED
        row = parcel.rows[at]
        batch.lost[row] = reason
        position = batch.position(row)
        # One warning a batch: a destination that refuses everything must not fill the function's log.
        say = self._log.debug if self._gave_up else self._log.warning
        self._gave_up = True
        say(
            "shipper.record_dropped",
            reason=reason,
            answer=outcome.reason,
            record_bytes=len(parcel.records[at]),
            frame=position.through,
            index=position.skip,
        )

    def _rejected(self, outcome: Outcome, records: int) -> int:
        rejected = min(outcome.rejected, records)
        if rejected:
            self._log.warning("shipper.records_rejected", records=rejected, of=records)
        return rejected
