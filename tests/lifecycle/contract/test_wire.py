"""Messages over a pipe in packet mode."""

import os
from collections.abc import Iterator

import msgspec
import pytest

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
        start=2**63, end=2**63, events=10**6, body_bytes=10**7, digest=bytes(8), finished=ids, reported=ids
    )
    wire.send(into, message)
    assert wire.collector_reports.decode(wire.receive(out)) == message


def test_fullest_report_and_order_of_a_shipper_fit_a_packet(pipe: tuple[int, int]) -> None:
    """A context as large as there can be, and every reason to drop something."""
    out, into = pipe
    reasons = (*INTENDED, "unmappable", "damaged", "refused", "too_large", "rejected", "untaken")
    context, counts = bytes(2048), dict.fromkeys(reasons, 2**63)
    shipped = wire.Shipped(through=2**63, dropped=counts, dropped_bytes=counts, context=context)
    wire.send(into, shipped)
    assert wire.shipper_reports.decode(wire.receive(out)) == shipped
    ledger = Ledger()
    ledger.note(shipped)
    ship = wire.Ship(since=0, skip=0, until=2**63, deadline=1.0, context=context, ledger=ledger.counts())
    wire.send(into, ship)
    assert wire.shipper_commands.decode(wire.receive(out)) == ship


def test_message_longer_than_a_packet_is_not_sent(pipe: tuple[int, int]) -> None:
    """It would arrive in pieces."""
    with pytest.raises(ValueError, match="expected no more than 4096"):
        wire.send(pipe[1], wire.Stalled(reason="x" * 5000, deadline=1.0))


def test_unknown_field_is_an_error() -> None:
    """Both ends are of one build."""
    with pytest.raises(msgspec.ValidationError):
        wire.collector_commands.decode(msgspec.msgpack.encode({"type": "Released", "through": 1, "more": 2}))
