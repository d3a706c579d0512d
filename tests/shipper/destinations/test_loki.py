"""Entries, requests and answers of Loki's push API, against our own server of it."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.delivery.interfaces import Request
from shipper.delivery.outcome import DONE, Outcome, Verdict
from shipper.destinations.destination import Destination
from shipper.destinations.loki import MOST_BYTES, MOST_ENTRIES, Entries, read
from shipper.model.log_record import ExceptionInfo, LogRecord
from shipper.transport.response import Response
from tests.shipper.destinations.loki_server import LokiServer
from tests.shipper.destinations.stub import SPAN, delivered, made, record, sent
from tests.shipper.support import REQUEST_ID, TIME_NS, settings_of

FUNCTION = {"AWS_LAMBDA_FUNCTION_NAME": "hello", "AWS_REGION": "eu-central-1"}
HOUR_NS = 3_600_000_000_000


@pytest.fixture
def server() -> Iterator[LokiServer]:
    with LokiServer(now_ns=TIME_NS) as server:
        yield server


def destination_of(server: LokiServer, path: str = "", **environ: str) -> Destination:
    return made(f"loki+http://127.0.0.1:{server.port}{path}", **FUNCTION, **environ)


def entry(one: LogRecord, **environ: str) -> tuple[str, dict[str, str]]:
    moment, line, metadata = json.loads(Entries(settings_of(**environ)).log(one))
    assert moment == str(one.time_ns)
    return line, metadata


class TestEntries:
    """What a record is written as."""

    def test_what_is_known_of_a_line_is_structured_metadata(self) -> None:
        """As text, by names that Loki takes."""
        one = record(
            severity_text="WARN",
            scope="shop",
            origin={"request_id": REQUEST_ID, "trace_id": "5b8e", "span_id": "eee1"},
            exception=ExceptionInfo("KeyError", "'x'", "Traceback …"),
            attributes=(("order.id", b"7"), ("1st", b'{"a": [1]}'), ("level", b'"mine"')),
        )
        assert entry(one) == (
            "hello",
            {
                "level": "WARN",
                "request_id": REQUEST_ID,
                "trace_id": "5b8e",
                "span_id": "eee1",
                "uid": "uid-0",
                "logger": "shop",
                "exception_type": "KeyError",
                "exception_message": "'x'",
                "exception_stacktrace": "Traceback …",
                "cloud_provider": "aws",
                "order_id": "7",
                "_1st": '{"a": [1]}',
                "log_level": "mine",
            },
        )

    def test_names_that_become_one_are_not_lost(self) -> None:
        """Nor is anything else that does not fit: it stands at the line's end."""
        line, metadata = entry(record(attributes=(("a.b", b'"x"'), ("a_b", b"1"))))
        assert (line, metadata["a_b"]) == ('hello {"a_b":1}', "x")
        line, metadata = entry(record(attributes=tuple((f"n{number}", b"1") for number in range(200))))
        rest = json.loads(line.removeprefix("hello "))
        assert len(metadata) == MOST_ENTRIES
        assert {*metadata, *rest} >= {f"n{number}" for number in range(200)}
        large = b'"%b"' % (b"x" * MOST_BYTES)
        line, metadata = entry(record(attributes=(("large", large), ("small", b"1"))))
        assert ("large" in metadata, metadata["small"]) == (False, "1")
        assert line.startswith('hello {"large":"xxx')

    def test_a_line_that_is_an_object_is_one(self) -> None:
        """For Loki's own parser."""
        assert entry(record(body=b'{"a":\n1}'))[0] == '{"a":\n1}'


