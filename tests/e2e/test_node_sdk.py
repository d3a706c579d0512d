"""OpenTelemetry's SDK for Node.js, inside a function beside the built layer: whichever exporters it has, all arrives.

On the sandbox, and under AWS's own emulator.

Run by `make examples`, not with the other tests: its packages come from the network.
"""

import hashlib
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import ROOT, Start
from tests.e2e.test_otlp_intake import accepted, intake
from tests.e2e.test_second_opinion import layer, started
from tests.sandbox import Destination
from tests.sandbox.rie import Emulator

pytestmark = [pytest.mark.e2e, pytest.mark.synth]

PACKAGE = Path(__file__).parent / "node" / "package.json"
HANDLER = Path(__file__).parent / "handler" / "sdk.js"

__all__ = ["intake", "layer"]


@pytest.fixture(scope="session")
def packages() -> Path:
    """Where the SDK is installed, once for its versions."""
    if not shutil.which("npm") or not shutil.which("node"):
        pytest.skip("no Node.js on this machine")
    text = PACKAGE.read_bytes()
    where = ROOT / "build" / "examples" / f"node-sdk-{hashlib.sha256(text).hexdigest()[:12]}"
    if not (where / "installed.stamp").exists():
        where.mkdir(parents=True, exist_ok=True)
        (where / "package.json").write_bytes(text)
        command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(command, cwd=where, check=False, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        (where / "installed.stamp").touch()
    return where / "node_modules"


@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json"])
@pytest.mark.parametrize("exporters", ["proto", "http"])
def test_all_that_it_exports_arrives_once_in_the_encoding_that_is_asked_for(
    start: Start, intake: dict[str, str], packages: Path, exporters: str, protocol: str
) -> None:
    """Spans, metrics and log records; in one trace with the invocation's own span, and answered without a wait."""
    with Destination() as backend:
        run = start(
            backend=backend,
            runtime_command=["node", str(HANDLER)],
            timeout_s=30.0,
            NODE_PATH=str(packages),
            OTLP_EXPORTERS=exporters,
            OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
            TAILRACE_FLUSH="end",
            **intake,
        )
        results = [run.invoke(say=f"call {number}", spans=3, count=5) for number in range(3)]
        run.end()
    calls = [f"call {number}" for number in range(3)]
    names = Counter(str(span.body) for span in backend.spans())
    expected = [f"{call} {what}" for call in calls for what in ("handler", 0, 1, 2)]
    assert {name: count for name, count in names.items() if name.startswith("call")} == dict.fromkeys(expected, 1)
    assert sorted(str(one.body) for one in backend.records()) == [f"{call} said" for call in calls]
    points = [point for one in backend.metrics() if one.body == "app.calls" for point in one.raw["sum"]["dataPoints"]]
    assert sorted(float(point.get("asInt", point.get("asDouble"))) for point in points) == [5, 10, 15]
    assert accepted(run) == {
        "traces": {"accepted": 12, "shipped": 12},
        "metrics": {"accepted": 3, "shipped": 3},
        "logs": {"accepted": 3, "shipped": 3},
    }
    content_type = "application/x-protobuf" if protocol == "http/protobuf" else "application/json"
    assert {request.headers["content-type"] for request in backend.requests} == {content_type}
    _are_in_one_trace(backend, {result.request_id for result in results})
    assert min(result.payload["took_ms"] for result in results) < 50


@pytest.mark.parametrize("concurrency", [None, 2])
@pytest.mark.parametrize("exporters", ["proto", "http"])
def test_all_that_it_exports_under_the_emulator_arrives_once(
    layer: Path, intake: dict[str, str], packages: Path, tmp_path: Path, exporters: str, concurrency: int | None
) -> None:
    """Classic and on managed instances, in both encodings, through the wrapper."""
    (tmp_path / "sdk.js").write_bytes(HANDLER.read_bytes())
    (tmp_path / "node_modules").symlink_to(packages)
    with Destination() as backend:
        environ = {
            **intake,
            "AWS_LAMBDA_EXEC_WRAPPER": "/opt/tailrace/wrap",
            "OTEL_EXPORTER_OTLP_ENDPOINT": backend.url,
            "OTLP_EXPORTERS": exporters,
            "TAILRACE_FLUSH_INTERVAL_MS": "200",
        }
        emulator = started(
            Emulator(
                layer=layer, task_root=tmp_path, runtime="node /var/task/sdk.js", concurrency=concurrency,
                environ=environ, timeout_s=20,
            )
        )  # fmt: skip
        try:
            told = [emulator.invoke({"say": f"call {number}", "spans": 2, "count": 5}) for number in range(3)]
        finally:
            emulator.stop()
    said = "".join(emulator.output)
    assert all("took_ms" in answer for answer in told), said
    calls = [f"call {number}" for number in range(3)]
    names = Counter(str(span.body) for span in backend.spans() if str(span.body).startswith("call"))
    assert names == Counter(f"{call} {what}" for call in calls for what in ("handler", 0, 1)), said
    assert sorted(str(one.body) for one in backend.records() if str(one.body).endswith("said")) == [
        f"{call} said" for call in calls
    ]
    points = [point for one in backend.metrics() if one.body == "app.calls" for point in one.raw["sum"]["dataPoints"]]
    assert max(float(point.get("asInt", point.get("asDouble"))) for point in points) >= 5


def _are_in_one_trace(backend: Destination, ids: set[str]) -> None:
    """The span of each invocation and the root of the SDK's are beside one another, in one trace."""
    spans: dict[tuple[str, bool], Any] = {}
    for span in backend.spans():
        if span.attributes.get("faas.invocation_id") in ids:
            spans[span.attributes["faas.invocation_id"], str(span.body).startswith("call")] = span.raw
    assert len(spans) == 2 * len(ids)
    for request_id in ids:
        ours, theirs = spans[request_id, False], spans[request_id, True]
        assert ours["traceId"] == theirs["traceId"]
        assert ours["parentSpanId"] == theirs["parentSpanId"]
        assert ours["spanId"] != theirs["spanId"]
