"""Answers of the local API, fed whole, byte by byte, and in any portions."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.contract.settings import Settings
from lifecycle.extensions_api import Answer, AnswerReader, LocalApiError, PlatformEvent, Requests, text_member

# What is sent, and the status, body and keep-alive it means.
ANSWERS = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}", True),
    (b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 202, b"", False),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", 200, b"abcde", True),
    (b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n1\r\na\r\n0\r\nTrailer: x\r\n\r\n", 200, b"a", True),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}", False),
    (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}", True),
    (b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}", False),
    (b"HTTP/1.1 403 \r\ncontent-length:5\r\nX-Odd\r\n\r\nwrong", 403, b"wrong", True),
]


@pytest.mark.parametrize(("data", "status", "body", "keeps"), ANSWERS)
def test_answer_is_read_whole_and_byte_by_byte(data: bytes, status: int, body: bytes, keeps: bool) -> None:  # noqa: FBT001
    """However it arrives, it is the same answer, and complete exactly with its last byte."""
    for portions in ([data], [data[i : i + 1] for i in range(len(data))]):
        reader = AnswerReader()
        answers = [reader.receive(portion) for portion in portions]
        assert answers[:-1] == [None] * (len(portions) - 1)
        answer = answers[-1]
        assert isinstance(answer, Answer)
        assert (answer.status, answer.body, answer.keeps) == (status, body, keeps)


def test_answer_without_a_length_ends_with_the_connection() -> None:
    """RFC 9112, section 6.3, rule 8."""
    reader = AnswerReader()
    assert reader.receive(b"HTTP/1.1 200 OK\r\n\r\nab") is None
    answer = reader.receive(b"")
    assert answer is not None
    assert (answer.body, answer.keeps) == (b"ab", False)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ],
)
def test_answer_that_breaks_off_is_an_error(data: bytes) -> None:
    """A platform that goes away in the middle is not an answer."""
    reader = AnswerReader()
    if data:
        assert reader.receive(data) is None
    with pytest.raises(LocalApiError, match="closed after"):
        reader.receive(b"")


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"x" * 2_000_000,
    ],
)
def test_what_is_not_http_is_an_error(data: bytes) -> None:
    """Not a hang and not a crash."""
    with pytest.raises(LocalApiError):
        AnswerReader().receive(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_an_answer_an_error_or_not_enough(data: bytes) -> None:
    """Nothing else is ever raised."""
    reader = AnswerReader()
    try:
        reader.receive(data)
        reader.receive(b"")
    except LocalApiError:
        pass


def test_two_answers_are_read_one_after_the_other() -> None:
    """The connection is kept between requests."""
    reader = AnswerReader()
    for status, _ in ((200, 1), (403, 2)):
        answer = reader.receive(b"HTTP/1.1 %d x\r\nContent-Length: 0\r\n\r\n" % status)
        assert answer is not None
        assert answer.status == status


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"accountId":"123"}', "123"),
        (b'{ "accountId" : "123" , "x":1}', "123"),
        (b'{"x":"accountId"}', ""),
        (b'{"accountId":5}', ""),
        (b"", ""),
    ],
)
def test_text_of_an_answer_is_found_without_a_json_library(body: bytes, found: str) -> None:
    """Flat objects of the local API."""
    assert text_member(body, "accountId") == found


def test_subscription_names_all_buffering_limits() -> None:
    """Documented defaults conflict, so all three are sent."""
    requests = Requests("127.0.0.1:9001")
    requests.identifier = "id-1"
    head, _, body = requests.subscribe(Settings({}), 4242).partition(b"\r\n\r\n")
    assert head.startswith(b"PUT /2022-07-01/telemetry HTTP/1.1\r\nHost: 127.0.0.1:9001\r\n")
    assert b"Lambda-Extension-Identifier: id-1\r\n" in head
    assert b"Content-Length: %d" % len(body) in head
    assert msgspec.json.decode(body) == {
        "schemaVersion": "2025-01-29",
        "types": ["platform", "function"],
        "buffering": {"maxItems": 1000, "maxBytes": 262144, "timeoutMs": 25},
        "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:4242"},
    }


def test_tcp_subscription_names_a_port() -> None:
    """The platform dials it."""
    body = Requests("h:1").subscribe(Settings({"TAILRACE_PROTOCOL": "tcp"}), 4242).partition(b"\r\n\r\n")[2]
    assert msgspec.json.decode(body)["destination"] == {"protocol": "TCP", "port": 4242}


def test_registration_names_the_launcher_and_the_feature() -> None:
    """Lambda knows an external extension by its file's name."""
    request = Requests("h:1").register("tailrace", ("INVOKE", "SHUTDOWN"))
    assert b"Lambda-Extension-Name: tailrace\r\n" in request
    assert b"Lambda-Extension-Accept-Feature: accountId\r\n" in request
    assert request.endswith(b'{"events":["INVOKE","SHUTDOWN"]}')


def test_event_is_read_leniently() -> None:
    """A member of another type is a missing one, and whatever else there is does not matter."""
    event = PlatformEvent(b'{"eventType":"SHUTDOWN","deadlineMs":17,"requestId":5,"shutdownReason":"TIMEOUT","x":{}}')
    assert (event.kind, event.deadline_epoch_ms, event.request_id, event.shutdown_reason) == (
        *("SHUTDOWN", 17),
        *("", "timeout"),
    )
    assert PlatformEvent(b'{"eventType":{},"deadlineMs":"soon"}').kind == ""
    assert PlatformEvent(b"{}").deadline_epoch_ms == 0


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"5", b'{"a"'])
def test_what_is_no_object_is_no_event(body: bytes) -> None:
    """And an error of ours."""
    with pytest.raises(LocalApiError):
        PlatformEvent(body)


@pytest.mark.parametrize("depth", [500, 5000, 100_000])
def test_event_that_nests_deep_is_still_one(depth: int) -> None:
    """What it says as text is found without reading all of it; to ask past a SHUTDOWN would be to be killed."""
    deep = b"[" * depth + b"]" * depth
    body = b'{"tracing":%b,"eventType":"SHUTDOWN","shutdownReason":"Spindown","deadlineMs":17}' % deep
    event = PlatformEvent(body)
    assert (event.kind, event.shutdown_reason) == ("SHUTDOWN", "spindown")
