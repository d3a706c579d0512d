"""What references in settings stand for: asked for between shipments, and what is missing is said."""

import base64
import gzip
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lifecycle import check
from lifecycle.contract import wire
from lifecycle.contract.backlog import Writer
from lifecycle.contract.settings import Settings
from lifecycle.contract.wire import Restored, Shipped, Stalled
from shipper.auth.references import Reference, _UnusableError
from shipper.destinations.registry import create
from tests.shipper import aws_models
from tests.shipper.moto_server import REGION, Aws
from tests.shipper.support import OBSERVED_NS, Lines, Server, Waits, backlog_of, event, http, settings_of
from tests.shipper.test_worker import Supervisor

LINES: list[object] = [event("a line\n")]
ARN = f"arn:aws:secretsmanager:{REGION}:123456789012:secret:prod/key-AbCdEf"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": REGION}


class TestSettings:
    """References in settings."""

    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            ("TAILRACE_HEADERS", f"Authorization=Bearer @{{secretsmanager:{ARN}#token}}"),
            ("TAILRACE_HEADERS", "a=@{ssm:/one}-@{ssm:/two},b=plain"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=@{ssm:/prod/key}"),
            ("TAILRACE_DESTINATION", "https://name:@{ssm:/prod/key}@host.example/path"),
            ("TAILRACE_DESTINATION", "https://host.example/hooks/@{secretsmanager:hook#a/b?c}?x=@{ssm:/y}"),
            ("TAILRACE_PASSWORD", "@{ssm:/prod/key}"),
            ("TAILRACE_USER", "@{secretsmanager:prod/user}"),
        ],
    )
    def test_they_stand_in_headers_addresses_and_passwords(self, variable: str, value: str) -> None:
        """As they were written, until a request is."""
        settings = settings_of(**{variable: value})
        shown = [row.shown(settings.values[row.attribute]) for row in settings.table()]
        assert value in shown

    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            ("TAILRACE_HEADERS", "api-key=${secretsmanager:prod/key}"),
            ("TAILRACE_HEADERS", "api-key=@{ssm:/prod/key"),
            ("TAILRACE_HEADERS", "api-key=@{secretsmanager:#key}"),
            ("TAILRACE_DESTINATION", "https://u:${ssm:/prod/key}@host.example/"),
            ("TAILRACE_DESTINATION", "https://@{ssm:/host}/path"),
            ("TAILRACE_PASSWORD", "${ssm:/prod/key}"),
        ],
    )
    def test_what_is_none_of_ours_is_not_sent(self, variable: str, value: str) -> None:
        """A warning has the right form."""
        settings = Settings({variable: value})
        (problem,) = settings.problems
        assert (problem.value, problem.used) == ("(hidden)", "nothing")
        assert "reference" in problem.expected or "@{secretsmanager:" in problem.expected
        assert not any(settings.values[row.attribute] for row in settings.table() if row.variable == variable)

    def test_the_other_headers_are_sent(self) -> None:
        """A bad one takes none with it."""
        settings = Settings({"TAILRACE_HEADERS": "a=b,c=${ssm:/x}"})
        assert settings.headers == (("a", "b"),)

    def test_a_reference_is_no_secret_but_what_stands_beside_it_is(self) -> None:
        """Lines may name it."""
        settings = settings_of(
            TAILRACE_HEADERS="a=Bearer @{ssm:/x},b=plainone", TAILRACE_DESTINATION="https://h/p?q=@{ssm:/y}"
        )
        assert list(settings.secrets()) == ["q=", "p", "plainone"]


