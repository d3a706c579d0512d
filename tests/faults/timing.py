"""What happens when: freezes within a request, slow answers, slow starts, and the end that may only come nearer."""

import signal

from tests.faults.answers import ALL_SIGNALS
from tests.faults.cell import INVOCATIONS, LATE_MS, LINE, LINES, Cell, PerInvocation, Required, Scene
from tests.faults.hooks import always
from tests.sandbox import Slow
from tests.sandbox.backend_faults import retry_after


def idle(seconds: float) -> PerInvocation:
    """Between two invocations everything is frozen for so long."""
    return lambda scene, _number: scene.env.idle(seconds)


def terminated(*after_s: float) -> Cell:
    """SIGTERM comes while the environment ends."""

    def ending(scene: Scene) -> None:
        for delay_s in after_s:
            scene.later(delay_s, lambda: scene.supervisor(signal.SIGTERM))

    return Cell(
        name=f"SIGTERM {' and '.join(f'{s:g} s' for s in after_s)} after SHUTDOWN, down",
        start=lambda scene: scene.backend.refuse(),
        ending=ending,
        required=Required(lost=None, waits=True),
    )


def later_please(scene: Scene) -> None:
    """The first request at the end is asked to come after it."""
    scene.backend.faults.script([retry_after(5)])


# The budget of the first two holds ends before a backend of 0.6 s answers: one invocation's records, then two's.
SENT_WHILE_HELD = 80

TIMING = (
    Cell(
        name="frozen within each request",
        is_slow=True,
        start=always(Slow(0.6)),
        before=idle(1.0),
        ending=lambda scene: scene.env.idle(1.0),
        required=Required(most_copies=SENT_WHILE_HELD, late_p50_ms=LATE_MS),
    ),
    Cell(
        name="frozen within each request, default",
        is_slow=True,
        is_default=True,
        start=always(Slow(0.6)),
        before=idle(1.0),
        ending=lambda scene: scene.env.idle(1.0),
        required=Required(by_lines=True, most_copies=SENT_WHILE_HELD, has_spans=True, late_p50_ms=LATE_MS),
    ),
    Cell(
        name="frozen within each request, budget 0",
        is_slow=True,
        settings={"TAILRACE_FLUSH_BUDGET_MS": "0"},
        start=always(Slow(0.3)),
        before=idle(1.0),
        ending=lambda scene: scene.env.idle(1.0),
        required=Required(resent=False, late_p50_ms=LATE_MS),
    ),
    Cell(
        name="init within an invocation",
        is_slow=True,
        settings={"INIT_S": "1.7"},
        events=({**LINE, "dies": True}, LINE, *({**LINE, "thinks_s": 1.4},) * 4),
        required=Required(failing=(0,), prompt_from=0),
    ),
    terminated(0.05),
    terminated(0.5),
    terminated(1.0),
    terminated(0.2, 0.6, 1.0, 1.4),
    Cell(
        name="Retry-After of 5 s at shutdown",
        is_default=True,
        ending=later_please,
        required=Required(by_lines=True),
    ),
    Cell(
        name="all signals, 150 ms slow",
        settings=ALL_SIGNALS,
        start=always(Slow(0.15)),
        required=Required(by_lines=True, prompt_from=0, p50_ms=260.0, resent=False, has_spans=True),
    ),
    Cell(
        name="all signals, 0.4 s slow",
        settings=ALL_SIGNALS,
        start=always(Slow(0.4)),
        required=Required(by_lines=True, prompt_from=1, has_spans=True),  # the shipper is not there yet in the first
    ),
    Cell(
        name="default, 150 ms slow",
        is_default=True,
        events=({"lines": LINES},) * (2 * INVOCATIONS),
        start=always(Slow(0.15)),
        before=idle(0.2),
        required=Required(by_lines=True, resent=False, has_spans=True),
    ),
)
