"""The extension when there is nothing to ship: it keeps calling /next, so the function never waits for it.

Also the last resort when the rest of the extension cannot be loaded or fails.
"""

import os
import signal
from time import sleep

from lifecycle.local_api import LocalApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lifecycle.boot import Booted

STATUS_OK = 200

# Pauses between questions that the platform refuses: from one to the other, doubling.
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 10.0

# A platform that takes no connection this many times in a row is gone.
MOST_FAILURES = 8


def stay(booted: "Booted") -> int:
    """Answers every event at once until SHUTDOWN, SIGTERM or SIGINT.

    Returns:
        Exit status: 0 after SHUTDOWN, 1 when the platform is gone.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    pause_s, failures = FIRST_PAUSE_S, 0
    while failures < MOST_FAILURES:
        try:
            booted.ask_next()
            answer = booted.connection.wait()
        except (OSError, LocalApiError):
            booted.connection.close()
            failures += 1
        else:
            failures = 0
            if answer.status == STATUS_OK:
                if answer.text("eventType") == "SHUTDOWN":
                    return 0
                pause_s = FIRST_PAUSE_S
                continue
        sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    return 1
