"""JSON to OTLP's AnyValue in OTLP's JSON encoding, strings spliced and never decoded.

Source: opentelemetry/proto/common/v1/common.proto and the OTLP specification, "JSON Protobuf Encoding".
"""

import math
from collections.abc import Mapping
from itertools import repeat

import msgspec

from shipper.destinations.otlp.values import INT64_DIGITS, LEAST_INT64, MOST_DEPTH, MOST_INT64, number_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

_QUOTE = ord('"')

# Field names repeat from record to record; beyond this many they do not, and remembering stops.
_MOST_NAMES = 1024
_MOST_NAME_BYTES = 128

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[msgspec.Raw])
_to_json = msgspec.json.Encoder().encode
_names: dict[str, bytes] = {}


def any_value(raw: bytes, depth: int = 0) -> bytes:
    """The AnyValue of a JSON value, which has no white space around it."""
    mark = raw[0]
    if mark == _QUOTE:
        return b'{"stringValue":%b}' % raw
    if mark in b"{[":
        return text_value(raw) if depth >= MOST_DEPTH else _nested(raw, depth)
    if mark in b"tf":
        return b'{"boolValue":%b}' % raw
    if mark in b"n":
        return b"{}"
    return _number(raw)


def member(name: str, raw: bytes, depth: int = 0) -> bytes:
    """The KeyValue of a member of a JSON object; the usual kind in as few steps as there can be."""
    key = _names.get(name)
    if key is not None and raw[0] == _QUOTE:
        return b'{"key":%b,"value":{"stringValue":%b}}' % (key, raw)
    return key_value(name, any_value(raw, depth))


def members(before: bytes, name: str, values: "Sequence[bytes]", *, is_text: bool) -> "list[Iterable[bytes]]":
    """The same member of several objects as columns, which one after another are what `member` makes of each.

    Args:
        before: What comes before each.
        name: Of the member.
        values: Of each object: a text without an escape and without its quotes, or what is no text as raw JSON.
        is_text: Which of these they are.
    """
    first = values[0]
    if values.count(first) == len(values):
        return [repeat(before + member(name, b'"%b"' % first if is_text else first))]
    if is_text:
        return [repeat(before + member(name, b'""')[: -len(b'"}}')]), values, repeat(b'"}}')]
    if max(map(len, values)) < INT64_DIGITS and b"".join(values).isdigit():
        return [repeat(before + member(name, b"0")[: -len(b'0"}}')]), values, repeat(b'"}}')]
    known = {value: before + member(name, value) for value in set(values)}
    return [map(known.__getitem__, values)]


def _nested(raw: bytes, depth: int) -> bytes:
    """The AnyValue of an object or an array."""
    try:
        if raw[:1] == b"{":
            return object_value(_members.decode(raw), depth)
        items = _items.decode(raw)
    except RecursionError:  # nested far deeper than anything is written structured
        return text_value(raw)
    return b'{"arrayValue":{"values":[%b]}}' % b",".join([any_value(bytes(item), depth + 1) for item in items])


def plain_value(value: "Any") -> bytes:
    """The AnyValue of a value of ours or of a decoded record."""
    if isinstance(value, float) and not math.isfinite(value):
        return b'{"stringValue":"%b"}' % str(value).encode()
    return any_value(_to_json(value))


def object_value(members: Mapping[str, msgspec.Raw | bytes], depth: int = 0) -> bytes:
    """The AnyValue of a JSON object's members."""
    values = b",".join([member(name, bytes(raw), depth + 1) for name, raw in members.items()])
    return b'{"kvlistValue":{"values":[%b]}}' % values


def text_value(text: bytes) -> bytes:
    """The AnyValue of a text."""
    return b'{"stringValue":%b}' % _to_json(text.decode("utf-8", "replace"))


def key_value(name: str, value: bytes) -> bytes:
    """A KeyValue; `value` is an AnyValue."""
    key = _names.get(name)
    if key is None:
        key = _to_json(name)
        if len(_names) < _MOST_NAMES and len(key) <= _MOST_NAME_BYTES:
            _names[name] = key
    return b'{"key":%b,"value":%b}' % (key, value)


def attribute(name: str, value: "Any") -> bytes:
    """The KeyValue of a value of ours or of a decoded record; the usual kinds in as few steps as there can be."""
    key = _names.get(name)
    if key is not None:
        kind = type(value)
        if kind is str:
            return b'{"key":%b,"value":{"stringValue":%b}}' % (key, _to_json(value))
        if kind is bool:
            return b'{"key":%b,"value":{"boolValue":%b}}' % (key, b"true" if value else b"false")
        if kind is int and LEAST_INT64 <= value <= MOST_INT64:
            return b'{"key":%b,"value":{"intValue":"%d"}}' % (key, value)
    return key_value(name, plain_value(value))


def _number(raw: bytes) -> bytes:
    number = number_of(raw)
    if number is None:
        return b'{"stringValue":"%b"}' % raw
    if isinstance(number, int):
        return b'{"intValue":"%d"}' % number
    return b'{"doubleValue":%b}' % raw
