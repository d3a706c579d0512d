"""Splits a JSON array into its elements without decoding them: the slow way, for what the fast one refuses.

Counts brackets outside strings, so it needs no more memory than one element and no recursion, whatever is in
the array.
"""

import re
from collections.abc import Iterator

_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{},]', re.DOTALL)
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
    begin = start
    for token in _TOKENS.finditer(array, start):
        mark = array[token.start()]
        if mark in b"[{":
            depth += 1
        elif mark in b"]}" and depth:
            depth -= 1
        elif depth == 0 and mark in b",]":
            element = array[begin : token.start()].strip(_SPACE)
            if element:
                yield element
            elif mark == b","[0] or begin != start:
                raise BrokenArrayError(begin)
            begin = token.end()
            if mark == b"]"[0]:
                if array[begin:].strip(_SPACE):
                    raise BrokenArrayError(begin)
                return
        elif depth == 0 and mark == b"}"[0]:
            raise BrokenArrayError(begin)
    raise BrokenArrayError(begin)
