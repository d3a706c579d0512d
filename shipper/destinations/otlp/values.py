"""What both encodings of OTLP share: how values are written in it, names that are ours, scopes, what is remembered.

Source: opentelemetry/proto/common/v1/common.proto.
"""

import math
from itertools import groupby

from shipper.delivery.interfaces import Several
from shipper.model import semconv
from shipper.model.log_record import ExceptionInfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeVar

    K = TypeVar("K")
    V = TypeVar("V")
    B = TypeVar("B", bound=bytes)

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

# Loggers' names remembered, each as a class.
_MOST_SCOPES = 64


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


# The last digits of an index, which all of those have in common that differ in no others.
TEN, HUNDRED = 10, 100
DIGITS = [b"%d" % digit for digit in range(TEN)]
LAST_DIGITS = [b"%02d" % digits for digits in range(HUNDRED)]


class Scoped(bytes):
    """A log record of another scope than our own: a logger's. There is a class for each, so that records are small.

    Joined records of one are of such a class, too.

    Attributes:
        scope: Its name.
    """

    __slots__ = ()

    scope = ""


_scopes: dict[tuple[str, type[bytes]], type[bytes]] = {}


def class_of(scope: str, base: "type[B]") -> "type[B]":
    """What the items under a logger's name are; of the class itself under our own scope."""
    if not scope:
        return base
    found = _scopes.get((scope, base))
    if found is None:
        if len(_scopes) >= _MOST_SCOPES:
            _scopes.clear()
        bases = (Scoped,) if base is bytes else (Scoped, base)
        found = _scopes[scope, base] = type("Scoped", bases, {"__slots__": (), "scope": scope})
    return found  # type: ignore[return-value]


def scope_of(item: bytes) -> str:
    """The logger's name that an item stands under; "" for our own scope."""
    return item.scope if isinstance(item, Scoped) else ""


def by_scope(items: "Sequence[bytes]") -> "Iterator[tuple[str, Iterator[bytes]]]":
    """Items that follow one another under the same name, with that name."""
    return groupby(items, scope_of)


def scoped(item: bytes, scope: str) -> bytes:
    """The item under a logger's name; itself under our own scope."""
    return class_of(scope, bytes)(item) if scope else item


def all_scoped(items: "Sequence[bytes]", scopes: "Sequence[str]") -> "list[bytes]":
    """Items, each under a logger's name."""
    if scopes.count(scopes[0]) == len(scopes):
        return list(map(class_of(scopes[0], bytes), items)) if scopes[0] else list(items)
    return [scoped(item, scope) for item, scope in zip(items, scopes, strict=True)]


def hundreds(first: int, count: int) -> "Iterator[tuple[bytes, list[bytes]]]":
    """Numbers from one on in decimal: what those begin with that differ in their last two digits alone, and these."""
    at, end = first, first + count
    while at < end:
        stop = min(end, at - at % HUNDRED + HUNDRED if at >= TEN else TEN)
        last = LAST_DIGITS[at % HUNDRED : at % HUNDRED + stop - at] if at >= TEN else DIGITS[at:stop]
        yield b"%d" % (at // HUNDRED) if at >= HUNDRED else b"", last
        at = stop


def exception_attributes(exception: ExceptionInfo) -> list[tuple[str, str]]:
    """What an exception is told by, without what it does not have."""
    pairs = (
        (semconv.EXCEPTION_TYPE, exception.type),
        (semconv.EXCEPTION_MESSAGE, exception.message),
        (semconv.EXCEPTION_STACKTRACE, exception.stack),
    )
    return [(name, text) for name, text in pairs if text]


class Remembered(dict["K", bytes]):
    """What was encoded for records to come, of which most are alike, in bounds; what is not there is encoded.

    Args:
        encode: Encodes it.
    """

    def __init__(self, encode: "Callable[[K], bytes]") -> None:
        self._encode = encode

    def __missing__(self, key: "K") -> bytes:
        found = self._encode(key)
        if len(found) <= _MOST_REMEMBERED_BYTES:
            remember(self, key, found)
        return found


def remember(known: "dict[K, V]", key: "K", value: "V") -> None:
    """Keeps what was encoded; all that was kept is let go when it is too much."""
    if len(known) >= _MOST_REMEMBERED:
        known.clear()
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
