"""Splits a JSON array into its elements without decoding them: the slow way, for what the fast one refuses.

Counts brackets outside strings, so it needs no more memory than one element and no recursion, whatever is in
the array.
"""

import re
from collections.abc import Iterator

# A string is passed over by finding its end: a pattern for all of it keeps over a hundred bytes for each of its own.
_MARKS = re.compile(rb'["\[\]{},]')
_SPACE = b" \t\r\n"


class BrokenArrayError(Exception):
    """The bytes are not a JSON array.

    Args:
        at: Where the part begins that could not be split.
    """

    def __init__(self, at: int) -> None:
        super().__init__(f"no array element at byte {at}")
        self.at = at


def elements(array: bytes, start: int) -> Iterator[bytes]:
    """The elements of `array` from `start` on, which is past its `[` or past the comma after an element.

    Raises:
        BrokenArrayError: There is no element, or the array does not end.
    """
    depth = 0
    begin = at = start
    while (found := _MARKS.search(array, at)) is not None:
        at = found.end()
        mark = array[at - 1]
        if mark == b'"'[0]:
            at = _string_end(array, at, begin)
        elif mark in b"[{":
            depth += 1
        elif mark in b"]}" and depth:
            depth -= 1
        elif depth == 0 and mark in b",]":
            element = array[begin : at - 1].strip(_SPACE)
            if element:
                yield element
            elif mark == b","[0] or begin != start:
                raise BrokenArrayError(begin)
            begin = at
            if mark == b"]"[0]:
                if array[begin:].strip(_SPACE):
                    raise BrokenArrayError(begin)
                return
        elif depth == 0 and mark == b"}"[0]:
            raise BrokenArrayError(begin)
    raise BrokenArrayError(begin)


def _string_end(array: bytes, at: int, begin: int) -> int:
    """Just past the quote that ends the string begun before `at`: one with an even number of backslashes before it."""
    while (quote := array.find(b'"', at)) >= 0:
        last = quote
        while last > at and array[last - 1] == b"\\"[0]:
            last -= 1
        at = quote + 1
        if (quote - last) % 2 == 0:
            return at
    raise BrokenArrayError(begin)