class TestValues:
    """What an answer comes to."""

    @pytest.mark.parametrize(
        ("reference", "answer", "value"),
        [
            ("@{secretsmanager:a}", {"SecretString": "one"}, "one"),
            ("@{secretsmanager:a}", {"SecretString": "one\r\n"}, "one"),
            ("@{secretsmanager:a#k}", {"SecretString": '{"k":"two"}'}, "two"),
            ("@{secretsmanager:a#k}", {"SecretString": '{"k":3}'}, "3"),
            ("@{secretsmanager:a}", {"SecretBinary": base64.b64encode(b"four").decode()}, "four"),
            ("@{ssm:/a}", {"Parameter": {"Value": "five"}}, "five"),
            ("@{ssm:/a#k}", {"Parameter": {"Value": '{"k":"six"}'}}, "six"),
        ],
    )
    def test_values_are_read(self, reference: str, answer: object, value: str) -> None:
        """Whole, or a member of JSON; one newline at the end is an editor's."""
        assert Reference(reference, settings_of()).read(json.dumps(answer).encode()) == value

    @pytest.mark.parametrize(
        ("reference", "answer", "reason"),
        [
            ("@{secretsmanager:a}", {"SecretString": "one\n\n"}, "control_characters"),
            ("@{secretsmanager:a}", {"SecretString": "a\x00b"}, "control_characters"),
            ("@{secretsmanager:a}", {"SecretString": ""}, "empty"),
            ("@{secretsmanager:a#k}", {"SecretString": "text"}, "not_json"),
            ("@{secretsmanager:a#k}", {"SecretString": '{"other":"x"}'}, "no_such_key"),
            ("@{secretsmanager:a#k}", {"SecretString": '{"k":{}}'}, "no_text"),
            ("@{secretsmanager:a}", {"SecretBinary": "gA=="}, "unreadable_answer"),
            ("@{ssm:/a}", {}, "unreadable_answer"),
        ],
    )
    def test_what_no_header_can_have_is_none(self, reference: str, answer: object, reason: str) -> None:
        """Each has a reason of its own."""
        with pytest.raises(_UnusableError) as caught:
            Reference(reference, settings_of()).read(json.dumps(answer).encode())
        assert caught.value.reason == reason

    @pytest.mark.parametrize(
        ("reference", "arn", "region"),
        [
            (f"@{{secretsmanager:{ARN.replace(REGION, 'us-east-2')}}}", ARN.replace(REGION, "us-east-2"), "us-east-2"),
            ("@{secretsmanager:prod/key#a}", f"arn:aws:secretsmanager:{REGION}:ACCOUNT:secret:prod/key-??????", REGION),
            ("@{ssm:/prod/key}", f"arn:aws:ssm:{REGION}:ACCOUNT:parameter/prod/key", REGION),
        ],
    )
    def test_what_a_role_has_to_be_allowed_is_named_whole(self, reference: str, arn: str, region: str) -> None:
        """An ARN knows its own region."""
        found = Reference(reference, settings_of(AWS_REGION=REGION))
        assert (found.arn, found.region) == (arn, region)

    def test_a_value_that_is_the_same_is_asked_for_ever_more_rarely(self) -> None:
        """From a minute to an hour, half of it by chance; another value ends that."""
        reference = Reference("@{ssm:/a}", settings_of())
        reference.resolved("one", 0.0, 1.0)
        now, pauses = 0.0, []
        for _ in range(8):
            assert reference.refused(now)
            assert not reference.resolved("one", now, 1.0)
            pauses.append(reference.not_before_s - now)
            assert not reference.refused(now + 1)
            now = reference.not_before_s
        assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600]
        assert reference.refused(now)
        assert reference.resolved("two", now, 0.0)
        assert reference.refused(now)


