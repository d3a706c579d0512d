"""Documents, requests and answers of `_bulk`, against our own server of it."""

import json
import select
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.contract.schemes import SCHEMES
from shipper.delivery.interfaces import Request
from shipper.delivery.outcome import DONE, Outcome, Verdict
from shipper.destinations import registry
from shipper.destinations.destination import Destination
from shipper.destinations.elasticsearch import Documents, read
from shipper.model.events import OddEvent
from shipper.model.log_record import ExceptionInfo, LogRecord, Origin
from shipper.transport.response import Response
from tests.shipper.destinations.bulk_server import BulkServer
from tests.shipper.destinations.stub import SPAN
from tests.shipper.model.test_events import JSON
from tests.shipper.support import OBSERVED_NS, REQUEST_ID, TIME_NS, Lines, Waits, settings_of

STREAM = "logs-lambda-default"
FUNCTION = {"AWS_LAMBDA_FUNCTION_NAME": "hello", "AWS_REGION": "eu-central-1"}
EVENT = OddEvent("", b"{}")


def record(number: int = 0, body: bytes = b'"hello"', origin: dict[str, Any] | None = None, **fields: Any) -> LogRecord:
    where = Origin(**{"observed_ns": OBSERVED_NS, "batch_id": "uid", **(origin or {})})
    return LogRecord(EVENT, number, where, body, **{"time_ns": TIME_NS, **fields})


def document(one: LogRecord, **environ: str) -> dict[str, Any]:
    action, source, rest = Documents(settings_of(**environ)).log(one).split(b"\n")
    assert (json.loads(action), rest) == ({"create": {"_id": one.uid}}, b"")
    found: dict[str, Any] = json.loads(source)
    return found


@pytest.fixture
def server() -> Iterator[BulkServer]:
    with BulkServer() as server:
        yield server


def destination_of(server: BulkServer, user: str = "", **environ: str) -> Destination:
    url = f"elasticsearch+http://{user}127.0.0.1:{server.port}/{STREAM}"
    settings = settings_of(TAILRACE_DESTINATION=url, **environ)
    return registry.create(settings, Waits(polled), Lines().log)


def polled(fd: int, events: int, until: float) -> int:
    poll = select.poll()
    poll.register(fd, events)
    return dict(poll.poll(max(0.0, until - time.monotonic()) * 1000)).get(fd, 0)


def sent(destination: Destination, *records: LogRecord) -> Outcome:
    endpoint = destination.endpoints["logs"]
    items = [destination.encoder.log(one) for one in records]
    try:
        return endpoint.send(endpoint.build(items))
    finally:
        destination.close()


class TestDocuments:
    """What a record is written as."""

    def test_names_are_the_common_schemas(self) -> None:
        """And what the function says is apart from them."""
        one = record(
            severity_text="WARN",
            scope="shop",
            origin={
                "request_id": REQUEST_ID,
                "trace_id": "5b8efff798038103d269b633813fc60c",
                "span_id": "eee19b7ec3c1b174",
            },
            exception=ExceptionInfo("KeyError", "'x'", "Traceback …"),
            attributes=(("order", b'{"id": 7}'), ("@timestamp", b'"never"')),
        )
        assert document(one, **FUNCTION, OTEL_RESOURCE_ATTRIBUTES="team=a") == {
            "@timestamp": "2024-05-20T16:29:45.008000000Z",
            "message": "hello",
            "log.level": "WARN",
            "log.logger": "shop",
            "faas.execution": REQUEST_ID,
            "event.id": "uid-0",
            "trace.id": "5b8efff798038103d269b633813fc60c",
            "span.id": "eee19b7ec3c1b174",
            "error.type": "KeyError",
            "error.message": "'x'",
            "error.stack_trace": "Traceback …",
            "attributes": {"order": {"id": 7}, "@timestamp": "never"},
            "service.name": "hello",
            "faas.name": "hello",
            "cloud.provider": "aws",
            "cloud.region": "eu-central-1",
            "labels": {
                "cloud.platform": "aws_lambda",
                "team": "a",
                "telemetry.distro.name": "tailrace",
                "telemetry.distro.version": "0.1.0",
            },
        }

    def test_body_that_is_no_text_is_a_message_all_the_same(self) -> None:
        """An object can be searched as one, too."""
        found = document(record(body=b'{"a":\n1}'))
        assert (found["message"], found["attributes"]) == ('{"a":\n1}', {"a": 1})
        assert document(record(body=b"17"))["message"] == "17"

    def test_platform_event_says_which_it_is(self) -> None:
        """Lines of the function do not."""
        assert document(record(origin={"event_type": "platform.start"}))["event.action"] == "platform.start"
        assert "event.action" not in document(record(origin={"event_type": "function"}))

    def test_what_a_runtime_puts_before_a_line_is_not_its_message(self) -> None:
        """It is in fields of its own."""
        body = b'"[INFO]\\t2024-05-20T16:29:45.008Z\\tid\\thello"'
        assert document(record(body=body, prefix_bytes=body.index(b"hello") - 1))["message"] == "hello"

    def test_record_without_a_time_has_that_of_its_arrival(self) -> None:
        """A data stream wants one."""
        assert document(record(time_ns=None))["@timestamp"] == "2024-05-20T16:29:46.000000000Z"

    @given(JSON, st.dictionaries(st.text(), JSON), st.integers(0, 2**62))
    def test_whatever_the_record_it_is_two_lines_of_json(
        self, body: Any, members: dict[str, Any], time_ns: int
    ) -> None:
        """However it was written."""
        attributes = tuple((name, json.dumps(value, indent=1).encode()) for name, value in members.items())
        one = record(body=json.dumps(body, indent=1).encode(), attributes=attributes)
        one.time_ns = time_ns
        found = document(one)
        assert found.get("attributes", {}) == (members or (body if isinstance(body, dict) else {}))


