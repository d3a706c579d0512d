"""Secrets by reference over a life of the built layer: no function waits for one, and no line is lost."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.sandbox import Destination, Status
from tests.shipper.support import Server, http

pytestmark = pytest.mark.e2e

SECRET_NAME = "backend"  # noqa: S105 - a name


class Vault:
    """A stand-in of our own for Secrets Manager, which answers when it is let."""

    def __init__(self) -> None:
        self.value = "first-value"
        self.is_let = threading.Event()
        self.is_let.set()
        self.denial = b""
        self.asked_at: list[float] = []
        self.server = Server(self._serve)

    def _serve(self, connection: Any) -> None:
        while True:
            head, body = self.server.read(connection)
            self.asked_at.append(time.monotonic())
            assert b"Authorization: AWS4-HMAC-SHA256 " in head
            assert json.loads(body) == {"SecretId": SECRET_NAME}
            self.is_let.wait(10)
            found = json.dumps({"SecretString": json.dumps({"key": self.value})}).encode()
            connection.sendall(http(400, self.denial) if self.denial else http(200, found))

    @property
    def environ(self) -> dict[str, str]:
        """Where it is, and what refers to it."""
        return {
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": f"http://127.0.0.1:{self.server.port}",
            "OTEL_EXPORTER_OTLP_HEADERS": f"api-key=Key @{{secretsmanager:{SECRET_NAME}#key}}",
            "TAILRACE_FLUSH": "end",
        }


@pytest.fixture
def vault() -> Iterator[Vault]:
    vault = Vault()
    yield vault
    vault.is_let.set()
    vault.server.close()


def keys(backend: Destination) -> set[str]:
    """What the backend was shown."""
    return {request.headers.get("api-key", "") for request in backend.requests}


def test_no_function_waits_for_a_secret_and_every_line_arrives(start: Start, vault: Vault) -> None:
    """It is asked for as soon as there is a shipper; meanwhile invocations are let go at once."""
    vault.is_let.clear()
    run = start(**vault.environ)
    held_ms = [run.held_ms(lines=2, say=f"early {n}") for n in range(4)]
    assert not run.backend.requests
    assert sorted(held_ms)[1] < 250, held_ms  # half of the budget, which a dead backend would cost
    vault.is_let.set()
    until = time.monotonic() + 20
    while not run.backend.requests and time.monotonic() < until:
        run.invoke(lines=1, say="late", sleep_s=0.05)
    run.end()
    assert run.lost() == 0
    assert keys(run.backend) == {"Key first-value"}
    # Of several shipments one waits for it, and asks again where that was not long enough.
    assert len(vault.asked_at) < len(held_ms)
    assert run.said() == []


def test_a_new_value_is_found_out_while_the_environment_lives(start: Start, vault: Vault) -> None:
    """The destination refuses the old one; nothing is lost, and neither value is printed."""
    run = start(**vault.environ, TAILRACE_LOG_LEVEL="debug")
    run.invoke(lines=2, say="before")
    until = time.monotonic() + 20
    while not run.backend.requests and time.monotonic() < until:
        run.invoke(lines=1, say="before", sleep_s=0.05)
    vault.value = "second-value"
    run.backend.faults.script(
        lambda request, _body: None if request.headers.get("api-key") == "Key second-value" else Status(401)
    )
    run.invoke(lines=2, say="after")
    while "Key second-value" not in keys(run.backend) and time.monotonic() < until:
        run.invoke(lines=1, say="after", sleep_s=0.05)
    run.end()
    assert run.lost() == 0
    assert keys(run.backend) == {"Key first-value", "Key second-value"}
    assert not [line for line in run.said() if "-value" in line]
    assert not run.events("breaker.opened")


def test_what_is_denied_is_said_and_costs_the_function_nothing(start: Start, vault: Vault) -> None:
    """With the ARN and the permission; the last line has what waits."""
    vault.denial = b'{"__type":"AccessDeniedException","Message":"no"}'
    run = start(**vault.environ)
    for number in range(3):
        run.invoke(lines=1, say=f"line {number}")
    run.end()
    assert not run.backend.requests
    (missing,) = run.events("shipper.secret_missing")
    assert missing["action"] == "secretsmanager:GetSecretValue"
    assert missing["arn"].endswith(f":secret:{SECRET_NAME}-??????")
    assert "ACCOUNT" not in missing["arn"]
    (ended,) = run.events("lifecycle.ended")
    assert ended["accepted"] == ended["waiting"] > 0
