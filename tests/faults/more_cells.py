"""Further cells: what the issue does not name and a bad day brings all the same."""

import os

from lifecycle.machine.restarts import DEATHS_TO_FAIL
from tests.faults.cell import (
    COLLECTOR,
    INVOCATIONS,
    LATE_MS,
    LINE,
    LINES,
    SHIPPER,
    Cell,
    PerInvocation,
    Required,
    Scene,
)
from tests.faults.cells import BURST, BURST_S
from tests.faults.hooks import RUNNING, accepting, always, first, killing_always, well_again, well_again_at, with_event
from tests.sandbox import Hang, Platform, Reset, Slow, Status
from tests.sandbox.backend_faults import Partial

KEPT = Required(lost=None, waits=True, late_p50_ms=LATE_MS)

BY_LINES = Required(by_lines=True)
ALL_SIGNALS = {"TAILRACE_SIGNALS": "logs,traces,metrics", "TAILRACE_PLATFORM_LOGS": "0"}

BURST_AT_2 = tuple(BURST if number == 2 else LINE for number in range(INVOCATIONS))


def killed_while_it_flows(comm: str) -> Cell:
    """A worker dies four times within a burst."""

    def before(scene: Scene, number: int) -> None:
        if number == 4:
            scene.kill_again_and_again(0.01, comm, times=4)

    return Cell(
        name=f"{comm.removeprefix('tr-')} killed ×4 in a burst",
        timeout_s=BURST_S,
        events=with_event(4, **BURST, sleep_s=0.12),
        before=before,
        required=Required(kills=4),
    )


def dying(comm: str) -> PerInvocation:
    """A worker dies whenever it is there, from the third invocation on."""

    def before(scene: Scene, number: int) -> None:
        if number == 2:
            scene.haunt(comm)

    return before


WORKERS = {COLLECTOR: "collector/server.py", SHIPPER: "shipper/worker.py"}
WELL, BROKEN = "\ndef run(", "\nraise ImportError\n\n\ndef run("


def broken(comm: str) -> PerInvocation:
    """A worker cannot even be loaded, from the third invocation on."""

    def before(scene: Scene, number: int) -> None:
        if number == 2:
            scene.edit(WORKERS[comm], WELL, BROKEN)
            scene.kill(comm)

    return before


def broken_until_shutdown(comm: str) -> Cell:
    """At the end there is one more try."""
    return Cell(
        name=f"{comm.removeprefix('tr-')} that cannot be loaded until shutdown",
        is_slow=True,
        owns_layer=True,
        events=({"lines": LINES, "sleep_s": 0.2},) * INVOCATIONS,
        before=broken(comm),
        ending=lambda scene: scene.edit(WORKERS[comm], BROKEN, WELL),
        required=Required(p50_ms=LATE_MS),
    )


def refusing(scene: Scene) -> None:
    """The backend takes no connection."""
    scene.backend.refuse()


def up(scene: Scene) -> None:
    """The backend takes connections again."""
    scene.backend.accept()


