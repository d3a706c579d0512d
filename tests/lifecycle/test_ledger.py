"""The ledger's equation, over any sequence of reports."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.contract.counts import Taken
from lifecycle.contract.wire import Overflowed, Refused, Repeated, Shipped, Stalled, Stored
from lifecycle.ledger import Ledger, line_of

DIGEST = bytes(8)


def test_line_shows_what_became_of_every_record() -> None:
    """Accepted is shipped, waiting and dropped."""
    ledger = Ledger()
    ledger.note(Stored(start=0, end=100, events=10, body_bytes=90, digest=DIGEST, lost_events=2, lost_bytes=99))
    ledger.note(Repeated(events=10, digest=DIGEST))
    ledger.note(Refused(reason="malformed", status=400, body_bytes=5))
    ledger.note(Stalled(reason="deadline", deadline=9.0, requests=2, retries=1))
    ledger.note(Shipped(through=100, events=6, dropped={"refused": 1}, dropped_bytes={"refused": 64}, requests=2))
    ledger.note(Shipped(through=100, requests=0, retries=2, wire_bytes=77))
    assert line_of({"shipper": ledger}) == {
        "accepted": 10,
        "shipped": 6,
        "waiting": 3,
        "left": {"not_tried": 3},
        "dropped": {"refused": 1},
        "dropped_bytes": {"refused": 64},
        "repeated": 10,
        "lost_by_platform": 2,
        "lost_by_platform_bytes": 99,
        "refused": {"malformed": 1},
        "refused_bytes": {"malformed": 5},
        "batches": 1,
        "requests": 4,
        "retried": 3,
        "wire_bytes": 77,
        "unmapped": 0,
        "unredactable": 0,
        "held_ms": 0.0,
    }
    assert not ledger.is_clean


def test_items_of_otlp_requests_are_counted_by_signal_and_among_all() -> None:
    """What there was no room for was accepted, since its sender was told no more than that, and dropped."""
    ledger = Ledger()
    ledger.note(Stored(start=0, end=100, events=10, body_bytes=90, digest=DIGEST))
    assert "otlp" not in line_of({"shipper": ledger})
    ledger.note(Stored(start=100, end=200, events=5, body_bytes=90, digest=DIGEST, signal="traces"))
    ledger.note(Overflowed(signal="traces", items=7, body_bytes=80))
    ledger.note(Overflowed(signal="metrics", items=1, body_bytes=8))
    ledger.note(Shipped(through=200, events=12, dropped={"refused": 1}, otlp_shipped={"traces": 4}))
    ledger.note(Shipped(through=200, dropped={"refused": 1}, otlp_dropped={"traces": 1}))
    line = line_of({"shipper": ledger})
    assert (line["accepted"], line["shipped"], line["waiting"]) == (23, 12, 1)
    assert line["dropped"] == {"intake_full": 8, "refused": 2}
    assert line["dropped_bytes"] == {"intake_full": 88}
    assert line["otlp"] == {
        "traces": {"accepted": 12, "dropped": 8, "shipped": 4},
        "metrics": {"accepted": 1, "dropped": 1},
    }
    assert not ledger.is_clean


def test_refused_batch_is_no_clean_end_unless_the_platform_kept_it() -> None:
    """After a 4xx Lambda may give a batch up; after a 503 it sends it again."""
    ledger = Ledger()
    ledger.note(Refused(reason="full", status=503, body_bytes=5))
    assert ledger.is_clean
    ledger.note(Refused(reason="too_large", status=413, body_bytes=5))
    assert not ledger.is_clean


def test_what_is_left_is_counted_by_what_kept_it() -> None:
    """The last shipment's trouble; a delivery ends it, and nothing is left of nothing."""
    ledger = Ledger()
    ledger.note(Stored(start=0, end=100, events=10, body_bytes=90, digest=DIGEST))
    ledger.note(Stalled(reason="connect", deadline=9.0))
    ledger.note(Stalled(reason="status_503", deadline=9.0))
    ledger.note(Shipped(through=0))
    assert line_of({"shipper": ledger})["left"] == {"status_503": 10}
    ledger.note(Shipped(through=0, skip=4, events=4))
    assert line_of({"shipper": ledger})["left"] == {"not_tried": 6}
    ledger.note(Shipped(through=100, events=6))
    assert line_of({"shipper": ledger})["left"] == {}


COUNT = st.integers(0, 50)
REASON = st.sampled_from(["refused", "sample", "own_line", "undelivered"])
REPORTS = st.one_of(
    st.builds(Stored, start=COUNT, end=COUNT, events=COUNT, body_bytes=COUNT, digest=st.just(DIGEST), lost_bytes=COUNT),
    st.builds(Repeated, events=COUNT, digest=st.just(DIGEST)),
    st.builds(Refused, reason=st.sampled_from(["full", "malformed"]), status=st.just(0), body_bytes=COUNT),
    st.builds(
        Stalled, reason=st.just("deadline"), deadline=st.just(1.0), requests=COUNT, retries=COUNT, wire_bytes=COUNT
    ),
    st.builds(Taken, requests=COUNT, retries=COUNT, wire_bytes=COUNT),
    st.tuples(COUNT, COUNT, st.booleans(), st.dictionaries(REASON, st.tuples(st.integers(1, 9), COUNT)), COUNT),
)


