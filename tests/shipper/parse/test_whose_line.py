"""Whose line it is: the invocation, trace and span of a line, whatever it names and wherever."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.destinations.lines import Lines
from shipper.model.context import Context, Invocation, Past
from shipper.model.events import Event, events
from shipper.model.log_record import LogRecord, Origin
from shipper.parse.log_parser import LogParser
from tests.shipper.following import MANAGED, attributes, followed
from tests.shipper.support import REQUEST_ID, TIME, event, frame, settings_of, start

OTHER_ID = "0c5b2a7e-9d1f-4a3b-8c6d-1e2f3a4b5c6d"
FOREIGN_ID = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"
TRACE_ID, SPAN_ID = "6352a70e1e2c502e358361800241fd45", "35465b3a9e2f7c6a"
OTHER_TRACE_ID, OTHER_SPAN_ID = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"

# One invocation at a time; the one before it has been reported.
CLASSIC = Context(
    request_id=REQUEST_ID,
    trace_id=TRACE_ID,
    span_id=SPAN_ID,
    flags=1,
    open=(Invocation(request_id=REQUEST_ID, trace_id=TRACE_ID, span_id=SPAN_ID, sampled=True),),
    recent=(Past(OTHER_ID, OTHER_TRACE_ID, OTHER_SPAN_ID),),
)
# Managed Instances: two at a time, and the stream does not say which one writes.
INTERLEAVED = Context(
    open=(
        Invocation(request_id=REQUEST_ID, trace_id=TRACE_ID, span_id=SPAN_ID, sampled=True),
        Invocation(request_id=OTHER_ID, trace_id=OTHER_TRACE_ID, span_id=OTHER_SPAN_ID, sampled=False),
    ),
)

# Names that nobody gives another id.
SURE = [
    *("function_request_id", "functionRequestId", "FunctionRequestId", "AWSRequestId", "AwsRequestId", "awsRequestId"),
    *("aws_request_id", "lambdaRequestId", "lambda_request_id", "LambdaRequestId"),
    *("faas.invocation_id", "faas.execution"),
]
# Names that many ids have.
UNSURE = ["requestId", "request_id", "RequestId", "requestID", "invocationId"]

# Where loggers put what they were told for every line.
NESTED: dict[str, Any] = {
    "Rust, tracing": {"span": {"name": "Lambda runtime invoke", "requestId": "ID"}, "fields": {"message": "x"}},
    "Rust, tracing, in a span of one's own": {
        "span": {"name": "mine"},
        "spans": [{"name": "Lambda runtime invoke", "requestId": "ID"}, {"name": "mine"}],
    },
    "Log4j, JsonLayout": {"loggerName": "a.B", "message": "x", "contextMap": {"AWSRequestId": "ID"}},
    "Log4j, JsonLayout, properties as a list": {"contextMap": [{"key": "AWSRequestId", "value": "ID"}]},
    "Logback, JsonLayout": {"logger": "a.B", "message": "x", "mdc": {"AWSRequestId": "ID"}},
    "Monolog": {"message": "x", "channel": "app", "context": {}, "extra": {"aws_request_id": "ID"}},
    "Monolog, in the context": {"message": "x", "context": {"requestId": "ID"}},
    "loguru, serialized": {"text": "x", "record": {"message": "x", "extra": {"aws_request_id": "ID"}}},
    "Serilog, JsonFormatter": {"MessageTemplate": "x", "Properties": {"AwsRequestId": "ID"}},
    ".NET, JSON console": {"Message": "x", "Scopes": [{"Message": "scope", "AwsRequestId": "ID"}]},
    "Elastic Common Schema": {"message": "x", "faas": {"execution": "ID"}},
    "Elastic Common Schema, labels": {"message": "x", "labels": {"aws_request_id": "ID"}},
    "by hand": {"msg": "x", "lambda": {"requestId": "ID"}},
}


def record_of(sent: object, context: Context) -> LogRecord:
    found = frame(event(sent))
    parser = LogParser()
    parser.begin(found)
    (one,) = events(found)
    return parser.record(one, 0, context)


def put(value: Any, request_id: str) -> Any:
    """The same, the id in its place."""
    return json.loads(json.dumps(value).replace('"ID"', json.dumps(request_id)))


@pytest.mark.parametrize("name", [*SURE, *UNSURE])
@pytest.mark.parametrize("context", [CLASSIC, INTERLEAVED], ids=["one at a time", "interleaved"])
@pytest.mark.parametrize("is_text", [False, True], ids=["object", "text"])
def test_an_id_of_an_invocation_that_is_known_is_believed(name: str, context: Context, *, is_text: bool) -> None:
    """Under every name, in either case of letters; also of one that was reported a short while ago."""
    for request_id, trace_id in ((REQUEST_ID, TRACE_ID), (OTHER_ID, OTHER_TRACE_ID)):
        for written in (request_id, request_id.upper()):
            sent = {"message": "x", name: written}
            record = record_of(json.dumps(sent) if is_text else sent, context)
            assert (record.origin.request_id, record.origin.trace_id) == (request_id, trace_id)
            assert record.attributes == ()


@pytest.mark.parametrize("name", [*SURE, *UNSURE])
@pytest.mark.parametrize("written", [FOREIGN_ID, "8XQZ0EXAMPLE", "JKJaXmPLvHcESHA=", "req_123", "", 7, None, {"a": 1}])
def test_somebody_elses_id_stays_a_member_of_a_line_of_the_running_invocation(name: str, written: object) -> None:
    """And the line keeps that invocation's trace and span."""
    record = record_of({"message": "x", name: written}, CLASSIC)
    origin = record.origin
    assert (origin.request_id, origin.trace_id, origin.span_id, origin.flags) == (REQUEST_ID, TRACE_ID, SPAN_ID, 1)
    assert record.attributes == ((name, json.dumps(written).encode()),)


