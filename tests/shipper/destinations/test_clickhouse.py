"""Rows, requests and answers of ClickHouse, against ClickHouse itself behind a small server of our own."""

import json
import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.contract.schemes import SCHEMES
from shipper.delivery.interfaces import Request
from shipper.delivery.outcome import DONE, Outcome, Verdict
from shipper.destinations.clickhouse import Rows, read
from shipper.destinations.destination import Destination
from shipper.model.log_record import ExceptionInfo
from shipper.transport.response import Response
from tests.shipper.destinations.clickhouse_server import ClickHouse
from tests.shipper.destinations.stub import SPAN, delivered, made, sent
from tests.shipper.destinations.stub import record as any_record
from tests.shipper.support import REQUEST_ID, settings_of

PAGE = Path(__file__).parents[3] / "docs/destinations/clickhouse.md"
# What is older than the table keeps is not there once it is inserted.
NOW_S = int(time.time())
record = partial(any_record, time_ns=NOW_S * 1_000_000_000)

FUNCTION = {"AWS_LAMBDA_FUNCTION_NAME": "hello", "AWS_REGION": "eu-central-1"}


@pytest.fixture(scope="module")
def clickhouse() -> Iterator[ClickHouse]:
    """With the table that the page has one make."""
    schema = re.search(r"```sql\n(CREATE TABLE.*?)```", PAGE.read_text(), re.DOTALL)
    assert schema is not None
    with ClickHouse() as clickhouse:
        clickhouse.query("CREATE DATABASE telemetry")
        clickhouse.query(schema[1])
        yield clickhouse


@pytest.fixture(autouse=True)
def empty(request: pytest.FixtureRequest) -> None:
    if "clickhouse" in request.fixturenames:
        request.getfixturevalue("clickhouse").query("TRUNCATE TABLE telemetry.lambda_logs")


def destination_of(clickhouse: ClickHouse, path: str = "/telemetry/lambda_logs", **environ: str) -> Destination:
    return made(f"clickhouse+http://127.0.0.1:{clickhouse.port}{path}", **{**FUNCTION, **environ})


def count(clickhouse: ClickHouse) -> int:
    """Rows that are there."""
    (found,) = clickhouse.query("SELECT count() AS rows FROM telemetry.lambda_logs")
    return int(found["rows"])


