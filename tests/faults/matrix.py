"""All cells there are, by what they are about."""

from collections.abc import Mapping, Sequence

from tests.faults.answers import ANSWERS, LONG
from tests.faults.cell import Cell
from tests.faults.cells import FROM_ISSUE
from tests.faults.connections import CONNECTIONS
from tests.faults.encodings import ENCODINGS
from tests.faults.exports import EXPORTING
from tests.faults.machine import MACHINE
from tests.faults.more_cells import FURTHER
from tests.faults.records import RECORDS
from tests.faults.routes import ROUTES
from tests.faults.shutdown import SHUTDOWN
from tests.faults.spools import SPOOLS
from tests.faults.timing import TIMING

MATRIX: Mapping[str, Sequence[Cell]] = {
    "The fault matrix: 10 invocations × 20 lines a cell, freeze on, policy end": FROM_ISSUE,
    "Further cells": FURTHER,
    "Records": RECORDS,
    "Answers": ANSWERS,
    "Answers for a quarter of an hour": LONG,
    "Encodings": ENCODINGS,
    "Connections": CONNECTIONS,
    "Time": TIMING,
    "Shutdown": SHUTDOWN,
    "Machine": MACHINE,
    "Spool": SPOOLS,
    "What the function exports": EXPORTING,
    "Two routes, and the trouble of the cells above with one: the other is what is measured": ROUTES,
}
