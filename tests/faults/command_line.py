"""What the command lines of the fault matrix and of the soak have in common."""

from rich.console import Console

from tests.faults.cell import NAME
from tests.faults.play import EXTENSIONS

# Exit statuses: something was not as required; wrong usage, or nothing to run.
MISSED, NO_LAYER = 1, 2

# What a terminal that is none is taken for: the tables are as wide as they need to be.
WIDTH = 150


def console() -> Console:
    """Where tables go."""
    made = Console(highlight=False)
    if not made.is_terminal:
        made.width = WIDTH
    return made


def has_layer(told: Console) -> bool:
    """Whether there is a built layer; says how to get one where there is none."""
    if (EXTENSIONS / NAME).exists():
        return True
    told.print("There is no built layer in build/layer. Build it with: make layer", soft_wrap=True)
    return False
