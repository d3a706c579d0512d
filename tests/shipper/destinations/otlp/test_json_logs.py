"""Events as OTLP log records, side by side."""

import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.destinations.otlp import json_values as anyvalue
from shipper.destinations.otlp.json_logs import LogRecords
from shipper.destinations.otlp.values import MOST_DEPTH
from shipper.destinations.registry import create
from shipper.model import resource
from shipper.model.context import NOTHING, Context, Past
from tests.shipper.model.test_events import JSON, RECORDED
from tests.shipper.support import (
    OBSERVED_NS,
    REQUEST_ID,
    TIME,
    TIME_NS,
    Waits,
    encoded,
    event,
    frame,
    frame_of,
    settings_of,
)
from tests.shipper.support import Lines as LogLines

UID = {"key": "log.record.uid", "value": {"stringValue": "00112233445566ff-0"}}
INVOCATION = {"key": "faas.invocation_id", "value": {"stringValue": REQUEST_ID}}
RUNNING = Context(request_id=REQUEST_ID)


def text(value: str) -> dict[str, str]:
    return {"stringValue": value}


def kind(name: str) -> dict[str, Any]:
    return {"key": "aws.lambda.event.type", "value": text(name)}


def mapped(*sent: object, context: Context = NOTHING) -> list[dict[str, Any]]:
    return [json.loads(record) for record in encoded(LogRecords(), frame(*sent), context)]


INFO = {"severityNumber": 9, "severityText": "INFO"}
ERROR = {"severityNumber": 17, "severityText": "ERROR"}
PYTHON = f"[INFO]\t{TIME}\t{REQUEST_ID}\thello\n"
NODE = f"{TIME}\t{REQUEST_ID}\tERROR\thello\n"
NODE_INIT = f"{TIME}\tundefined\tINFO\tloading\n"


# What a line is, what is running, and what the record says beside its times.
@pytest.mark.parametrize(
    ("sent", "context", "record"),
    [
        pytest.param(
            event("hello\n"),
            NOTHING,
            {"body": text("hello"), "attributes": [UID]},
            id="a line during init: no request, one newline less",
        ),
        pytest.param(
            event("hello\n\n"),
            RUNNING,
            {"body": text("hello\n"), "attributes": [INVOCATION, UID]},
            id="a line during an invocation",
        ),
        pytest.param(
            event(PYTHON),
            NOTHING,
            {**INFO, "body": text(PYTHON[:-1]), "attributes": [INVOCATION, UID]},
            id="Python's format: level and request id from the line",
        ),
        pytest.param(
            event(NODE),
            Context(request_id="another", recent=(Past(REQUEST_ID),)),
            {**ERROR, "body": text(NODE[:-1]), "attributes": [INVOCATION, UID]},
            id="Node.js's format: the line's own request id wins",
        ),
        pytest.param(
            event(NODE_INIT),
            NOTHING,
            {**INFO, "body": text(NODE_INIT[:-1]), "attributes": [UID]},
            id="Node.js during init: the request id is `undefined`",
        ),
        pytest.param(
            event("[ERROR] KeyError: 'x'\n"),
            RUNNING,
            {**ERROR, "body": text("[ERROR] KeyError: 'x'"), "attributes": [INVOCATION, UID]},
            id="an uncaught exception in Python",
        ),
        pytest.param(
            event("[WHATEVER] it is\n"),
            NOTHING,
            {"body": text("[WHATEVER] it is"), "attributes": [UID]},
            id="brackets that hold no level",
        ),
        pytest.param(
            event("another extension's\n", "extension"),
            RUNNING,
            {"body": text("another extension's"), "attributes": [kind("extension"), INVOCATION, UID]},
            id="another extension's line",
        ),
        pytest.param(
            event("RequestId: … exited\n", "platform.fault"),
            NOTHING,
            {"body": text("RequestId: … exited"), "attributes": [kind("platform.fault"), UID]},
            id="a platform event that is text",
        ),
        pytest.param(
            event([1, 2], "platform.unheardOf"),
            NOTHING,
            {"body": text("[1, 2]"), "attributes": [kind("platform.unheardOf"), UID]},
            id="an unknown type of an unknown shape",
        ),
        pytest.param(
            {**event("hello\n"), "tenant": 7},
            NOTHING,
            {
                "body": text("hello"),
                "attributes": [{"key": "aws.lambda.event.tenant", "value": {"intValue": "7"}}, UID],
            },
            id="a member nobody knows beside the line",
        ),
    ],
)
def test_an_event_becomes_one_record(sent: object, context: Context, record: dict[str, Any]) -> None:
    """The mapping, case by case."""
    times = {"observedTimeUnixNano": str(OBSERVED_NS), "timeUnixNano": str(TIME_NS)}
    assert mapped(sent, context=context) == [{**times, **record}]


@pytest.mark.parametrize("odd", [5, "x", None, [1], {"type": "function", "record": "x"}, {"time": TIME}])
def test_what_is_no_event_is_shipped_as_it_came(odd: object) -> None:
    (record,) = mapped(odd)
    assert json.loads(record["body"]["stringValue"]) == odd


def test_a_time_that_is_none_is_kept_as_an_attribute() -> None:
    (record,) = mapped(event({"a": 1}, time="yesterday"))
    assert "timeUnixNano" not in record
    assert {"key": "aws.lambda.event.time", "value": text("yesterday")} in record["attributes"]


