"""Objects and requests for any HTTP intake, against our own server that is like several."""

import json
from typing import Any

import msgspec
import pytest

from shipper.delivery.outcome import DONE, Verdict
from shipper.destinations.ndjson import Objects
from shipper.model.log_record import ExceptionInfo, LogRecord
from tests.shipper.destinations.intake_server import IntakeServer
from tests.shipper.destinations.stub import SPAN, delivered, made, record, sent
from tests.shipper.support import OBSERVED_NS, REQUEST_ID, TIME, encoded, event, frame, settings_of, start

FUNCTION = {"AWS_LAMBDA_FUNCTION_NAME": "hello", "OTEL_SERVICE_NAME": "shop"}


def written(one: LogRecord, **environ: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Objects(settings_of(**environ)).log(one))
    return found


class TestObjects:
    """What a record is written as."""

    def test_level_message_and_ids_are_found(self) -> None:
        """What a line says beside them is apart from them."""
        one = record(
            severity_text="WARN",
            scope="orders",
            origin={"request_id": REQUEST_ID, "trace_id": "5b8e", "span_id": "eee1", "event_type": "function"},
            exception=ExceptionInfo("KeyError", "'x'", "Traceback …"),
            attributes=(("order", b'{"id":\n7}'), ("level", b'"mine"')),
        )
        assert written(one, **FUNCTION) == {
            "time": TIME,
            "type": "function",
            "message": "hello",
            "level": "WARN",
            "requestId": REQUEST_ID,
            "traceId": "5b8e",
            "spanId": "eee1",
            "uid": "uid-0",
            "logger": "orders",
            "exception.type": "KeyError",
            "exception.message": "'x'",
            "exception.stacktrace": "Traceback …",
            "attributes": {"order": {"id": 7}, "level": "mine"},
            "service": "shop",
            "function": "hello",
        }

    @pytest.mark.parametrize(
        ("line", "message", "level"),
        [
            (f"[INFO]\t{TIME}\t{REQUEST_ID}\thello\n", "hello", "INFO"),
            (f"{TIME}\t{REQUEST_ID}\tERROR\tno stock\n", "no stock", "ERROR"),
            ("plain\n", "plain", None),
            ("WARN: careful\n", "WARN: careful", "WARN"),
        ],
    )
    def test_neither_prefix_nor_newline_is_left(self, line: str, message: str, level: str | None) -> None:
        """Of what a runtime writes before a line all is in members of its own."""
        (item,) = encoded(Objects(settings_of()), frame(event(line)))
        found = json.loads(item)
        assert (found["message"], found.get("level")) == (message, level)

    def test_platform_event_is_all_there(self) -> None:
        """Beside a line that a person reads."""
        (item,) = encoded(Objects(settings_of()), frame(start()))
        found = json.loads(item)
        assert (found["type"], found["requestId"]) == ("platform.start", REQUEST_ID)
        assert found["record"] == {"requestId": REQUEST_ID, "version": "$LATEST"}
        assert found["message"] == f"START RequestId: {REQUEST_ID} Version: $LATEST"

    def test_a_line_that_is_an_object_without_a_message_is_its_attributes(self) -> None:
        """And not its text as well."""
        found = written(record(body=b'{"a":\n1}'))
        assert (found.get("message"), found["attributes"]) == (None, {"a": 1})
        both = written(record(body=b'{"a":1}', attributes=(("aws.lambda.event.x", b"2"),)))
        assert (both["body"], both["attributes"]) == ({"a": 1}, {"aws.lambda.event.x": 2})

    def test_time_is_as_fine_as_it_is(self) -> None:
        """And that of its arrival, where nothing says more."""
        assert written(record(time_ns=1_716_222_585_008_000_123))["time"] == "2024-05-20T16:29:45.008000123Z"
        assert written(record(time_ns=None))["time"] == "2024-05-20T16:29:46.000Z"
        assert OBSERVED_NS % 1_000_000_000 == 0


class TestRequests:
    """What is sent, and what is answered."""

    @pytest.mark.parametrize("form", ["lines", "array"])
    @pytest.mark.parametrize("status", [200, 201, 204])
    def test_objects_are_lines_or_an_array(self, form: str, status: int) -> None:
        """As the setting has it; whatever success is called."""
        with IntakeServer(takes_arrays=form == "array", status=status) as server:
            destination = made(f"http://127.0.0.1:{server.port}/in?k=v", TAILRACE_FORMAT=form)
            assert sent(destination, record(1), record(2, b'"two\\nlines"')) == DONE
        assert [(found["uid"], found["message"]) for found in server.objects] == [
            ("uid-1", "hello"),
            ("uid-2", "two\nlines"),
        ]
        assert server.requests[0][0] == "/in?k=v"

    def test_lines_for_who_takes_arrays_are_said_to_be_refused(self) -> None:
        """Nothing is given up for it: it is the address that is wrong."""
        with IntakeServer(takes_arrays=True) as server:
            outcome = sent(made(f"http://127.0.0.1:{server.port}"), record())
        assert (outcome.verdict, outcome.reason) == (Verdict.HELD, "status_415")

    def test_span_is_an_object_where_spans_are_asked_for(self) -> None:
        """With its parts."""
        with IntakeServer() as server:
            destination = made(f"http://127.0.0.1:{server.port}", TAILRACE_SIGNALS="logs,traces")
            assert destination.shapes is not None
            assert delivered(destination, [destination.shapes.span(SPAN)], "traces") == DONE
        (found,) = server.objects
        assert (found["type"], found["message"], found["spanId"]) == ("span", "shop", SPAN.span_id)
        assert msgspec.convert(found["attributes"]["spans"], dict[str, float]) == {"responseLatency": 2.2}
