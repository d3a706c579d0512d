"""Fixtures of the shipper's tests."""

from collections.abc import Iterator

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
