"""A life from the built layer whose lines become rows, in ClickHouse itself behind a small server of our own."""

import pytest

from tests.e2e.conftest import Start
from tests.shipper.destinations.clickhouse_server import ClickHouse

pytestmark = pytest.mark.e2e

TABLE = """
CREATE TABLE logs (
    Timestamp DateTime64(9), SeverityText String, Body String, LogAttributes Map(String, String)
) ENGINE = MergeTree ORDER BY Timestamp SETTINGS non_replicated_deduplication_window = 100
"""


def test_every_line_is_a_row_once_also_where_answers_are_lost(start: Start) -> None:
    """The insert was done, and nobody was told: it is made again, and changes nothing."""
    with ClickHouse() as clickhouse:
        clickhouse.query(TABLE)
        clickhouse.lose_answers(2)
        run = start(
            OTEL_EXPORTER_OTLP_ENDPOINT="",
            TAILRACE_DESTINATION=f"clickhouse+http://127.0.0.1:{clickhouse.port}/logs",
            TAILRACE_RETRY_MAX_MS="100",
            # What is left for another shipment is cut anew there, and is another insert.
            TAILRACE_FLUSH_BUDGET_MS="20000",
            timeout_s=60.0,
        )
        run.invoke(lines=3, say="first")
        run.invoke(json={"level": "WARN", "message": "structured", "order": 7})
        run.end()
        rows = clickhouse.query("SELECT Body, SeverityText, LogAttributes FROM logs")
        inserts = clickhouse.inserts
    uids = [row["LogAttributes"]["log.record.uid"] for row in rows]
    assert len(uids) == len(set(uids)) == len(run.env.telemetry("tailrace").emitted)
    assert len(inserts) > len({insert["insert_deduplication_token"] for insert in inserts}), "no answer was lost"
    assert sum(row["Body"].startswith("first") for row in rows) == 3
    (structured,) = [row for row in rows if row["Body"] == "structured"]
    assert (structured["SeverityText"], structured["LogAttributes"]["order"]) == ("WARN", "7")
