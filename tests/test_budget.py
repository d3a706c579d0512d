"""What each process has imported at which point: every import is paid for at cold start, and in memory."""

import subprocess
import sys
from pathlib import Path

import pytest

LAYER = Path(__file__).parents[1] / "build" / "layer" / "tailrace"

BOOT = {"_socket", "errno", "gc", "lifecycle"}
# What msgspec and httptools cannot be had without, and what of the standard library is ours.
SUPERVISOR = BOOT | {
    *("_collections", "_datetime", "_struct", "cython_runtime", "fcntl", "httptools", "itertools", "math", "mmap"),
    *("msgspec", "select"),
}
SHIPPER = SUPERVISOR | {
    *("_bisect", "_collections_abc", "_functools", "_operator", "_sre", "binascii", "shipper", "zlib"),
}
LEAN = "from lifecycle.contract import lean; lean.load(); import lifecycle.supervisor"


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
        (LEAN, SUPERVISOR),
        (f"{LEAN}, collector.server", SUPERVISOR | {"_blake2", "_sre", "collector"}),
        (f"{LEAN}, shipper.worker", SHIPPER),
    ],
    ids=["boot", "supervisor", "collector", "shipper"],
)
def test_process_imports_no_more_than_its_budget(code: str, budget: set[str]) -> None:
    """A new name here is a decision, not an accident."""
    assert {name for name in imported(code) if not name.startswith("_cython")} - budget == set()


def test_the_intake_is_loaded_only_where_it_is_on() -> None:
    """Who does not use it pays for nothing of it: neither its own module nor what counts an export's items."""
    program = f"""
import sys
sys.path.insert(0, {str(LAYER)!r})
{LEAN}, collector.server
print(*sys.modules)
"""
    out = subprocess.run([sys.executable, "-IS", "-c", program], capture_output=True, text=True, check=True).stdout
    assert {"collector.otlp_intake", "lifecycle.contract.otlp_wire", "zlib"}.isdisjoint(out.split())


@pytest.mark.parametrize("dear", ["structlog", "tenacity", "_ssl", "logging", "socket", "json", "random", "threading"])
def test_dear_modules_are_not_imported_by_any_process_at_start(dear: str) -> None:
    """They wait for the first line, the first retry, the first TLS connection, or for ever."""
    assert dear not in imported(f"{LEAN}, collector.server, shipper.worker")
