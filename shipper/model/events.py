"""The events of a frame, decoded as little as possible.

Owns the shape of the envelope, `{"time", "type", "record"}` (Telemetry API schemas 2022-07-01 to 2025-01-29,
Logs API), and is tolerant of all else: an event of any other shape comes out as an `OddEvent`, never not at
all. Records stay raw JSON. A large frame is decoded in pieces, so memory is bounded by a piece.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, islice

import msgspec

from lifecycle.contract import late
from lifecycle.contract.backlog import Place
from lifecycle.contract.frames import BrokenFrameError, Frame
from lifecycle.contract.json_text import SplitError, elements, is_own_line, is_utf8, with_valid_escapes, with_valid_utf8
from lifecycle.contract.quick import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Find = Callable[[memoryview, int], "Run | int"]

# The platform's default batch is this large, and no more is kept of what is not JSON.
PIECE_BYTES = 262_144

# Decoded at once: an event costs about 250 bytes decoded beside 200 of JSON. Below 128 KB malloc(3) takes and returns
# memory within the heap; each larger block that is freed has it keep twice as much of what is free from then on.
DECODED_BYTES = 65_536

# Boundaries tried before a piece is split the slow way: each failure costs a scan of a piece.
_MOST_BOUNDARIES = 16

_ARRAY = late.pattern(rb"\s*\[")
_MOST_SPACE = 16

# Cannot occur inside a JSON string, where each quote has a backslash before it. It can occur in a nested
# array; a piece cut there is unbalanced, fails to decode, and the next boundary is tried.
_BOUNDARY = late.pattern(rb'\}\s*(,)\s*\{\s*"(?:time|type|record)"')


class Event(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An event of the shape the platform documents.

    Attributes:
        record: Valid JSON, white space around it removed.
    """

    time: str
    type: str
    record: msgspec.Raw


class WiderEvent(Event, gc=False):
    """An event with members beside those the platform documents."""

    others: dict[str, msgspec.Raw]


class OddEvent(msgspec.Struct, gc=False):
    """Valid JSON that is not such an event.

    Attributes:
        time: Its `time`, if that is text.
        json: All of it.
    """

    time: str
    json: bytes


class BrokenEvent(msgspec.Struct, gc=False):
    """Bytes of a frame that are not JSON: everything from here to its end.

    Attributes:
        text: The bytes, as text without its right edge if there were too many.
        events: How many events they stand for.
        lost_bytes: How many were cut.
        body_bytes: How many there were.
    """

    text: str
    events: int
    lost_bytes: int
    body_bytes: int


class Run(msgspec.Struct, gc=False):
    """Function's lines that follow one another and are alike, found without being decoded.

    Attributes:
        size: Of their events as they came, with what follows each, in bytes.
        rows: Of each what was found.
        is_taken: Whether they were taken so.
        read_bytes: Else so much of them, at least, is to be decoded before anything is looked for again; 0: all of it.
    """

    size: int
    rows: "list[Any]"
    is_taken: bool = False
    read_bytes: int = 0

    def keep(self, count: int) -> None:
        """Leaves all but the first to be looked for again."""
        raise NotImplementedError


AnyEvent = Event | OddEvent | BrokenEvent

_ENVELOPE_BYTES = len('{"time":"","type":"","record":}')
_MEMBER_BYTES = len(',"":')

_events = msgspec.json.Decoder(list[Event])
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text = msgspec.json.Decoder(str)
_to_json = msgspec.json.Encoder().encode
_anything = msgspec.json.Decoder(msgspec.Raw)


def events(frame: Frame) -> Iterator[AnyEvent]:
    """The events of a frame in order, each exactly once."""
    # One piece after another: an iterator in C, where each event would otherwise go through a generator of ours.
    return chain.from_iterable(_pieces(frame))


def events_and_runs(frame: Frame, skip: int, find: "Find") -> "Iterator[AnyEvent | Run]":
    """The events of a frame behind some of them; before those of a run, if it is not taken, the run.

    Args:
        frame: What they are of.
        skip: How many events are left out.
        find: Finds a run at a place of the payload; where there is none, says how many bytes are to be decoded before
            it is asked again.
    """
    return islice(chain.from_iterable(_pieces(frame, skip, find)), skip, None)


def _pieces(frame: Frame, skip: int = 0, find: "Find | None" = None) -> "Iterator[Sequence[Any]]":
    payload = frame.payload
    count = 0
    try:
        if find is None and len(payload) <= DECODED_BYTES:
            decoded = _decoded(bytes(payload))
            if decoded is not None:
                yield decoded
                return
        for piece in _in_pieces(payload, skip, find):
            yield piece
            first = piece[0] if piece else None
            count += len(piece) if not isinstance(first, Run) else len(first.rows) if first.is_taken else 0
    except SplitError as exc:
        rest = bytes(payload[exc.at :])
        kept = rest[:PIECE_BYTES].decode("utf-8", "replace")
        size = len(rest) + frame.damaged_bytes
        yield (BrokenEvent(kept, max(1, frame.events - count), max(0, len(rest) - PIECE_BYTES), size),)


def unread_events(frame: Frame) -> Iterator[AnyEvent]:
    """The same, told apart without being decoded: for a frame that a shipper died of."""
    payload = bytes(frame.payload)
    count = 0
    try:
        for element in elements(payload):
            yield OddEvent("", element)
            count += 1
    except SplitError as exc:
        rest = payload[exc.at :]
        kept = rest[:PIECE_BYTES].decode("utf-8", "replace")
        yield BrokenEvent(kept, max(1, frame.events - count), max(0, len(rest) - PIECE_BYTES), len(rest))