class TestRequests:
    """What is sent, and where."""

    def test_documents_are_created_under_their_own_ids(self, server: BulkServer) -> None:
        """Those that come a second time are a success."""
        assert sent(destination_of(server), record(1), record(2)) == DONE
        again = sent(destination_of(server), record(2), record(3))
        assert (again.verdict, dict(again.items)) == (Verdict.DONE, {})
        assert list(server.streams[STREAM]) == ["uid-1", "uid-2", "uid-3"]
        assert server.complaints == []

    def test_request_is_compressed_ndjson_to_the_data_stream(self, server: BulkServer) -> None:
        """With the answer trimmed to what is read of it."""
        sent(destination_of(server), record())
        ((target, headers),) = server.requests
        assert target.startswith(f"/{STREAM}/_bulk?filter_path=errors%2Citems")
        assert (headers["content-type"], headers["content-encoding"]) == ("application/x-ndjson", "gzip")

    def test_query_of_the_address_is_kept(self) -> None:
        """An ingest pipeline, say."""
        url = "opensearch+https://h/a/b/logs-x/?pipeline=p"
        settings = settings_of(TAILRACE_DESTINATION=url)
        destination = registry.create(settings, Waits(), Lines().log)
        target = destination.endpoints["logs"].build([b"{}\n{}\n"]).target
        assert target.startswith("/a/b/logs-x/_bulk?pipeline=p&filter_path=")
        assert destination.label == "https://h/a/b/logs-x/"

    def test_address_without_a_data_stream_is_none(self) -> None:
        """Nothing says where documents would go."""
        assert not SCHEMES["elasticsearch+https"].fits("://host:9200")
        assert not SCHEMES["elasticsearch+https"].fits("://host:9200/?x=y")
        assert SCHEMES["elasticsearch+https"].fits("://host:9200/logs-x")

    def test_span_is_a_document_where_spans_are_asked_for(self, server: BulkServer) -> None:
        """The same one each time; with its parts."""
        destination = destination_of(server, TAILRACE_SIGNALS="logs,traces")
        assert destination.shapes is not None
        item = destination.shapes.span(SPAN)
        endpoint = destination.endpoints["traces"]
        for _ in range(2):
            assert dict(endpoint.send(endpoint.build([item])).items) == {}
        destination.close()
        ((uid, found),) = server.streams[STREAM].items()
        assert uid == found["event.id"] == f"{SPAN.trace_id}-{SPAN.span_id}-0"
        assert (found["message"], found["event.action"], found["span.id"]) == ("shop", "span", SPAN.span_id)
        assert found["attributes"]["spans"] == {"responseLatency": 2.2}

    def test_serverless_is_given_no_ids(self) -> None:
        """Its time series take none."""
        url = "opensearch+https://x.eu-central-1.aoss.amazonaws.com/logs"
        destination = registry.create(settings_of(TAILRACE_DESTINATION=url), Waits(), Lines().log)
        action, source, _ = destination.encoder.log(record(3)).split(b"\n")
        assert (json.loads(action), json.loads(source)["event.id"]) == ({"create": {}}, "uid-3")

    @pytest.mark.parametrize(
        ("user", "environ", "value"),
        [
            ("elastic:hunter22@", {}, "Basic ZWxhc3RpYzpodW50ZXIyMg=="),
            ("", {"TAILRACE_HEADERS": "Authorization=ApiKey aWQ6a2V5"}, "ApiKey aWQ6a2V5"),
        ],
    )
    def test_user_and_key_are_shown(self, user: str, environ: dict[str, str], value: str) -> None:
        """Whichever there is; with the wrong one nothing is taken, and nothing given up."""
        with BulkServer(keys=(value,)) as server:
            assert sent(destination_of(server, user, **environ), record()) == DONE
            refused = sent(destination_of(server, "other:one@"), record(2))
            assert (refused.verdict, refused.reason) == (Verdict.HELD, "unauthorised")

    def test_request_that_is_too_large_is_to_be_split(self) -> None:
        """By whatever limit the cluster has."""
        with BulkServer(most_bytes=100) as server:
            assert sent(destination_of(server), record()).verdict is Verdict.SPLIT


