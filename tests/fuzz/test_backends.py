"""Whatever a backend answers, an answer or an error of ours comes of it."""

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz import backends
from tests.shipper.transport.answers import answers


@given(answers(), st.booleans())
def test_any_answer_is_an_outcome_or_an_error_of_ours(pieces: list[bytes], is_closed: bool) -> None:  # noqa: FBT001
    """By every destination."""
    backends.answers(pieces, is_closed=is_closed)


@given(st.lists(st.binary()), st.booleans())
def test_any_bytes_are_no_more_than_that(pieces: list[bytes], is_closed: bool) -> None:  # noqa: FBT001
    """Likewise."""
    backends.answers(pieces, is_closed=is_closed)
