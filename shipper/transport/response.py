"""What a server answers: bytes in, a `Response` out (RFC 9112).

Sans-I/O. httptools parses, imported when the first answer is read; here are the bounds and the cases it leaves open.
"""

import time
import zlib
from collections.abc import Callable

import msgspec

from lifecycle.contract import late
from lifecycle.contract.quick import suppress
from shipper.errors import ExchangeError

# Of a body, unless a destination needs more of it; the rest is read and forgotten.
MOST_BODY = 65_536

# Of what comes before the body: informational answers, status line and headers.
MOST_HEAD = 65_536

# No sensible answer to a batch of telemetry is larger; its connection is not worth keeping.
MOST_RESPONSE = 1_048_576

# A day: beyond it, a Retry-After is a mistake.
MOST_RETRY_AFTER_S = 86_400.0

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_INFORMATIONAL = range(100, 200)

_GZIP = (b"gzip", b"x-gzip", b"deflate")
# zlib's way to say: with gzip's header or its own (zlib.decompressobj).
_ANY_WBITS = 32 + 15


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """A final answer.

    Attributes:
        headers: Names in lower case.
        body: Its beginning, decompressed if it came compressed.
        is_reusable: Whether another request may follow on the connection.
        is_early: It came before the request was written.
    """

    status: int
    headers: dict[bytes, bytes] = {}
    body: bytes = b""
    is_reusable: bool = False
    is_early: bool = False


class ResponseReader:
    """Reads one final answer; informational ones before it are skipped.

    Args:
        head_only: The answer has no body, whatever it says: that to CONNECT (RFC 9112, section 6.3).
        most_body: Bytes of the body that are kept.
    """

    def __init__(self, *, head_only: bool = False, most_body: int = MOST_BODY) -> None:
        import httptools

        self._head_only = head_only
        self._most_body = most_body
        # It looks up its callbacks here, once, and so the two hold each other until `release`. It declares no types.
        self._parser: Any = httptools.HttpResponseParser(self)  # type: ignore[no-untyped-call,unused-ignore]
        self._headers: dict[bytes, bytes] = {}
        self._body = bytearray()
        self._received_bytes = 0
        self._has_head = False
        self._response: Response | None = None

    @property
    def has_begun(self) -> bool:
        """Whether any byte of the answer came."""
        return self._received_bytes > 0

    def feed(self, data: bytes) -> Response | None:
        """Takes bytes; returns the answer once it is complete.

        Raises:
            ExchangeError: They are no HTTP answer.
        """
        import httptools

        self._received_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as exc:
            raise ExchangeError("broken_answer", "another protocol, which nobody asked for") from exc
        except httptools.HttpParserError as exc:
            if self._response is None:
                raise ExchangeError("broken_answer", type(exc).__name__) from exc
        if self._response is None and not self._has_head and self._received_bytes > MOST_HEAD:
            raise ExchangeError("broken_answer", f"head of more than {MOST_HEAD} bytes")
        if self._response is None and self._received_bytes > MOST_RESPONSE:
            self._finish(is_reusable=False)
        return self._response

    def release(self) -> None:
        """Nothing more is read: lets the parser go, which would wait for the garbage collector, as would a head."""
        self._parser = None

    def closed(self) -> Response:
        """The server will send no more: the answer, if it was one that ends so.

        Raises:
            ExchangeError: It was not.
        """
        if self._has_head and b"content-length" not in self._headers and b"transfer-encoding" not in self._headers:
            self._finish(is_reusable=False)
        if self._response is None:
            raise ExchangeError("closed", f"after {self._received_bytes} bytes of an answer")
        return self._response

    def on_message_begin(self) -> None:
        """httptools: an answer begins."""
        if self._response is None:
            self._headers = {}
        else:  # one that nobody asked for: whose the next would be is not known
            self._response = msgspec.structs.replace(self._response, is_reusable=False)

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: a header line, or one of a trailer, which says nothing that is needed."""
        if not self._has_head:
            self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """httptools: the head is complete."""
        if self._parser.get_status_code() not in _INFORMATIONAL and self._response is None:
            self._has_head = True
            if self._head_only:
                self._finish(is_reusable=True)

    def on_body(self, data: bytes) -> None:
        """httptools: a piece of the body."""
        self._body += data[: self._most_body - len(self._body)]

    def on_message_complete(self) -> None:
        """httptools: the answer is complete."""
        if self._has_head and self._response is None:
            self._finish(is_reusable=self._parser.should_keep_alive())

    def _finish(self, *, is_reusable: bool) -> None:
        self._response = Response(
            status=self._parser.get_status_code(),
            headers=self._headers,
            body=self._decompressed() if b"content-encoding" in self._headers else bytes(self._body),
            is_reusable=is_reusable,
        )

    def _decompressed(self) -> bytes:
        """The body; some servers compress it without having been asked to. Then the header that says so goes, too."""
        body = bytes(self._body)
        if body and self._headers[b"content-encoding"].strip().lower() in _GZIP:
            with suppress(zlib.error):
                body = zlib.decompressobj(_ANY_WBITS).decompress(body, self._most_body)
                del self._headers[b"content-encoding"]
        return body


def retry_after_s(headers: dict[bytes, bytes], now_epoch_s: Callable[[], float] = time.time) -> float:
    """Seconds of a Retry-After header (RFC 9110, section 10.2.3); 0 without a valid one.

    A date counts from the answer's own Date, so the two clocks need not agree.
    """
    text = headers.get(b"retry-after", b"").strip().decode("latin-1")
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MOST_RETRY_AFTER_S)
    until = epoch_s_of(text)
    if until is None:
        return 0.0
    now = epoch_s_of(headers.get(b"date", b"").strip().decode("latin-1"))
    return min(max(0.0, until - (now_epoch_s() if now is None else now)), MOST_RETRY_AFTER_S)


# IMF-fixdate, the one form of a date that servers may still send (RFC 9110, section 5.6.7).
_DATE = late.pattern(r"(?a)\w{3}, (\d\d) (\w{3}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def epoch_s_of(date: str) -> float | None:
    """Seconds since the epoch of a date as headers have it; None if it is none."""
    found = _DATE.fullmatch(date)
    if found is None or found[2] not in _MONTHS:
        return None
    import datetime as dt

    day, month, year = int(found[1]), _MONTHS.index(found[2]) + 1, int(found[3])
    try:
        moment = dt.datetime(year, month, day, int(found[4]), int(found[5]), int(found[6]), tzinfo=dt.timezone.utc)
    except ValueError:
        return None
    return moment.timestamp()
