"""Signatures are those that AWS's own library makes, and made anew where a clock or a freeze made one stale."""

import datetime as dt
import random
from collections.abc import Mapping
from unittest.mock import patch
from urllib.parse import parse_qsl

import botocore.auth  # type: ignore[import-untyped]
import botocore.awsrequest  # type: ignore[import-untyped]
import botocore.credentials  # type: ignore[import-untyped]
import pytest

from shipper.auth.aws import Scope, judged
from shipper.auth.credentials import Credentials, Keys
from shipper.auth.sigv4 import Clock, SigV4, encoded, signed
from shipper.delivery.interfaces import Request
from shipper.delivery.outcome import Outcome, Verdict
from shipper.transport.response import Response
from tests.shipper.support import Lines, Waits, settings_of

KEYS = Keys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "TOKEN/with+chars==")
MOMENT = dt.datetime(2025, 1, 2, 3, 4, 5, tzinfo=dt.timezone.utc)
UNAUTHORISED = Outcome(verdict=Verdict.HELD, reason="unauthorised", detail="status_403")


def signature(method: str, url: str, headers: Mapping[str, str], body: bytes, service: str, region: str) -> str:
    """Ours."""
    host, slash, target = url.removeprefix("https://").partition("/")
    fields = {"Host": host, **headers}
    scope = Scope(service, region)
    found = signed(method, slash + target, fields, body, keys=KEYS, scope=scope, epoch_s=MOMENT.timestamp())
    return found["Authorization"]


def of_botocore(method: str, url: str, headers: Mapping[str, str], body: bytes, service: str, region: str) -> str:
    """What AWS's own library signs the same request with; it encodes names and values itself, as AWS does."""
    kind = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth
    place, _, query = url.partition("?")
    params = parse_qsl(query.replace("+", "%2B"), keep_blank_values=True)
    request = botocore.awsrequest.AWSRequest(method=method, url=place, params=params, data=body, headers=dict(headers))
    request.context["payload_signing_enabled"] = True
    request.context["client_config"] = None
    credentials = botocore.credentials.Credentials(KEYS.access_key, KEYS.secret_key, KEYS.token)
    with patch("botocore.auth.get_current_datetime", return_value=MOMENT.replace(tzinfo=None)):
        kind(credentials, service, region).add_auth(request)
    return str(request.headers["Authorization"])


@pytest.mark.parametrize(
    ("method", "url", "headers", "body", "service", "region", "expected"),
    [
        (
            "POST",
            "https://secretsmanager.us-east-1.amazonaws.com/",
            {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "secretsmanager.GetSecretValue"},
            b'{"SecretId":"arn:aws:secretsmanager:us-east-1:123456789012:secret:x-AbCdEf"}',
            *("secretsmanager", "us-east-1"),
            "d89a4afd543e3e84657a0969dab58523727df882f1012f5f900a3c5d9f4d60a8",
        ),
        (
            "POST",
            "https://logs.us-east-1.amazonaws.com/v1/logs",
            {"Content-Type": "application/json", "x-aws-log-group": "MyGroup", "x-aws-log-stream": "MyStream"},
            b"{}",
            *("logs", "us-east-1"),
            "ed07798627573080144dd25eb5b16f4095c54a34f62b6233313b616b6bcc6769",
        ),
        (
            "PUT",
            "https://bucket.s3.eu-central-1.amazonaws.com/logs/dt%3D2025-01-02/hour%3D03/a%20b-1.ndjson.gz",
            {"Content-Type": "application/x-ndjson", "If-None-Match": "*"},
            b"hello\n",
            *("s3", "eu-central-1"),
            "7d39229ac70f0d8d8a52c765a2d72a6110f5adfb3e0e2c83d810ecb8503e692d",
        ),
        (
            "POST",
            "https://search.example/logs/_bulk?pipeline=b,a=*&filter_path=errors,items.*.status&a",
            {},
            b"",
            *("es", "us-east-1"),
            "9a7bce3c30b404a04298869100c95a413980a2c11d4673d3bad6fc7e54dc2e19",
        ),
        (
            "POST",
            "https://search.example/logs/_bulk?pipeline=b%2Ca%3D%2A&filter_path=errors%2Citems.%2A.status&a=",
            {},
            b"",
            *("es", "us-east-1"),
            "9a7bce3c30b404a04298869100c95a413980a2c11d4673d3bad6fc7e54dc2e19",
        ),
    ],
)
def test_known_requests_have_the_known_signatures(
    method: str, url: str, headers: dict[str, str], body: bytes, service: str, region: str, expected: str
) -> None:
    """Made with botocore 1.44.8 and an implementation of nobody's; those with queries with awscrt 0.38.1."""
    assert signature(method, url, headers, body, service, region).endswith(f"Signature={expected}")


def anything(dice: random.Random, most: int) -> str:
    """Some text, as an address has it."""
    return encoded("".join(dice.choice("abz09-._~/ +=&%#?äß€\U0001f600") for _ in range(dice.randrange(most))))


