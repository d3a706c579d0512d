// A function in Node.js that exports by OpenTelemetry's own SDK, and the runtime API's client that runs it.
// OTLP_EXPORTERS says which exporters: `proto` or `http`, which is JSON.
"use strict";

const { SpanKind, context, trace } = require("@opentelemetry/api");
const { BatchLogRecordProcessor, LoggerProvider } = require("@opentelemetry/sdk-logs");
const { MeterProvider, PeriodicExportingMetricReader } = require("@opentelemetry/sdk-metrics");
const { BatchSpanProcessor, NodeTracerProvider } = require("@opentelemetry/sdk-trace-node");

const kind = process.env.OTLP_EXPORTERS;
const { OTLPLogExporter } = require(`@opentelemetry/exporter-logs-otlp-${kind}`);
const { OTLPMetricExporter } = require(`@opentelemetry/exporter-metrics-otlp-${kind}`);
const { OTLPTraceExporter } = require(`@opentelemetry/exporter-trace-otlp-${kind}`);

// No exporter is told anything: all they know, they know from the environment.
const traces = new NodeTracerProvider({ spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())] });
const reader = new PeriodicExportingMetricReader({ exporter: new OTLPMetricExporter(), exportIntervalMillis: 3600000 });
const metrics = new MeterProvider({ readers: [reader] });
const logs = new LoggerProvider({ processors: [new BatchLogRecordProcessor({ exporter: new OTLPLogExporter() })] });

const counter = metrics.getMeter("app").createCounter("app.calls");
const runtime = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation`;

// OpenTelemetry's X-Ray propagator does this; it is a package of its own.
function caller(header) {
  if (!header?.includes("Root=1-")) return context.active(); // AWS's emulator names no trace unless it is given one
  const fields = Object.fromEntries(header.split(";").map((part) => part.split("=")));
  const traceId = fields.Root.slice(2).replace("-", "");
  const parent = { traceId, spanId: fields.Parent, traceFlags: Number(fields.Sampled), isRemote: true };
  return trace.setSpanContext(context.active(), parent);
}

async function handler(event, requestId, header) {
  const tracer = traces.getTracer("app");
  const attributes = { "faas.invocation_id": requestId };
  const root = tracer.startSpan(`${event.say} handler`, { kind: SpanKind.SERVER, attributes }, caller(header));
  const inside = trace.setSpan(context.active(), root);
  for (let number = 0; number < event.spans; number++) {
    const span = tracer.startSpan(`${event.say} ${number}`, { attributes: { number, ratio: 0.5, tags: ["a"] } }, inside);
    span.addEvent("begun");
    span.end();
  }
  root.end();
  counter.add(event.count);
  logs.getLogger("app").emit({ body: `${event.say} said`, severityNumber: 13, attributes: { nested: { a: [1, true] } } });
  const began = performance.now();
  await Promise.all([traces.forceFlush(), metrics.forceFlush(), logs.forceFlush()]);
  return { took_ms: performance.now() - began };
}

async function main() {
  for (;;) {
    const next = await fetch(`${runtime}/next`);
    const requestId = next.headers.get("lambda-runtime-aws-request-id");
    const answer = await handler(await next.json(), requestId, next.headers.get("lambda-runtime-trace-id"));
    await fetch(`${runtime}/${requestId}/response`, { method: "POST", body: JSON.stringify(answer) });
  }
}

main();
