"""AnyValue in protobuf: what OpenTelemetry's own definitions read is what the JSON says."""

import json
import math
import tracemalloc
from typing import Any

import msgspec
import pytest
from google.protobuf.json_format import Parse  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from shipper.destinations.otlp import json_values
from shipper.destinations.otlp.protobuf_values import (
    any_value,
    field,
    key_value,
    member,
    plain_value,
    unescaped,
    varint,
)
from shipper.destinations.otlp.values import MOST_DEPTH

TEXTS = st.text()
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**18, 10**19]),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXTS,
    st.text(min_size=100, max_size=300, alphabet='aé"\\\n€𐍈'),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4))
)


def read(content: bytes) -> Any:
    """An AnyValue, as official code reads it, and written again: a null in a pair is no value at all."""
    message = AnyValue()
    message.ParseFromString(content)
    return plain(message)


def said_in_json(raw: bytes) -> Any:
    """The same of what the JSON encoder writes."""
    return plain(Parse(json_values.any_value(raw), AnyValue()))


def plain(value: Any) -> Any:
    """An AnyValue, its kind beside it."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return kind, [plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return kind, [(pair.key, plain(pair.value)) for pair in value.kvlist_value.values]
    return None if kind is None else (kind, getattr(value, kind))


@given(VALUES)
def test_a_value_is_what_the_json_encoder_says_it_is(value: Any) -> None:
    """Kind and content, at every depth; json.dumps escapes what it can, msgspec only what it must."""
    for raw in (json.dumps(value).encode(), json.dumps(value, ensure_ascii=False).encode(), msgspec.json.encode(value)):
        assert read(any_value(raw)) == said_in_json(raw)


@pytest.mark.parametrize(
    "raw",
    [b"0", b"-0", b"0.0", b"-0.0", b"1e400", b"-1e400", b"1E5", b"1" * 5000, b'""', b"[]", b"{}", b"null", b"[null]"],
)
def test_a_corner_of_json_is_what_the_json_encoder_says_it_is(raw: bytes) -> None:
    """Zeros, what neither int64 nor double holds, and what is empty."""
    assert read(any_value(raw)) == said_in_json(raw)


@pytest.mark.parametrize(
    ("raw", "written"),
    [
        (b"0", "1800"),
        (b"-1", "18ffffffffffffffffff01"),
        (b"300", "18ac02"),
        (b"0.0", "210000000000000000"),
        (b"false", "1000"),
        (b"true", "1001"),
        (b'""', "0a00"),
        (b"[]", "2a00"),
        (b"{}", "3200"),
        (b"null", ""),
        (b"[null,0]", "2a060a000a021800"),
    ],
)
def test_zero_values_are_written(raw: bytes, written: str) -> None:
    """They are members of a oneof: left out, they would be null."""
    assert any_value(raw).hex() == written


def test_a_null_attribute_has_no_value() -> None:
    """A pair without one."""
    assert key_value(b"\x32", "z", any_value(b"null")).hex() == "32030a017a"


def test_what_lies_too_deep_is_json_text() -> None:
    """At the same depth as in JSON, and as far as anybody nests."""
    for depth in (MOST_DEPTH - 1, MOST_DEPTH, MOST_DEPTH + 1, 3000):
        for opened, closed in ((b"[", b"]"), (b'{"a":', b"}")):
            raw = opened * depth + b"1" + closed * depth
            assert read(any_value(raw)) == said_in_json(raw)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (rb'"\ud800"', "�"),
        (rb'"a\udc00b"', "a�b"),
        (rb'"\ud83d\ude00"', "😀"),
        (rb'"\\ud800"', r"\ud800"),
        (rb'"\u0000"', "\0"),
    ],
)
def test_every_text_is_valid_utf8(raw: bytes, text: str) -> None:
    """Decoders refuse the whole request for one that is not."""
    assert read(any_value(raw)) == ("string_value", text)
    pair = KeyValue()
    pair.ParseFromString(key_value(b"", "", any_value(raw))[1:])
    assert pair.value.string_value == text


def test_a_name_is_valid_utf8() -> None:
    """Half of a surrogate pair is a question mark."""
    pair = KeyValue.FromString(key_value(b"", "a\ud800", b"\x0a\x00")[1:])
    assert pair.key == "a?"


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 1.5, 0, -7, True, "", "é", None])
def test_a_value_of_ours_is_what_the_json_encoder_says_it_is(value: Any) -> None:
    """Also one that JSON cannot say."""
    assert read(plain_value(value)) == plain(Parse(json_values.plain_value(value), AnyValue()))


@given(st.integers(0, 2**64 - 1))
def test_a_varint_is_seven_bits_a_byte(value: int) -> None:
    """And as long as it must be; asked again, it is the same."""
    written = varint(value)
    assert sum((byte & 0x7F) << 7 * place for place, byte in enumerate(written)) == value
    assert len(written) == max(1, -(-value.bit_length() // 7))
    assert [byte >> 7 for byte in written] == [1] * (len(written) - 1) + [0]
    assert varint(value) == written


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16383, 16384, 2_000_000])
def test_a_field_says_how_long_it_is(size: int) -> None:
    """However long."""
    message = AnyValue.FromString(field(b"\x0a", b"x" * size))
    assert message.string_value == "x" * size


@given(st.one_of(TEXTS, st.just("name")), VALUES, st.booleans())
def test_the_short_way_to_a_pair_gives_the_same_bytes(name: str, value: Any, is_escaped: bool) -> None:  # noqa: FBT001
    """Whether the name was seen before or not, however long the text."""
    raw = json.dumps(value, ensure_ascii=is_escaped).encode()
    written = key_value(b"\x32", name, any_value(raw))
    assert member(b"\x32", name, raw) == written


def test_names_that_do_not_repeat_are_not_remembered_for_ever() -> None:
    """Neither many nor long ones."""
    tracemalloc.start()
    try:
        for number in range(3000):
            key_value(b"\x32", f"name-{number}", b"")
        for number in range(20):
            key_value(b"\x32", "n" * 100_000 + str(number), b"")
        assert tracemalloc.get_traced_memory()[0] < 500_000
    finally:
        tracemalloc.stop()


def test_an_escaped_text_is_unescaped() -> None:
    """Each escape of JSON's."""
    assert unescaped(rb'"\"\\\/\b\f\n\r\t\u00e9"') == '"\\/\b\f\n\r\té'.encode()
