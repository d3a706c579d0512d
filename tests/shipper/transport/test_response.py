"""Answers, byte by byte, and what they say of when to come again."""

import datetime as dt
import gc
import gzip
import weakref
import zlib

import pytest

from shipper.errors import ExchangeError
from shipper.transport.response import MOST_BODY, Response, ResponseReader, retry_after_s


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({b"retry-after": b"7"}, 7),
        ({b"retry-after": b" 7 "}, 7),
        ({b"retry-after": b"-7"}, 0),
        ({b"retry-after": b"1.5"}, 0),
        ({b"retry-after": b"soon \xff"}, 0),
        ({b"retry-after": b"9" * 400}, 86_400),
        ({b"retry-after": b"Fri, 31 Dec 1999 23:59:59 GMT"}, 59),
        ({b"retry-after": b"Fri, 31 Dec 1999 23:59:59 GMT", b"date": b"Fri, 31 Dec 1999 23:59:49 GMT"}, 10),
        ({b"retry-after": b"Fri, 31 Dec 1993 23:59:59 GMT"}, 0),
        ({b"retry-after": b"Fri, 31 Dec 2199 23:59:59 GMT"}, 86_400),
        ({b"retry-after": b"Fri, 31 Foo 1999 23:59:59 GMT"}, 0),
        ({b"retry-after": b"Fri, 99 Dec 1999 23:59:59 GMT"}, 0),
    ],
)
def test_retry_after_is_read_in_seconds_and_as_a_date(headers: dict[bytes, bytes], seconds: float) -> None:
    """By the answer's own Date, else by our clock, which says 23:59:00 here."""
    now = dt.datetime(1999, 12, 31, 23, 59, tzinfo=dt.timezone.utc).timestamp()
    assert retry_after_s(headers, lambda: now) == seconds


def read(*pieces: bytes) -> Response:
    reader = ResponseReader()
    for piece in pieces:
        response = reader.feed(piece)
    assert response is not None
    return response


def test_a_compressed_body_is_decompressed_as_far_as_it_goes() -> None:
    """Nobody asked for it, and some servers do it all the same; what it inflates to is bounded, too."""
    body = gzip.compress(b"x" * 10_000_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n"
    response = read(head % (b"GZIP", len(body)), body)
    assert (response.body, b"content-encoding" in response.headers) == (b"x" * MOST_BODY, False)
    assert read(head % (b"deflate", 11), zlib.compress(b"abc")).body == b"abc"


def test_a_body_that_is_not_what_it_is_said_to_be_is_left_as_it_is() -> None:
    """The header says so."""
    response = read(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc")
    assert (response.body, response.headers[b"content-encoding"]) == (b"abc", b"gzip")


def test_an_answer_that_another_follows_ends_the_connection() -> None:
    """Whose the next one would be is not known."""
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nA: b\r\n\r\nok"
    assert read(ok).is_reusable
    response = read(ok + b"HTTP/1.1 500 x\r\nA: c\r\n")
    assert (response.status, response.headers[b"a"], response.is_reusable) == (200, b"b", False)


def test_a_trailer_is_not_kept() -> None:
    """It may be as long as it likes."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
    response = read(head, b"A: b\r\n" * 10_000, b"\r\n")
    assert (response.body, response.headers) == (b"ok", {b"transfer-encoding": b"chunked"})


def test_what_was_read_of_an_answer_goes_with_its_reader() -> None:
    """Not when the garbage collector next comes by: 180 endless heads were 123 MB."""
    gc.collect()
    gc.disable()
    try:
        reader = ResponseReader()
        reader.feed(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 60_000)
        with pytest.raises(ExchangeError):
            reader.feed(b"x" * 60_000)
        reader.release()
        gone = weakref.ref(reader)
        del reader
        assert gone() is None
    finally:
        gc.enable()
