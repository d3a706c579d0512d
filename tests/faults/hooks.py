"""What is done to a cell's backend and workers, and when."""

from collections.abc import Callable, Mapping
from typing import Any

from tests.faults.cell import COLLECTOR, INVOCATIONS, LINE, LINES, SHIPPER, PerInvocation, Scene
from tests.sandbox.backend_faults import Action

# Long enough that a worker can be killed while the function runs, whatever the machine does meanwhile.
RUNNING = ({"lines": LINES, "sleep_s": 0.06},) * INVOCATIONS
KILL_AFTER_S = (0.005, 0.02, 0.035, 0.05)


def first(times: int, action: Action) -> Callable[[Scene], None]:
    """The first requests meet this, all others none."""
    return lambda scene: scene.backend.faults.script([action] * times)


def always(action: Action) -> Callable[[Scene], None]:
    """Every request meets this."""
    return lambda scene: scene.backend.faults.always(action)


def well_again(scene: Scene) -> None:
    """The backend has no fault any more."""
    scene.backend.faults.clear()


def well_again_at(at: int) -> PerInvocation:
    """The backend has no fault any more from this invocation on."""

    def before(scene: Scene, number: int) -> None:
        if number == at:
            well_again(scene)

    return before


def accepting(at: int) -> PerInvocation:
    """The backend takes connections from this invocation on."""

    def before(scene: Scene, number: int) -> None:
        if number == at:
            scene.backend.accept()

    return before


def killing(*comms: str, at: tuple[int, ...]) -> PerInvocation:
    """Workers die in some invocations, sooner or later; in every second of those while frozen before it."""

    def before(scene: Scene, number: int) -> None:
        if number not in at:
            return
        turn = at.index(number)
        if turn % 2:
            scene.kill(*comms)
        else:
            scene.kill_after(KILL_AFTER_S[turn // 2 % len(KILL_AFTER_S)], *comms)

    return before


def killing_always(scene: Scene, number: int) -> None:
    """Both workers die in every invocation, each time at another moment of it."""
    scene.kill_after(KILL_AFTER_S[number % len(KILL_AFTER_S)], COLLECTOR, SHIPPER)


def with_event(number: int, **event: Any) -> tuple[Mapping[str, Any], ...]:
    """The usual events, one of them another."""
    return tuple(event if n == number else LINE for n in range(INVOCATIONS))
