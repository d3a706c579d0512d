"""The shop's own spans, by OpenTelemetry's SDK: it knows nothing of Tailrace but what the wrapper says of where to."""

import os
import time
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagators.aws import AwsXRayPropagator
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
tracer = provider.get_tracer("checkout")

# A quick service and a slow one.
STOCK_S, BANK_S = 0.002, 0.01


def check_out(order: int, context: Any) -> None:
    """Does what a checkout does, each step a span of its own, in the trace that the platform began."""
    caller = AwsXRayPropagator().extract({"X-Amzn-Trace-Id": os.environ.get("_X_AMZN_TRACE_ID", "")})
    attributes = {"faas.invocation_id": context.aws_request_id, "order": order}
    with tracer.start_as_current_span("check out", caller, SpanKind.SERVER, attributes):
        with tracer.start_as_current_span("GET /stock/A-7", kind=SpanKind.CLIENT):
            time.sleep(STOCK_S)
        with tracer.start_as_current_span("charge the card"), tracer.start_as_current_span("POST /charges") as charge:
            charge.set_attribute("card.last4", "4242")
            time.sleep(BANK_S)
    # Before the function returns: what is in the SDK when the environment is frozen waits for the next invocation.
    provider.force_flush()