class Vault:
    """A stand-in of our own for Secrets Manager and the Parameter Store: it answers as told, and counts."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.values = {"prod/key": "value-one", "/prod/key": "value-two"}
        self.answer: Callable[[str], bytes | None] = lambda _name: None
        self.asked: list[str] = []
        server.behaviours = [self._serve]

    @property
    def environ(self) -> dict[str, str]:
        """Where it is."""
        return {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.server.port}"}

    def _serve(self, connection: Any) -> None:
        while True:
            head, body = self.server.read(connection)
            assert b"Authorization: AWS4-HMAC-SHA256 Credential=AKIA/" in head
            question = json.loads(body)
            (target,) = [line[14:] for line in head.decode().split("\r\n") if line.startswith("X-Amz-Target: ")]
            assert not aws_models.problems(target, question)
            name = question.get("SecretId") or question["Name"]
            self.asked.append(name)
            value = self.values.get(name, "")
            is_secret = "SecretId" in question
            found: object = {"SecretString": value} if is_secret else {"Parameter": {"Value": value}}
            connection.sendall(self.answer(name) or http(200, json.dumps(found).encode()))


@pytest.fixture
def vault() -> Iterator[Vault]:
    server = Server()
    yield Vault(server)
    server.close()


def heads(server: Server, name: bytes) -> list[bytes]:
    """The values of a header in all requests."""
    lines = [line for head, _ in server.requests for line in head.split(b"\r\n")]
    return [line.partition(b": ")[2] for line in lines if line.lower().startswith(name.lower() + b":")]


def said(supervisor: Supervisor) -> None:
    """Waits until something is."""
    until = time.monotonic() + 10
    while not supervisor.lines.written:
        assert time.monotonic() < until, "nothing was said"
        time.sleep(0.01)


def delivered(supervisor: Supervisor, end: int, *, since: int = 0) -> list[str]:
    """Orders shipments until one is delivered; why those before it were not."""
    stalls: list[str] = []
    for _ in range(500):
        supervisor.command(end, since)
        report = supervisor.report()
        while isinstance(report, Shipped) and report.through < end:
            report = supervisor.report()
        if isinstance(report, Shipped):
            return stalls
        stalls.append(report.reason)
        time.sleep(0.02)  # between two invocations
    raise AssertionError(f"not delivered: {stalls}")


class TestAsking:
    """When they are asked for, and what is said."""

    def test_they_are_asked_for_before_the_first_request(self, server: Server, vault: Vault) -> None:
        """In headers, address and password alike; each once, however often it stands there."""
        server.behaviours = [server.answering(http(200), http(200))]
        backlog, end = backlog_of(LINES)
        supervisor = Supervisor(
            backlog,
            0,
            **vault.environ,
            TAILRACE_DESTINATION=f"http://127.0.0.1:{server.port}/in/@{{ssm:/prod/key}}?k=@{{ssm:/prod/key}}",
            TAILRACE_HEADERS="X-Key=<@{secretsmanager:prod/key}>",
            TAILRACE_USER="name",
            TAILRACE_PASSWORD="@{ssm:/prod/key}",  # noqa: S106 - a reference
        )
        delivered(supervisor, end)
        supervisor.close()
        (head, _), *_ = server.requests
        assert head.startswith(b"POST /in/value-two?k=value-two HTTP/1.1\r\n")
        assert heads(server, b"X-Key") == [b"<value-one>"]
        assert heads(server, b"Authorization") == [b"Basic " + base64.b64encode(b"name:value-two")]
        assert sorted(vault.asked) == ["/prod/key", "prod/key"]
        lines = json.dumps(supervisor.lines.written)
        assert "value-" not in lines
        assert "@{secretsmanager:prod/key}" in lines

    def test_a_key_of_one_may_have_what_takes_an_address_apart(self, server: Server, vault: Vault) -> None:
        """Splunk's address is read piece by piece."""
        server.behaviours = [server.answering(http(200, b'{"text":"Success","code":0}'))]
        vault.values["prod/key"] = '{"to?ken&":"value-three"}'
        backlog, end = backlog_of(LINES)
        reference = "@{secretsmanager:prod/key#to?ken&}"
        address = f"splunk+http://x:{reference}@127.0.0.1:{server.port}?index=main&a={reference}&b=c#end"
        supervisor = Supervisor(backlog, 0, **vault.environ, TAILRACE_DESTINATION=address)
        delivered(supervisor, end)
        supervisor.close()
        ((head, body),) = server.requests
        assert head.startswith(b"POST /services/collector/event?a=value-three&b=c HTTP/1.1\r\n")
        assert heads(server, b"Authorization") == [b"Basic " + base64.b64encode(b"x:value-three")]
        assert b'"index":"main"' in gzip.decompress(body)

    def test_an_order_that_comes_meanwhile_is_not_kept_waiting(self, server: Server, vault: Vault) -> None:
        """No function waits for a secret: it is told at once, again and again, and then that it is delivered."""
        server.behaviours = [server.answering(http(200))]
        is_slow = True

        def answer(_name: str) -> bytes | None:
            while is_slow:
                time.sleep(0.01)
            return None

        vault.answer = answer
        backlog, end = backlog_of(LINES)
        supervisor = Supervisor(
            backlog, server.port, **vault.environ, TAILRACE_HEADERS="X-Key=@{secretsmanager:prod/key}"
        )
        for _ in range(3):
            began = time.monotonic()
            supervisor.command(end)
            report = supervisor.report()
            assert isinstance(report, Stalled)
            assert (report.reason, report.deadline) == ("secret", supervisor.deadline)
            assert time.monotonic() - began < 2
        assert supervisor.is_there()
        is_slow = False
        delivered(supervisor, end)
        supervisor.close()
        assert heads(server, b"X-Key") == [b"value-one"]
        assert "shipper.delivery_failing" not in supervisor.lines.events()

    def test_the_last_order_waits_for_it(self, server: Server, vault: Vault) -> None:
        """There is no later."""
        server.behaviours = [server.answering(http(200))]

        def answer(_name: str) -> None:
            time.sleep(0.3)

        vault.answer = answer
        backlog, end = backlog_of(LINES)
        supervisor = Supervisor(backlog, server.port, **vault.environ, TAILRACE_HEADERS="X-Key=@{ssm:/prod/key}")
        supervisor.command(end, is_final=True)
        supervisor.reports_until(end)
        supervisor.close()
        assert heads(server, b"X-Key") == [b"value-two"]

    @pytest.mark.parametrize(
        ("answer", "reason", "advice"),
        [
            (
                http(400, b'{"__type":"AccessDeniedException","Message":"User is not authorized"}'),
                "AccessDeniedException",
                "allowed secretsmanager:GetSecretValue on arn:aws:secretsmanager:eu-west-1:ACCOUNT:secret:prod/key-",
            ),
            (
                http(400, b'{"__type":"AccessDeniedException","Message":"Access to KMS is not allowed"}'),
                "AccessDeniedException",
                "kms:Decrypt",
            ),
            (
                http(400, b'{"__type":"ResourceNotFoundException"}'),
                "ResourceNotFoundException",
                "no such name in eu-west-1",
            ),
            (http(400, b'{"__type":"ThrottlingException"}'), "ThrottlingException", "too many"),
            (http(200, b'{"SecretString":"{}"}'), "no_such_key", "no member 'token'"),
            (http(503), "status_503", ""),
        ],
    )
    def test_what_is_missing_is_said_once_and_records_wait(
        self, server: Server, vault: Vault, answer: bytes, reason: str, advice: str
    ) -> None:
        """With the ARN, and what a role has to be allowed."""
        vault.answer = lambda _name: answer
        backlog, end = backlog_of(LINES)
        supervisor = Supervisor(
            backlog,
            server.port,
            **vault.environ,
            TAILRACE_LOG_LEVEL="warning",
            TAILRACE_HEADERS="X-Key=@{secretsmanager:prod/key#token}",
        )
        said(supervisor)
        supervisor.command(end)
        report = supervisor.report()
        supervisor.close()
        assert isinstance(report, Stalled)
        assert report.reason == "secret"
        assert not server.requests
        (line,) = supervisor.lines.written
        assert line["event"] == "shipper.secret_missing"
        assert (line["reference"], line["reason"]) == ("@{secretsmanager:prod/key#token}", reason)
        assert line["arn"] == "arn:aws:secretsmanager:eu-west-1:ACCOUNT:secret:prod/key-??????"
        assert line["action"] == "secretsmanager:GetSecretValue"
        assert advice in line["advice"]
        assert line["effect"] == "records wait"

    @pytest.mark.parametrize(
        ("status", "name", "asked"),
        [(400, "ThrottlingException", 1), (500, "InternalServiceError", 1), (403, "InvalidSignatureException", 2)],
    )
    def test_only_one_that_was_signed_for_another_time_is_asked_for_anew_at_once(
        self, vault: Vault, status: int, name: str, asked: int
    ) -> None:
        """Many environments share a quota that is spent."""
        body = json.dumps({"__type": name}).encode()
        vault.answer = lambda _name: http(status, body, "Date: Thu, 01 Jan 2099 00:00:00 GMT")
        settings = settings_of(
            **vault.environ, TAILRACE_DESTINATION="https://host", TAILRACE_HEADERS="X-Key=@{ssm:/prod/key}"
        )
        destination = create(settings, Waits(), Lines().log)
        (secret,) = destination.secrets
        secret.refresh()
        destination.close()
        assert len(vault.asked) == asked

    def test_where_there_is_no_way_to_it_that_is_said(self, server: Server) -> None:
        """As in a VPC."""
        backlog, _ = backlog_of(LINES)
        supervisor = Supervisor(
            backlog,
            server.port,
            **KEYS,
            AWS_ENDPOINT_URL="http://127.0.0.1:1",
            TAILRACE_LOG_LEVEL="warning",
            TAILRACE_HEADERS="X-Key=@{ssm:/prod/key}",
        )
        said(supervisor)
        supervisor.close()
        (line,) = supervisor.lines.written
        assert (line["reason"], line["action"]) == ("connect", "ssm:GetParameter")
        assert "NAT gateway" in line["advice"]

    def test_a_snapshot_asks_for_nothing_before_it_is_restored(self, server: Server, vault: Vault) -> None:
        """Or it would lie in every copy."""
        server.behaviours = [server.answering(http(200))]
        backlog, end = backlog_of(LINES)
        supervisor = Supervisor(
            backlog,
            server.port,
            **vault.environ,
            AWS_LAMBDA_INITIALIZATION_TYPE="snap-start",
            TAILRACE_HEADERS="X-Key=@{ssm:/prod/key}",
        )
        supervisor.command(end)
        report = supervisor.report()
        assert isinstance(report, Stalled)
        assert report.reason == "secret"
        assert not vault.asked
        wire.send(supervisor.commands_out, Restored(digest_key=os.urandom(16), instance_id="00112233aabbccdd"))
        delivered(supervisor, end)
        supervisor.close()
        assert heads(server, b"X-Key") == [b"value-two"]


