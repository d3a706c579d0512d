"""The end of an environment that is in trouble, or whose backend is slow."""

import signal
from functools import partial

from tests.faults.answers import ALL_SIGNALS
from tests.faults.cell import COLLECTOR, INVOCATIONS, LATE_MS, LINE, LINES, SHIPPER, Cell, Hook, Required, Scene
from tests.faults.hooks import always
from tests.sandbox import Far, Slow

# Three times what the smallest backlog takes.
FULL = tuple({"lines": 400, "bytes": 4096} for _ in range(4))


def frozen_long(seconds: float) -> Hook:
    """A long freeze; then the backend is well."""

    def ending(scene: Scene) -> None:
        scene.env.idle(seconds)
        scene.backend.accept()

    return ending


def stopped(*comms: str, delay_s: float = 0.0) -> Hook:
    """Workers stop, without dying, before or after SHUTDOWN comes."""

    def stop(scene: Scene) -> None:
        for comm in comms:
            scene.signal(comm, signal.SIGSTOP)

    def ending(scene: Scene) -> None:
        if delay_s:
            scene.later(delay_s, lambda: stop(scene))
        else:
            stop(scene)

    return ending


def trickling(scene: Scene) -> None:
    """What the function has left behind goes on writing lines, as long as the environment takes to end."""
    for number in range(80):
        scene.later(number * 0.03, partial(scene.env.log, f"late line {number}\n"))


def full_backlog(seconds: float) -> Cell:
    """The ordinary end of an outage."""
    return Cell(
        name=f"backlog full, frozen {seconds:g} s, well at shutdown",
        is_slow=seconds > 1,
        settings={"TAILRACE_BACKLOG_BYTES": "2097152"},
        events=FULL,
        start=lambda scene: scene.backend.refuse(),
        ending=frozen_long(seconds),
    )


def buffered(ms: int) -> Cell:
    """What was last written is delivered when there is little time left."""
    return Cell(
        name=f"platform buffers {ms} ms",
        is_slow=True,
        is_default=True,
        settings={"TAILRACE_BUFFER_MS": str(ms)},
        events=({**LINE, "sleep_s": 0.3},) * INVOCATIONS,
        required=Required(by_lines=True),
    )


def unheard_of(signals: str) -> Cell:
    """Nothing is acknowledged, so nothing counts as shipped: not even what went into a span that waits."""
    return Cell(
        name=f"{signals} alone, down for good",
        settings={"TAILRACE_SIGNALS": signals, "TAILRACE_PLATFORM_LOGS": "0"},
        start=lambda scene: scene.backend.refuse(),
        required=Required(lost=None, waits=True),
    )


SHUTDOWN = (
    full_backlog(0.1),
    full_backlog(14.0),
    buffered(1650),
    buffered(2000),
    Cell(
        name="shipper stuck at shutdown",
        is_default=True,
        ending=stopped(SHIPPER),
        required=Required(by_lines=True),
    ),
    Cell(
        name="shipper stuck just after shutdown",
        is_default=True,
        start=always(Slow(0.2)),
        ending=stopped(SHIPPER, delay_s=0.1),
        required=Required(by_lines=True),
    ),
    Cell(
        name="poisonous record in the last shipment",
        is_default=True,
        start=lambda scene: scene.backend.faults.reject("poison"),
        events=tuple(
            # Beside others: alone in its request nothing would tell it from a backend that takes nothing.
            {**LINE, "rows": ("poison",)} if n == INVOCATIONS - 1 else LINE
            for n in range(INVOCATIONS)
        ),
        required=Required(by_lines=True, lost=1, dropped={"refused": 1}),
    ),
    unheard_of("traces"),
    unheard_of("metrics"),
    unheard_of("logs,traces,metrics"),
    Cell(
        name="collector stuck at shutdown",
        is_default=True,
        ending=stopped(COLLECTOR),
        required=Required(by_lines=True),
    ),
    Cell(
        name="shipper stuck while frozen",
        events=(LINE,) * INVOCATIONS,
        before=lambda scene, number: stopped(SHIPPER)(scene) if number == 4 else None,
    ),
    Cell(
        # With each line more is asked for than is under way, which is the first handshake of all.
        name="far away, lines that go on coming at the end",
        settings={"TAILRACE_FLUSH": "interval", "TAILRACE_FLUSH_INTERVAL_MS": "60000"},
        backend=partial(Far, 0.06, tls=True),
        events=({"lines": LINES},) * 2,
        ending=trickling,
        # What comes in the last moments stays the platform's, or waits.
        required=Required(lost=None, most_lost=20, waits=True, platform_keeps=True),
    ),
    Cell(
        name="interval, all signals, 1.5 s slow",
        settings={**ALL_SIGNALS, "TAILRACE_FLUSH": "interval"},
        events=({"lines": LINES, "sleep_s": 0.1},) * INVOCATIONS,
        start=always(Slow(1.5)),
        required=Required(by_lines=True, has_spans=True, late_p50_ms=LATE_MS),
    ),
    Cell(
        name="adaptive, all signals, 1.5 s slow",
        is_default=True,
        start=always(Slow(1.5)),
        required=Required(by_lines=True, has_spans=True, late_p50_ms=LATE_MS),
    ),
)
