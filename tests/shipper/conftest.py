"""Fixtures of the shipper's tests."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipper import pipeline
from shipper.parse import json_shapes, text_lines
from tests.shipper.moto_server import Aws
from tests.shipper.support import Server


@pytest.fixture(autouse=True, scope="package")
def _small_frames_have_runs() -> Iterator[None]:
    """Lines are read together in the smallest frame and batch, too: a test's few lines take that way as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "LEAST_FOR_RUNS_BYTES", 0)
        patch.setattr(pipeline, "LEAST_BATCH_BYTES", 0)
        patch.setattr(pipeline, "LEAST_BATCH_RECORDS", 0)
        patch.setattr(json_shapes, "LEAST_LINES", 1)
        patch.setattr(text_lines, "LEAST_LINES", 1)
        patch.setattr(text_lines, "LEAST_AMONG_OTHERS", 1)
        yield


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


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that nobody signed."""
    path = tmp_path_factory.mktemp("tls")
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = "-addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem"
    subprocess.run([*make.split(), *names.split()], cwd=path, check=True, capture_output=True)
    return path
