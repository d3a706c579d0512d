"""The built layer under AWS's own emulator, and before a real OpenTelemetry agent."""

import gzip
import json
import socket
import subprocess
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from shipper.model.meters import TABLE
from tests.e2e.conftest import HANDLER, NAME, ZIP, Start
from tests.e2e.test_otlp_intake import intake
from tests.sandbox import Destination
from tests.sandbox.realparts import UnavailableError, rotel_path
from tests.sandbox.rie import Emulator

pytestmark = pytest.mark.e2e

__all__ = ["intake"]

# OpenTelemetry's logs data model, "Severity fields".
SEVERITY_WARN = 13


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip as Lambda would unpack it to /opt: its launcher names Lambda's own interpreter."""
    root = tmp_path_factory.mktemp("layer")
    with zipfile.ZipFile(ZIP) as archive:
        for entry in archive.infolist():
            path = Path(archive.extract(entry, root))
            if not entry.is_dir():
                path.chmod(entry.external_attr >> 16 & 0o777)
    return root


def started(emulator: Emulator) -> Emulator:
    """The emulator, running; the test is skipped where this machine has none or allows no namespaces."""
    try:
        emulator.start()
    except UnavailableError as exc:
        pytest.skip(str(exc))
    return emulator


def test_classic_emulator_runs_the_function_and_is_told_why_nothing_is_shipped(layer: Path) -> None:
    """Register, next, a subscription answered 202, invocations through the real runtime client, shutdown."""
    environ = {"TAILRACE_DESTINATION": "otlp+http://127.0.0.1:9"}
    emulator = started(Emulator(layer=layer, task_root=HANDLER, environ=environ))
    try:
        assert [emulator.invoke({"lines": 2}) for _ in range(3)] == [{"ok": True}] * 3
        line = json.loads(emulator.wait_for_output("lifecycle.idled"))
    finally:
        emulator.stop()
    assert (line["reason"], line["status"]) == ("telemetry_unsupported", 202)
    output = "".join(emulator.output)
    assert "Extension.Crash" not in output
    assert "Traceback" not in output


@pytest.mark.parametrize("protocol", ["http", "tcp"])
def test_managed_instances_emulator_delivers_every_line(layer: Path, protocol: str) -> None:
    """AWS's own code batches, sends and is answered; what the handler printed is at the destination."""
    with Destination() as backend:
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": backend.url,
            "TAILRACE_PROTOCOL": protocol,
            "TAILRACE_FLUSH_INTERVAL_MS": "200",
        }
        emulator = started(Emulator(layer=layer, task_root=HANDLER, concurrency=2, environ=environ))
        try:
            for number in range(6):
                assert emulator.invoke({"lines": 20, "say": f"r{number}"}) == {"ok": True}
        finally:
            emulator.stop()
        bodies = [str(record.body) for record in backend.unique()]
        for number in range(6):
            arrived = [body for body in bodies if body.startswith(f"r{number} ")]
            assert sorted(arrived) == sorted(f"r{number} {line}" for line in range(20)), "".join(emulator.output)
        assert backend.duplicates() == {}


