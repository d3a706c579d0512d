"""What is under way, on its journey with a report."""

from hypothesis import given
from hypothesis import strategies as st

from shipper.model.context import MOST_PACKED, MOST_RECENT, NOTHING, Context, Invocation, Past, packed, unpacked


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


ONE, TWO = "459921b5-681c-4a96-beb0-81e0aa586026", "0c5b2a7e-9d1f-4a3b-8c6d-1e2f3a4b5c6d"


def test_an_invocation_is_remembered_for_a_while_after_its_report() -> None:
    """With its trace, and the latest of a few: a line of it may still come."""
    context = Context(open=(Invocation(request_id=ONE, trace_id="1" * 32, span_id="2" * 16, sampled=True),))
    context = context.closed(ONE)
    assert context.open == ()
    assert context.trace_of(ONE) == ("1" * 32, "2" * 16, 1)
    for number in range(MOST_RECENT):
        assert context.invocation_named(ONE, is_sure=False) == ONE
        context = context.closed(f"{number}")
    assert context.invocation_named(ONE, is_sure=False) == ""
    assert context.closed("7").recent[-1] == Past("7")
    assert len(context.closed("7").recent) == MOST_RECENT


def test_an_id_is_believed_that_is_known() -> None:
    """In either case of letters; where nothing runs, a request id in a place of its own, too."""
    running = Context(request_id=ONE, recent=(Past(TWO),))
    for text, is_sure, found in (
        *((ONE.upper(), False, ONE), (TWO, False, TWO), (TWO.upper(), True, TWO)),
        *(("", True, ""), ("x" * 129, True, ""), ("c6af9ac6-7b61-11e6-9a41-93e8deadbeef", True, "")),
    ):
        assert running.invocation_named(text, is_sure=is_sure) == found
    assert NOTHING.invocation_named(TWO.upper(), is_sure=True) == TWO
    assert NOTHING.invocation_named(TWO, is_sure=False) == ""
    assert NOTHING.invocation_named("order-7", is_sure=True) == ""


def test_what_is_under_way_counts_more_than_what_was_reported() -> None:
    """A report is one packet: where there is much, those reported are forgotten first."""
    open_ = tuple(Invocation(request_id=f"{number:036}", trace_id="1" * 32, span_id="2" * 16) for number in range(14))
    recent = tuple(Past(f"{number:036}", "1" * 32, "2" * 16, 1) for number in range(100, 100 + MOST_RECENT))
    data = packed(Context(open=open_, recent=recent))
    assert len(data) <= MOST_PACKED
    assert unpacked(data).open == open_
    few = Context(open=open_[:4], recent=recent)
    assert unpacked(packed(few)) == few
