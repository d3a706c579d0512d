"""Logs, requests and answers of Datadog's intake, against our own server of it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from lifecycle.contract.settings import Settings
from shipper.delivery.outcome import DONE, Verdict
from shipper.destinations.datadog import Logs
from shipper.destinations.destination import Destination
from shipper.model.log_record import ExceptionInfo, LogRecord
from tests.shipper.destinations.datadog_server import DatadogServer
from tests.shipper.destinations.stub import SPAN, delivered, made, record, sent
from tests.shipper.support import REQUEST_ID, TIME_NS, settings_of

FUNCTION = {"AWS_LAMBDA_FUNCTION_NAME": "hello", "AWS_REGION": "eu-central-1"}


@pytest.fixture
def server() -> Iterator[DatadogServer]:
    with DatadogServer() as server:
        yield server


def destination_of(server: DatadogServer, path: str = "", **environ: str) -> Destination:
    key = {"TAILRACE_HEADERS": "DD-API-KEY=k3y"}
    return made(f"datadog+http://127.0.0.1:{server.port}{path}", **{**FUNCTION, **key, **environ})


def log(one: LogRecord, **environ: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Logs(settings_of(**environ)).log(one))
    return found


class TestLogs:
    """What a record is written as."""

    def test_what_datadog_reserves_has_its_names(self) -> None:
        """What a line says by these is there by another one."""
        one = record(
            severity_text="WARN",
            scope="shop",
            origin={
                "request_id": REQUEST_ID,
                "trace_id": "5b8efff798038103d269b633813fc60c",
                "span_id": "eee19b7ec3c1b174",
            },
            exception=ExceptionInfo("KeyError", "'x'", "Traceback …"),
            attributes=(("order", b'{"id":7}'), ("status", b"404"), ("log.status", b"1")),
        )
        environ = {"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=prod,service.version=5"}
        assert log(one, **FUNCTION, **environ) == {
            "message": "hello",
            "timestamp": TIME_NS // 1_000_000,
            "status": "warn",
            "service": "hello",
            "ddsource": "lambda",
            "ddtags": "env:prod,version:5,functionname:hello,region:eu-central-1",
            "hostname": "hello",
            "faas.invocation_id": REQUEST_ID,
            "log.record.uid": "uid-0",
            "trace_id": "5b8efff798038103d269b633813fc60c",
            "span_id": "eee19b7ec3c1b174",
            "dd.trace_id": str(0xD269B633813FC60C),
            "dd.span_id": str(0xEEE19B7EC3C1B174),
            "logger.name": "shop",
            "error.kind": "KeyError",
            "error.message": "'x'",
            "error.stack": "Traceback …",
            "order": {"id": 7},
            "log.log.status": 404,
            "log.status": 1,
            "faas.name": "hello",
            "cloud.provider": "aws",
            "cloud.region": "eu-central-1",
            "deployment.environment.name": "prod",
            "service.version": "5",
        }

    @pytest.mark.parametrize(
        ("level", "status"),
        [("SEVERE", "error"), ("FATAL", "critical"), ("trace", "debug"), ("NOTICE", "info"), ("", None), ("odd", None)],
    )
    def test_status_is_one_that_datadog_knows(self, level: str, status: str | None) -> None:
        """Whatever the level is called."""
        assert log(record(severity_text=level)).get("status") == status

    def test_a_line_that_is_an_object_is_attributes_as_well(self) -> None:
        """Its text is what is shown."""
        found = log(record(body=b'{"a":\n1}'))
        assert (found["message"], found["a"]) == ('{"a":\n1}', 1)


class TestRequests:
    """What is sent, where, and what is answered."""

    @pytest.mark.parametrize("path", ["", "/", "/api/v2/logs"])
    def test_logs_are_an_array(self, server: DatadogServer, path: str) -> None:
        """Each with its uid: nothing else tells copies apart."""
        for _ in range(2):
            assert sent(destination_of(server, path), record(1), record(2)) == DONE
        assert [found["log.record.uid"] for found in server.logs] == ["uid-1", "uid-2"] * 2

    def test_no_request_has_more_than_a_thousand(self, server: DatadogServer) -> None:
        """Or is larger than 5 MB."""
        limits = destination_of(server).endpoints["logs"].limits
        assert (limits.request_items, limits.request_bytes) == (1000, 5_000_000)
        assert sent(destination_of(server), *map(record, range(1001))).verdict is Verdict.REFUSED
        assert sent(destination_of(server), *(record(body=b'"%b"' % (b"x" * 600_000)) for _ in range(9))).verdict is (
            Verdict.SPLIT
        )

    def test_a_wrong_key_loses_nothing(self, server: DatadogServer) -> None:
        """It may be one of another site; a missing one is said before it is sent."""
        outcome = sent(destination_of(server, TAILRACE_HEADERS="DD-API-KEY=other"), record())
        assert (outcome.verdict, outcome.reason) == (Verdict.HELD, "unauthorised")
        (problem,) = Settings({"TAILRACE_DESTINATION": "datadog+https://http-intake.logs.datadoghq.eu"}).problems
        assert problem.expected == "a header DD-API-KEY, without which datadog+https takes nothing"

    def test_too_many_requests_are_sent_again(self, server: DatadogServer) -> None:
        """As is what failed there."""
        server.busy = [(429, b""), (408, b""), (500, b""), (503, b"")]
        assert {sent(destination_of(server), record()).verdict for _ in range(4)} == {Verdict.RETRY}

    def test_span_is_a_log_where_spans_are_asked_for(self, server: DatadogServer) -> None:
        """With its parts."""
        destination = destination_of(server, TAILRACE_SIGNALS="logs,traces")
        assert destination.shapes is not None
        assert delivered(destination, [destination.shapes.span(SPAN)], "traces") == DONE
        (found,) = server.logs
        assert (found["message"], found["aws.lambda.event.type"], found["duration_ms"]) == ("shop", "span", 12.4)
