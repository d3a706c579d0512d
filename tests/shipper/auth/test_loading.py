"""What signs and asks for secrets is loaded where it is used, and nowhere else."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

SCRIPT = """
import os, sys
sys.path.insert(0, {root!r})
from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings
from shipper import worker
from shipper.destinations.registry import create
from shipper.commands import Commands
commands = Commands(os.pipe()[0])
worker._next_ship(commands, create(Settings({environ!r}), commands, Log("x")), 0, may_refresh=True)
looked_for = ("shipper.auth.", "hashlib", "hmac", "shipper.secret_refresh")
print(*sorted(name for name in sys.modules if name.startswith(looked_for)))
"""

PLAIN = "shipper.auth.static"
SIGNS = f"hashlib hmac shipper.auth.aws shipper.auth.credentials shipper.auth.sigv4 {PLAIN} shipper.secret_refresh"
ASKS = SIGNS.replace("credentials", "credentials shipper.auth.references")


@pytest.mark.parametrize(
    ("environ", "loaded"),
    [
        ({"TAILRACE_DESTINATION": "otlp+https://h"}, PLAIN),
        ({"TAILRACE_DESTINATION": "https://u:p@h", "TAILRACE_HEADERS": "a=b"}, PLAIN),
        ({"TAILRACE_DESTINATION": "file:/tmp/x"}, ""),
        ({"TAILRACE_DESTINATION": "otlp+https://h", "TAILRACE_HEADERS": "a=@{ssm:/x}"}, ASKS),
        ({"TAILRACE_DESTINATION": "s3://bucket", "AWS_REGION": "eu-west-1"}, SIGNS),
        ({"TAILRACE_DESTINATION": "otlp+https://logs.eu-west-1.amazonaws.com"}, SIGNS),
    ],
)
def test_nothing_is_loaded_that_is_not_used(environ: dict[str, str], loaded: str) -> None:
    """A destination's weight is paid by whoever uses it."""
    script = SCRIPT.format(root=str(ROOT), environ=environ)
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert found.stdout.strip() == loaded
