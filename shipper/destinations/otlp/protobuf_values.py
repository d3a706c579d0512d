"""JSON to OTLP's AnyValue in protobuf, written by hand: the runtime of protobuf is too heavy for a cold start.

Zero values of members of a oneof are written, as protobuf wants them; other zero values are left out. Texts are valid
UTF-8, without which decoders refuse the whole request.

Source: opentelemetry/proto/common/v1/common.proto; "Encoding" of the Protocol Buffers documentation.
"""

import math
import struct
from collections.abc import Mapping
from io import BytesIO

import msgspec

from lifecycle.contract import late
from lifecycle.contract.json_text import with_valid_escapes, with_valid_utf8
from shipper.destinations.otlp.values import INT64_DIGITS, MOST_DEPTH, MOST_INT64, number_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

# Lengths up to this one repeat from record to record, and are remembered as bytes.
_MOST_REMEMBERED_LENGTH = 2047

# Names of attributes repeat, too. Beyond this many, and beyond this size, they do not.
_MOST_NAMES = 1024
_MOST_NAME_BYTES = 128

# Lengths below take one byte.
_ONE_BYTE = 128

# Likewise two, and three.
_TWO_BYTES, _THREE_BYTES = 1 << 14, 1 << 21

# By such a length: itself, and with the tags of a text and of a pair's value before it.
_LENGTHS = [bytes((length,)) for length in range(_ONE_BYTE)]
_TEXTS = [b"\x0a" + length for length in _LENGTHS]
_VALUES = [b"\x12" + length for length in _LENGTHS]

# The first byte of a number of several, by its last seven bits.
_LOW = [bytes((_ONE_BYTE | bits,)) for bits in range(_ONE_BYTE)]

# A byte is found in bytes in a tenth of the time that bytes are.
_QUOTE, _BACKSLASH, _T, _F, _N, _POINT = b'"\\tfn.'
_NESTED = frozenset(b"{[")
_UINT64 = 2**64 - 1

# From here on a whole number has as many digits as may be too many for an int64.
_INT64_END = 10 ** (INT64_DIGITS - 1)

# What is larger is copied as seldom as it can be, and looked at in steps; between two there is no escape, no
# pair of them and no character of several bytes that could be cut in two.
LARGE_BYTES = 262_144
_STEP_BYTES = 65_536
_SAFE = late.pattern(rb"[^\\](?=\\[^u])|[ -!#-\[\]-~]{13}")

# Bytes that are joined take a fourth of the time of bytes that are added one after another.
_join = b"".join

fixed32 = struct.Struct("<I").pack
fixed64 = struct.Struct("<Q").pack
_double = struct.Struct("<cd").pack

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[msgspec.Raw])
_text = msgspec.json.Decoder(str)
_to_json = msgspec.json.Encoder().encode
_varints: dict[int, bytes] = {}
_keys: dict[str, bytes] = {}


def varint(value: int) -> bytes:
    """A number from 0 on, seven bits a byte, the least first."""
    if value < _ONE_BYTE:
        return _LENGTHS[value]
    known = _varints.get(value)
    if known is not None:
        return known
    if _MOST_REMEMBERED_LENGTH < value < _THREE_BYTES:  # numbers in attributes are mostly of this size
        if value < _TWO_BYTES:
            return bytes((value & 0x7F | 0x80, value >> 7))
        return bytes((value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14))
    rest, written = value >> 7, bytearray((value & 0x7F,))
    while rest:
        written[-1] |= 0x80
        written.append(rest & 0x7F)
        rest >>= 7
    found = bytes(written)
    if value <= _MOST_REMEMBERED_LENGTH:
        _varints[value] = found
    return found


def field(tag: bytes, content: bytes) -> bytes:
    """A text, bytes or a message as a field."""
    length = len(content)
    return _join((tag, _LENGTHS[length] if length < _ONE_BYTE else varint(length), content))


def text_field(tag: bytes, text: str) -> bytes:
    """A text of ours as a field; nothing for an empty one."""
    if not text:
        return b""
    content = text.encode("utf-8", "replace")
    length = len(content)
    return _join((tag, _LENGTHS[length] if length < _ONE_BYTE else varint(length), content))