@pytest.mark.parametrize("concurrency", [None, 2])
def test_emulator_runs_a_function_whose_sdk_exports_to_the_layer(layer: Path, concurrency: int | None) -> None:
    """Started by the wrapper, and carried on whether or not this emulator has a Telemetry API."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with Destination() as backend:
        environ = {
            "AWS_LAMBDA_EXEC_WRAPPER": "/opt/tailrace/wrap",
            "OTEL_EXPORTER_OTLP_ENDPOINT": backend.url,
            "TAILRACE_OTLP_PORT": str(port),
            "TAILRACE_FLUSH_INTERVAL_MS": "200",
            "WITH_SDK": "1",
        }
        emulator = started(
            Emulator(
                layer=layer, task_root=HANDLER, handler="exporting.handler", concurrency=concurrency, environ=environ,
                timeout_s=20,
            )
        )  # fmt: skip
        try:
            told = [emulator.invoke({"spans": 2, "say": f"call {number}:", "flush": True}) for number in range(3)]
        finally:
            emulator.stop()
    assert all(one["endpoint"].startswith("http://127.0.0.1:") for one in told), told
    names = [str(span.body) for span in backend.spans() if str(span.body).startswith("call")]
    assert sorted(names) == [f"call {number}: {at}" for number in range(3) for at in range(2)], "".join(emulator.output)


class Collected(ThreadingHTTPServer):
    """Takes OTLP protobuf, as the agent sends it on, and keeps the requests of each signal."""

    requests: list[ExportLogsServiceRequest]
    traces: list[ExportTraceServiceRequest]
    metrics: list[ExportMetricsServiceRequest]


class _Keeper(BaseHTTPRequestHandler):
    server: Collected

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path.endswith("/logs"):
            self.server.requests.append(ExportLogsServiceRequest.FromString(body))
        elif self.path.endswith("/traces"):
            self.server.traces.append(ExportTraceServiceRequest.FromString(body))
        else:
            self.server.metrics.append(ExportMetricsServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def collected() -> Iterator[Collected]:
    """Where the agent sends on what it accepted."""
    server = Collected(("127.0.0.1", 0), _Keeper)
    server.requests, server.traces, server.metrics = [], [], []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def agent_url(collected: Collected, tmp_path: Path) -> Iterator[str]:
    """The agent, receiving OTLP over HTTP."""
    try:
        binary = rotel_path()
    except UnavailableError as exc:
        pytest.skip(str(exc))
    ports = []
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as free:
            ports.append(free.getsockname()[1])
    command = [
        str(binary),
        "start",
        f"--otlp-http-endpoint=127.0.0.1:{ports[0]}",
        f"--otlp-grpc-endpoint=127.0.0.1:{ports[1]}",
        "--exporter=otlp",
        "--otlp-exporter-protocol=http",
        f"--otlp-exporter-endpoint=http://127.0.0.1:{collected.server_address[1]}",
        "--batch-timeout=50ms",
    ]
    with (tmp_path / "agent.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            _wait_for_port(ports[0])
            yield f"http://127.0.0.1:{ports[0]}"
        finally:
            process.terminate()
            process.wait(10)


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, "the agent does not listen"
            time.sleep(0.02)
        else:
            return


def test_real_agent_accepts_every_record(start: Start, agent_url: str, collected: Collected) -> None:
    """What a real collector took and sent on is what the platform delivered, field by field."""
    run = start(OTEL_EXPORTER_OTLP_ENDPOINT=agent_url, OTEL_SERVICE_NAME="shop")
    run.invoke(lines=50)
    result = run.invoke(log="logged as a warning")
    run.end()
    expected = len(run.env.telemetry(NAME).emitted)
    deadline = time.monotonic() + 10
    while sum(len(list(_records(request))) for request in collected.requests) < expected:
        assert time.monotonic() < deadline, "records are missing"
        time.sleep(0.02)
    records = [record for request in collected.requests for record in _records(request)]
    assert len(records) == expected
    attributes = {
        attribute.key: attribute.value for attribute in collected.requests[0].resource_logs[0].resource.attributes
    }
    assert attributes["service.name"].string_value == "shop"
    assert attributes["faas.name"].string_value == "demo"
    lines = [record for record in records if record.body.string_value.startswith("line ")]
    assert len(lines) == 50
    assert all(record.time_unix_nano > 0 and record.observed_time_unix_nano > 0 for record in records)
    uids = {_attribute(record, "log.record.uid") for record in records}
    assert len(uids) == expected
    (warning,) = [record for record in records if record.severity_number == SEVERITY_WARN]
    assert warning.body.string_value.endswith("logged as a warning")
    assert _attribute(warning, "faas.invocation_id") == result.request_id


def test_real_agent_accepts_every_span_and_every_metric(start: Start, agent_url: str, collected: Collected) -> None:
    """One span an invocation and one for the init; counts that add up to what was invoked."""
    run = start(OTEL_EXPORTER_OTLP_ENDPOINT=agent_url, TAILRACE_PLATFORM_LOGS="0", TAILRACE_LOG_LEVEL="info")
    results = [run.invoke(lines=2) for _ in range(3)]
    run.end()
    deadline = time.monotonic() + 10
    while len(_spans(collected)) < 4 or _count(collected, "aws.lambda.billed_duration") < 3:
        assert time.monotonic() < deadline, f"{_spans(collected)} {collected.metrics}"
        time.sleep(0.02)
    spans = _spans(collected)
    assert [name for name, _ in spans].count("demo init") == 1
    assert sorted(request_id for name, request_id in spans if name == "demo") == sorted(r.request_id for r in results)
    assert _total(collected, "faas.invocations") == 3
    assert _total(collected, "faas.coldstarts") == 1
    assert [line for line in run.lines() if line["level"] != "info"] == []
    (ledger,) = run.events("lifecycle.ended")
    assert (ledger["waiting"], set(ledger["dropped"])) == (0, {"platform_logs"})


def test_real_agent_accepts_every_histogram(start: Start, agent_url: str, collected: Collected) -> None:
    """Whole: unit, temporality, bounds, buckets that add up, least and most, times in order."""
    run = start(OTEL_EXPORTER_OTLP_ENDPOINT=agent_url, TAILRACE_PLATFORM_LOGS="0")
    for _ in range(3):
        run.invoke(lines=1)
    run.end()
    # With the last export, which the agent sends on like the others.
    deadline = time.monotonic() + 10
    while _count(collected, "aws.lambda.billed_duration") < 3:
        assert time.monotonic() < deadline, collected.metrics
        time.sleep(0.02)
    expected = {instrument.name: instrument for instrument in TABLE if instrument.bounds}
    del expected["aws.lambda.restore_duration"]
    found = {metric.name: metric for metric in _metrics(collected) if metric.WhichOneof("data") == "histogram"}
    assert {name: metric.unit for name, metric in found.items()} == {name: i.unit for name, i in expected.items()}
    for name, instrument in expected.items():
        assert _count(collected, name) == (1 if name == "faas.init_duration" else 3)
        for metric in (one for one in _metrics(collected) if one.name == name):
            assert metric.histogram.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
            for point in metric.histogram.data_points:
                assert tuple(point.explicit_bounds) == instrument.bounds
                assert len(point.bucket_counts) == len(instrument.bounds) + 1
                assert sum(point.bucket_counts) == point.count > 0
                assert 0 <= point.min <= point.max
                assert point.min * point.count <= point.sum <= point.max * point.count
                assert 0 < point.start_time_unix_nano < point.time_unix_nano


@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json"])
def test_real_agent_accepts_what_the_functions_own_sdk_exports(
    start: Start, intake: dict[str, str], agent_url: str, collected: Collected, protocol: str
) -> None:
    """As it came, and in JSON, of which the agent is particular; each span, point and record once."""
    run = start(
        handler="exporting.handler",
        timeout_s=20.0,
        WITH_SDK="1",
        OTEL_EXPORTER_OTLP_ENDPOINT=agent_url,
        OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
        **intake,
    )
    for number in range(3):
        run.invoke(say=f"call {number}:", spans=4, records=2, count=7, flush=True)
    run.end()
    deadline = time.monotonic() + 10
    while len(_sdk_spans(collected)) < 12 or len(_sums(collected, "app.calls")) < 3 or len(_sdk_bodies(collected)) < 6:
        assert time.monotonic() < deadline, f"{_sdk_spans(collected)} {_sdk_bodies(collected)}"
        time.sleep(0.02)
    assert sorted(_sdk_spans(collected)) == [f"call {number}: {at}" for number in range(3) for at in range(4)]
    assert sorted(_sdk_bodies(collected)) == [f"call {number}: {at}" for number in range(3) for at in range(2)]
    assert sorted(_sums(collected, "app.calls")) == [7, 14, 21]
    instances = {
        pair.value.string_value
        for request in collected.traces
        for resource in request.resource_spans
        for pair in resource.resource.attributes
        if pair.key == "faas.instance"
    }
    assert len(instances) == 1  # which the SDK does not know


def _sdk_spans(collected: Collected) -> list[str]:
    """Names of the function's own spans."""
    scopes = [s for request in collected.traces for resource in request.resource_spans for s in resource.scope_spans]
    return [span.name for scope in scopes if scope.scope.name == "app" for span in scope.spans]


