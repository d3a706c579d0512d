"""What a small function feels: starts and invocations on the share of a processor that its memory buys.

Lambda gives 1,769 MB one core, and less its part of it, as a quota in each period of 20 ms; so does a cgroup here, of
version 1 or 2. What starts does so at a random moment of a period.
"""

import os
import random
import socket
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from tests.bench import measures
from tests.lifecycle.platform_stub import OK, OK_REGISTER
from tests.sandbox import Destination, Environment, Function, Platform

# Where groups are, of version 2 and of version 1, and what is set of one.
VERSIONS = {"/sys/fs/cgroup": ("cpu.max",), "/sys/fs/cgroup/cpu": ("cpu.cfs_period_us", "cpu.cfs_quota_us")}

PERIOD_US = 20_000
MB_PER_CORE = 1769

# By memory in MB: how many environments are started with the layer and without. One takes seconds at the least share.
ENVIRONMENTS = {128: 5, 512: 10}
STARTS = 30

INVOCATIONS = 3
HANDLER = Path(__file__).parent / "handler"
ADDED_TO_INIT = "{}: added to its own init by the layer"
Row = tuple[str, float, str, float | None, float | None]

# The shell is in the group before the program it becomes begins; what it does before that counts for nobody.
_JOINED = (
    'export BENCH_MEMBERS="$0"; '
    'export BENCH_TOOK_NS="$(for pid in $(cat "$0"); do echo "$pid $(cat "/proc/$pid/schedstat")"; done)"; '
    'export BENCH_BEGAN_NS="$(date +%s%N)"; echo $$ >"$0" && exec "$@"'
)


class ForbiddenError(Exception):
    """This machine lets nobody have a quota."""


class Run(NamedTuple):
    """One environment: its function's own init, its first answer, and what it was held for at most.

    `took_ms` is the processor that the layer's processes took during that init, by their names.
    """

    init_ms: float
    answered_ms: float
    longest_hold_ms: float
    layer_cpu_ms: float
    took_ms: dict[str, float]


@contextmanager
def group(share: float) -> Iterator[Path]:
    """A group of processes that has a share of one core; yields the file that a process is put in by.

    Raises:
        ForbiddenError: It cannot be made.
    """
    values = {
        "cpu.max": f"{round(PERIOD_US * share)} {PERIOD_US}",
        "cpu.cfs_period_us": f"{PERIOD_US}",
        "cpu.cfs_quota_us": f"{round(PERIOD_US * share)}",
    }
    errors = []
    for path, names in VERSIONS.items():
        root = Path(path)
        directory = root / f"tailrace-bench-{os.getpid()}"
        is_of_version_2 = "cpu.max" in names
        if is_of_version_2 and not (root / "cgroup.controllers").exists():
            errors.append(f"{root} has no cgroups of version 2")  # a folder can be made in it, and limits nobody
            continue
        try:
            if is_of_version_2:
                with suppress(OSError):
                    (root / "cgroup.subtree_control").write_text("+cpu")
            directory.mkdir()
            for name in names:
                (directory / name).write_text(values[name])
        except OSError as exc:
            errors.append(str(exc))
            with suppress(OSError):
                directory.rmdir()
            continue
        try:
            yield directory / "cgroup.procs"
        finally:
            _remove(directory)
        return
    raise ForbiddenError("; ".join(errors))


def _remove(directory: Path) -> None:
    """Removes a group once its last process is gone, which may take a moment."""
    for _ in range(100):
        try:
            directory.rmdir()
        except OSError:
            time.sleep(0.02)
        else:
            return


def started(command: Sequence[str], environ: dict[str, str], members: Path) -> tuple[int, float]:
    """Starts a program in a group; its process id, and when it was executed."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            members.write_text("0")
            time.sleep(random.uniform(0, PERIOD_US / 1e6))
            os.write(writing, struct.pack("d", time.perf_counter()))
            os.execve(command[0], list(command), environ)  # noqa: S606 - what is measured
        finally:
            os._exit(127)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        (began_s,) = struct.unpack("d", told.read(8))
    return pid, began_s


def bare_ms(members: Path) -> float:
    """From the bare interpreter's start to its end."""
    pid, began_s = started([sys.executable, "-IS", "-c", "pass"], {}, members)
    os.waitpid(pid, 0)
    return (time.perf_counter() - began_s) * 1000


