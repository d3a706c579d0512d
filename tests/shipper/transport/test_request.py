"""Requests as they are written."""

import zlib
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.transport.request import ended, gzipped, head_of, joined, merged


@given(st.lists(st.binary(max_size=300), max_size=200), st.binary(max_size=20))
def test_a_compressed_body_is_the_body(items: list[bytes], separator: bytes) -> None:
    """Whatever the number of items and their size."""
    body = b"[" + separator.join(items) + b"]"
    assert zlib.decompress(gzipped(b"[", items, separator, b"]"), 31) == body
    assert joined(b"[", items, separator, b"]") == body


def test_what_repeats_far_apart_is_found() -> None:
    """Words that return after dozens of lines, among numbers that do not: gzip's quickest takes 30 bytes a line."""
    words = [f"{number * 2654435761 % 2**32:08x}" for number in range(512)]
    shared = bytes(range(48, 123)) * 2
    items = [
        b"line %d " % n + " ".join(words[(n * 31 + at * 7) % 512] for at in range(16)).encode() + shared + b"-%d" % n
        for n in range(2000)
    ]
    assert len(gzipped(b"", items, b"", b"")) < 16 * len(items)


def test_spans_are_compressed_the_quick_way() -> None:
    """Their ids differ in each, and are most of what is left."""
    items = [b"GET /orders/{id} of %d " % n + blake2b(b"%d" % n, digest_size=8).digest() for n in range(2000)]
    made = {quick: gzipped(b"", items, b"", b"", is_quick=quick) for quick in (False, True)}
    assert made[True] != made[False]
    assert zlib.decompress(made[True], 31) == b"".join(items)


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
