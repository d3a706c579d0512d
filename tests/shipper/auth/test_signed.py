"""What is signed for AWS without being told to, and that a receiver who makes the signature anew finds the same."""

import datetime as dt
import gzip
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl

import botocore.auth  # type: ignore[import-untyped]
import botocore.awsrequest  # type: ignore[import-untyped]
import botocore.credentials  # type: ignore[import-untyped]
import pytest

from lifecycle.contract.settings import Settings
from shipper.auth.aws import Scope
from shipper.auth.sigv4 import SigV4
from shipper.destinations.http import Senders, by_status, place_of
from shipper.destinations.registry import create
from shipper.model.signals import LOGS, METRICS, SIGNALS, TRACES
from shipper.transport import address
from tests.sandbox.otlp import decoded
from tests.shipper.destinations.test_elasticsearch import record
from tests.shipper.support import Lines, Server, Waits, http, settings_of

KEYS = {
    "AWS_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "AWS_SESSION_TOKEN": "a/token==",
}


def scope_of(url: str, settings: Settings) -> Scope | None:
    """What requests to an address are signed for; None: they are not."""
    sender = Senders(settings, Waits(), Lines().log).sender(place_of(settings, address.parse(url)), by_status)
    auth = sender._auth  # noqa: SLF001 - what it was made with
    return auth._scope if isinstance(auth, SigV4) else None  # noqa: SLF001 - likewise


@pytest.mark.parametrize(
    ("host", "scope"),
    [
        ("logs.us-east-1.amazonaws.com", Scope("logs", "us-east-1")),
        ("xray.eu-west-1.amazonaws.com", Scope("xray", "eu-west-1")),
        ("monitoring.cn-north-1.amazonaws.com.cn", Scope("monitoring", "cn-north-1")),
        ("search-x-abc.us-west-2.es.amazonaws.com", Scope("es", "us-west-2")),
        ("0123.eu-central-1.aoss.amazonaws.com", Scope("aoss", "eu-central-1")),
        ("execute-api.us-east-1.amazonaws.com", None),
        ("amazonaws.com", None),
        ("logs.us-east-1.amazonaws.com.example", None),
        ("collector.example", None),
    ],
)
def test_hosts_that_want_a_signature_get_one(host: str, scope: Scope | None) -> None:
    """CloudWatch's, and OpenSearch's; nobody else hears of our keys."""
    assert scope_of(f"https://{host}/v1/logs", settings_of(**KEYS)) == scope


@pytest.mark.parametrize(
    "own",
    [
        {"TAILRACE_HEADERS": "authorization=Bearer x"},
        {"TAILRACE_USER": "me", "TAILRACE_PASSWORD": "x"},
        {"TAILRACE_SIGV4": "none"},
    ],
)
def test_what_has_an_authorization_of_its_own_is_not_signed(own: dict[str, str]) -> None:
    """As with CloudWatch's bearer keys."""
    assert scope_of("https://logs.us-east-1.amazonaws.com/v1/logs", settings_of(**KEYS, **own)) is None


@pytest.mark.parametrize(
    ("says", "scope"), [("es", Scope("es", "eu-west-1")), ("logs/us-east-2", Scope("logs", "us-east-2"))]
)
def test_a_setting_says_it_for_any_other_host(says: str, scope: Scope) -> None:
    """Such as that of an interface endpoint, or a domain of one's own."""
    assert scope_of("https://search.example/", settings_of(**KEYS, TAILRACE_SIGV4=says)) == scope


@pytest.mark.parametrize("address", ["localhost:4566", "ftp://h", "http://", "http://h:99999"])
def test_an_address_for_aws_that_is_none_is_said_and_not_used(address: str) -> None:
    """AWS's own is."""
    settings = Settings({**KEYS, "AWS_ENDPOINT_URL_S3": address, "TAILRACE_DESTINATION": "s3://bucket"})
    (problem,) = settings.problems
    assert (problem.variable, problem.used, problem.is_fatal) == ("AWS_ENDPOINT_URL_S3", "AWS's own address", False)
    place = create(settings, Waits(), Lines().log).endpoints[LOGS].place
    assert place is not None
    assert place.address.host == "bucket.s3.eu-west-1.amazonaws.com"


