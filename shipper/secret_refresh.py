"""Between shipments: fetches secrets and credentials that are due, in a time of its own.

No function waits for it. A `Ship` that comes meanwhile is answered at once, that nothing can be sent yet, and no
invocation is held. But the last shipment waits, and every now and then another does: or a function that is always
quicker than the answer would never have its secret.
"""

import math
import time
from collections.abc import Callable, Sequence

from lifecycle.contract import wire
from shipper.commands import Commands

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.auth.interfaces import Secret

# Longest time to fetch all that is due together.
_LIMIT_S = 30.0

# Commands to ship that are refused before one waits; twice as many before the next one does.
_PATIENCE = 4

# Of the last shipment's time, what it may take.
_LAST_SHARE = 1 / 2


class SecretRefresh:
    """Waits for commands to ship, and fetches what is due meanwhile.

    Args:
        commands: The supervisor's.
        secrets: The destination's.
        is_ready: Whether anything can be sent with what is known.
        refuse: Answers a command that cannot be carried out.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        commands: Commands,
        secrets: "Sequence[Secret]",
        is_ready: Callable[[], bool],
        refuse: Callable[[wire.Ship], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._commands = commands
        self._secrets = secrets
        self._is_ready = is_ready
        self._refuse = refuse
        self._clock = clock
        self._refused = 0
        self._ship: wire.Ship | None = None

    def next(self) -> wire.Ship | None:
        """What to ship next; None: there is something else to do."""
        while True:
            due_in_s = self._due_in_s()
            ship = self._commands.next(due_in_s) if due_in_s > 0 else self._refresh()
            if ship is not None and ship.is_final and not self._is_ready() and self._due_in_s() <= 0:
                self._refresh(ship)
            if ship is not None and (ship.is_final or self._is_ready()):
                return ship
            if ship is not None:
                self._refuse(ship)
            if self._commands.has_else:
                return None

    def _due_in_s(self) -> float:
        return min((one.due_in_s() for one in self._secrets), default=math.inf)

    def _refresh(self, ship: wire.Ship | None = None) -> wire.Ship | None:
        """Fetches all that is due; returns the command that came before or meanwhile, and waits."""
        self._ship = ship
        limit_s = _LIMIT_S if ship is None else max(0.0, ship.deadline - self._clock()) * _LAST_SHARE
        self._commands.aside(limit_s, self._on_ship)
        for one in self._secrets:
            if one.due_in_s() <= 0 and self._commands.time_left_s() > 0:
                one.refresh()
        if self._ship is not None:
            self._commands.begin(self._ship)
        self._commands.between = None
        return self._ship

    def _on_ship(self, ship: wire.Ship) -> None:
        """A command while something is fetched."""
        if not (ship.is_final or self._is_ready() or self._may_wait()):
            self._refuse(ship)
            return
        self._ship = ship
        # What is known already is used, and what is being fetched is fetched again.
        is_last = ship.is_final or not self._is_ready()
        limit_s = (ship.deadline - self._clock()) * _LAST_SHARE if is_last else 0.0
        self._commands.aside(max(0.0, min(self._commands.time_left_s(), limit_s)), self._on_ship)

    def _may_wait(self) -> bool:
        self._refused += 1
        return self._refused >= _PATIENCE and self._refused & (self._refused - 1) == 0
