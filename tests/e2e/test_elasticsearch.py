"""A life from the built layer whose lines become documents, in our own stand-in for Elasticsearch."""

from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.shipper.destinations.bulk_server import BulkServer

pytestmark = pytest.mark.e2e

STREAM = "logs-lambda-default"


def test_every_line_is_a_document_once(start: Start) -> None:
    """Text and JSON, the function's and the platform's; `_bulk` takes all of them as they come."""
    with BulkServer(keys=("ApiKey aWQ6a2V5",)) as server:
        run = start(
            TAILRACE_DESTINATION=f"elasticsearch+http://127.0.0.1:{server.port}/{STREAM}",
            TAILRACE_HEADERS="Authorization=ApiKey aWQ6a2V5",
        )
        run.invoke(lines=3, say="first")
        run.invoke(json={"level": "WARN", "message": "structured", "order": 7})
        run.end()
    documents = server.documents(STREAM)
    assert len(documents) == len(run.env.telemetry("tailrace").emitted)
    assert sum(document["message"].startswith("first") for document in documents) == 3
    (structured,) = [document for document in documents if document["message"] == "structured"]
    assert structured["attributes"] == {"order": 7}
    assert structured["log.level"] == "WARN"
    assert {document.get("faas.name") for document in documents} == {"demo"}
    assert server.complaints == []
    assert run.said() == []


def test_each_document_meets_its_own_fate(start: Start) -> None:
    """One that does not fit is dropped, counted and said, in the server's words; one that came too fast waits."""
    busy = {"b 0": 2}

    def verdict(document: dict[str, Any]) -> tuple[int, str, str] | None:
        message = document["message"]
        if message == "bad":
            return 400, "document_parsing_exception", "failed to parse field [order] of type [long]"
        if busy.get(message, 0):
            busy[message] -= 1
            return 429, "es_rejected_execution_exception", "rejected execution"
        return None

    with BulkServer(verdict=verdict) as server:
        run = start(
            TAILRACE_DESTINATION=f"opensearch+http://127.0.0.1:{server.port}/{STREAM}", TAILRACE_PLATFORM_LOGS="0"
        )
        run.invoke(lines=2, say="a", json={"message": "bad", "order": "seven"})
        run.invoke(lines=2, say="b")
        run.end()
        messages = [document["message"] for document in server.documents(STREAM)]
    assert sorted(message for message in messages if message[:2] in ("a ", "b ")) == ["a 0", "a 1", "b 0", "b 1"]
    assert "bad" not in messages
    (dropped,) = run.events("shipper.record_dropped")
    assert (dropped["reason"], dropped["answer"]) == ("refused", "document_parsing_exception")
    assert dropped["said"] == "failed to parse field [order] of type [long]"
    (ledger,) = run.events("lifecycle.ended")
    assert ledger["dropped"] == {"platform_logs": ledger["dropped"]["platform_logs"], "refused": 1}
    assert ledger["waiting"] == 0
