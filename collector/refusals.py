"""Says what was not taken: to the supervisor each time, to the log a bounded number of times."""

from collections.abc import Callable

from collector.messages import Problem
from lifecycle.contract.log import Log
from lifecycle.contract.wire import Message, Refused

# After this many lines of a kind, more say nothing new; the supervisor's count goes on.
MOST_LINES = 10


class Refusals:
    """Reports problems.

    Args:
        send: Puts a message into the supervisor's pipe.
        log: Takes one warning for each problem, up to `MOST_LINES` of a reason, later ones at debug.
    """

    def __init__(self, send: Callable[[Message], None], log: Log) -> None:
        self._send = send
        self._log = log
        self._seen: dict[str, int] = {}

    def note(self, problem: Problem, *, connection: int) -> None:
        """Reports one problem."""
        self._send(Refused(reason=problem.reason, status=problem.status, body_bytes=problem.body_bytes))
        seen = self._seen[problem.reason] = self._seen.get(problem.reason, 0) + 1
        say = self._log.warning if seen <= MOST_LINES else self._log.debug
        extra = {"further_lines": "at debug only"} if seen == MOST_LINES else {}
        say(
            "collector.request_refused",
            reason=problem.reason,
            status=problem.status,
            got=problem.got,
            expected=problem.expected,
            body_bytes=problem.body_bytes,
            connection=connection,
            **extra,
        )
