"""A layer with scripted extensions, a task root with a handler, and an environment made of both."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import Environment, Function, Platform
from tests.sandbox.scripted import Scripted, write_extension, write_handler

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Stage:
    """Builds what one test needs; everything is torn down with the test."""

    root: Path
    stack: ExitStack = field(default_factory=ExitStack)

    @property
    def layer(self) -> Path:
        """What would be unpacked to /opt."""
        return self.root / "layer"

    @property
    def task_root(self) -> Path:
        """The function's code."""
        return write_handler(self.root / "task")

    def extension(self, name: str = "scripted", **behaviour: Any) -> Scripted:
        """Add a scripted extension."""
        return write_extension(self.layer, name, **behaviour)

    def environment(self, function: dict[str, Any] | None = None, **platform: Any) -> Environment:
        """Open an environment of the layer and the handler."""
        (self.layer / "extensions").mkdir(parents=True, exist_ok=True)
        return self.stack.enter_context(
            Environment(
                self.layer / "extensions",
                Function(task_root=self.task_root, **(function or {})),
                Platform(**platform),
            )
        )


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A stage in a directory of the test's own, which extensions that are not root can enter as well."""
    with TemporaryDirectory(prefix="sandbox-") as directory:
        Path(directory).chmod(0o755)
        made = Stage(Path(directory))
        with made.stack:
            yield made
