"""What a server says is shown bounded, on one line, and without what it must not repeat."""

import html
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.transport.quoting import HIDDEN, MOST_SHOWN, Quoting, _as_address, _as_html


def test_text_is_shown_as_it_is_on_one_line() -> None:
    """JSON, and a page."""
    assert Quoting([]).quoted(b'{"message":"no such key"}\n') == '{"message":"no such key"}'
    assert Quoting([]).quoted(b"<h1>\r\n\tNot  here</h1>") == "<h1> Not here</h1>"
    assert Quoting(["hunter22"]).quoted(b"") == ""


def test_long_text_is_cut_and_says_so() -> None:
    """No page of HTML fills a screen."""
    assert Quoting([]).quoted(b"x" * MOST_SHOWN) == "x" * MOST_SHOWN
    assert Quoting([]).quoted(b"x" * 1000) == "x" * MOST_SHOWN + "… (1000 bytes)"


def test_control_characters_are_escaped() -> None:
    """A terminal obeys some, and others turn the text round."""
    assert Quoting([]).quoted("a\x1b[31mb\x00\x07\u202ec\x9b".encode()) == "a\\x1b[31mb\\x00\\x07\\u202ec\\x9b"
    assert Quoting([]).quoted(b"\xff\xfe") == "��"


def test_compressed_body_is_named_and_not_read() -> None:
    """It was not asked for."""
    assert Quoting([]).quoted(b"\x1f\x8b\x08", b"gzip") == "3 bytes of gzip"
    assert Quoting([]).quoted(b"text", b"identity") == "text"


@pytest.mark.parametrize(
    ("secret", "repeated"),
    [
        ("hunter22", "hunter22"),
        ("hunter22", "HUNTER22"),
        ("Bearer hunter22", "hunter22"),
        ("me:hunter22", "bWU6aHVudGVyMjI="),
        ("key=hunter22&team=a", "hunter22"),
        ("services/T01/hunter22", "hunter22"),
        ('hun"ter<22', 'hun\\"ter<22'),
        ('hun"ter<22', "hun&quot;ter&lt;22"),
        ("hun+ter 22!", "hun%2Bter%2022%21"),
        ("hunter\u00fc22", "hunter%C3%BC22"),
    ],
)
def test_secret_is_blanked_in_every_form(secret: str, repeated: str) -> None:
    """Whole or in part, however the server writes it."""
    shown = Quoting([secret]).quoted(f"got {repeated}, expected better".encode())
    assert shown == f"got {HIDDEN}, expected better"


def test_words_that_are_no_secret_stay() -> None:
    """Schemes, and what is too short to tell from other text."""
    quoting = Quoting(["Bearer hunter22", "eu1"])
    assert quoting.blanked("a Bearer token of eu1") == "a Bearer token of eu1"


@given(st.text('a/ &"=\u00fc\x1b', max_size=12), st.text("ab \n\x1b", max_size=400), st.text("ab ", max_size=40))
def test_no_secret_is_ever_shown(odd: str, before: str, after: str) -> None:
    """Wherever it stands: also across the place where the text is cut."""
    secret = f"S3CR{odd}ET22"
    shown = Quoting([secret]).quoted(f"{before}{secret}{after}".encode())
    assert "S3CR" not in shown
    assert "ET22" not in shown


@given(st.text())
def test_secret_is_looked_for_as_the_standard_library_writes_it(text: str) -> None:
    """Which is not loaded for it."""
    assert _as_html(text) == html.escape(text)
    assert _as_address(text.encode("utf-8", "replace").decode()) == quote(text.encode("utf-8", "replace"), safe="")
