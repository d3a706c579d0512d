"""A life of the built layer that goes to a backend and to an archive in S3 at once; S3 is a stand-in of our own."""

import gzip
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.shipper.support import Server, http

pytestmark = pytest.mark.e2e

NAME = re.compile(r"/bucket/logs/service%3Ddemo/dt%3D\d{4}-\d\d-\d\d/hour%3D\d\d/[\w.-]+\.ndjson\.gz")


class Store:
    """A stand-in of our own for S3: objects by name."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.heads: list[str] = []
        self.server = Server(self._serve)

    def _serve(self, connection: Any) -> None:
        while True:
            head, body = self.server.read(connection)
            self.heads.append(head.decode())
            method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
            if method != "PUT" or NAME.fullmatch(target) is None:
                connection.sendall(http(400, b"<Error><Code>InvalidURI</Code></Error>"))
                continue
            self.objects[target] = body
            connection.sendall(http(200, b"", 'ETag: "x"'))

    def rows(self) -> list[dict[str, Any]]:
        """Every row in it."""
        return [json.loads(line) for body in self.objects.values() for line in gzip.decompress(body).splitlines()]


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store()
    yield store
    store.server.close()


def test_a_backend_and_an_archive_have_every_line_once(start: Start, store: Store) -> None:
    """Neither hears of what is the other's: no key of the one, no signature of the other."""
    run = start(
        OTEL_EXPORTER_OTLP_HEADERS="api-key=hunter22222",
        TAILRACE_DESTINATION_ARCHIVE="s3://bucket/logs",
        TAILRACE_PLATFORM_LOGS="0",
        AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{store.server.port}",
    )
    for number in range(5):
        run.invoke(lines=3, say=f"invocation {number},")
    run.invoke(json={"level": "WARN", "message": "structured", "order": 7})
    run.end()
    expected = sorted([*(f"invocation {n}, {line}" for n in range(5) for line in range(3)), "structured"])
    rows = store.rows()
    assert sorted(row["message"] for row in rows) == expected
    assert len({row["uid"] for row in rows}) == len(rows)
    assert {row["service"] for row in rows} == {"demo"}
    (structured,) = [row for row in rows if row["message"] == "structured"]
    assert (structured["level"], structured["attributes"]) == ("WARN", {"order": "7"})
    assert sorted(body for body in run.bodies() if body.startswith("invocation ")) == expected[:-1]
    assert store.heads
    assert all("Credential=ASIASANDBOXSANDBOX00/" in head and "hunter" not in head for head in store.heads)
    assert all("aws4" not in str(request.headers).lower() for request in run.backend.requests)
    assert run.said() == []