@pytest.mark.parametrize("name", [*SURE, *UNSURE])
def test_where_nothing_runs_a_request_id_is_believed_under_a_name_of_its_own_alone(name: str) -> None:
    """It may be that of an invocation whose start is still to come; `request_id` may be anybody's."""
    record = record_of({"message": "x", name: FOREIGN_ID}, INTERLEAVED)
    assert record.origin.request_id == (FOREIGN_ID if name in SURE else "")
    assert [key for key, _ in record.attributes] == ([] if name in SURE else [name])
    record = record_of({"message": "x", name: "order-7"}, INTERLEAVED)
    assert (record.origin.request_id, record.attributes) == ("", ((name, b'"order-7"'),))


@pytest.mark.parametrize("sure", SURE)
@pytest.mark.parametrize("unsure", UNSURE)
def test_a_name_that_means_the_invocation_wins_over_one_that_may_mean_any_request(sure: str, unsure: str) -> None:
    for sent in ({unsure: OTHER_ID, sure: REQUEST_ID}, {sure: REQUEST_ID, unsure: OTHER_ID}):
        record = record_of({"message": "x", **sent}, INTERLEAVED)
        assert record.origin.request_id == REQUEST_ID
        assert record.attributes == ((unsure, json.dumps(OTHER_ID).encode()),)


@pytest.mark.parametrize("sent", NESTED.values(), ids=NESTED)
def test_an_id_is_found_where_the_common_loggers_put_it(sent: dict[str, Any]) -> None:
    """Where it is somebody else's, nothing is taken out."""
    for request_id in (REQUEST_ID, OTHER_ID):
        assert record_of(put(sent, request_id), INTERLEAVED).origin.request_id == request_id
        assert record_of(json.dumps(put(sent, request_id)), CLASSIC).origin.request_id == request_id
    record = record_of(put(sent, "order-7"), CLASSIC)
    assert record.origin.request_id == REQUEST_ID
    assert "order-7" in str(record.attributes) + str(record.body)