def any_value(raw: bytes, depth: int = 0) -> bytes:
    """The AnyValue of a JSON value, which is valid UTF-8 without white space around it; b"" for null."""
    mark = raw[0]
    if mark == _QUOTE:
        text = raw[1:-1] if _BACKSLASH not in raw else unescaped(raw)
        length = len(text)
        return _join((_TEXTS[length] if length < _ONE_BYTE else b"\x0a" + varint(length), text))
    if raw.isdigit() and len(raw) < INT64_DIGITS:
        return b"\x18" + varint(int(raw))
    if mark in _NESTED:
        return text_value(raw) if depth >= MOST_DEPTH else _nested(raw, depth)
    if mark == _T:
        return b"\x10\x01"
    if mark == _F:
        return b"\x10\x00"
    if mark == _N:
        return b""
    return _number(raw)


def large_value(raw: bytes) -> tuple[bytes | memoryview, ...]:
    """The same in pieces, for a value that is copied as seldom as it can be."""
    if raw[0] != _QUOTE:
        return (any_value(raw),)
    text = memoryview(raw)[1:-1] if _BACKSLASH not in raw else unescaped_in_steps(raw)
    return b"\x0a", varint(len(text)), text


def unescaped_in_steps(raw: bytes) -> bytes:
    """The text of a long raw JSON string, of which a part at a time is decoded."""
    text, at, end = BytesIO(), 1, len(raw) - 1
    while at < end:
        found = _SAFE.search(raw, at + _STEP_BYTES, end)
        stop = found.end() if found else end
        text.write(unescaped(b"".join((b'"', memoryview(raw)[at:stop], b'"'))))
        at = stop
    return text.getvalue()


def _nested(raw: bytes, depth: int) -> bytes:
    """The AnyValue of an object or an array."""
    try:
        if raw[:1] == b"{":
            return object_value(_members.decode(raw), depth)
        items = _items.decode(raw)
    except RecursionError:  # nested far deeper than anything is written structured
        return text_value(raw)
    return field(b"\x2a", b"".join([field(b"\x0a", any_value(bytes(item), depth + 1)) for item in items]))


def plain_value(value: "Any") -> bytes:
    """The AnyValue of a value of ours or of a decoded record."""
    if isinstance(value, float) and not math.isfinite(value):
        return text_value(str(value).encode())
    return any_value(_to_json(value))


def object_value(members: Mapping[str, msgspec.Raw | bytes], depth: int = 0) -> bytes:
    """The AnyValue of a JSON object's members."""
    pairs = []
    for name, raw in members.items():  # no comprehension: it would be one more function for each object
        pairs.append(member(b"\x0a", name, bytes(raw), depth + 1))
    content = _join(pairs)
    return _join((b"\x32", varint(len(content)), content))


def text_value(text: bytes) -> bytes:
    """The AnyValue of a text."""
    return field(b"\x0a", with_valid_utf8(text))


def unescaped(raw: bytes) -> bytes:
    """The text of a raw JSON string."""
    try:
        return _text.decode(raw).encode()
    except msgspec.DecodeError:  # half of a surrogate pair, which no UTF-8 can say
        return _text.decode(with_valid_escapes(raw)).encode()


def key_value(tag: bytes, name: str, value: bytes) -> bytes:
    """A KeyValue as the field `tag`, which is one byte; `value` is an AnyValue."""
    key = _keys.get(name)
    if key is None:
        key = field(b"\x0a", name.encode("utf-8", "replace"))
        if len(_keys) < _MOST_NAMES and len(key) <= _MOST_NAME_BYTES:
            _keys[name] = key
    length = len(value)
    if not length:
        return field(tag, key)
    size = len(key) + length + 2
    if size < _ONE_BYTE:
        return _join((tag, _LENGTHS[size], key, _VALUES[length], value))
    content = _join((key, b"\x12", varint(length), value))
    return _join((tag, varint(len(content)), content))


