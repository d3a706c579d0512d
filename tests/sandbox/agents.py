"""The Extensions API's state machine: who may do what when, with the emulator's error types and texts.

Sans-I/O but for the future a /next call waits on. Follows section 1 of the notes on Lambda's APIs.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.sandbox.changes import Changes

EXTENSION_LIMIT = 10


class State(Enum):
    """An extension's states, named as the platform's error texts name them."""

    STARTED = "Started"
    REGISTERED = "Registered"
    READY = "Ready"
    RUNNING = "Running"
    INIT_ERROR = "InitError"
    EXIT_ERROR = "ExitError"


# From each state, where an extension's own call may take it. RUNNING is entered by the platform.
MOVES: dict[State, frozenset[State]] = {
    State.STARTED: frozenset({State.REGISTERED}),
    State.REGISTERED: frozenset({State.READY, State.INIT_ERROR, State.EXIT_ERROR}),
    State.READY: frozenset({State.READY, State.EXIT_ERROR}),
    State.RUNNING: frozenset({State.READY, State.EXIT_ERROR}),
    State.INIT_ERROR: frozenset({State.INIT_ERROR, State.EXIT_ERROR}),
    State.EXIT_ERROR: frozenset({State.EXIT_ERROR}),
}


class RefusedError(Exception):
    """A call the platform answers with 403."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


@dataclass
class Agent:
    """One extension, external (a file in the extensions directory) or internal (within the runtime)."""

    name: str
    external: bool
    changes: Changes
    identifier: str = field(default_factory=lambda: str(uuid.uuid4()))
    events: list[str] = field(default_factory=list)
    state: State = State.STARTED
    error_type: str | None = None
    ready_s: float | None = None
    """When it last asked for an event, monotonic."""
    nexts: int = 0
    _waiting: asyncio.Future[dict[str, Any]] | None = None
    _outbox: deque[dict[str, Any]] = field(default_factory=deque)

    def move(self, state: State, named: str) -> None:
        """Enter a state by the extension's own call.

        Args:
            state: Where the call leads.
            named: What the error text calls the extension: its name at register, its identifier later.

        Raises:
            RefusedError: The call is illegal in the present state, which then stays.
        """
        if state not in MOVES[self.state]:
            raise RefusedError(
                "Extension.InvalidExtensionState",
                f"State transition from {self.state.value} to {state.value} failed for extension {named}. "
                "Error: State transition is not allowed",
            )
        self.state = state
        self.changes.ring()

    async def next_event(self) -> dict[str, Any]:
        """Wait for the platform's next event, as GET /event/next does.

        Raises:
            RefusedError: The extension may not ask.
        """
        self.move(State.READY, self.identifier)
        self.ready_s = time.monotonic()
        self.nexts += 1
        if self._outbox:
            event = self._outbox.popleft()
        else:
            self._waiting = asyncio.get_running_loop().create_future()
            self.changes.ring()
            event = await self._waiting
        self.state = State.RUNNING
        return event

    def send(self, event: dict[str, Any]) -> None:
        """Release the extension with an event, now or at its next call."""
        if self._waiting is not None and not self._waiting.done():
            self.state = State.RUNNING
            self._waiting.set_result(event)
        else:
            self._outbox.append(event)

    @property
    def is_back(self) -> bool:
        """Whether it waits for an event and none is on its way."""
        return self.state is State.READY and not self._outbox

    @property
    def has_failed(self) -> bool:
        """Whether it reported an error of its own."""
        return self.state in (State.INIT_ERROR, State.EXIT_ERROR)

    def abandon(self) -> None:
        """End a waiting /next without an answer: the environment is gone."""
        if self._waiting is not None:
            self._waiting.cancel()


class Registry:
    """Every extension of the present environment."""

    def __init__(self, changes: Changes, *, managed: bool) -> None:
        self._changes = changes
        self._managed = managed
        self.agents: dict[str, Agent] = {}
        self.closed = False

    def expect(self, name: str) -> None:
        """Announce an external extension that is about to be started."""
        self.agents[name] = Agent(name, external=True, changes=self._changes)

    def register(self, name: str, events: list[str]) -> Agent:
        """Register an extension.

        Raises:
            RefusedError: As the table in section 1 of the notes says.
        """
        if not name:
            raise RefusedError("Extension.InvalidExtensionName", "Empty extension name")
        agent = self.agents.get(name)
        external = agent is not None and agent.external
        if self.closed and not external:
            raise RefusedError("Extension.RegistrationClosed", "Extension registration closed already")
        allowed = ("SHUTDOWN",) if self._managed else ("INVOKE", "SHUTDOWN")
        for event in events:
            if event not in allowed:
                raise RefusedError("Extension.InvalidEventType", f"{event}: ErrorInvalidEventType")
            if event == "SHUTDOWN" and not external:
                text = f"{event}: ShutdownEventNotSupportedForInternalExtension"
                raise RefusedError("Extension.InvalidEventType", text)
        if agent is None:
            if len(self.agents) >= EXTENSION_LIMIT:
                text = f"Extension limit ({EXTENSION_LIMIT}) reached"
                raise RefusedError("Extension.TooManyExtensions", text)
            agent = Agent(name, external=False, changes=self._changes)
        agent.move(State.REGISTERED, agent.name)
        agent.events = list(dict.fromkeys(events))
        self.agents[name] = agent
        return agent

    def identified(self, identifier: str | None, *, reporting: bool = False) -> Agent:
        """Find a registered extension by its identifier.

        Args:
            identifier: As the request's header has it.
            reporting: Whether the call is init/error or exit/error, whose error text differs.

        Raises:
            RefusedError: The identifier is missing, no UUID, or nobody's.
        """
        if not identifier:
            raise RefusedError("Extension.MissingExtensionIdentifier", "Missing Lambda-Extension-Identifier header")
        try:
            uuid.UUID(identifier)
        except ValueError as exc:
            raise RefusedError("Extension.InvalidExtensionIdentifier", "Invalid Lambda-Extension-Identifier") from exc
        for agent in self.agents.values():
            if agent.identifier == identifier and agent.state is not State.STARTED:
                return agent
        text = "Unknown Lambda-Extension-Identifier" if reporting else f"Unknown extension {identifier}"
        raise RefusedError("Extension.UnknownExtensionIdentifier", text)

    @property
    def registered(self) -> list[Agent]:
        """Everyone who has registered."""
        return [agent for agent in self.agents.values() if agent.state is not State.STARTED]

    def subscribed(self, event: str) -> list[Agent]:
        """Everyone who asked for this event."""
        return [agent for agent in self.registered if event in agent.events]
