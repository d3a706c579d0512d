"""What a response says of when to come again."""

import datetime as dt

import pytest

from shipper.transport.response import retry_after_s


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
