"""A function that exports telemetry of its own: with OpenTelemetry's SDK, or with what its event says, byte by byte."""

import base64
import http.client
import os
import signal
import threading
import time
from typing import Any
from urllib.parse import urlsplit

if "WITH_SDK" in os.environ:
    from opentelemetry._logs import SeverityNumber
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # No exporter is told anything: all they know, they know from the environment.
    traces = TracerProvider()
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    metrics = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter(), export_interval_millis=3_600_000)])
    logs = LoggerProvider()
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    counter = metrics.get_meter("app").create_counter("app.calls")


def _flush_at_the_end() -> None:
    """Has a thread do what an SDK does at the end of a process: the runtime client does not let a handler run."""
    asked, asks = os.pipe2(os.O_NONBLOCK)
    os.set_blocking(asked, True)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.set_wakeup_fd(asks)

    def end() -> None:
        os.read(asked, 1)
        traces.force_flush()
        os._exit(0)

    threading.Thread(target=end, daemon=True).start()


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Exports; returns how long that took, in milliseconds, and what was answered."""
    if event.get("flushes_at_the_end"):
        _flush_at_the_end()
    for number in range(event.get("spans", 0)):
        with traces.get_tracer("app").start_as_current_span(f"{event['say']} {number}") as span:
            span.set_attribute("faas.invocation_id", context.aws_request_id)
    if "count" in event:
        counter.add(event["count"])
    for number in range(event.get("records", 0)):
        logs.get_logger("app").emit(body=f"{event['say']} {number}", severity_number=SeverityNumber.WARN)
    began = time.perf_counter()
    if event.get("flush"):
        for provider in (traces, metrics, logs):
            provider.force_flush()
    answers = [_posted(**request) for request in event.get("requests", ())]
    return {
        "took_ms": (time.perf_counter() - began) * 1000,
        "answers": answers,
        "endpoint": os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"),
    }


def _posted(path: str, body: str, content_type: str, cut: int = 0) -> list[Any]:
    """Sends one request; the status of its answer and how long that took, in milliseconds. `cut`: it is cut short."""
    content = base64.b64decode(body)
    address = urlsplit(os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"])
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=5)
    began = time.perf_counter()
    connection.putrequest("POST", path)
    connection.putheader("Content-Type", content_type)
    connection.putheader("Content-Length", str(len(content)))
    connection.endheaders(content[: len(content) - cut])
    if cut:
        _left_open.append(connection)
        return []
    answer = connection.getresponse()
    body_bytes = len(answer.read())
    connection.close()
    return [answer.status, body_bytes, (time.perf_counter() - began) * 1000]


_left_open: list[http.client.HTTPConnection] = []
