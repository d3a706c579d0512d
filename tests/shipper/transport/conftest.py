"""Fixtures of the transport's tests."""

from collections.abc import Iterator

import pytest

from tests.shipper.support import Server
from tests.shipper.transport.client import Client


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    client = Client(f"http://127.0.0.1:{server.port}/")
    yield client
    client.close()
