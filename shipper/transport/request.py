"""A request as HTTP/1.1 writes it (RFC 9112), and the compression of its body (RFC 1952)."""

import zlib
from collections.abc import Iterable, Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from lifecycle.contract.log import Log

    class Gzip(Protocol):
        """What compresses one body."""

        def compress(self, data: bytes | bytearray, /) -> bytes:
            """What is ready of all that it was given."""

        def flush(self) -> bytes:
            """The rest."""

    Headers = Iterable[tuple[str, str]]

# What is to be found in a body, and so how much is done for it: as much as pays for words that return after dozens of
# lines, less for lines of which each repeats most of the one before, and little for spans, of which each has ids of its
# own.
USUAL, LAZY, QUICK = range(3)

# zlib's levels for these. Level 1 costs 1.0 µs a text line and level 6 with this strategy 1.9 µs, for a fifth to half
# of the bytes less: what differs from line to line are short numbers, and to leave matches of five bytes and fewer
# alone makes level 6 quicker and its result smaller than either alone. What leaves a network costs ten times as much as
# that processor time. Level 4 does not look for longer matches: a fifth more is left of such text, but of JSON 1 % more
# in a quarter less time, 0.7 µs a line. Of spans, level 6 leaves 3 % less than level 1 and costs two and a half times
# as much, 1.8 µs a span.
_ZLIB_LEVELS, _GZIP_STRATEGY = (6, 4, 1), zlib.Z_FILTERED

# zlib-ng's. Its level 5 leaves 1 % more of text than zlib's level 6, and 2 % of JSON, at 0.95 against 2.1 µs a line
# and 1.1 against 2.7; level 3 leaves a quarter more of text than that and 6 % of JSON, in two thirds of the time. Of
# spans level 2 leaves as much as zlib's level 1, in two thirds of its time; level 1 an eighth more.
_NG_LEVELS = (5, 3, 2)

# To load it takes 1.2 ms and 0.3 MB, and it saves that time with so many bytes: who sends fewer would lose by it.
_NG_FROM_BYTES = 393_216

# So much of a large body is compressed in both ways, and the usual one stays where this part of it, at least, is saved:
# matches of long before are few at a body's beginning. A body of 400 KB takes 1 to 4 ms, and this 0.7 ms at most, each
# so many times.
_COMPARED_BYTES = 49_152
_LARGE_BYTES = 4 * _COMPARED_BYTES
_PAYS = 0.02
_BODIES_BETWEEN = 32

# zlib's way to say: with gzip's header and trailer (RFC 1952).
_GZIP_WBITS = 31

# Half of zlib's usual tables, a quarter of zlib-ng's: 1.4 and 2 % less comes of text, whose blocks end sooner, and 64
# KB less are taken. A state of zlib-ng's then takes 64 KB more than one of zlib's. An eighth of its tables would take
# but 4 KB less, and leave 1 % more of JSON.
_ZLIB_MEM_LEVEL, _NG_MEM_LEVEL = 7, 6

# Items of up to this size are compressed with a window of 2**13, half as large, and tables to match, in 64 KB: the same
# comes of it. zlib's usual 256 KB are more than the heap keeps: the kernel would hand them out, zeroed, and get them
# back, each time.
_SMALL_BYTES = 16_384
_SMALL_GZIP_WBITS = 16 + 13
_SMALL_MEM_LEVEL = 6
_MOST_SMALL_ITEMS = 256

# Items joined at a time, and bytes beyond which they are not: the whole body is never held beside its compressed form.
_ITEMS_AT_ONCE = 64
_BYTES_AT_ONCE = 65_536

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


class _Compressor:
    """What compresses large bodies.

    Args:
        compressobj: As zlib has it.
        levels: For what is done for a body.
        mem_level: How large its tables are.
    """

    def __init__(self, compressobj: "Callable[..., Gzip]", levels: tuple[int, int, int], mem_level: int) -> None:
        self._compressobj = compressobj
        self._levels = levels
        self._mem_level = mem_level

    def gzip(self, effort: int) -> "Gzip":
        """The state of one body."""
        return self._compressobj(self._levels[effort], zlib.DEFLATED, _GZIP_WBITS, self._mem_level, _GZIP_STRATEGY)


