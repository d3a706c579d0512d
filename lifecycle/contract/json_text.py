r"""JSON text, looked at and mended without decoding it: collector and shipper must see the same in the same bytes.

Were an array split differently here and there, the ledger would not hold; were its text mended differently, what the
collector takes could not be read where it is shipped. So both ask this module, which knows no telemetry but our own
lines, needs no recursion, and no memory beyond one element or one copy.

Source: RFC 8259.
"""

import codecs
from io import BytesIO

import msgspec

from lifecycle.contract import late
from lifecycle.contract.log import LINE_START, LOGGER_START

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeVar

    AnyText = TypeVar("AnyText", bound=bytes | bytearray | memoryview)

# A body is a bytearray when it came in pieces.
Text = bytes | bytearray

# Far beyond what anybody writes; one that goes on opening brackets is not followed to its end.
MOST_DEPTH = 100_000

_START = late.pattern(rb"[ \t\r\n]*\[[ \t\r\n]*")
_END = late.pattern(rb"[ \t\r\n]*\Z")
_SPACE = b" \t\r\n"
# A string is passed over by finding its end: a pattern for all of it keeps over a hundred bytes for each of its own.
_BETWEEN = late.pattern(rb'[",\[\]{}]')
_INSIDE = late.pattern(rb'["\[\]{}]')
# Where an object ends in an array of objects, unless this stands in one.
_BETWEEN_OBJECTS = b'},{"'

# Text validated at once: a decoded copy exists for the length of a check only, and stays in the cache
# and in what the heap has without growing and shrinking again.
_UTF8_STEP_BYTES = 16_384

_SURROGATE = late.pattern(rb"\\u[dD][89a-fA-F]")
# The last of an odd number of backslashes begins an escape: the others before `u` are escaped ones.
_SURROGATES = late.pattern(
    rb"\\(?<!\\\\)(?:\\\\)*u[dD]"
    rb"(?:[89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair: right
    rb"|([89a-fA-F][0-9a-fA-F]{2}))"  # half of one
)
_REPLACEMENT = rb"\ufffd"

# An empty name, a colon, one digit.
_LEAST_MEMBER_BYTES = len('"":0')

# Within so much of a string stands what begins each of our lines.
_OWN_HEAD_BYTES = 64


class SplitError(Exception):
    """The bytes are not a JSON array.

    Attributes:
        reason: `not_an_array`, `malformed` or `too_deep`.
        at: Where the part begins that cannot be split.
    """

    def __init__(self, reason: str, at: int) -> None:
        super().__init__(f"no array element at byte {at}")
        self.reason = reason
        self.at = at


def elements(array: Text, start: int | None = None) -> "Iterator[bytes]":
    """The elements of an array in order, white space around them removed.

    Counts brackets outside strings and looks at nothing else: what an element is, is for others to find out. The slow
    way, for what msgspec must not be asked as a whole: objects that it takes by themselves are passed over at once.

    Args:
        array: The JSON text.
        start: Just past the array's `[`, or past the comma after an element; None: the array is all of the text.

    Raises:
        SplitError: It is no array, does not end, or nests deeper than `MOST_DEPTH`.
    """
    start = _first(array) if start is None else start
    begin = at = start
    depth = 0
    objects = _Objects(array)
    while (found := (_INSIDE if depth else _BETWEEN).search(array, at)) is not None:
        at = found.end()
        mark = array[at - 1]
        if mark == b'"'[0]:
            at = _string_end(array, at, begin)
        elif mark == b"{"[0] and depth == 0 and (end := objects.end(at - 1)):
            at = end
        elif mark in b"[{":
            depth += 1
            if depth > MOST_DEPTH:
                raise SplitError("too_deep", begin)
        elif depth and mark in b"]}":
            depth -= 1
        elif depth == 0:
            element = bytes(array[begin : at - 1]).strip(_SPACE)
            is_empty_array = mark == b"]"[0] and begin == start
            if mark == b"}"[0] or not (element or is_empty_array):
                raise SplitError("malformed", begin)
            if element:
                yield element
            begin = at
            if mark == b"]"[0]:
                if _END.match(array, at) is None:
                    raise SplitError("malformed", begin)
                return
    raise SplitError("malformed", begin)


class _Objects:
    """Objects of an array that are passed over at once, since msgspec takes them.

    Args:
        array: The JSON text.
    """

    def __init__(self, array: Text) -> None:
        self._array = array
        # Where one seems to end; -1: none does any more.
        self._seems = 0

    def end(self, at: int) -> int:
        """Just past the object that begins at a byte; 0: it has to be gone through."""
        if 0 <= self._seems < at:
            self._seems = self._array.find(_BETWEEN_OBJECTS, at)
        if self._seems < 0:
            return 0
        end = self._seems + 1
        try:
            _anything.decode(memoryview(self._array)[at:end])
        except (msgspec.DecodeError, RecursionError):
            return 0
        return end


def _first(array: Text) -> int:
    """Where the first element is to begin."""
    head = _START.match(array)
    if head is None:
        raise SplitError("not_an_array", 0)
    return head.end()


