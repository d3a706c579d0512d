"""What a server says, fit to be shown to a person: bounded, on one line, no secret and no control character in it.

A server may repeat what it was sent, and in which form is its own affair. So a secret is blanked as it stands, in its
parts, and as JSON, HTML, an address and Basic authentication would write it.
"""

import re
from collections.abc import Iterable, Iterator

import msgspec

from lifecycle.contract import late
from lifecycle.contract.log import SHORTEST_SECRET
from shipper.transport.address import basic

HIDDEN = "(hidden)"

# What a person reads of an answer: a sentence or two of JSON, the head of a page of HTML.
MOST_SHOWN = 300

# What headers and addresses are made of beside their secrets.
_PARTS = late.pattern(r"[\s/?&=:;,@]+")
_WORDS = frozenset({"basic", "bearer", "token", "apikey", "api-key", "http", "https"})


class Quoting:
    """Quotes servers.

    Args:
        secrets: What must not be shown.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        found = {form for secret in secrets for form in _forms(secret) if len(form) >= SHORTEST_SECRET}
        # The longest first: a part must not break the whole it belongs to.
        forms = sorted(found, key=lambda form: (-len(form), form))
        self._secrets = re.compile("|".join(map(re.escape, forms)), re.IGNORECASE) if forms else None

    def blanked(self, text: str) -> str:
        """The text without what is secret."""
        return self._secrets.sub(HIDDEN, text) if self._secrets else text

    def quoted(self, content: bytes, encoding: bytes = b"") -> str:
        """What a body, or a header's value, says; "" if nothing.

        Args:
            content: As received.
            encoding: Its Content-Encoding: what is compressed, without having been asked for, is not read.
        """
        if encoding not in (b"", b"identity"):
            return f"{len(content)} bytes of {self._line(encoding)}"
        line = self._line(content)
        return line if len(line) <= MOST_SHOWN else f"{line[:MOST_SHOWN]}… ({len(content)} bytes)"

    def _line(self, content: bytes) -> str:
        # Blanked before it is cut and escaped: half a secret, or one with other characters in it, would be missed.
        text = " ".join(self.blanked(content.decode("utf-8", "replace")).split())
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _forms(secret: str) -> Iterator[str]:
    """A secret as it may come back."""
    for text in dict.fromkeys((secret, *_PARTS.split(secret))):
        if text.lower() in _WORDS:
            continue
        yield from (text, _as_html(text), _as_address(text))
        yield msgspec.json.encode(text.encode("utf-8", "replace").decode()).decode()[1:-1]
    yield basic(secret).removeprefix("Basic ")


# `html` and `urllib.parse` are not loaded for so little.
_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~")


def _as_html(text: str) -> str:
    return text.translate(_HTML)


def _as_address(text: str) -> str:
    """Percent-encoded (RFC 3986, section 2)."""
    return "".join(
        chr(byte) if chr(byte) in _UNRESERVED else f"%{byte:02X}" for byte in text.encode("utf-8", "surrogateescape")
    )