def test_a_text_line_without_a_proper_time_keeps_what_there_was() -> None:
    (record,) = mapped(event("a\n", time="yesterday"))
    assert "timeUnixNano" not in record
    assert {"key": "aws.lambda.event.time", "value": text("yesterday")} in record["attributes"]


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        ("\n", ""),
        ("\\n", "\\n"),
        ("a\\n", "a\\n"),
        ("a\\\n", "a\\"),
        ("a\\\\n", "a\\\\n"),
        ("a\\\\\n", "a\\\\"),
        ("n", "n"),
    ],
)
def test_a_backslash_and_an_n_are_no_newline(sent: str, body: str) -> None:
    """However many backslashes stand before it."""
    assert mapped(event(sent))[0]["body"] == text(body)
    assert mapped({**event(sent), "x": 1})[0]["body"] == text(body)


def test_ids_count_the_events_of_a_frame() -> None:
    """The same batch sent again has the same ids."""
    ids = [record["attributes"][-1]["value"]["stringValue"] for record in mapped(event("a"), 5, event("b"))]
    assert ids == ["00112233445566ff-0", "00112233445566ff-1", "00112233445566ff-2"]


def plain(value: dict[str, Any]) -> Any:
    """What an AnyValue stands for."""
    if not value:
        return None
    ((name, inner),) = value.items()
    if name == "kvlistValue":
        return {pair["key"]: plain(pair["value"]) for pair in inner["values"]}
    if name == "arrayValue":
        return [plain(item) for item in inner["values"]]
    return int(inner) if name == "intValue" else inner


def survives(sent: Any, found: Any) -> bool:
    if isinstance(sent, dict):
        return sent.keys() == found.keys() and all(survives(sent[key], found[key]) for key in sent)
    if isinstance(sent, list):
        return len(sent) == len(found) and all(map(survives, sent, found))
    if isinstance(sent, int) and isinstance(found, str):
        return str(sent) == found and abs(sent) >= 2**63
    return bool(sent == found and type(sent) is type(found))


@given(JSON, st.sampled_from(["function", "extension", "platform.x", "other"]), st.text())
def test_whatever_the_record_the_output_is_json_and_the_body_survives(sent: object, name: str, time: str) -> None:
    """No input makes us emit what is not JSON, and nothing of it is lost."""
    (record,) = mapped(event(sent, name, time))
    body = record["body"]
    if isinstance(sent, str):
        assert body == text(sent.removesuffix("\n"))
    elif isinstance(sent, dict) and not name.startswith("platform."):
        assert survives(sent, plain(body))
    else:
        assert json.loads(body["stringValue"]) == sent


@given(st.binary(max_size=40))
def test_whatever_the_bytes_the_output_is_json(junk: bytes) -> None:
    """Bytes that are not UTF-8 and frames that are not JSON included."""
    for payload in (junk, b'[{"time":"t","type":"function","record":"%b"},{"a":"%b"}]' % (junk, junk)):
        for record in encoded(LogRecords(), frame_of(payload, 2)):
            json.loads(record.decode())


def test_what_nests_too_deep_for_protobuf_stays_text() -> None:
    value: object = "deep"
    for _ in range(50):
        value = {"in": value}
    found = json.loads(anyvalue.any_value(json.dumps(value).encode()))
    for _ in range(MOST_DEPTH):
        found = found["kvlistValue"]["values"][0]["value"]
    assert json.loads(found["stringValue"])["in"]


@pytest.mark.parametrize("number", ["1e999", "-1e999"])
def test_a_number_beyond_all_doubles_stays_digits(number: str) -> None:
    assert json.loads(anyvalue.any_value(number.encode())) == text(number)


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name)
def test_every_recorded_event_becomes_a_record(path: Path) -> None:
    """Real captures, read in place."""
    sent = json.loads(path.read_bytes())
    records = mapped(*sent)
    assert len(records) == len(sent)
    assert all("timeUnixNano" in record for record in records)


def test_a_request_is_an_export_request_of_one_resource() -> None:
    settings = settings_of(
        TAILRACE_DESTINATION="otlp",
        OTEL_EXPORTER_OTLP_PROTOCOL="http/json",
        AWS_LAMBDA_FUNCTION_NAME="hello",
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE="128",
        AWS_REGION="eu-north-1",
    )
    destination = create(settings, Waits(), LogLines().log)
    request = json.loads(gzip.decompress(destination.endpoints["logs"].build([b'{"a":1}'] * 70).body))
    ((resource_logs,),) = request.values()
    attributes = {pair["key"]: pair["value"] for pair in resource_logs["resource"]["attributes"]}
    assert attributes["service.name"] == text("hello")
    assert attributes["faas.max_memory"] == {"intValue": "134217728"}
    (scope_logs,) = resource_logs["scopeLogs"]
    assert scope_logs == {"scope": {"name": "tailrace", "version": resource.VERSION}, "logRecords": [{"a": 1}] * 70}


@pytest.mark.parametrize("records", [5, 500])
def test_a_small_body_takes_little_memory_to_compress(records: int) -> None:
    """The usual 256 KB would be had from the kernel, and given back, for every request."""
    settings = settings_of(TAILRACE_DESTINATION="otlp", OTEL_EXPORTER_OTLP_PROTOCOL="http/json")
    destination = create(settings, Waits(), LogLines().log)
    sent = [b'{"a":"%d","b":"%b"}' % (number, b"x" * 300) for number in range(records)]
    tracemalloc.start()
    body = destination.endpoints["logs"].build(sent).body
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    ((resource_logs,),) = json.loads(gzip.decompress(body)).values()
    assert resource_logs["scopeLogs"][0]["logRecords"] == [json.loads(record) for record in sent]
    assert (peak_bytes < 128_000) == (records == 5)
