"""OTLP as OpenTelemetry's own definitions read it, in both encodings: they refuse what they do not know.

Source: OTLP specification, "JSON Protobuf Encoding".
"""

from __future__ import annotations

import base64
from typing import Any

import msgspec
from google.protobuf.json_format import MessageToDict, ParseDict  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.sandbox.http1 import Answer, json_answer

PROTOBUF = "application/x-protobuf"
REQUESTS: dict[str, Any] = {
    "logs": ExportLogsServiceRequest,
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}

_ANSWERS: dict[str, Any] = {
    "logs": ExportLogsServiceResponse,
    "traces": ExportTraceServiceResponse,
    "metrics": ExportMetricsServiceResponse,
}
_REJECTED = {"logs": "rejectedLogRecords", "traces": "rejectedSpans", "metrics": "rejectedDataPoints"}

# OTLP's JSON has them in hexadecimal digits, protobuf's own in base64.
_IDS = ("traceId", "spanId", "parentSpanId")


def from_protobuf(signal: str, body: bytes) -> Any:
    """A request in protobuf, as its message."""
    message = REQUESTS[signal]()
    message.ParseFromString(body)
    return message


def from_json(signal: str, body: bytes) -> Any:
    """A request in OTLP's JSON, as its message."""
    return ParseDict(_with_ids(msgspec.json.decode(body), _base64_of), REQUESTS[signal]())


def as_json(message: Any) -> dict[str, Any]:
    """A message as OTLP's JSON has it, decoded."""
    found: dict[str, Any] = _with_ids(MessageToDict(message, use_integers_for_enums=True), _hex_of)
    return found


def decoded(signal: str, body: bytes) -> dict[str, Any]:
    """A request in either encoding as OTLP's JSON has it, decoded."""
    if body.startswith(b"{"):
        found: dict[str, Any] = msgspec.json.decode(body)
        return found
    return as_json(from_protobuf(signal, body))


def without_nulls(message: Any) -> Any:
    """The message, each pair whose value is empty without one: both mean null."""
    for known, value in message.ListFields():
        if known.message_type is not None:
            for inner in value if known.is_repeated else (value,):
                without_nulls(inner)
    if message.DESCRIPTOR.name == "KeyValue" and message.value.WhichOneof("value") is None:
        message.ClearField("value")
    return message


def is_protobuf(headers: dict[str, str]) -> bool:
    """Whether a request says that it is protobuf."""
    return headers.get("content-type", "").partition(";")[0].strip() == PROTOBUF


def answer(path: str, headers: dict[str, str], rejected: int = 0, message: str = "") -> Answer:
    """The answer to an export, in the encoding of the request."""
    signal = path.partition("?")[0].rpartition("/")[2]
    name = _REJECTED.get(signal, "rejected")
    if not is_protobuf(headers):
        partial = {"partialSuccess": {name: str(rejected), "errorMessage": message}} if rejected or message else {}
        return json_answer(200, partial)
    said = _ANSWERS[signal]()
    if rejected or message:
        said.partial_success.error_message = message
        setattr(said.partial_success, _snake(name), rejected)
    return Answer(200, said.SerializeToString(), {"Content-Type": PROTOBUF})


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _with_ids(value: Any, changed: Any) -> Any:
    """`value` with each id in it changed; what a function itself logged under such a name is a pair, and stays."""
    if isinstance(value, list):
        return [_with_ids(item, changed) for item in value]
    if isinstance(value, dict):
        return {
            name: changed(item) if name in _IDS and isinstance(item, str) else _with_ids(item, changed)
            for name, item in value.items()
        }
    return value


def _base64_of(digits: str) -> str:
    return base64.b64encode(bytes.fromhex(digits)).decode()


def _hex_of(text: str) -> str:
    return base64.b64decode(text).hex()
