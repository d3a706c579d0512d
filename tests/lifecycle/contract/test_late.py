"""Patterns that are compiled when they are first used."""

import re

import pytest

from lifecycle.contract import late


def test_nothing_is_compiled_before_something_is_looked_for() -> None:
    """Not even what cannot be."""
    broken = late.pattern("(")
    with pytest.raises(re.error):
        broken.search("(")


def test_it_finds_what_the_pattern_finds() -> None:
    """In text and in bytes, by each method, with its flags; the second time it is the pattern's own method."""
    text, data = late.pattern(r"(?i)(?P<word>b+)"), late.pattern(rb"\d")
    for _ in range(2):
        found = text.search("aBBc")
        assert found is not None
        assert (found["word"], found.span()) == ("BB", (1, 3))
        assert (text.match("aB"), text.groupindex) == (None, {"word": 1})
        assert data.sub(b"-", b"1a2") == b"-a-"
    assert vars(text)["search"] == re.compile(r"(?i)(?P<word>b+)").search
