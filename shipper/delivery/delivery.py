"""Brings batches to their destination: all signals at once, what fails again and again, what is refused isolated.

What cannot be delivered now is held, never dropped: given up is a record alone that is too large by itself, or that is
refused where others are taken (`poison`). A signal whose endpoint fails while another's is well is deferred, and
nothing waits for it (`health`).
"""

import time
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from lifecycle.contract.counts import Counts
from lifecycle.contract.log import Log
from lifecycle.contract.wire import CRASHED, UNDELIVERED, UNSUPPORTED
from shipper.delivery import retry
from shipper.delivery.batch import Batch, BatchLimits, Parcel
from shipper.delivery.health import Health
from shipper.delivery.interfaces import Joined, is_ours, items_of
from shipper.delivery.outcome import Outcome, Verdict
from shipper.delivery.poison import LEAST_BYTES, MOST_SHIPMENTS, Isolation
from shipper.errors import HeldError, SupervisorGoneError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.delivery.interfaces import Destination, Endpoint, Request, Timing

# What the ledger calls records that were dropped for what was answered.
TOO_LARGE = "too_large"
REFUSED = "refused"

# An answer that may be about the records, like 500, is asked for so often in one shipment.
_MOST_DOUBTS = 2

# So many requests are under way together: each may need a connection of its own, and a handshake.
_MOST_AT_ONCE = 6

# Likewise in the last shipment where an endpoint is slow: there is no later for what has no turn.
_MOST_AT_LAST = 24

# Share of the time left that may go into sending a request while another has not been sent yet.
_AHEAD_SHARE = 0.25

# Of batches up to this size all requests are made before the first is sent: one right after the other costs half of
# what it costs after a wait, in which others have used the processor's caches.
_SMALL_BATCH_BYTES = 65_536


class _Task:
    """A parcel on its way: one request after another.

    Attributes:
        batch: Which it belongs to.
        parcel: Its records.
        isolation: Says which of them are sent next.
        piece: Those in the request under way.
        request: That request, once it is made.
        answered: Waits for its answer, if it has been sent ahead.
        is_again: The next request repeats one that failed.
        due_s: When that one may be repeated, on the clock.
        is_late: What is waited for was asked in an earlier shipment.
        late_s: How long such an answer took, once it has come; 0 for one that came in time.
        doubts: Answers in this shipment that may be about the records.
    """

    __slots__ = (
        "answered",
        "batch",
        "doubts",
        "due_s",
        "endpoint",
        "health",
        "is_again",
        "is_late",
        "isolation",
        "late_s",
        "parcel",
        "piece",
        "request",
    )

    def __init__(
        self, batch: Batch, parcel: Parcel, isolation: Isolation, endpoint: "Endpoint", health: Health
    ) -> None:
        self.batch = batch
        self.parcel = parcel
        self.isolation = isolation
        self.endpoint = endpoint
        self.health = health
        self.piece: Sequence[int] = ()
        self.request: Request | None = None
        self.answered: Callable[[], Outcome] | None = None
        self.is_again = self.is_late = False
        self.due_s = self.late_s = 0.0
        self.doubts = 0

    def made(self) -> "Request":
        """The request under way."""
        if self.request is None:
            records = self.parcel.records
            if len(self.piece) == len(records):
                self.request = self.endpoint.build(records, self.parcel.key)
            else:
                self.request = self.endpoint.build([records[at] for at in self.piece], self.parcel.key)
        return self.request


