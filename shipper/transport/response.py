"""What a server answers: bytes in, an `Answer` out (RFC 9112), and what it means (design, section 5).

Sans-I/O. httptools parses, imported when the first answer is read; here are the bounds and the cases it leaves open.
"""

import re
import time
from collections.abc import Callable

import msgspec

from shipper.delivery.outcome import DONE, Outcome, Verdict
from shipper.errors import ExchangeError
from shipper.parse.times import Times

# Of a body, for what it says of partial success; the rest is read and forgotten.
MOST_BODY = 65_536

# No sensible answer to a batch of telemetry is larger; its connection is not worth keeping.
MOST_ANSWER = 1_048_576

# A day: beyond it, a Retry-After is a mistake.
MOST_RETRY_AFTER_S = 86_400.0

_INFORMATIONAL = range(100, 200)
_SUCCESS = range(200, 300)
_SERVER_ERROR = range(500, 600)
_NOT_IMPLEMENTED = 501

# Of the client errors, those that may be about the records in the request. The others are about its address
# (404, 405, 410, 421, redirects, …): no record is at fault, so none is given up.
_RETRIED = (408, 425, 429)
_ABOUT_RECORDS = (400, 422)
_UNAUTHORISED = (401, 403)
_TOO_LARGE = 413


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A final answer.

    Attributes:
        body: Its first `MOST_BODY` bytes.
        is_reusable: Whether another request may follow on the connection.
    """

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    is_reusable: bool


class AnswerReader:
    """Reads one final answer; informational ones before it are skipped.

    Args:
        head_only: The answer has no body, whatever it says: that to CONNECT (RFC 9112, section 6.3).
    """

    def __init__(self, *, head_only: bool = False) -> None:
        import httptools

        self._head_only = head_only
        # httptools looks up its callbacks once, here; it declares no types.
        self._parser = httptools.HttpResponseParser(self)  # type: ignore[no-untyped-call,unused-ignore]
        self._headers: dict[bytes, bytes] = {}
        self._body = bytearray()
        self._received_bytes = 0
        self._has_head = False
        self._answer: Answer | None = None

    @property
    def has_begun(self) -> bool:
        """Whether any byte of the answer came."""
        return self._received_bytes > 0

    def feed(self, data: bytes) -> Answer | None:
        """Takes bytes; returns the answer once it is complete.

        Raises:
            ExchangeError: They are no HTTP answer.
        """
        import httptools

        self._received_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as exc:
            if self._answer is None:
                raise ExchangeError("broken_answer", type(exc).__name__) from exc
        if self._answer is None and self._received_bytes > MOST_ANSWER:
            if not self._has_head:
                raise ExchangeError("broken_answer", f"head of more than {MOST_ANSWER} bytes")
            self._finish(is_reusable=False)
        return self._answer

    def closed(self) -> Answer:
        """The peer will send no more: the answer, if it was one that ends so.

        Raises:
            ExchangeError: It was not.
        """
        if self._has_head and b"content-length" not in self._headers and b"transfer-encoding" not in self._headers:
            self._finish(is_reusable=False)
        if self._answer is None:
            raise ExchangeError("closed", f"after {self._received_bytes} bytes of an answer")
        return self._answer

    def on_message_begin(self) -> None:
        """httptools: an answer begins."""
        self._headers = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: a header line."""
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """httptools: the head is complete."""
        if self._parser.get_status_code() not in _INFORMATIONAL and self._answer is None:
            self._has_head = True
            if self._head_only:
                self._finish(is_reusable=True)

    def on_body(self, data: bytes) -> None:
        """httptools: a piece of the body."""
        self._body += data[: MOST_BODY - len(self._body)]

    def on_message_complete(self) -> None:
        """httptools: the answer is complete."""
        if self._has_head and self._answer is None:
            self._finish(is_reusable=self._parser.should_keep_alive())

    def _finish(self, *, is_reusable: bool) -> None:
        self._answer = Answer(
            status=self._parser.get_status_code(),
            headers=self._headers,
            body=bytes(self._body),
            is_reusable=is_reusable,
        )


def outcome_of(answer: Answer, now_epoch_s: Callable[[], float] = time.time) -> Outcome:
    """What an answer means for the records that were in the request."""
    status = answer.status
    reason = f"status_{status}"
    if status in _SUCCESS:
        return DONE
    if status in _RETRIED or (status in _SERVER_ERROR and status != _NOT_IMPLEMENTED):
        return Outcome(verdict=Verdict.RETRY, reason=reason, retry_after_s=retry_after_s(answer.headers, now_epoch_s))
    if status == _TOO_LARGE:
        return Outcome(verdict=Verdict.SPLIT, reason=reason)
    if status in _ABOUT_RECORDS:
        return Outcome(verdict=Verdict.REFUSED, reason=reason)
    if status in _UNAUTHORISED:
        return Outcome(verdict=Verdict.HELD, reason="unauthorised", detail=reason)
    return Outcome(verdict=Verdict.HELD, reason=reason)


def retry_after_s(headers: dict[bytes, bytes], now_epoch_s: Callable[[], float] = time.time) -> float:
    """Seconds of a Retry-After header (RFC 9110, section 10.2.3); 0 without a valid one.

    A date counts from the answer's own Date, so the two clocks need not agree.
    """
    text = headers.get(b"retry-after", b"").strip().decode("latin-1")
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MOST_RETRY_AFTER_S)
    until = _epoch_s(text)
    if until is None:
        return 0.0
    now = _epoch_s(headers.get(b"date", b"").strip().decode("latin-1"))
    return min(max(0.0, until - (now_epoch_s() if now is None else now)), MOST_RETRY_AFTER_S)


# IMF-fixdate, the one form of a date that servers may still send (RFC 9110, section 5.6.7).
_DATE = re.compile(r"\w{3}, (\d\d) (\w{3}) (\d{4}) (\d\d:\d\d:\d\d) GMT", re.ASCII)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _epoch_s(date: str) -> float | None:
    found = _DATE.fullmatch(date)
    if found is None or found[2] not in _MONTHS:
        return None
    unix_ns = Times().unix_ns(f"{found[3]}-{_MONTHS.index(found[2]) + 1:02}-{found[1]}T{found[4]}Z")
    return None if unix_ns is None else unix_ns / 1e9
