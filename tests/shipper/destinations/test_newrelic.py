"""Logs, requests and answers of New Relic's Log API, against our own server of it."""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from lifecycle.contract.settings import Settings
from shipper.delivery.outcome import DONE, Verdict
from shipper.destinations.destination import Destination
from shipper.destinations.newrelic import MOST_ATTRIBUTES, MOST_NAME, Logs
from shipper.model.log_record import ExceptionInfo, LogRecord
from tests.shipper.destinations.newrelic_server import NewRelicServer
from tests.shipper.destinations.stub import SPAN, delivered, made, record, sent
from tests.shipper.support import REQUEST_ID, TIME_NS, settings_of

FUNCTION = {"AWS_LAMBDA_FUNCTION_NAME": "hello", "AWS_REGION": "eu-central-1"}


@pytest.fixture
def server() -> Iterator[NewRelicServer]:
    with NewRelicServer() as server:
        yield server


def destination_of(server: NewRelicServer, path: str = "", **environ: str) -> Destination:
    key = {"TAILRACE_HEADERS": "Api-Key=k3y"}
    return made(f"newrelic+http://127.0.0.1:{server.port}{path}", **{**FUNCTION, **key, **environ})


def log(one: LogRecord, **environ: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Logs(settings_of(**environ)).log(one))
    return found


class TestLogs:
    """What a record is written as."""

    def test_attributes_are_flat(self) -> None:
        """And those that New Relic would drop have another name."""
        one = record(
            severity_text="WARN",
            scope="shop",
            origin={"request_id": REQUEST_ID, "trace_id": "5b8e", "span_id": "eee1"},
            exception=ExceptionInfo("KeyError", "'x'", "Traceback …"),
            attributes=(("order", b'{"id":7}'), ("left", b"2"), ("eventType", b'"x"')),
        )
        assert log(one) == {
            "timestamp": TIME_NS // 1_000_000,
            "message": "hello",
            "attributes": {
                "level": "WARN",
                "faas.invocation_id": REQUEST_ID,
                "trace.id": "5b8e",
                "span.id": "eee1",
                "log.record.uid": "uid-0",
                "logger.name": "shop",
                "error.class": "KeyError",
                "error.message": "'x'",
                "error.stack": "Traceback …",
                "order": '{"id":7}',
                "left": 2,
                "log.eventType": "x",
            },
        }

    def test_no_member_is_one_too_many(self) -> None:
        """Nor has too long a name: the rest stands in one."""
        members = {**{f"n{number}": number for number in range(300)}, "x" * 300: 1}
        found = log(record(attributes=tuple((name, b"%d" % value) for name, value in members.items())))["attributes"]
        rest = json.loads(found.pop("attributes.rest"))
        assert len(found) + 1 <= MOST_ATTRIBUTES
        assert {**found, **rest} == {"log.record.uid": "uid-0", **members}
        assert all(len(name) <= MOST_NAME for name in found)


class TestRequests:
    """What is sent, where, and what is answered."""

    @pytest.mark.parametrize("path", ["", "/", "/log/v1"])
    def test_what_is_common_is_said_once(self, server: NewRelicServer, path: str) -> None:
        """And each log has its uid: nothing else tells copies apart."""
        assert sent(destination_of(server, path, OTEL_RESOURCE_ATTRIBUTES="team=a"), record(1), record(2)) == DONE
        assert [found["attributes"]["log.record.uid"] for found in server.logs] == ["uid-1", "uid-2"]
        assert {(found["attributes"]["team"], found["attributes"]["service.name"]) for found in server.logs} == {
            ("a", "hello")
        }

    def test_a_megabyte_is_counted_as_it_is_sent(self, server: NewRelicServer) -> None:
        """What compresses to less may be larger before."""
        destination = destination_of(server)
        limits = destination.endpoints["logs"].limits
        assert (limits.request_bytes, limits.is_compressed) == (1_000_000, True)
        assert sent(destination, record(body=b'"%b"' % (b"x" * 2_000_000))) == DONE
        noise = record(body=b'"%b"' % os.urandom(1_000_000).hex().encode())
        assert sent(destination_of(server), noise, record()).verdict is Verdict.SPLIT

    def test_a_wrong_key_loses_nothing(self, server: NewRelicServer) -> None:
        """A missing one is said before it is sent."""
        outcome = sent(destination_of(server, TAILRACE_HEADERS="Api-Key=other"), record())
        assert (outcome.verdict, outcome.reason) == (Verdict.HELD, "unauthorised")
        (problem,) = Settings({"TAILRACE_DESTINATION": "newrelic+https://log-api.newrelic.com"}).problems
        assert problem.expected == "a header Api-Key or License-Key, without which newrelic+https takes nothing"

    def test_too_many_requests_are_sent_again(self, server: NewRelicServer) -> None:
        """As is what failed there."""
        server.busy = [(429, b""), (408, b""), (500, b""), (503, b"")]
        assert {sent(destination_of(server), record()).verdict for _ in range(4)} == {Verdict.RETRY}

    def test_span_is_a_log_where_spans_are_asked_for(self, server: NewRelicServer) -> None:
        """With its parts."""
        destination = destination_of(server, TAILRACE_SIGNALS="logs,traces")
        assert destination.shapes is not None
        assert delivered(destination, [destination.shapes.span(SPAN)], "traces") == DONE
        (found,) = server.logs
        assert (found["message"], found["attributes"]["duration_ms"]) == ("shop", 12.4)
        assert found["attributes"]["spans"] == '{"responseLatency":2.2}'