class TestRows:
    """What a record is, once ClickHouse has it."""

    def test_columns_are_those_of_the_collectors_exporter(self, clickhouse: ClickHouse) -> None:
        """Time to the nanosecond; what a line says beside is text in a map."""
        one = record(
            severity_text="WARN",
            scope="shop",
            time_ns=NOW_S * 1_000_000_000 + 8_000_123,
            origin={"request_id": REQUEST_ID, "trace_id": SPAN.trace_id, "span_id": SPAN.span_id, "flags": 1},
            exception=ExceptionInfo("KeyError", "'x'", "Traceback …"),
            attributes=(("order", b'{"id":7}'), ("left", b"2"), ("ü\\'", b'"\\u00fc\'\\n"')),
        )
        assert sent(destination_of(clickhouse), one) == DONE
        (row,) = clickhouse.query("SELECT * FROM telemetry.lambda_logs")
        where = row.pop("ResourceAttributes")
        assert (where["faas.name"], where["cloud.region"]) == ("hello", "eu-central-1")
        assert row == {
            "Timestamp": time.strftime("%Y-%m-%d %H:%M:%S.008000123", time.gmtime(NOW_S)),
            "TraceId": SPAN.trace_id,
            "SpanId": SPAN.span_id,
            "TraceFlags": 1,
            "SeverityText": "WARN",
            "SeverityNumber": 13,
            "ServiceName": "hello",
            "Body": "hello",
            "ScopeName": "shop",
            "LogAttributes": {
                "faas.invocation_id": REQUEST_ID,
                "log.record.uid": "uid-0",
                "exception.type": "KeyError",
                "exception.message": "'x'",
                "exception.stacktrace": "Traceback …",
                "order": '{"id":7}',
                "left": "2",
                "ü\\'": "ü'\n",
            },
        }

    def test_whatever_the_record_it_is_a_row(self, clickhouse: ClickHouse) -> None:
        """However it was written."""
        bodies = [b'"\\ud83d\\ude00 \\u0000 \\" \\\\"', b'{"a":\n[1, {"b": null}]}', b"17", b"null", b'""', b"1e999"]
        records = [record(number, body, attributes=(("x", body), ("", b"true"))) for number, body in enumerate(bodies)]
        assert sent(destination_of(clickhouse), *records) == DONE
        rows = clickhouse.query(
            "SELECT Body, LogAttributes FROM telemetry.lambda_logs ORDER BY LogAttributes['log.record.uid']"
        )
        assert [row["Body"] for row in rows] == ['😀 \0 " \\', '{"a":\n[1, {"b": null}]}', "17", "null", "", "1e999"]
        assert rows[1]["LogAttributes"]["a"] == '[1, {"b": null}]'

    def test_a_span_is_a_row_where_spans_are_asked_for(self, clickhouse: ClickHouse) -> None:
        """With its parts."""
        destination = destination_of(clickhouse, TAILRACE_SIGNALS="logs,traces")
        assert destination.shapes is not None
        span = msgspec.structs.replace(SPAN, start_ns=NOW_S * 1_000_000_000, end_ns=NOW_S * 1_000_000_000 + 1_000_000)
        assert delivered(destination, [destination.shapes.span(span)], "traces") == DONE
        (row,) = clickhouse.query("SELECT * FROM telemetry.lambda_logs")
        assert (row["Body"], row["SpanId"]) == ("shop", SPAN.span_id)
        assert row["LogAttributes"]["aws.lambda.event.type"] == "span"
        assert json.loads(row["LogAttributes"]["spans"]) == {"responseLatency": 2.2}


class TestRequests:
    """What is sent, and where."""

    def test_rows_that_come_again_are_there_once(self, clickhouse: ClickHouse) -> None:
        """Also where the answer to the first insert was lost; other rows are other rows."""
        records = [record(number) for number in range(100)]
        clickhouse.lose_answers(1)
        assert sent(destination_of(clickhouse), *records).verdict is Verdict.RETRY
        for _ in range(3):
            assert sent(destination_of(clickhouse), *records) == DONE
        assert count(clickhouse) == 100
        assert sent(destination_of(clickhouse), record(100)) == DONE
        assert count(clickhouse) == 101

    def test_every_insert_is_gathered_and_waited_for_unless_the_address_says_otherwise(
        self, clickhouse: ClickHouse
    ) -> None:
        """And is named by its rows."""
        sent(destination_of(clickhouse), record(1))
        sent(destination_of(clickhouse, "/telemetry/lambda_logs?async_insert=0&max_insert_threads=1"), record(2))
        usual, other = clickhouse.inserts[-2:]
        assert (usual["async_insert"], usual["wait_for_async_insert"]) == ("1", "1")
        assert (other["async_insert"], other["max_insert_threads"], other["wait_for_async_insert"]) == ("0", "1", "1")
        assert usual["insert_deduplication_token"] != other["insert_deduplication_token"]

    @pytest.mark.parametrize(
        ("path", "target", "database", "table"),
        [
            ("/logs", "/", "default", "logs"),
            ("/d/t/", "/", "d", "t"),
            ("/proxy/x/d/t&+", "/proxy/x/", "d", "t%26%2B"),
        ],
    )
    def test_the_path_names_database_and_table(self, path: str, target: str, database: str, table: str) -> None:
        """As parameters, so that no name can be more than a name."""
        request = made(f"clickhouse+https://h:8443{path}").endpoints["logs"].build([b"{}\n"])
        assert request.target.startswith(f"{target}?query=INSERT%20INTO%20%7Bdatabase%3AIdentifier%7D")
        assert f"&param_database={database}&param_table={table}&" in request.target

    def test_address_without_a_table_is_none(self) -> None:
        """Nothing says where rows would go."""
        assert not SCHEMES["clickhouse+https"].fits("://host:8443")
        assert SCHEMES["clickhouse+https"].fits("://host:8443/t")


