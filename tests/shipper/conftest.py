"""Fixtures of the shipper's tests."""

from collections.abc import Iterator

import pytest

from tests.shipper.support import Server


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()
