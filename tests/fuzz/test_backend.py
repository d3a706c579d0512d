"""Whatever a backend answers, an outcome of ours comes of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import backend
from tests.shipper.transport.answers import answers


@pytest.mark.parametrize("destination", backend.DESTINATIONS)
@settings(deadline=None, max_examples=50)
@given(pieces=answers() | st.lists(st.binary()))
def test_any_answer_is_an_outcome(destination: str, pieces: list[bytes]) -> None:
    """By every kind of destination, over a socket."""
    backend.answered(pieces, destination)
