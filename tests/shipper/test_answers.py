"""What answers mean, and what times say."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.delivery.outcome import Verdict
from shipper.model.context import NOTHING, Context, packed, unpacked
from shipper.parse.times import Times
from shipper.transport.response import Answer, outcome_of, retry_after_s
from tests.shipper.support import TIME, TIME_NS


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        ((200, 201, 202, 204), Verdict.DONE),
        ((408, 425, 429, 500, 502, 503, 504, 599), Verdict.RETRY),
        ((413,), Verdict.SPLIT),
        ((400, 422), Verdict.REFUSED),
        ((401, 403, 404, 405, 501, 301, 302, 304, 307, 308, 600), Verdict.HELD),
    ],
)
def test_every_status_means_something(statuses: tuple[int, ...], verdict: Verdict) -> None:
    for status in statuses:
        answer = Answer(status=status, headers={}, body=b"", is_reusable=True)
        assert outcome_of(answer).verdict is verdict


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


@pytest.mark.parametrize(
    ("text", "unix_ns"),
    [
        (TIME, TIME_NS),
        ("1970-01-01T00:00:00Z", 0),
        ("2024-05-20T16:29:45.008123456Z", TIME_NS + 123456),
        ("2024-05-20T16:29:45.0081234567899Z", TIME_NS + 123456),
        ("2024-05-20T18:29:45.008+02:00", TIME_NS),
        ("2024-05-20T14:59:45.008-01:30", TIME_NS),
        ("2024-05-20t16:29:45.008z", TIME_NS),
        ("", None),
        ("yesterday", None),
        ("2024-05-20", None),
        ("2024-05-20T16:29:45", None),
        ("2024-13-20T16:29:45Z", None),
        ("2024-05-20T16:29:60Z", None),
        ("1969-12-31T23:59:59Z", None),
        ("9999-12-31T23:59:59Z", None),
    ],
)
def test_a_timestamp_is_read_to_the_nanosecond(text: str, unix_ns: int | None) -> None:
    times = Times()
    assert [times.unix_ns(text), times.unix_ns(text)] == [unix_ns, unix_ns]


@given(st.datetimes(dt.datetime(1970, 1, 2), dt.datetime(2200, 1, 1)))  # noqa: DTZ001 - made UTC below
def test_every_moment_is_read_as_python_reads_it(moment: dt.datetime) -> None:
    """Down to the microsecond."""
    moment = moment.replace(tzinfo=dt.timezone.utc)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S") + f".{moment.microsecond:06}Z"
    expected = int(moment.replace(microsecond=0).timestamp()) * 10**9 + moment.microsecond * 1000
    assert Times().unix_ns(text) == expected


@given(st.text())
def test_no_text_makes_times_raise(text: str) -> None:
    Times().unix_ns(text)


@given(st.text(max_size=128))
def test_a_context_survives_its_journey_and_is_small(request_id: str) -> None:
    context = Context(request_id=request_id)
    assert unpacked(packed(context)) == context
    assert len(packed(context)) < 1024


@given(st.binary())
def test_a_context_of_another_build_is_nothing_or_something(data: bytes) -> None:
    assert isinstance(unpacked(data), Context)


def test_no_context_takes_no_bytes() -> None:
    assert packed(NOTHING) == b""
