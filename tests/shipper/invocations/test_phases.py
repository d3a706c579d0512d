"""What is under way travels with every report, in bounds, and a shipper that is replaced goes on with it."""

from hypothesis import given
from hypothesis import strategies as st

from shipper.model.context import MOST_PACKED, NOTHING, Context, Invocation, Meters, packed, unpacked
from tests.shipper.following import MANAGED, attributes, followed
from tests.shipper.story import R1, R2, TRACE_ID, done, init, invocation, start


@given(st.integers(0, 8), st.booleans())
def test_a_shipper_replaced_at_any_event_goes_on_as_if_nothing_had_happened(cut: int, is_final: bool) -> None:  # noqa: FBT001
    """Spans and metrics of two halves are those of the whole; the state travels in the report."""
    story = [*init(-200), *invocation(0), start(20, R2), done(30, R2, status="timeout")]
    whole = followed(story, is_final=is_final)
    first = followed(story[:cut])
    second = followed(story[cut:], context=first.context, is_final=is_final)
    # An init without an origin of its own is named by its batch.
    assert [s["name"] for s in first.spans + second.spans] == [s["name"] for s in whole.spans]
    ours = [s["spanId"] for s in first.spans + second.spans if s["name"] == "shop"]
    assert ours == [s["spanId"] for s in whole.spans if s["name"] == "shop"]
    assert len(packed(second.context)) <= MOST_PACKED


def test_a_context_stays_within_its_packet() -> None:
    """Whatever is open: parts go first, then the oldest; never more than a packet bears."""
    big = {f"aws.lambda.{n}": "x" * 40 for n in range(9)}
    many = tuple(Invocation(request_id=f"{n:036}", trace_id=TRACE_ID, attributes=big) for n in range(200))
    context = Context(request_id=R1, open=many, meters=Meters(1, 2, {4: [1] * 30}))
    data = packed(context)
    assert len(data) <= MOST_PACKED
    kept = unpacked(data)
    assert kept.open[-1].request_id == many[-1].request_id
    assert (kept.request_id, kept.meters) == (R1, context.meters)
    assert packed(NOTHING) == b""
    assert len(packed(Context(open=many[:2]))) < 1200


def test_invocations_whose_reports_are_lost_do_not_pile_up() -> None:
    """The oldest gets its span as it is known, and counts as failed if its end was never told."""
    ids = [f"{n:08}-0000-0000-0000-000000000000" for n in range(10)]
    story = [one for n, i in enumerate(ids) for one in (start(n, i, sampled=None), done(n, i))]
    seen = followed(story)
    assert [attributes(span)["faas.invocation_id"] for span in seen.servers()] == ids[:6]
    assert len(seen.context.open) == 4
    assert seen.metric("faas.invocations") == 10
    managed = followed([start(n, f"{n:036}") for n in range(300)], more=MANAGED)
    assert len(managed.servers()) == 44


def test_a_record_with_much_to_say_does_not_fill_a_packet() -> None:
    """As many members are kept as may travel with every report, from the first."""
    much = {f"member{n}": "x" * 50 for n in range(100)}
    context = followed([start(0, **much)]).context
    assert len(packed(context)) < 1000
    kept = context.open[0].attributes
    assert 3 < len(kept) < 10
    assert kept["aws.lambda.member0"] == "x" * 50
