"""What is measured, and how: each returns plain numbers, and counts what was lost on the way."""

import base64
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.bench.memory import profile
from tests.lifecycle.platform_stub import OK, OK_REGISTER
from tests.sandbox import Destination, Environment, Function, Platform

EXTENSIONS = Path("build/layer/extensions")
HANDLER = Path(__file__).parent / "handler"
NAME = "tailrace"

# The intake of what the function itself exports, at whatever port is free.
INTAKE = {"TAILRACE_OTLP_INTAKE": "1", "TAILRACE_OTLP_PORT": "0"}

# A further route, to nowhere: nothing is shipped in what is measured with it.
SECOND_ROUTE = {"TAILRACE_DESTINATION_SECOND": "otlp+http://127.0.0.1:9"}

# How long nothing must use the processor before the extension counts as idle.
SETTLED_S = 0.15


class Bare(NamedTuple):
    """The interpreter alone."""

    wall_ms: float
    cpu_ms: float


class Boot(NamedTuple):
    """One cold start; `memory` says what `pss_mb` are."""

    register_ms: float
    next_ms: float
    cpu_ms: float
    pss_mb: float
    memory: str


class Load(NamedTuple):
    """Many lines in few invocations; `memory` says what the peak was, `decoding_us` what reading an event takes.

    `processes` says whose the processor time was.
    """

    lines: int
    lost: int
    cpu_us_per_record: float
    processes: str
    decoding_us: float
    wire_kb: float
    peak_pss_mb: float
    memory: str


class Held(NamedTuple):
    """What finished invocations were held for."""

    median_ms: float
    max_ms: float
    lost: int


class Idle(NamedTuple):
    """All shippers are there, and have nothing to do."""

    cpu_ms: float
    pss_mb: float


class Used(NamedTuple):
    """The first invocations of an environment: how long the first was held, and what has been used when all is idle.

    `memory` says what `pss_mb` are.
    """

    first_held_ms: float
    cpu_ms: float
    pss_mb: float
    memory: str


class Exports(NamedTuple):
    """What the function itself exports: how soon it is answered, and what a span costs on its way to the backend."""

    answered_ms: float
    cpu_us_per_span: float
    lost: int


def bare(python: str = sys.executable) -> Bare:
    """Starts and ends an interpreter as the launcher starts it."""
    began = time.perf_counter()
    pid = os.posix_spawn(python, [python, "-IS", "-c", "pass"], {})
    _, _, usage = os.wait4(pid, 0)
    return Bare((time.perf_counter() - began) * 1000, (usage.ru_utime + usage.ru_stime) * 1000)


def boot(extensions: Path = EXTENSIONS, *, environ: Mapping[str, str] = {}) -> Boot:
    """One environment from exec to idle."""
    register_ms, next_ms = asked(extensions, environ)
    with _environment(freeze=False, runtime_command=_IDLE_RUNTIME, extensions=extensions, environ=environ) as (_, env):
        env.start()
        cpu_ms = _settled_cpu_ms(env)
        pss_mb, memory = env.memory_pss_bytes(NAME) / 1e6, profile(env.processes(NAME))
        env.shutdown()
    return Boot(register_ms, next_ms, cpu_ms, pss_mb, memory)


def idle(environ: Mapping[str, str] = {}) -> Idle:
    """Two invocations that say nothing, beside which further shippers are started, and then nothing any more."""
    with _environment(freeze=False, environ=environ, TAILRACE_FLUSH="interval") as (_, env):
        for _ in range(2):
            env.invoke({"lines": 0})
            cpu_ms = _settled_cpu_ms(env)
        pss_mb = env.memory_pss_bytes(NAME) / 1e6
        env.shutdown()
    return Idle(cpu_ms, pss_mb)


def used(invocations: int, extensions: Path = EXTENSIONS, *, tls: bool = False) -> Used:
    """Some invocations of 20 lines, by the default policy, and then nothing any more."""
    with _environment(freeze=False, extensions=extensions, tls=tls) as (_, env):
        held_ms = [env.invoke({"lines": 20, "bytes": 150}).held_ms for _ in range(invocations)]
        cpu_ms = _settled_cpu_ms(env)
        pss_mb, memory = env.memory_pss_bytes(NAME) / 1e6, profile(env.processes(NAME))
        env.shutdown()
    return Used(held_ms[0], cpu_ms, pss_mb, memory)


