"""POST requests: what the destinations behind HTTP have in common."""

import time
import zlib
from collections.abc import Callable, Iterable, Sequence

from lifecycle.contract.log import Log
from shipper.delivery.interfaces import Request
from shipper.delivery.outcome import Outcome, Verdict
from shipper.errors import ExchangeError
from shipper.transport.address import Address
from shipper.transport.pool import Transport
from shipper.transport.response import Answer, outcome_of

# Level 1 costs 1.3 µs a record of 480 bytes, level 6 twice that, for a tenth less on the wire.
_GZIP_LEVEL = 1

# zlib's way to say: with gzip's header and trailer (RFC 1952).
_GZIP_WBITS = 31

# Records of up to this size are compressed with a window as large as them (2**13) and tables to match, in 64 KB. zlib's
# usual 256 KB are more than the heap keeps: the kernel would hand them out, zeroed, and get them back, each time.
_SMALL_BYTES = 8192
_SMALL_GZIP_WBITS = 16 + 13
_SMALL_MEM_LEVEL = 6

# Records joined at a time: the whole body is never held beside its compressed form.
_RECORDS_AT_ONCE = 64

# They say where a request ends, and how it is encoded: ours alone.
_RESERVED = (
    "connection",
    "content-encoding",
    "content-length",
    "expect",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
)

Headers = Iterable[tuple[str, str]]
Answered = Callable[[], tuple[Outcome, Answer | None]]


class Post:
    """Requests to one address.

    Args:
        address: Where to.
        transport: Takes the bytes there.
        headers: Sent with every request, beside those that describe it.
        content_type: Of the body; a user's header may override it.
        compress: Whether bodies are gzipped.
        timeout_s: Longest time for one request.
        log: Tells of requests and answers.
        clock: Monotonic seconds.
        heard: Takes every answer.
    """

    def __init__(
        self,
        address: Address,
        transport: Transport,
        headers: Headers,
        *,
        content_type: str,
        compress: bool,
        timeout_s: float,
        log: Log,
        clock: Callable[[], float] = time.monotonic,
        heard: Callable[[Answer], object] | None = None,
    ) -> None:
        self.label = address.label
        self._transport = transport
        self._compress = compress
        self._timeout_s = timeout_s
        self._log = log
        self._clock = clock
        self._heard = heard
        fields = {"Host": address.authority, "User-Agent": "tailrace", "Content-Type": content_type}
        if address.authorization:
            fields["Authorization"] = address.authorization
        fields = merged(fields.items(), headers)
        if compress:
            fields["Content-Encoding"] = "gzip"
        lines = [f"POST {address.target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        self._head = "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\nContent-Length: "

    def request(self, head: bytes, records: Sequence[bytes], separator: bytes, tail: bytes) -> Request:
        """Head, records joined by a separator, and tail; compressed if so set."""
        records_bytes = sum(map(len, records))
        return Request(
            body=self._body(head, records, separator, tail, records_bytes),
            body_bytes=len(head) + records_bytes + len(separator) * max(0, len(records) - 1) + len(tail),
        )

    def _body(self, head: bytes, records: Sequence[bytes], separator: bytes, tail: bytes, records_bytes: int) -> bytes:
        if not self._compress:
            return head + separator.join(records) + tail
        if records_bytes <= _SMALL_BYTES:
            gzip = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _SMALL_GZIP_WBITS, _SMALL_MEM_LEVEL)
            return gzip.compress(b"%b%b%b" % (head, separator.join(records), tail)) + gzip.flush()
        gzip = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WBITS)
        pieces = [gzip.compress(head)]
        for start in range(0, len(records), _RECORDS_AT_ONCE):
            if start:
                pieces.append(gzip.compress(separator))
            pieces.append(gzip.compress(separator.join(records[start : start + _RECORDS_AT_ONCE])))
        pieces += (gzip.compress(tail), gzip.flush())
        return b"".join(pieces)

    def send(self, body: bytes) -> tuple[Outcome, Answer | None]:
        """Makes one request."""
        started = self._clock()
        if self._log.is_debug:
            self._log.debug("shipper.request_sent", destination=self.label, wire_bytes=len(body))
        return self._awaited(lambda: self._transport.exchange(self._message(body), self._timeout_s), started)

    def begin(self, body: bytes, within_s: float) -> Answered | None:
        """Sends a request on a connection of its own; None if that takes longer than `within_s`."""
        started = self._clock()
        try:
            answered = self._transport.begin(self._message(body), within_s, self._timeout_s)
        except ExchangeError as exc:
            self._log.debug("shipper.request_not_begun", destination=self.label, reason=exc.reason)
            return None
        self._log.debug("shipper.request_begun", destination=self.label, wire_bytes=len(body))
        return lambda: self._awaited(answered, started)

    def _message(self, body: bytes) -> bytes:
        return b"%b%d\r\n\r\n%b" % (self._head, len(body), body)

    def _awaited(self, answered: Callable[[], Answer], started: float) -> tuple[Outcome, Answer | None]:
        try:
            answer = answered()
        except ExchangeError as exc:
            # No retry makes a certificate valid; what is not delivered is kept.
            verdict = Verdict.HELD if exc.reason == "certificate" else Verdict.RETRY
            return Outcome(verdict=verdict, reason=exc.reason, detail=exc.detail), None
        outcome = outcome_of(answer)
        if self._heard is not None:
            self._heard(answer)
        if self._log.is_debug:
            took_ms = round((self._clock() - started) * 1000, 1)
            self._log.debug("shipper.answer_received", status=answer.status, took_ms=took_ms)
        return outcome, answer

    def close(self) -> None:
        """Hangs up."""
        self._transport.close()


def merged(*groups: Headers) -> dict[str, str]:
    """Header fields of several groups, a later one over an earlier one, names compared without case."""
    fields: dict[str, tuple[str, str]] = {}
    for group in groups:
        for name, value in group:
            if name.lower() not in _RESERVED:
                fields[name.lower()] = (name, value)
    return dict(fields.values())
