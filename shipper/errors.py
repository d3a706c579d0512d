"""What can end a shipment early."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class ShipperError(Exception):
    """Base of every error of this package."""


class SupervisorGoneError(ShipperError):
    """The command pipe is closed: nobody will ask for anything any more."""


class HeldError(ShipperError):
    """The shipment cannot go on now; what is not yet delivered stays in the backlog.

    Args:
        reason: As `Stalled.reason` has it.
        retry_after_s: Seconds the destination asked to wait; 0 when it did not.
        detail: What was waited for, and at which address; "" where the reason says it all.
        is_about_records: It may be that single records are at fault: others, if they are taken, would tell.
    """

    def __init__(
        self, reason: str, retry_after_s: float = 0.0, *, detail: str = "", is_about_records: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.detail = detail
        self.is_about_records = is_about_records


class ExchangeError(ShipperError):
    """A request got no answer.

    Args:
        reason: `connect`, `resolve`, `timeout`, `reset`, `closed`, `tls`, `certificate`, `broken_answer`, `proxy`;
            `deadline` where nothing was sent, since there was no time left to hear an answer.
        detail: What was waited for, and at which address, or what the system said; never content or secrets.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class PendingError(ExchangeError):
    """The shipment's time is over while the answer to a request may still come.

    Args:
        detail: As above.
        answered: Reads that answer, later: it gives what the request would have, or raises.
    """

    def __init__(self, detail: str, answered: "Callable[[], Any]") -> None:
        super().__init__("deadline", detail)
        self.answered = answered
