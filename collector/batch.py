"""What the supervisor must know of a batch, read without reading most of its records.

The fast path looks at each event's `type` and skips its record; what AWS may send one day (an element that is
not an object, a type that is not a string) takes a slow path that keeps every valid JSON array. Skipping does
not look into strings, so UTF-8 is checked apart: what passes here is JSON that the shipper can split into
records. Numbers beyond any float pass as well, they are JSON. An element that nests deeper than the interpreter
recurses is not looked into: it is kept with the others, since a function may log whatever it was sent.

The few platform records that are looked into are read leniently: AWS may change a record's shape without notice, and
what is not as expected counts as not said.

Source: lambda-apis.md, sections 2 and 4; RFC 8259.
"""

from collections.abc import Sequence
from itertools import islice

import msgspec

from collector.messages import Body, CollectorError
from lifecycle.contract.json_text import SplitError, elements, is_own_line, is_utf8, with_valid_escapes
from lifecycle.contract.wire import MOST_IDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime
else:  # all of it that is used, without the module that would do the same in Python (see `lean`)
    from _datetime import datetime

START = "platform.start"
RUNTIME_DONE = "platform.runtimeDone"
REPORT = "platform.report"
LOGS_DROPPED = "platform.logsDropped"
EXTENSION = "extension"

# The platform sends at most 10,000 events at once. Two bytes can be an element: four MiB of them would take 150 MiB
# here, and become 600 MB of records.
MOST_EVENTS = 100_000

# An id is 36 bytes. Longer ones are not Lambda's, and would crowd the others out of a packet.
LONGEST_ID_BYTES = 64

# Bytes of ids in each of a message's two lists, so that both and the rest stay below PIPE_BUF (4096); 50 usual
# ids, with the two bytes MessagePack adds to each, need 1900.
MOST_IDS_BYTES = 1900

# A count above this is nonsense, and would not fit MessagePack's integers once added up.
MOST_LOST = 2**53


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A batch and what it says at a glance.

    Attributes:
        payload: The JSON array, as delivered but for lone surrogates.
        events: Elements of the array.
        finished: Request ids whose platform.runtimeDone is in it, the last `MOST_IDS`.
        finished_epoch_s: When the last of these ended, by the platform's clock; 0: it does not say.
        reported: Request ids whose platform.report is in it, likewise.
        started: Request id of the last platform.start in it; "": there is none.
        lost_events: Records that platform.logsDropped says the platform gave up.
        lost_bytes: Likewise, bytes.
        is_own: Nothing but our own log lines, coming back.
    """

    payload: Body
    events: int
    finished: tuple[str, ...] = ()
    finished_epoch_s: float = 0.0
    reported: tuple[str, ...] = ()
    started: str = ""
    lost_events: int = 0
    lost_bytes: int = 0
    is_own: bool = False


class BadBatchError(CollectorError):
    """A body is not a JSON array.

    Attributes:
        reason: `malformed`, `not_an_array`, `too_deep` or `too_many`.
        got: What came.
        expected: What would have been right.
    """

    def __init__(self, reason: str, got: str, expected: str = "a JSON array") -> None:
        super().__init__(f"{reason}: got {got}, expected {expected}")
        self.reason = reason
        self.got = got
        self.expected = expected


class _Event(msgspec.Struct, gc=False):
    type: str
    record: msgspec.Raw = msgspec.Raw()


class _Line(msgspec.Struct, tag_field="type", tag="function", gc=False):
    """An event of which only that it is there matters: a line of the function's, whatever is in it."""


class _Timed(msgspec.Struct, gc=False):
    type: str
    time: msgspec.Raw = msgspec.Raw()


class _Request(msgspec.Struct):
    requestId: object = None  # noqa: N815 - AWS's name


class _Lost(msgspec.Struct):
    droppedRecords: object = 0  # noqa: N815 - AWS's name
    droppedBytes: object = 0  # noqa: N815 - AWS's name


_lines = msgspec.json.Decoder(list[_Line])
_NO_EVENT = _Event("")
_events = msgspec.json.Decoder(list[_Event])
_anything = msgspec.json.Decoder(msgspec.Raw)
_elements = msgspec.json.Decoder(list[msgspec.Raw])
_event = msgspec.json.Decoder(_Event)
_timed_events = msgspec.json.Decoder(list[_Timed])
_moment = msgspec.json.Decoder(datetime)
_request = msgspec.json.Decoder(_Request)
_lost = msgspec.json.Decoder(_Lost)


def read(body: Body) -> Envelope:
    """Reads a request body.

    Raises:
        BadBatchError: It is not a JSON array, or not one that the platform would send.
    """
    if not is_utf8(body):
        raise BadBatchError("malformed", "bytes that are not UTF-8")
    try:
        count = len(_lines.decode(body))
    except (msgspec.DecodeError, RecursionError):
        pass  # there is another event among them or, whatever it is, it is found out below
    else:
        if count <= MOST_EVENTS:
            return Envelope(payload=body, events=count)
    try:
        return _summary(body, _read_events(body))
    except BadBatchError as error:
        whole = with_valid_escapes(body) if error.reason == "malformed" else body
        if whole is body:
            raise
        return _summary(whole, _read_events(whole))


