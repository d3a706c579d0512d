"""The story: what is done to the function, step by step, and what is noted on the way.

Owns the sandbox and the backend for a run. Says what it is doing through two callbacks, prints nothing itself.
"""

import os
import socket
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.demo.facts import Run, Start, Told
from tests.demo.scenes import IDLE_S, OWN_SPANS, SCENES, TIMEOUT_S, Scene
from tests.sandbox import Destination, Environment, Function, InvokeResult, Platform

NAME = "tailrace"
HANDLER = Path(__file__).parent / "handler"

# Reports are written some 40 ms after an invocation; the workers are loaded within this after a start.
SETTLE_S = 0.2

BARE_ROUNDS = 7


# The interpreter, the cold start, the scenes, the shutdown.
STEPS = len(SCENES) + 3


class DemoError(Exception):
    """The story cannot be told.

    Args:
        message: Why.
        printed: What the extension had to say.
    """

    def __init__(self, message: str, printed: list[str]) -> None:
        super().__init__(message)
        self.printed = printed


class Story:
    """Plays the scenes.

    Args:
        extensions: The directory in the unpacked layer.
        environ: What the function is configured with, the destination apart.
        doing: Told of a step before it begins.
        told: Told of a step when it has ended.
    """

    def __init__(
        self,
        extensions: Path,
        environ: dict[str, str],
        doing: Callable[[str], None],
        told: Callable[[Told], None],
    ) -> None:
        self._extensions = extensions
        self._environ = environ
        self._doing = doing
        self._told = told
        self._steps: list[Told] = []
        self._last_pss_bytes: dict[int, int] = {}

    def play(self) -> Run:
        """Runs everything once.

        Raises:
            DemoError: The function does not even start.
        """
        self._doing("measuring the bare interpreter")
        bare_ms = bare_interpreter_ms(self._extensions / NAME)
        with Destination() as backend:
            function = Function(
                name="checkout",
                handler="app.handler",
                task_root=HANDLER,
                timeout_s=TIMEOUT_S,
                log_format="JSON",
                environ={
                    # Each event is a record then: what was delivered can be counted.
                    "TAILRACE_PLATFORM_LOGS": "1",
                    **self._environ,
                    "OTEL_EXPORTER_OTLP_ENDPOINT": backend.url,
                    # For the function's own SDK.
                    "AWS_LAMBDA_EXEC_WRAPPER": str(self._extensions.parent / "tailrace" / "wrap"),
                    "TAILRACE_OTLP_PORT": str(_free_port()),
                },
            )
            with Environment(self._extensions, function, Platform()) as env:
                self._start(env, backend)
                idle_pss_bytes = env.memory_pss_bytes(NAME)
                for scene in SCENES:
                    self._scene(scene, env, backend)
                time.sleep(SETTLE_S)
                self._weigh(env)
                self._shutdown(env, backend)
                return Run(
                    steps=self._steps,
                    emitted=list(env.telemetry(NAME).emitted),
                    arrived=backend.all_records(),
                    printed=env.printed(NAME),
                    endings=[*env.resets, env.shutdown()],
                    starts=_starts(env),
                    bare_ms=bare_ms,
                    idle_pss_bytes=idle_pss_bytes,
                    own_spans=OWN_SPANS,
                    last_pss_bytes=self._last_pss_bytes,
                )

    def _start(self, env: Environment, backend: Destination) -> None:
        self._doing("cold start")
        init = env.start()
        if init.status != "success" or NAME not in env.world.hub.subscriptions:
            why = init.error_message or "the extension has not subscribed to telemetry"
            raise DemoError(why, env.printed(NAME))
        time.sleep(SETTLE_S)
        self._note(env, backend, title="cold start", outcome=f"ready in {init.duration_ms:.0f} ms")

    def _scene(self, scene: Scene, env: Environment, backend: Destination) -> None:
        self._doing(scene.title)
        if scene.payload is None:
            env.idle(IDLE_S)
            processes = [*env.processes(NAME), *env.processes("runtime")]
            frozen = sum(process.state == "T" for process in processes)
            surprise = "" if frozen == len(processes) else "something ran while the environment was frozen"
            self._note(env, backend, title=scene.title, outcome=f"{frozen} processes frozen", surprise=surprise)
            return
        generation = len(env.resets) + 1
        result = env.invoke(scene.payload)
        outcome = _outcome(result)
        self._note(
            env,
            backend,
            title=scene.title,
            outcome=outcome,
            request_id=result.request_id,
            generation=generation,
            billed_ms=result.billed_ms,
            held_ms=result.held_ms_by.get(NAME),
            surprise="" if outcome == scene.expected else f"{scene.title}: {outcome}, expected: {scene.expected}",
        )
        self._weigh(env)

    def _shutdown(self, env: Environment, backend: Destination) -> None:
        self._doing("shutdown")
        left = env.shutdown().extensions.get(NAME)
        if left is None:
            outcome = "nothing was running"
        else:
            outcome = "killed at the deadline" if left.killed else f"exit {left.exit_code} after {left.exit_ms:.0f} ms"
        self._note(env, backend, title="shutdown", outcome=outcome)

    def _weigh(self, env: Environment) -> None:
        pss_bytes = env.memory_pss_bytes(NAME)
        if pss_bytes:
            self._last_pss_bytes[len(env.resets) + 1] = pss_bytes

    def _note(self, env: Environment, backend: Destination, **step: Any) -> None:
        told = Told(arrived=len(backend.unique()), emitted=len(env.telemetry(NAME).emitted), **step)
        self._steps.append(told)
        self._told(told)


def bare_interpreter_ms(launcher: Path) -> float:
    """The median time the launcher's interpreter takes to start and end with nothing to do."""
    first = launcher.read_bytes().split(b"\n", 1)[0]
    named = os.fsdecode(first[2:].split(b" ")[0]) if first.startswith(b"#!") else ""
    interpreter = named if os.access(named, os.X_OK) else sys.executable
    times = []
    for _ in range(BARE_ROUNDS):
        began_s = time.perf_counter()
        os.waitpid(os.posix_spawn(interpreter, [interpreter, "-IS", "-c", "pass"], {}), 0)
        times.append((time.perf_counter() - began_s) * 1000)
    return statistics.median(times)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


def _outcome(result: InvokeResult) -> str:
    if result.status == "timeout":
        return "timed out, was reset"
    if result.error is not None:
        return f"raised {result.error['errorType']}" if result.handled else str(result.error["errorType"])
    return "returned"


def _starts(env: Environment) -> list[Start]:
    """Of every environment that came as far as asking for an event."""
    found = []
    for generation in range(1, len(env.resets) + 2):
        timeline = env.timeline(NAME, generation)
        try:
            found.append(Start(register_ms=timeline.register_ms, ready_ms=timeline.first_next_ms))
        except LookupError:
            continue
    return found
