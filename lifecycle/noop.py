"""The extension when there is nothing to ship: it keeps calling /next, so the function never waits for it.

Also the last resort when the rest of the extension cannot be loaded or fails.
"""

import _signal  # type: ignore[import-not-found]
import os
from time import sleep

from lifecycle.extensions_api import STATUS_OK, LocalApiError, text_member
from lifecycle.machine.backoff import NextRetry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lifecycle.boot import Booted


def stay(booted: "Booted") -> int:
    """Answers every event at once until SHUTDOWN, SIGTERM or SIGINT.

    Returns:
        Exit status: 0 after SHUTDOWN, 1 when the platform is gone.
    """
    for number in (_signal.SIGTERM, _signal.SIGINT):
        _signal.signal(number, lambda *_: os._exit(0))
    retry = NextRetry()
    while not retry.is_platform_gone:
        try:
            booted.ask_next()
            answer = booted.connection.wait()
        except (OSError, LocalApiError):
            booted.connection.close()
            retry.failed(0)
        else:
            if answer.status == STATUS_OK:
                if text_member(answer.body, "eventType") == "SHUTDOWN":
                    return 0
                retry.answered()
                continue
            retry.failed(answer.status)
        sleep(retry.pause_s)
    return 1
