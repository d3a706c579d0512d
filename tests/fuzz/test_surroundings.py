"""Any environment and any answer of the platform is understood, explained or an error of ours."""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lifecycle.contract.settings import Settings
from tests.fuzz import strategies, surroundings

quick = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])

ROWS = list(Settings.table())

# What a template may leave in a variable, near enough to right that it is looked at.
VALUES = st.one_of(
    st.text(max_size=12),
    st.integers().map(str),
    st.lists(st.sampled_from(["a=b", "a=%41", "=", "a=", "x=%0d%0aE: 1", " k = v ", "ü=ü", "%", ","]), max_size=4).map(
        ",".join
    ),
    st.builds(
        "{}{}{}{}{}".format,
        st.sampled_from(["", "otlp", "otlp+http:", "otlp+https:", "http:", "HTTPS:", "file:", "stdout:", "ftp:"]),
        st.sampled_from(["", "/", "//"]),
        st.sampled_from(["", "u:p@", "u%40:@", "@", "ü@"]),
        st.sampled_from(["", "h", "[::1]", "[x", "a..b", "ü.example", "1.2.3.4", "h" * 80, "\u2024", "-"]),
        st.sampled_from(["", ":1", ":0", ":65536", ":²", ":" + "9" * 5000, "/p?q#f", "?q", "#", "\\@evil/"]),
    ),
    st.sampled_from(["1_000", "٣", "9" * 5000, "-1", " 5 ", "1e3", "none", "GZIP", "platform,,function", "İ"]),
    st.sampled_from(["__import__('os').system('exit 1')", "$(reboot)", "`id`", "${jndi:ldap://x}", "{0.__class__}"]),
)
NAMES = st.sampled_from([row.variable for row in ROWS]) | st.text("ABC_ü", max_size=6).map("TAILRACE_{}".format)


@quick
@given(st.dictionaries(NAMES, VALUES, max_size=6))
def test_any_environment_is_understood_or_explained(environ: dict[str, str]) -> None:
    """Never an exception: a bad value is a problem, and the default is used."""
    surroundings.environment(environ)


@pytest.mark.parametrize("value", [b"\xff", b"a=\xff%41", b"a=%41\xff", b"http://\xff%41@h/", b"https://h/\xff"])
def test_environment_that_is_not_utf8_is_understood_or_explained(value: bytes) -> None:
    """Python then puts lone surrogates into os.environ (PEP 383)."""
    for variable in (*(row.variable for row in ROWS), "TAILRACE_\udcff"):
        surroundings.environment({variable: os.fsdecode(value)})


HEAD_LINES = st.lists(
    st.sampled_from(
        [
            *("Content-Length: 2", "Content-Length: 0", "content-length:5", "Content-Length: -1", "Content-Length: ٣"),
            *("Content-Length: 1_0", "Transfer-Encoding: chunked", "Connection: close", "X-Odd", ": x", "A\nB: c"),
            *("Lambda-Extension-Identifier: 1-2", "Lambda-Extension-Identifier: a\nX: b"),
        ]
    ),
    max_size=4,
)
STATUS_LINES = st.sampled_from(
    ["HTTP/1.1 200 OK", "HTTP/1.0 403 ", "HTTP/1.1 999", "HTTP/2 200", "HTTP/1.1  200", "HTTP/1.1 -1 x", "SSH-2.0-x"]
)
TAILS = st.sampled_from(
    [
        b"",
        b"{}",
        b'{"accountId":"1',
        b"2\r\nab\r\n0\r\n\r\n",
        b"5;x=y\r\nabcde\r\n0\r\nT: v\r\n\r\n",
        b"zz\r\n",
        b"f" * 40,
    ]
)
ANSWERS = strategies.damaged(
    st.builds(
        lambda first, lines, tail: "\r\n".join([first, *lines]).encode("utf-8") + b"\r\n\r\n" + tail,
        STATUS_LINES,
        HEAD_LINES,
        TAILS,
    )
)


@quick
@given(ANSWERS, st.data())
def test_any_answer_is_an_answer_an_error_or_not_enough(sent: bytes, data: st.DataObject) -> None:
    """And which it is does not depend on how it was cut."""
    read = surroundings.answers([sent])
    pieces = [piece for piece in data.draw(strategies.cut(sent)) if piece]
    assert surroundings.answers(pieces)[:1] == read


@pytest.mark.parametrize("sent", [b"HTTP/1.1 \xb200 OK\r\n\r\n", b"HTTP/1.1 " + b"9" * 5000 + b" OK\r\n\r\n"])
def test_status_that_is_no_number_is_an_error(sent: bytes) -> None:
    """Also where Python takes it for digits, or for too many."""
    assert surroundings.answers([sent]) == []
