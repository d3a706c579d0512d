"""Timestamps, as telemetry and libraries write them."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.parse.times import unix_ns
from tests.shipper.support import TIME, TIME_NS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TIME, TIME_NS),
        ("1970-01-01T00:00:00Z", 0),
        ("2024-05-20T16:29:45.008123456Z", TIME_NS + 123456),
        ("2024-05-20T16:29:45.0081234567899Z", TIME_NS + 123456),
        ("2024-05-20T18:29:45.008+02:00", TIME_NS),
        ("2024-05-20T14:59:45.008-01:30", TIME_NS),
        ("2024-05-20t16:29:45.008z", TIME_NS),
        ("2024-05-20T16:29:45.٠٠٨Z", None),
        ("2024-05-20T16:29:45.+08Z", None),
        ("2024-05-20T16:29:45,008Z", TIME_NS),
        ("2024-05-20T16:29:45+00:0Z", None),
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
def test_a_timestamp_is_read_to_the_nanosecond(text: str, expected: int | None) -> None:
    assert [unix_ns(text), unix_ns(text)] == [expected, expected]


@given(st.datetimes(dt.datetime(1970, 1, 2), dt.datetime(2200, 1, 1)))  # noqa: DTZ001 - made UTC below
def test_every_moment_is_read_as_python_reads_it(moment: dt.datetime) -> None:
    """Down to the microsecond."""
    moment = moment.replace(tzinfo=dt.timezone.utc)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S") + f".{moment.microsecond:06}Z"
    expected = int(moment.replace(microsecond=0).timestamp()) * 10**9 + moment.microsecond * 1000
    assert unix_ns(text) == expected


@given(st.datetimes(dt.datetime(1970, 1, 2), dt.datetime(2200, 1, 1)))  # noqa: DTZ001 - made UTC below
def test_milliseconds_are_read_the_same_in_few_steps(moment: dt.datetime) -> None:
    """As they usually come, and as any other fraction."""
    text = moment.strftime("%Y-%m-%dT%H:%M:%S") + f".{moment.microsecond // 1000:03}"
    assert unix_ns(text + "Z") == unix_ns(text + "000Z") is not None


@given(st.text())
def test_no_text_makes_times_raise(text: str) -> None:
    unix_ns(text)
