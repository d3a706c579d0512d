"""One environment's long life: invocations until the time is over, each with what chance brings."""

import json
import signal
import socket
import ssl
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace

from tests.demo.ledgers import FIRST
from tests.faults.cell import (
    BUDGET_MS,
    COLLECTOR,
    NAME,
    OVER_BUDGET_MS,
    SECOND,
    SECOND_SHIPPER,
    SHIPPER,
    Required,
    Scene,
)
from tests.faults.connections import ALIVE, DEAD, NAME_OF_TWO, TWO_ADDRESSES
from tests.faults.outcome import Late, Measured, endings, is_of_time, ledger_problems, measured, record_problems
from tests.faults.play import EXTENSIONS, HANDLER
from tests.faults.spools import SETTINGS as SPOOLED
from tests.faults.spools import free
from tests.sandbox import BlackHole, Destination, Environment, Function, InvokeResult, Platform, Status, retry_after
from tests.soak.chance import RULES, Chance, Step
from tests.soak.growth import Growth

# The share of a life after which everything has been loaded that ever is, and a burst or two have been.
WARM = 0.2

SAMPLES = 120

OK = 200

# More than is ever there at a time.
SPOOL_BYTES = 256 * 1024 * 1024

# How long nobody reads, or nothing can be opened; how many connections of the function's own there are.
SHORT_S = 0.3
CROWD = 20

# What the first requests meet: whatever a fault loads is there before the first sample.
FIRST_ANSWERS = (Status(503), Status(503))

# The share of a life, and the most of it, in which the backend is down before it ends; it is up again when SHUTDOWN
# comes, so that the breaker is open and all that was gathered leaves in what time there is then. Memory is not looked
# at meanwhile: what is under way is there until it is taken.
DOWN, LONGEST_DOWN_S = 0.15, 15.0

# Endings that take half of that time and more themselves: nothing has been gathered before them.
LONG_ENDINGS = ("asked_to_wait", "shipper_stopped")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What happens in a life.

    Attributes:
        name: For people.
        share: Of the soak's time.
        flush: The policy.
        signals: What is made of the telemetry.
        is_beside: Whether all this is so on a second route: the first one is well, and is held to that, too.
        has_rules: Whether there are patterns, which take long to find nothing in some lines.
        has_spool: Whether the backlog is small and files take what it does not.
        is_tls: Whether the backend speaks TLS.
        has_two_addresses: Whether its name has another address before its own, which swallows everything.
        dials_anew: Whether the platform delivers every batch by a connection of its own.
    """

    name: str
    share: float
    flush: str
    signals: str = "logs"
    kills: bool = False
    resets: bool = False
    is_beside: bool = False
    has_rules: bool = False
    has_spool: bool = False
    is_tls: bool = False
    has_two_addresses: bool = False
    dials_anew: bool = False

    @property
    def by_lines(self) -> bool:
        """Whether the platform's events become spans and metrics, so that only the function's lines are looked for."""
        return self.signals != "logs"

    def settings(self) -> Mapping[str, str]:
        """Of the extension."""
        return {
            "TAILRACE_SIGNALS": self.signals,
            "TAILRACE_PLATFORM_LOGS": "0" if self.by_lines else "1",
            "TAILRACE_FLUSH": self.flush,
            "TAILRACE_FLUSH_INTERVAL_MS": "500",
            "TAILRACE_LOG_LEVEL": "info",
            # Unknown: the supervisor complains of it, and has the log loaded before any sample, too.
            "TAILRACE_SOAK": self.name,
            **(RULES if self.has_rules else {}),
            **({**SPOOLED, "TAILRACE_SPOOL_BYTES": str(SPOOL_BYTES)} if self.has_spool else {}),
        }

    def backend(self) -> Destination:
        """Where telemetry goes."""
        if self.is_tls:  # the last version in which a server may ask for another handshake
            return Destination(tls=True, most_tls=ssl.TLSVersion.TLSv1_2)
        return Destination(host=ALIVE) if self.has_two_addresses else Destination()


KINDS = (
    Kind(name="faults, policy end", share=0.2, flush="end"),
    Kind(name="faults, policy adaptive", share=0.15, flush="adaptive", has_two_addresses=True, has_rules=True),
    Kind(name="faults, all signals", share=0.1, flush="end", signals="logs,traces,metrics", is_tls=True),
    Kind(name="faults on one of two routes", share=0.2, flush="end", is_beside=True),
    Kind(name="faults and kills", share=0.25, flush="end", kills=True, has_spool=True, dials_anew=True),
    Kind(name="faults, kills and resets", share=0.1, flush="end", kills=True, resets=True),
)


@dataclass(frozen=True, kw_only=True)
class Lived:
    """What a life came to.

    Attributes:
        measured: Of the first route, where there are two.
    """

    kind: Kind
    measured: Measured
    growth: Growth
    problems: list[str]
    printed: list[str]

    @property
    def is_of_time(self) -> bool:
        """Whether all that is amiss may be no more than the machine's having other things to do."""
        return is_of_time(self.problems, self.measured)

    @property
    def p99_ms(self) -> float:
        """Held, but for the worst hundredth."""
        return statistics.quantiles(self.measured.held_ms, n=100)[-1]


