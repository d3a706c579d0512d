"""Fixtures of the shipper's tests."""

from collections.abc import Iterator

import pytest

from tests.shipper.client import Client
from tests.shipper.support import Server


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    client = Client(f"http://127.0.0.1:{server.port}/")
    yield client
    client.close()
