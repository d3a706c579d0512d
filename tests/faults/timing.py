"""What happens when: freezes within a request, slow answers, slow starts, and the end that may only come nearer."""

import signal

from tests.faults.cell import INVOCATIONS, LINE, LINES, Cell, PerInvocation, Required, Scene
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


TIMING = (
    Cell(
        name="init within an invocation",
        is_slow=True,
        settings={"INIT_S": "1.7"},
        events=({**LINE, "dies": True}, LINE, *({**LINE, "thinks_s": 1.4},) * 4),
        required=Required(failing=(0,), is_prompt=True),
    ),
    terminated(0.05),
    terminated(0.5),
    terminated(1.0),
    terminated(0.2, 0.6, 1.0, 1.4),
    Cell(
        name="default, 150 ms slow",
        is_default=True,
        events=({"lines": LINES},) * (2 * INVOCATIONS),
        start=always(Slow(0.15)),
        before=idle(0.2),
        required=Required(by_lines=True, resent=False, has_spans=True),
    ),
)