def test_any_request_is_signed_as_botocore_signs_it() -> None:
    """A thousand of them."""
    dice = random.Random(20250102)
    odd = ("", ".", "..", "a%20b", "~x", "x+y", "a=b")
    for _ in range(1000):
        path = [anything(dice, 8) if dice.random() < 0.6 else dice.choice(odd) for _ in range(dice.randrange(6))]
        pairs = [
            (anything(dice, 6) or "n", anything(dice, 6) + dice.choice(("", ",", "*", "=", "/:@", "+", "%61")))
            for _ in range(dice.randrange(4))
        ]
        query = "&".join(f"{name}={value}" if value else name for name, value in pairs)
        names = [f"x-{dice.choice('abcd')}{number}" for number in range(dice.randrange(4))]
        headers = {name: "".join(dice.choices("abc XYZ019-_=;,/\t", k=dice.randrange(20))) for name in names}
        body = dice.randbytes(dice.randrange(60))
        service = dice.choice(("s3", "logs", "es", "firehose", "kinesis", "ssm", "xray", "monitoring"))
        url = f"https://host.example/{'/'.join(path)}" + (f"?{query}" if query else "")
        request = (
            dice.choice(("POST", "PUT", "GET")),
            url,
            headers,
            body,
            service,
            dice.choice(("us-east-1", "cn-north-1")),
        )
        assert signature(*request) == of_botocore(*request), request


def test_keys_that_are_for_good_have_no_token() -> None:
    headers = signed(
        *("GET", "/", {"Host": "h"}, b""), keys=Keys("A", "S"), scope=Scope("logs", "us-east-1"), epoch_s=0.0
    )
    assert set(headers) == {"X-Amz-Date", "Authorization"}


class Scene:
    """A signer whose clocks stand."""

    def __init__(self) -> None:
        self.wall, self.monotonic = MOMENT.timestamp(), 100.0
        aws = settings_of().aws
        self.credentials = Credentials(aws, Waits(), Lines().log)
        self.credentials._keys = KEYS  # noqa: SLF001 - as if they had been told
        clock = Clock(lambda: self.wall, lambda: self.monotonic)
        self.auth = SigV4(None, "logs.us-east-1.amazonaws.com", Scope("logs", "us-east-1"), self.credentials, clock)

    def date(self) -> str:
        """When a try says that it was signed."""
        return dict(self.auth.headers(Request(body=b"{}", body_bytes=2, target="/v1/logs")))["X-Amz-Date"]

    def answered(self, name: str, date: dt.datetime) -> Outcome:
        """What becomes of an answer that refuses it."""
        said = date.strftime("%a, %d %b %Y %H:%M:%S GMT").encode()
        response = Response(status=403, headers={b"date": said}, body=b'{"__type":"x#%b"}' % name.encode())
        return self.auth.judged(UNAUTHORISED, response)


def test_every_try_is_signed_for_its_own_moment() -> None:
    scene = Scene()
    assert scene.date() == "20250102T030405Z"
    scene.wall, scene.monotonic = scene.wall + 3600, scene.monotonic + 3600
    assert scene.date() == "20250102T040405Z"


def test_a_clock_that_is_wrong_is_set_by_the_servers_until_the_next_thaw() -> None:
    scene = Scene()
    scene.date()
    ahead = MOMENT + dt.timedelta(minutes=20)
    assert scene.answered("InvalidSignatureException", ahead).verdict is Verdict.RETRY
    assert scene.date() == "20250102T032405Z"
    scene.wall, scene.monotonic = scene.wall + 3600, scene.monotonic + 0.1
    assert scene.date() == "20250102T040405Z"


def test_a_signature_that_froze_on_its_way_is_made_anew_once() -> None:
    scene = Scene()
    scene.date()
    scene.wall += 900
    later = MOMENT + dt.timedelta(seconds=900)
    assert scene.answered("RequestExpired", later).verdict is Verdict.RETRY
    assert scene.date() == "20250102T031905Z"
    assert scene.answered("RequestExpired", later).reason == "unauthorised"


def test_a_wrong_key_is_tried_once() -> None:
    """The server's clock is ours: it is not the time."""
    scene = Scene()
    scene.date()
    outcome = scene.answered("SignatureDoesNotMatch", MOMENT)
    assert (outcome.verdict, outcome.reason, outcome.detail) == (Verdict.HELD, "unauthorised", "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    ("status", "body", "verdict", "reason"),
    [
        (
            400,
            b'{"__type":"com.amazon#ThrottlingException","message":"x"}',
            Verdict.RETRY,
            "ThrottlingException",
        ),
        (400, b'{"__type":"ResourceNotFoundException"}', Verdict.HELD, "ResourceNotFoundException"),
        (400, b'{"__type":"AccessDeniedException","Message":"no"}', Verdict.HELD, "unauthorised"),
        (400, b"<Error><Code>RequestTimeout</Code><Message>slow</Message></Error>", Verdict.RETRY, "RequestTimeout"),
        (404, b"<Error><Code>NoSuchBucket</Code></Error>", Verdict.HELD, "NoSuchBucket"),
        (400, b"<Error><Code>IncompleteBody</Code></Error>", Verdict.RETRY, "IncompleteBody"),
        (400, b"<Error><Code>KMS.DisabledException</Code></Error>", Verdict.HELD, "KMS.DisabledException"),
        (
            400,
            b"<Error><Code>KMS.KMSInvalidStateException</Code></Error>",
            Verdict.HELD,
            "KMS.KMSInvalidStateException",
        ),
        (400, b"whatever", Verdict.REFUSED, "status_400"),
        (400, b'{"__type":7}', Verdict.REFUSED, "status_400"),
    ],
)
def test_what_aws_says_with_400_is_known_by_its_name(status: int, body: bytes, verdict: Verdict, reason: str) -> None:
    verdicts = {400: Verdict.REFUSED, 404: Verdict.HELD}
    outcome = judged(Outcome(verdict=verdicts[status], reason=f"status_{status}"), Response(status=status, body=body))
    assert (outcome.verdict, outcome.reason) == (verdict, reason)
