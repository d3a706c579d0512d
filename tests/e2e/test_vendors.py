"""A life from the built layer that goes to four backends at once, each our own stand-in and each with a bad day."""

from contextlib import ExitStack
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.sandbox import Platform
from tests.shipper.destinations.datadog_server import DatadogServer
from tests.shipper.destinations.loki_server import LokiServer
from tests.shipper.destinations.newrelic_server import NewRelicServer
from tests.shipper.destinations.splunk_server import SplunkServer

pytestmark = pytest.mark.e2e

LOKI = SPLUNK = ("event_type", "level", "request_id", "uid", "order")
DATADOG = ("aws.lambda.event.type", "status", "faas.invocation_id", "log.record.uid", "order")
NEW_RELIC = ("aws.lambda.event.type", "level", "faas.invocation_id", "log.record.uid", "order")


def test_every_line_and_span_is_at_each_backend_once(start: Start) -> None:
    """By its own names, whatever it was answered first; what is said of one is that it went well in the end."""
    with ExitStack() as stack:
        loki, splunk = stack.enter_context(LokiServer()), stack.enter_context(SplunkServer())
        datadog, newrelic = stack.enter_context(DatadogServer()), stack.enter_context(NewRelicServer())
        loki.busy = [(429, b"Ingestion rate limit exceeded")]
        splunk.busy = [(503, b'{"text":"Server is busy","code":9}')]
        datadog.busy = [(500, b"")]
        newrelic.busy = [(503, b"")]
        # Time enough: a server that is silent for long, as where the machine is busy, is asked again.
        run = start(
            platform=Platform(shutdown_ms=20_000),
            timeout_s=60.0,
            TAILRACE_FLUSH="end",
            TAILRACE_FLUSH_BUDGET_MS="20000",
            OTEL_EXPORTER_OTLP_ENDPOINT="",
            TAILRACE_SIGNALS="logs,traces",
            TAILRACE_PLATFORM_LOGS="0",
            TAILRACE_RETRY_MAX_MS="100",
            TAILRACE_DESTINATION=f"loki+http://127.0.0.1:{loki.port}",
            TAILRACE_DESTINATION_SPLUNK=f"splunk+http://127.0.0.1:{splunk.port}",
            TAILRACE_HEADERS_SPLUNK="Authorization=Splunk t0ken",
            TAILRACE_DESTINATION_DATADOG=f"datadog+http://127.0.0.1:{datadog.port}",
            TAILRACE_HEADERS_DATADOG="DD-API-KEY=k3y",
            TAILRACE_DESTINATION_NEWRELIC=f"newrelic+http://127.0.0.1:{newrelic.port}",
            TAILRACE_HEADERS_NEWRELIC="Api-Key=k3y",
        )
        result = run.invoke(lines=2, say="first")
        run.invoke(json={"level": "WARN", "message": "structured", "order": 7})
        run.end()
    # Message, kind, level, request, uid and a member of the line, by what each calls them.
    found = {
        "loki": [_said(one["line"], one["metadata"], *LOKI) for one in loki.entries],
        "splunk": [_said(one["event"]["message"], {**one["event"], **one["fields"]}, *SPLUNK) for one in splunk.events],
        "datadog": [_said(one["message"], one, *DATADOG) for one in datadog.logs],
        "newrelic": [_said(one["message"], one["attributes"], *NEW_RELIC) for one in newrelic.logs],
    }
    uids = {}
    for backend, records in found.items():
        # A request that was refused may be made again beside the next one.
        lines = sorted((record for record in records if record[1] is None), key=lambda record: str(record[0]))
        assert [record[0] for record in lines] == ["first 0", "first 1", "structured"], backend
        assert {record[3] for record in lines[:2]} == {result.request_id}, backend
        assert (str(lines[2][2]).lower(), str(lines[2][5])) == ("warn", "7"), backend
        assert len({record[4] for record in records}) == len(records), backend
        # The cold start's, and one of each invocation.
        assert len([record for record in records if record[1] == "span"]) == 3, backend
        # Logs and spans go side by side, so that either may be there first.
        uids[backend] = sorted(record[4] for record in lines)
    assert uids["splunk"] == uids["loki"] == uids["datadog"] == uids["newrelic"]


def _said(message: str, members: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return message, *(members.get(name) for name in names)