def next_ms(members: Path) -> float:
    """From the layer's start until it asks for the first event."""
    launcher = str(measures.EXTENSIONS / measures.NAME)
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        environ = {"AWS_LAMBDA_RUNTIME_API": f"{host}:{port}", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
        pid, began_s = started([launcher], environ, members)
        connection, _ = server.accept()
        with connection:
            for answer in (OK_REGISTER, OK, measures.SHUTDOWN):
                connection.recv(65_536)
                arrived_s = time.perf_counter()
                connection.sendall(answer)
            os.waitpid(pid, 0)
    return (arrived_s - began_s) * 1000


def run(members: Path, scratch: Path, *, has_layer: bool, tls: bool = False) -> Run:
    """One environment on the share, whose function loads what functions load and logs 20 lines an invocation."""
    extensions = scratch / ("with" if has_layer else "without")
    extensions.mkdir(exist_ok=True)
    if has_layer:
        launcher = extensions / measures.NAME
        launcher.write_text(
            f'#!/bin/sh\necho $$ >"{members}" && exec "{(measures.EXTENSIONS / measures.NAME).absolute()}"\n'
        )
        launcher.chmod(0o755)
    command = ["sh", "-c", _JOINED, str(members), sys.executable, "-m", "awslambdaric", "shop.handler"]
    with Destination(tls=tls) as backend:
        trusted = {"SSL_CERT_FILE": str(backend.ca_path)} if tls else {}
        function = Function(
            handler="shop.handler",
            task_root=HANDLER,
            timeout_s=60.0,
            runtime_command=command,
            environ={"OTEL_EXPORTER_OTLP_ENDPOINT": backend.url, **trusted},
        )
        platform = Platform(init_timeout_s=60.0, shutdown_ms=10_000)
        with Environment(extensions_dir=extensions, function=function, platform=platform) as env:
            results = [env.invoke({}) for _ in range(INVOCATIONS)]
            cpu_ms = env.cpu_s(measures.NAME) * 1000
            env.shutdown()
    return Run(
        results[0].payload["init_ms"],
        results[0].response_ms or 0.0,
        max(result.held_ms for result in results),
        cpu_ms,
        results[0].payload["took_ms"],
    )


def rows() -> tuple[list[Row], dict[str, str]]:
    """What is measured.

    Returns:
        Each as a row of the bench's table: what, value, unit, ratio, the most that it may be. And by what they are
        about, what to say of those that are missed.

    Raises:
        ForbiddenError: Nothing is.
    """
    found: list[Row] = []
    reasons: dict[str, str] = {}
    bare_cpu_ms = statistics.median(measures.bare().cpu_ms for _ in range(STARTS))
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as scratch:
        for memory_mb, environments in ENVIRONMENTS.items():
            share = memory_mb / MB_PER_CORE
            with group(share) as members:
                starts = [(bare_ms(members), next_ms(members)) for _ in range(STARTS)]
                runs = [
                    [run(members, Path(scratch), has_layer=one) for one in (True, False)] for _ in range(environments)
                ]
                over_tls = [run(members, Path(scratch), has_layer=True, tls=True) for _ in range(environments)]
            on = f"{share:.1%} of a core"
            found += rows_of(on, memory_mb, share, starts, runs, over_tls)
            reasons[ADDED_TO_INIT.format(on)] = reason_of(share, bare_cpu_ms, starts, [one for one, _ in runs])
    return found, reasons


def reason_of(share: float, bare_cpu_ms: float, starts: Sequence[tuple[float, float]], runs: Sequence[Run]) -> str:
    """Whose processor a function's init waited for, beside what the bare interpreter takes of it."""
    took_ms = {
        name: statistics.median(one.took_ms.get(name, 0.0) for one in runs)
        for name in dict.fromkeys(name for one in runs for name in one.took_ms)
    }
    total_ms = sum(took_ms.values())
    each = ", ".join(f"{name} {ms:.1f}" for name, ms in took_ms.items())
    bare_ms = statistics.median(bare for bare, _ in starts)
    return (
        f"CPU of the layer's processes while the function began: {total_ms:.1f} ms ({each}), {total_ms / share:.0f} ms"
        f" on this share. The bare interpreter alone takes {bare_cpu_ms:.1f} ms of CPU, {bare_ms:.0f} ms on this share."
    )


def rows_of(
    on: str,
    memory_mb: int,
    share: float,
    starts: Sequence[tuple[float, float]],
    runs: Sequence[Sequence[Run]],
    over_tls: Sequence[Run],
) -> list[Row]:
    """The rows of one share: medians of starts, bare and with the layer, and of runs, with the layer and without.

    What `over_tls` shows is the layer's alone.
    """
    bare, asked = (statistics.median(pair[at] for pair in starts) for at in (0, 1))
    init, answered, cpu = (
        [statistics.median(getattr(one[at], name) for one in runs) for at in (0, 1)]
        for name in ("init_ms", "answered_ms", "layer_cpu_ms")
    )
    is_least = memory_mb == min(ENVIRONMENTS)
    # On the least share the layer may take no more than its own processor time comes to there.
    most_ms = cpu[0] / share
    return [
        (f"{on}: bare interpreter, wall", bare, "ms", None, None),
        (f"{on}: exec to first /next", asked, "ms", asked / bare, 1.6),
        (
            f"{on}: longest hold of the first {INVOCATIONS}",
            statistics.median(one[0].longest_hold_ms for one in runs),
            "ms",
            None,
            None if is_least else 120.0,
        ),
        (
            f"{on}: longest hold of the first {INVOCATIONS}, over TLS",
            statistics.median(one.longest_hold_ms for one in over_tls),
            "ms",
            None,
            None,
        ),
        (
            f"{on}: CPU of all processes until the end of the third, plain",
            cpu[0],
            "ms",
            None,
            None,
        ),
        (
            f"{on}: CPU of all processes until the end of the third, over TLS",
            statistics.median(one.layer_cpu_ms for one in over_tls),
            "ms",
            None,
            None,
        ),
        (f"{on}: a function's own init without the layer", init[1], "ms", None, None),
        (ADDED_TO_INIT.format(on), init[0] - init[1], "ms", None, most_ms if is_least else init[1] * 0.1),
        (f"{on}: its first answer without the layer", answered[1], "ms", None, None),
        (
            f"{on}: added to its first answer by the layer",
            answered[0] - answered[1],
            "ms",
            None,
            most_ms if is_least else 50.0,
        ),
    ]
