"""The ledger's equation, over any sequence of reports."""

from hypothesis import given
from hypothesis import strategies as st

from lifecycle.ledger import Ledger
from lifecycle.wire import Refused, Repeated, Shipped, Stalled, Stored

DIGEST = bytes(8)


def test_line_shows_what_became_of_every_record() -> None:
    """Accepted is shipped, waiting and dropped."""
    ledger = Ledger()
    ledger.note(Stored(start=0, end=100, events=10, body_bytes=90, digest=DIGEST, lost_events=2))
    ledger.note(Repeated(events=10, digest=DIGEST))
    ledger.note(Refused(reason="malformed", status=400, body_bytes=5))
    ledger.note(Stalled(reason="deadline", deadline=9.0, requests=2, retries=1))
    ledger.note(Shipped(through=100, events=6, dropped={"refused": 1}, requests=2, retries=2, wire_bytes=77))
    assert ledger.line() == {
        "accepted": 10,
        "shipped": 6,
        "waiting": 3,
        "dropped": {"refused": 1},
        "repeated": 10,
        "lost_by_platform": 2,
        "refused": {"malformed": 1},
        "batches": 1,
        "requests": 4,
        "retried": 3,
        "wire_bytes": 77,
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


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50), st.integers(0, 5)), max_size=50))
def test_equation_holds_after_every_report(story: list[tuple[int, int, int]]) -> None:
    """Accepted = shipped + waiting + dropped, and waiting is never negative."""
    ledger = Ledger()
    for accepted, shipped, dropped in story:
        ledger.note(Stored(start=0, end=1, events=accepted, body_bytes=1, digest=DIGEST))
        gone = min(shipped, ledger.waiting)
        lost = min(dropped, ledger.waiting - gone)
        ledger.note(Shipped(through=1, events=gone, dropped={"refused": lost} if lost else {}))
        assert ledger.accepted == ledger.shipped + ledger.waiting + sum(ledger.dropped.values())
        assert ledger.waiting >= 0
