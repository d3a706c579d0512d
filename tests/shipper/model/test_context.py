"""What is under way, on its journey with a report."""

from hypothesis import given
from hypothesis import strategies as st

from shipper.model.context import NOTHING, Context, packed, unpacked


@given(st.text(max_size=128))
def test_a_context_survives_its_journey_and_is_small(request_id: str) -> None:
    context = Context(request_id=request_id)
    assert unpacked(packed(context)) == context
    assert len(packed(context)) < 1024


@given(st.binary())
def test_a_context_of_another_build_is_nothing_or_something(data: bytes) -> None:
    assert isinstance(unpacked(data), Context)


def test_no_context_takes_no_bytes() -> None:
    assert packed(NOTHING) == b""
