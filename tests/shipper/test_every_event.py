"""The golden table, event by event: what each adds to those before it."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from shipper.model.context import NOTHING
from shipper.model.platform_records import KINDS, ChildSpan, Metrics, Part, Tracing
from tests.sandbox.received import attributes_of, value_of
from tests.shipper.following import Seen, followed
from tests.shipper.golden import STORIES, Step
from tests.shipper.story import BEGIN_NS, at


def ms(nanoseconds: str) -> float:
    return round((int(nanoseconds) - BEGIN_NS) / 1_000_000, 6)


def ids(record: dict[str, Any]) -> str:
    return f"{record.get('traceId', '')} {record.get('spanId', '')}".strip()


def shown(seen: Seen) -> dict[str, Any]:
    """What a backend gets, in short."""
    found: dict[str, Any] = {}
    for log in seen.logs:
        found["log"] = {
            "at": ms(log["timeUnixNano"]),
            "severity": f"{log.get('severityText', '')} {log.get('severityNumber', '')}".strip(),
            "scope": log.get("scope", ""),
            "body": value_of(log["body"]),
            "attributes": attributes_of(log["attributes"]),
            "within": ids(log),
        }
        del found["log"]["attributes"]["log.record.uid"]
        found["log"] = {name: value for name, value in found["log"].items() if value not in ("", {})}
    parts = [span for span in seen.spans if span["kind"] == "SPAN_KIND_INTERNAL"]
    for span in seen.servers():
        found["span"] = {
            "name": span["name"],
            "is": ids(span),
            "parent": span.get("parentSpanId", ""),
            "link": " ".join(ids(link) for link in span.get("links", [])),
            "from, to": (ms(span["startTimeUnixNano"]), ms(span["endTimeUnixNano"])),
            "status": span.get("status", {}).get("code", "").removeprefix("STATUS_CODE_"),
            "attributes": attributes_of(span["attributes"]),
            "parts": {one["name"]: (ms(one["startTimeUnixNano"]), ms(one["endTimeUnixNano"])) for one in parts},
        }
        assert found["span"]["attributes"].pop("faas.trigger") == "other"
        found["span"] = {name: value for name, value in found["span"].items() if value not in ("", {})}
    if seen.metrics:
        found["metrics"] = {f"{one['name']} {one['unit']}": seen.metric(one["name"]) for one in seen.metrics}
    return found


@pytest.mark.parametrize("story", STORIES.values(), ids=list(STORIES))
def test_what_each_event_becomes(story: list[Step]) -> None:
    """One event at a time; what it adds to those before it."""
    context = NOTHING
    for time_ms, kind, record, expected in story:
        event = {"time": at(time_ms), "type": kind, "record": record}
        seen = followed([event], context=context, TAILRACE_FLUSH_INTERVAL_MS="100")
        assert shown(seen) == expected, kind
        context = seen.context


def test_no_kind_of_event_is_left_out() -> None:
    told = {kind for story in STORIES.values() for _, kind, _, _ in story}
    assert set(KINDS) | {"function", "extension", "platform.fault"} <= told


@pytest.mark.parametrize("part", [*dict.fromkeys(KINDS.values()), Tracing, ChildSpan, Metrics])
def test_every_member_is_documented(part: type[Part]) -> None:
    """And every kind of event."""
    told = (Path(__file__).parents[2] / "docs" / "telemetry.md").read_text()
    table = told[told.index("## Field by field") : told.index("## Rules")]
    names = {field.encode_name for field in msgspec.structs.fields(part)} - {""}
    assert [name for name in (*names, *KINDS) if f"`{name}`" not in table] == []