class TestAnswers:
    """What became of a request."""

    def test_a_row_that_does_not_fit_is_refused_and_takes_the_others_with_it(self, clickhouse: ClickHouse) -> None:
        """All of an insert is done, or nothing: who refuses is asked again for halves."""
        destination = destination_of(clickhouse)
        good, bad = destination.encoder.log(record()), b'{"Timestamp":"no time"}\n'
        outcome = delivered(destination, [good, bad])
        assert (outcome.verdict, outcome.reason) == (Verdict.REFUSED, "code_41")
        assert outcome.said.startswith("Code: 41. DB::Exception: Cannot read DateTime")
        assert count(clickhouse) == 0

    @pytest.mark.parametrize(("path", "reason"), [("/telemetry/other", "code_60"), ("/other/lambda_logs", "code_81")])
    def test_what_is_wrong_with_the_settings_is_no_rows_fault(
        self, clickhouse: ClickHouse, path: str, reason: str
    ) -> None:
        """All wait until somebody has changed them."""
        outcome = sent(destination_of(clickhouse, path), record())
        assert (outcome.verdict, outcome.reason) == (Verdict.HELD, reason)

    def test_a_wrong_user_loses_nothing(self, clickhouse: ClickHouse) -> None:
        """Nor is it shown."""
        address = f"clickhouse+http://me:hunter22@127.0.0.1:{clickhouse.port}/telemetry/lambda_logs"
        outcome = sent(made(address), record())
        assert (outcome.verdict, outcome.reason) == (Verdict.HELD, "code_516")

    @pytest.mark.parametrize(
        ("status", "body", "code", "verdict"),
        [
            (500, b"Code: 117. DB::Exception: Incorrect data", b"", Verdict.REFUSED),
            (500, b"Code: 53. DB::Exception: Type mismatch", b"", Verdict.REFUSED),
            (500, b"Code: 252. DB::Exception: Too many parts", b"252", Verdict.RETRY),
            (500, b"Code: 241. DB::Exception: Memory limit", b"241", Verdict.RETRY),
            (503, b"", b"", Verdict.RETRY),
            (200, b"Code: 159. DB::Exception: Timeout", b"159", Verdict.RETRY),
            (400, b"no code", b"", Verdict.REFUSED),
            (200, b"", b"", Verdict.DONE),
            (200, b"<html>", b"60", Verdict.HELD),
        ],
    )
    def test_the_code_says_more_than_the_status(self, status: int, body: bytes, code: bytes, verdict: Verdict) -> None:
        """Which an old server has wrong, and a new one may have sent already."""
        headers = {b"x-clickhouse-exception-code": code} if code else {}
        outcome = read(Request(body=b"", body_bytes=0), Response(status=status, headers=headers, body=body))
        assert (outcome.verdict, outcome.may_be_records) == (verdict, False)

    @given(st.binary() | st.binary().map(lambda text: b"Code: " + text), st.integers(100, 599), st.binary())
    def test_whatever_is_answered_is_an_outcome(self, body: bytes, status: int, code: Any) -> None:
        """Of the whole request."""
        headers = {b"x-clickhouse-exception-code": code}
        outcome = read(Request(body=b"", body_bytes=0), Response(status=status, headers=headers, body=body))
        assert isinstance(outcome, Outcome)


def test_rows_say_no_more_than_is_known() -> None:
    """A column that nothing is known for has the table's default."""
    row = json.loads(Rows(settings_of()).log(record()))
    assert set(row) == {"Timestamp", "Body", "LogAttributes", "ServiceName", "ResourceAttributes"}
