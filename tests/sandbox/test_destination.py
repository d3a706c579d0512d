"""The embedded backend: what it remembers and how it fails on request."""

from __future__ import annotations

import gzip
import http.client
import json
import ssl
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

from tests.sandbox import Destination, Hang, Ok, Partial, Reset, Slow, Status, retry_after
from tests.sandbox.otlp import from_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.sandbox import ReceivedRequest


@pytest.fixture
def backend() -> Iterator[Destination]:
    """A backend in good health."""
    with Destination() as made:
        yield made


def otlp(*uids: str) -> bytes:
    """An OTLP logs request with one record for each uid."""
    records = [
        {
            "body": {"stringValue": f"line {uid}"},
            "attributes": [
                {"key": "log.record.uid", "value": {"stringValue": uid}},
                {"key": "n", "value": {"intValue": "7"}},
            ],
        }
        for uid in uids
    ]
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "demo"}}]}
    return json.dumps({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]}).encode()


def post(
    backend: Destination, body: bytes, path: str = "/v1/logs", timeout_s: float = 2.0, **headers: str
) -> http.client.HTTPResponse:
    """Send one request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", int(backend.url.rsplit(":", 1)[1]), timeout=timeout_s)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with closing(connection):
        connection.request("POST", path, body, {"Content-Type": "application/json", **named})
        answer = connection.getresponse()
        answer.data = answer.read()  # type: ignore[attr-defined]
        return answer


def status_of(backend: Destination, body: bytes) -> int:
    """The status one request is answered with."""
    return post(backend, body).status


def test_log_records_are_read_with_body_attributes_and_uid(backend: Destination) -> None:
    """Compressed or not, by the OTLP paths."""
    assert post(backend, gzip.compress(otlp("a", "b")), Content_Encoding="gzip").status == 200
    first = backend.wait_for(2)[0]
    assert (first.body, first.uid, first.attributes["n"]) == ("line a", "a", 7)
    assert first.resource == {"service.name": "demo"}
    request: ReceivedRequest = backend.requests[0]
    assert request.path == "/v1/logs"
    assert request.headers["content-encoding"] == "gzip"
    assert request.body == otlp("a", "b")
    assert request.wire_bytes < len(request.body)


def test_spans_and_metrics_are_kept_apart(backend: Destination) -> None:
    """Each signal by its path."""
    post(backend, b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"invoke"}]}]}]}', "/v1/traces?key=1")
    post(backend, b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"d"}]}]}]}', "/v1/metrics")
    assert [span.body for span in backend.spans()] == ["invoke"]
    assert [metric.body for metric in backend.metrics()] == ["d"]
    assert backend.records() == []


def test_any_other_path_takes_lines(backend: Destination) -> None:
    """NDJSON: one record per line."""
    post(backend, b'{"a":1,"log.record.uid":"x"}\n{"a":2}\n', "/anything?key=1")
    assert [record.body["a"] for record in backend.records()] == [1, 2]
    assert backend.records()[0].uid == "x"


def test_copies_are_counted(backend: Destination) -> None:
    """By uid, over all requests."""
    post(backend, otlp("a", "b"))
    post(backend, otlp("a"))
    assert backend.duplicates() == {"a": 2}
    assert [record.uid for record in backend.unique()] == ["a", "b"]


def test_waiting_in_vain_says_how_many_came(backend: Destination) -> None:
    """A timeout names both numbers."""
    post(backend, otlp("a"))
    with pytest.raises(TimeoutError, match=r"got 1 records in 0.1 s, expected 2"):
        backend.wait_for(2, timeout_s=0.1)


def test_a_script_is_followed_request_by_request(backend: Destination) -> None:
    """Then the backend is healthy; only what was answered 2xx is kept."""
    backend.faults.script([Status(503), retry_after(2)])
    assert status_of(backend, otlp("a")) == 503
    second = post(backend, otlp("b"))
    assert (second.status, second.headers["Retry-After"]) == (429, "2")
    assert status_of(backend, otlp("c")) == 200
    assert [record.uid for record in backend.records()] == ["c"]
    assert [request.status for request in backend.requests] == [503, 429, 200]


def test_a_function_can_decide(backend: Destination) -> None:
    """It sees the request and its decompressed body."""
    backend.faults.script(lambda _request, body: Status(500) if b"line a" in body else None)
    assert post(backend, gzip.compress(otlp("a")), Content_Encoding="gzip").status == 500
    assert status_of(backend, otlp("b")) == 200


def test_a_marked_record_is_refused(backend: Destination) -> None:
    """400 for every request that contains the marker."""
    backend.faults.reject("line poison")
    assert [status_of(backend, otlp(uid)) for uid in ("a", "poison", "b")] == [200, 400, 200]
    backend.faults.clear()
    assert status_of(backend, otlp("poison")) == 200


def test_a_body_can_be_too_large(backend: Destination) -> None:
    """Counted decompressed."""
    backend.faults.too_large(300)
    large = gzip.compress(otlp("a", "b", "c", "d"))
    assert len(large) < 300
    assert post(backend, large, Content_Encoding="gzip").status == 413


def test_part_of_a_request_can_be_refused(backend: Destination) -> None:
    """OTLP partial success: the last records are not kept, and the answer counts them."""
    backend.faults.script([Partial(1, "too old")])
    answer: Any = post(backend, otlp("a", "b"))
    partial = {"rejectedLogRecords": "1", "errorMessage": "too old"}
    assert json.loads(answer.data) == {"partialSuccess": partial}
    assert [record.uid for record in backend.records()] == ["a"]


def test_an_answer_can_be_lost_after_the_records_were_taken(backend: Destination) -> None:
    """RST with store: the client must send again, the backend then has a copy."""
    backend.faults.script([Reset(store=True), Reset()])
    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            post(backend, otlp("a"))
    assert status_of(backend, otlp("a")) == 200
    assert backend.duplicates() == {"a": 2}
    assert [request.status for request in backend.requests] == [None, None, 200]


def test_slow_and_hanging(backend: Destination) -> None:
    """An answer that comes late, one that never comes."""
    backend.faults.script([Slow(0.2), Hang()])
    began_s = time.monotonic()
    assert status_of(backend, otlp("a")) == 200
    assert time.monotonic() - began_s >= 0.2
    with pytest.raises(TimeoutError):
        post(backend, otlp("b"), timeout_s=0.2)


def test_flapping_is_the_same_for_the_same_seed() -> None:
    """A share of the requests fails, reproducibly."""
    outcomes = []
    for _ in range(2):
        with Destination() as backend:
            backend.faults.flap(0.5, seed=7)
            outcomes.append([status_of(backend, otlp("a")) for _ in range(20)])
    assert outcomes[0] == outcomes[1]
    assert {200, 503} == set(outcomes[0])


def test_refusing_and_coming_back(backend: Destination) -> None:
    """The port stays the same."""
    backend.refuse()
    with pytest.raises(ConnectionRefusedError):
        post(backend, otlp("a"))
    backend.accept()
    assert status_of(backend, otlp("a")) == 200


def test_hanging_up_closes_what_is_open_and_nothing_else(backend: Destination) -> None:
    """A kept connection is gone; a new one is served at once."""
    connection = http.client.HTTPConnection("127.0.0.1", int(backend.url.rsplit(":", 1)[1]))
    connection.request("POST", "/v1/logs", otlp("a"))
    connection.getresponse().read()
    backend.hang_up()
    assert connection.sock.recv(1) == b""
    connection.close()
    assert status_of(backend, otlp("b")) == 200


def test_connections_are_told_apart(backend: Destination) -> None:
    """Two requests on one connection, a third on another."""
    connection = http.client.HTTPConnection("127.0.0.1", int(backend.url.rsplit(":", 1)[1]))
    for _ in range(2):
        connection.request("POST", "/v1/logs", otlp("a"))
        connection.getresponse().read()
    connection.close()
    post(backend, otlp("b"))
    assert [request.connection for request in backend.requests] == [1, 1, 2]
    assert backend.connections == 2


def test_https_with_a_certificate_of_its_own() -> None:
    """A client that trusts `ca_path` is served; one that does not is not."""
    with Destination(tls=True) as backend:
        port = int(backend.url.rsplit(":", 1)[1])
        trusting = ssl.create_default_context(cafile=str(backend.ca_path))
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=trusting)
        connection.request("POST", "/v1/logs", otlp("a"))
        assert connection.getresponse().status == 200
        connection.close()
        stranger = http.client.HTTPSConnection("127.0.0.1", port, context=ssl.create_default_context())
        with pytest.raises(ssl.SSLCertVerificationError):
            stranger.request("POST", "/v1/logs", otlp("b"))
        stranger.close()
        assert [record.uid for record in backend.records()] == ["a"]


def test_records_can_be_appended_to_a_file(tmp_path: Path) -> None:
    """One JSON object per line, for whoever wants to look."""
    file = tmp_path / "records.jsonl"
    with Destination(file=file) as backend:
        post(backend, otlp("a", "b"))
        post(backend, otlp("c"))
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["body"] for line in lines] == ["line a", "line b", "line c"]


def test_protobuf_is_read_as_json_is(backend: Destination) -> None:
    """By its content type; it is answered in kind."""
    body = from_json("logs", otlp("a", "b")).SerializeToString()
    backend.faults.script([Ok(), Partial(1, "no")])
    whole = post(backend, gzip.compress(body), Content_Encoding="gzip", Content_Type="application/x-protobuf")
    part = post(backend, body, Content_Type="application/x-protobuf")
    assert [(record.body, record.uid, record.attributes["n"]) for record in backend.records()] == [
        ("line a", "a", 7),
        ("line b", "b", 7),
        ("line a", "a", 7),
    ]
    assert backend.records()[0].resource == {"service.name": "demo"}
    assert (whole.getheader("Content-Type"), whole.data) == ("application/x-protobuf", b"")  # type: ignore[attr-defined]
    said = ExportLogsServiceResponse.FromString(part.data)  # type: ignore[attr-defined]
    assert (said.partial_success.rejected_log_records, said.partial_success.error_message) == (1, "no")


def test_ids_in_protobuf_are_digits(backend: Destination) -> None:
    """As in OTLP's JSON."""
    span = {"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": "a", "kind": 2}
    spans = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()
    body = from_json("traces", spans).SerializeToString()
    post(backend, body, "/v1/traces", Content_Type="application/x-protobuf")
    assert [one.raw for one in backend.spans()] == [span]
