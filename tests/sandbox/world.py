"""Everything one environment is made of, and what begins anew when it is reset."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.sandbox.agents import Registry
from tests.sandbox.journal import Journal
from tests.sandbox.runtime_api import RuntimeApi
from tests.sandbox.telemetry_hub import TelemetryHub

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox.changes import Changes
    from tests.sandbox.children import Child, Children
    from tests.sandbox.model import Ending, Function, InitResult, Platform


@dataclass
class World:
    """The parts of one environment; the phases work on them, the HTTP server answers from them."""

    function: Function
    platform: Platform
    extensions_dir: Path
    children: Children
    changes: Changes
    api: str = ""
    """host:port of the APIs."""
    journal: Journal = field(default_factory=Journal)
    hub: TelemetryHub = field(default_factory=TelemetryHub)
    registry: Registry = field(init=False)
    runtime_api: RuntimeApi = field(init=False)
    runtime: Child | None = None
    extensions: dict[str, Child] = field(default_factory=dict)
    subscribed_now: set[str] = field(default_factory=set)
    """Who has subscribed since the last reset."""
    initialised: bool = False
    first_init: InitResult | None = None
    invoked: bool = False
    """Whether an invocation has been asked for: the first one's report tells of the init."""
    invocations: int = 0
    """How many have begun."""
    resets: list[Ending] = field(default_factory=list)
    printed: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._fresh()

    def begin_again(self) -> None:
        """Forget the processes and states of the environment that was just torn down."""
        self.journal.generation += 1
        self._fresh()

    def _fresh(self) -> None:
        self.registry = Registry(self.changes, managed=self.platform.managed)
        self.runtime_api = RuntimeApi(self.changes)
        self.runtime = None
        self.extensions = {}
        self.subscribed_now = set()
        self.initialised = False