def as_text(event: AnyEvent) -> AnyEvent:
    """An event of which nothing is known but its JSON."""
    if not isinstance(event, Event):
        return event
    head = b'{"time":%b,"type":%b,"record":' % (_to_json(event.time), _to_json(event.type))
    return OddEvent(event.time, head + bytes(event.record) + b"}")


def is_own(event: AnyEvent) -> bool:
    """Whether the event is a line of our own log that came back."""
    return isinstance(event, Event) and event.type == "extension" and is_own_line(event.record)


def size_of(event: AnyEvent) -> int:
    """Bytes of an event as the platform delivered it, which is how the ledger counts those that are dropped.

    White space between its own members does not count: the platform writes none.
    """
    if isinstance(event, BrokenEvent):
        return event.body_bytes
    if isinstance(event, OddEvent):
        return len(event.json)
    size = _ENVELOPE_BYTES + _length(event.time) + _length(event.type) + len(event.record)
    if type(event) is WiderEvent:
        size += sum(_MEMBER_BYTES + _length(name) + len(value) for name, value in event.others.items())
    return size


def sizes_at(frames: Iterable[Frame], places: Collection[Place]) -> dict[Place, int]:
    """Bytes of the events at some places, which are still in the backlog; frames that are gone say nothing."""
    indexes: dict[int, set[int]] = {}
    for start, index in places:
        indexes.setdefault(start, set()).add(index)
    found: dict[Place, int] = {}
    try:
        for frame in frames:
            sought = indexes.pop(frame.start, None)
            if sought is not None:
                found |= {(frame.start, at): size_of(event) for at, event in enumerate(events(frame)) if at in sought}
            if not indexes:
                break
    except BrokenFrameError:
        pass  # a file of the spool went since it was read: what was dropped is counted, its size is not
    return found


def _in_pieces(payload: memoryview, skip: int, find: "Find | None") -> "Iterator[Sequence[Any]]":
    """The events of a payload, as many as are decoded at a time; one by one where that fails.

    Raises:
        SplitError: The payload is not an array; what came before that was yielded.
    """
    head = _ARRAY.match(payload)
    if head is None:
        raise SplitError("not_an_array", 0)
    at, count = head.end(), 0
    while at < len(payload):
        found = find(payload, at) if find is not None and count >= skip else DECODED_BYTES
        if not isinstance(found, int):
            yield (found,)
            if found.is_taken:
                at += found.size
                continue
            found = found.read_bytes or found.size - len("},")
        end, decoded = _piece(payload, at, found)
        if decoded is None and found < DECODED_BYTES:
            end, decoded = _piece(payload, at, DECODED_BYTES)
        if decoded is None:
            break
        yield decoded
        count += len(decoded)
        at = end
    else:
        return
    for element in elements(bytes(payload), at):
        yield (_shaped(element),)


def _piece(payload: memoryview, at: int, least: int) -> tuple[int, list[Event] | None]:
    """The events from `at` to the next boundary past so many bytes, and where they end."""
    end = at + least
    if at <= _MOST_SPACE and _BOUNDARY.search(payload, end) is None and is_utf8(payload):
        # One event, or few, and large: read where they lie.
        with suppress(msgspec.DecodeError, RecursionError):
            return len(payload), _events.decode(payload)
    for _ in range(_MOST_BOUNDARIES):
        boundary = _BOUNDARY.search(payload, end) if end < len(payload) else None
        if boundary is None:
            return len(payload), _decoded(b"".join((b"[", payload[at:])))
        end = boundary.end(1)
        decoded = _decoded(b"".join((b"[", payload[at : end - 1], b"]")))
        if decoded is not None:
            return end, decoded
    return at, None


def _decoded(array: bytes) -> list[Event] | None:
    """The events of an array; None when they must be looked at one by one."""
    array = with_valid_utf8(array)
    try:
        return _events.decode(array)
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, RecursionError):
        mended = with_valid_escapes(array)
        if mended is array:
            return None
    try:
        return _events.decode(mended)
    except (msgspec.DecodeError, RecursionError):
        return None


def _shaped(element: bytes) -> AnyEvent:
    """One array element, whatever it is.

    Raises:
        SplitError: It is not JSON.
    """
    text = with_valid_escapes(with_valid_utf8(element))
    try:
        _anything.decode(text)
    except (msgspec.DecodeError, RecursionError):
        kept = text[:PIECE_BYTES].decode("utf-8", "ignore")
        return BrokenEvent(kept, 1, max(0, len(text) - PIECE_BYTES), len(element))
    if not text.startswith(b"{"):
        return OddEvent("", text)
    try:
        members = _members.decode(text)
    except RecursionError:  # it takes a level more than looking it over did
        return OddEvent("", text)
    time, kind, record = _str(members.pop("time", None)), _str(members.pop("type", None)), members.pop("record", None)
    if time is None or kind is None or record is None:
        return OddEvent(time or "", text)
    return WiderEvent(time, kind, record, members) if members else Event(time, kind, record)


def _str(raw: msgspec.Raw | None) -> str | None:
    try:
        return None if raw is None else _text.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        return None


def _length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
