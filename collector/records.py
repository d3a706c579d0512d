"""The few platform records the collector looks into, read leniently.

AWS may change a record's shape without notice: what is not as expected counts as not said.

Source: lambda-apis.md, section 4.
"""

from collections.abc import Sequence

import msgspec

from lifecycle.contract.wire import MOST_IDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
else:
    Any = object

# An id is 36 bytes. Longer ones are not Lambda's, and would crowd the others out of a packet.
LONGEST_ID_BYTES = 64

# Bytes of ids in each of a message's two lists, so that both and the rest stay below PIPE_BUF (4096); 50 usual
# ids, with the two bytes MessagePack adds to each, need 1900.
MOST_IDS_BYTES = 1900

# A count above this is nonsense, and would not fit MessagePack's integers once added up.
MOST_LOST = 2**53


class _Request(msgspec.Struct):
    requestId: Any = None  # noqa: N815 - AWS's name


class _Lost(msgspec.Struct):
    droppedRecords: Any = 0  # noqa: N815 - AWS's name
    droppedBytes: Any = 0  # noqa: N815 - AWS's name


_request = msgspec.json.Decoder(_Request)
_lost = msgspec.json.Decoder(_Lost)


def last_ids(records: Sequence[msgspec.Raw]) -> tuple[str, ...]:
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


def loss(record: msgspec.Raw) -> tuple[int, int]:
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