def checked(head: bytes, body: bytes, service: str, region: str) -> tuple[str, str]:
    """The signature that a request has, and that which botocore makes of it as it was received."""
    line, *rows = head.decode().split("\r\n")
    method, target, _ = line.split(" ")
    fields = {name.lower(): value for name, _, value in (row.partition(": ") for row in rows)}
    signed = fields["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    moment = dt.datetime.strptime(fields["x-amz-date"], "%Y%m%dT%H%M%SZ")  # noqa: DTZ007 - as botocore has it
    headers = {name: fields[name] for name in signed if name not in ("x-amz-date", "x-amz-security-token")}
    path, _, query = target.partition("?")
    params = parse_qsl(query, keep_blank_values=True)
    request = botocore.awsrequest.AWSRequest(
        method=method, url=f"http://{fields['host']}{path}", params=params, data=body, headers=headers
    )
    request.context["client_config"] = None
    keys = KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"], KEYS["AWS_SESSION_TOKEN"]
    with patch("botocore.auth.get_current_datetime", return_value=moment):
        botocore.auth.SigV4Auth(botocore.credentials.Credentials(*keys), service, region).add_auth(request)
    return fields["authorization"], str(request.headers["Authorization"])


@pytest.fixture
def signed_otlp(server: Server) -> Iterator[Any]:
    """A destination of OTLP whose requests are signed, on loopback."""
    server.behaviours = [server.answering(http(200), http(200), http(200))]
    settings = settings_of(
        **KEYS,
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{server.port}",
        OTEL_EXPORTER_OTLP_HEADERS="x-aws-log-group=My Group,x-aws-log-stream=s",
        TAILRACE_SIGV4="logs/us-east-1",
    )
    destination = create(settings, Waits(), Lines().log)
    yield destination
    destination.close()


def test_a_receiver_of_otlp_that_makes_the_signature_anew_finds_the_same(server: Server, signed_otlp: Any) -> None:
    """Over the body as it is compressed, and the headers that CloudWatch wants."""
    from shipper.check import record_of

    assert set(signed_otlp.endpoints) == {LOGS, TRACES, METRICS}
    for signal in SIGNALS:
        endpoint = signed_otlp.endpoints[signal]
        items = record_of(signed_otlp, signal, "a line", is_cumulative=False)
        assert endpoint.send(endpoint.build(items)).verdict.value == "done"
    assert len(server.requests) == 3
    for head, body in server.requests:
        given, expected = checked(head, body, "logs", "us-east-1")
        assert given == expected
        assert "x-aws-log-group;x-aws-log-stream" in given
    decoded("logs", gzip.decompress(server.requests[0][1]))


@pytest.mark.parametrize("service", ["es", "aoss"])
def test_a_receiver_of_documents_that_makes_the_signature_anew_finds_the_same(server: Server, service: str) -> None:
    """AWS encodes a query that it has decoded: commas and asterisks, those of the user's own among them."""
    server.behaviours = [server.answering(http(200, b'{"errors":false}'))]
    url = f"opensearch+http://127.0.0.1:{server.port}/logs?pipeline=a,b"
    settings = settings_of(**KEYS, TAILRACE_DESTINATION=url, TAILRACE_SIGV4=f"{service}/us-east-1")
    destination = create(settings, Waits(), Lines().log)
    endpoint = destination.endpoints[LOGS]
    assert endpoint.send(endpoint.build([destination.encoder.log(record())])).verdict.value == "done"
    destination.close()
    ((head, body),) = server.requests
    given, expected = checked(head, body, service, "us-east-1")
    assert given == expected
