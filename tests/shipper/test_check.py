"""What the shipper's own code says of a destination to a person: of every kind, and of every outcome."""

import re
from pathlib import Path

import pytest

from lifecycle.contract.schemes import SCHEMES
from shipper.check import Asked, advice, route, send
from shipper.delivery.outcome import Outcome, Verdict
from shipper.destinations.registry import BY_SCHEME, KINDS, Kind
from shipper.transport.response import Response
from tests.shipper.destinations.bulk_server import BulkServer
from tests.shipper.support import settings_of

ROOT = Path(__file__).parents[2]


def test_a_route_says_what_is_sent_there_and_how() -> None:
    """Of a destination that is not OTLP's as well; its user is not said, nor is a key."""
    found = route(
        settings_of(
            TAILRACE_DESTINATION="elasticsearch+https://elastic:hunter22@h:9200/logs-x",
            TAILRACE_HEADERS="X-Opaque-Id=abcdefgh",
            TAILRACE_COMPRESSION="none",
            OTEL_SERVICE_NAME="shop",
        )
    )
    assert found.labels == {"logs": "https://h:9200/logs-x"}
    assert found.details == {
        "encoding": "documents by _bulk",
        "compression": "none",
        "timeout": "5 s a request",
        "headers": "X-Opaque-Id: (hidden)",
        "service.name": "shop",
    }


def test_a_test_record_is_a_document() -> None:
    """And one that is not taken is not well, in the server's words."""
    with BulkServer(verdict=lambda _document: (400, "x_exception", "no")) as server:
        (answered,) = send(settings_of(TAILRACE_DESTINATION=f"opensearch+http://127.0.0.1:{server.port}/logs-x"))
    assert (answered.signal, answered.is_well) == ("logs", False)
    assert answered.said == "answered 200: x_exception"
    assert answered.advice.startswith("It was understood and refused: is the address one for documents by _bulk")
    assert answered.body == "no"


def asked_of(kind: Kind) -> Asked:
    asked = Asked(settings_of(TAILRACE_DESTINATION="stdout:"), "logs", "", has_others=False, place=None)
    asked.kind = kind
    return asked


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.schemes[0])
@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 405, 413, 415, 429, 500])
def test_of_every_refusal_there_is_something_to_look_at(kind: Kind, status: int) -> None:
    """Whatever the destination."""
    outcome = Outcome(verdict=Verdict.HELD, reason=f"status_{status}")
    assert advice(outcome, Response(status=status), asked_of(kind))


@pytest.mark.parametrize(
    "reason", ["resolve", "connect", "timeout", "certificate", "tls", "proxy", "closed", "reset", "secret"]
)
def test_of_every_failure_as_well(reason: str) -> None:
    """That has no answer."""
    assert advice(Outcome(verdict=Verdict.RETRY, reason=reason), None, asked_of(KINDS[0]))


def test_the_readme_names_every_destination() -> None:
    """In its table, by what it is called and how its address begins; a page is where it says."""
    text = (ROOT / "README.md").read_text()
    for scheme in SCHEMES:
        kind = BY_SCHEME[scheme]
        assert any(f"`{name}" in text for name in kind.schemes), kind.about
    for page in re.findall(r"\(docs/destinations/([a-z-]+)\.md", text):
        assert (ROOT / f"docs/destinations/{page}.md").exists(), page