class Delivery:
    """Delivers batches.

    Args:
        destination: Where to.
        timing: Until when.
        limits: Of batches; made smaller when the destination says too large.
        base_s: Bound of the first pause before a retry.
        most_s: Bound of any.
        log: Says what goes wrong once, and when it goes well again.
        jitter: Draws from [0, 1).
        clock: Monotonic seconds.
        unsupported: Where signals are noted that the destination turns out not to know.
        counts: Of requests, for the supervisor; new ones unless given.

    Attributes:
        counts: What was done since it was last reported.
        lacked_time: Some signal of the shipment's batches did not get its turn before the deadline.
    """

    def __init__(
        self,
        destination: "Destination",
        timing: "Timing",
        limits: BatchLimits,
        *,
        base_s: float,
        most_s: float,
        log: Log,
        jitter: Callable[[], float] = retry.even,
        clock: Callable[[], float] = time.monotonic,
        unsupported: set[str] | None = None,
        counts: Counts | None = None,
    ) -> None:
        self.counts = counts or Counts()
        self.lacked_time = False
        self._endpoints = destination.endpoints
        said: set[str] = set()
        self._healths = {
            signal: Health(signal, endpoint.label, log, jitter, clock, said)
            for signal, endpoint in self._endpoints.items()
        }
        self._unsupported: set[str] = set() if unsupported is None else unsupported
        self._timing = timing
        self._limits = limits
        self._base_s = base_s
        self._most_s = most_s
        self._jitter = jitter
        self._clock = clock
        self._shipment = 0
        self._began_s = 0.0
        self._has_dropped = False
        # Nothing is to be delivered but what is deferred.
        self._has_only_deferred = False
        self._said_of_rejected = ""
        self._crashes: set[str] = set()
        self._has_shrunk = False
        # Signals of which a record was held in this shipment until others would tell whether it is at fault.
        self._doubtful: set[str] = set()

    def begin_shipment(self) -> None:
        """Another shipment begins: what was tried in the last one may be tried again."""
        self._shipment += 1
        self._began_s = self._clock()
        self.lacked_time = False
        self._doubtful.clear()

    def deliver(
        self, batches: Sequence[Batch], settled: Callable[[Batch], None], *, with_deferred: bool = False
    ) -> None:
        """Delivers or drops the records of batches, all signals at once; a signal that is deferred is left as it is.

        Args:
            batches: Their parcels and what they lost tell how far it got, also after an error.
            settled: Called when more of a batch is delivered or dropped, and at the end.
            with_deferred: What is deferred is tried, too, where it is due; in the last shipment again and again.

        Raises:
            HeldError: Something cannot be delivered now, and no other endpoint is well meanwhile.
        """
        self._has_dropped = False
        self._has_only_deferred = with_deferred
        tasks: list[_Task] = []
        for batch in batches:
            tasks += self._tasks(batch, with_deferred=with_deferred)
        held = None
        try:
            self._send(tasks, settled)
            if failing := [task for task in tasks if task.isolation.failed is not None]:
                failing = self._without_unsupported(failing, settled)
                if any(self._may_be_repeated(task) for task in failing):
                    failing = self._repeat(tasks, failing, settled)
                held = self._held(failing)
        finally:
            for task in tasks:
                # Behind another one of its signal it had no turn.
                if task.answered is not None and not task.parcel.is_done:
                    task.parcel.pending = task.piece, task.answered
        for batch in batches:
            if held is None or batch.is_begun:
                settled(batch)
        if held is not None:
            raise held

    def give_up(self, batch: Batch, settled: Callable[[Batch], None]) -> None:
        """Gives up what a batch owes: there is neither time nor room to wait any longer."""
        for signal in batch.owed:
            self._healths[signal].gave_up(batch.lose(signal, UNDELIVERED))
        settled(batch)

    def is_another_well(self, signal: str) -> bool:
        """Whether other signals are taken, whatever becomes of this one.

        What another took before this shipment and before this one began to fail says nothing of now: where all of it is
        down, the one that has nothing to send has not noticed.
        """
        failing_since_s = self._healths[signal].failing_since_s
        since_s = self._began_s if failing_since_s is None else min(self._began_s, failing_since_s)
        return any(
            health.is_well and health.took_at_s >= since_s for name, health in self._healths.items() if name != signal
        )

    def _tasks(self, batch: Batch, *, with_deferred: bool) -> list[_Task]:
        """What of a batch is to be sent now."""
        tasks, is_final = [], self._timing.is_final
        for parcel in batch.parcels.values():
            signal = parcel.signal
            if parcel.is_done:
                continue
            if signal in self._unsupported:
                batch.lose(signal, UNSUPPORTED)
                continue
            health = self._healths[signal]
            if not is_final and health.is_deferred and (health.is_resting or not with_deferred):
                continue
            endpoint = self._endpoints[signal]
            isolation = Isolation(
                parcel,
                health,
                shipment=self._shipment,
                limits=endpoint.limits,
                is_searching=health.has_ended
                and health.ends_at(*_place(batch, parcel)) >= (1 if is_final else MOST_SHIPMENTS),
                divide=partial(batch.divide, parcel),
            )
            task = _Task(batch, parcel, isolation, endpoint, health)
            if parcel.pending is not None:
                (task.piece, task.answered), parcel.pending = parcel.pending, None
                task.is_late = True
            if isolation.dropped:
                self._count_dropped(task)
            tasks.append(task)
        return tasks

    def _send(self, tasks: Sequence[_Task], settled: Callable[[Batch], None]) -> None:
        """Sends what there is of each parcel, a request of every one at a time, until each is done or has failed."""
        while True:
            sending = self._next(tasks)
            if not sending:
                return
            self._begin(sending)
            if len(sending) > 1:  # what was sent ahead is answered first
                sending.sort(key=_is_unsent)
            for task in sending:
                floor = task.parcel.floor
                if (task.answered is None or task.is_late) and self._timing.time_left_s() <= 0:
                    if task.answered is not None:
                        task.parcel.pending = task.piece, task.answered
                    task.request = None
                    task.isolation.answered(
                        task.piece, Outcome(verdict=Verdict.HELD, reason=task.health.reason or "deadline")
                    )
                else:
                    self._note(task, self._outcome(task))
                task.piece = ()
                if task.parcel.floor != floor:
                    settled(task.batch)

    def _next(self, tasks: Sequence[_Task]) -> list[_Task]:
        """Those whose next requests are under way together; of an endpoint that is not well, one alone."""
        sending: list[_Task] = []
        blocked = set()
        are_well = True
        for task in tasks:
            if task.isolation.failed is not None and not task.isolation.is_about_records:
                blocked.add(task.parcel.signal)
        for task in tasks:
            signal = task.parcel.signal
            if task.isolation.failed is not None or signal in blocked:
                continue
            if not task.piece:
                task.piece = task.isolation.next()
            if task.piece:
                sending.append(task)
                if task.health.failing_since_s is not None:
                    are_well = False
                    if not self._may_be_sent_ahead(task):
                        blocked.add(signal)
        if not are_well:
            # They may take long to find out about: the others do not wait for it.
            sending.sort(key=_is_failing)
        if len(sending) <= _MOST_AT_ONCE:
            return sending
        # What waits for the answer to a request of an earlier shipment needs no new connection.
        is_last = self._timing.is_final and any(task.health.is_slow for task in sending)
        most = _MOST_AT_LAST if is_last else _MOST_AT_ONCE
        first = [task for task in sending if task.answered is None][:most]
        return [task for task in sending if task.answered is not None] + first

    def _begin(self, sending: Sequence[_Task]) -> None:
        """Sends all requests before the first answer is waited for, so that they are under way together."""
        if len(sending) < 2:  # noqa: PLR2004 - one needs no other
            return
        if sum(task.batch.body_bytes for task in sending) <= _SMALL_BATCH_BYTES:
            for task in sending:
                if task.answered is None:  # what is waited for has been made, and the next one is another
                    task.made()
        for task in sending:
            if task.answered is None and self._may_be_sent_ahead(task) and self._timing.time_left_s() > 0:
                if self._has_shrunk and self._is_known_too_large(task):
                    continue
                request = task.made()
                if task.endpoint.limits.request_bytes and self._is_too_large(task, request):
                    continue
                try:
                    task.answered = task.endpoint.begin(request, self._timing.time_left_s() * _AHEAD_SHARE)
                except (SupervisorGoneError, BrokenPipeError):
                    raise
                except Exception:  # noqa: BLE001 - it is sent when its turn has come, and said if that fails, too
                    task.answered = None
                if task.answered is not None:
                    self._count(task, request)
                    task.request = None  # it is gone, and need not be in memory beside the next one

    def _may_be_sent_ahead(self, task: _Task) -> bool:
        """Whether others need not wait until this one is answered, nor it for them.

        An endpoint that is not well may take long to find out about. One that is only slow has no later in the last
        shipment, where there may be time for one answer.
        """
        health = task.health
        return health.failing_since_s is None or (self._timing.is_final and health.is_slow)

    def _outcome(self, task: _Task) -> Outcome:
        """What becomes of the request under way; also where our own code fails at it."""
        try:
            return self._outcome_of_request(task)
        except (SupervisorGoneError, BrokenPipeError):
            raise
        except Exception as exc:  # noqa: BLE001 - whatever it is, it must not be what happens for ever
            return self._crashed(task, exc)

    def _crashed(self, task: _Task, exc: Exception) -> Outcome:
        """What is made of an exception that nobody expected: the next try has a new connection, and other records.

        It comes after a pause, like any, and the record at fault is looked for, should it be a record's.
        """
        from traceback import format_exc

        name = type(exc).__name__
        log = task.health.log
        say = log.debug if name in self._crashes else log.error
        self._crashes.add(name)
        say("shipper.request_crashed", error=name, traceback=format_exc())
        task.request = task.answered = None
        task.is_again = task.is_late = False
        task.endpoint.close()
        return Outcome(verdict=Verdict.RETRY, reason=CRASHED, detail=name, may_be_records=True)

    def _outcome_of_request(self, task: _Task) -> Outcome:
        answered, task.answered = task.answered, None
        task.late_s = 0.0
        if answered is None:
            if self._has_shrunk and self._is_known_too_large(task):
                task.request = None
                return Outcome(verdict=Verdict.SPLIT, reason="batch_bytes")
            request, task.request = task.made(), None
            if task.endpoint.limits.request_bytes and self._is_too_large(task, request):
                return Outcome(verdict=Verdict.SPLIT, reason="request_bytes")
            self._count(task, request)
            outcome = task.endpoint.send(request)
            if outcome.reason == "deadline" and outcome.pending is None:  # there was no time for an answer
                self._count(task, request, -1)
                return msgspec.structs.replace(outcome, reason=task.health.reason or "deadline", detail="")
        else:
            is_late, task.is_late = task.is_late, False
            outcome = answered()
            if is_late and outcome.reason == "deadline" and outcome.pending is None:
                task.is_again = True  # no answer has come meanwhile: the request is made anew
                return self._outcome_of_request(task)
            if is_late and outcome.verdict is Verdict.DONE:
                task.batch.is_late = True
                task.late_s = self._clock() - task.parcel.asked_s
        if outcome.pending is not None:
            task.parcel.pending = task.piece, outcome.pending
        for size in outcome.repeats:
            self.counts.add(1, retries=1, wire_bytes=size)
        task.is_again = False
        is_cut = outcome.reason == "timeout" and self._timing.time_left_s() <= 0
        if is_cut or outcome.pending is not None:
            # The destination may be well: it was the shipment that had no time.
            outcome = msgspec.structs.replace(outcome, reason=task.health.reason or "deadline")
        return outcome

    def _count(self, task: _Task, request: "Request", requests: int = 1) -> None:
        task.parcel.asked_s = self._clock()
        self.counts.add(requests, retries=requests * task.is_again, wire_bytes=requests * len(request.body))

    def _is_too_large(self, task: _Task, request: "Request") -> bool:
        limits = task.endpoint.limits
        size = len(request.body) if limits.is_compressed else request.body_bytes
        return size > limits.request_bytes

    def _is_known_too_large(self, task: _Task) -> bool:
        """Whether the destination found less than this too large, of which it need not be asked again."""
        if not self._holds_several(task):
            return False
        return sum(len(task.parcel.records[at]) for at in task.piece) > self._limits.batch_bytes

    def _holds_several(self, task: _Task) -> bool:
        """Whether the request under way holds several records."""
        return len(task.piece) > 1 or isinstance(task.parcel.records[task.piece[0]], Joined)

    def _note(self, task: _Task, outcome: Outcome) -> None:
        """Takes note of what became of a request."""
        piece, health = task.piece, task.health
        match outcome.verdict:
            case Verdict.DONE:
                is_any_taken = not outcome.rejected or self._note_rejected(task, outcome)
                if is_any_taken and outcome.items:
                    items = outcome.items
                    is_any_taken = any(items.get(at, outcome).verdict is Verdict.DONE for at in range(len(piece)))
                if is_any_taken:
                    health.took(task.late_s)
                    # What others made is no sign that what we make of events was taken.
                    records = task.parcel.records
                    if any(is_ours(records[at]) for at in piece):
                        task.batch.taken.add(task.parcel.signal)
                elif outcome.items and all(one.verdict is Verdict.RETRY for one in outcome.items.values()):
                    # As good as if it had been said of the request.
                    health.failed(outcome.items[min(outcome.items)], is_final=self._timing.is_final)
            case Verdict.SPLIT if outcome.reason != "batch_bytes" and self._holds_several(task):
                self._shrink(task, outcome)
            case Verdict.RETRY | Verdict.HELD:
                outcome = health.failed(outcome, is_final=self._timing.is_final)
                task.doubts += outcome.may_be_records
                task.due_s = self._clock() + outcome.retry_after_s
            case _:
                pass
        if outcome.reason == "request_bytes" and len(piece) == 1 and items_of(task.parcel.records[piece[0]]) == 1:
            task.isolation.drop(piece, outcome)
        else:
            task.isolation.answered(piece, outcome)
        if task.isolation.dropped:
            self._count_dropped(task)

    def _repeat(self, tasks: Sequence[_Task], failing: list[_Task], settled: Callable[[Batch], None]) -> list[_Task]:
        """Tries again what may be taken later, all of it together, until it is taken or the time is over.

        Where another endpoint is well, half of the time is left to what is behind; one that has been deferred was
        tried, and is tried no more.
        """
        repeated = [task for task in failing if self._may_be_repeated(task)]
        if not repeated:
            return failing
        is_modest = not self._timing.is_final and any(self.is_another_well(task.parcel.signal) for task in repeated)
        reserved_s = self._timing.time_left_s() / 2 if is_modest else 0.0

        def again() -> Outcome:
            if self._timing.time_left_s() <= 0:
                return Outcome(verdict=Verdict.HELD, reason="deadline")
            waiting = [task for task in tasks if self._may_be_repeated(task)]
            now = max(self._clock(), min(task.due_s for task in waiting))
            for task in waiting:
                if task.due_s <= now:
                    task.isolation.again()
                    task.is_again = True
            self._send(tasks, settled)
            return self._overall(tasks)

        retry.persist(
            self._overall(repeated),
            again,
            base_s=self._base_s,
            most_s=self._most_s,
            time_left_s=lambda: self._timing.time_left_s() - reserved_s,
            pause=self._timing.pause,
            planned=lambda _outcome, tries, pause_s: self._say_planned(tasks, tries, pause_s),
            is_final=lambda: self._timing.is_final,
            before=max(0, min(task.health.failures for task in repeated) - 1),
            jitter=self._jitter,
        )
        return [task for task in tasks if task.isolation.failed is not None]

    def _held(self, failing: Sequence[_Task]) -> HeldError | None:
        """Defers signals whose endpoints are not well while others are; what is to be raised for those that stay."""
        held: HeldError | None = None
        for task in failing:
            outcome = task.isolation.failed
            if outcome is None:
                continue
            signal, is_about_records = task.parcel.signal, task.isolation.is_about_records
            if task.doubts:
                task.health.ended_at(*_place(task.batch, task.parcel))
            if is_about_records or outcome.verdict is Verdict.UNSUPPORTED:
                task.health.failed(outcome)
            if not self.is_another_well(signal):
                if held is None or held.is_about_records:
                    detail = outcome.detail if outcome.reason == "timeout" else ""
                    held = HeldError(
                        outcome.reason, outcome.retry_after_s, detail=detail, is_about_records=is_about_records
                    )
            elif is_about_records and signal not in self._doubtful:
                self._doubtful.add(signal)  # the next batch may tell
            else:
                is_deferred = task.health.defer(outcome.reason, outcome.retry_after_s)
                self.lacked_time |= not is_deferred
        return held

    def _without_unsupported(self, failing: list[_Task], settled: Callable[[Batch], None]) -> list[_Task]:
        """What is left of what failed when signals are given up that the destination does not know.

        That is believed once it has taken another signal, and never this one: nothing is wrong with it then.
        """
        rest = []
        for task in failing:
            outcome, signal = task.isolation.failed, task.parcel.signal
            is_unknown = outcome is not None and outcome.verdict is Verdict.UNSUPPORTED
            if outcome is None or not is_unknown or task.health.taken or not self.is_another_well(signal):
                rest.append(task)
                continue
            task.batch.lose(signal, UNSUPPORTED)
            if signal not in self._unsupported:
                self._unsupported.add(signal)
                task.health.log.warning(
                    "shipper.signal_unsupported",
                    answer=outcome.reason,
                    effect="this signal is not sent any more; TAILRACE_SIGNALS says which are",
                )
            settled(task.batch)
        return rest

    def _shrink(self, task: _Task, outcome: Outcome) -> None:
        """Remembers what was too large, so that the next batches need not find out again."""
        half = sum(len(task.parcel.records[at]) for at in task.piece) // 2
        if half < self._limits.batch_bytes:
            self._limits.batch_bytes = batch_bytes = max(LEAST_BYTES, half)
            self._has_shrunk = True
            task.health.log.info("shipper.batch_limit_lowered", batch_bytes=batch_bytes, reason=outcome.reason)

    def _count_dropped(self, task: _Task) -> None:
        dropped, task.isolation.dropped = task.isolation.dropped, []
        for at, outcome in dropped:
            reason = TOO_LARGE if outcome.verdict is Verdict.SPLIT else REFUSED
            rows = task.parcel.rows_of(at)
            task.batch.lost.update(dict.fromkeys(rows, reason))
            position = task.batch.position(rows[0])
            # One warning a batch: a destination that refuses everything must not fill the function's log.
            say = task.health.log.debug if self._has_dropped else task.health.log.warning
            self._has_dropped = True
            say(
                "shipper.record_dropped",
                reason=reason,
                answer=outcome.reason,
                record_bytes=len(task.parcel.records[at]),
                frame=position.through,
                index=position.skip,
                **({"said": outcome.said} if outcome.said else {}),
            )

    def _note_rejected(self, task: _Task, outcome: Outcome) -> bool:
        """Counts what was rejected of a request; whether anything was taken of it."""
        items = sum(items_of(task.parcel.records[at]) for at in task.piece)
        rejected = min(outcome.rejected, items)
        task.batch.reject(task.parcel.signal, rejected)
        # The server's words are shown once: it says the same of every request.
        said = {"said": outcome.said} if outcome.said and outcome.said != self._said_of_rejected else {}
        self._said_of_rejected = outcome.said
        task.health.log.warning("shipper.records_rejected", records=rejected, of=items, **said)
        return rejected < items

    def _may_be_repeated(self, task: _Task) -> bool:
        """Whether what failed is tried again in this shipment.

        What has been deferred is not, unless all else has left in the last shipment: there is no later for it. An
        answer that may be about the records tells nothing new the third time: the record is looked for if further
        shipments end so.
        """
        is_in_vain = task.doubts >= _MOST_DOUBTS and not self._timing.is_final
        is_due = task.isolation.failed is not None and task.isolation.failed.verdict is Verdict.RETRY
        is_last_chance = self._has_only_deferred and self._timing.is_final
        return is_due and not is_in_vain and (is_last_chance or not task.health.is_deferred)

    def _overall(self, tasks: Sequence[_Task]) -> Outcome:
        """What became of several: RETRY while there is one to repeat, which is due first."""
        waiting = [
            task.isolation.failed for task in tasks if task.isolation.failed is not None and self._may_be_repeated(task)
        ]
        if waiting:
            return min(waiting, key=lambda outcome: outcome.retry_after_s)
        return Outcome(verdict=Verdict.HELD)

    def _say_planned(self, tasks: Sequence[_Task], tries: int, pause_s: float) -> None:
        """Says of each endpoint that it is tried again."""
        repeated = {task.parcel.signal: task for task in tasks if self._may_be_repeated(task)}
        for task in repeated.values():
            reason = task.isolation.failed.reason if task.isolation.failed is not None else ""
            task.health.log.debug(
                "shipper.retry_planned", reason=reason, tries=tries, pause_ms=round(pause_s * 1000, 1)
            )


def _is_unsent(task: _Task) -> bool:
    return task.answered is None


def _is_failing(task: _Task) -> bool:
    return task.health.failing_since_s is not None


def _place(batch: Batch, parcel: Parcel) -> tuple[int, int]:
    """Where the first record that a parcel owes stands."""
    position = batch.position(batch.rows if parcel.floor is None else parcel.floor)
    return position.through, position.skip
