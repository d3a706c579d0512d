"""Which problems of a cell may be the machine's, and which never are."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.faults.outcome import Late, is_of_time

SLOW, LOST = Late("held 700 ms"), "20 lost, expected 0"


@pytest.mark.parametrize(
    ("found", "exit_ms", "expected"),
    [
        ([], 1890.0, False),
        ([SLOW], 100.0, True),
        ([LOST], 100.0, False),
        ([SLOW, LOST], 100.0, False),
        # What is left when the time is up is for want of time.
        ([LOST], 1870.0, True),
    ],
)
def test_what_is_lost_in_good_time_is_nobody_elses_fault(found: list[str], exit_ms: float, *, expected: bool) -> None:
    got: Any = SimpleNamespace(exit_ms=exit_ms)
    assert is_of_time(found, got) is expected