class Compressors:
    """Which library compresses large bodies: zlib, and zlib-ng once there were so many of them that it pays.

    Attributes:
        used: The one.
        log: Is told, once, why there is no zlib-ng.
    """

    def __init__(self) -> None:
        self.used = _Compressor(zlib.compressobj, _ZLIB_LEVELS, _ZLIB_MEM_LEVEL)
        self.log: Log | None = None
        self._left_bytes = _NG_FROM_BYTES

    def count(self, body_bytes: int) -> None:
        """Of a large body that was compressed."""
        if self._left_bytes > 0:
            self._left_bytes -= body_bytes
            if self._left_bytes <= 0:
                self._change()

    def _change(self) -> None:
        from lifecycle.contract.lean import load_zlib_ng

        try:
            load_zlib_ng()
        except ImportError as exc:
            if self.log is not None:
                self.log.debug("shipper.compressor_missing", error=str(exc))
            return
        from zlib_ng import zlib_ng

        self.used = _Compressor(zlib_ng.compressobj, _NG_LEVELS, _NG_MEM_LEVEL)


# The process's: a library is loaded once.
compressors = Compressors()


class Efforts:
    """How much pays for the bodies that go to one place: found out of a large one, from time to time."""

    def __init__(self) -> None:
        self._effort = USUAL
        self._compressor: _Compressor | None = None
        self._bodies = 0

    def of(self, items: Sequence[bytes], body_bytes: int) -> int:
        """What to do for items, and what is around them, of so many bytes together."""
        if body_bytes < _LARGE_BYTES:
            return USUAL
        if self._bodies % _BODIES_BETWEEN == 0 or self._compressor is not compressors.used:
            self._compressor = compressors.used
            self._effort = self._compared(items, self._compressor)
        self._bodies += 1
        return self._effort

    def _compared(self, items: Sequence[bytes], compressor: _Compressor) -> int:
        some = bytearray()
        for item in items:
            some += item[:_COMPARED_BYTES]
            if len(some) >= _COMPARED_BYTES:
                break
        usual, lazy = (len(gzip.compress(some)) + len(gzip.flush()) for gzip in map(compressor.gzip, (USUAL, LAZY)))
        return USUAL if usual <= (1 - _PAYS) * lazy else LAZY


def gzipped(head: bytes, items: Sequence[bytes], separator: bytes, tail: bytes, effort: int = USUAL) -> bytes:
    """Head, items joined by a separator, and tail, compressed with an effort: see `Efforts`."""
    # Of many items it is not asked: it takes longer than what it decides.
    if len(items) <= _MOST_SMALL_ITEMS and sum(map(len, items)) <= _SMALL_BYTES:
        level = _ZLIB_LEVELS[effort]
        small = zlib.compressobj(level, zlib.DEFLATED, _SMALL_GZIP_WBITS, _SMALL_MEM_LEVEL, _GZIP_STRATEGY)
        return small.compress(b"%b%b%b" % (head, separator.join(items), tail)) + small.flush()
    gzip = compressors.used.gzip(effort)
    pieces = [gzip.compress(head)]
    body_bytes = 0
    for start in range(0, len(items), _ITEMS_AT_ONCE):
        some = items[start : start + _ITEMS_AT_ONCE]
        size = sum(map(len, some))
        body_bytes += size
        for part in some if size > _BYTES_AT_ONCE else (separator.join(some),):
            if len(pieces) > 1:
                pieces.append(gzip.compress(separator))
            pieces.append(gzip.compress(part))
    pieces += (gzip.compress(tail), gzip.flush())
    compressors.count(body_bytes)
    return b"".join(pieces)
