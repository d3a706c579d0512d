"""Which tests may run beside others, and which must have the machine for themselves.

What plays real processes against a clock tells something only where nobody else is busy: that is every test which is
not named here. What measures no time is faster on all processors at once.

A plugin of pytest's, which `python -m tests` loads: `-p tests.parts --part=together`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

TOGETHER, ALONE = PARTS = ("together", "alone")

_TESTS = Path(__file__).parent

# Folders and files.
_SHARING = (
    "bench",
    "collector/test_batch.py",
    "collector/test_handler.py",
    "examples",
    "fleet",
    "fuzz",
    "lifecycle/contract",
    "lifecycle/machine",
    "lifecycle/test_check.py",
    "shipper",
    "test_imports.py",
    "test_linear_patterns.py",
    "test_parts.py",
    "tools",
)

# Within those: what waits for so long and no longer.
_TIMED = (
    "lifecycle/contract/test_log.py",
    "shipper/auth/test_credentials.py",
    "shipper/auth/test_references.py",
    "shipper/delivery/test_all_at_once.py",
    "shipper/delivery/test_health.py",
    "shipper/rules/test_patterns.py",
    "shipper/test_commands.py",
    "shipper/test_worker.py",
    "shipper/transport",
    "tools/timeline/test_page.py",
)


def part_of(path: Path) -> str:
    """The part that a file of tests belongs to."""
    return TOGETHER if _is_in(path, _SHARING) and not _is_in(path, _TIMED) else ALONE


def misplaced() -> list[str]:
    """Of the places named above, those that are not there."""
    return [place for place in (*_SHARING, *_TIMED) if not (_TESTS / place).exists()]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which part is to run."""
    parser.addoption("--part", choices=PARTS, required=True, help="what may run side by side, or all else")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What is of the other part is not even loaded, unless somebody named it: pytest takes that for a mistake then."""
    if collection_path.is_dir() or part_of(collection_path) == config.getoption("--part"):
        return None
    named = (config.invocation_params.dir / argument.partition("::")[0] for argument in config.args)
    return None if collection_path in {path.resolve() for path in named} else True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What was loaded since it was named is left out here."""
    part = config.getoption("--part")
    config.hook.pytest_deselected(items=[item for item in items if part_of(item.path) != part])
    items[:] = [item for item in items if part_of(item.path) == part]


def _is_in(path: Path, places: tuple[str, ...]) -> bool:
    return any(path.is_relative_to(_TESTS / place) for place in places)
