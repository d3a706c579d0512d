"""What the machine may do to the processes, the platform to its deliveries, and settings to one another."""

import signal

from tests.faults.answers import CRASHES
from tests.faults.cell import (
    ANY,
    COLLECTOR,
    INVOCATIONS,
    LINE,
    LINES,
    NAME,
    SHIPPER,
    Cell,
    PerInvocation,
    Required,
    Scene,
)
from tests.faults.hooks import RUNNING, always
from tests.sandbox import Partial, Platform, Slow

SHORT_S = 0.3
SHORT = ({"lines": LINES, "sleep_s": 0.05},) * INVOCATIONS
LONG = ({"lines": LINES, "sleep_s": 0.5},) * INVOCATIONS


def short_of_descriptors(*comms: str) -> PerInvocation:
    """Workers die while nobody can open anything, once."""

    def before(scene: Scene, number: int) -> None:
        if number == 4:
            scene.short_of_descriptors(0.02, SHORT_S)
            scene.kill_after(0.05, *comms)

    return before


def short_of_processes(*comms: str) -> PerInvocation:
    """Workers die while nobody can start a process, once."""

    def before(scene: Scene, number: int) -> None:
        if number == 4:
            scene.short_of_processes(0.02, SHORT_S)
            scene.kill_after(0.05, *comms)
        if number == 6 and not any('"worker.not_started"' in line for line in scene.env.printed(NAME)):
            scene.problems.append("every process could be started")

    return before


def dying_while_it_ships(scene: Scene, number: int) -> None:
    """The collector dies again and again while a request is under way."""
    if number in (3, 6):
        scene.kill_again_and_again(0.06, COLLECTOR, times=7)


# As many of the seven as fit in what the invocation is held: in a freeze nobody is started again.
DEATHS_IN_A_HOLD = 5


def stuck(comm: str, *at: int) -> PerInvocation:
    """A worker stops, without dying, within some invocations."""

    def before(scene: Scene, number: int) -> None:
        if number in at:
            scene.later(0.01, lambda: scene.signal(comm, signal.SIGSTOP))

    return before


def unheard(scene: Scene, number: int) -> None:
    """Nobody reads what the extension prints, from the second invocation on."""
    if number == 1:
        scene.env.ignore_output("tailrace")


def heard_again(scene: Scene) -> None:
    """Somebody reads it again; and the backend is well."""
    scene.env.heed_output("tailrace")
    scene.backend.accept()


def crowded(scene: Scene, number: int) -> None:
    """The function itself holds many connections open, and says nothing there."""
    if number == 1:
        scene.later(0.01, lambda: scene.crowd(900))


def unread(scene: Scene, number: int) -> None:
    """There is no room for a command when the snapshot is restored, and none is read for some time."""
    if number == 0:
        scene.fill_commands(0.15, COLLECTOR, SHIPPER)


def is_one_of_a_kind(scene: Scene) -> None:
    """Everything that left is of the copy that was restored, as the supervisor says which that is."""
    restored = [line for line in scene.env.printed(NAME) if '"lifecycle.restored"' in line]
    found = {str(record.resource["faas.instance"]) for record in scene.backend.unique()}
    if len(found) != 1 or not any(f'"instance_id":"{instance}"' in line for instance in found for line in restored):
        scene.problems.append(f"records of {found}, expected of the one that was restored")


MACHINE = (
    Cell(
        name="collector killed ×7 while a request is under way",
        is_slow=True,
        events=SHORT,
        start=always(Slow(0.35)),
        before=dying_while_it_ships,
        required=Required(kills=2 * DEATHS_IN_A_HOLD),
    ),
    Cell(
        name="collector killed, descriptors short",
        events=LONG,
        before=short_of_descriptors(COLLECTOR),
        required=Required(kills=1),
    ),
    Cell(
        name="shipper killed, descriptors short",
        events=LONG,
        before=short_of_descriptors(SHIPPER),
        required=Required(kills=1),
    ),
    Cell(
        name="collector killed, processes short",
        is_slow=True,
        events=LONG,
        before=short_of_processes(COLLECTOR),
        required=Required(kills=1),
    ),
    Cell(
        name="shipper killed, processes short",
        is_slow=True,
        events=LONG,
        before=short_of_processes(SHIPPER),
        required=Required(kills=1),
    ),
    Cell(name="descriptors short for a while", is_slow=True, events=LONG, before=short_of_descriptors()),
    Cell(name="collector stuck", timeout_s=10.0, events=RUNNING, before=stuck(COLLECTOR, 4)),
    Cell(name="shipper stuck", timeout_s=10.0, events=RUNNING, before=stuck(SHIPPER, 4)),
    Cell(
        name="platform delivers nothing for an invocation",
        is_slow=True,
        platform=Platform(withheld=(4, 5)),
        events=({"lines": LINES, "sleep_s": 0.6},) * INVOCATIONS,
        required=Required(unending=(3, 4), unsaid=("worker.stuck", "worker.exited")),
    ),
    Cell(
        name="nobody reads what is said, debug, down",
        settings={"TAILRACE_LOG_LEVEL": "debug"},
        start=lambda scene: scene.backend.refuse(),
        before=unheard,
        ending=heard_again,
    ),
    Cell(
        name="nobody reads what is said, each batch in part refused",
        is_slow=True,
        is_default=True,
        settings={"TAILRACE_FLUSH": "end"},
        events=(LINE,) * 40,
        start=always(Partial(1)),
        before=unheard,
        ending=heard_again,
        required=Required(by_lines=True, lost=None, dropped={"rejected": ANY}),
    ),
    Cell(
        name="largest batches into the smallest backlog",
        settings={
            "TAILRACE_BACKLOG_BYTES": "2097152",
            "TAILRACE_BUFFER_BYTES": "1048576",
            "TAILRACE_BUFFER_ITEMS": "10000",
            "TAILRACE_BUFFER_MS": "100",
        },
        events=tuple({"lines": 140 if number in (2, 5) else LINES, "bytes": 10_000} for number in range(INVOCATIONS)),
    ),
    # Offsets are divided into stretches of 2**44; with stretches of 2**23, each delivery that empties the backlog comes
    # a quarter nearer to the end of one: it costs a lap.
    Cell(
        name="offsets that come to the end of a stretch",
        is_slow=True,
        owns_layer=True,
        settings={"TAILRACE_BACKLOG_BYTES": "2097152"},
        start=lambda scene: scene.edit("lifecycle/contract/frames.py", "STRETCH_BITS = 44", "STRETCH_BITS = 23"),
        events=({"lines": LINES},) * (2 * INVOCATIONS),
        required=Required(p50_ms=40.0, resent=False, unsaid=CRASHES),
    ),
    Cell(
        name="restored while the pipes are full",
        is_slow=True,
        platform=Platform(flavour="snap-start"),
        settings={"TAILRACE_LOG_LEVEL": "debug"},
        before=unread,
        ending=is_one_of_a_kind,
    ),
    Cell(name="event nested 5,000 deep", platform=Platform(next_faults={4: "deep", 7: "deep"}), required=Required()),
    Cell(
        name="900 slow connections, platform dials anew",
        is_slow=True,
        events=LONG,
        platform=Platform(dials_anew=True),
        before=crowded,
    ),
    Cell(name="900 slow connections", is_slow=True, events=LONG, before=crowded),
    Cell(name="platform dials anew", platform=Platform(dials_anew=True), required=Required(p50_ms=40.0)),
)
