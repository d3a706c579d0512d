"""Our names against those of the conventions' own package."""

import importlib
from collections.abc import Iterator
from pathlib import Path

import opentelemetry.semconv
import pytest

from shipper.model import semconv

NAMES = {name: value for name, value in vars(semconv).items() if name.isupper()}


def conventions() -> Iterator[dict[str, object]]:
    """What each module of the package says."""
    for root in map(Path, opentelemetry.semconv.__path__):
        for path in root.rglob("*_attributes.py"), root.rglob("*_metrics.py"):
            for found in path:
                parts = found.relative_to(root).with_suffix("").parts
                yield vars(importlib.import_module(".".join(("opentelemetry.semconv", *parts))))


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_one_of_the_conventions(name: str) -> None:
    """And called so by them, too."""
    known = {found[name] for found in conventions() if name in found}
    assert known == {NAMES[name]}


def test_no_name_of_theirs_is_written_elsewhere() -> None:
    """In what makes telemetry; what users' libraries call things is another matter."""
    root = Path(__file__).parents[3] / "shipper"
    makers = [path for part in ("model", "invocations", "destinations/otlp") for path in (root / part).rglob("*.py")]
    written = {
        (path.name, value)
        for path in makers
        if path.name != "semconv.py"
        for value in NAMES.values()
        if f'"{value}"' in path.read_text()
    }
    assert written == set()
