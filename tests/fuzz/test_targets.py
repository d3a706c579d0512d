"""The targets that atheris drives, driven by hypothesis for a moment: that they work, and take any bytes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.strategies import damaged
from tests.fuzz.targets import SEEDS, TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_target_takes_its_seeds_whole_and_damaged(name: str) -> None:
    """Where atheris starts, and what it makes of that at first."""
    target = TARGETS[name]
    for seed in SEEDS[name]:
        target(seed)

    @settings(max_examples=25, deadline=None)
    @given(damaged(st.sampled_from(SEEDS[name])))
    def any_bytes(data: bytes) -> None:
        target(data)

    any_bytes()