class Guarded:
    """A destination that takes one key at a time.

    Args:
        server: Plays it.
        key: The first.
        refusal: What any other is answered with.
    """

    def __init__(self, server: Server, key: bytes, refusal: bytes = http(401)) -> None:
        self.key = key
        self.answers: list[tuple[bytes, int]] = []
        self._server = server
        self._refusal = refusal
        server.behaviours = [self._serve]

    def _serve(self, connection: Any) -> None:
        while True:
            head, _ = self._server.read(connection)
            (key,) = [line[7:] for line in head.split(b"\r\n") if line.startswith(b"X-Key: ")]
            answer = http(200) if key == self.key else self._refusal
            self.answers.append((key, int(answer[9:12])))
            connection.sendall(answer)


def test_a_rotation_is_found_out_by_what_the_destination_refuses(aws: Aws, server: Server) -> None:
    """AWS as moto plays it, with its signature check on: while the environment lives, and no breaker counts it."""
    secrets = aws.client("secretsmanager")
    with aws.unchecked():
        secrets.create_secret(Name="rotated", SecretString='{"token":"first-token"}')
    destination = Guarded(server, b"first-token")
    backlog, first_end = backlog_of(LINES)
    supervisor = Supervisor(
        backlog, server.port, **aws.environ, TAILRACE_HEADERS="X-Key=@{secretsmanager:rotated#token}"
    )
    delivered(supervisor, first_end)
    with aws.unchecked():
        secrets.put_secret_value(SecretId="rotated", SecretString='{"token":"second-token"}')
    destination.key = b"second-token"
    writer = Writer(backlog, end=first_end, released=0)
    writer.append(json.dumps(LINES).encode(), events=1, observed_ns=OBSERVED_NS, digest=bytes(range(8)))
    stalls = delivered(supervisor, writer.end, since=first_end)
    supervisor.close()
    assert set(stalls) == {"secret"}
    assert destination.answers == [(b"first-token", 200), (b"first-token", 401), (b"second-token", 200)]
    assert "-token" not in json.dumps(supervisor.lines.written)


