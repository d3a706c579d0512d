"""The intake, with a raw OTLP client: what is kept, what is answered, and that nobody is made to wait."""

import gzip
import json
import socket
import time
from pathlib import Path

import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from collector.connection import Connection
from collector.otlp_intake import MOST_CONNECTIONS, Intake
from collector.timeouts import Timeouts
from lifecycle.contract import wire
from lifecycle.contract.backlog import Backlog, Writer
from lifecycle.contract.frames import OtlpForm, is_spooled
from lifecycle.contract.log import Log
from lifecycle.contract.spool import Spool
from tests.collector.support import Answer, Client, Running, batch, event, post

PROTOBUF, JSON = "application/x-protobuf", "application/json"
IDS = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"


def spans(number: int, name: str = "work") -> bytes:
    """An export of spans."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for at in range(number):
        scope.spans.add(name=f"{name} {at}", trace_id=bytes.fromhex(IDS[0]), span_id=bytes.fromhex(IDS[1]))
    return bytes(request.SerializeToString())


def points(number: int) -> bytes:
    """An export of a metric with points."""
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
    for at in range(number):
        metric.gauge.data_points.add(as_int=at)
    return bytes(request.SerializeToString())


def records(number: int) -> bytes:
    """An export of log records."""
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    for at in range(number):
        scope.log_records.add(severity_text=f"S{at}")
    return bytes(request.SerializeToString())


def spans_in_json(number: int) -> bytes:
    """An export as JavaScript's SDK makes it."""
    made = [{"name": f"work {at}", "traceId": IDS[0], "spanId": IDS[1], "kind": 1} for at in range(number)]
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": made}]}]}).encode()


def export(
    body: bytes, path: str = "/v1/traces", content_type: str = PROTOBUF, *headers: str, method: str = "POST"
) -> bytes:
    """A request as an exporter sends it."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost:4318", f"Content-Type: {content_type}", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}"]).encode() + b"\r\n\r\n" + body


def exported(client: Client, request: bytes) -> Answer:
    """The answer to a request."""
    client.send(request)
    answer = client.answer()
    assert answer is not None
    return answer


@pytest.mark.parametrize(
    ("path", "content_type", "body", "signal", "items"),
    [
        ("/v1/traces", PROTOBUF, spans(3), "traces", 3),
        ("/v1/metrics", PROTOBUF, points(4), "metrics", 4),
        ("/v1/logs", PROTOBUF, records(2), "logs", 2),
        ("/v1/traces", JSON, spans_in_json(5), "traces", 5),
        ("/v1/traces?a=b", "Application/JSON; charset=utf-8", spans_in_json(1), "traces", 1),
    ],
)
@pytest.mark.parametrize("is_gzip", [False, True])
def test_export_is_answered_when_it_is_in_the_backlog_as_it_came(
    path: str, content_type: str, body: bytes, signal: str, items: int, *, is_gzip: bool
) -> None:
    """With its signal, encoding and number of items; the answer is of the same encoding, and empty."""
    sent = gzip.compress(body) if is_gzip else body
    with Running(takes_exports=True) as collector:
        headers = ("Content-Encoding: gzip",) if is_gzip else ()
        answer = exported(collector.exporter(), export(sent, path, content_type, *headers))
        is_json = "json" in content_type.lower()
        assert (answer.status, answer.headers["Content-Type"]) == (200, JSON if is_json else PROTOBUF)
        assert answer.body == (b"{}" if is_json else b"")
        stored = collector.stored()
        assert (stored.events, stored.signal, stored.body_bytes, stored.begun) == (items, signal, len(sent), 0)
        assert (stored.finished, stored.reported) == ((), ())
        frame = collector.frame(stored)
        assert bytes(frame.payload) == sent
        assert frame.form == OtlpForm(signal, "http/json" if is_json else "http/protobuf", is_gzip)
        assert frame.events == items


def test_chunked_export_is_taken() -> None:
    """Some clients do not say the size before."""
    body = spans(50)
    pieces = [body[at : at + 100] for at in range(0, len(body), 100)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    head = f"POST /v1/traces HTTP/1.1\r\nContent-Type: {PROTOBUF}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    with Running(takes_exports=True) as collector:
        assert exported(collector.exporter(), head + chunks + b"0\r\n\r\n").status == 200
        assert collector.payload(collector.stored()) == body


def test_exporter_that_asks_before_it_sends_is_told_to_go_on() -> None:
    """Curl does so."""
    body = spans(1)
    request = export(body, "/v1/traces", PROTOBUF, "Expect: 100-continue")
    with Running(takes_exports=True) as collector:
        client = collector.exporter()
        client.send(request[: -len(body)])
        answer = client.answer(has_body=False)
        assert answer is not None
        assert answer.status == 100
        assert exported(client, body).status == 200


def test_connection_serves_one_export_after_another() -> None:
    """An exporter keeps it."""
    with Running(takes_exports=True) as collector:
        client = collector.exporter()
        for number in (1, 2, 3):
            assert exported(client, export(spans(number))).status == 200
            assert collector.stored().events == number


def test_what_holds_nothing_is_answered_and_not_kept() -> None:
    """Exporters send such to see whether somebody is there."""
    with Running(takes_exports=True) as collector:
        client = collector.exporter()
        assert exported(client, export(b"")).status == 200
        assert exported(client, export(b"{}", "/v1/logs", JSON)).body == b"{}"
        assert not collector.has_report()


def test_export_that_comes_again_is_not_kept_twice_however_it_is_compressed() -> None:
    """A freeze cut the first one's answer off; each try is compressed anew."""
    body = spans(7)
    with Running(takes_exports=True) as collector:
        client = collector.exporter()
        assert exported(client, export(body)).status == 200
        stored = collector.stored()
        for again in (gzip.compress(body, 1), gzip.compress(body, 9)):
            answer = exported(collector.exporter(), export(again, "/v1/traces", PROTOBUF, "Content-Encoding: gzip"))
            assert answer.status == 200
            assert collector.report() == wire.Repeated(events=7, digest=stored.digest)


