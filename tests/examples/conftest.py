"""The examples where tools may work on them."""

import shutil
from pathlib import Path

import pytest

from tests.examples.support import EXAMPLES, ZIP


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples beside the built zip, where tools may leave what they like."""
    root = tmp_path_factory.mktemp("checkout")
    shutil.copytree(EXAMPLES, root / "examples")
    (root / "build").mkdir()
    shutil.copyfile(ZIP, root / "build" / ZIP.name)
    return root / "examples"