MAPPING = (400, "document_parsing_exception", "[1:9] failed to parse field [a] of type [long]")
BUSY = (429, "es_rejected_execution_exception", "rejected execution of coordinating operation")
BLOCKED = (403, "cluster_block_exception", "index [x] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded]")
BROKEN = (503, "unavailable_shards_exception", "primary shard is not active")


class TestAnswers:
    """What became of each document."""

    @pytest.mark.parametrize(
        ("judged", "verdict"),
        [(MAPPING, Verdict.REFUSED), (BUSY, Verdict.RETRY), (BLOCKED, Verdict.RETRY), (BROKEN, Verdict.RETRY)],
    )
    def test_each_document_has_its_own_outcome(self, judged: tuple[int, str, str], verdict: Verdict) -> None:
        """The others are done."""
        with BulkServer(verdict=lambda document: judged if document["message"] == "bad" else None) as server:
            outcome = sent(destination_of(server), record(1), record(2, b'"bad"'), record(3))
        assert outcome.verdict is Verdict.DONE
        assert {at: (one.verdict, one.reason, one.said) for at, one in outcome.items.items()} == {
            1: (verdict, *judged[1:])
        }

    @pytest.mark.parametrize(
        ("status", "kind"),
        [(403, "security_exception"), (404, "index_not_found_exception"), (401, "security_exception")],
    )
    def test_what_is_wrong_with_the_settings_is_no_documents_fault(self, status: int, kind: str) -> None:
        """All wait until somebody has changed them."""
        with BulkServer(verdict=lambda _document: (status, kind, "no")) as server:
            outcome = sent(destination_of(server), record(1), record(2))
        assert (outcome.verdict, outcome.reason, dict(outcome.items)) == (Verdict.HELD, kind, {})

    @pytest.mark.parametrize(
        "body", [b"", b"ok", b"{}", b'{"took":3}', b"[]", b'{"errors":1}', b'{"\x86":1}', b"[" * 5000]
    )
    def test_success_that_is_no_answer_to_a_bulk_request_is_held(self, body: bytes) -> None:
        """Whoever said it has stored nothing."""
        outcome = read(request_of(1), Response(status=200, body=body))
        assert (outcome.verdict, outcome.reason) == (Verdict.HELD, "no_bulk_answer")

    def test_document_is_not_taken_for_a_success_beside_its_error(self) -> None:
        """As some who speak `_bulk` answer; our own id that is there already is one."""
        there = {"status": 409, "error": {"type": "version_conflict_engine_exception", "reason": "exists"}}
        items = [{"create": {"status": 200, "error": {"type": "", "reason": "too old"}}}, {"create": there}]
        outcome = read(request_of(2), Response(status=200, body=msgspec.json.encode({"errors": True, "items": items})))
        assert {at: (one.verdict, one.said) for at, one in outcome.items.items()} == {0: (Verdict.REFUSED, "too old")}

    @pytest.mark.parametrize("kind", ["", "no name", "n\u00e4me", "two\nlines"])
    def test_type_that_is_no_name_is_not_taken_for_one(self, kind: str) -> None:
        """It would stand in the log as it came."""
        body = msgspec.json.encode({"errors": True, "items": [{"create": {"status": 400, "error": {"type": kind}}}]})
        (one,) = read(request_of(1), Response(status=200, body=body)).items.values()
        assert one.reason == "status_400"

    def test_document_that_nothing_is_said_of_is_sent_again(self) -> None:
        """It may or may not be there."""
        body = b'{"errors":true,"items":[{"create":{"status":201}},{"create":{"status":400}}]}'
        outcome = read(request_of(3), Response(status=200, body=body))
        assert {at: one.verdict for at, one in outcome.items.items()} == {1: Verdict.REFUSED, 2: Verdict.RETRY}

    @given(st.binary() | JSON.map(msgspec.json.encode), st.integers(100, 599), st.integers(0, 3))
    def test_whatever_is_answered_is_an_outcome(self, body: bytes, status: int, items: int) -> None:
        """Of the request and of documents that are in it."""
        outcome = read(request_of(items), Response(status=status, body=body))
        assert isinstance(outcome, Outcome)
        assert set(outcome.items) <= set(range(max(items, 3)))


def request_of(items: int) -> Request:
    return Request(body=b"", body_bytes=0, items=items)
