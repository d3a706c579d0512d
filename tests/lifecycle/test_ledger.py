"""The ledger's equation, over any sequence of reports."""

from hypothesis import given
from hypothesis import strategies as st

from lifecycle.contract.wire import Refused, Repeated, Shipped, Stalled, Stored
from lifecycle.ledger import Ledger

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
    assert ledger.line() == {
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
        "held_ms": 0.0,
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
    assert ledger.line()["left"] == {"status_503": 10}
    ledger.note(Shipped(through=0, skip=4, events=4))
    assert ledger.line()["left"] == {"not_tried": 6}
    ledger.note(Shipped(through=100, events=6))
    assert ledger.line()["left"] == {}


COUNT = st.integers(0, 50)
REASON = st.sampled_from(["refused", "sample", "own_line"])
REPORTS = st.one_of(
    st.builds(Stored, start=COUNT, end=COUNT, events=COUNT, body_bytes=COUNT, digest=st.just(DIGEST), lost_bytes=COUNT),
    st.builds(Repeated, events=COUNT, digest=st.just(DIGEST)),
    st.builds(Refused, reason=st.sampled_from(["full", "malformed"]), status=st.just(0), body_bytes=COUNT),
    st.builds(Stalled, reason=st.just("deadline"), deadline=st.just(1.0), requests=COUNT, retries=COUNT),
    st.tuples(COUNT, st.dictionaries(REASON, st.tuples(st.integers(1, 9), COUNT)), COUNT),
)


@given(st.lists(REPORTS, max_size=60))
def test_equation_holds_after_every_report_of_any_worker(story: list[object]) -> None:
    """Accepted = shipped + waiting + dropped; nothing is negative or goes back; bytes have the counts' reasons."""
    ledger = Ledger()
    before = ledger.counts()
    for told in story:
        if isinstance(told, tuple):  # no more leaves the backlog than is in it
            wanted, drops, wire_bytes = told
            events = min(wanted, ledger.waiting)
            drops = drops if sum(count for count, _ in drops.values()) <= ledger.waiting - events else {}
            ledger.note(
                Shipped(
                    through=1,
                    events=events,
                    dropped={reason: count for reason, (count, _) in drops.items()},
                    dropped_bytes={reason: size for reason, (_, size) in drops.items()},
                    wire_bytes=wire_bytes,
                )
            )
        else:
            assert isinstance(told, Stored | Repeated | Refused | Stalled)
            ledger.note(told)
        line, counts = ledger.line(), ledger.counts()
        assert ledger.accepted == ledger.shipped + ledger.waiting + sum(ledger.dropped.values())
        assert ledger.waiting >= 0
        assert line["waiting"] == ledger.waiting
        assert ledger.dropped.keys() == ledger.dropped_bytes.keys()
        assert ledger.refused.keys() == ledger.refused_bytes.keys()
        assert all(counts[name] >= count for name, count in before.items())
        before = counts