def test_same_bytes_at_another_path_are_another_export() -> None:
    """A body of nothing but a resource and items is the same for each signal."""
    body = spans(1)
    with Running(takes_exports=True) as collector:
        client = collector.exporter()
        assert exported(client, export(body)).status == 200
        assert exported(client, export(body, "/v1/logs")).status == 200
        assert [collector.stored().signal, collector.stored().signal] == ["traces", "logs"]


def test_successor_knows_what_its_predecessor_kept() -> None:
    """A collector that dies takes no memory of what came with it."""
    with Running(takes_exports=True) as collector:
        assert exported(collector.exporter(), export(spans(2))).status == 200
        stored = collector.stored()
    with Running(takes_exports=True, recent_exports=[stored.digest]) as collector:
        assert exported(collector.exporter(), export(spans(2))).status == 200
        assert collector.report() == wire.Repeated(events=2, digest=stored.digest)


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [
        (export(spans(1), "/v1/profiles"), 404, "not_found"),
        (export(spans(1), "/v1/traces", "application/grpc"), 415, "bad_type"),
        (export(spans(1), "/v1/traces", PROTOBUF, "Content-Encoding: zstd"), 415, "bad_encoding"),
        (export(b"\x0a\xff", "/v1/traces"), 400, "malformed"),
        (export(b"[]", "/v1/traces", JSON), 400, "malformed"),
        (export(b"no gzip", "/v1/traces", PROTOBUF, "Content-Encoding: gzip"), 400, "malformed"),
        (
            export(gzip.compress(spans(9))[:-9], "/v1/traces", PROTOBUF, "Content-Encoding: gzip"),
            400,
            "malformed",
        ),
        (
            export(gzip.compress(b"\x0a\x00" * 2**19), "/v1/traces", PROTOBUF, "Content-Encoding: gzip"),
            400,
            "malformed",
        ),
        (export(b"", method="GET"), 405, "bad_method"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_a_status_that_says_why(request_: bytes, status: int, reason: str) -> None:
    """No SDK sends it again; the connection serves the next one."""
    with Running(takes_exports=True) as collector:
        client = collector.exporter()
        answer = exported(client, request_)
        assert answer.status == status
        assert collector.refused().reason == reason
        is_json = answer.headers["Content-Type"] == JSON
        text = json.loads(answer.body)["message"] if is_json else Status.FromString(answer.body).message
        assert text.startswith(f"{reason}: got ")
        assert exported(client, export(spans(1))).status == 200
        (line,) = collector.warnings()
        assert (line["event"], line["reason"], line["status"]) == ("collector.export_refused", reason, status)


def test_request_beyond_the_limits_is_refused_and_no_bomb_is_unpacked() -> None:
    """A quarter of the backlog as received, four times that inflated; both are counted as they come."""
    with Running(takes_exports=True) as collector:
        limit = collector.settings.export_limit_bytes
        assert limit == (2 << 20) // 4
        assert exported(collector.exporter(), export(bytes(limit + 1))).status == 413
        assert collector.refused().reason == "too_large"
        for size, status in ((4 * limit, 400), (4 * limit + 1, 413), (40 << 20, 413)):
            bomb = gzip.compress(bytes(size))
            answer = exported(collector.exporter(), export(bomb, "/v1/traces", PROTOBUF, "Content-Encoding: gzip"))
            assert answer.status == status
            assert collector.refused().status == status


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        ("/v1/traces", spans(300), ExportTraceServiceResponse),
        ("/v1/metrics", points(300), ExportMetricsServiceResponse),
        ("/v1/logs", records(300), ExportLogsServiceResponse),
    ],
)
def test_full_backlog_is_answered_at_once_as_partly_taken_and_counted(
    path: str, body: bytes, answer: type[ExportTraceServiceResponse]
) -> None:
    """An SDK would try again what is answered 429 or 503, on time that the function is billed for."""
    with Running(takes_exports=True) as collector:
        client = collector.exporter()
        fill(collector, client)
        began = time.monotonic()
        got = exported(client, export(body, path))
        assert time.monotonic() - began < 1.0
        assert got.status == 200
        partial = answer.FromString(got.body).partial_success
        rejected = [value for field, value in partial.ListFields() if field.name.startswith("rejected_")]
        assert (rejected, partial.error_message) == ([300], "the backlog of the Tailrace layer is full")
        signal = path.rpartition("/")[2]
        assert collector.report() == wire.Overflowed(signal=signal, items=300, body_bytes=len(body))
        assert {line["event"] for line in collector.warnings()} == {"collector.export_dropped"}


