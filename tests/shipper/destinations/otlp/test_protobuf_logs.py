"""Log records in protobuf: what OpenTelemetry's own definitions read is what the JSON says."""

import tracemalloc

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipper.destinations.otlp import json_logs, protobuf_logs
from shipper.destinations.otlp.json_encoding import JsonEncoding
from shipper.destinations.otlp.protobuf_encoding import ProtobufEncoding
from shipper.model.events import Event
from shipper.model.log_record import ExceptionInfo, LogRecord, Origin, TextLine
from shipper.model.severity import NUMBERS, number_of
from tests.sandbox.otlp import from_json, from_protobuf, without_nulls
from tests.shipper.destinations.otlp.test_protobuf_values import TEXTS, VALUES

TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"

EVENT = Event("", "function", msgspec.Raw(b'""'))
TIMES = st.integers(0, 2**64 - 1)
LEVELS = st.sampled_from(["", *NUMBERS, "info", "Warning", "nonsense", "é"])
RAW = VALUES.map(msgspec.json.encode)


def ids(digits: int) -> st.SearchStrategy[str]:
    return st.one_of(st.just(""), st.binary(min_size=digits // 2, max_size=digits // 2).map(bytes.hex))


NAMES = st.one_of(TEXTS, st.sampled_from(["log.record.uid", "exception.type", "faas.invocation_id", "n"]))
RECORDS = st.builds(
    lambda level, **fields: LogRecord(severity_text=level, severity_number=number_of(level) if level else 0, **fields),
    LEVELS,
    time_ns=st.one_of(st.none(), TIMES),
    observed_ns=TIMES,
    body=RAW,
    attributes=st.lists(st.tuples(NAMES, RAW), max_size=4).map(tuple),
    request_id=st.one_of(TEXTS, st.just("459921b5-681c-4a96-beb0-81e0aa586026")),
    trace_id=ids(32),
    span_id=ids(16),
    flags=st.one_of(st.none(), st.integers(0, 2**32 - 1)),
    exception=st.one_of(st.none(), st.builds(ExceptionInfo, TEXTS, TEXTS, TEXTS)),
    scope=st.one_of(st.just(""), TEXTS),
    uid=st.one_of(st.just("00112233445566ff-0"), st.text("0123456789abcdef-", min_size=1, max_size=200)),
    event_type=st.one_of(st.sampled_from(["", "function", "platform.start"]), TEXTS),
    event=st.just(EVENT),
)
ORIGINS = st.builds(
    Origin,
    st.sampled_from(["", "function", "extension"]),
    st.one_of(st.just(""), st.just("459921b5-681c-4a96-beb0-81e0aa586026"), TEXTS),
    ids(32),
    ids(16),
    st.one_of(st.none(), st.integers(0, 255)),
    TIMES,
    st.just("00112233445566ff"),
)
RESOURCE: dict[str, str | int] = {"service.name": "f", "faas.max_memory": 134217728}


def test_a_record_is_these_bytes() -> None:
    """As opentelemetry-proto writes it: zeros of a oneof's members are written."""
    record = LogRecord(
        time_ns=1,
        observed_ns=2,
        severity_number=9,
        severity_text="INFO",
        body=b'"hi"',
        attributes=(("n", b"-1"), ("d", b"0.0"), ("b", b"false"), ("e", b'""'), ("z", b"null"), ("l", b"[]")),
        trace_id=TRACE,
        span_id=SPAN,
        flags=1,
        scope="s",
        event=EVENT,
    )
    encoding = ProtobufEncoding({"service.name": "f"})
    head, pieces, separator, tail = encoding.request("logs", [encoding.logs.log(record)])
    assert (head + separator.join(pieces) + tail).hex() == (
        "0aa5010a150a130a0c736572766963652e6e616d6512030a0166128b010a030a017312830109010000000000000010091a04494e464f2a"
        "040a02686932100a016e120b18ffffffffffffffffff01320e0a0164120921000000000000000032070a016212021000"
        "32070a016512020a0032030a017a32070a016c12022a0045010000004a105b8efff798038103d269b633813fc60c5208eee19b7ec3c1b1"
        "74590200000000000000"
    )


@given(st.lists(RECORDS, max_size=4))
@settings(max_examples=60, deadline=None)
def test_a_request_is_what_the_json_encoder_says(records: list[LogRecord]) -> None:
    """Field by field, scopes and resource included."""
    protobuf, json = ProtobufEncoding(RESOURCE), JsonEncoding(RESOURCE)
    head, pieces, separator, tail = protobuf.request("logs", [protobuf.logs.log(record) for record in records])
    found = without_nulls(from_protobuf("logs", head + separator.join(pieces) + tail))
    head, pieces, separator, tail = json.request("logs", [json.logs.log(record) for record in records])
    assert found == without_nulls(from_json("logs", head + separator.join(pieces) + tail))


@given(
    st.lists(
        st.tuples(
            st.one_of(st.text(max_size=300), st.text(alphabet='\\\n\t"ané', max_size=20)),
            st.booleans(),
            TIMES,
            LEVELS,
            st.integers(0, 2),
            st.integers(0, 200_000),
        ),
        max_size=20,
    ),
    st.lists(ORIGINS, min_size=3, max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_a_text_line_is_what_its_record_is(
    lines: list[tuple[str, bool, int, str, int, int]], origins: list[Origin]
) -> None:
    """The short way gives the same bytes as the long one, in both encodings, whatever came before."""
    from lifecycle.contract.json_text import without_newline

    encoders = (protobuf_logs.LogRecords(), json_logs.LogRecords())
    for text, is_escaped, time_ns, level, number, index in lines:
        raw = msgspec.json.encode(text)
        if is_escaped:
            raw = raw.replace(b"n", b"\\u006e")
        origin = origins[number]
        record = LogRecord(
            time_ns=time_ns,
            observed_ns=origin.observed_ns,
            severity_number=number_of(level) if level else 0,
            severity_text=level,
            body=without_newline(raw),
            request_id=origin.request_id,
            trace_id=origin.trace_id,
            span_id=origin.span_id,
            flags=origin.flags,
            uid=f"{origin.batch_id}-{index}",
            event_type=origin.event_type,
            event=EVENT,
        )
        for encoder in encoders:
            assert encoder.text_line(TextLine(raw, time_ns, level, origin), index) == encoder.log(record)


@pytest.mark.parametrize(
    "raw", [b'""', b'"n"', rb'"\n"', rb'"\\n"', rb'"\\\n"', rb'"\u000a"', rb'"\t\n"', rb'"\ud83d"']
)
def test_a_short_text_line_is_what_its_record_is(raw: bytes) -> None:
    """Ends of lines, and what only looks like one."""
    from lifecycle.contract.json_text import without_newline

    encoder = protobuf_logs.LogRecords()
    origin = Origin("function", batch_id="00")
    record = LogRecord(time_ns=5, body=without_newline(raw), uid="00-7", event_type="function", event=EVENT)
    assert encoder.text_line(TextLine(raw, 5, "", origin), 7) == encoder.log(record)


def test_what_is_remembered_is_bounded_in_bytes() -> None:
    """However many levels, origins, ids and lengths there are, and however long."""
    encoder = protobuf_logs.LogRecords()
    encoder.text_line(TextLine(b'"x"', 5, "", Origin()), 1)
    tracemalloc.start()
    for number in range(3000):
        long = f"{number}" + "x" * (50_000 if number % 100 == 0 else number)
        origin = Origin("function", long, batch_id="00" * 8)
        encoder.text_line(TextLine(b'"%b"' % (b"x" * number), number, f"L{number % 50}", origin), number)
        record = LogRecord(time_ns=number, body=b"1", uid=long, request_id=long, event_type=long, event=EVENT)
        encoder.log(record)
    kept_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept_bytes < 3_000_000