@given(st.lists(REPORTS, max_size=60))
def test_equation_holds_after_every_report_of_any_worker(story: list[object]) -> None:
    """Accepted = shipped + waiting + dropped; nothing is negative or goes back; bytes have the counts' reasons.

    Nothing is shipped before something was taken, and in the end nothing waits that left the backlog.
    """
    ledger = Ledger()
    before = ledger.counts()
    in_backlog = 0
    has_taken = False
    for event in story:
        if isinstance(event, tuple):  # no more leaves the backlog than is in it
            events, parts, completes, drops, wire_bytes = event
            events = min(events, in_backlog)
            parts = min(parts, in_backlog - events)
            drops = drops if sum(count for count, _ in drops.values()) <= in_backlog - events - parts else {}
            in_backlog -= events + parts + sum(count for count, _ in drops.values())
            has_taken = has_taken or completes or events > 0
            ledger.note(
                Shipped(
                    through=1,
                    events=events,
                    parts=parts,
                    parts_bytes=7 * parts,
                    completes=completes,
                    dropped={reason: count for reason, (count, _) in drops.items()},
                    dropped_bytes={reason: size for reason, (_, size) in drops.items()},
                    wire_bytes=wire_bytes,
                )
            )
        elif isinstance(event, Taken):
            ledger.note_unreported(event)
        else:
            assert isinstance(event, Stored | Repeated | Refused | Stalled)
            in_backlog += event.events if isinstance(event, Stored) else 0
            ledger.note(event)
        before = is_true(ledger, before)
        assert ledger.waiting >= in_backlog
        assert has_taken or not ledger.shipped
    ledger.close()
    is_true(ledger, before)
    assert ledger.waiting == in_backlog
    assert has_taken or not ledger.shipped


def is_true(ledger: Ledger, before: dict[str, int]) -> dict[str, int]:
    """What holds at every moment; returns the counts."""
    line, counts = line_of({"shipper": ledger}), ledger.counts()
    assert ledger.accepted == ledger.shipped + ledger.waiting + sum(ledger.dropped.values())
    assert ledger.waiting >= 0
    assert line["waiting"] == ledger.waiting
    assert ledger.dropped.keys() == ledger.dropped_bytes.keys()
    assert ledger.refused.keys() == ledger.refused_bytes.keys()
    assert all(counts[name] >= count for name, count in before.items())
    return counts


def test_what_went_into_a_span_is_shipped_when_that_is_taken() -> None:
    """And waits until then, though it is past the backlog; at the end it is undelivered if it never was."""
    ledger = Ledger()
    ledger.note(Stored(start=0, end=100, events=5, body_bytes=90, digest=DIGEST))
    ledger.note(Shipped(through=90, parts=3, parts_bytes=60))
    assert (ledger.shipped, ledger.waiting) == (0, 5)
    ledger.note(Shipped(through=95, events=1, completes=True))
    assert (ledger.shipped, ledger.waiting) == (4, 1)
    ledger.note(Shipped(through=100, parts=1, parts_bytes=20))
    ledger.close()
    assert (ledger.shipped, ledger.waiting, ledger.dropped) == (5, 0, {})


@pytest.mark.parametrize("given_up", [{}, {"undelivered": 1}, {"unsupported": 1}])
def test_what_went_into_a_span_that_nobody_took_is_undelivered_at_the_end(given_up: dict[str, int]) -> None:
    """Whatever was taken before it was given up."""
    ledger = Ledger()
    ledger.note(Stored(start=0, end=100, events=9, body_bytes=90, digest=DIGEST))
    if given_up:
        ledger.note(Shipped(through=10, parts=2, parts_bytes=30, completes=True))
    ledger.note(Shipped(through=90, parts=3, parts_bytes=60, dropped=given_up, dropped_bytes=given_up))
    ledger.close()
    undelivered = 3 + given_up.get("undelivered", 0)
    assert ledger.dropped["undelivered"] == undelivered
    assert ledger.dropped_bytes["undelivered"] == 60 + given_up.get("undelivered", 0)
    assert not ledger.is_clean


def test_requests_that_a_shipper_did_not_live_to_report_are_counted() -> None:
    """What a process counted survives it."""
    ledger = Ledger()
    ledger.note_unreported(Taken(3, 1, 700))
    assert (ledger.requests, ledger.retried, ledger.wire_bytes) == (3, 1, 700)
