"""What every end-to-end test starts from: the built layer, a handler, a backend."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.sandbox import Destination, Environment, Function, Platform

ROOT = Path(__file__).parents[2]
LAYER = ROOT / "build" / "layer"
ZIP = ROOT / "build" / "tailrace-layer.zip"
HANDLER = Path(__file__).parent / "handler"
NAME = "tailrace"


class Run:
    """An environment with the layer, and the backend it ships to.

    Args:
        env: The environment.
        backend: The backend.
    """

    def __init__(self, env: Environment, backend: Destination) -> None:
        self.env = env
        self.backend = backend

    def invoke(self, **event: Any) -> Any:
        """Invokes the function; fails unless the platform says that it ran."""
        result = self.env.invoke(event)
        assert result.status == "success", result
        return result

    def held_ms(self, **event: Any) -> float:
        """Invokes the function; how long it was held afterwards, without what the machine's other work added.

        A process that is ready and gets no processor is late by that; where each has one nothing is taken off.
        """
        before_ms = self.env.starved_ms(NAME)
        held_ms: float = self.invoke(**event).held_ms
        return max(0.0, held_ms - max(0.0, self.env.starved_ms(NAME) - before_ms))

    @contextmanager
    def timed(self) -> Iterator[list[float]]:
        """How many seconds the block takes, likewise: one number, once it has ended."""
        took_s: list[float] = []
        before_ms, began_s = self.env.starved_ms(NAME), time.monotonic()
        yield took_s
        ended_s = time.monotonic()
        took_s.append(max(0.0, ended_s - began_s - max(0.0, self.env.starved_ms(NAME) - before_ms) / 1000))

    def end(self) -> None:
        """Shuts down; fails unless everything left by itself, with 0, in time, and without orphans."""
        ending = self.env.shutdown()
        assert ending.clean, (ending, self.said())

    def bodies(self) -> list[str]:
        """Bodies that arrived, each record once."""
        return [str(record.body) for record in self.backend.unique()]

    def lost(self) -> int:
        """Events the platform had for us that did not arrive."""
        return len(self.env.telemetry(NAME).emitted) - len(self.backend.unique())

    def lines(self) -> list[dict[str, Any]]:
        """What the extension printed, decoded."""
        return [msgspec.json.decode(line) for line in self.said()]

    def said(self) -> list[str]:
        """What the extension printed."""
        return self.env.printed(NAME)

    def events(self, name: str) -> list[dict[str, Any]]:
        """The extension's lines of one event."""
        return [line for line in self.lines() if line["event"] == name]


Start = Callable[..., Run]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts environments with the built layer; settings are keywords, the platform and backend may be given."""
    if not (LAYER / "extensions" / NAME).exists():
        pytest.fail("there is no built layer in build/layer: run make layer")
    with ExitStack() as stack:

        def started(
            *,
            platform: Platform | None = None,
            backend: Destination | None = None,
            timeout_s: float = 3.0,
            log_format: Any = "Text",
            layer: Path = LAYER,
            handler: str = "app.handler",
            runtime_command: Sequence[str] | None = None,
            runtime_environ: dict[str, str] | None = None,
            **settings: str,
        ) -> Run:
            backend = backend or stack.enter_context(Destination())
            # Each event is a record then: what was delivered can be counted.
            counted = {"TAILRACE_PLATFORM_LOGS": "1"}
            environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": backend.url, **counted, **(runtime_environ or {}), **settings}
            function = Function(
                handler=handler,
                runtime_command=runtime_command,
                task_root=HANDLER,
                timeout_s=timeout_s,
                log_format=log_format,
                environ={name: value for name, value in environ.items() if value},
            )
            env = Environment(extensions_dir=layer / "extensions", function=function, platform=platform)
            return Run(stack.enter_context(env), backend)

        yield started
