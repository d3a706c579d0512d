"""What happened in an environment, in lines for a person."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.sandbox.destination import Destination
    from tests.sandbox.environment import Environment
    from tests.sandbox.model import Ending, InitResult, InvokeResult


class Report:
    """Prints as things happen, and remembers whether an extension did harm."""

    def __init__(self, env: Environment, backend: Destination | None, *, show_events: bool) -> None:
        self.extension_failed = False
        self._env = env
        self._backend = backend
        self._show_events = show_events
        self._events = 0
        self._printed: dict[str, int] = {}

    def init(self, result: InitResult) -> None:
        """Tell of the init phase and of each extension's part in it."""
        print(f"init       {result.status:8} {result.duration_ms:8.1f} ms{_error(result.error_type)}")
        self._blame(result.error_type)
        for name in self._env.world.extensions:
            timeline = self._env.timeline(name)
            print(
                f"  {name}: registered after {timeline.register_ms:.1f} ms, ready after {timeline.first_next_ms:.1f} ms"
            )
        self._news()

    def invocation(self, number: int, result: InvokeResult) -> None:
        """Tell of one invocation: what the caller saw, what extensions added."""
        response = "no response" if result.response_ms is None else f"{result.response_ms:8.1f} ms"
        error_type = result.error["errorType"] if result.error else None
        print(
            f"invoke {number:<3} {result.status:8} {response}, billed {result.billed_ms} ms, "
            f"held {result.held_ms:.1f} ms{_error(error_type)}"
        )
        print(f"  {json.dumps(result.payload)}")
        if result.status != "success":
            self._blame(error_type)
        if result.status == "timeout" and result.response_ms is not None:
            print("  an extension held the invocation past its deadline")
            self.extension_failed = True
        self._news()

    def ending(self, ending: Ending) -> None:
        """Tell how everyone left, what was delivered and what arrived."""
        print(f"shutdown   {ending.reason:8} {ending.duration_ms:8.1f} ms")
        for name, left in ending.extensions.items():
            how = "killed at the deadline" if left.killed else f"exit {left.exit_code}"
            print(f"  {name}: {how} after {left.exit_ms:.1f} ms")
        for orphan in ending.orphans:
            print(f"  left behind: {orphan}")
        self.extension_failed |= not ending.clean
        self._news()
        for name, subscription in self._env.world.hub.subscriptions.items():
            stats = subscription.stats
            print(
                f"telemetry  {name}: {len(stats.acknowledged)} of {len(stats.emitted)} events taken in "
                f"{stats.batches} batches, {stats.failed_tries} failed and {stats.refused_tries} refused tries"
            )
        if self._backend is not None:
            backend = self._backend
            print(
                f"backend    {len(backend.requests)} requests on {backend.connections} connections: "
                f"{len(backend.records())} log records ({sum(backend.duplicates().values())} of them copies), "
                f"{len(backend.spans())} spans, {len(backend.metrics())} metrics"
            )

    def _blame(self, error_type: str | None) -> None:
        if error_type is not None and error_type.startswith("Extension."):
            self.extension_failed = True

    def _news(self) -> None:
        for name in (*self._env.world.extensions, "runtime"):
            lines = self._env.printed(name)
            for line in lines[self._printed.get(name, 0) :]:
                print(f"  {name} | {line.rstrip()}")
            self._printed[name] = len(lines)
        if self._show_events:
            events = self._env.events
            for event in events[self._events :]:
                print(f"  {event.type} {json.dumps(event.record)}")
            self._events = len(events)


def _error(error_type: str | None) -> str:
    return f", {error_type}" if error_type else ""
