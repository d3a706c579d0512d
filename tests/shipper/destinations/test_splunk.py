"""Events, requests and answers of Splunk's HTTP Event Collector, against our own server of it."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.delivery.interfaces import Request
from shipper.delivery.outcome import DONE, Outcome, Verdict
from shipper.destinations.destination import Destination
from shipper.destinations.splunk import Events, read
from shipper.model.log_record import ExceptionInfo, LogRecord
from shipper.transport.response import Response
from tests.shipper.destinations.splunk_server import SplunkServer
from tests.shipper.destinations.stub import SPAN, delivered, made, record, sent
from tests.shipper.model.test_events import JSON
from tests.shipper.support import REQUEST_ID, settings_of

FUNCTION = {"AWS_LAMBDA_FUNCTION_NAME": "hello", "AWS_REGION": "eu-central-1"}
TOKEN = {"TAILRACE_HEADERS": "Authorization=Splunk t0ken"}


@pytest.fixture
def server() -> Iterator[SplunkServer]:
    with SplunkServer() as server:
        yield server


def destination_of(server: SplunkServer, rest: str = "", **environ: str) -> Destination:
    return made(f"splunk+http://127.0.0.1:{server.port}{rest}", **{**FUNCTION, **TOKEN, **environ})


def event(one: LogRecord, **environ: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Events(settings_of(**environ), {}).log(one))
    return found


class TestEvents:
    """What a record is written as."""

    def test_ids_are_indexed_and_the_line_is_the_event(self) -> None:
        """As a search wants them."""
        one = record(
            severity_text="WARN",
            scope="shop",
            origin={"request_id": REQUEST_ID, "trace_id": "5b8e", "span_id": "eee1", "event_type": "function"},
            exception=ExceptionInfo("KeyError", "'x'", "Traceback …"),
            attributes=(("order", b'{"id":7}'), ("message", b'"mine"'), ("time", b"1")),
        )
        assert event(one, **FUNCTION) == {
            "time": 1716222585.008,
            "host": "hello",
            "source": "lambda:hello",
            "sourcetype": "_json",
            "event": {
                "message": "hello",
                "level": "WARN",
                "logger": "shop",
                "exception.type": "KeyError",
                "exception.message": "'x'",
                "exception.stacktrace": "Traceback …",
                "order": {"id": 7},
                "log.message": "mine",
                "time": 1,
            },
            "fields": {
                "service.name": "hello",
                "faas.name": "hello",
                "cloud.provider": "aws",
                "cloud.region": "eu-central-1",
                "request_id": REQUEST_ID,
                "trace_id": "5b8e",
                "span_id": "eee1",
                "uid": "uid-0",
            },
        }

    def test_a_line_that_is_an_object_is_the_event(self) -> None:
        """An empty one is none, so it is text."""
        assert event(record(body=b'{"a":\n1}'))["event"] == {"a": 1}
        assert event(record(body=b"{}"))["event"] == {"message": "{}"}


class TestRequests:
    """What is sent, and where."""

    @pytest.mark.parametrize("rest", ["", "/services/collector", "/services/collector/event/1.0?index=main"])
    def test_events_follow_one_another(self, server: SplunkServer, rest: str) -> None:
        """In no array; the channel is always named."""
        assert sent(destination_of(server, rest), record(1), record(2)) == DONE
        assert [found["fields"]["uid"] for found in server.events] == ["uid-1", "uid-2"]
        assert server.requests[0][0] == "/services/collector/event"

    def test_the_address_says_where_events_go(self) -> None:
        """And what else it says stays with it."""
        with SplunkServer(indexes=("shop logs",)) as server:
            rest = "/?index=shop%20logs&sourcetype=aws:lambda&x=y"
            assert sent(destination_of(server, rest), record()) == DONE
        (found,) = server.events
        assert (found["index"], found["sourcetype"], found["source"]) == ("shop logs", "aws:lambda", "lambda:hello")
        assert server.requests[0][0] == "/services/collector/event?x=y"

    def test_the_index_is_no_secret(self) -> None:
        """Or nobody could read that it is the wrong one; what else an address says may be one."""
        address = "splunk+https://h:8088?index=main&token=hunter22&host=h"
        settings = settings_of(TAILRACE_DESTINATION=address, **TOKEN)
        assert set(settings.secrets()) == {"token=hunter22", "Splunk t0ken"}

    def test_a_missing_token_is_said_before_splunk_says_it(self) -> None:
        """A user in the address is a token, too."""
        from lifecycle.contract.settings import Settings

        (problem,) = Settings({"TAILRACE_DESTINATION": "splunk+https://h:8088"}).problems
        assert (problem.variable, problem.is_fatal) == ("TAILRACE_HEADERS", True)
        assert problem.expected == "a header Authorization, without which splunk+https takes nothing"
        assert not Settings({"TAILRACE_DESTINATION": "splunk+https://x:t0ken@h:8088"}).problems

    def test_span_is_an_event_where_spans_are_asked_for(self, server: SplunkServer) -> None:
        """With its parts."""
        destination = destination_of(server, TAILRACE_SIGNALS="logs,traces")
        assert destination.shapes is not None
        assert delivered(destination, [destination.shapes.span(SPAN)], "traces") == DONE
        (found,) = server.events
        assert (found["event"]["message"], found["event"]["event_type"]) == ("shop", "span")
        assert (found["event"]["duration_ms"], found["event"]["spans"]) == (12.4, {"responseLatency": 2.2})
        assert found["fields"]["span_id"] == SPAN.span_id


class TestAnswers:
    """What became of a request, or of a part of it."""

    @pytest.mark.parametrize("keeps_before", [True, False])
    def test_event_at_fault_is_found_and_the_others_go_without_it(self, keeps_before: Any) -> None:
        """By its number; what stood before it may be there twice then, and is lost in neither case."""
        with SplunkServer(bad="bad", keeps_before=keeps_before) as server:
            outcome = sent(destination_of(server), record(1), record(2, b'"bad"'), record(3))
            assert outcome.verdict is Verdict.DONE
            assert {at: one.verdict for at, one in outcome.items.items()} == {
                0: Verdict.RETRY,
                1: Verdict.REFUSED,
                2: Verdict.RETRY,
            }
            assert (outcome.items[1].reason, outcome.items[1].said) == ("code_6", "Invalid data format")
            alone = sent(destination_of(server), record(2, b'"bad"'))
            assert (alone.verdict, dict(alone.items)) == (Verdict.REFUSED, {})

    def test_acknowledgement_is_not_waited_for(self) -> None:
        """It would come when the environment may be frozen."""
        with SplunkServer(acknowledges=True) as server:
            assert sent(destination_of(server), record()) == DONE

    def test_what_is_wrong_with_the_settings_is_no_events_fault(self, server: SplunkServer) -> None:
        """All wait until somebody has changed them."""
        wrong = [
            ("?index=other", {}, "incorrect_index"),
            ("", {"TAILRACE_HEADERS": "Authorization=x"}, "invalid_token"),
        ]
        for rest, environ, reason in wrong:
            outcome = sent(destination_of(server, rest, **environ), record(1), record(2))
            assert (outcome.verdict, outcome.reason) == (Verdict.HELD, reason)

    @pytest.mark.parametrize(
        ("status", "code", "verdict"),
        [
            (503, 9, Verdict.RETRY),
            (500, 8, Verdict.RETRY),
            (200, 9, Verdict.RETRY),
            (200, 17, Verdict.DONE),
            (200, 6, Verdict.REFUSED),
            (400, 5, Verdict.REFUSED),
            (400, 10, Verdict.HELD),
            (400, 11, Verdict.HELD),
            (400, 12, Verdict.REFUSED),
            (400, 15, Verdict.REFUSED),
            (401, 3, Verdict.HELD),
            (403, 1, Verdict.HELD),
        ],
    )
    def test_every_code_means_something(self, status: int, code: int, verdict: Verdict) -> None:
        """Also with a status that says otherwise."""
        body = msgspec.json.encode({"text": "x", "code": code})
        assert read(Request(body=b"", body_bytes=0, items=1), Response(status=status, body=body)).verdict is verdict

    @given(st.binary() | JSON.map(msgspec.json.encode), st.integers(100, 599), st.integers(0, 3))
    def test_whatever_is_answered_is_an_outcome(self, body: bytes, status: int, items: int) -> None:
        """Of events that are in the request."""
        outcome = read(Request(body=b"", body_bytes=0, items=items), Response(status=status, body=body))
        assert isinstance(outcome, Outcome)
        assert set(outcome.items) <= set(range(items))
