"""The function exports telemetry of its own, too: nothing of it is lost either, and it waits for nothing."""

import socket

from tests.faults.cell import COLLECTOR, INVOCATIONS, LATE_MS, LINES, SHIPPER, Cell, Required, Scene
from tests.faults.hooks import accepting, always, killing, killing_always, well_again
from tests.sandbox import Hang, Slow

EXPORTS = 8

with socket.create_server(("127.0.0.1", 0)) as _free:
    INTAKE = {
        "TAILRACE_OTLP_INTAKE": "1",
        "TAILRACE_OTLP_PORT": str(_free.getsockname()[1]),
        "TAILRACE_SIGNALS": "logs,traces",
    }

EVENTS = ({"lines": LINES, "exports": EXPORTS},) * INVOCATIONS
RUNNING = ({"lines": LINES, "exports": EXPORTS, "sleep_s": 0.03},) * INVOCATIONS

# What an SDK may be made to wait, where nothing else uses the machine. A collector that died is there again within a
# few dozen milliseconds where it gets a processor; who exports meanwhile waits in the kernel's queue.
ANSWERED_MS = 50.0


def killed_while_exporting(scene: Scene, number: int) -> None:
    """The collector dies between two exports, or in one."""
    scene.kill_after(0.005 + 0.004 * (number % 8), COLLECTOR)


EXPORTING = (
    Cell(
        name="exports",
        settings=INTAKE,
        events=EVENTS,
        required=Required(p50_ms=60.0, resent=False, answered_p50_ms=10.0),
    ),
    Cell(
        name="exports, down, up half way",
        settings=INTAKE,
        events=EVENTS,
        start=lambda scene: scene.backend.refuse(),
        before=accepting(INVOCATIONS // 2),
        required=Required(answered_p50_ms=5.0, answered_ms=ANSWERED_MS),
        is_slow=True,
    ),
    Cell(
        name="exports, flapping 50 %",
        settings=INTAKE,
        events=EVENTS,
        start=lambda scene: scene.backend.faults.flap(0.5),
        required=Required(answered_p50_ms=5.0, answered_ms=ANSWERED_MS),
        is_slow=True,
    ),
    Cell(
        name="exports, 1.5 s slow",
        settings=INTAKE,
        events=EVENTS,
        start=always(Slow(1.5)),
        required=Required(answered_p50_ms=5.0, answered_ms=ANSWERED_MS, late_p50_ms=LATE_MS),
        is_slow=True,
    ),
    Cell(
        name="exports, hanging until shutdown",
        settings=INTAKE,
        events=EVENTS,
        start=always(Hang()),
        ending=well_again,
        required=Required(answered_p50_ms=5.0, answered_ms=ANSWERED_MS, late_p50_ms=LATE_MS),
        is_slow=True,
    ),
    Cell(
        name="exports, collector killed meanwhile",
        settings=INTAKE,
        events=RUNNING,
        before=killed_while_exporting,
        required=Required(kills=INVOCATIONS, answered_p50_ms=5.0),
    ),
    Cell(
        name="exports, frozen in the middle of them",
        settings=INTAKE,
        events=(*({"lines": LINES, "exports": 1, "behind": 60},) * INVOCATIONS, {"lines": 1, "sleep_s": 1.0}),
        before=lambda scene, _number: scene.env.idle(0.2),
        required=Required(resent=False, late_p50_ms=120.0),
        is_slow=True,
    ),
    Cell(
        name="exports, shipper killed",
        settings=INTAKE,
        events=RUNNING,
        before=killing(SHIPPER, at=(2, 4, 6, 8)),
        required=Required(kills=4, answered_p50_ms=5.0, answered_ms=ANSWERED_MS),
        is_slow=True,
    ),
    Cell(
        name="exports, both killed in every invocation",
        settings=INTAKE,
        events=RUNNING,
        before=killing_always,
        required=Required(kills=2 * INVOCATIONS, answered_p50_ms=5.0, answered_ms=ANSWERED_MS),
        is_slow=True,
    ),
    Cell(
        name="exports, runtime crash and reset",
        settings=INTAKE,
        events=tuple({"lines": LINES, "exports": EXPORTS, "dies": number in (3, 7)} for number in range(INVOCATIONS)),
        required=Required(failing=(3, 7), answered_p50_ms=5.0),
        is_slow=True,
    ),
)
