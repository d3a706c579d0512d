"""Users' patterns over long texts in a process of their own, which is ended when one takes too long."""

import gc
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipper.rules.matcher import Matcher, MatcherDiedError


class Digits:
    """A pattern as `rules.patterns` makes them."""

    replacement = "#"

    def __init__(self, pattern: str) -> None:
        self._compiled = re.compile(pattern)
        self.search, self.sub = self._compiled.search, self._compiled.sub


def held() -> tuple[list[str], list[str]]:
    """Our descriptors and children, without what other tests have left for the next collection of garbage."""
    gc.collect()
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return sorted(fd.name for fd in Path("/proc/self/fd").iterdir()), sorted(children)


@pytest.fixture
def matcher() -> Iterator[Matcher]:
    matcher = Matcher([Digits(r"\d+"), Digits(r"(a|a)+$")], most_s=0.05)
    yield matcher
    matcher.close()


def test_it_finds_and_replaces(matcher: Matcher) -> None:
    """Texts of any size and with any characters, one after another."""
    large = "\ud800é" * 20_000
    assert matcher.is_found(0, "a1")
    assert not matcher.is_found(0, large)
    assert matcher.redacted(0, f"{large}12{large}3") == f"{large}#{large}#"


def test_one_that_takes_too_long_is_ended_and_the_next_one_works(matcher: Matcher) -> None:
    """The kernel ends the child, whatever `re` is at."""
    with pytest.raises(MatcherDiedError):
        matcher.is_found(1, "a" * 40 + "b")
    assert matcher.is_found(0, "1")


def test_child_is_gone_when_it_is_closed() -> None:
    """Neither a process nor a descriptor stays."""
    before = held()
    matcher = Matcher([Digits("x")], most_s=1.0)
    assert matcher.is_found(0, "x")
    assert held() != before
    matcher.close()
    matcher.close()
    assert held() == before
