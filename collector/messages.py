"""What the parsers find in the bytes of a connection: the types that collector modules hand to one another.

Leaf module: it decides nothing and touches nothing.
"""

import msgspec


class CollectorError(Exception):
    """Base of what the collector raises itself."""


# A request body: a bytearray when it came in pieces, a view of its room when it was read there (`http_parser`).
Body = bytes | bytearray | memoryview


class Batch(msgspec.Struct, frozen=True):
    """A complete request body, as delivered.

    Attributes:
        body: What should be a JSON array of telemetry events.
        keep_alive: Whether the connection serves another request after this one's answer.
    """

    body: Body
    keep_alive: bool = True


class Lines(msgspec.Struct, frozen=True):
    """Complete lines of a TCP stream, without their newlines; each should be one JSON object."""

    lines: list[bytes]


class Continue(msgspec.Struct, frozen=True):
    """The peer waits for `100 Continue` before it sends the body (RFC 9110, 10.1.1)."""


class Problem(msgspec.Struct, frozen=True):
    """Something that is not taken.

    Attributes:
        reason: Short name, as `wire.Refused` has it.
        status: HTTP status it is answered with; 0 over TCP.
        got: What came, in words and numbers.
        expected: What would have been right.
        body_bytes: How much of it there was.
        keep_alive: Whether the connection serves another request afterwards.
        is_head: The request was a HEAD, whose answer has no body (RFC 9110, 9.3.2).
    """

    reason: str
    status: int
    got: str
    expected: str
    body_bytes: int = 0
    keep_alive: bool = True
    is_head: bool = False


Item = Batch | Lines | Continue | Problem


def payload_bytes(item: Item) -> int:
    """How much telemetry an item keeps in memory."""
    match item:
        case Batch():
            return len(item.body)
        case Lines():
            return sum(map(len, item.lines))
        case _:
            return 0