def test_what_is_taken_out_of_an_object_leaves_the_rest_of_it() -> None:
    record = record_of({"message": "x", "mdc": {"AWSRequestId": OTHER_ID, "tenant": "a"}}, CLASSIC)
    assert record.attributes == (("mdc", b'{"tenant":"a"}'),)
    assert record_of({"message": "x", "mdc": {"AWSRequestId": OTHER_ID}}, CLASSIC).attributes == ()


@pytest.mark.parametrize(
    "line",
    [
        "[INFO]\t{time}\t{id}\thello\n",
        "{time}\t{id}\tINFO\thello\n",
        "2024-05-20 16:29:44 {id} INFO  Handler:25 - hello\n",
        "I, [2024-05-20T16:29:44.123456 #8]  INFO -- {id}: hello\n",
        'time={time} level=INFO msg="no" requestId={id}\n',
    ],
    ids=["Python", "Node.js", "Java", "Ruby", "Go"],
)
def test_an_id_in_text_is_believed_like_one_in_json(line: str) -> None:
    for request_id, whose in (
        (OTHER_ID, OTHER_ID),
        (OTHER_ID.upper(), OTHER_ID),
        (REQUEST_ID, REQUEST_ID),
        (FOREIGN_ID, REQUEST_ID),
    ):
        assert record_of(line.format(time=TIME, id=request_id), CLASSIC).origin.request_id == whose
    assert record_of(line.format(time=TIME, id=FOREIGN_ID), Context()).origin.request_id == FOREIGN_ID


