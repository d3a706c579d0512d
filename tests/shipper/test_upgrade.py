"""Who set what the first version documented gets what the first version sent, as docs/upgrade.md says."""

import gzip
import json
import re
from pathlib import Path

import pytest

from lifecycle.contract.settings import Settings
from tests.sandbox.otlp import decoded
from tests.shipper.backend import Backend
from tests.shipper.story import BEGIN_NS, init, invocation, line
from tests.shipper.support import Server, backlog_of
from tests.shipper.test_worker import Supervisor

PAGE = Path(__file__).parents[2] / "docs" / "upgrade.md"

# What keeps the old defaults, as the page says it.
KEPT = dict(re.findall(r"\| `([A-Z_]+)=([^`]+)` \|", PAGE.read_text(encoding="utf-8")))

# What the first version's page of settings had, each with a value that it gave.
FIRST = {
    "TAILRACE_ENABLED": "1",
    "TAILRACE_STRICT": "0",
    "TAILRACE_LOG_LEVEL": "warning",
    "TAILRACE_DESTINATION": "otlp+https://collector.example.com/base",
    "TAILRACE_HEADERS": "api-key=k",
    "TAILRACE_COMPRESSION": "gzip",
    "TAILRACE_TYPES": "platform,function,extension",
    "TAILRACE_PROTOCOL": "http",
    "TAILRACE_LISTEN_HOST": "127.0.0.1",
    "TAILRACE_LISTEN_PORT": "0",
    "TAILRACE_BUFFER_ITEMS": "1000",
    "TAILRACE_BUFFER_BYTES": "262144",
    "TAILRACE_BUFFER_MS": "25",
    "TAILRACE_FLUSH": "adaptive",
    "TAILRACE_FLUSH_INTERVAL_MS": "10000",
    "TAILRACE_FLUSH_BUDGET_MS": "500",
    "TAILRACE_BACKLOG_BYTES": "8388608",
    "TAILRACE_BATCH_BYTES": "1048576",
    "TAILRACE_BATCH_RECORDS": "2000",
    "TAILRACE_REQUEST_TIMEOUT_MS": "0",
    "TAILRACE_RETRY_BASE_MS": "50",
    "TAILRACE_RETRY_MAX_MS": "5000",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector.example.com",
    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "https://collector.example.com/v1/logs",
    "OTEL_EXPORTER_OTLP_HEADERS": "api-key=k",
    "OTEL_EXPORTER_OTLP_LOGS_HEADERS": "api-key=k",
    "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
    "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION": "none",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
    "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "http/json",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "10000",
    "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT": "10000",
    "OTEL_SERVICE_NAME": "shop",
    "OTEL_RESOURCE_ATTRIBUTES": "team=till",
    "HTTPS_PROXY": "http://proxy.example.com:3128",
    "NO_PROXY": "localhost,10.0.0.0",
}

EMF = {
    "_aws": {
        "Timestamp": BEGIN_NS // 1_000_000,
        "CloudWatchMetrics": [{"Namespace": "shop", "Metrics": [{"Name": "n", "Unit": "Count"}]}],
    },
    "n": 1,
}


@pytest.mark.parametrize(("name", "value"), FIRST.items())
def test_what_the_first_version_documented_is_taken_and_means_what_it_meant(name: str, value: str) -> None:
    """Its values are shown as they were given."""
    settings = Settings({name: value})
    (row,) = (row for row in settings.table() if row.variable == name)
    assert settings.problems == []
    assert row.shown(settings.values[row.attribute]) == value


def test_all_of_it_together_is_no_problem() -> None:
    assert Settings({**FIRST, **KEPT}).problems == []


def test_the_page_names_every_setting_that_keeps_an_old_default() -> None:
    """They are what the defaults now are not."""
    settings, kept = Settings({}), Settings(KEPT)
    assert kept.problems == []
    rows = [row for row in settings.table() if row.variable in KEPT]
    assert len(rows) == len(KEPT) == 5
    assert all(settings.values[row.attribute] != kept.values[row.attribute] for row in rows)


@pytest.mark.parametrize("by", ["OTEL_EXPORTER_OTLP_ENDPOINT", "TAILRACE_DESTINATION"])
def test_a_backend_gets_what_the_first_version_sent(server: Server, by: str) -> None:
    """Log records alone, as JSON; every event is one, whatever else might be made of it."""
    base = f"http://127.0.0.1:{server.port}"
    address = {by: base} if by.startswith("OTEL") else {by: f"otlp+{base}"}
    sent = [*init(-200), line(1), *invocation(0), line(20, EMF), line(21, "paid\n")]
    backlog, end = backlog_of(sent)
    backend = Backend(server)
    supervisor = Supervisor(backlog, server.port, **{"TAILRACE_DESTINATION": "", **KEPT, **address})
    supervisor.command(end, is_final=True)
    reports = supervisor.reports_until(end)
    assert sum(report.events for report in reports) == len(sent)
    assert [report.dropped for report in reports if report.dropped] == []
    assert [backend.count(signal) for signal in ("logs", "traces", "metrics")] == [1, 0, 0]
    (head, body) = server.requests[0]
    assert head.startswith(b"POST /v1/logs HTTP/1.1\r\n")
    assert b"\r\ncontent-type: application/json\r\n" in head.lower()
    resources = json.loads(gzip.decompress(body))["resourceLogs"]
    records = [record for scope in resources[0]["scopeLogs"] for record in scope["logRecords"]]
    assert len(records) == len(sent)
    assert decoded("logs", backend.bodies["logs"][0])
    supervisor.close()
