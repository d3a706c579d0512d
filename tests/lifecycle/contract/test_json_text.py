"""JSON text that is looked at without decoding: what is found in it is what a decoder finds."""

import json
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.contract import json_text
from lifecycle.contract.json_text import (
    MOST_DEPTH,
    SplitError,
    elements,
    is_own_line,
    is_utf8,
    with_valid_escapes,
    with_valid_utf8,
    without_newline,
)
from lifecycle.contract.log import LINE_START

JSON = st.recursive(
    st.none() | st.integers() | st.text(st.characters(codec="utf-8") | st.sampled_from('[]{},"\\'), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=9,
)


@given(st.lists(JSON, max_size=5), st.sampled_from([None, 1]), st.sampled_from([None, (",", ":")]))
def test_elements_are_those_of_the_array(
    array: list[object], indent: int | None, separators: tuple[str, str] | None
) -> None:
    """In order, each as it is written, whatever white space is around them."""
    text = json.dumps(array, indent=indent, separators=separators).encode() + b" \n"
    assert [json.loads(element) for element in elements(text)] == array
    assert list(elements(bytearray(text))) == list(elements(text))


@given(st.text('[]{},"\\ a', max_size=30).map(str.encode))
def test_any_bytes_are_split_alike_from_any_element_on_or_refused(text: bytes) -> None:
    """Were they counted differently by who reads all and by who goes on in the middle, the ledger would not hold."""
    try:
        found = list(elements(text))
    except SplitError:
        return
    assert found == list(elements(text, text.index(b"[") + 1))
    if len(found) > 1:
        behind_first = text.index(found[0]) + len(found[0])
        assert found[1:] == list(elements(text, text.index(b",", behind_first) + 1))


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


def test_where_it_cannot_be_split_is_where_the_element_begins() -> None:
    """What came before is whole; from there on it is text."""
    with pytest.raises(SplitError) as refused:
        list(elements(b'[{"a":1}, "b'))
    assert refused.value.at == len('[{"a":1},')


def lines_run(call: Callable[[], object]) -> int:
    """How many lines of the module one call runs: its time, whatever else the machine does."""
    number = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal number
        number += event == "line"
        return trace if frame.f_code.co_filename == json_text.__file__ else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return number


def test_one_deep_record_does_not_have_all_others_gone_through_bracket_by_bracket() -> None:
    """A function may log, as JSON, what it was sent; the whole batch waits for its answer."""
    line = b'{"time":"2024","type":"function","record":{"a":"b","c":[{"d":1},2],"e":{"f":"g"}}}'
    deep = b'{"a":' * 5000 + b"1" + b"}" * 5000
    by_itself = lines_run(lambda: list(elements(b"[%b]" % deep)))
    among_others = lines_run(lambda: list(elements(b"[%b%b]" % ((line + b",") * 1000, deep))))
    assert among_others < by_itself + 1000 * 30


def ends_of(array: bytes) -> tuple[list[bytes], tuple[str, int] | None]:
    """The elements of what may be an array, and why and where it cannot be split."""
    found = []
    try:
        for element in elements(array):
            found.append(element)  # noqa: PERF402 - those before an error count
    except SplitError as exc:
        return found, (exc.reason, exc.at)
    return found, None


PIECES = [
    b'{"a":1}',
    b'{"',
    b'},{"',
    b'{"a":[{"b":1},{"c":2}]}',
    b'{"x":"},{\\""}',
    *(b"%c" % one for one in b'[]{},:" \\1'),
]


@given(st.lists(st.sampled_from(PIECES), max_size=14).map(b"".join))
def test_objects_that_are_passed_over_at_once_are_split_no_otherwise(inside: bytes) -> None:
    """What looks like the end of one may stand in a string, or in another object."""
    array = b"[%b]" % inside
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(json_text, "_BETWEEN_OBJECTS", b"nowhere")
        one_by_one = ends_of(array)
    assert ends_of(array) == one_by_one


@given(st.binary(max_size=40), st.integers(0, 3))
def test_utf8_is_what_a_decoder_takes(text: bytes, shift: int) -> None:
    """Also where characters lie across the steps of the check; what is mended is what a lenient decoder reads."""
    long = b"x" * (65_536 - 20 - shift) + text
    try:
        long.decode()
    except UnicodeDecodeError:
        assert not is_utf8(long)
        assert with_valid_utf8(long) == long.decode("utf-8", "replace").encode()
    else:
        assert is_utf8(long)
        assert with_valid_utf8(long) is long


@given(st.text(st.characters(codec=None)))
def test_escapes_are_mended_as_a_decoder_would(text: str) -> None:
    """Pairs stay, halves become U+FFFD, and what has none is the same object; the length stays."""
    paired = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    written = json.dumps(text).encode()
    mended = with_valid_escapes(written)
    assert json.loads(mended) == paired
    assert (mended is written) == (paired.count("\ufffd") == text.count("\ufffd"))
    assert len(mended) == len(written)
    assert with_valid_escapes(bytearray(written)) == mended


@given(st.lists(st.sampled_from([*("\\", "u", "\\ud83d", "\\uDE00", "d83d", '\\"', "\\u00e9", "a")])).map("".join))
def test_an_escaped_backslash_before_u_begins_no_escape(inside: str) -> None:
    """However many stand there, and whatever stands beside them."""
    written = f'"{inside}"'
    try:
        text = json.loads(written)
    except ValueError:
        return
    paired = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert json.loads(with_valid_escapes(written.encode())) == paired


def test_half_an_emoji_does_not_have_all_other_escapes_looked_at_one_by_one() -> None:
    """A batch of lines that are JSON as text has tens of thousands of them, and waits for its answer."""
    lines = json.dumps([json.dumps({"level": "info", "message": "done"})] * 1000 + ["\ud83d"]).encode()
    assert lines.count(b"\\") > 8000
    assert lines_run(lambda: with_valid_escapes(lines)) < 100


@pytest.mark.parametrize(
    ("raw", "less"),
    [
        (rb'"a\n"', b'"a"'),
        (rb'"a\\n"', rb'"a\\n"'),
        (rb'"\\\n"', rb'"\\"'),
        (rb'"a\n\n"', rb'"a\n"'),
        (b'"a"', b'"a"'),
        (rb'"\n"', b'""'),
        (b"5", b"5"),
    ],
)
def test_one_trailing_newline_goes(raw: bytes, less: bytes) -> None:
    """Not an escaped backslash before an n."""
    assert without_newline(raw) == less


@pytest.mark.parametrize(
    ("record", "is_own"),
    [
        (json.dumps(LINE_START + 'shipper","level":"debug"}\n'), True),
        (LINE_START + 'shipper","level":"debug"}', True),
        ('{"level":"debug","padding":"' + "x" * 100 + '","logger":"tailrace.shipper"}', True),
        ('{"logger":"other"}', False),
        ('{"logger":5}', False),
        ('"tailrace."', False),
        (json.dumps("x" + LINE_START), False),
        ("[" * 2000, False),
        ('{"a":' * 2000, False),
        ("null", False),
        ("5", False),
    ],
)
def test_own_lines_are_known_by_how_they_begin(record: str, *, is_own: bool) -> None:
    """As text, and as the object that the platform may have made of it and written anew."""
    assert is_own_line(record.encode()) is is_own
