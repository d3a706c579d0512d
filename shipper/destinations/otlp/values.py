"""What both encodings of OTLP share: which of its values a JSON value is, names that are ours, scopes.

Source: opentelemetry/proto/common/v1/common.proto.
"""

import math

from shipper.delivery.interfaces import Several

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# protobuf's parsers stop at 100 nested messages, and a level here is three of them; what lies deeper stays JSON
# text.
MOST_DEPTH = 20

MOST_INT64 = 2**63 - 1
LEAST_INT64 = -(2**63)

# Whole numbers of fewer digits are int64.
INT64_DIGITS = 19


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