def fill(collector: Running, client: Client) -> int:
    """Exports as much as is taken; where the last one ends."""
    end = 0
    for size in (500, 50, 1):
        for number in range(1000):
            assert exported(client, export(spans(size, f"{size} {number:>200}"))).status == 200
            report = collector.report()
            if isinstance(report, wire.Overflowed):
                break
            assert isinstance(report, wire.Stored)
            end = report.end
        else:
            raise AssertionError("there is no end to the room")
    return end


def test_partial_success_in_json_names_the_items_as_the_protocol_does() -> None:
    """64-bit numbers are text in protobuf's JSON."""
    with Running(takes_exports=True) as collector:
        client = collector.exporter()
        fill(collector, client)
        answer = exported(client, export(spans_in_json(2000), "/v1/traces", JSON))
        assert json.loads(answer.body)["partialSuccess"]["rejectedSpans"] == "2000"


def test_exports_fill_no_more_than_half_of_the_backlog() -> None:
    """The platform has the other half; and room comes back with delivery, also to a successor."""
    backlog = Backlog(2 << 20)
    with Running(takes_exports=True, backlog=backlog) as collector:
        client = collector.exporter()
        end = fill(collector, client)
        assert (2 << 20) * 3 / 8 < end <= (2 << 20) / 2 + 5000
        assert collector.client().ask(post(batch(event("x" * 100_000)))) == 200
        last = collector.stored().end
    with Running(takes_exports=True, backlog=backlog, end=last) as collector:
        client = collector.exporter()
        assert exported(client, export(spans(500, " " * 201))).status == 200
        assert isinstance(collector.report(), wire.Overflowed)
        collector.release(end)
        assert exported(client, export(spans(500, " " * 202))).status == 200
        collector.stored()


