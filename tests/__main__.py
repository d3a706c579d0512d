"""Runs all tests, in two parts: what may run side by side on all processors, then what must have the machine alone.

A program: `python -m tests`, with pytest's own arguments. Its results are in build/tests.xml.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from tests.parts import ALONE, TOGETHER

if TYPE_CHECKING:
    from collections.abc import Sequence

RESULTS = Path("build/tests.xml")

# More of them are of no use: some start compilers and whole layers.
_SIDE_BY_SIDE = ("--numprocesses=auto", "--maxprocesses=4", "--dist=worksteal")

_WAYS = {TOGETHER: _SIDE_BY_SIDE, ALONE: ()}
_NONE = pytest.ExitCode.NO_TESTS_COLLECTED
_COUNTS = ("errors", "failures", "skipped", "tests")


def main(arguments: Sequence[str], results: Path = RESULTS) -> int:
    """Runs them.

    Args:
        arguments: For pytest.
        results: Where it is written what ran, as JUnit does.

    Returns:
        The exit status: pytest's of the first part that did not end well. That one part has none of the tests asked
        for is no failure.
    """
    written, statuses = [], []
    for part, ways in _WAYS.items():
        path = results.with_stem(f"{results.stem}-{part}")
        path.unlink(missing_ok=True)
        pytest_ = [sys.executable, "-m", "pytest", "-p", "tests.parts", f"--part={part}", f"--junit-xml={path}"]
        statuses.append(subprocess.run([*pytest_, *ways, *arguments], check=False).returncode)
        if path.exists():
            written.append(path)
        if statuses[-1] not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, _NONE}:
            break
    if written:
        _joined(written).write(results, encoding="utf-8", xml_declaration=True)
    if len(statuses) == len(_WAYS) and statuses[0] == pytest.ExitCode.TESTS_FAILED:
        print("Tests of the first part failed: see above.", file=sys.stderr)
    return next((status for status in statuses if status not in {0, _NONE}), min(statuses))


def _joined(paths: Sequence[Path]) -> ET.ElementTree[ET.Element]:
    """One suite of all."""
    whole, *others = [ET.parse(path) for path in paths]  # noqa: S314 - our own
    suite = whole.getroot()[0]
    for other in others:
        more = other.getroot()[0]
        for count in _COUNTS:
            suite.set(count, str(int(suite.get(count, "0")) + int(more.get(count, "0"))))
        suite.set("time", f"{float(suite.get('time', '0')) + float(more.get('time', '0')):.3f}")
        suite.extend(more)
    return whole


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
