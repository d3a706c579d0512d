"""Requests as they are written."""

import zlib
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.transport.request import LEVEL, QUICK_LEVEL, Levels, ended, gzipped, head_of, joined, merged


@given(st.lists(st.binary(max_size=300), max_size=200), st.binary(max_size=20))
def test_a_compressed_body_is_the_body(items: list[bytes], separator: bytes) -> None:
    """Whatever the number of items and their size."""
    body = b"[" + separator.join(items) + b"]"
    assert zlib.decompress(gzipped(b"[", items, separator, b"]"), 31) == body
    assert joined(b"[", items, separator, b"]") == body


def records(repeats_from_long_before: bool) -> list[bytes]:  # noqa: FBT001 - what there are two kinds of
    """Two thousand, of words that return after dozens of them among numbers that do not, or of numbers alone."""
    words = [f"{number * 2654435761 % 2**32:08x}" for number in range(512)]
    shared = bytes(range(48, 123)) * 2
    said = [
        " ".join(words[(n * 31 + at * 7) % 512] for at in range(16 if repeats_from_long_before else 0))
        for n in range(2000)
    ]
    return [b"line %d " % n + text.encode() + shared + b"-%d" % n for n, text in enumerate(said)]


def test_what_repeats_far_apart_is_found() -> None:
    """The quickest level takes 30 bytes a line."""
    items = records(repeats_from_long_before=True)
    assert len(gzipped(b"", items, b"", b"", Levels().of(items, sum(map(len, items))))) < 16 * len(items)


def test_what_leaves_as_little_in_less_time_does() -> None:
    """Where nothing is saved by looking longer, nobody does; of a small body it is not asked."""
    items = records(repeats_from_long_before=False)
    level = Levels().of(items, size := sum(map(len, items)))
    assert level < LEVEL
    assert len(gzipped(b"", items, b"", b"", level)) <= 1.02 * len(gzipped(b"", items, b"", b"", LEVEL))
    assert Levels().of(items[:200], size // 10) == LEVEL


def test_levels_are_compared_again() -> None:
    """What a function prints is not always the same."""
    plain, telling = records(repeats_from_long_before=False), records(repeats_from_long_before=True)
    levels = Levels()
    found = [levels.of(items, sum(map(len, items))) for items in [plain] * 40 + [telling] * 40 + [plain] * 40]
    changes = [at for at in range(1, len(found)) if found[at] != found[at - 1]]
    assert (found[0] < LEVEL, found[-1] < LEVEL, len(changes)) == (True, True, 2)


def test_spans_are_compressed_the_quick_way() -> None:
    """Their ids differ in each, and are most of what is left."""
    items = [b"GET /orders/{id} of %d " % n + blake2b(b"%d" % n, digest_size=8).digest() for n in range(2000)]
    made = {level: gzipped(b"", items, b"", b"", level) for level in (LEVEL, QUICK_LEVEL)}
    assert made[QUICK_LEVEL] != made[LEVEL]
    assert zlib.decompress(made[QUICK_LEVEL], 31) == b"".join(items)


@pytest.mark.parametrize(
    ("body", "end"),
    [(b"ok", b"A: b\r\nContent-Length: 2\r\n\r\n"), (b"", b"Content-Length: 0\r\n\r\n"), (None, b"A: b\r\n\r\n")],
)
def test_a_request_says_how_long_its_body_is(body: bytes | None, end: bytes) -> None:
    """One without a body says nothing of it."""
    request = ended(head_of("PUT", "/x?y", [("A", "b")]), None if body is None else len(body))
    assert request.startswith(b"PUT /x?y HTTP/1.1\r\nA: b\r\n")
    assert request.endswith(end)


def test_no_setting_changes_where_a_request_ends() -> None:
    assert merged([("Content-Length", "5"), ("transfer-encoding", "chunked"), ("X", "y")]) == {"X": "y"}
