"""Log records in protobuf: what OpenTelemetry's own definitions read is what the JSON says."""

import tracemalloc

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from shipper.destinations.otlp import json_logs, protobuf_logs
from shipper.destinations.otlp.json_encoding import JsonEncoding
from shipper.destinations.otlp.protobuf_encoding import ProtobufEncoding
from shipper.model.events import Event
from shipper.model.log_record import ExceptionInfo, LogRecord, Origin
from shipper.model.severity import NUMBERS
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
ORIGINS = st.builds(
    Origin,
    event_type=st.one_of(st.sampled_from(["", "function", "platform.start"]), TEXTS),
    request_id=st.one_of(st.just(""), st.just("459921b5-681c-4a96-beb0-81e0aa586026"), TEXTS),
    trace_id=ids(32),
    span_id=ids(16),
    flags=st.one_of(st.none(), st.integers(0, 2**32 - 1)),
    observed_ns=TIMES,
    batch_id=st.one_of(st.just("00112233445566ff"), st.text("0123456789abcdef", max_size=200)),
)
RECORDS = st.builds(
    LogRecord,
    event=st.just(EVENT),
    index=st.integers(0, 200_000),
    origin=ORIGINS,
    body=RAW,
    time_ns=st.one_of(st.none(), TIMES),
    severity_text=LEVELS,
    attributes=st.lists(st.tuples(NAMES, RAW), max_size=4).map(tuple),
    exception=st.one_of(st.none(), st.builds(ExceptionInfo, TEXTS, TEXTS, TEXTS)),
    scope=st.one_of(st.just(""), TEXTS),
)
RESOURCE: dict[str, str | int] = {"service.name": "f", "faas.max_memory": 134217728}


def test_a_record_is_these_bytes() -> None:
    """What opentelemetry-proto reads, and no more than it writes: zeros of a oneof's members are written."""
    record = LogRecord(
        EVENT,
        7,
        Origin(trace_id=TRACE, span_id=SPAN, flags=1, observed_ns=2, batch_id="00"),
        b'"hi"',
        time_ns=1,
        severity_text="INFO",
        attributes=(("n", b"-1"), ("d", b"0.0"), ("b", b"false"), ("e", b'""'), ("z", b"null"), ("l", b"[]")),
        scope="s",
    )
    encoding = ProtobufEncoding({"service.name": "f"})
    head, pieces, separator, tail = encoding.request("logs", [encoding.logs.log(record)])
    golden = bytes.fromhex(
        "0aa5010a150a130a0c736572766963652e6e616d6512030a0166128b010a030a017312830109010000000000000010091a04494e464f2a"
        "040a02686932100a016e120b18ffffffffffffffffff01320e0a0164120921000000000000000032070a016212021000"
        "32070a016512020a0032030a017a32070a016c12022a0045010000004a105b8efff798038103d269b633813fc60c5208eee19b7ec3c1b1"
        "74590200000000000000"
    )
    expected = ExportLogsServiceRequest.FromString(golden)
    uid = expected.resource_logs[0].scope_logs[0].log_records[0].attributes.add()
    uid.key, uid.value.string_value = "log.record.uid", "00-7"
    written = head + separator.join(pieces) + tail
    assert ExportLogsServiceRequest.FromString(written) == expected
    assert len(written) == expected.ByteSize()


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
        record = LogRecord(EVENT, index, origin, without_newline(raw), time_ns, level)
        for encoder in encoders:
            assert encoder.text_line(raw, time_ns, level, origin, index) == encoder.log(record)


@pytest.mark.parametrize(
    "raw", [b'""', b'"n"', rb'"\n"', rb'"\\n"', rb'"\\\n"', rb'"\u000a"', rb'"\t\n"', rb'"\ud83d"']
)
def test_a_short_text_line_is_what_its_record_is(raw: bytes) -> None:
    """Ends of lines, and what only looks like one."""
    from lifecycle.contract.json_text import without_newline

    encoder = protobuf_logs.LogRecords()
    origin = Origin("function", batch_id="00")
    record = LogRecord(EVENT, 7, origin, without_newline(raw), 5)
    assert encoder.text_line(raw, 5, "", origin, 7) == encoder.log(record)


def test_what_is_remembered_is_bounded_in_bytes() -> None:
    """However many levels, origins, ids and lengths there are, and however long."""
    encoder = protobuf_logs.LogRecords()
    encoder.text_line(b'"x"', 5, "", Origin(), 1)
    tracemalloc.start()
    for number in range(3000):
        long = f"{number}" + "x" * (50_000 if number % 100 == 0 else number)
        origin = Origin("function", long, batch_id="00" * 8)
        encoder.text_line(b'"%b"' % (b"x" * number), number, f"L{number % 50}", origin, number)
        encoder.log(LogRecord(EVENT, number, Origin(long, long, batch_id=long), b"1", number))
    kept_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept_bytes < 3_000_000
