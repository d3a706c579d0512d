"""The cells of the matrix that issue 3 names: what goes wrong, and what is required."""

import math
import signal
import time
from collections.abc import Iterator
from email.utils import formatdate

from tests.faults.cell import COLLECTOR, INVOCATIONS, LATE_MS, LINES, SHIPPER, Cell, Required, Scene
from tests.faults.hooks import RUNNING, accepting, always, first, killing, killing_always, well_again, with_event
from tests.sandbox import Hang, Platform, Reset, Slow, Status
from tests.sandbox.backend_faults import Action, retry_after

HEALTHY = Required(p50_ms=40.0)

BURST = {"lines": 5 * 1024, "bytes": 1024}

# Of a function that prints it: what it is about is not how long that takes on a busy machine.
BURST_S = 10.0


def waiting() -> Iterator[Action]:
    """429 with a Retry-After of a second; then with a date at least a second away."""
    yield retry_after(1)
    yield Status(429, headers={"Retry-After": formatdate(math.ceil(time.time() + 1.0), usegmt=True)})


def stopped_first(scene: Scene, number: int) -> None:
    """Twice the collector dies without having read what the kernel has taken for it."""
    if number in (2, 6):
        scene.later(0.005, lambda: scene.signal(COLLECTOR, signal.SIGSTOP))
        scene.kill_after(0.05, COLLECTOR)


FROM_ISSUE = (
    Cell(name="healthy", required=HEALTHY),
    Cell(name="503 ×3", start=first(3, Status(503))),
    Cell(name="500 ×3", start=first(3, Status(500))),
    Cell(
        name="429 ×2 with Retry-After",
        start=lambda scene: scene.backend.faults.script(waiting()),
        before=lambda scene, _number: scene.env.idle(0.35),
        required=Required(retry_after_s=1.0),
    ),
    Cell(name="400 ×2 on everything", start=first(2, Status(400))),
    Cell(
        name="one poisonous record",
        start=lambda scene: scene.backend.faults.reject("poison"),
        events=with_event(4, lines=1, tag="poison"),
        required=Required(lost=1, dropped={"refused": 1}, p50_ms=40.0),
    ),
    Cell(
        name="413 above 64 KiB",
        start=lambda scene: scene.backend.faults.too_large(65_536),
        events=({"lines": LINES, "bytes": 8192},) * INVOCATIONS,
    ),
    Cell(name="1.5 s slow", start=always(Slow(1.5)), required=Required(late_p50_ms=LATE_MS)),
    Cell(
        name="hanging until shutdown",
        start=always(Hang()),
        ending=well_again,
        required=Required(late_p50_ms=LATE_MS),
    ),
    Cell(name="resetting ×3", start=first(3, Reset())),
    Cell(name="refusing, then up", start=lambda scene: scene.backend.refuse(), before=accepting(INVOCATIONS // 2)),
    Cell(name="flapping 50 %", start=lambda scene: scene.backend.faults.flap(0.5)),
    Cell(
        name="down, up at shutdown",
        start=lambda scene: scene.backend.refuse(),
        ending=lambda scene: scene.backend.accept(),
        required=Required(late_p50_ms=LATE_MS),
    ),
    Cell(
        name="down for good",
        start=lambda scene: scene.backend.refuse(),
        required=Required(lost=None, waits=True, late_p50_ms=LATE_MS),
    ),
    Cell(
        name="collector killed",
        events=RUNNING,
        before=killing(COLLECTOR, at=(2, 4, 6, 8)),
        required=Required(kills=4),
    ),
    Cell(
        name="shipper killed",
        events=RUNNING,
        before=killing(SHIPPER, at=(2, 4, 6, 8)),
        required=Required(kills=4),
    ),
    Cell(
        name="both killed in every invocation",
        events=RUNNING,
        before=killing_always,
        required=Required(kills=2 * INVOCATIONS),
    ),
    Cell(
        name="platform delivers twice",
        platform=Platform(duplicate_every=1),
        required=Required(p50_ms=40.0, resent=False),
    ),
    Cell(
        name="function timeout",
        timeout_s=1.0,
        events=tuple({"lines": LINES, "sleep_s": 5 if number in (3, 7) else 0} for number in range(INVOCATIONS)),
        required=Required(failing=(3, 7)),
    ),
    Cell(
        name="runtime crash and reset",
        events=tuple({"lines": LINES, "dies": number in (3, 7)} for number in range(INVOCATIONS)),
        required=Required(failing=(3, 7)),
    ),
    Cell(name="5 MB burst", timeout_s=BURST_S, events=with_event(4, **BURST)),
    Cell(name="TCP", settings={"TAILRACE_PROTOCOL": "tcp"}, required=HEALTHY),
    Cell(
        name="TCP, collector killed",
        settings={"TAILRACE_PROTOCOL": "tcp"},
        events=RUNNING,
        before=stopped_first,
        required=Required(lost=None, is_lost_before_us=True, kills=2),
    ),
)
