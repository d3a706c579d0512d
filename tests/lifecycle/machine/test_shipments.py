"""Where the backlog stands, and the shipment under way."""

import pytest

from lifecycle.contract.frames import first_of
from lifecycle.machine.commands import Ship
from lifecycle.machine.shipments import LATE_AFTER_S, STUCK_AFTER_CUT_S, STUCK_AFTER_S, Shipments


def shipments(*ends: int) -> Shipments:
    """Frames stored at moment 1, 2, … one behind the other, up to these offsets; the backlog takes 1000 bytes."""
    subject = Shipments(1000, 0.0)
    start = 0
    for number, end in enumerate(ends, 1):
        subject.stored(start, end, float(number))
        start = end
    return subject


def test_what_waits_lies_between_the_committed_offset_and_the_end() -> None:
    """It waits since the oldest was stored, or since the last delivery at the latest."""
    subject = shipments(100, 300)
    assert (subject.waiting_bytes, subject.waiting_share, subject.waiting_since) == (300, 0.3, 1.0)
    subject.committed(100, 2, 5.0)
    assert (subject.waiting_bytes, subject.skip, subject.waiting_since) == (200, 2, 5.0)
    subject.committed(300, 0, 6.0)
    assert (subject.waiting_bytes, subject.waiting_since) == (0, None)


@pytest.mark.parametrize(
    ("capacity", "request_bytes", "enough"),
    [
        (1000, 0, 501),
        (8_388_608, 65_536, 1_048_577),
        (268_435_456, 1_048_576, 1_048_577),
        (268_435_456, 16_777_216, 16_777_217),
        (8_388_608, 16_777_216, 4_194_305),
    ],
)
def test_it_fills_by_a_megabyte_or_a_larger_request_but_by_half_of_the_backlog_at_most(
    capacity: int, request_bytes: int, enough: int
) -> None:
    """What waits takes memory, however much may; yet who wants few and large requests gets them."""
    subject = Shipments(capacity, 0.0, request_bytes=request_bytes)
    subject.stored(0, enough - 1, 1.0)
    assert not subject.is_filling
    subject.stored(enough - 1, enough, 2.0)
    assert subject.is_filling


def test_ring_that_began_anew_leaves_no_gap() -> None:
    """Nothing waited, so the next frame may start past the old end."""
    subject = shipments(100)
    subject.committed(100, 0, 2.0)
    subject.stored(1000, 1050, 3.0)
    assert (subject.shipped, subject.waiting_bytes) == (1000, 50)


def test_order_covers_all_that_waits_and_keeps_when_the_shipment_began() -> None:
    """One that replaces another goes on with it."""
    subject = shipments(100)
    assert subject.begin(2.0, 12.0, "interval_passed", is_held=False) == Ship(0, 0, 100, 12.0, "interval_passed")
    subject.stored(100, 200, 3.0)
    assert subject.begin(4.0, 5.0, "invocation_finished", is_held=True).until == 200
    assert subject.current is not None
    assert (subject.current.began, subject.current.deadline, subject.current.is_held) == (2.0, 5.0, True)


def test_shipment_ends_where_it_was_to_get() -> None:
    """A part of it ends nothing, but is an answer."""
    subject = shipments(100, 200)
    subject.begin(3.0, 13.0, "interval_passed", is_held=False)
    assert subject.unanswered_s(3.5) == 0.5
    assert not subject.committed(100, 0, 4.0)
    assert subject.current is not None
    assert subject.unanswered_s(4.5) == 1.5
    subject.answered(4.0)
    assert subject.unanswered_s(4.5) == 0.5
    assert subject.committed(200, 0, 5.0)
    assert subject.unanswered_s(9.0) == 0.0
    assert subject.last_ended == 5.0
    assert not subject.committed(200, 0, 6.0)


def test_shipment_that_waits_for_more_telemetry_ends_and_counts_as_stalled() -> None:
    """Nothing is to be held for the rest."""
    subject = shipments(100)
    subject.begin(2.0, 12.0, "invocation_finished", is_held=True)
    assert subject.committed(40, 0, 3.0, waits=True)
    assert (subject.current, subject.has_stalled) == (None, True)
    subject.forget_stall()
    assert not subject.has_stalled


def test_shipper_has_some_time_after_its_deadline_and_less_when_it_was_cut() -> None:
    """At shutdown its successor needs the time; where it may have been frozen it has all that it was to have."""
    subject = shipments(100)
    subject.begin(2.0, 12.0, "interval_passed", is_held=False)
    assert subject.current is not None
    assert subject.current.grace_s == STUCK_AFTER_S - LATE_AFTER_S + 10.0
    subject.begin(2.0, 12.0, "invocation_finished", is_held=True)
    assert subject.current.grace_s == STUCK_AFTER_S - LATE_AFTER_S
    assert subject.cut(5.0, "stale").deadline == 5.0
    assert subject.current.is_cut
    assert subject.current.grace_s == STUCK_AFTER_CUT_S - LATE_AFTER_S


def test_backlog_is_jammed_when_more_than_half_waits_and_nothing_is_taken() -> None:
    """A delivery gives it another while, and room ends it."""
    subject = shipments(500)
    assert subject.jammed_at(0.5) is None
    subject.stored(500, 600, 2.0)
    assert subject.jammed_at(0.5) == 2.5
    subject.committed(50, 0, 2.25)
    assert subject.jammed_at(0.5) == 2.75
    subject.committed(100, 0, 3.0)
    assert subject.jammed_at(0.5) is None


def test_platform_that_was_sent_away_is_waited_for_until_it_has_come_back() -> None:
    """A batch that is stored is the one it came back with, as far as known."""
    subject = shipments(100)
    subject.intake_held()
    assert subject.is_intake_held
    subject.stored(100, 200, 5.0)
    assert (subject.is_intake_held, subject.last_stored) == (False, 5.0)


def test_what_a_predecessor_had_delivered_is_passed_by() -> None:
    """Whole frames, and the events of the one that it was at."""
    subject = Shipments(1000, 0.0)
    subject.begins_at = first_of(1) + 200, 3
    subject.stored(first_of(1), first_of(1) + 200, 1.0)
    assert (subject.waiting_bytes, subject.waiting_since) == (0, None)
    subject.stored(first_of(1) + 200, first_of(1) + 300, 1.0)
    assert (subject.shipped, subject.skip, subject.waiting_bytes) == (first_of(1) + 200, 3, 100)
    subject.stored(first_of(1) + 300, first_of(1) + 400, 1.0)
    assert subject.begins_at is None
    assert subject.shipped == first_of(1) + 200


def test_position_that_is_no_frames_is_none() -> None:
    """What is there is delivered, all of it."""
    subject = Shipments(1000, 0.0)
    subject.begins_at = first_of(1) + 250, 3
    subject.stored(first_of(1), first_of(1) + 300, 1.0)
    assert (subject.shipped, subject.skip) == (first_of(1), 0)


def test_room_is_made_by_half_of_the_ring_and_by_whole_files() -> None:
    """A file gives its room back as a whole."""
    subject = Shipments(1000, 0.0)
    subject.stored(0, 1000, 0.0)
    assert subject.room_at() == 1000 // 2
    subject.stored(first_of(1), first_of(1) + 500, 0.0)
    assert subject.room_at() == first_of(2)
    subject.committed(first_of(1) + 100, 0, 1.0)
    assert subject.room_at() == first_of(2)
    subject.stored(first_of(3), first_of(3) + 500, 0.0)
    subject.committed(first_of(3), 0, 1.0)
    assert subject.room_at() == first_of(4)