def live(kind: Kind, seed: int, seconds: float, report: Callable[[int], None]) -> Lived:
    """Lives one life.

    Args:
        kind: What happens in it.
        seed: Of what happens.
        seconds: How long it takes.
        report: Called with the number of invocations now and then.
    """
    began_s = time.monotonic()
    chance = Chance(seed, kills=kind.kills, resets=kind.resets, is_tls=kind.is_tls, has_all=kind.by_lines)
    growth = Growth()
    with (
        free(),
        kind.backend() as backend,
        Destination() if kind.is_beside else nullcontext(backend) as first,
        BlackHole(DEAD, int(backend.url.rpartition(":")[2])) if kind.has_two_addresses else nullcontext(),
    ):
        url = backend.url.replace(ALIVE, NAME_OF_TWO)
        function = Function(
            handler="app.handler",
            task_root=HANDLER,
            environ={
                "OTEL_EXPORTER_OTLP_ENDPOINT": first.url if kind.is_beside else url,
                **({f"TAILRACE_DESTINATION_{SECOND}": f"otlp+{url}"} if kind.is_beside else {}),
                **({"SSL_CERT_FILE": str(backend.ca_path)} if kind.is_tls else {}),
                **kind.settings(),
            },
            hosts=TWO_ADDRESSES if kind.has_two_addresses else (),
        )
        # Where another route is held to what it is when well, nothing happens to both.
        platform = Platform()
        if not kind.is_beside:
            platform = replace(
                platform, dials_anew=kind.dials_anew, withheld=chance.withheld, next_faults=chance.odd_answers
            )
        with Environment(EXTENSIONS, function, platform) as env:
            env.start()
            scene = Scene(env, backend, SECOND_SHIPPER if kind.is_beside else SHIPPER)
            growth.begin(env)
            _have_refused(env)
            results: list[InvokeResult] = []
            starved_ms: list[float] = []
            backend.faults.script(FIRST_ANSWERS)
            backend.faults.only(chance.encoding)
            next_sample_s = began_s + WARM * seconds
            until_s = began_s + seconds
            has_outage = not kind.resets and chance.ending not in LONG_ENDINGS
            down_s = until_s - min(DOWN * seconds, LONGEST_DOWN_S) if has_outage else until_s
            while time.monotonic() < until_s:
                step = chance.step(len(results))
                if time.monotonic() > down_s:
                    step = replace(step, script=None, listens=False, hangs_up=False)
                _do(step, scene)
                before_ms = _starved_ms(env, kind)
                results.append(env.invoke(step.event))
                starved_ms.append(_starved_ms(env, kind) - before_ms)
                scene.settle()
                scene.disperse()
                if next_sample_s <= time.monotonic() < down_s:
                    next_sample_s += seconds * (1 - WARM) / SAMPLES
                    growth.take(env, time.monotonic())
                    report(len(results))
            backend.faults.clear()
            backend.accept()
            ENDINGS[chance.ending](scene)
            env.shutdown()
            scene.settle()
            took_s = time.monotonic() - began_s
            ways = {FIRST: first, SECOND.lower(): backend} if kind.is_beside else {FIRST: backend}
            got = {
                route: measured(
                    env,
                    reached,
                    results,
                    starved_ms=starved_ms,
                    kills=scene.kills,
                    took_s=took_s,
                    by_lines=kind.by_lines,
                    route=route,
                )
                for route, reached in ways.items()
            }
            growth_problems = () if kind.resets else growth.problems()
            problems = [
                *(type(text)(f"{route}: {text}") for route, one in got.items() for text in _problems(one, kind)),
                *(_of_the_well(got[FIRST]) if kind.is_beside else ()),
                *growth_problems,
            ]
            return Lived(kind=kind, measured=got[FIRST], growth=growth, problems=problems, printed=env.printed(NAME))