class TestRequests:
    """What is sent, and where."""

    @pytest.mark.parametrize("path", ["", "/", "/loki/api/v1/push"])
    def test_all_entries_of_a_request_are_one_stream(self, server: LokiServer, path: str) -> None:
        """Whose labels say what is the same for all of them; sent again, they are there once."""
        environ = {"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=prod,team=a", "OTEL_SERVICE_NAME": "shop"}
        assert sent(destination_of(server, path, **environ), record(1), record(2, severity_text="ERROR")) == DONE
        assert sent(destination_of(server, path, **environ), record(1)) == DONE
        assert [found["labels"] for found in server.entries] == [
            {
                "service_name": "shop",
                "deployment_environment": "prod",
                "faas_name": "hello",
                "cloud_region": "eu-central-1",
            }
        ] * 2
        assert {found["metadata"]["team"] for found in server.entries} == {"a"}
        assert server.requests[0][1]["content-encoding"] == "gzip"

    def test_tenant_is_a_header(self) -> None:
        """Without it, where there must be one, nothing is taken and nothing given up."""
        with LokiServer(now_ns=TIME_NS, tenant="t1") as server:
            assert sent(destination_of(server, TAILRACE_HEADERS="X-Scope-OrgID=t1"), record()) == DONE
            outcome = sent(destination_of(server), record())
        assert (outcome.verdict, outcome.reason, outcome.said) == (Verdict.HELD, "unauthorised", "no org id")

    def test_span_is_an_entry_where_spans_are_asked_for(self, server: LokiServer) -> None:
        """With its parts."""
        assert "traces" not in destination_of(server).endpoints
        destination = destination_of(server, TAILRACE_SIGNALS="logs,traces")
        assert destination.shapes is not None
        assert delivered(destination, [destination.shapes.span(SPAN)], "traces") == DONE
        (found,) = server.entries
        assert (found["line"], found["time"]) == ("shop", SPAN.start_ns)
        assert found["metadata"]["event_type"] == "span"
        assert (found["metadata"]["request_id"], found["metadata"]["duration_ms"]) == ("r-1", "12.4")
        assert json.loads(found["metadata"]["spans"]) == {"responseLatency": 2.2}


class TestAnswers:
    """What became of a request, or of a part of it."""

    @pytest.mark.parametrize("age_h", [200, 2])
    def test_entries_that_are_too_old_are_given_up_and_the_rest_is_taken(self, server: LokiServer, age_h: int) -> None:
        """For Loki, or for their stream: in the one request, since it has stored the others."""
        old = record(2, time_ns=TIME_NS - age_h * HOUR_NS)
        outcome = sent(destination_of(server), record(1), old, record(3))
        assert (outcome.verdict, {at: one.reason for at, one in outcome.items.items()}) == (
            Verdict.DONE,
            {1: "too_old"},
        )
        assert outcome.items[1].verdict is Verdict.REFUSED
        assert len(server.entries) == 2

    def test_where_all_are_too_old_nothing_waits(self, server: LokiServer) -> None:
        """They get no younger."""
        sent(destination_of(server), record(0))
        outcome = sent(destination_of(server), *(record(at, time_ns=TIME_NS - 2 * HOUR_NS) for at in range(3)))
        assert (outcome.verdict, outcome.rejected) == (Verdict.DONE, 3)
        assert "too far behind" in outcome.said

    def test_line_that_is_too_long_is_looked_for(self) -> None:
        """The answer does not say which it is; what is sent again meanwhile is there once."""
        with LokiServer(now_ns=TIME_NS, most_line=100) as server:
            long = record(2, b'"%b"' % (b"x" * 101))
            outcome = sent(destination_of(server), record(1), long)
            assert (outcome.verdict, dict(outcome.items)) == (Verdict.REFUSED, {})
            assert outcome.said.startswith("Max entry size '100' bytes exceeded")
            assert sent(destination_of(server), record(1)) == DONE
            assert len(server.entries) == 1
            both = sent(destination_of(server), long, record(3, time_ns=TIME_NS - 200 * HOUR_NS), record(4))
            assert (both.verdict, dict(both.items)) == (Verdict.REFUSED, {}), "one of them may be neither"

    @pytest.mark.parametrize(
        ("answer", "verdict", "reason"),
        [
            ((429, b"Ingestion rate limit exceeded"), Verdict.RETRY, "status_429"),
            ((500, b""), Verdict.RETRY, "status_500"),
            ((413, b"request body too large"), Verdict.SPLIT, "status_413"),
            ((260, b"ingestion blocked"), Verdict.HELD, "ingestion_blocked"),
        ],
    )
    def test_other_answers_are_of_the_whole_request(
        self, server: LokiServer, answer: tuple[int, bytes], verdict: Verdict, reason: str
    ) -> None:
        """By their status."""
        server.busy = [answer]
        outcome = sent(destination_of(server), record())
        assert (outcome.verdict, outcome.reason) == (verdict, reason)

    @given(st.binary() | st.text().map(lambda text: f"oldest acceptable timestamp is: {text}".encode()))
    def test_whatever_is_answered_is_an_outcome(self, body: bytes) -> None:
        """Of entries that are in the request."""
        for said in (body, b"oldest acceptable timestamp is: 2030-01-01T00:00:00Z" + body):
            outcome = read(Request(body=body, body_bytes=0, items=2), Response(status=400, body=said))
            assert isinstance(outcome, Outcome)
            assert set(outcome.items) <= {0, 1}
