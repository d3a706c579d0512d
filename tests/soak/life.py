"""One environment's long life: invocations until the time is over, each with what chance brings."""

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.faults.cell import Required, Scene
from tests.faults.outcome import Measured, endings, ledger_problems, measured, record_problems
from tests.faults.play import EXTENSIONS, HANDLER
from tests.sandbox import Destination, Environment, Function, InvokeResult
from tests.soak.chance import Chance, Step
from tests.soak.growth import Growth

# The share of a life after which everything has been loaded that ever is, and a burst or two have been.
WARM = 0.2

SAMPLES = 120

# The breaker's longest pause is a minute: what an environment that ends in it leaves behind is documented, not tested.
RECOVERED_WITHIN_S = 65.0


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
            results: list[InvokeResult] = []
            next_sample_s = began_s + WARM * seconds
            while time.monotonic() < began_s + seconds:
                step = chance.step(len(results))
                _do(step, scene)
                results.append(env.invoke(step.event))
                scene.settle()
                if time.monotonic() >= next_sample_s:
                    next_sample_s += seconds * (1 - WARM) / SAMPLES
                    growth.take(env)
                    told(len(results))
            backend.faults.clear()
            if not chance.is_up:
                backend.accept()
            results += _recovered(env, backend, len(results))
            env.shutdown()
            took_s = time.monotonic() - began_s
            got = measured(env, backend, results, kills=scene.kills, took_s=took_s)
            growth_problems = () if kind.resets else growth.problems()
            problems = [*_problems(got, kind), *growth_problems]
            return Lived(kind=kind, measured=got, growth=growth, problems=problems, printed=env.printed("tailrace"))


def _recovered(env: Environment, backend: Destination, number: int) -> list[InvokeResult]:
    """Goes on with a backend that is well until something was delivered, and three invocations more."""
    results: list[InvokeResult] = []
    seen, left = len(backend.requests), 3
    limit_s = time.monotonic() + RECOVERED_WITHIN_S
    while left and time.monotonic() < limit_s:
        results.append(env.invoke({"tag": f"{number + len(results)}:", "lines": 1, "sleep_s": 0.02}))
        left -= len(backend.requests) > seen
        env.idle(0.02)
    return results


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
