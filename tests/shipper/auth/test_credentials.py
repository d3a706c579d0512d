"""The function's credentials: from its environment, or from the endpoint it names, before they expire."""

import json
import math
import time
from typing import Any

import pytest

from lifecycle.contract import wire
from lifecycle.contract.wire import Stalled
from shipper.auth.credentials import Credentials, Keys
from tests.shipper.auth.test_references import delivered
from tests.shipper.moto_server import Aws
from tests.shipper.support import Lines, Server, Waits, backlog_of, event, http, settings_of
from tests.shipper.test_worker import Supervisor

STATIC = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s3cret", "AWS_SESSION_TOKEN": "t"}
NOW = 1_767_323_045.0  # 2026-01-02T03:04:05Z


class Scene:
    """Credentials whose clocks stand, and the endpoint."""

    def __init__(self, server: Server, **environ: str) -> None:
        self.wall, self.monotonic = NOW, 100.0
        self.lines = Lines()
        endpoint = {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{server.port}/v2/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": "let-me-in",
        }
        self.credentials = Credentials(
            settings_of(**(environ or endpoint)).aws,
            Waits(),
            self.lines.log,
            clock=lambda: self.monotonic,
            wall_clock=lambda: self.wall,
        )

    def passes(self, seconds: float) -> None:
        """Time passes."""
        self.wall += seconds
        self.monotonic += seconds


def told(key: str, expires: str) -> bytes:
    """An answer of the endpoint."""
    keys = {"AccessKeyId": key, "SecretAccessKey": "s", "Token": "t", "Expiration": expires, "RoleArn": "whatever"}
    return http(200, json.dumps(keys).encode())


def test_the_environments_own_are_known_at_once(server: Server) -> None:
    """They never change, and nobody is asked."""
    scene = Scene(server, **STATIC)
    assert scene.credentials.keys == Keys("AKIA", "s3cret", "t")
    assert scene.credentials.due_in_s() == math.inf
    assert not scene.credentials.refused(Keys("AKIA", "s3cret", "t"))
    assert scene.credentials.is_known


def test_none_at_all_is_said_once(server: Server) -> None:
    scene = Scene(server, AWS_REGION="eu-west-1")
    assert not scene.credentials.is_known
    assert scene.credentials.due_in_s() == scene.credentials.due_in_s() == math.inf
    assert scene.lines.events("warning") == ["shipper.credentials_missing"]


def test_the_endpoint_is_asked_again_before_they_expire(server: Server) -> None:
    """As with SnapStart, whose environment has no keys."""
    server.behaviours = [
        server.answering(told("one", "2026-01-02T04:04:05Z")),
        server.answering(told("two", "2026-01-02T05:04:05Z")),
    ]
    scene = Scene(server)
    assert not scene.credentials.is_known
    assert not server.requests
    assert scene.credentials.due_in_s() == 0
    scene.credentials.refresh()
    (head, _), *_ = server.requests
    assert head.startswith(b"GET /v2/credentials HTTP/1.1\r\n")
    assert b"Authorization: let-me-in" in head
    assert scene.credentials.keys == Keys("one", "s", "t", NOW + 3600)
    assert scene.credentials.due_in_s() == pytest.approx(3300)
    scene.passes(3300)
    assert scene.credentials.due_in_s() == 0
    assert scene.credentials.is_known
    scene.credentials.refresh()
    keys = scene.credentials.keys
    assert keys is not None
    assert keys.access_key == "two"


def test_expired_ones_sign_nothing(server: Server) -> None:
    server.behaviours = [server.answering(told("one", "2026-01-02T04:04:05Z"))]
    scene = Scene(server)
    scene.credentials.refresh()
    scene.passes(3601)
    assert not scene.credentials.is_known
    assert scene.credentials.due_in_s() == 0


def test_those_that_aws_refuses_are_asked_for_again(server: Server) -> None:
    server.behaviours = [server.answering(told("one", "2026-01-02T04:04:05Z"))]
    scene = Scene(server)
    scene.credentials.refresh()
    keys = scene.credentials.keys
    assert keys is not None
    assert scene.credentials.refused(keys)
    assert not scene.credentials.is_known
    assert scene.credentials.due_in_s() == 0


@pytest.mark.parametrize("answer", [http(500), http(200, b"<html>"), http(200, b"{}"), b"nonsense\r\n\r\n"])
def test_an_endpoint_that_fails_is_asked_again_after_pauses(server: Server, answer: bytes) -> None:
    """It is said once."""
    server.behaviours = [server.answering(answer)]
    scene = Scene(server)
    pauses = []
    for _ in range(8):
        scene.credentials.refresh()
        pauses.append(scene.credentials.due_in_s())
        scene.passes(pauses[-1])
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert scene.lines.events("warning") == ["shipper.credentials_missing"]


