"""The invocation that runs or ran last, and the moments that follow from its deadline."""

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
        finished_at: When its platform.runtimeDone came.
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
