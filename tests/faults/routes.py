"""Two routes: whatever goes wrong with one, the other is held to what a healthy one is."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

from lifecycle.contract.setting_types import ENVIRONMENT
from lifecycle.contract.settings import Settings
from tests.faults.answers import ANSWERS
from tests.faults.cell import INVOCATIONS, MEMORY_MB, SECOND, SHIPPER, Cell, Required, Scene
from tests.faults.cells import FROM_ISSUE
from tests.faults.connections import CONNECTIONS
from tests.faults.encodings import ENCODINGS
from tests.faults.exports import EXPORTING
from tests.faults.hooks import always
from tests.faults.machine import MACHINE
from tests.faults.more_cells import FURTHER
from tests.faults.records import RECORDS
from tests.faults.shutdown import SHUTDOWN
from tests.faults.spools import SETTINGS as SPOOLED
from tests.faults.spools import SPOOLS, free
from tests.faults.timing import TIMING
from tests.sandbox import Hang

# What is set for a route where nothing is said: the first one's settings are not for both then.
DEFAULTS = {
    f"TAILRACE_SIGNALS_{SECOND}": "logs,traces,metrics",
    f"TAILRACE_PLATFORM_LOGS_{SECOND}": "0",
    f"TAILRACE_FLUSH_{SECOND}": "adaptive",
}

# Held for the route that is well, as for one alone.
HEALTHY_MS = 60.0

# Memory of one process more, which may be at anything.
SECOND_MB = 14.0

# Of a function that is not to fail: bursts are shipped twice, and the machine may have other things to do.
TIMEOUT_S = 10.0

# Of the workers that die in a cell. The second shipper is not there yet when the first invocation begins, and where
# nobody is held for it any more there is less time awake in which one that died is replaced, so that it may die again.
KILLED = 0.75

# Played with every test; all others by `make faults`.
QUICK = ("down for good",)

_ROWS = {row.variable: row for row in Settings.table()}


def beside(cell: Cell) -> Cell:
    """The same trouble with the second of two routes."""
    was = cell.required
    is_of_all = bool(was.kills or was.platform_drops or was.platform_keeps or was.failing)
    required = Required(
        late_p50_ms=was.late_p50_ms and HEALTHY_MS,
        failing=was.failing,
        unending=was.unending,
        kills=math.ceil(was.kills * KILLED),
        platform_drops=was.platform_drops,
        platform_keeps=was.platform_keeps,
        is_lost_before_us=was.is_lost_before_us,
        lost=None if was.is_lost_before_us else 0,
        resent=None if is_of_all else False,
        retried=False,
        memory_mb=MEMORY_MB + SECOND_MB + 2 * max(was.memory_mb - MEMORY_MB, 0.0),  # each reads what is so large
        answered_p50_ms=was.answered_p50_ms,
        answered_ms=was.answered_ms,
    )
    settings = {**(DEFAULTS if cell.is_default else {}), **dict(_of_second(cell.settings))}
    return replace(
        cell,
        name=f"{cell.name}, on one of two routes",
        settings=settings,
        timeout_s=cell.timeout_s if was.failing or was.unending else TIMEOUT_S,
        required=required,
        is_beside=True,
        is_slow=cell.name not in QUICK,
    )


def exporting_beside(cell: Cell) -> Cell:
    """Likewise, where the function exports: what it does arrives on both, so that what is set is for both."""
    return replace(beside(cell), settings=cell.settings)


def _of_second(settings: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Settings as the second route's own, where they are a route's."""
    for variable, value in settings.items():
        row = _ROWS.get(variable)
        is_own = row is not None and row.scope != ENVIRONMENT
        yield (f"{variable}_{SECOND}" if is_own else variable), value


# More than the backlog holds, in lines that the other route loses none of.
FULL = Cell(
    name="more than the backlog",
    settings={"TAILRACE_BACKLOG_BYTES": "2097152"},
    events=({"lines": 600, "bytes": 1000},) * INVOCATIONS,
)


def down_with_spool(scene: Scene) -> None:
    """Files that nobody else has left, and a backend that takes no connection."""
    scene.keep(free())
    scene.backend.refuse()


ROUTES = (
    *(
        beside(cell)
        for cells in (FROM_ISSUE, FURTHER, RECORDS, ANSWERS, ENCODINGS, CONNECTIONS, TIMING, SHUTDOWN, MACHINE, SPOOLS)
        for cell in cells
    ),
    *map(exporting_beside, EXPORTING),
    beside(replace(FULL, name="hanging, and more than the backlog", start=always(Hang()))),
    beside(replace(FULL, name="down, and more than the backlog", start=lambda scene: scene.backend.refuse())),
    beside(
        replace(
            FULL,
            name="down, and more than backlog and spool",
            settings={**SPOOLED, "TAILRACE_SPOOL_BYTES": "2097152"},
            start=down_with_spool,
        )
    ),
    beside(replace(FULL, name="no shipper lives, and more than the backlog", start=lambda scene: scene.haunt(SHIPPER))),
)