def test_full_ring_overflows_to_the_spool_at_once(tmp_path: Path) -> None:
    """Nobody waits for it."""
    backlog = Backlog(2 << 20, Spool(str(tmp_path / "spool"), 4 << 20, frame_limit_bytes=2 << 20))
    with Running(takes_exports=True, backlog=backlog, spool_bytes=4 << 20) as collector:
        client = collector.exporter()
        fill(collector, client)
        held = sum(path.stat().st_size for path in (tmp_path / "spool").iterdir())
        assert 0 < held < 2 << 20
        assert (2 << 20) - (256 << 10) < held + (2 << 20) - (1 << 20) <= (6 << 20) / 2


def test_what_was_spooled_before_a_reset_is_reported_by_its_signal(tmp_path: Path) -> None:
    """And counted as its frames say: nothing of it is looked into."""
    spool = Spool(str(tmp_path / "spool"), 4 << 20, frame_limit_bytes=2 << 20)
    stored: list[wire.Stored] = []
    with Running(takes_exports=True, backlog=Backlog(2 << 20, spool), spool_bytes=4 << 20) as collector:
        client = collector.exporter()
        while not stored or not is_spooled(stored[-1].end):
            assert exported(client, export(spans(500, f"{len(stored):>400}"))).status == 200
            stored.append(collector.stored())
        assert exported(client, export(points(7), "/v1/metrics")).status == 200
        stored.append(collector.stored())
    with Running(takes_exports=True, backlog=Backlog(2 << 20, spool), spool_bytes=4 << 20) as collector:
        found = [collector.stored() for _ in range(2)]
        assert [(one.signal, one.events) for one in found] == [("traces", 500), ("metrics", 7)]
        assert [one.digest for one in found] == [one.digest for one in stored[-2:]]


def test_platform_does_not_wait_behind_exports_nor_they_behind_it() -> None:
    """A batch that waits for room holds no export up: there is room for it, or it is counted."""
    with Running(takes_exports=True, timeouts=Timeouts(room_s=30.0)) as collector:
        platform = collector.client()
        stored = 0
        while stored < (2 << 20) - (200 << 10):
            platform.send(post(batch(event("x" * 190_000), event(str(stored)))))
            assert platform.status() == 200
            stored = collector.stored().end
        platform.send(post(batch(event("y" * 250_000))))
        collector.crowded()
        assert exported(collector.exporter(), export(spans(500, " " * 400))).status == 200
        assert isinstance(collector.report(), wire.Overflowed)
        collector.release(stored)
        assert platform.status() == 200


def test_end_of_an_invocation_says_how_many_exports_are_under_way_and_when_they_are_over() -> None:
    """One is stored, one is hung up; a connection that is open and silent is none."""
    done = event({"requestId": "r1"}, "platform.runtimeDone")
    with Running(takes_exports=True) as collector:
        client, other, silent = collector.exporter(), collector.exporter(), collector.exporter()
        request = export(spans(3))
        client.send(request[:-5])
        other.send(request[:50])
        assert exported(silent, export(spans(1))).status == 200
        collector.stored()
        reported = collector.client()
        while reported.ask(post(batch(done))) and collector.stored().begun != 2:
            done["time"] += "0"  # another batch: the exports had not been seen
        assert exported(silent, export(spans(2))).status == 200
        assert collector.stored().events == 2
        assert exported(client, request[-5:]).status == 200
        stored = collector.stored()
        assert not collector.has_report(0.05)
        other.close()
        settled = [collector.report() for _ in range(2)]
        assert wire.Settled(through=stored.end) in settled
        assert exported(client, export(spans(4))).status == 200
        assert collector.stored().events == 4
        assert not collector.has_report(0.05)


