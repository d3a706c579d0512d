"""Fixtures of the shipper's tests."""

from collections.abc import Iterator

import pytest

from tests.shipper.moto_server import Aws
from tests.shipper.support import Server


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture(scope="package")
def aws() -> Iterator[Aws]:
    aws = Aws()
    yield aws
    aws.close()