# Members that say something of a trace: trace id, span id, flags, names of members that stay. "" stands for what is the
# invocation's.
TRACES: dict[str, tuple[dict[str, Any], str, str, int | None, set[str]]] = {
    "another trace, sampled": (
        {"trace_id": OTHER_TRACE_ID, "span_id": OTHER_SPAN_ID, "trace_flags": "01"},
        *(OTHER_TRACE_ID, OTHER_SPAN_ID, 1, set()),
    ),
    "another trace, not sampled": (
        {"trace_id": OTHER_TRACE_ID, "span_id": OTHER_SPAN_ID, "trace_flags": "00"},
        *(OTHER_TRACE_ID, OTHER_SPAN_ID, 0, set()),
    ),
    "another trace, which says nothing of sampling": ({"traceId": OTHER_TRACE_ID}, OTHER_TRACE_ID, "-", None, set()),
    "flags as a number": ({"trace_id": OTHER_TRACE_ID, "traceFlags": 1}, OTHER_TRACE_ID, "-", 1, set()),
    "Serilog, compact": ({"@tr": OTHER_TRACE_ID, "@sp": OTHER_SPAN_ID}, OTHER_TRACE_ID, OTHER_SPAN_ID, None, set()),
    "the invocation's trace": ({"trace_id": TRACE_ID, "span_id": OTHER_SPAN_ID}, TRACE_ID, OTHER_SPAN_ID, 1, set()),
    "the invocation's trace, its flags told": (
        {"trace_id": TRACE_ID, "trace_flags": "00"},
        *(TRACE_ID, SPAN_ID, 0, set()),
    ),
    "OpenTelemetry for Python": (
        {"otelTraceID": OTHER_TRACE_ID, "otelSpanID": OTHER_SPAN_ID, "otelTraceSampled": True, "otelServiceName": "x"},
        *(OTHER_TRACE_ID, OTHER_SPAN_ID, 1, {"otelServiceName"}),
    ),
    "OpenTelemetry for Python, without a span": (
        {"otelTraceID": "0", "otelSpanID": "0", "otelTraceSampled": False},
        *(TRACE_ID, SPAN_ID, 1, {"otelTraceID", "otelSpanID", "otelTraceSampled"}),
    ),
    "traceparent": (
        {"traceparent": f"00-{OTHER_TRACE_ID}-{OTHER_SPAN_ID}-00"},
        *(OTHER_TRACE_ID, OTHER_SPAN_ID, 0, set()),
    ),
    "traceparent of the invocation's trace": (
        {"traceparent": f"00-{TRACE_ID}-{OTHER_SPAN_ID}-01"},
        *(TRACE_ID, OTHER_SPAN_ID, 1, set()),
    ),
    "no traceparent": ({"traceparent": f"00-{OTHER_TRACE_ID}-00"}, TRACE_ID, SPAN_ID, 1, {"traceparent"}),
    "Elastic Common Schema": (
        {"trace.id": OTHER_TRACE_ID, "span.id": OTHER_SPAN_ID, "transaction.id": SPAN_ID},
        *(OTHER_TRACE_ID, OTHER_SPAN_ID, None, {"transaction.id"}),
    ),
    "Elastic Common Schema, a transaction alone": (
        {"trace.id": OTHER_TRACE_ID, "transaction.id": OTHER_SPAN_ID},
        *(OTHER_TRACE_ID, OTHER_SPAN_ID, None, set()),
    ),
    "Elastic Common Schema, nested": (
        {"span": {"id": OTHER_SPAN_ID}, "trace": {"id": OTHER_TRACE_ID}},
        *(OTHER_TRACE_ID, OTHER_SPAN_ID, None, set()),
    ),
    "Log4j, with OpenTelemetry's agent": (
        {"contextMap": {"trace_id": OTHER_TRACE_ID, "span_id": OTHER_SPAN_ID, "trace_flags": "01"}},
        *(OTHER_TRACE_ID, OTHER_SPAN_ID, 1, set()),
    ),
    "X-Ray's id": ({"xray_trace_id": f"1-{TRACE_ID[:8]}-{TRACE_ID[8:]}"}, TRACE_ID, SPAN_ID, 1, set()),
    "X-Ray's header, not sampled": (
        {"traceId": f"Root=1-{OTHER_TRACE_ID[:8]}-{OTHER_TRACE_ID[8:]};Parent={OTHER_SPAN_ID};Sampled=0;Lineage=1:a:0"},
        *(OTHER_TRACE_ID, OTHER_SPAN_ID, 0, set()),
    ),
    "X-Ray's header of the invocation's trace": (
        {"XRayTraceId": f"Root=1-{TRACE_ID[:8]}-{TRACE_ID[8:]}; Parent={OTHER_SPAN_ID}"},
        *(TRACE_ID, SPAN_ID, 1, set()),
    ),
    "X-Ray's header, Self first": (
        {"xray_trace_id": f"Self=1-67891234-12456789abcdef012345678;Root=1-{OTHER_TRACE_ID[:8]}-{OTHER_TRACE_ID[8:]}"},
        *(OTHER_TRACE_ID, "-", None, set()),
    ),
    "X-Ray's SDK for Java": (
        {"AWS-XRAY-TRACE-ID": f"1-{OTHER_TRACE_ID[:8]}-{OTHER_TRACE_ID[8:]}@{OTHER_SPAN_ID}"},
        *(OTHER_TRACE_ID, OTHER_SPAN_ID, None, set()),
    ),
    "Datadog": (
        {"dd": {"trace_id": "1234567890123456789", "span_id": "987654321"}},
        *(TRACE_ID, SPAN_ID, 1, {"dd"}),
    ),
    "Datadog, flat": ({"dd.trace_id": "1234567890123456"}, TRACE_ID, SPAN_ID, 1, {"dd.trace_id"}),
    "decimal ids of as many digits": (
        {"trace_id": "7234567890123456789", "span_id": "1234567890123456"},
        *(TRACE_ID, SPAN_ID, 1, {"trace_id", "span_id"}),
    ),
    "a decimal span": ({"span_id": "1234567890123456"}, TRACE_ID, SPAN_ID, 1, {"span_id"}),
    "zeros": (
        {"trace_id": "0" * 32, "span_id": "0" * 16, "trace_flags": "00"},
        *(TRACE_ID, SPAN_ID, 1, {"trace_id", "span_id", "trace_flags"}),
    ),
    "a UUID of somebody's own": ({"trace_id": FOREIGN_ID}, TRACE_ID, SPAN_ID, 1, {"trace_id"}),
    "a span alone": ({"span_id": OTHER_SPAN_ID}, TRACE_ID, OTHER_SPAN_ID, 1, set()),
    "flags alone": ({"trace_flags": "00"}, TRACE_ID, SPAN_ID, 1, {"trace_flags"}),
}


