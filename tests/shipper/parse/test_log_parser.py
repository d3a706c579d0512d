"""What a line means, found once: in however few steps an encoder gets there, it writes the same."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from shipper.destinations.lines import Lines
from shipper.destinations.otlp.json_logs import LogRecords
from shipper.model.context import Context, Invocation
from shipper.model.events import Event, events
from shipper.model.log_record import LogRecord
from shipper.parse.log_parser import LogParser
from tests.sandbox.received import attributes_of
from tests.shipper.support import DIGEST, OBSERVED_NS, REQUEST_ID, TIME, event, frame, settings_of

OTHER_ID = "0c5b2a7e-9d1f-4a3b-8c6d-1e2f3a4b5c6d"
TRACE_ID = "6352a70e1e2c502e358361800241fd45"
SPAN_ID = "35465b3a9e2f7c6a"
CONTEXTS = (
    Context(),
    Context(request_id=REQUEST_ID),
    Context(
        request_id=REQUEST_ID,
        trace_id=TRACE_ID,
        span_id=SPAN_ID,
        flags=1,
        open=(Invocation(request_id=OTHER_ID, trace_id="1" * 32, span_id="2" * 16, sampled=False),),
    ),
)

# Lines as runtimes and libraries write them, around any text.
LINES = st.sampled_from(
    [
        "{}",
        "{}\n",
        "{}\r",
        "{}\\",
        "{}\\\n",
        "{}\nTypeError: no\n    at x (y.js:1:2)\n",
        "[INFO]\t" + TIME + "\t" + REQUEST_ID + "\t{}\n",
        "[ERROR]\t" + TIME + "\t" + OTHER_ID + "\t{}\n",
        TIME + "\t" + OTHER_ID + "\tWARN\t{}\n",
        "2024-13-77T16:29:45.008Z\tundefined\tINFO\t{}\n",
        TIME + " " + REQUEST_ID + " Task timed out after 3.00 seconds{}",
        "RequestId: " + OTHER_ID + " Error: {}",
        "level=info request_id=" + OTHER_ID + " msg={}",
        "FATAL ERROR: heap out of memory {}",
        "fatal error: runtime: out of memory {}",
        "INFO:root:{}",
        "2024/05/20 16:29:45 INFO+2 {}",
        "{{{}",
        '{{"a":{}',
    ]
)
NAMES = st.sampled_from(
    [
        *(
            "requestId",
            "request_id",
            "AWSRequestId",
            "trace_id",
            "traceId",
            "xRayTraceId",
            "span_id",
            "faas.invocation_id",
        ),
        *("level", "severity", "time", "timestamp", "message", "msg", "logger", "log.record.uid", "a", "b"),
        *("err", "errorType", "errorMessage", "stackTrace"),
    ]
)
VALUES = st.sampled_from(
    [
        *(
            None,
            True,
            0,
            7,
            1.5,
            10**30,
            "",
            "x\n",
            "a\nb",
            "info",
            "WARN",
            "ERROR",
            REQUEST_ID,
            OTHER_ID,
            TRACE_ID,
            TIME,
        ),
        *(
            SPAN_ID,
            f"Root=1-{TRACE_ID[:8]}-{TRACE_ID[8:]};Sampled=1",
            "2024-05-20T16:29:45Z",
            1716222585,
            "shop.orders",
        ),
        *([], {}, {"a": [1, {"b": "c"}]}, ["at x", "at y"], {"name": "TypeError", "message": "no"}, "r" * 200),
    ]
)
OBJECTS = st.dictionaries(NAMES | st.text(max_size=5), VALUES | st.text(max_size=20), max_size=6)
RECORDS = (
    st.builds(lambda line, text: line.format(text), LINES, st.text(max_size=30))
    | OBJECTS
    | OBJECTS.map(json.dumps)
    | OBJECTS.map(lambda found: json.dumps(found, indent=1) + "\n")
    | VALUES
)
KINDS = st.sampled_from(["function", "extension", "platform.start", "platform.fault", "platform.new", ""])
TIMES = st.sampled_from([TIME, "2024-05-20T16:29:45.999Z", "2024-05-20T18:29:45+02:00", "yesterday", ""])
EVENTS = st.lists(st.builds(event, RECORDS, KINDS, TIMES), min_size=1, max_size=8)


def records(sent: list[Any], context: Context) -> list[tuple[Event, LogRecord]]:
    """The events of a frame and what they mean."""
    found = frame(*sent)
    parser = LogParser()
    parser.begin(found)
    pairs = []
    for index, one in enumerate(events(found)):
        assert isinstance(one, Event)
        pairs.append((one, parser.record(one, index, context)))
    return pairs


@given(EVENTS, st.sampled_from(CONTEXTS))
def test_a_plain_text_line_is_written_the_same_without_a_record(sent: list[Any], context: Context) -> None:
    """Byte for byte; and whatever is more than that has its record at once."""
    encoder, parser = LogRecords(), LogParser()
    parser.begin(frame(*sent))
    for index, (one, record) in enumerate(records(sent, context)):
        line = parser.line(one, index, context, encoder.text_line)
        if isinstance(line, bytes):
            assert line == encoder.log(record)
            assert record.exception is None
        else:
            assert encoder.log(line) == encoder.log(record)


@given(EVENTS, st.sampled_from(CONTEXTS))
@example([event({"requestId": 0}, "platform.start")], CONTEXTS[0])
@example([event({"requestId": [0]}, "platform.start")], CONTEXTS[0])
@example([event({"requestId": 0, "\ud83d": 1}, "platform.new")], CONTEXTS[0])
def test_an_event_is_written_the_same_without_a_record(sent: list[Any], context: Context) -> None:
    """Byte for byte: whose line it is comes to the same."""
    encoder, parser = Lines(settings_of(AWS_LAMBDA_FUNCTION_NAME="f")), LogParser()
    parser.begin(frame(*sent))
    for index, (one, record) in enumerate(records(sent, context)):
        assert encoder.event(one, parser.origin(one, context), index) == encoder.log(record)


@given(EVENTS, st.sampled_from(CONTEXTS))
def test_destinations_agree_on_whose_line_it_is(sent: list[Any], context: Context) -> None:
    """Request, trace, span and uid, in OTLP and in lines of JSON."""
    otlp, lines = LogRecords(), Lines(settings_of())
    for _, record in records(sent, context):
        log, line = json.loads(otlp.log(record)), json.loads(lines.log(record))
        attributes = attributes_of(log["attributes"])
        assert line.get("requestId") == attributes.get("faas.invocation_id")
        assert line.get("traceId") == log.get("traceId")
        assert line.get("spanId") == log.get("spanId")
        assert line["uid"] == attributes["log.record.uid"]


def test_a_record_says_what_a_line_means() -> None:
    ((_, record),) = records([event(f"[ERROR]\t{TIME}\t{OTHER_ID}\tno\n")], CONTEXTS[2])
    assert (record.severity_number, record.severity_text, record.origin.observed_ns) == (17, "ERROR", OBSERVED_NS)
    assert (record.origin.request_id, record.origin.trace_id, record.origin.span_id, record.origin.flags) == (
        OTHER_ID,
        "1" * 32,
        "2" * 16,
        0,
    )
    assert record.body == json.dumps(f"[ERROR]\t{TIME}\t{OTHER_ID}\tno").encode()
    assert (record.uid, record.origin.event_type, record.attributes) == (f"{DIGEST.hex()}-0", "function", ())


def test_a_record_holds_what_a_json_line_says_beside_its_message() -> None:
    sent = {"msg": "paid\n", "level": "warn", "logger": "shop", "n": 7, "user": {"id": 1}, "trace_id": TRACE_ID}
    ((_, record),) = records([event(sent)], CONTEXTS[1])
    assert (record.body, record.severity_text, record.scope) == (b'"paid"', "warn", "shop")
    assert record.attributes == (("n", b"7"), ("user", b'{"id": 1}'))
    assert (record.origin.request_id, record.origin.trace_id, record.origin.span_id, record.origin.flags) == (
        REQUEST_ID,
        TRACE_ID,
        "",
        None,
    )
