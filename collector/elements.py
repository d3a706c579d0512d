"""Splits a JSON array into its elements without decoding them and without recursion, however deep they nest.

The slow way, for what msgspec must not be asked: it counts brackets outside strings and looks at nothing else, as
the shipper does when it meets the same bytes. What an element is, is for others to find out.
"""

import re
from collections.abc import Iterator

from collector.messages import Body, CollectorError

# Far beyond what anybody writes; one that goes on opening brackets is not followed to its end.
MOST_DEPTH = 100_000

_START = re.compile(rb"[ \t\r\n]*\[[ \t\r\n]*")
_END = re.compile(rb"[ \t\r\n]*\Z")
_SPACE = b" \t\r\n"
_BETWEEN = re.compile(rb'[",\[\]{}]')
_INSIDE = re.compile(rb'["\[\]{}]')


class SplitError(CollectorError):
    """The bytes cannot be split.

    Attributes:
        reason: `not_an_array`, `malformed` or `too_deep`.
    """

    def __init__(self, reason: str, at: int) -> None:
        super().__init__(f"something else at byte {at}")
        self.reason = reason


def elements(array: Body) -> Iterator[bytes]:
    """The elements, white space around them removed.

    Raises:
        SplitError: It is no array, does not end, or nests deeper than `MOST_DEPTH`.
    """
    start = _START.match(array)
    if start is None:
        raise SplitError("not_an_array", 0)
    begin = at = start.end()
    depth = 0
    while (found := (_INSIDE if depth else _BETWEEN).search(array, at)) is not None:
        at = found.end()
        mark = array[at - 1]
        if mark == b'"'[0]:
            at = _string_end(array, at)
        elif mark in b"[{":
            depth += 1
            if depth > MOST_DEPTH:
                raise SplitError("too_deep", at)
        elif depth and mark in b"]}":
            depth -= 1
        else:
            element = bytes(array[begin : at - 1]).strip(_SPACE)
            is_empty_array = mark == b"]"[0] and begin == start.end()
            if mark == b"}"[0] or not (element or is_empty_array):
                raise SplitError("malformed", at)
            if element:
                yield element
            if mark == b"]"[0]:
                if _END.match(array, at) is None:
                    raise SplitError("malformed", at)
                return
            begin = at
    raise SplitError("malformed", at)


def _string_end(array: Body, at: int) -> int:
    """Just past the quote that ends the string begun before `at`: one with an even number of backslashes before it."""
    while (quote := array.find(b'"', at)) >= 0:
        last = quote
        while last > at and array[last - 1] == b"\\"[0]:
            last -= 1
        at = quote + 1
        if (quote - last) % 2 == 0:
            return at
    raise SplitError("malformed", at)
