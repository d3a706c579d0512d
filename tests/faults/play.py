"""Plays one cell: a fresh environment with the built layer, its faults, its invocations, its end."""

import time
from pathlib import Path

from tests.faults.cell import NAME, Cell, Scene
from tests.faults.outcome import Measured, measured, problems
from tests.sandbox import Destination, Environment, Function

ROOT = Path(__file__).parents[2]
EXTENSIONS = ROOT / "build/layer/extensions"
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
USER = f"{MARK}-user:{MARK}-password"
QUERY = f"api-key={MARK}-eight"


class Played:
    """What is left of a cell.

    Attributes:
        cell: The cell.
        measured: Its figures.
        problems: Where it falls short.
        printed: Every line the extension printed.
        headers: Of the requests that reached the backend.
    """

    def __init__(self, cell: Cell, got: Measured, printed: list[str], headers: list[dict[str, str]]) -> None:
        self.cell = cell
        self.measured = got
        self.problems = problems(cell.required, got)
        self.printed = printed
        self.headers = headers


def play(cell: Cell, *, log_level: str = "info") -> Played:
    """Plays a cell to its end."""
    began_s = time.monotonic()
    with Destination() as backend:
        port = int(backend.url.rpartition(":")[2])
        endpoint = cell.endpoint(port) if cell.endpoint else f"http://{USER}@127.0.0.1:{port}?{QUERY}"
        function = Function(
            handler="app.handler",
            task_root=HANDLER,
            timeout_s=cell.timeout_s,
            environ={
                **SECRETS,
                "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
                "TAILRACE_SIGNALS": "logs",
                "TAILRACE_PLATFORM_LOGS": "1",
                "TAILRACE_FLUSH": "end",
                "TAILRACE_LOG_LEVEL": log_level,
                **cell.settings,
            },
        )
        with Environment(EXTENSIONS, function, cell.platform) as env:
            scene = Scene(env, backend)
            if cell.start:
                cell.start(scene)
            env.start()
            results = []
            for number, event in enumerate(cell.events):
                if cell.before:
                    cell.before(scene, number)
                results.append(env.invoke({"tag": f"{number}:", **event}))
                scene.settle()
            if cell.ending:
                cell.ending(scene)
            env.shutdown()
            scene.leave()
            took_s = time.monotonic() - began_s
            by_lines = cell.required.by_lines
            got = measured(env, backend, results, kills=scene.kills, took_s=took_s, by_lines=by_lines)
            return Played(cell, got, env.printed(NAME), [request.headers for request in backend.requests])
