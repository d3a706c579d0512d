"""What destinations that take JSON objects make of records, whatever is in these."""

import gzip
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.contract.schemes import SCHEMES
from shipper.destinations.fields import FieldNames, Fields
from shipper.destinations.span_records import record_of
from shipper.model.log_record import ExceptionInfo, LogRecord
from shipper.model.span import Span
from tests.shipper.destinations.stub import SPAN, made, record
from tests.shipper.model.test_events import JSON
from tests.shipper.support import REQUEST_ID

# Those that take spans as records; what some want to be told.
OF_RECORDS = [
    name for name, scheme in SCHEMES.items() if scheme.signals == ("logs", "traces") and name.endswith("https")
]
KEYS = {"TAILRACE_HEADERS": ",".join(f"{key}=k" for scheme in SCHEMES.values() for key in scheme.keys)}
DESTINATIONS = {
    name: made(f"{name}://h/a/b", **KEYS, TAILRACE_SIGNALS="logs,traces", AWS_LAMBDA_FUNCTION_NAME="hello")
    for name in OF_RECORDS
}


@settings(max_examples=40)
@given(JSON, st.dictionaries(st.text(max_size=20), JSON, max_size=4), st.integers(0, 2**62))
def test_whatever_the_record_it_is_json_and_its_ids_are_in_it(body: Any, members: dict[str, Any], time_ns: int) -> None:
    """Wherever it goes, and however it was written: one name is there once, and no line is broken."""
    attributes = tuple((name, json.dumps(value, indent=1).encode()) for name, value in members.items())
    one = record(
        7,
        body=json.dumps(body, indent=1).encode(),
        origin={"request_id": REQUEST_ID, "trace_id": SPAN.trace_id, "span_id": SPAN.span_id},
        attributes=attributes,
        exception=ExceptionInfo("T", "m", "s"),
        severity_text="WARN",
        scope="x",
    )
    one.time_ns = time_ns
    for name, destination in DESTINATIONS.items():
        item = destination.encoder.log(one)
        text = gzip.decompress(destination.endpoints["logs"].build([item, item]).body)
        assert item.strip() in text
        assert b"\n" not in item.rstrip(b"\n").replace(b"}}\n{", b""), name
        for line in item.splitlines():
            json.loads(line, object_pairs_hook=_once)
        for known in (REQUEST_ID, SPAN.trace_id, SPAN.span_id, "uid-7"):
            assert known.encode() in item, (name, known)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs), pairs
    return dict(pairs)


@pytest.mark.parametrize("scheme", OF_RECORDS)
def test_span_is_a_record_wherever_spans_are_asked_for(scheme: str) -> None:
    """The same one each time it is made; its parts are in it, and what went wrong."""
    destination = DESTINATIONS[scheme]
    assert set(destination.endpoints) == {"logs", "traces"}
    assert destination.shapes is not None
    item = destination.shapes.span(SPAN)
    assert item == destination.shapes.span(SPAN)
    assert b"responseLatency" in item
    assert b"5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174-0" in item


def test_span_that_failed_says_so() -> None:
    """As an error, with its words."""
    failed = Span(name="f", trace_id="ab", span_id="cd", start_ns=1, end_ns=2_000_001, error="timeout", message="late")
    found: LogRecord = record_of(failed)
    assert (found.severity_text, found.time_ns, found.origin.event_type) == ("ERROR", 1, "span")
    assert dict(found.attributes) == {"duration_ms": b"2.0", "error.type": b'"timeout"', "error.message": b'"late"'}


def test_names_that_are_taken_get_another_one() -> None:
    """Also where that is taken as well; nothing else does."""
    fields = Fields(FieldNames(), ("message",))
    names = ("message", "log.message", "level", "other")
    pairs = fields.of_line(record(attributes=tuple((name, b"1") for name in names)))
    assert [name for name, _ in pairs] == ["log.log.message", "log.message", "log.level", "other"]


def test_each_origin_has_its_own_ids() -> None:
    """However many there are."""
    fields = Fields(FieldNames())
    for number in range(600):
        assert ("trace_id", b'"%d"' % number) in fields(record(origin={"trace_id": str(number)}))
