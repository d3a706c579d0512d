"""The invocation that runs or ran last, and the moments that follow from its deadline."""

from lifecycle.machine.events import BatchStored

# What is there goes out this long before an invocation's deadline: enough for one more batch from the platform
# and one request to the destination.
LAST_CALL_S = 0.5

# A hold ends this long before an invocation's deadline, whatever has been delivered: being late is a timeout.
DEADLINE_MARGIN_S = 0.25


class Invocation:
    """The invocation that runs or ran last.

    Attributes:
        request_id: Its id.
        began: When it began.
        deadline: When the function is timed out.
        hold_ends: When /next is called at the latest.
        last_call_at: When what is there goes out, should the function still run; None once it has.
        finished_at: When it ended, by its platform.runtimeDone.
        hold_through: Offset just past the batch that brought it.
        is_reported: Whether its platform.report has come.
    """

    def __init__(self, request_id: str, deadline: float, now: float) -> None:
        self.request_id = request_id
        self.began = now
        self.deadline = deadline
        self.hold_ends = deadline - DEADLINE_MARGIN_S
        self.last_call_at: float | None = max(deadline - LAST_CALL_S, (now + deadline) / 2)
        self.finished_at: float | None = None
        self.hold_through = 0
        self.is_reported = False

    def told(self, event: BatchStored, at: float, budget_s: float, buffer_s: float) -> None:
        """What a batch that came at `at` says of the invocation.

        Args:
            event: The batch.
            at: When it came.
            budget_s: Longest hold after the function's end.
            buffer_s: How old a runtimeDone is that does not say.
        """
        self.is_reported |= self.request_id in event.reported
        if self.request_id in event.finished and self.finished_at is None:
            age_s = buffer_s
            if event.finished_age_s is not None and event.finished_age_s >= 0:
                # No more than it takes to end the hold: the wall clock may have jumped.
                age_s = min(event.finished_age_s, max(budget_s, buffer_s))
            self.finished_at = at - age_s
            self.hold_through = event.end
            self.hold_ends = min(self.hold_ends, self.finished_at + budget_s)
