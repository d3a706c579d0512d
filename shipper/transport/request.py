"""A request as HTTP/1.1 writes it (RFC 9112), and the compression of its body (RFC 1952)."""

import zlib
from collections.abc import Iterable, Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    Headers = Iterable[tuple[str, str]]

# Level 1 costs 1.0 µs a text line and level 6 with this strategy 1.9 µs, for a fifth to half of the bytes less: what
# differs from line to line are short numbers, and to leave matches of five bytes and fewer alone makes level 6 quicker
# and its result smaller than either alone. What leaves a network costs ten times as much as that processor time.
LEVEL, _GZIP_STRATEGY = 6, zlib.Z_FILTERED

# Of spans, level 6 leaves 3 % less and costs two and a half times as much, 1.8 µs a span.
QUICK_LEVEL = 1

# Level 6 goes on looking for longer matches. Where lines repeat what stood in others long before, that leaves a fifth
# less; of JSON, of which each line repeats most of the one before, 1 % less in a third more time, 0.7 µs a line.
_LAZY_LEVEL = 4

# So much of a large body is compressed at both, and level 6 stays where this part of it, at least, is saved: matches of
# long before are few at a body's beginning. A body of 400 KB takes 2 to 4 ms, and this 0.7 ms, each so many times.
_COMPARED_BYTES = 49_152
_LARGE_BYTES = 4 * _COMPARED_BYTES
_PAYS = 0.02
_BODIES_BETWEEN = 32

# zlib's way to say: with gzip's header and trailer (RFC 1952).
_GZIP_WBITS = 31

# Half of zlib's usual tables: 1.4 % less comes of text, whose blocks end sooner, and 64 KB less are taken.
_GZIP_MEM_LEVEL = 7

# Items of up to this size are compressed with a window of 2**13, half as large, and tables to match, in 64 KB: the same
# comes of it. zlib's usual 256 KB are more than the heap keeps: the kernel would hand them out, zeroed, and get them
# back, each time.
_SMALL_BYTES = 16_384
_SMALL_GZIP_WBITS = 16 + 13
_SMALL_MEM_LEVEL = 6
_MOST_SMALL_ITEMS = 256

# Items joined at a time: the whole body is never held beside its compressed form.
_ITEMS_AT_ONCE = 64

# They say where a request ends, and how it is encoded: no user's.
_RESERVED = (
    "connection",
    "content-encoding",
    "content-length",
    "expect",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
)


def head_of(method: str, target: str, headers: "Headers") -> bytes:
    """A request's lines up to where its body's length is said; see `ended`."""
    lines = [f"{method} {target} HTTP/1.1", *[f"{name}: {value}" for name, value in headers]]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")


def ended(head: bytes, body_bytes: int | None = None) -> bytes:
    """A whole head: with the length of the body, if there is to be one."""
    return b"%b\r\n\r\n" % head if body_bytes is None else b"%b\r\nContent-Length: %d\r\n\r\n" % (head, body_bytes)


def merged(*groups: "Headers") -> dict[str, str]:
    """Header fields of several groups, a later one over an earlier one, names compared without case.

    Those that would change where a request ends are left out.
    """
    fields: dict[str, tuple[str, str]] = {}
    for group in groups:
        for name, value in group:
            if name.lower() not in _RESERVED:
                fields[name.lower()] = (name, value)
    return dict(fields.values())


def joined(head: bytes, items: Sequence[bytes], separator: bytes, tail: bytes) -> bytes:
    """Head, items joined by a separator, and tail: nothing but the items is in memory beside them."""
    if not items:
        return head + tail
    pieces = list(items)
    pieces[0] = head + pieces[0]
    pieces[-1] += tail
    return separator.join(pieces)


class Levels:
    """Which of gzip's levels pays for the bodies that go to one place: found out of a large one, from time to time."""

    def __init__(self) -> None:
        self._level = LEVEL
        self._bodies = 0

    def of(self, items: Sequence[bytes], body_bytes: int) -> int:
        """The level at which to compress items, and what is around them, of so many bytes together."""
        if body_bytes < _LARGE_BYTES:
            return LEVEL
        if self._bodies % _BODIES_BETWEEN == 0:
            self._level = self._compared(items)
        self._bodies += 1
        return self._level

    def _compared(self, items: Sequence[bytes]) -> int:
        some = bytearray()
        for item in items:
            some += item[:_COMPARED_BYTES]
            if len(some) >= _COMPARED_BYTES:
                break
        usual, lazy = (len(gzip.compress(some)) + len(gzip.flush()) for gzip in map(_gzip, (LEVEL, _LAZY_LEVEL)))
        return LEVEL if usual <= (1 - _PAYS) * lazy else _LAZY_LEVEL


def gzipped(head: bytes, items: Sequence[bytes], separator: bytes, tail: bytes, level: int = LEVEL) -> bytes:
    """Head, items joined by a separator, and tail, compressed at a level: see `Levels`."""
    # Of many items it is not asked: it takes longer than what it decides.
    if len(items) <= _MOST_SMALL_ITEMS and sum(map(len, items)) <= _SMALL_BYTES:
        gzip = zlib.compressobj(level, zlib.DEFLATED, _SMALL_GZIP_WBITS, _SMALL_MEM_LEVEL, _GZIP_STRATEGY)
        return gzip.compress(b"%b%b%b" % (head, separator.join(items), tail)) + gzip.flush()
    gzip = _gzip(level)
    pieces = [gzip.compress(head)]
    for start in range(0, len(items), _ITEMS_AT_ONCE):
        if start:
            pieces.append(gzip.compress(separator))
        pieces.append(gzip.compress(separator.join(items[start : start + _ITEMS_AT_ONCE])))
    pieces += (gzip.compress(tail), gzip.flush())
    return b"".join(pieces)


def _gzip(level: int) -> "zlib._Compress":
    return zlib.compressobj(level, zlib.DEFLATED, _GZIP_WBITS, _GZIP_MEM_LEVEL, _GZIP_STRATEGY)
