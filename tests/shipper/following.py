"""A stream of events through the whole pipeline, up to the requests: what a backend would see of it.

Every request is read by OpenTelemetry's own protobuf definitions before anything is said about it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.json_format import MessageToDict, Parse  # type: ignore[import-untyped]

from lifecycle.contract.settings import Settings
from shipper.delivery.batch import BatchLimits, Position
from shipper.destinations.registry import create
from shipper.model.context import NOTHING, Context, packed, unpacked
from shipper.model.signals import selected_by
from shipper.pipeline import Pipeline
from shipper.rules.rule_set import Rules
from tests.sandbox.otlp import REQUESTS, from_json, from_protobuf, without_nulls
from tests.sandbox.received import attributes_of, value_of
from tests.shipper.support import Lines, Waits, backlog_of, settings_of

MANAGED = {"AWS_LAMBDA_INITIALIZATION_TYPE": "lambda-managed-instances"}


@dataclass
class Seen:
    """What a backend sees, in short.

    Attributes:
        logs: Log records as OTLP's JSON has them.
        spans: Likewise.
        metrics: Likewise, each with its one data point under `point`.
        events: Delivered, as the ledger counts them.
        dropped: By reason.
        context: After it all.
        said: What the shipper said, as event names.
        unredactable: Blanked, since they could not be redacted.
        waits: Whether the end was not cut yet.
    """

    logs: list[dict[str, Any]] = field(default_factory=list)
    spans: list[dict[str, Any]] = field(default_factory=list)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    events: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    context: Context = NOTHING
    said: list[str] = field(default_factory=list)
    unredactable: int = 0
    waits: bool = False
    position: Position = Position(0)  # noqa: RUF009 - it is frozen

    def bodies(self) -> list[Any]:
        """Bodies of the log records."""
        return [value_of(log["body"]) for log in self.logs]

    def servers(self) -> list[dict[str, Any]]:
        """Spans that are no part of another."""
        return [span for span in self.spans if span["kind"] == "SPAN_KIND_SERVER"]

    def metric(self, name: str) -> Any:
        """A counter's value, or a histogram's count and sum; None for a metric that is not there."""
        found = [metric for metric in self.metrics if metric["name"] == name]
        if not found:
            return None
        if "sum" in found[0]:
            return sum(int(point["asInt"]) for metric in found for point in metric["sum"]["dataPoints"])
        points = [point for metric in found for point in metric["histogram"]["dataPoints"]]
        return sum(int(point["count"]) for point in points), round(sum(point["sum"] for point in points), 6)


def attributes(record: dict[str, Any]) -> dict[str, Any]:
    """Attributes of a record or a span."""
    return attributes_of(record.get("attributes"))


def only(seen: Seen) -> dict[str, Any]:
    """The one span that is no part of another."""
    (span,) = seen.servers()
    return span


def followed(
    *frames: list[Any],
    context: Context = NOTHING,
    is_final: bool = False,
    ledger: dict[str, int] | None = None,
    batch_records: int = 2000,
    since: Position | None = None,
    more: dict[str, str] | None = None,
    **environ: str,
) -> Seen:
    """Ships frames of events as one shipment, in both encodings, which say the same.

    Args:
        frames: Batches as the platform delivers them.
        context: From before.
        is_final: Whether it is the last shipment.
        ledger: The supervisor's counts.
        batch_records: Most records in a request.
        since: Where to begin; the start.
        more: Settings.
        environ: Further ones.
    """
    environ = {
        "TAILRACE_DESTINATION": "otlp+http://localhost:1",
        "TAILRACE_COMPRESSION": "none",
        "AWS_LAMBDA_FUNCTION_NAME": "shop",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        **(more or {}),
        **environ,
    }
    start = since or Position(0, 0, context)

    def seen_in(protocol: str) -> tuple[Seen, dict[str, list[bytes]]]:
        settings = settings_of(OTEL_EXPORTER_OTLP_PROTOCOL=protocol, **environ)
        return _shipped(settings, frames, start, is_final=is_final, ledger=ledger, batch_records=batch_records)

    seen, in_json = seen_in("http/json")
    same, in_protobuf = seen_in("http/protobuf")
    assert (seen.events, seen.dropped, seen.said, seen.waits) == (same.events, same.dropped, same.said, same.waits)
    for signal in REQUESTS:
        assert _records(signal, in_json.get(signal, [])) == _records(signal, in_protobuf.get(signal, []))
    return seen


def _shipped(
    settings: Settings,
    frames: Sequence[list[Any]],
    start: Position,
    *,
    is_final: bool,
    ledger: dict[str, int] | None,
    batch_records: int,
) -> tuple[Seen, dict[str, list[bytes]]]:
    """One shipment in the encoding that the settings name: what is seen of it, and the requests by signal."""
    lines = Lines()
    has_rules = any(getattr(settings, name) for name in ("min_level", "keep", "drop", "redact")) or settings.sample < 1
    rules = Rules(settings, lines.log) if has_rules else None
    settings = settings if rules is None else rules.redacted_settings(settings)
    destination = create(settings, Waits(), lines.log)
    limits = BatchLimits(settings.batch_bytes, batch_records)
    pipeline = Pipeline(destination.encoder, limits, lines.log, selected_by(settings), destination.shapes, rules)
    pipeline.is_final, pipeline.ledger = is_final, ledger or {}
    backlog, end = backlog_of(*frames)
    pipeline.look_ahead(backlog.frames(start.through, end), start, is_pressed=False)
    seen = Seen(context=start.context, position=start)
    bodies: dict[str, list[bytes]] = {}
    for batch in pipeline.batches(backlog.frames(start.through, end), start):
        for signal, parcel in batch.parcels.items():
            body = destination.endpoints[signal].build(parcel.records).body
            bodies.setdefault(signal, []).append(body)
            if body.startswith(b"{"):
                _read(seen, signal, body)
        seen.unredactable += len(batch.unredactable)
        events, dropped = batch.tally(0, batch.rows)
        seen.events += events
        for reason, count in dropped.items():
            seen.dropped[reason] = seen.dropped.get(reason, 0) + count
        # As it travels with a report.
        seen.context = unpacked(packed(batch.end.context))
        seen.position = Position(batch.end.through, batch.end.skip, seen.context)
    seen.waits = pipeline.waits
    seen.said = lines.events("warning", "error")
    return seen, bodies


def _records(signal: str, bodies: list[bytes]) -> list[tuple[Any, Any, Any]]:
    """Records as OpenTelemetry's own definitions read them, each with its resource and scope, in order."""
    found = []
    for body in bodies:
        message = from_json(signal, body) if body.startswith(b"{") else from_protobuf(signal, body)
        without_nulls(message)
        for resource in next(iter(message.ListFields()))[1]:
            _, (_, scopes) = resource.ListFields()
            for scope in scopes:
                _, (_, records) = scope.ListFields()
                found += [(resource.resource, scope.scope, record) for record in records]
    return found


def _read(seen: Seen, signal: str, body: bytes) -> None:
    """Reads a request by the official definitions, which refuse what they do not know."""
    message = Parse(body, REQUESTS[signal]())
    assert json.loads(body)
    resources = MessageToDict(message)
    if signal == "logs":
        for resource in json.loads(body)["resourceLogs"]:
            for scope in resource["scopeLogs"]:
                name = scope["scope"]["name"]
                seen.logs += [{**({} if name == "tailrace" else {"scope": name}), **r} for r in scope["logRecords"]]
    elif signal == "traces":
        parsed = resources["resourceSpans"][0]["scopeSpans"][0]["spans"]
        raw = json.loads(body)["resourceSpans"][0]["scopeSpans"][0]["spans"]
        # Protobuf takes ids for bytes, which JSON writes otherwise than OTLP does.
        ids = ("traceId", "spanId", "parentSpanId", "links")
        seen.spans += [
            {**span, **{name: text[name] for name in ids if name in text}}
            for span, text in zip(parsed, raw, strict=True)
        ]
    else:
        seen.metrics += resources["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
