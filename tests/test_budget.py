"""What each process has imported at which point: every import is paid for at cold start, and in memory."""

import subprocess
import sys
from pathlib import Path

import pytest

LAYER = Path(__file__).parents[1] / "build" / "layer" / "tailrace"

BOOT = {"_collections_abc", "_socket", "_stat", "errno", "gc", "genericpath", "lifecycle", "os", "posixpath", "stat"}
# Most of it is what msgspec brings and cannot be had without.
SUPERVISOR = BOOT | {
    *("__future__", "_bisect", "_collections", "_datetime", "_decimal", "_functools", "_operator"),
    *("_random", "_sre", "_struct", "_typing", "_uuid", "binascii", "collections", "contextlib", "copyreg"),
    *(
        "datetime",
        "decimal",
        "enum",
        "fcntl",
        "functools",
        "itertools",
        "keyword",
        "math",
        "mmap",
        "msgspec",
        "numbers",
    ),
    *("operator", "platform", "re", "reprlib", "select", "struct", "textwrap", "types", "typing"),
    *("typing_extensions", "uuid", "warnings"),
}
HTTPTOOLS = {"httptools", "cython_runtime"}


def imported(code: str) -> set[str]:
    """Top-level modules that `code` brings in, beyond what the bare interpreter has."""
    program = f"""
import sys
bare = set(sys.modules)
sys.path.insert(0, {str(LAYER)!r})
{code}
print(*{{name.partition(".")[0] for name in set(sys.modules) - bare}})
"""
    out = subprocess.run([sys.executable, "-IS", "-c", program], capture_output=True, text=True, check=True).stdout
    return set(out.split())


@pytest.mark.parametrize(
    ("code", "budget"),
    [
        ("import lifecycle.__main__", BOOT),
        ("import lifecycle.supervisor", SUPERVISOR),
        ("import lifecycle.supervisor, collector.worker", SUPERVISOR | HTTPTOOLS | {"_blake2", "collector"}),
        ("import lifecycle.supervisor, shipper.worker", SUPERVISOR | HTTPTOOLS | {"shipper", "zlib"}),
    ],
    ids=["boot", "supervisor", "collector", "shipper"],
)
def test_process_imports_no_more_than_its_budget(code: str, budget: set[str]) -> None:
    """A new name here is a decision, not an accident."""
    assert {name for name in imported(code) if not name.startswith("_cython")} - budget == set()


@pytest.mark.parametrize("dear", ["structlog", "tenacity", "ssl", "logging", "socket", "json", "random", "threading"])
def test_dear_modules_are_not_imported_by_any_process_at_start(dear: str) -> None:
    """They wait for the first line, the first retry, the first TLS connection, or for ever."""
    assert dear not in imported("import lifecycle.supervisor, collector.worker, shipper.worker")