FURTHER = (
    Cell(name="answers lost ×3", start=first(3, Reset(store=True)), required=Required(resent=True)),
    Cell(
        name="redirected, then not",
        start=always(Status(307, headers={"Location": "http://127.0.0.1:1/v1/logs"})),
        before=well_again_at(INVOCATIONS // 2),
    ),
    Cell(
        name="partial success, 1 refused",
        start=first(1, Partial(1)),
        required=Required(lost=1, dropped={"rejected": 1}),
    ),
    Cell(name="401, then the key is right", start=always(Status(401)), before=well_again_at(INVOCATIONS // 2)),
    Cell(name="403 for good", start=always(Status(403)), required=KEPT),
    Cell(name="400 for good", start=always(Status(400)), required=KEPT),
    Cell(
        name="hung up on while frozen",
        before=lambda scene, _number: scene.backend.hang_up(),
        required=Required(p50_ms=40.0, retried=False),
    ),
    Cell(name="0.3 s slow", start=always(Slow(0.3))),
    Cell(name="hanging for good", start=always(Hang()), required=KEPT),
    Cell(name="hanging at shutdown", ending=always(Hang()), required=Required(lost=None, waits=True, p50_ms=40.0)),
    Cell(name="name that does not resolve", endpoint=lambda _port: "http://nowhere.invalid", required=KEPT),
    # The backend speaks no TLS: it waits for the end of a request, the client for the handshake's.
    Cell(name="TLS handshake that hangs", endpoint=lambda port: f"https://127.0.0.1:{port}", required=KEPT),
    Cell(
        name="runtimeDone lost once",
        timeout_s=1.0,
        platform=Platform(runtime_done_lost=(4,)),
        required=Required(unending=(3,)),
    ),
    killed_while_it_flows(COLLECTOR),
    killed_while_it_flows(SHIPPER),
    # Nothing is acknowledged: no invocation waits.
    Cell(
        name="collector that dies at once, always",
        is_slow=True,
        owns_layer=True,
        events=({"lines": LINES, "sleep_s": 0.2},) * (2 * INVOCATIONS),
        before=broken(COLLECTOR),
        required=Required(platform_keeps=True, p50_ms=LATE_MS, says=('"worker.kept_dying"',)),
    ),
    broken_until_shutdown(COLLECTOR),
    broken_until_shutdown(SHIPPER),
    # It lives for as long as nobody has seen it, and often long enough to bring an invocation's end: what is delivered
    # then is waited for as ever.
    Cell(
        name="collector killed whenever it is seen",
        is_slow=True,
        before=dying(COLLECTOR),
        required=Required(kills=DEATHS_TO_FAIL, platform_keeps=True),
    ),
    Cell(
        name="shipper that dies at once, always",
        before=dying(SHIPPER),
        required=Required(lost=None, waits=True, may_have_arrived=True, kills=DEATHS_TO_FAIL, late_p50_ms=LATE_MS),
    ),
    Cell(
        name="both killed, flapping, answers lost",
        events=RUNNING,
        start=lambda scene: scene.backend.faults.flap(0.5, Reset(store=True), seed=3),
        before=killing_always,
        required=Required(kills=2 * INVOCATIONS),
    ),
    Cell(name="5 MB burst, down, up at shutdown", timeout_s=BURST_S, events=BURST_AT_2, start=refusing, ending=up),
    Cell(name="5 MB burst, down for good", timeout_s=BURST_S, events=BURST_AT_2, start=refusing, required=KEPT),
    Cell(
        name="5 MB burst into 2 MiB, down, then up",
        settings={"TAILRACE_BACKLOG_BYTES": "2097152"},
        timeout_s=BURST_S,
        events=BURST_AT_2,
        start=refusing,
        before=accepting(INVOCATIONS // 2),
    ),
    Cell(
        name="5 MB burst into 2 MiB and a spool, down",
        settings={
            "TAILRACE_BACKLOG_BYTES": "2097152",
            "TAILRACE_SPOOL_BYTES": "8388608",
            "TAILRACE_SPOOL_PATH": f"/tmp/tailrace-faults-{os.getpid()}",
        },
        timeout_s=BURST_S,
        events=BURST_AT_2,
        start=refusing,
        before=accepting(INVOCATIONS // 2),
    ),
    Cell(
        name="platform's buffer overflows",
        settings={"TAILRACE_BACKLOG_BYTES": "2097152"},
        platform=Platform(buffer_bytes=1_000_000),
        timeout_s=BURST_S,
        # The platform tells of its drops after it has delivered what it kept: the last functions take their time.
        events=(*BURST_AT_2[: INVOCATIONS // 2], *({**LINE, "sleep_s": 0.3},) * (INVOCATIONS - INVOCATIONS // 2)),
        start=refusing,
        before=accepting(INVOCATIONS // 2),
        required=Required(platform_drops=True),
    ),
    Cell(name="all signals, healthy", settings=ALL_SIGNALS, required=Required(by_lines=True, p50_ms=40.0)),
    Cell(name="all signals, 503 ×3", settings=ALL_SIGNALS, start=first(3, Status(503)), required=BY_LINES),
    # At shutdown there is time for one answer: the requests of all signals are made at once. `make faults` alone plays
    # it: a tenth of a second is to spare, and one time in five spans of the first two invocations are given up instead.
    Cell(
        name="all signals, 1.5 s slow",
        is_slow=True,
        settings=ALL_SIGNALS,
        start=always(Slow(1.5)),
        required=Required(by_lines=True, late_p50_ms=LATE_MS),
    ),
    Cell(
        name="all signals, down, up at shutdown",
        settings=ALL_SIGNALS,
        start=refusing,
        ending=up,
        required=Required(by_lines=True, late_p50_ms=LATE_MS),
    ),
    Cell(
        name="all signals, both killed",
        settings=ALL_SIGNALS,
        events=RUNNING,
        before=killing_always,
        required=Required(by_lines=True, kills=2 * INVOCATIONS),
    ),
    Cell(
        name="adaptive, down, up at shutdown",
        settings={"TAILRACE_FLUSH": "adaptive"},
        start=refusing,
        ending=up,
        required=Required(late_p50_ms=LATE_MS),
    ),
    Cell(
        name="interval, hanging until shutdown",
        settings={"TAILRACE_FLUSH": "interval", "TAILRACE_FLUSH_INTERVAL_MS": "100"},
        events=({"lines": LINES, "sleep_s": 0.05},) * INVOCATIONS,
        start=always(Hang()),
        ending=well_again,
        required=Required(late_p50_ms=LATE_MS),
    ),
)
