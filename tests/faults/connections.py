"""Connections that only look alive, and addresses that never answer."""

from tests.faults.answers import CRASHES
from tests.faults.cell import PerInvocation, Required, Scene
from tests.faults.cells import LATE_MS
from tests.sandbox import BlackHole

# Listens on the backend's port and takes no connection. The resolver prefers neither to the other.
DEAD, ALIVE = "127.0.0.2", "127.0.0.3"
TWO_ADDRESSES = (f"{DEAD} backend.test", f"{ALIVE} backend.test")


def black_hole(scene: Scene) -> None:
    """The first address of the backend's name swallows what is sent to it."""
    scene.keep(BlackHole(DEAD, int(scene.backend.url.rpartition(":")[2])))


def lost_before(*at: int) -> PerInvocation:
    """The network loses the connections there are, without a word to either side."""

    def before(scene: Scene, number: int) -> None:
        if number in at:
            scene.backend.leave_alone()

    return before


def lost(scene: Scene) -> None:
    """Likewise before SHUTDOWN."""
    scene.backend.leave_alone()


def said(*texts: str) -> Required:
    """Nothing arrives, and a warning says once how far it came, as does the last line."""
    return Required(lost=None, waits=True, late_p50_ms=LATE_MS, says=texts, unsaid=('"left":{"deadline"', *CRASHES))


CONNECTIONS = ()
