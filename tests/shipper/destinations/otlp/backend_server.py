"""Our own stand-in for a backend that takes OTLP, no product of anybody's: strict about path, headers and encoding.

Every request is decoded by `opentelemetry-proto`, and an empty one is refused.
"""

from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.shipper.destinations.stub import Answer, RefusedError, Stub

REQUESTS: dict[str, Any] = {
    "logs": ExportLogsServiceRequest,
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}


class BackendServer(Stub):
    """A receiver on loopback, which takes protobuf alone.

    Args:
        path: Of its base address.
        keys: Headers that it wants, by their names in lower case.
    """

    content_types = ("application/x-protobuf",)

    def __init__(self, path: str, keys: dict[str, str]) -> None:
        super().__init__()
        self.path = path
        self.keys = keys
        self.exports: dict[str, Any] = {}

    def taken(self, target: str, headers: dict[str, str], body: bytes) -> Answer:
        """Takes an export."""
        signal = target.removeprefix(f"{self.path}/v1/")
        if signal not in REQUESTS or target == signal:
            raise RefusedError(404)
        if any(headers.get(name) != value for name, value in self.keys.items()):
            raise RefusedError(401)
        export = REQUESTS[signal].FromString(body)
        if not export.ListFields():
            raise RefusedError(400)
        self.exports[signal] = export
        return 200, b""
