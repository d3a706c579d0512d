"""Runs a function with the layer and the user's settings; what came of it, as plain values."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.sandbox import Destination, Environment, Function, InvokeResult, Platform, Received

NAME = "tailrace"

# So long after the last invocation that its report is there.
SETTLES_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is to be run.

    Attributes:
        extensions: Of the built layer.
        handler: `app.handler`, found in `task_root`.
        task_root: Where the function's code lies.
        events: One for each invocation.
        environ: The user's settings.
        command: Instead of Python's runtime client; "" for that.
        timeout_s: Of the function.
        memory_mb: Of the function.
        log_format: `Text` or `JSON`.
        platform: X-Ray, flavour, freezes.
    """

    extensions: Path
    handler: str
    task_root: Path
    events: list[Any] = field(default_factory=lambda: [{}])
    environ: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    timeout_s: float = 3.0
    memory_mb: int = 128
    log_format: str = "Text"
    platform: Platform = field(default_factory=Platform)


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What came of it.

    Attributes:
        results: One for each invocation.
        arrived: Every record, span and metric that the backend took, in the order in which it came.
        printed: What the extension said, at debug.
        wire_bytes: Of all requests' bodies.
        init_error: Why the function did not start; "" if it did.
        runtime: What the runtime printed where nobody subscribes to it, for a function that does not start.
    """

    results: list[InvokeResult]
    arrived: list[Received]
    printed: list[str]
    wire_bytes: int
    init_error: str = ""
    runtime: list[str] = field(default_factory=list)


def play(asked: Asked) -> Preview:
    """Starts it, invokes it, shuts it down."""
    with Destination() as backend:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": backend.url, **asked.environ, "TAILRACE_LOG_LEVEL": "debug"}
        function = Function(
            handler=asked.handler,
            task_root=asked.task_root,
            timeout_s=asked.timeout_s,
            memory_mb=asked.memory_mb,
            name=asked.task_root.name or "function",
            environ=environ,
            log_format="JSON" if asked.log_format == "JSON" else "Text",
            runtime_command=shlex.split(asked.command) if asked.command else None,
        )
        with Environment(asked.extensions, function, asked.platform) as env:
            started = env.start()
            results = []
            is_up = started.status == "success"
            if is_up:
                for event in asked.events:
                    results.append(env.invoke(event))
                    env.idle(SETTLES_S)
            env.shutdown()
            return Preview(
                results=results,
                arrived=backend.all_records(),
                printed=env.printed(NAME),
                wire_bytes=sum(request.wire_bytes for request in backend.requests),
                init_error="" if is_up else f"{started.error_type or started.status}: {started.error_message or ''}",
                runtime=env.printed("runtime"),
            )
