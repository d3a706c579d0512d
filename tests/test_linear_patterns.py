"""No regular expression of ours takes more than linear time, whatever text it is given.

Texts are built from each pattern itself: what it takes, cut short anywhere, with any part of it over and over.
"""

import importlib
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from re import _parser  # type: ignore[attr-defined]
from typing import Any

import pytest

from lifecycle.contract import late
from lifecycle.contract.log import Log
from lifecycle.contract.patterns import READY_MADE
from shipper.parse.text_formats import FORMATS
from shipper.rules.patterns import Patterns

ROOT = Path(__file__).parents[1]

# A line grows tenfold from here. What is quadratic takes seconds for the larger one, what is linear milliseconds.
SMALL, LARGE = 2_400, 24_000
MOST_GROWTH = 30
NOISE_S = 0.02

# By themselves, whatever the pattern is.
GENERIC = ("a", "1", " ", "\n", "\r\n", ".", "-", ": ", "a.", "a b ", "1 ", "a@", '"', '\\"', "{", "(A", "a=")
MOST_PLACES = 7
CATEGORIES = {"CATEGORY_DIGIT": "1", "CATEGORY_SPACE": " ", "CATEGORY_WORD": "a", "CATEGORY_NOT_SPACE": "x"}

Run = Callable[[Any], object]
WAYS = {"match", "fullmatch", "search", "finditer", "sub", "split"}


def runs() -> Iterator[tuple[str, "re.Pattern[Any]", Run]]:
    """Every pattern that a module of the workers has, by name, and how it is run there."""
    for package in ("shipper", "collector", "lifecycle/contract"):
        for path in sorted((ROOT / package).rglob("*.py")):
            source = path.read_text()
            if "re.compile(" in source or "late.pattern(" in source:
                module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
                for attribute, some in vars(module).items():
                    for value in patterns_in(some):
                        used = rf"\b{attribute}(?:\.|\) or \w+\.| else \w+\)\.)(\w+)"
                        ways = WAYS.intersection(re.findall(used, source)) or {"search"}
                        for way in sorted(ways):
                            yield f"{module.__name__}.{attribute}.{way}", value, whole_run(value, way)
    for written in sorted({form.source for several in FORMATS.values() for form in several}):
        compiled = re.compile(written)
        yield f"format {written.decode()[:30]}", compiled, compiled.match
    for name, ready_made in READY_MADE.items():
        yield f"ready-made {name}", re.compile(ready_made), redaction(name)


def patterns_in(value: object) -> Iterator["re.Pattern[Any]"]:
    """The patterns that an attribute of a module is, or has in it."""
    if isinstance(value, dict | tuple | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from patterns_in(one)
    elif isinstance(value, type(late.pattern(""))):
        yield re.compile(value.pattern)
    elif isinstance(value, re.Pattern):
        yield value


def whole_run(pattern: "re.Pattern[Any]", way: str) -> Run:
    """A run to the text's end, where one stops at the first find."""
    if way in ("search", "finditer", "sub", "split"):
        return lambda text: sum(1 for _ in pattern.finditer(text))
    run: Run = getattr(pattern, way)
    return run


def redaction(name: str) -> Run:
    """A run of what is ready-made, and of what takes the place of its matches."""
    patterns = Patterns(Log("test"))
    (pattern,) = patterns.redactions("TAILRACE_REDACT", [name])
    return lambda text: patterns.redacted(pattern, text)


def sample(tree: Any) -> str:
    """Something that a parsed pattern takes, each part of it as short as it may be, but there."""
    text = ""
    for kind, value in tree:
        name = str(kind)
        if name == "LITERAL":
            text += chr(value)
        elif name == "NOT_LITERAL":
            text += "~"
        elif name == "ANY":
            text += "x"
        elif name == "IN":
            text += member(value)
        elif name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            text += sample(value[2]) * min(max(1, value[0]), 40)
        elif name == "SUBPATTERN":
            text += sample(value[-1])
        elif name == "BRANCH":
            text += sample(value[1][0])
        elif name == "ATOMIC_GROUP":
            text += sample(value)
        elif name == "ASSERT" and value[0] > 0:
            text += sample(value[1])
    return text


def member(choices: Any) -> str:
    """A character of a set."""
    excluded = set()
    is_negated = False
    for kind, value in choices:
        name = str(kind)
        if name == "NEGATE":
            is_negated = True
        elif name == "LITERAL":
            if not is_negated:
                return chr(value)
            excluded.add(chr(value))
        elif name == "RANGE":
            if not is_negated:
                return chr(value[0])
        elif name == "CATEGORY" and not is_negated:
            return CATEGORIES[str(value)]
    return next(c for c in "x1 " if c not in excluded)


def texts(pattern: "re.Pattern[Any]") -> Iterator[Callable[[int], str]]:
    """Makers of texts of a size that are hard to look through: a beginning of what it takes, then a part, repeated."""
    source = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode()
    whole = sample(_parser.parse(source, pattern.flags & ~re.UNICODE))
    step = max(1, len(whole) // MOST_PLACES)
    ends = sorted({0, *range(1, len(whole), step), max(0, len(whole) - 1), len(whole)})
    parts = [whole[begin:end] for end in ends for begin in {0, max(0, end - 1), max(0, end - 3)}]
    parts += [part + joint for part in parts if len(part) > 1 for joint in "- .\n"]
    for part in dict.fromkeys([*parts, *GENERIC]):
        for end in ends:
            if part:
                yield partial(repeated, whole[:end], part)


def repeated(beginning: str, part: str, size: int) -> str:
    return beginning + part * (size // len(part)) + "\0"


def spent_s(run: Run, text: "str | bytes") -> float:
    started = time.process_time()
    run(text)
    return time.process_time() - started


def grow(pattern: "re.Pattern[Any]", run: Run) -> None:
    """Fails where a text that is ten times as long takes far more than ten times as long."""
    for make in texts(pattern):
        small, large = [
            text.encode() if isinstance(pattern.pattern, bytes) else text for text in (make(SMALL), make(LARGE))
        ]
        took_s = spent_s(run, large)
        if took_s > NOISE_S:
            least_s = min(spent_s(run, small) for _ in range(3))
            took_s = min(took_s, spent_s(run, large))
            assert took_s <= MOST_GROWTH * least_s + NOISE_S, f"{large[:60]!r}…: {least_s:.4f} s, then {took_s:.4f} s"


@pytest.mark.parametrize(("pattern", "run"), [one[1:] for one in runs()], ids=[one[0] for one in runs()])
def test_a_line_that_is_ten_times_as_long_takes_about_ten_times_as_long(pattern: "re.Pattern[Any]", run: Run) -> None:
    """However it is made."""
    grow(pattern, run)


def test_a_quadratic_pattern_is_noticed() -> None:
    """The one for Go's panics, as it was."""
    quadratic = re.compile(r"(?P<type>panic|fatal error): (?P<message>[^\r\n]*)[\r\n]{1,4}(?P<stack>goroutine )")
    with pytest.raises(AssertionError, match="panic"):
        grow(quadratic, whole_run(quadratic, "search"))
