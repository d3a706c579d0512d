"""Requests as they are written."""

import zlib

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
