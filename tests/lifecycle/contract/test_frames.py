"""What the backlog is made of: kinds of frames, and the offsets they lie at."""

from hypothesis import given
from hypothesis import strategies as st

from lifecycle.contract.frames import (
    OTLP_FORMS,
    STRETCH_BITS,
    Kind,
    first_of,
    form_of,
    is_spooled,
    kind_of,
    stretch_of,
)


def test_every_form_of_a_request_has_a_kind_of_its_own() -> None:
    """And a batch of the platform's has none of them; what nobody wrote is no request."""
    kinds = [kind_of(form) for form in OTLP_FORMS]
    assert len({*kinds, Kind.SKIP, Kind.BATCH, Kind.JUMP}) == len(OTLP_FORMS) + 3
    assert [form_of(kind) for kind in kinds] == list(OTLP_FORMS)
    assert kind_of(None) == Kind.BATCH
    assert form_of(Kind.BATCH) is None


@given(st.integers(0, 2**18), st.integers(0, 2**STRETCH_BITS - 1))
def test_ring_and_files_take_turns_and_offsets_go_on_growing(stretch: int, place: int) -> None:
    """Even stretches are the ring's, each odd one is a file."""
    offset = first_of(stretch) + place
    assert stretch_of(offset) == stretch
    assert is_spooled(offset) is bool(stretch % 2)
    assert offset < first_of(stretch + 1)