@pytest.mark.parametrize(
    ("destination", "refusal"),
    [
        ("splunk+http://127.0.0.1:{}", http(403, b'{"text":"Invalid token","code":4}')),
        ("splunk+http://127.0.0.1:{}", http(401, b'{"text":"Invalid authorization","code":3}')),
        (
            "clickhouse+http://127.0.0.1:{}/db/logs",
            http(403, b"Code: 516. DB::Exception: u: Authentication failed", "X-ClickHouse-Exception-Code: 516"),
        ),
        ("loki+http://127.0.0.1:{}", http(401, b"no org id")),
    ],
    ids=["splunk", "splunk 401", "clickhouse", "loki"],
)
def test_a_rotation_is_found_out_whatever_a_backend_calls_the_refusal(
    server: Server, vault: Vault, destination: str, refusal: bytes
) -> None:
    """Some have codes of their own for a key that is wrong."""
    guarded = Guarded(server, b"value-two", refusal)
    backlog, first_end = backlog_of(LINES)
    supervisor = Supervisor(
        backlog,
        0,
        **vault.environ,
        TAILRACE_DESTINATION=destination.format(server.port),
        TAILRACE_HEADERS="Authorization=@{ssm:/prod/key},X-Key=@{ssm:/prod/key}",
    )
    delivered(supervisor, first_end)
    guarded.key, vault.values["/prod/key"] = b"value-new", "value-new"
    writer = Writer(backlog, end=first_end, released=0)
    writer.append(json.dumps(LINES).encode(), events=1, observed_ns=OBSERVED_NS, digest=bytes(range(8)))
    stalls = delivered(supervisor, writer.end, since=first_end)
    supervisor.close()
    assert set(stalls) == {"secret"}
    assert [key for key, _ in guarded.answers] == [b"value-two", b"value-two", b"value-new"]