def test_export_that_outlasts_the_end_of_an_invocation_is_waited_for_once() -> None:
    """A freeze may have cut it off for good, and each later invocation would be held for it."""
    with Running(takes_exports=True) as collector:
        client, platform = collector.exporter(), collector.client()
        request = export(spans(3))
        client.send(request[:-5])
        begun: list[int] = []
        while 1 not in begun:
            done = event({"requestId": f"r{len(begun)}"}, "platform.runtimeDone")
            assert platform.ask(post(batch(done))) == 200
            begun.append(collector.stored().begun)
        assert platform.ask(post(batch(event({"requestId": "again"}, "platform.runtimeDone")))) == 200
        assert collector.stored().begun == 0
        assert exported(client, request[-5:]).status == 200
        assert collector.stored().events == 3
        assert not collector.has_report(0.05)


def test_end_of_an_invocation_with_nothing_under_way_is_followed_by_nothing() -> None:
    """As most ends are: an SDK flushes before the runtime is done."""
    with Running(takes_exports=True) as collector:
        assert exported(collector.exporter(), export(spans(3))).status == 200
        collector.stored()
        assert collector.client().ask(post(batch(event({"requestId": "r1"}, "platform.runtimeDone")))) == 200
        assert collector.stored().begun == 0
        assert not collector.has_report(0.05)


def test_crowd_at_the_intake_takes_nothing_from_the_platform() -> None:
    """Its connections have limits of their own, and who is silent there makes room for who speaks."""
    with Running(takes_exports=True) as collector:
        crowd = [collector.exporter() for _ in range(3 * MOST_CONNECTIONS)]
        for client in crowd[:10]:
            client.send(b"POST /v1/traces HTTP/1.1\r\n")
        assert collector.client().ask(post(batch())) == 200
        collector.stored()
        assert exported(collector.exporter(), export(spans(1))).status == 200


def test_key_of_the_digests_is_that_of_this_copy_of_a_snapshot() -> None:
    """Ids made of them differ from copy to copy."""
    with Running(takes_exports=True) as collector:
        client = collector.exporter()
        assert exported(client, export(spans(2))).status == 200
        first = collector.stored()
        collector.restore(b"fedcba9876543210")
        assert exported(client, export(spans(2))).status == 200
        assert collector.stored().digest != first.digest


@settings(max_examples=150, deadline=None)
@given(
    path=st.sampled_from(["/v1/traces", "/v1/metrics", "/v1/logs", "/v1/traces/", "*", "/v1/\xe9"]),
    content_type=st.sampled_from([PROTOBUF, JSON, "text/plain", ""]),
    encoding=st.sampled_from([None, "gzip", "identity", "br"]),
    body=st.binary(max_size=200) | st.sampled_from([spans(2), points(2), records(2), spans_in_json(2)]),
    is_compressed=st.booleans(),
    pieces=st.integers(1, 50),
)
def test_whatever_comes_is_answered_once_and_told_once(
    path: str, content_type: str, encoding: str | None, body: bytes, pieces: int, *, is_compressed: bool
) -> None:
    """Whatever it is and however it is cut: one report at most, and an answer that is one."""
    sent = gzip.compress(body, mtime=0) if is_compressed else body
    headers = [f"Content-Encoding: {encoding}"] if encoding else []
    request = export(sent, path, content_type, *headers)
    told: list[wire.Message] = []
    writer = Writer(Backlog(1 << 20), end=0, released=0)
    log = Log("collector", "error", write=lambda _: None)
    intake = Intake(writer, told.append, (), b"k" * 16, limit_bytes=1 << 18, room_bytes=1 << 19, log=log)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = Connection(ours, intake.parser(), 1, 0.0, is_lines=False)
        for at in range(0, len(request), pieces):
            connection.items += connection.parser.receive(request[at : at + pieces])
            intake.handle(connection, 0.0)
    head, _, rest = connection.unsent.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    assert int(head.partition(b"Content-Length: ")[2].split()[0]) == len(rest)
    assert status in (200, 400, 404, 413, 415)
    assert [type(one) for one in told] in ([wire.Refused], [wire.Stored], [])
    assert bool(told and isinstance(told[0], wire.Refused)) is (status != 200)


def test_intake_that_is_off_is_not_there() -> None:
    """Nobody listens, and nothing of it is loaded."""
    with Running() as collector:
        assert collector.settings.otlp_intake is False
        assert collector.settings.batch_limit_bytes == 1 << 20
