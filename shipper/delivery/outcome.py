"""What became of one request, in the words that delivery acts on."""

import msgspec

from lifecycle.contract.enums import Enum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Verdict(Enum):
    """What an answer means for the records in the request.

    DONE: taken. RETRY: may be taken later. SPLIT: too large. REFUSED: these records will not be taken. HELD: nothing
    will be taken before somebody has changed something. UNSUPPORTED: nothing there seems to take records of this
    signal, which is believed once records of another are taken.
    """

    DONE = "done"
    RETRY = "retry"
    SPLIT = "split"
    REFUSED = "refused"
    HELD = "held"
    UNSUPPORTED = "unsupported"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one request.

    Attributes:
        verdict: What to do next.
        reason: `status_503`, `timeout`, `unauthorised`, `file_enospc`, …; "" when all is well.
        retry_after_s: Seconds the destination asked to wait; 0 when it did not.
        may_be_records: Of RETRY: it may speak of the records as well as of the server, as 500 does.
        rejected: Records the destination did not take, without saying which, of a request it otherwise accepted.
        detail: Phase and address, or what the system said of it; never content or secrets.
        said: The server's own sentence of why, as it may be shown: bounded, quoted, without secrets; "" for none.
        repeats: Sizes of the bodies of further requests that it took to find out how the endpoint wants them written.
        items: What became of single records, by their index in the request, where that is not what became of all: an
            outcome of DONE, RETRY, SPLIT or REFUSED, which has no items of its own.
        pending: Of HELD: waits for the answer that may still come, when the shipment had no more time for it. It is
            `deadline` when that does not come, and the request is to be made anew.
    """

    verdict: Verdict
    reason: str = ""
    retry_after_s: float = 0.0
    may_be_records: bool = False
    rejected: int = 0
    detail: str = ""
    said: str = ""
    repeats: tuple[int, ...] = ()
    items: "Mapping[int, Outcome]" = {}
    pending: "Callable[[], Outcome] | None" = None

    @property
    def is_refusal(self) -> bool:
        """Whether it says that it is the records that are not taken."""
        return self.verdict is Verdict.REFUSED or self.verdict is Verdict.SPLIT


DONE = Outcome(verdict=Verdict.DONE)