def member(tag: bytes, name: str, raw: bytes, depth: int = 0) -> bytes:
    """The KeyValue of a member of a JSON object; the usual kinds in as few steps as there can be."""
    key = _keys.get(name)
    if key is not None:
        if raw[0] == _QUOTE:
            if _BACKSLASH not in raw:
                text = raw[1:-1]
                length = len(text)
                size = len(key) + length + 4
                if size < _ONE_BYTE:
                    return _join((tag, _LENGTHS[size], key, _VALUES[length + 2], _TEXTS[length], text))
        elif len(raw) < INT64_DIGITS and raw.isdigit():
            number = varint(int(raw))
            size = len(key) + len(number) + 3
            if size < _ONE_BYTE:
                return _join((tag, _LENGTHS[size], key, _VALUES[len(number) + 1], b"\x18", number))
    return key_value(tag, name, any_value(raw, depth))


def members(
    tag: bytes, name: str, values: "Sequence[bytes]", numbers: "Sequence[int]" = (), *, is_text: bool
) -> "tuple[list[bytes | Iterable[bytes]], int | list[int]]":
    """The same member of several objects as columns, which one after another are what `member` makes of each.

    Args:
        tag: Of the field, one byte.
        name: Of the member.
        values: Of each object: a text without an escape and without its quotes, or what is no text as raw JSON.
        numbers: The same as whole numbers from 0 on, where they are known to be such.
        is_text: Whether they are texts.

    Returns:
        The columns, one value where it is that of all; the size of each member, one where they are all of the same.
    """
    first = values[0]
    if values.count(first) == len(values):
        written = member(tag, name, b'"%b"' % first if is_text else first)
        return [written], len(written)
    if is_text:
        lengths = list(map(len, values))
        heads = {length: member(tag, name, b'"%b"' % (b" " * length))[: -length or None] for length in set(lengths)}
        sizes = {length: len(head) + length for length, head in heads.items()}
        return [map(heads.__getitem__, lengths), values], list(map(sizes.__getitem__, lengths))
    if numbers and (most := max(numbers)) < _INT64_END:
        varints = _varints_of(numbers)
        size = len(varint(most))
        if size == len(varint(min(numbers))):
            head = _head_of_number(tag, name, size)
            return [head, varints], len(head) + size
        lengths = list(map(len, varints))
        heads = {size: _head_of_number(tag, name, size) for size in set(lengths)}
        sizes = {size: len(head) + size for size, head in heads.items()}
        return [map(heads.__getitem__, lengths), varints], list(map(sizes.__getitem__, lengths))
    known = {value: member(tag, name, value) for value in set(values)}
    found = list(map(known.__getitem__, values))
    return [found], list(map(len, found))


def _head_of_number(tag: bytes, name: str, size: int) -> bytes:
    """What of a member stands before a whole number that takes so many bytes."""
    return member(tag, name, b"%d" % (1 << 7 * (size - 1)))[:-size]


def _varints_of(numbers: "Sequence[int]") -> list[bytes]:
    """Each as `varint` writes it."""
    known = {high: varint(high) for high in {number >> 7 for number in numbers}}
    return [_LOW[number & 0x7F] + known[number >> 7] if number >= _ONE_BYTE else _LENGTHS[number] for number in numbers]


def attribute(tag: bytes, name: str, value: "Any") -> bytes:
    """The KeyValue of a value of ours or of a decoded record; the usual kinds without a way through JSON."""
    kind = type(value)
    if kind is str and value.isascii():
        text = value.encode()
        length = len(text)
        return key_value(tag, name, _join((_TEXTS[length] if length < _ONE_BYTE else b"\x0a" + varint(length), text)))
    if kind is float and math.isfinite(value):
        return key_value(tag, name, _double(b"\x21", value))
    if kind is int and 0 <= value <= MOST_INT64:
        return key_value(tag, name, b"\x18" + varint(value))
    return key_value(tag, name, plain_value(value))


def _number(raw: bytes) -> bytes:
    if _POINT in raw and math.isfinite(number := float(raw)):  # as most of what is measured has it
        return _double(b"\x21", number)
    found = number_of(raw)
    if found is None:
        return field(b"\x0a", raw)
    if isinstance(found, float):
        return _double(b"\x21", found)
    return b"\x18" + varint(found & _UINT64)
