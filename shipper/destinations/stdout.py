"""Lines of JSON on standard output, where a local run or a log router picks them up.

Each begins like a line of our own log, so it is known and dropped when the platform sends it back as an
`extension` record: nothing loops.
"""

import os
import select
import time
from collections.abc import Callable

from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings
from shipper.delivery.interfaces import Request
from shipper.delivery.outcome import DONE, Outcome, Verdict
from shipper.destinations.destination import Destination, Endpoint
from shipper.destinations.lines import Lines, joined
from shipper.model.signals import LOGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.destinations.http import OnResponse
    from shipper.transport.interfaces import Timing

LOGGER = "tailrace.stdout"

# PIPE_BUF: a write of no more is not mixed with another process's, and does not block a ready pipe (pipe(7)).
_PIECE_BYTES = 4096

_TIMEOUT_S = 5.0


def create(settings: Settings, timing: "Timing", log: Log, on_response: "OnResponse | None" = None) -> Destination:
    """The destination `stdout:`; see `registry.create`."""
    del log, on_response
    return Destination(Lines(settings, LOGGER), {LOGS: Endpoint(joined, StdoutSender(timing))})


class StdoutSender:
    """Writes lines to a descriptor.

    Args:
        timing: Bounds the wait for a reader that is slow.
        fd: Standard output.
        clock: Monotonic seconds.
    """

    label = "stdout:"
    place = None
    secrets = ()
    is_ready = True

    def __init__(self, timing: "Timing", fd: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self._timing = timing
        self._fd = fd
        self._clock = clock
        self._is_torn = False

    def send(self, request: Request) -> Outcome:
        """Writes the lines, as many whole ones at a time as fit a piece."""
        body = request.body
        until = self._clock() + _TIMEOUT_S
        if self._is_torn:
            body = b"\n" + body
        at = 0
        while at < len(body):
            end = body.rfind(b"\n", at, at + _PIECE_BYTES) + 1
            piece = body[at : end or at + _PIECE_BYTES]
            try:
                if not self._timing.wait(self._fd, select.POLLOUT, until):
                    return Outcome(verdict=Verdict.RETRY, reason="timeout")
                at += os.write(self._fd, piece)
            except OSError as exc:
                return Outcome(verdict=Verdict.RETRY, reason="stdout", detail=str(exc.strerror))
            self._is_torn = body[at - 1 : at] != b"\n"
        return DONE

    def begin(self, request: Request, within_s: float) -> None:
        """Nothing is gained by it."""

    def warm(self) -> None:
        """There is nothing to load."""

    def close(self) -> None:
        """Nothing: standard output stays open."""