@pytest.mark.parametrize(("sent", "trace_id", "span_id", "flags", "left"), TRACES.values(), ids=TRACES)
def test_what_a_line_says_of_its_trace(
    sent: dict[str, Any], trace_id: str, span_id: str, flags: int | None, left: set[str]
) -> None:
    """It is used, with that trace's flags; what is none stays a member, and the invocation's trace is meant."""
    for record in (record_of({"message": "x", **sent}, CLASSIC), record_of(json.dumps({"m": 1, **sent}), CLASSIC)):
        origin = record.origin
        assert (origin.request_id, origin.trace_id) == (REQUEST_ID, trace_id)
        assert (origin.span_id, origin.flags) == ("" if span_id == "-" else span_id, flags)
    record = record_of({"message": "x", **sent}, CLASSIC)
    assert {name for name, _ in record.attributes} == left


IDS = st.sampled_from([REQUEST_ID, OTHER_ID.upper(), OTHER_ID, FOREIGN_ID, "x", "", 7, None, TRACE_ID, OTHER_SPAN_ID])
MEMBERS = st.dictionaries(
    st.sampled_from([*SURE, *UNSURE, "trace_id", "span_id", "trace_flags", "id", "message", "level", "key", "value"]),
    IDS | st.just("01"),
    max_size=4,
)
HELD = st.dictionaries(
    st.sampled_from(["span", "spans", "mdc", "trace", "faas", "extra", "record", "context"]),
    MEMBERS | st.lists(MEMBERS, max_size=3) | st.builds(lambda found: {"extra": found}, MEMBERS),
    max_size=3,
)
SENT = st.builds(lambda first, held: {**first, **held}, MEMBERS, HELD)


@given(SENT | SENT.map(json.dumps), st.sampled_from([CLASSIC, INTERLEAVED, Context()]))
def test_every_destination_agrees_on_whose_line_it_is(sent: object, context: Context) -> None:
    """Also one that writes events as they came and asks for nothing else."""
    found = frame(event(sent))
    parser, lines = LogParser(), Lines(settings_of())
    parser.begin(found)
    (one,) = events(found)
    assert isinstance(one, Event)
    record = parser.record(one, 0, context)
    assert said(parser.origin(one, context)) == said(record.origin)
    assert lines.event(one, parser.origin(one, context), 0) == lines.log(record)


def said(origin: Origin) -> tuple[object, ...]:
    return tuple(getattr(origin, name) for name in origin.__struct_fields__)


def test_a_line_is_told_by_the_report_that_came_before_it() -> None:
    """On Managed Instances lines may come after the report of their invocation; the shipper may have changed since."""
    reported = event({"requestId": REQUEST_ID, "status": "success"}, "platform.report")
    seen = followed([start(), start(OTHER_ID), reported], more=MANAGED)
    late = event({"level": "INFO", "message": "late", "requestId": REQUEST_ID})
    foreign = event({"level": "INFO", "message": "foreign", "requestId": FOREIGN_ID})
    first, second = followed([late, foreign], context=seen.context, more=MANAGED).logs
    assert attributes(first)["faas.invocation_id"] == REQUEST_ID
    assert "faas.invocation_id" not in attributes(second)
    assert attributes(second)["requestId"] == FOREIGN_ID
