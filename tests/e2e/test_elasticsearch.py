"""A life from the built layer whose lines become documents, in our own stand-in for Elasticsearch."""

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
