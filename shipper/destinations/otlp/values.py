"""What both encodings of OTLP share: how values are written in it, names that are ours, scopes, what is remembered.

Source: opentelemetry/proto/common/v1/common.proto.
"""

import math

from shipper.delivery.interfaces import Several
from shipper.model import semconv
from shipper.model.log_record import ExceptionInfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    K = TypeVar("K")
    V = TypeVar("V")

# protobuf's parsers stop at 100 nested messages, and a level here is three of them; what lies deeper stays JSON
# text.
MOST_DEPTH = 20

MOST_INT64 = 2**63 - 1
LEAST_INT64 = -(2**63)

# Whole numbers of fewer digits are int64.
INT64_DIGITS = 19

# Entries of each kind that are remembered, and bytes of one.
_MOST_REMEMBERED = 512
_MOST_REMEMBERED_BYTES = 1024


def number_of(raw: bytes) -> int | float | None:
    """A JSON number as int64 or double; None for what neither can hold, which stays text."""
    if raw.isdigit() and len(raw) < INT64_DIGITS:
        return int(raw)
    if raw.isdigit() or (raw[:1] == b"-" and raw[1:].isdigit()):
        # int() refuses more than 4300 digits.
        if len(raw) <= len(str(LEAST_INT64)) and LEAST_INT64 <= int(raw) <= MOST_INT64:
            return int(raw)
        return None
    number = float(raw)
    return number if math.isfinite(number) else None


class Scoped(bytes):
    """A log record of another scope than our own: a logger's.

    Attributes:
        scope: Its name.
    """

    scope: str


def scope_of(item: bytes) -> str:
    """The logger's name that an item stands under; "" for our own scope."""
    return item.scope if type(item) is Scoped else ""


def scoped(item: bytes, scope: str) -> bytes:
    """The item under a logger's name; itself under our own scope."""
    if not scope:
        return item
    found = Scoped(item)
    found.scope = scope
    return found


def exception_attributes(exception: ExceptionInfo) -> list[tuple[str, str]]:
    """What an exception is told by, without what it does not have."""
    pairs = (
        (semconv.EXCEPTION_TYPE, exception.type),
        (semconv.EXCEPTION_MESSAGE, exception.message),
        (semconv.EXCEPTION_STACKTRACE, exception.stack),
    )
    return [(name, text) for name, text in pairs if text]


def remember(known: "dict[K, V]", key: "K", value: "V", size: int = 0) -> None:
    """Keeps what was encoded for records to come, of which most are alike, in bounds.

    Args:
        known: What is kept; emptied when it is full.
        key: By what it is looked up.
        value: What was encoded.
        size: Its bytes, where they are not few: what is large is not kept.
    """
    if len(known) >= _MOST_REMEMBERED:
        known.clear()
    if size <= _MOST_REMEMBERED_BYTES:
        known[key] = value


class Passed(Several):
    """Resources of a request that somebody else wrote, as a member of the request that takes them along: see `passing`.

    Attributes:
        signal: What its items are.
        is_json: Whether it is in JSON, else in protobuf.
        divide: Divides it.
    """

    signal: str
    is_json: bool
    divide: "Callable[[Passed], tuple[Passed, ...]]"

    def divided(self) -> "tuple[Passed, ...]":
        """Its parts."""
        return self.divide(self)