def test_an_endpoint_that_fails_is_said_once_the_keys_have_expired(server: Server) -> None:
    """While they are good nobody has to know."""
    server.behaviours = [server.answering(told("one", "2026-01-02T04:04:05Z")), server.answering(http(429))]
    scene = Scene(server)
    scene.credentials.refresh()
    scene.passes(3500)
    scene.credentials.refresh()
    assert (scene.credentials.is_known, scene.lines.events("warning")) == (True, [])
    for _ in range(2):
        scene.passes(200)
        scene.credentials.refresh()
    (warning,) = [line for line in scene.lines.written if line["level"] == "warning"]
    assert (warning["event"], warning["reason"]) == ("shipper.credentials_missing", "status_429")


@pytest.mark.parametrize("uri", ["nonsense", "ftp://h/x", "http://"])
def test_an_endpoint_that_is_none_is_said(server: Server, uri: str) -> None:
    """Once."""
    scene = Scene(server, AWS_CONTAINER_CREDENTIALS_FULL_URI=uri)
    scene.credentials.refresh()
    scene.credentials.refresh()
    assert scene.lines.events("warning") == ["shipper.credentials_missing"]


def test_a_token_is_not_said_aloud_to_strangers(server: Server) -> None:
    """Without TLS only to whoever is near."""
    scene = Scene(
        server,
        AWS_CONTAINER_CREDENTIALS_FULL_URI="http://credentials.example/",
        AWS_CONTAINER_AUTHORIZATION_TOKEN="let-me-in",  # noqa: S106 - none
    )
    began = time.monotonic()
    scene.credentials.refresh()
    assert time.monotonic() - began < 1
    (line,) = [line for line in scene.lines.written if line["level"] == "warning"]
    assert line["reason"] == "not_near"


class Vendor:
    """A stand-in of our own for the endpoint that hands out credentials: moto's user's, and others before."""

    def __init__(self, server: Server, aws: Aws) -> None:
        self.aws = aws
        self.is_stale = False
        self.server = server
        server.behaviours = [self._serve]

    def _serve(self, connection: Any) -> None:
        while True:
            self.server.read(connection)
            key = "AKIASTALESTALESTALES" if self.is_stale else self.aws.environ["AWS_ACCESS_KEY_ID"]
            keys = {
                "AccessKeyId": key,
                "SecretAccessKey": self.aws.environ["AWS_SECRET_ACCESS_KEY"],
                "Token": "",
                "Expiration": "2099-01-02T04:04:05Z",
            }
            self.is_stale = False
            connection.sendall(http(200, json.dumps(keys).encode()))


@pytest.mark.parametrize("is_stale", [False, True])
def test_a_restored_copy_signs_with_what_the_endpoint_hands_out(aws: Aws, server: Server, *, is_stale: bool) -> None:
    """Nothing is asked for before the restore; keys that AWS does not know are asked for again, at once."""
    bucket = f"tailrace-restored-{is_stale}".lower()
    with aws.unchecked():
        aws.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    vendor = Vendor(server, aws)
    vendor.is_stale = is_stale
    backlog, end = backlog_of([event("a line\n")])
    supervisor = Supervisor(
        backlog,
        0,
        AWS_REGION="eu-west-1",
        AWS_ENDPOINT_URL_S3=aws.url,
        AWS_CONTAINER_CREDENTIALS_FULL_URI=f"http://127.0.0.1:{server.port}/v2/credentials",
        AWS_CONTAINER_AUTHORIZATION_TOKEN="let-me-in",  # noqa: S106 - none
        AWS_LAMBDA_INITIALIZATION_TYPE="snap-start",
        TAILRACE_DESTINATION=f"s3://{bucket}",
    )
    supervisor.command(end)
    report = supervisor.report()
    assert isinstance(report, Stalled)
    assert report.reason == "secret"
    assert not server.requests
    wire.send(supervisor.commands_out, wire.Restored(digest_key=bytes(16), instance_id="00112233aabbccdd"))
    stalls = delivered(supervisor, end)
    supervisor.close()
    assert set(stalls) <= {"secret"}
    assert len(server.requests) == 1 + is_stale
    with aws.unchecked():
        (found,) = aws.client("s3").list_objects_v2(Bucket=bucket)["Contents"]
    assert "00112233aabbccdd" in found["Key"]
