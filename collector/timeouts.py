"""How long the collector waits for the other end of a connection, and by which clock.

The environment is frozen between invocations, for minutes, in the middle of anything. Time is therefore
counted while awake: however long the freeze, one wait adds no more than it was meant to take. Nobody is sent
away for having been frozen, and one that is silent between two requests is not waited for at all.
"""

import math
import time

import msgspec

# A wait whose end matters is cut into ticks, so that a freeze adds one tick at most to awake time.
TICK_S = 0.5

# A wait may take this much longer than asked before the rest counts as freeze.
SLACK_S = 0.1


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Limits, in seconds of awake time.

    Attributes:
        stall_s: Without a byte of an incomplete request, or of an answer taken: the platform sends a batch over
            loopback in milliseconds, so this is only ever somebody who is gone or means ill.
        request_s: From a request's first byte to its last: one byte at a time never ends otherwise.
        pressed_stall_s: Like `stall_s` when others wait for the room a connection takes.
        pressed_request_s: Like `request_s`, likewise.
        aside_s: How long one is left aside that has a request under way, before it is closed for want of any room.
        room_s: How long a batch waits for room in the backlog before 503: a shipment under way usually makes
            room sooner, and a client that gave up meanwhile would send the batch again.
        spill_s: How long it waits before it goes to the spool, where there is one.
        linger_s: For the other end to read the last answer and close; closing first, with its bytes unread, would
            reset the connection and take the answer away again (RFC 9112, 9.6).
    """

    stall_s: float = 30.0
    request_s: float = 60.0
    pressed_stall_s: float = 1.0
    pressed_request_s: float = 5.0
    aside_s: float = 0.25
    room_s: float = 2.0
    spill_s: float = 0.1
    linger_s: float = 5.0


class AwakeClock:
    """Seconds of awake time since it was made.

    Attributes:
        now_s: The time.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self._last_s = time.monotonic()

    def advance(self, asked_s: float | None) -> None:
        """Moves on after a wait that was to take `asked_s` at most; None: nothing depended on its length."""
        read_s = time.monotonic()
        passed_s = read_s - self._last_s
        self._last_s = read_s
        self.now_s += passed_s if asked_s is None else min(passed_s, asked_s + SLACK_S)


def wait_s(due_s: float, now_s: float) -> float | None:
    """How long to wait for descriptors when something is due; None: without end."""
    return None if due_s == math.inf else min(max(due_s - now_s, 0.0), TICK_S)