def _read_events(body: Body) -> list[_Event]:
    events = _decoded(body)
    if len(events) > MOST_EVENTS:
        raise BadBatchError("too_many", f"more than {MOST_EVENTS} events", "no more than the platform sends")
    return events


def _decoded(body: Body) -> list[_Event]:
    """The events; one more than `MOST_EVENTS` where there may be many more."""
    try:
        try:
            return _events.decode(body)
        except msgspec.ValidationError:
            _anything.decode(body)  # whether it is JSON comes before what JSON it is
            if bytes(body).count(b",") >= MOST_EVENTS:  # as many elements, perhaps, and each would be an object here
                return _read_one_by_one(body)
            return [_read_event(element) for element in _elements.decode(body)]
    except msgspec.ValidationError as exc:
        raise BadBatchError("not_an_array", str(exc)) from exc
    except msgspec.DecodeError as exc:
        raise BadBatchError("malformed", str(exc)) from exc
    except RecursionError:
        return _read_one_by_one(body)


def _read_one_by_one(body: Body) -> list[_Event]:
    try:
        return [_read_element(element) for element in islice(elements(bytes(body)), MOST_EVENTS + 1)]
    except SplitError as exc:
        raise BadBatchError(exc.reason, str(exc)) from exc
    except msgspec.DecodeError as exc:
        raise BadBatchError("malformed", str(exc)) from exc


def _read_element(element: bytes) -> _Event:
    try:
        _anything.decode(element)
    except RecursionError:
        return _NO_EVENT
    return _read_event(element)


def _read_event(element: msgspec.Raw | bytes) -> _Event:
    try:
        return _event.decode(element)
    except msgspec.ValidationError:
        return _NO_EVENT


def _summary(body: Body, events: list[_Event]) -> Envelope:
    started: list[msgspec.Raw] = []
    finished: list[msgspec.Raw] = []
    reported: list[msgspec.Raw] = []
    lost: list[msgspec.Raw] = []
    noted = {START: started, RUNTIME_DONE: finished, REPORT: reported, LOGS_DROPPED: lost}
    for event in events:
        if event.type in noted:
            noted[event.type].append(event.record)
    losses = [_loss(record) for record in lost] if lost else []
    return Envelope(
        payload=body,
        events=len(events),
        finished=_last_ids(finished) if finished else (),
        finished_epoch_s=_last_end_epoch_s(body) if finished else 0.0,
        reported=_last_ids(reported) if reported else (),
        started="".join(_last_ids(started[-1:])) if started else "",
        lost_events=min(sum(records for records, _ in losses), MOST_LOST) if losses else 0,
        lost_bytes=min(sum(size for _, size in losses), MOST_LOST) if losses else 0,
        is_own=bool(events)
        and events[0].type == EXTENSION
        and all(event.type == EXTENSION and is_own_line(event.record) for event in events),
    )


def _last_ids(records: Sequence[msgspec.Raw]) -> tuple[str, ...]:
    """The request ids that fit a message, newest kept, in order."""
    ids: list[str] = []
    room = MOST_IDS_BYTES
    for record in reversed(records):
        request_id = _request_id(record)
        size = len(request_id.encode())
        if not 0 < size <= LONGEST_ID_BYTES:
            continue
        room -= size + 2
        if room < 0 or len(ids) == MOST_IDS:
            break
        ids.append(request_id)
    return tuple(reversed(ids))


def _request_id(record: msgspec.Raw) -> str:
    try:
        request_id = _request.decode(record).requestId
    except (msgspec.DecodeError, RecursionError):
        return ""
    return request_id if isinstance(request_id, str) else ""


def _loss(record: msgspec.Raw) -> tuple[int, int]:
    """Records and bytes that a platform.logsDropped says the platform gave up."""
    try:
        lost = _lost.decode(record)
    except (msgspec.DecodeError, RecursionError):
        return 0, 0
    return _count(lost.droppedRecords), _count(lost.droppedBytes)


def _count(value: object) -> int:
    """A count that may come as a number or as text; 0 when it is neither."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return 0
    try:
        return min(max(int(float(value)), 0), MOST_LOST)
    except (ValueError, OverflowError):
        return 0


def _last_end_epoch_s(body: Body) -> float:
    """Epoch seconds of the last platform.runtimeDone in a batch; 0 when it does not say.

    Reads the batch a second time: one in many brings a runtimeDone, and the others need not pay for its time.
    """
    try:
        times = [event.time for event in _timed_events.decode(body) if event.type == RUNTIME_DONE]
        return _moment.decode(times[-1]).timestamp() if times else 0.0
    except (msgspec.MsgspecError, RecursionError, ValueError, OverflowError):
        return 0.0
