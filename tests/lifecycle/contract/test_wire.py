"""Messages over a pipe in packet mode."""

import os
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.contract import wire
from lifecycle.ledger import INTENDED, Ledger


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe2(os.O_DIRECT)
    yield ends
    for fd in ends:
        os.close(fd)


def test_a_read_is_exactly_one_message(pipe: tuple[int, int]) -> None:
    """Two messages written in a row are read as two."""
    out, into = pipe
    messages = [
        wire.Shipped(through=10, events=3, dropped={"refused": 1}, context=b"x"),
        wire.Stalled(reason="deadline", deadline=9.25, retry_after_s=1.5),
        wire.Ready(),
    ]
    for message in messages:
        wire.send(into, message)
    assert [wire.shipper_reports.decode(wire.receive(out)) for _ in messages] == messages


def test_fullest_message_fits_a_packet(pipe: tuple[int, int]) -> None:
    """As many ids as a batch may name."""
    out, into = pipe
    ids = tuple(f"{number:036d}" for number in range(wire.MOST_IDS))
    message = wire.Stored(
        start=2**63, end=2**63, events=10**6, body_bytes=10**7, digest=bytes(8), finished=ids, reported=ids,
        finished_epoch_s=1e10, lost_events=2**53, lost_bytes=2**53, begun=2**16,
    )  # fmt: skip
    wire.send(into, message)
    assert wire.collector_reports.decode(wire.receive(out)) == message


def test_fullest_report_and_order_of_a_shipper_fit_a_packet(pipe: tuple[int, int]) -> None:
    """A context as large as there can be, and every reason to drop something."""
    out, into = pipe
    reasons = [f"{'x' * (wire.LONGEST_REASON - 2)}{number:02}" for number in range(wire.MOST_REASONS)]
    context, counts = bytes(2048), dict.fromkeys(reasons, 2**63)
    otlp = dict.fromkeys(("logs", "traces", "metrics"), 2**63)
    shipped = wire.Shipped(
        through=2**63,
        skip=2**32,
        events=2**63,
        parts=2**63,
        parts_bytes=2**63,
        requests=2**63,
        retries=2**63,
        wire_bytes=2**63,
        unmapped=2**63,
        unredactable=2**63,
        dropped=counts,
        dropped_bytes=counts,
        context=context,
        gives_up=True,
        otlp_shipped=otlp,
        otlp_dropped=otlp,
    )
    wire.send(into, shipped)
    assert wire.shipper_reports.decode(wire.receive(out)) == shipped
    ledger = Ledger()
    ledger.note(shipped)
    ship = wire.Ship(since=0, skip=0, until=2**63, deadline=1.0, context=context, ledger=ledger.counts(), has_gap=True)
    wire.send(into, ship)
    assert wire.shipper_commands.decode(wire.receive(out)) == ship
    give_up = wire.GiveUp(since=2**63, skip=2**32, context=context, has_gap=True, at_least=2**63, at_most=2**63)
    wire.send(into, give_up)
    assert wire.shipper_commands.decode(wire.receive(out)) == give_up


@given(st.dictionaries(st.text(max_size=40), st.integers(0, 2**40), max_size=60))
def test_reasons_beyond_what_a_message_takes_are_counted_together(counts: dict[str, int]) -> None:
    """None is lost, and no name is longer than it may be."""
    found = wire.folded(counts)
    assert sum(found.values()) == sum(counts.values())
    assert len(found) <= wire.MOST_REASONS
    assert all(len(reason.encode()) <= wire.LONGEST_REASON for reason in found)
    few = {reason: count for reason, count in counts.items() if len(reason.encode()) <= 16}
    assert len(few) > wire.MOST_REASONS or wire.folded(few) == few


def test_every_reason_there_is_has_a_name_of_its_own() -> None:
    """None is so long that it would be counted with others."""
    assert all(len(reason) <= wire.LONGEST_REASON for reason in (*INTENDED, wire.LAGGING))


def test_message_longer_than_a_packet_is_not_sent(pipe: tuple[int, int]) -> None:
    """It would arrive in pieces."""
    with pytest.raises(ValueError, match="expected no more than 4096"):
        wire.send(pipe[1], wire.Stalled(reason="x" * 5000, deadline=1.0))


def test_unknown_field_is_an_error() -> None:
    """Both ends are of one build."""
    with pytest.raises(msgspec.ValidationError):
        wire.collector_commands.decode(msgspec.msgpack.encode({"type": "Released", "through": 1, "more": 2}))
