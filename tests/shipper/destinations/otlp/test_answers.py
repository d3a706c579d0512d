"""What a receiver says of a request, in either encoding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from shipper.destinations.otlp.answers import Answer, answer_of


@pytest.mark.parametrize(
    ("body", "rejected"),
    [
        (b'{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"x"}}', 3),
        (b'{"partialSuccess":{"rejectedLogRecords":2}}', 2),
        (b'{"partialSuccess":{"rejectedLogRecords":"-1"}}', 0),
        (b'{"partialSuccess":{"rejectedSpans":null,"errorMessage":null}}', 0),
        (b'{"partialSuccess":{}}', 0),
        (b'{"partialSuccess":null}', 0),
        (b"{}", 0),
        (b"", 0),
        (b"<html>", 0),
        (b"ok", 0),
        (b'{"partialSuccess":{"rejectedLogRecords":"many"}}', 0),
        (bytes.fromhex("0a0708031203776879"), 3),
        (bytes.fromhex("0a00"), 0),
        (b"\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 0),
        (b"\x0a\x0b\x08\xff", 0),
        (b"\x08\x05", 0),
    ],
)
def test_partial_success_is_read_leniently(body: bytes, rejected: int) -> None:
    """What is no such answer says nothing."""
    assert answer_of(body, is_success=True).rejected == rejected


def test_why_records_were_rejected_is_read() -> None:
    """In both encodings; also where none was, which is a warning."""
    assert answer_of(bytes.fromhex("0a0708031203776879"), is_success=True) == Answer(3, "why")
    assert answer_of(b'{"partialSuccess":{"rejectedSpans":3,"errorMessage":"why"}}', is_success=True) == Answer(
        3, "why"
    )
    answer = ExportTraceServiceResponse()
    answer.partial_success.error_message = "soon"
    assert answer_of(answer.SerializeToString(), is_success=True) == Answer(0, "soon")


def test_why_a_request_failed_is_read() -> None:
    """A google.rpc.Status; its details stay unread."""
    golden = bytes.fromhex(
        "080e1204627573791a300a28747970652e676f6f676c65617069732e636f6d2f676f6f676c652e7270632e5265747279496e666f12040a"
        "020805"
    )
    assert answer_of(golden, is_success=False) == Answer(0, "busy")
    assert answer_of(b'{"code":14,"message":"busy"}', is_success=False) == Answer(0, "busy")
    assert answer_of(b"no Status", is_success=False) == Answer()
    assert answer_of(b'{"partialSuccess":{"rejectedSpans":3}}', is_success=False) == Answer()


@given(st.binary(max_size=60), st.booleans())
def test_any_body_is_read(body: bytes, is_success: bool) -> None:  # noqa: FBT001
    """Nothing that a server says raises."""
    assert answer_of(body, is_success=is_success).rejected >= 0