def _starved_ms(env: Environment, kind: Kind) -> float:
    """How long nobody gave the processes a processor, where somebody asks how long a hold was; that takes a while."""
    return env.starved_ms(NAME) if kind.is_beside else 0.0


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
    if step.listens is not None:
        (backend.accept if step.listens else backend.refuse)()
    if step.hangs_up:
        backend.hang_up()
    if step.kills and step.kill_after_s is None:
        scene.kill(*step.kills)
    elif step.kills:
        scene.kill_after(step.kill_after_s or 0.0, *step.kills)
    if step.mishap:
        MISHAPS[step.mishap](scene)


def _unheard(scene: Scene) -> None:
    """Nobody reads what is said during an invocation."""
    scene.env.ignore_output(NAME)
    scene.later(SHORT_S, lambda: scene.env.heed_output(NAME))


def _descriptors_short(scene: Scene) -> None:
    """Nothing can be opened for a moment, in which the shipper dies."""
    scene.short_of_descriptors(0.005, SHORT_S)
    scene.kill_after(0.01, SHIPPER)


def _processes_short(scene: Scene) -> None:
    """No process can be started for a moment, in which the shipper dies."""
    scene.short_of_processes(0.005, SHORT_S)
    scene.kill_after(0.01, SHIPPER)


MISHAPS: Mapping[str, Callable[[Scene], object]] = {
    "connections_lost": lambda scene: scene.backend.leave_alone(),
    "frozen": lambda scene: scene.env.idle(1.0),
    "crowded": lambda scene: scene.later(0.001, lambda: scene.crowd(CROWD)),
    "unheard": _unheard,
    "shipper_stopped": lambda scene: scene.later(0.01, lambda: scene.signal(SHIPPER, signal.SIGSTOP)),
    "collector_stopped": lambda scene: scene.later(0.01, lambda: scene.signal(COLLECTOR, signal.SIGSTOP)),
    "descriptors_short": _descriptors_short,
    "processes_short": _processes_short,
}

# What happens in the last moments.
ENDINGS: Mapping[str, Callable[[Scene], object]] = {
    "": lambda _scene: None,
    "frozen": lambda scene: scene.env.idle(1.0),
    "asked_to_wait": lambda scene: scene.backend.faults.script([retry_after(5)]),
    "terminated": lambda scene: scene.later(0.3, lambda: scene.supervisor(signal.SIGTERM)),
    "shipper_stopped": lambda scene: scene.signal(SHIPPER, signal.SIGSTOP),
    "collector_stopped": lambda scene: scene.signal(COLLECTOR, signal.SIGSTOP),
}


def _problems(got: Measured, kind: Kind) -> Iterable[str]:
    required = Required(by_lines=kind.by_lines)
    yield from record_problems(required, got)
    yield from ledger_problems(required, got)
    yield from endings(got)
    if not kind.resets and set(got.statuses) != {"success"}:
        yield f"{sum(status != 'success' for status in got.statuses)} invocations failed"


def _of_the_well(got: Measured) -> Iterable[str]:
    """What the trouble of the other route has cost one that was well."""
    if got.copies:
        yield f"{FIRST}: {got.copies} copies, expected none"
    if got.ledger.retried:
        yield f"{FIRST}: {got.ledger.retried} requests repeated"
    if max(got.held_ms) > BUDGET_MS + OVER_BUDGET_MS:
        yield Late(f"{FIRST}: held {max(got.held_ms):.0f} ms, expected no more than {BUDGET_MS + OVER_BUDGET_MS:.0f}")
