"""How large an event is, as the ledger counts those that are dropped: its JSON as the platform delivered it.

Known for an event at hand; for one that was delivered and refused it is looked up in the backlog, where it still is, so
what is taken is never measured. White space between an event's own members does not count: the platform writes none.
"""

from collections.abc import Collection, Iterable

from lifecycle.contract.frames import BrokenFrameError, Frame
from shipper.model.events import AnyEvent, BrokenEvent, OddEvent, WiderEvent, events

_ENVELOPE_BYTES = len('{"time":"","type":"","record":}')
_MEMBER_BYTES = len(',"":')

Place = tuple[int, int]


def size_of(event: AnyEvent) -> int:
    """Bytes of an event."""
    if isinstance(event, BrokenEvent):
        return event.body_bytes
    if isinstance(event, OddEvent):
        return len(event.json)
    size = _ENVELOPE_BYTES + _length(event.time) + _length(event.type) + len(event.record)
    if type(event) is WiderEvent:
        size += sum(_MEMBER_BYTES + _length(name) + len(value) for name, value in event.others.items())
    return size


def sizes_at(frames: Iterable[Frame], places: Collection[Place]) -> dict[Place, int]:
    """Bytes of the events at some places, each the start of a frame and an index; frames that are gone say nothing."""
    indexes: dict[int, set[int]] = {}
    for start, index in places:
        indexes.setdefault(start, set()).add(index)
    found: dict[Place, int] = {}
    try:
        for frame in frames:
            wanted = indexes.pop(frame.start, None)
            if wanted is not None:
                found |= {(frame.start, at): size_of(event) for at, event in enumerate(events(frame)) if at in wanted}
            if not indexes:
                break
    except BrokenFrameError:
        pass  # a file of the spool went since it was read: what was dropped is counted, its size is not
    return found


def _length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