def _string_end(array: Text, at: int, begin: int) -> int:
    """Just past the quote that ends the string begun before `at`: one with an even number of backslashes before it."""
    while (quote := array.find(b'"', at)) >= 0:
        last = quote
        while last > at and array[last - 1] == b"\\"[0]:
            last -= 1
        at = quote + 1
        if (quote - last) % 2 == 0:
            return at
    raise SplitError("malformed", begin)


def is_utf8(text: Text | memoryview) -> bool:
    """Whether all of it is UTF-8: msgspec does not look at that in what it skips."""
    if not isinstance(text, memoryview) and text.isascii():
        return True
    view = memoryview(text)
    at = 0
    try:
        while at < len(view):
            is_last = at + _UTF8_STEP_BYTES >= len(view)
            at += codecs.utf_8_decode(view[at : at + _UTF8_STEP_BYTES], "strict", is_last)[1]
    except UnicodeDecodeError:
        return False
    return True


def with_valid_utf8(text: bytes) -> bytes:
    """`text`, each byte that is not UTF-8 replaced by U+FFFD; the same object when there is none."""
    return text if is_utf8(text) else text.decode("utf-8", "replace").encode()


def with_valid_escapes(text: "AnyText") -> "AnyText | bytes":
    r"""`text`, each lone surrogate escape replaced by that of U+FFFD, which is as long; the same object without any.

    `"\ud83d"` without its second half is JSON by the grammar (RFC 8259, 8.2), and a function gets there by cutting a
    text in the middle of an emoji; msgspec refuses it, and so may a backend, with all that is around it. Every decoder
    that does not refuse it puts U+FFFD there.
    """
    if _SURROGATE.search(text) is None:
        return text
    mended: bytearray | None = None
    for found in _SURROGATES.finditer(text):
        if found[1]:
            mended = bytearray(text) if mended is None else mended
            mended[found.end() - len(_REPLACEMENT) : found.end()] = _REPLACEMENT
    return text if mended is None else bytes(mended)


def without_newline(raw: bytes) -> bytes:
    r"""A JSON string less one trailing newline.

    A string that ends in `\\n` ends in a backslash and an n: only after an odd number of backslashes is it
    a newline.
    """
    if not raw.endswith(b'\\n"'):
        return raw
    text = raw[:-2]
    backslashes = len(text) - len(text.rstrip(b"\\"))
    return raw[:-3] + b'"' if backslashes % 2 else raw


def as_text(raw: "bytes | memoryview") -> bytes:
    """JSON, or what nearly is, as a JSON string that a person reads; in steps, so that there is one copy."""
    if len(raw) <= _UTF8_STEP_BYTES:
        return _to_json(bytes(raw).decode("utf-8", "replace"))
    view, at, text = memoryview(raw), 0, BytesIO()
    text.write(b'"')
    while at < len(view):
        is_last = at + _UTF8_STEP_BYTES >= len(view)
        decoded, taken = codecs.utf_8_decode(view[at : at + _UTF8_STEP_BYTES], "replace", is_last)
        text.write(_to_json(decoded)[1:-1])
        at += taken
    text.write(b'"')
    return text.getvalue()


def one_line(raw: bytes) -> bytes:
    """A JSON value on one line: a raw line break in JSON is white space and nothing else."""
    return raw.replace(b"\r", b" ").replace(b"\n", b" ") if b"\n" in raw or b"\r" in raw else raw


def has_more_members(raw: bytes, most: int) -> bool:
    """Whether a JSON object has more members than `most`, not counting those within its members."""
    if len(raw) <= _LEAST_MEMBER_BYTES * most or raw.count(b":") <= most:
        return False
    depth = count = at = 0
    while (found := _INSIDE.search(raw, at) if depth > 1 else _BETWEEN.search(raw, at)) is not None:
        at = found.end()
        mark = raw[at - 1]
        if mark == b'"'[0]:
            try:
                at = _string_end(raw, at, 0)
            except SplitError:
                return False
        elif mark in b"[{":
            depth += 1
        elif mark in b"]}":
            depth -= 1
        else:
            count += 1
            if count >= most:
                return True
    return False


class _Line(msgspec.Struct, gc=False):
    logger: object = None


_line = msgspec.json.Decoder(_Line)
_anything = msgspec.json.Decoder(msgspec.Raw)
_string = msgspec.json.Decoder(str)
_to_json = msgspec.json.Encoder().encode


def is_own_line(record: "msgspec.Raw | bytes") -> bool:
    """Whether an extension's record is a line of our own log, as text or as the object that it was parsed into."""
    view = memoryview(record)
    head = bytes(view[:_OWN_HEAD_BYTES]).lstrip(_SPACE)
    try:
        if head.startswith(b"{"):
            # The platform may have written the object anew, so the member may stand anywhere in it.
            logger = _line.decode(record).logger
            return isinstance(logger, str) and logger.startswith(LOGGER_START)
        return head.startswith(b'"') and LOGGER_START.encode() in head and _string.decode(record).startswith(LINE_START)
    except (msgspec.MsgspecError, RecursionError):
        return False
