"""What answers mean, whatever the destination, and what is said of them."""

import gzip
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.delivery.outcome import DONE, Outcome, Verdict
from shipper.destinations.destination import Destination
from shipper.destinations.http import outcome_of
from shipper.destinations.registry import create
from shipper.model.resource import VERSION
from shipper.transport.quoting import HIDDEN, MOST_SHOWN
from shipper.transport.response import Response
from tests.shipper.support import Lines, Server, http, settings_of
from tests.shipper.transport.client import Client


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        ((200, 201, 202, 204), Verdict.DONE),
        ((408, 425, 429, 500, 502, 503, 504, 599), Verdict.RETRY),
        ((413,), Verdict.SPLIT),
        ((400, 422), Verdict.REFUSED),
        ((401, 403, 404, 405, 501, 301, 302, 304, 307, 308, 600), Verdict.HELD),
    ],
)
def test_every_status_means_something(statuses: tuple[int, ...], verdict: Verdict) -> None:
    for status in statuses:
        assert outcome_of(Response(status=status)).verdict is verdict


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"text/html", b"Welcome"),
        (b"Text/HTML; charset=utf-8", b""),
        (b"", b"\n <!DOCTYPE html>"),
        (b"text/xml", b"<a/>"),
    ],
)
def test_a_page_with_a_success_is_held(kind: bytes, body: bytes) -> None:
    """Whoever writes one stores no telemetry."""
    outcome = outcome_of(Response(status=200, headers={b"content-type": kind} if kind else {}, body=body))
    assert (outcome.verdict, outcome.reason) == (Verdict.HELD, "page")


@pytest.mark.parametrize("body", [b"", b"ok", b"{}", b'{"whatever":1}', b"\xff\x00"])
def test_whatever_else_comes_with_a_success_is_one(body: bytes) -> None:
    assert outcome_of(Response(status=200, body=body)) is DONE


def test_a_success_that_came_too_early_is_none() -> None:
    """Of a request that it has not read, a server cannot have stored anything; that it is too large, it can know."""
    assert outcome_of(Response(status=200, is_early=True)).verdict is Verdict.RETRY
    assert outcome_of(Response(status=413, is_early=True)).verdict is Verdict.SPLIT


@given(st.integers(100, 999), st.dictionaries(st.binary(), st.binary()), st.binary(), st.booleans())
def test_whatever_is_answered_means_something(
    status: int, headers: dict[bytes, bytes], body: bytes, early: Any
) -> None:
    assert isinstance(outcome_of(Response(status=status, headers=headers, body=body, is_early=early)), Outcome)


class TestSaid:
    """What a server says of why it takes something not."""

    @pytest.fixture
    def destination(self, server: Server) -> Iterator[Destination]:
        """One with a key that is a secret."""
        client = Client("http://unused/")
        settings = settings_of(
            TAILRACE_DESTINATION=f"otlp+http://127.0.0.1:{server.port}/", TAILRACE_HEADERS="api-key=hunter22222"
        )
        destination = create(settings, client.commands, Lines().log)
        yield destination
        destination.close()
        client.close()

    def sent(self, destination: Destination) -> Outcome:
        """What becomes of a request."""
        endpoint = destination.endpoints["logs"]
        return endpoint.send(endpoint.build([b"{}"]))

    def test_it_leaves_with_the_outcome(self, server: Server, destination: Destination) -> None:
        """Bounded, on one line, and without what it must not repeat."""
        server.behaviours = [server.answering(http(400, b"no:\nhunter22222 " + b"x" * 1000))]
        outcome = self.sent(destination)
        assert (outcome.verdict, outcome.reason) == (Verdict.REFUSED, "status_400")
        assert outcome.said.startswith(f"no: {HIDDEN} xxx")
        assert len(outcome.said) < MOST_SHOWN + 20

    def test_of_a_partial_success_as_well(self, server: Server, destination: Destination) -> None:
        """Also where that is compressed."""
        body = gzip.compress(b'{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"too old"}}')
        server.behaviours = [server.answering(http(200, body, "Content-Encoding: gzip"))]
        outcome = self.sent(destination)
        assert (outcome.verdict, outcome.rejected) == (Verdict.DONE, 1)
        assert outcome.said == "too old"

    def test_a_password_that_comes_back_as_the_server_has_it_is_blanked(self, server: Server) -> None:
        """In the address it is percent-encoded."""
        server.behaviours = [server.answering(http(401, b"no user u with p@ss/w+rd==, and no key a/long=key"))]
        url = f"loki+http://u:p%40ss%2Fw%2Brd%3D%3D@127.0.0.1:{server.port}/?a%2Flong%3Dkey"
        client = Client("http://unused/")
        destination = create(settings_of(TAILRACE_DESTINATION=url), client.commands, Lines().log)
        outcome = self.sent(destination)
        destination.close()
        client.close()
        assert outcome.said == f"no user u with {HIDDEN}, and no key {HIDDEN}"

    def test_of_a_success_there_is_nothing_to_say(self, server: Server, destination: Destination) -> None:
        """Whatever it says."""
        server.behaviours = [server.answering(http(200, b"thank you"))]
        assert self.sent(destination) is DONE
        assert f"\r\nUser-Agent: tailrace/{VERSION}\r\n".encode() in server.requests[-1][0]  # what it knows us by


def test_what_was_waited_for_and_where_leaves_with_the_outcome(server: Server) -> None:
    """A VPC without a route is the commonest mistake of all."""
    server.behaviours = [server.hanging]
    client = Client("http://unused/")
    where = f"127.0.0.1:{server.port}"
    settings = settings_of(TAILRACE_DESTINATION=f"http://{where}/", TAILRACE_REQUEST_TIMEOUT_MS="200")
    destination = create(settings, client.commands, Lines().log)
    endpoint = destination.endpoints["logs"]
    outcome = endpoint.send(endpoint.build([b"{}"]))
    assert (outcome.verdict, outcome.reason) == (Verdict.RETRY, "timeout")
    assert outcome.detail == f"waiting for the answer of {where}"
    destination.close()
    client.close()