def test_a_key_that_is_wrong_is_asked_for_once(server: Server, vault: Vault) -> None:
    """Another time only after a pause: then it is the destination's refusal, as with any key."""
    destination = Guarded(server, b"another")
    backlog, end = backlog_of(LINES)
    supervisor = Supervisor(backlog, server.port, **vault.environ, TAILRACE_HEADERS="X-Key=@{ssm:/prod/key}")
    stalls: list[str] = []
    while "unauthorised" not in stalls and len(stalls) < 500:
        supervisor.command(end)
        report = supervisor.report()
        assert isinstance(report, Stalled)
        stalls.append(report.reason)
        time.sleep(0.02)
    supervisor.close()
    assert vault.asked == ["/prod/key", "/prod/key"]
    assert destination.answers == [(b"value-two", 401), (b"value-two", 401)]


def test_what_a_role_may_not_read_is_said_with_aws_own_words(aws: Aws, server: Server) -> None:
    """AWS' own line names who asked."""
    with aws.unchecked():
        aws.client("ssm").describe_parameters()  # the stand-in takes seconds for the first answer of a service
    backlog, _ = backlog_of(LINES)
    headers = "X-Key=@{ssm:/prod/key}"
    supervisor = Supervisor(backlog, server.port, **aws.environ, TAILRACE_LOG_LEVEL="warning", TAILRACE_HEADERS=headers)
    said(supervisor)
    supervisor.close()
    (line,) = supervisor.lines.written
    assert (line["event"], line["reason"]) == ("shipper.secret_missing", "AccessDenied")
    assert "is not authorized to perform: ssm:GetParameter" in line["said"]
    assert "allowed ssm:GetParameter on arn:aws:ssm:eu-west-1:ACCOUNT:parameter/prod/key" in line["advice"]


def checked(environ: dict[str, str], *arguments: str) -> tuple[int, str]:
    """Exit status and text of the check."""
    written: list[str] = []
    status = check.main(environ, list(arguments), written.append)
    return status, "".join(written)


class TestCheck:
    """What a person is told before anything is shipped."""

    def test_secrets_are_asked_for_and_sent_and_not_shown(self, server: Server, vault: Vault) -> None:
        """Once each."""
        server.behaviours = [server.answering(http(200))]
        environ = {
            **vault.environ,
            "TAILRACE_DESTINATION": f"otlp+http://127.0.0.1:{server.port}",
            "TAILRACE_HEADERS": "X-Key=@{secretsmanager:prod/key}",
            "TAILRACE_SIGNALS": "logs",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
        }
        status, text = checked(environ, "--send")
        assert status == 0, text
        assert re.search(r"secrets +known", text)
        assert heads(server, b"X-Key") == [b"value-one"]
        assert "value-one" not in text

    def test_what_a_destination_repeats_is_blanked(self, server: Server, vault: Vault) -> None:
        """Though it was known after the check had begun."""
        server.behaviours = [server.answering(http(401, b'{"message":"no such key: value-one"}'))]
        environ = {
            **vault.environ,
            "TAILRACE_DESTINATION": f"http://127.0.0.1:{server.port}/in",
            "TAILRACE_HEADERS": "X-Key=@{secretsmanager:prod/key}",
        }
        status, text = checked(environ, "--send")
        assert status == 1
        assert "no such key: (hidden)" in text
        assert "value-one" not in text

    def test_one_that_is_missing_is_a_problem(self, server: Server, vault: Vault) -> None:
        """With the permission that a role needs; without --send as well."""
        vault.answer = lambda _name: http(400, b'{"__type":"AccessDeniedException","Message":"no"}')
        environ = {
            **vault.environ,
            "TAILRACE_DESTINATION": f"http://127.0.0.1:{server.port}/in",
            "TAILRACE_HEADERS": "X-Key=@{ssm:/prod/key}",
        }
        status, text = checked(environ)
        flat = " ".join(text.split())
        assert status == 1
        assert "secrets not known: nothing could be sent" in flat
        assert "allowed ssm:GetParameter on arn:aws:ssm:eu-west-1:ACCOUNT:parameter/prod/key" in flat
        assert not server.requests

    def test_what_has_credentials_and_no_secret_asks_nobody(self) -> None:
        """As S3."""
        status, text = checked({**KEYS, "TAILRACE_DESTINATION": "s3://bucket"})
        assert status == 0, text
        assert re.search(r"secrets +known", text)
