"""From one encoding to the other, as OpenTelemetry's own definitions have both."""

import contextlib
import functools
from typing import Any

import msgspec
import pytest
from google.protobuf.descriptor import FieldDescriptor  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from shipper.destinations.otlp.transcode import MESSAGES, TranscodeError, to_json, to_protobuf
from tests.sandbox.otlp import REQUESTS, as_json, from_json, from_protobuf

# A list as long as a message is deep is enough.
_MOST_DEPTH = 9

_SCALARS = {
    FieldDescriptor.TYPE_DOUBLE: st.floats(allow_nan=False),
    FieldDescriptor.TYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT64: st.integers(0, 2**64 - 1),
    FieldDescriptor.TYPE_FIXED64: st.integers(0, 2**64 - 1),
    FieldDescriptor.TYPE_SFIXED64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_FIXED32: st.integers(0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.TYPE_SINT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_STRING: st.text(max_size=20),
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=20),
}


def drawn(draw: Any, message: Any, depth: int = 0) -> Any:
    """A message with a few of its fields set."""
    for known in message.DESCRIPTOR.fields:
        if known.name.endswith("strindex") or (depth > 1 and not draw(st.booleans())):
            continue
        if known.type == FieldDescriptor.TYPE_MESSAGE:
            if depth >= _MOST_DEPTH:
                continue
            if known.is_repeated:
                for _ in range(draw(st.integers(0, 2))):
                    drawn(draw, getattr(message, known.name).add(), depth + 1)
            else:
                inner = getattr(message, known.name)
                inner.SetInParent()
                drawn(draw, inner, depth + 1)
            continue
        values = (
            st.sampled_from([value.number for value in known.enum_type.values])
            if known.type == FieldDescriptor.TYPE_ENUM
            else _SCALARS[known.type]
        )
        if known.is_repeated:
            getattr(message, known.name).extend(draw(st.lists(values, max_size=3)))
        else:
            setattr(message, known.name, draw(values))
    return message


@st.composite
def messages(draw: Any, signal: str) -> Any:
    return drawn(draw, REQUESTS[signal]())


def with_nulls(message: Any) -> Any:
    """The message, each pair without a value with an empty one, which means the same."""
    for known, value in message.ListFields():
        if known.type == FieldDescriptor.TYPE_MESSAGE:
            for inner in value if known.is_repeated else (value,):
                with_nulls(inner)
    if message.DESCRIPTOR.name == "KeyValue":
        message.value.SetInParent()
    return message


@pytest.mark.parametrize("signal", sorted(REQUESTS))
def test_a_request_is_the_same_in_both_encodings(signal: str) -> None:
    """Whatever fields are set, zeros of optional ones included."""

    @given(messages(signal))
    @settings(max_examples=80, deadline=None)
    def holds(message: Any) -> None:
        content = message.SerializeToString()
        in_json = to_json(signal, content)
        assert from_json(signal, in_json) == with_nulls(from_protobuf(signal, content))
        assert from_protobuf(signal, to_protobuf(signal, in_json)) == with_nulls(message)

    holds()


@pytest.mark.parametrize("signal", sorted(REQUESTS))
def test_what_other_writers_of_json_write_is_taken(signal: str) -> None:
    """Numbers as text, the other way round, and members that nobody knows."""

    @given(messages(signal))
    @settings(max_examples=50, deadline=None)
    def holds(message: Any) -> None:
        members = as_json(message)
        members["neverHeardOf"] = {"a": [1]}
        assert from_protobuf(signal, to_protobuf(signal, msgspec.json.encode(members))) == message

    holds()


def test_the_table_is_that_of_the_definitions() -> None:
    """Every message, every field, its number and its name."""
    seen: set[str] = set()

    def walk(name: str, descriptor: Any) -> None:
        if name in seen:
            return
        seen.add(name)
        ours = {number: known.name for number, known in MESSAGES[name].items()}
        theirs = {one.number: one.json_name for one in descriptor.fields if not one.name.endswith("strindex")}
        assert ours == theirs, name
        for one in descriptor.fields:
            if one.message_type is not None:
                walk(one.message_type.name, one.message_type)

    for signal, request in REQUESTS.items():
        walk(signal, request.DESCRIPTOR)
    assert seen == set(MESSAGES)


def test_a_null_attribute_has_an_empty_value() -> None:
    """As our own JSON has it."""
    assert to_json("KeyValue", b"\x0a\x01z") == b'{"key":"z","value":{}}'


def test_counts_are_numbers_and_times_are_text() -> None:
    """Receivers built on Rust's opentelemetry-proto take them so alone."""
    content = to_protobuf("HistogramDataPoint", b'{"timeUnixNano":5,"count":"6","bucketCounts":["6"]}')
    assert to_json("HistogramDataPoint", content) == b'{"timeUnixNano":"5","count":6,"bucketCounts":[6]}'
    assert to_json("NumberDataPoint", to_protobuf("NumberDataPoint", b'{"asInt":"0"}')) == b'{"asInt":0}'


@pytest.mark.parametrize("text", [b'"NaN"', b'"Infinity"', b'"-Infinity"'])
def test_doubles_that_json_has_no_number_for_have_names(text: bytes) -> None:
    """Protobuf's."""
    point = b'{"asDouble":%b}' % text
    assert to_json("NumberDataPoint", to_protobuf("NumberDataPoint", point)) == point


def test_packed_and_single_values_are_read_alike() -> None:
    """A writer may choose (Protocol Buffers, "Encoding")."""
    assert to_json("Buckets", b"\x10\x01\x12\x02\x02\x03\x10\x04") == b'{"bucketCounts":[1,2,3,4]}'


@pytest.mark.parametrize(
    "content",
    [b"\x0a", b"\x0a\x05a", b"\x0b", b"\xff" * 11, b"\x08\x01", b"\x12\x02\x0a\x05"],
)
def test_what_is_no_message_is_said(content: bytes) -> None:
    """Cut, of another wire type, or nothing of the kind."""
    with pytest.raises(TranscodeError):
        to_json("KeyValue", content)


@pytest.mark.parametrize(
    "content", [b"", b"[", b"[]", b'"a"', b'{"key":5}', b'{"value":[]}', b'{"value":{"intValue":"x"}}']
)
def test_what_is_no_such_json_is_said(content: bytes) -> None:
    """Cut, or of another shape."""
    with pytest.raises(TranscodeError):
        to_protobuf("KeyValue", content)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(content: bytes) -> None:
    """Whatever they are."""
    for transcode, signal in ((to_json, "logs"), (to_json, "metrics"), (to_protobuf, "logs")):
        with contextlib.suppress(TranscodeError):
            transcode(signal, content)


def test_what_nests_for_ever_is_said() -> None:
    """And takes nothing down."""
    array, item = b"\x2a", b"\x0a"
    content = functools.reduce(lambda inner, tag: tag + _varint(len(inner)) + inner, [item, array] * 2000, b"")
    with pytest.raises(TranscodeError):
        to_json("AnyValue", content)


def _varint(value: int) -> bytes:
    return bytes((value & 0x7F | 0x80, *_varint(value >> 7))) if value > 0x7F else bytes((value,))
