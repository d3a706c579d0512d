"""Fixtures of the transport's tests."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.shipper.support import Server
from tests.shipper.transport.client import Client


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    client = Client(f"http://127.0.0.1:{server.port}/")
    yield client
    client.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that nobody signed."""
    path = tmp_path_factory.mktemp("tls")
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = "-addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem"
    subprocess.run([*make.split(), *names.split()], cwd=path, check=True, capture_output=True)
    return path
