"""The invocation that runs or ran last, and the moments that follow from its deadline."""

import msgspec

from lifecycle.machine.events import BatchStored

# What is there goes out this long before an invocation's deadline: enough for one more batch from the platform
# and one request to the destination.
LAST_CALL_S = 0.5

# A hold ends this long before an invocation's deadline, whatever has been delivered: being late is a timeout.
DEADLINE_MARGIN_S = 0.25


class Invocation:
    """The invocation that runs or ran last.

    Args:
        request_id: Its id.
        deadline: When the function is timed out.
        now: The present moment: it begins.
        budget_s: Longest hold after the function's end.
        buffer_s: How long the platform holds a batch back: about as old is a runtimeDone that does not say.

    Attributes:
        request_id: As given.
        began: When it began.
        hold_ends: When /next is called at the latest.
        last_call_at: When what is there goes out, should the function still run.
        finished_at: When it ended, by its platform.runtimeDone.
        hold_through: Offset just past the batch that brought it.
        is_reported: Whether its platform.report has come.
        awaits_exports: Whether OTLP requests that it began before its end are still under way.
    """

    def __init__(self, request_id: str, deadline: float, now: float, *, budget_s: float, buffer_s: float) -> None:
        self.request_id = request_id
        self.began = now
        self._budget_s = budget_s
        self._buffer_s = buffer_s
        self.hold_ends = deadline - DEADLINE_MARGIN_S
        self.last_call_at = max(deadline - LAST_CALL_S, (now + deadline) / 2)
        self.finished_at: float | None = None
        self.hold_through = 0
        self.is_reported = False
        self.awaits_exports = False

    def stored(self, event: BatchStored, at: float) -> None:
        """A batch was stored `at` that moment: it may bring the invocation's end, or its report."""
        self.is_reported |= self.request_id in event.reported
        if self.request_id in event.finished and self.finished_at is None:
            age_s = self._buffer_s
            if event.finished_age_s is not None and event.finished_age_s >= 0:
                # No more than it takes to end the hold: the wall clock may have jumped.
                age_s = min(event.finished_age_s, max(self._budget_s, self._buffer_s))
            self.finished_at = at - age_s
            self.hold_through = event.end
            self.awaits_exports = event.begun > 0
            self.hold_ends = min(self.hold_ends, self.finished_at + self._budget_s)

    def exports_settled(self, through: int) -> None:
        """The OTLP requests that were under way when it ended are stored before `through`, or gone."""
        if self.awaits_exports:
            self.awaits_exports = False
            self.hold_through = max(self.hold_through, through)

    def thawed(self, now: float) -> None:
        """Only a freeze explains how late it is: the function had returned."""
        self.finished_at = now

    def collector_died(self, now: float, *, again: bool) -> None:
        """The runtimeDone may be lost, or come late: the function may already have returned.

        Not long ago if the collector was at work, any time since the invocation began if it died `again` and was not.
        """
        self.awaits_exports = False  # who sent them sends them again, and is to be told by nobody
        returned = self.began if again else now - self._buffer_s
        if self.finished_at is None:
            self.hold_ends = min(self.hold_ends, returned + self._budget_s)


class Untold(msgspec.Struct, frozen=True):
    """An invocation that was let go before its end was known: it may have been over, and held for nothing.

    Attributes:
        request_id: Its id.
        began: When it began.
        let_go_at: When /next was called.
        counted_s: How long it was taken to have been held: at most, where it may have returned when last heard of.
    """

    request_id: str
    began: float
    let_go_at: float
    counted_s: float

    def more_held_s(self, event: BatchStored, at: float) -> float:
        """How much longer than that it was held, now that a batch brings its end; negative if it was held less."""
        finished_at = at - (event.finished_age_s or 0.0)
        if event.finished_age_s is None or not self.began <= finished_at <= at:
            return 0.0  # of the clock on the wall, which may have jumped
        more_s = max(0.0, self.let_go_at - finished_at) - self.counted_s
        # The age is that of the last end in the batch: one before it was held for at least so long.
        return more_s if event.finished[-1] == self.request_id else max(0.0, more_s)