def asked(extensions: Path, environ: Mapping[str, str]) -> tuple[float, float]:
    """Milliseconds from exec until registration, and until the first event is asked for.

    The platform here does nothing else, unlike the sandbox, which starts the runtime in between: its time would be
    measured as ours.
    """
    launcher = str(extensions / NAME)
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        known = {"AWS_LAMBDA_RUNTIME_API": f"{host}:{port}", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
        began = time.perf_counter()
        pid = os.posix_spawn(launcher, [launcher], {**known, **environ})
        connection, _ = server.accept()
        with connection:
            arrived_ms = []
            for answer in (OK_REGISTER, OK, SHUTDOWN):
                connection.recv(65_536)
                arrived_ms.append((time.perf_counter() - began) * 1000)
                connection.sendall(answer)
            os.waitpid(pid, 0)
    return arrived_ms[0], arrived_ms[2]


def load(
    invocations: int = 3,
    lines: int = 20_000,
    line_bytes: int = 150,
    *,
    flush: str,
    is_json: bool = False,
    extensions: Path = EXTENSIONS,
) -> Load:
    """Ships `invocations` × `lines` lines while memory is watched.

    With the policy `end` each invocation is held until its lines are shipped, whatever that takes: all are before CPU
    is read. With `adaptive` more of them wait at a time, and a part leaves at shutdown.

    Raises:
        RuntimeError: With `end` some were not shipped by then: what the rest cost is no figure for all of them.
    """
    waits_for_all = flush == "end"
    budget = {"TAILRACE_FLUSH_BUDGET_MS": "30000"} if waits_for_all else {}
    with _environment(freeze=True, timeout_s=120.0, extensions=extensions, environ=budget, TAILRACE_FLUSH=flush) as (
        backend,
        env,
    ):
        env.invoke({"lines": 0})
        before_ms = _cpu_each_ms(env)
        decoding_us = [_decoding_us(line_bytes, is_json=is_json)]
        with _watched(env) as peak:
            for _ in range(invocations):
                env.invoke({"lines": lines, "bytes": line_bytes, "json": is_json})
                decoding_us.append(_decoding_us(line_bytes, is_json=is_json))
            env.invoke({"lines": 0})  # what was left of the last one goes with this
        each_us = {
            comm: (ms - before_ms.get(comm, 0.0)) * 1000 / (invocations * lines)
            for comm, ms in _cpu_each_ms(env).items()
        }
        shipped = sum(record.uid is not None and "line " in str(record.body) for record in backend.unique())
        env.shutdown()
        emitted = len(env.telemetry(NAME).emitted)
        lost = emitted - len(backend.unique())
        wire_kb = sum(len(request.wire) for request in backend.requests) / 1000
    if waits_for_all and shipped < invocations * lines:
        raise RuntimeError(f"of {invocations * lines:,} lines {shipped:,} were shipped when their cost was read")
    processes = ", ".join(f"{comm} {us:.1f} µs" for comm, us in each_us.items())
    cpu_us, peak_mb = sum(each_us.values()), peak.pss_bytes / 1e6
    return Load(
        invocations * lines, lost, cpu_us, processes, statistics.fmean(decoding_us), wire_kb, peak_mb, peak.memory
    )


class _Event(msgspec.Struct, gc=False):
    time: str
    type: str
    record: msgspec.Raw


def _decoding_us(line_bytes: int, *, is_json: bool, events: int = 1000, rounds: int = 50) -> float:
    """CPU that msgspec takes for an event with such a line, of which a thousand are decoded at once.

    To be asked between what it is compared with: a processor that is shared is twice as fast in one moment as in the
    next, and this is the yardstick. So it is the mean of all rounds, as what it is compared with is a sum.
    """
    words = "d843c7c3 " * (line_bytes // 9)
    line = (
        f'{{"level":"INFO","message":"line 7 {words[: len(words) // 2]}","order":7,"logger":"shop"}}'
        if is_json
        else words
    )
    event = {"time": "2024-05-20T16:29:45.008Z", "type": "function", "record": line + "\n"}
    body, decoder = msgspec.json.encode([event] * events), msgspec.json.Decoder(list[_Event])
    taken_ns = []
    for _ in range(rounds):
        began_ns = time.thread_time_ns()
        decoder.decode(body)
        taken_ns.append(time.thread_time_ns() - began_ns)
    return statistics.fmean(taken_ns) / 1000 / events


def cpu_per_invocation_ms(*signals: str, flush: str, invocations: int = 60) -> tuple[float, ...]:
    """CPU of all processes for an invocation with a few lines, in a row of them, by the signals that are shipped.

    The environments run side by side and are invoked in turn, so that what else the machine does hits all alike.

    Returns:
        A figure for each of `signals`.
    """
    with ExitStack() as stack:
        environments = [
            stack.enter_context(
                _environment(
                    freeze=False,
                    TAILRACE_SIGNALS=some,
                    TAILRACE_PLATFORM_LOGS="0",
                    TAILRACE_FLUSH=flush,
                    TAILRACE_FLUSH_INTERVAL_MS="1000",
                )
            )[1]
            for some in signals
        ]

        def invoked(times: int) -> list[float]:
            before_ms = [_cpu_ms(env) for env in environments]
            for number in range(times * len(environments)):
                environments[number % len(environments)].invoke({"lines": 5})
            return [(_settled_cpu_ms(env) - ms) / times for env, ms in zip(environments, before_ms, strict=True)]

        invoked(5)
        return tuple(invoked(invocations))


def cpu_shipped_at_once_ms(
    invocations: int = 40, lines: int = 20, *, tls: bool, extensions: Path = EXTENSIONS
) -> float:
    """CPU of all processes for an invocation of some lines that are shipped as it ends."""
    with _environment(freeze=False, tls=tls, extensions=extensions, TAILRACE_FLUSH="end") as (_, env):
        for _ in range(5):
            env.invoke({"lines": lines})
        before_ms = _settled_cpu_ms(env)
        for _ in range(invocations):
            env.invoke({"lines": lines})
        cpu_ms = (_settled_cpu_ms(env) - before_ms) / invocations
        env.shutdown()
    return cpu_ms


def exports(invocations: int = 10, requests: int = 20, spans: int = 100) -> Exports:
    """Exports `spans` at a time, as an SDK does it, beside invocations that are shipped as they end."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for number in range(spans):
        span = scope.spans.add(name="GET /orders/{id}", trace_id=bytes(range(16)), kind=3)
        span.span_id = b"#number#"  # made a different one by the function
        span.start_time_unix_nano = 1_700_000_000_000_000_000 + number
        span.end_time_unix_nano = span.start_time_unix_nano + 1_000_000
        for name in ("http.request.method", "url.full", "server.address", "network.protocol.version"):
            span.attributes.add(key=name).value.string_value = f"{name} of {number}"
    event = {"lines": 0, "requests": requests, "body": base64.b64encode(request.SerializeToString()).decode()}
    with _environment(freeze=False, timeout_s=30.0, TAILRACE_FLUSH="end", environ=INTAKE) as (backend, env):
        answered_ms: list[float] = []
        before_ms = {}
        for asked in (0, requests):
            env.invoke({**event, "requests": asked})
            began_ms = _settled_cpu_ms(env)
            for _ in range(invocations):
                payload = env.invoke({**event, "requests": asked}).payload
                answered_ms += payload["answered_ms"]
            before_ms[asked] = _settled_cpu_ms(env) - began_ms
        env.shutdown()
        sent = (invocations + 1) * requests * spans
        lost = sent - sum(span.body == "GET /orders/{id}" for span in backend.spans())
    cpu_us = (before_ms[requests] - before_ms[0]) * 1000 / (invocations * requests * spans)
    return Exports(statistics.median(answered_ms), cpu_us, lost)


def held(invocations: int = 20, lines: int = 20) -> Held:
    """What each of `invocations` was held after its return, with a healthy backend and policy `end`."""
    with _environment(freeze=True, TAILRACE_FLUSH="end") as (backend, env):
        env.invoke({"lines": lines, "bytes": 150})  # the cold one is not a typical one
        times = [env.invoke({"lines": lines, "bytes": 150}).held_ms for _ in range(invocations)]
        env.shutdown()
        lost = len(env.telemetry(NAME).emitted) - len(backend.unique())
    return Held(statistics.median(times), max(times), lost)


def dearest_imports() -> str:
    """The dearest imports of a boot, for when a figure is missed."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from lifecycle import finder; finder.install(sys.argv[1]);"
        "from lifecycle.contract import lean; lean.load();"
        "import lifecycle.supervisor, collector.server, shipper.worker"
    )
    command = [sys.executable, "-IS", "-X", "importtime", "-c", code, str(EXTENSIONS.parent / NAME)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()
    dearest = sorted(lines[1:], key=lambda line: int(line.split("|")[0].split(":")[1]), reverse=True)
    return "\n".join(dearest[:15])


_SHUTDOWN_EVENT = b'{"eventType":"SHUTDOWN","deadlineMs":0,"shutdownReason":"spindown"}'
SHUTDOWN = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(_SHUTDOWN_EVENT), _SHUTDOWN_EVENT)

# A runtime that asks for its first event and waits: what it costs is not ours to measure.
_ASKS_AND_WAITS = (
    "import os, _socket; host, port = os.environ['AWS_LAMBDA_RUNTIME_API'].split(':');"
    "s = _socket.socket(); s.connect((host, int(port)));"
    "s.sendall(b'GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'); s.recv(1)"
)
_IDLE_RUNTIME = [sys.executable, "-IS", "-c", _ASKS_AND_WAITS]


@contextmanager
def _environment(
    *,
    freeze: bool,
    timeout_s: float = 3.0,
    runtime_command: list[str] | None = None,
    extensions: Path = EXTENSIONS,
    tls: bool = False,
    environ: Mapping[str, str] = {},
    **further: str,
) -> Iterator[tuple[Destination, Environment]]:
    with Destination(tls=tls) as backend:
        trusted = {"SSL_CERT_FILE": str(backend.ca_path)} if tls else {}
        function = Function(
            handler="app.handler",
            task_root=HANDLER,
            timeout_s=timeout_s,
            runtime_command=runtime_command,
            # Each event is a record then: what was delivered can be counted.
            environ={
                "OTEL_EXPORTER_OTLP_ENDPOINT": backend.url,
                "TAILRACE_PLATFORM_LOGS": "1",
                **trusted,
                **environ,
                **further,
            },
        )
        # The platform's own buffer must not be what overflows: how large it is on Lambda is not public.
        platform = Platform(freeze=freeze, buffer_bytes=64 * 1024 * 1024)
        with Environment(extensions_dir=extensions, function=function, platform=platform) as env:
            yield backend, env


def _cpu_ms(env: Environment) -> float:
    """Processor time of the extension's processes so far."""
    return sum(_cpu_each_ms(env).values())


def _cpu_each_ms(env: Environment) -> dict[str, float]:
    """That of each, by name: the scheduler's own count, in nanoseconds."""
    each_ms: dict[str, float] = {}
    for process in env.processes(NAME):
        for task in Path(f"/proc/{process.pid}/task").iterdir():
            ran_ns = int((task / "schedstat").read_text().split()[0])
            each_ms[process.comm] = each_ms.get(process.comm, 0.0) + ran_ns / 1e6
    return each_ms


def _settled_cpu_ms(env: Environment) -> float:
    """Processor time once nothing has used any for a while."""
    used_ms, since = -1.0, time.monotonic()
    while time.monotonic() - since < SETTLED_S:
        now_ms = _cpu_ms(env)
        if now_ms != used_ms:
            used_ms, since = now_ms, time.monotonic()
        time.sleep(0.01)
    return used_ms


class _Peak:
    """The most memory seen, and what it was."""

    def __init__(self) -> None:
        self.pss_bytes = 0
        self.memory = ""


@contextmanager
def _watched(env: Environment) -> Iterator[_Peak]:
    """Samples memory while the block runs."""
    peak = _Peak()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            pss_bytes = env.memory_pss_bytes(NAME)
            if pss_bytes > peak.pss_bytes:
                peak.pss_bytes, peak.memory = pss_bytes, profile(env.processes(NAME))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