def _sdk_bodies(collected: Collected) -> list[str]:
    """Bodies of the function's own log records."""
    bodies = [record.body.string_value for request in collected.requests for record in _records(request)]
    return [body for body in bodies if body.startswith("call ")]


def _sums(collected: Collected, name: str) -> list[int]:
    """A sum's points."""
    return [int(p.as_int) for metric in _metrics(collected) if metric.name == name for p in metric.sum.data_points]


def _spans(collected: Collected) -> list[tuple[str, str]]:
    """Name and request id of every span that is no part of another."""
    return [
        (span.name, next((a.value.string_value for a in span.attributes if a.key == "faas.invocation_id"), ""))
        for request in collected.traces
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
        if span.kind == Span.SPAN_KIND_SERVER
    ]


def _metrics(collected: Collected) -> list[Metric]:
    return [
        metric
        for request in collected.metrics
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    ]


def _total(collected: Collected, name: str) -> int:
    """A counter's value over all exports."""
    return sum(p.as_int for metric in _metrics(collected) if metric.name == name for p in metric.sum.data_points)


def _count(collected: Collected, name: str) -> int:
    """How often a histogram was measured, over all exports."""
    return sum(p.count for metric in _metrics(collected) if metric.name == name for p in metric.histogram.data_points)


def _records(request: ExportLogsServiceRequest) -> Iterator[LogRecord]:
    for resource_logs in request.resource_logs:
        for scope_logs in resource_logs.scope_logs:
            yield from scope_logs.log_records


def _attribute(record: LogRecord, key: str) -> str:
    return next(str(attribute.value.string_value) for attribute in record.attributes if attribute.key == key)
