"""One environment's long life: invocations until the time is over, each with what chance brings."""

import json
import socket
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from tests.faults.cell import Required, Scene
from tests.faults.outcome import Measured, endings, ledger_problems, measured, record_problems
from tests.faults.play import EXTENSIONS, HANDLER
from tests.sandbox import Destination, Environment, Function, InvokeResult, Status
from tests.soak.chance import Chance, Step
from tests.soak.growth import Growth

# The share of a life after which everything has been loaded that ever is, and a burst or two have been.
WARM = 0.2

SAMPLES = 120

OK = 200

# What the first requests meet: whatever a trouble loads is there before the first sample.
FIRST = (Status(503), Status(503))

# The share of a life, and the most of it, in which the backend is down before it ends; it is up again when SHUTDOWN
# comes, so that the breaker is open and all that was gathered leaves in what time there is then.
DOWN, LONGEST_DOWN_S = 0.15, 15.0


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What happens in a life.

    Attributes:
        name: For people.
        share: Of the soak's time.
        flush: The policy.
    """

    name: str
    share: float
    flush: str
    kills: bool = False
    resets: bool = False


KINDS = (
    Kind(name="faults, policy end", share=0.3, flush="end"),
    Kind(name="faults, policy adaptive", share=0.25, flush="adaptive"),
    Kind(name="faults and kills", share=0.35, flush="end", kills=True),
    Kind(name="faults, kills and resets", share=0.1, flush="end", kills=True, resets=True),
)


@dataclass(frozen=True, kw_only=True)
class Lived:
    """What a life came to."""

    kind: Kind
    measured: Measured
    growth: Growth
    problems: list[str]
    printed: list[str]

    @property
    def p99_ms(self) -> float:
        """Held, but for the worst hundredth."""
        return statistics.quantiles(self.measured.held_ms, n=100)[-1]


def live(kind: Kind, seed: int, seconds: float, told: Callable[[int], None]) -> Lived:
    """Lives one life.

    Args:
        kind: What happens in it.
        seed: Of what happens.
        seconds: How long it takes.
        told: Told of the number of invocations now and then.
    """
    began_s = time.monotonic()
    chance = Chance(seed, kills=kind.kills, resets=kind.resets)
    growth = Growth()
    with Destination() as backend:
        function = Function(
            handler="app.handler",
            task_root=HANDLER,
            environ={
                "OTEL_EXPORTER_OTLP_ENDPOINT": backend.url,
                "TAILRACE_SIGNALS": "logs",
                "TAILRACE_PLATFORM_LOGS": "1",
                "TAILRACE_FLUSH": kind.flush,
                "TAILRACE_FLUSH_INTERVAL_MS": "500",
                "TAILRACE_LOG_LEVEL": "info",
            },
        )
        with Environment(EXTENSIONS, function) as env:
            env.start()
            scene = Scene(env, backend)
            growth.begin(env)
            _have_refused(env)
            results: list[InvokeResult] = []
            backend.faults.script(FIRST)
            backend.faults.only(chance.encoding)
            next_sample_s = began_s + WARM * seconds
            down_s = began_s + seconds - min(DOWN * seconds, LONGEST_DOWN_S)
            while time.monotonic() < began_s + seconds:
                step = chance.step(len(results))
                if time.monotonic() > down_s and not kind.resets:
                    step = replace(step, script=None, door=False, hangs_up=False)
                _do(step, scene)
                results.append(env.invoke(step.event))
                scene.settle()
                if time.monotonic() >= next_sample_s:
                    next_sample_s += seconds * (1 - WARM) / SAMPLES
                    growth.take(env, time.monotonic())
                    told(len(results))
            backend.faults.clear()
            backend.accept()
            env.shutdown()
            took_s = time.monotonic() - began_s
            got = measured(env, backend, results, starved_ms=[0.0] * len(results), kills=scene.kills, took_s=took_s)
            growth_problems = () if kind.resets else growth.problems()
            problems = [*_problems(got, kind), *growth_problems]
            return Lived(kind=kind, measured=got, growth=growth, problems=problems, printed=env.printed("tailrace"))


def _have_refused(env: Environment) -> None:
    """Sends the collector what it complains of: the log, loaded with the first line, is there before any sample."""
    call = next(call for call in env.calls if call.status == OK and b'"buffering"' in call.body)
    port = int(json.loads(call.body)["destination"]["URI"].rpartition(":")[2].strip("/"))
    with socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: soak\r\n\r\n")
        peer.recv(1024)


def _do(step: Step, scene: Scene) -> None:
    backend = scene.backend
    if step.script is not None:
        backend.faults.script(step.script)
    if step.door is not None:
        (backend.accept if step.door else backend.refuse)()
    if step.hangs_up:
        backend.hang_up()
    if step.kills and step.kill_after_s is None:
        scene.kill(*step.kills)
    elif step.kills:
        scene.kill_after(step.kill_after_s or 0.0, *step.kills)


def _problems(got: Measured, kind: Kind) -> Iterable[str]:
    yield from record_problems(Required(), got)
    yield from ledger_problems(Required(), got)
    yield from endings(got)
    if not kind.resets and set(got.statuses) != {"success"}:
        yield f"{sum(status != 'success' for status in got.statuses)} invocations failed"
