"""What became of one request, in the words that delivery acts on."""

import enum

import msgspec


class Verdict(enum.Enum):
    """What an answer means for the records in the request; UNTAKEN: the destination knows no records of this kind."""

    DONE = "done"
    RETRY = "retry"
    TOO_LARGE = "too_large"
    REFUSED = "refused"
    HELD = "held"
    UNTAKEN = "untaken"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one request.

    Attributes:
        verdict: What to do next.
        reason: `status_503`, `timeout`, `unauthorised`, `file_enospc`, …; "" when all is well.
        retry_after_s: Seconds the destination asked to wait; 0 when it did not.
        rejected: Records the destination took no part of in a request it otherwise accepted.
        detail: What the system said of it; never content or secrets.
    """

    verdict: Verdict
    reason: str = ""
    retry_after_s: float = 0.0
    rejected: int = 0
    detail: str = ""


DONE = Outcome(verdict=Verdict.DONE)

# A server that answers so at one signal's address, and takes another's, does not know this signal.
UNKNOWN_PATH = ("status_404", "status_405", "status_501")
