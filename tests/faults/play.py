"""Plays one cell: a fresh environment with the built layer, its faults, its invocations, its end."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from tests.faults.cell import NAME, SECOND, SECOND_SHIPPER, SHIPPER, Cell, Scene
from tests.faults.outcome import OK, Measured, is_of_time, measured, problems
from tests.sandbox import Destination, Environment, Function, PeakMemory

ROOT = Path(__file__).parents[2]
LAYER = ROOT / "build/layer"
EXTENSIONS = LAYER / "extensions"
HANDLER = Path(__file__).parent / "handler"

# Every secret a user may have, each with the mark; the extension needs or sees them all, and may print none.
MARK = "pl4nted"
SECRETS = {
    "TAILRACE_HEADERS": f"x-api-key={MARK}-one,X-Scope=%2F{MARK}%20two",
    "OTEL_EXPORTER_OTLP_HEADERS": f"x-other-key={MARK}-three",
    "OTEL_EXPORTER_OTLP_LOGS_HEADERS": f"x-third-key={MARK}-four",
    "AWS_ACCESS_KEY_ID": f"ASIA{MARK}FIVE",
    "AWS_SECRET_ACCESS_KEY": f"{MARK}-six/+",
    "AWS_SESSION_TOKEN": f"{MARK}-seven==",
}

# All that is shipped is one signal, whose records can be counted against what the platform delivered.
COUNTABLE = {"TAILRACE_SIGNALS": "logs", "TAILRACE_PLATFORM_LOGS": "1", "TAILRACE_FLUSH": "end"}

# What stands for the backend's port in a cell's settings.
PORT = "{port}"

USER = f"{MARK}-user:{MARK}-password"
QUERY = f"api-key={MARK}-eight"


class Played:
    """What is left of a cell.

    Attributes:
        cell: The cell.
        measured: Its figures.
        problems: Where it falls short.
        is_of_time: Whether all of that may be no more than the machine's having other things to do.
        printed: Every line the extension printed.
        headers: Of the requests that reached the backend.
    """

    def __init__(
        self, cell: Cell, got: Measured, printed: list[str], headers: list[dict[str, str]], found: list[str]
    ) -> None:
        self.cell = cell
        self.measured = got
        self.problems = [*found, *problems(cell.required, got, printed)]
        self.is_of_time = is_of_time(self.problems, got)
        self.printed = printed
        self.headers = headers


def _with_secrets(url: str) -> str:
    """A backend's address as a user may have it."""
    scheme, _, authority = url.partition("://")
    return f"{scheme}://{USER}@{authority}?{QUERY}"


def arrived(backend: Destination, tag: str) -> int:
    """How many lines that begin so are at the backend."""
    return len({record.body for record in backend.records() if str(record.body).startswith(tag)})


@contextmanager
def _layer_of(cell: Cell) -> Iterator[Path]:
    """The layer that is played: the built one, or a copy of it that may be changed."""
    if not cell.owns_layer:
        yield LAYER
        return
    with tempfile.TemporaryDirectory() as place:
        yield shutil.copytree(LAYER, Path(place) / "layer")


def play(cell: Cell, *, log_level: str = "info") -> Played:
    """Plays a cell to its end."""
    began_s = time.monotonic()
    with (
        _layer_of(cell) as layer,
        cell.backend() as backend,
        Destination() if cell.is_beside else nullcontext(backend) as measured_one,
    ):
        scheme, _, authority = backend.url.partition("://")
        port = authority.rpartition(":")[2]
        endpoint = cell.endpoint(int(port)) if cell.endpoint else _with_secrets(backend.url)
        trust = {"SSL_CERT_FILE": str(backend.ca_path)} if scheme == "https" else {}
        function = Function(
            handler="app.handler",
            task_root=HANDLER,
            timeout_s=cell.timeout_s,
            hosts=cell.hosts,
            environ={
                **SECRETS,
                "OTEL_EXPORTER_OTLP_ENDPOINT": _with_secrets(measured_one.url) if cell.is_beside else endpoint,
                **({} if cell.is_default and not cell.is_beside else COUNTABLE),
                **({f"TAILRACE_DESTINATION_{SECOND}": f"otlp+{endpoint}"} if cell.is_beside else {}),
                **trust,
                "TAILRACE_LOG_LEVEL": log_level,
                **{name: value.replace(PORT, port) for name, value in cell.settings.items()},
            },
        )
        with Environment(layer / EXTENSIONS.name, function, cell.platform) as env:
            scene = Scene(env, backend, SECOND_SHIPPER if cell.is_beside else SHIPPER, layer)
            if cell.start:
                cell.start(scene)
            with PeakMemory(env, NAME) as memory:
                env.start()
                results, starved_ms, late = [], [], []
                for number, event in enumerate(cell.events):
                    if cell.before:
                        cell.before(scene, number)
                    before_ms = env.starved_ms(NAME)
                    results.append(env.invoke({"tag": f"{number}:", **event}))
                    starved_ms.append(env.starved_ms(NAME) - before_ms)
                    if results[-1].ok and arrived(measured_one, f"{number}: ") < event["lines"]:
                        late.append(number)
                    scene.settle()
                in_time = sum(request.stored and request.status == OK for request in measured_one.requests)
                if cell.ending:
                    cell.ending(scene)
                env.shutdown()
                scene.settle()
                scene.leave()
            took_s = time.monotonic() - began_s
            got = measured(
                env,
                measured_one,
                results,
                starved_ms=starved_ms,
                kills=scene.kills,
                took_s=took_s,
                by_lines=cell.required.by_lines,
                late=late,
                in_time=in_time,
                peak_mb=memory.peak_bytes / 1e6,
            )
            headers = [request.headers for request in measured_one.requests if request.path.startswith("/")]
            return Played(cell, got, env.printed(NAME), headers, scene.problems)
