"""Elements of an array, split without recursion: the same that a decoder finds, and never an exception but ours."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.elements import MOST_DEPTH, SplitError, elements
from shipper.model import elements as shippers

JSON = st.recursive(
    st.none() | st.integers() | st.text(st.characters(codec="utf-8") | st.sampled_from('[]{},"\\'), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=9,
)


@given(st.lists(JSON, max_size=5), st.sampled_from([None, 1]))
def test_elements_are_those_of_the_array(array: list[object], indent: int | None) -> None:
    """In order, each as it is written, whatever white space is around them."""
    text = json.dumps(array, indent=indent).encode() + b" \n"
    assert [json.loads(element) for element in elements(text)] == array
    assert list(elements(bytearray(text))) == list(elements(text))


@given(st.text('[]{},"\\ a', max_size=30).map(str.encode))
def test_any_bytes_are_split_as_the_shipper_will_or_refused(text: bytes) -> None:
    """Were they counted differently here and there, the ledger would not hold."""
    try:
        found = list(elements(text))
    except SplitError:
        return
    assert found == list(shippers.elements(text, text.index(b"[") + 1))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "not_an_array"),
        (b"{}", "not_an_array"),
        (b"[", "malformed"),
        (b"[1,]", "malformed"),
        (b"[,1]", "malformed"),
        (b"[1,,2]", "malformed"),
        (b"[}]", "malformed"),
        (b'["a]', "malformed"),
        (b'["\\"]', "malformed"),
        (b"[] x", "malformed"),
        (b"[" * (MOST_DEPTH + 2), "too_deep"),
    ],
)
def test_what_cannot_be_split_is_said(text: bytes, reason: str) -> None:
    """By the name it is refused under."""
    with pytest.raises(SplitError) as refused:
        list(elements(text))
    assert refused.value.reason == reason


def test_quote_after_backslashes_ends_a_string_when_they_are_even() -> None:
    """Each pair is a backslash."""
    assert list(elements(rb'["a\\","b\"],[","\\\\\"" , ""]')) == [rb'"a\\"', rb'"b\"],["', rb'"\\\\\""', b'""']
