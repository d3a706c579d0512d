"""The intake: takes what the function's own OpenTelemetry SDK exports, over OTLP/HTTP on loopback.

Loaded where it is on, and nowhere else. A request is answered as soon as it is in the backlog. An SDK waits for its
answer on time that the function is billed for, and what it does not get taken it drops, or tries again on more of it:
so nothing here makes it wait, no answer asks it to come again, and what there is no room for is answered as taken in
part and counted.

Source: OTLP specification 1.9, "OTLP/HTTP".
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import msgspec

from collector.connection import Connection
from collector.handler import CONTINUE, MOST_LINES, MOST_REFUSED
from collector.http_parser import HttpParser
from collector.limits import Connections
from collector.messages import Batch, Body, CollectorError, Continue, Problem
from collector.store import digest_of
from lifecycle.contract.backlog import Writer
from lifecycle.contract.frames import (
    BacklogFullError,
    BrokenFrameError,
    FrameTooLargeError,
    OtlpForm,
)
from lifecycle.contract.heap import LARGE_BYTES, give_back_large_blocks
from lifecycle.contract.log import Log
from lifecycle.contract.otlp_wire import LENGTH, WireError, count
from lifecycle.contract.schemes import EVERY_SIGNAL, JSON, LOGS, METRICS, PROTOBUF, TRACES
from lifecycle.contract.wire import RECENT_BATCHES, Message, Overflowed, Refused, Repeated, Settled, Stored

# A function has an exporter for each signal, and perhaps some processes.
MOST_CONNECTIONS = MOST_ASIDE = 32

# What a request may come to, as a multiple of what it may be as received.
INFLATED = 4

# For zlib: the gzip format, with the largest window.
GZIP = 31

SIGNALS = {f"/v1/{signal}".encode(): signal for signal in EVERY_SIGNAL}

ENCODINGS = {b"application/x-protobuf": PROTOBUF, b"application/json": JSON}
CONTENT_TYPES = {encoding: content_type.decode() for content_type, encoding in ENCODINGS.items()}

# By signal, what JSON calls the items that were not taken.
_REJECTED = {LOGS: "rejectedLogRecords", TRACES: "rejectedSpans", METRICS: "rejectedDataPoints"}

FULL = "the backlog of the Tailrace layer is full"

OK = 200
HEAD_END = b"\r\n\r\n"

_PHRASES = {
    OK: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    431: "Request Header Fields Too Large",
}

# Codes of google.rpc.Status, whose text is what most SDKs show: INVALID_ARGUMENT, and NOT_FOUND for a path.
_INVALID, _NOT_FOUND = 3, 5

# A varint has seven bits of a number in each byte, and says in the eighth that more follow.
_SEVEN_BITS = 0x7F


class Export(Batch, frozen=True, kw_only=True):
    """A complete request.

    Attributes:
        path: Its target without a query.
        content_type: As the header has it, without parameters, in lower case.
        content_encoding: As the header has it, in lower case; empty: none.
    """

    path: bytes
    content_type: bytes
    content_encoding: bytes


class OtlpParser(HttpParser):
    """Reads one connection of an exporter.

    Args:
        body_limit_bytes: Largest body that is taken, as received.

    Attributes:
        number: How many requests have begun.
    """

    def __init__(self, body_limit_bytes: int) -> None:
        self.number = 0
        super().__init__(body_limit_bytes)

    def _begin(self, *, within: bool) -> None:
        super()._begin(within=within)
        if within or not self.number:
            self._target = self._content_type = self._content_encoding = b""
        self.number += within

    @property
    def encoding(self) -> str:
        """In which answers to the request are written."""
        return ENCODINGS.get(self._content_type, PROTOBUF)

    def on_url(self, url: bytes) -> None:
        """httptools: a piece of the target."""
        super().on_url(url)
        if not self.is_over:
            self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: a header, or a trailer after a chunked body."""
        match name.lower():
            case b"content-type":
                self._content_type = value.partition(b";")[0].strip().lower()
            case b"content-encoding":
                self._content_encoding = value.strip().lower()
        super().on_header(name, value)

    def _request(self, body: Body, *, keep_alive: bool) -> Export:
        path = self._target.partition(b"?")[0]
        return Export(
            body, keep_alive, path=path, content_type=self._content_type, content_encoding=self._content_encoding
        )


class BadExportError(CollectorError):
    """A request is not taken.

    Attributes:
        reason: Short name, as `wire.Refused` has it.
        status: What it is answered with.
        got: What came.
        expected: What would have been right.
    """

    def __init__(self, reason: str, status: int, got: str, expected: str) -> None:
        super().__init__(f"{reason}: got {got}, expected {expected}")
        self.reason = reason
        self.status = status
        self.got = got
        self.expected = expected


class Intake:
    """Answers exporters, and keeps what they bring.

    Args:
        writer: The collector's end of the backlog.
        report: Puts a message into the supervisor's pipe.
        recent: Digests of the requests kept last, oldest first.
        digest_key: Key of the digests, the same for every process of an environment.
        limit_bytes: Largest request that is taken, as received.
        room_bytes: How much of backlog and spool may be the function's own telemetry.
        log: Where to follow a request. Takes a warning for each problem, up to `MOST_LINES` of a reason, later ones at
            debug.

    Attributes:
        digest_key: As given, until the environment is restored from a snapshot.
        connections: Who has come.
        has_waiting: Nobody waits here for room.
        due_s: Likewise.
    """

    has_waiting = False
    due_s = float("inf")

    def __init__(
        self,
        writer: Writer,
        report: Callable[[Message], None],
        recent: Iterable[bytes],
        digest_key: bytes,
        *,
        limit_bytes: int,
        room_bytes: int,
        log: Log,
    ) -> None:
        self._writer = writer
        self._report = report
        self._recent = dict.fromkeys(recent)
        self.digest_key = digest_key
        self._limit_bytes = limit_bytes
        self._room_bytes = room_bytes
        self._log = log
        self.connections = Connections(limit_bytes, MOST_CONNECTIONS, MOST_ASIDE)
        self._said: dict[str, int] = {}
        # The frames with requests that wait in the backlog: where each ends, and its size.
        self._kept: deque[tuple[int, int]] = deque()
        self._kept_bytes = 0
        for end, size in _kept_by_predecessor(writer):
            self._note_kept(end, size)
        # Requests that were under way when the last invocation ended, as their parser and its number; those of them
        # that were not when the one before ended; and where the last of these that was stored ends.
        self._under_way: dict[OtlpParser, int] = {}
        self._awaited: dict[OtlpParser, int] = {}
        self._through = 0

    def parser(self) -> OtlpParser:
        """For a new connection."""
        return OtlpParser(self._limit_bytes)

    def release(self, through: int) -> None:
        """Everything before `through` is delivered."""
        while self._kept and self._kept[0][0] <= through:
            self._kept_bytes -= self._kept.popleft()[1]

    def advance(self, now_s: float) -> list[Connection]:
        """Nobody waits here."""
        del now_s
        return []

    # What a hold waits for.

    def begun(self) -> int:
        """How many requests are under way at this moment, at which an invocation has ended; their end is reported.

        One that has outlasted an end is waited for no more: a freeze may have cut it off for good.
        """
        self._through = 0
        everybody = (*self.connections.by_fd.values(), *self.connections.aside.values())
        parsers = [one.parser for one in everybody if isinstance(one.parser, OtlpParser) and one.parser.is_within]
        before, self._under_way = self._under_way, {parser: parser.number for parser in parsers}
        self._awaited = {parser: number for parser, number in self._under_way.items() if before.get(parser) != number}
        return len(self._awaited)

    def settle(self) -> None:
        """Reports when the last of those is over, whatever became of it."""
        if not self._awaited:
            return
        for parser, number in list(self._awaited.items()):
            if parser.is_over or not parser.is_within or parser.number != number:
                del self._awaited[parser]
        if not self._awaited:
            self._report(Settled(through=self._through))

    # What is answered.

    def handle(self, connection: Connection, now_s: float) -> None:
        """Handles what came by a connection."""
        del now_s
        while connection.items and not connection.is_ending:
            match connection.items.popleft():
                case Export() as export:
                    self._take(connection, export)
                case Continue():
                    connection.unsent += CONTINUE
                case Problem() as problem:
                    encoding = connection.parser.encoding if isinstance(connection.parser, OtlpParser) else PROTOBUF
                    self._refuse(connection, problem, encoding)
                case _:
                    pass

    def _take(self, connection: Connection, export: Export) -> None:
        encoding = ENCODINGS.get(export.content_type, PROTOBUF)
        try:
            said = self._keep(connection, export)
        except BadExportError as bad:
            size = len(export.body)
            self._refuse(
                connection, Problem(bad.reason, bad.status, bad.got, bad.expected, size, export.keep_alive), encoding
            )
            return
        connection.has_kept, connection.refused = True, 0
        connection.unsent += _answer(OK, said, encoding, keep_alive=export.keep_alive)
        connection.is_ending = not export.keep_alive

    def _keep(self, connection: Connection, export: Export) -> bytes:
        """Puts a request into the backlog, and says what is answered.

        Raises:
            BadExportError: It is not one that is taken.
        """
        since_ns = time.perf_counter_ns()
        log = connection.named_in(self._log)
        form = _form(export)
        body = self._inflated(export) if form.is_gzip else export.body
        if len(body) >= LARGE_BYTES:
            give_back_large_blocks()
        try:
            items = count(form.signal, body, is_json=form.encoding == JSON)
        except WireError as exc:
            raise BadExportError("malformed", 400, str(exc), f"{form.signal} as {form.encoding}") from exc
        done = b"{}" if form.encoding == JSON else b""
        if not items:
            return done
        named = digest_of(body, self.digest_key, export.path)
        if named in self._recent:
            self._report(Repeated(events=items, digest=named))
            self._follow("collector.export_repeated", log, export, items, since_ns)
            return done
        try:
            self._append(export, form, items, named)
        except BacklogFullError as exc:
            self._drop(log, export, form, items, exc)
            return _partial(form, items)
        if connection.parser in self._awaited:
            self._through = self._writer.end
        self._follow("collector.export_stored", log, export, items, since_ns)
        return done

    def _inflated(self, export: Export) -> bytes:
        import zlib

        most = INFLATED * self._limit_bytes
        inflater = zlib.decompressobj(GZIP)
        try:
            body = inflater.decompress(export.body, most + 1)
        except zlib.error as exc:
            raise BadExportError("malformed", 400, str(exc), "a body in gzip") from exc
        if len(body) > most:
            raise BadExportError("too_large", 413, f"more than {most} bytes, inflated", f"no more than {most}")
        if not inflater.eof or inflater.unused_data:
            raise BadExportError("malformed", 400, "a part of it, or more", "a body in gzip")
        return body

    def _append(self, export: Export, form: OtlpForm, items: int, digest: bytes) -> None:
        """Writes a request to the backlog and reports it.

        Raises:
            BacklogFullError: There is no room; nothing was written.
            BadExportError: There will never be.
        """
        size = len(export.body)
        if self._kept_bytes + size > self._room_bytes:
            raise BacklogFullError(f"{self._kept_bytes} bytes of exports wait, and {self._room_bytes} may")
        try:
            start, end = self._writer.append(
                export.body, events=items, observed_ns=time.time_ns(), digest=digest, spills=True, form=form
            )
        except FrameTooLargeError as exc:
            raise BadExportError("too_large", 413, str(exc), "a request that fits the backlog") from exc
        self._report(Stored(start=start, end=end, events=items, body_bytes=size, digest=digest, signal=form.signal))
        self._note_kept(end, size)
        self._recent[digest] = None
        while len(self._recent) > RECENT_BATCHES:
            del self._recent[next(iter(self._recent))]

    def _note_kept(self, end: int, size: int) -> None:
        self._kept.append((end, size))
        self._kept_bytes += size

    def _drop(self, log: Log, export: Export, form: OtlpForm, items: int, error: BacklogFullError) -> None:
        self._report(Overflowed(signal=form.signal, items=items, body_bytes=len(export.body)))
        self._say(
            "collector.export_dropped",
            log,
            reason="intake_full",
            signal=form.signal,
            items=items,
            body_bytes=len(export.body),
            error=str(error),
            effect="it is answered as taken in part, and counted",
        )

    def _refuse(self, connection: Connection, problem: Problem, encoding: str) -> None:
        """Reports and answers a request that is not taken."""
        self._report(Refused(reason=problem.reason, status=problem.status, body_bytes=problem.body_bytes))
        self._say(
            "collector.export_refused",
            connection.named_in(self._log),
            reason=problem.reason,
            status=problem.status,
            got=problem.got,
            expected=problem.expected,
            body_bytes=problem.body_bytes,
        )
        connection.refused += 1
        keep_alive = problem.keep_alive and connection.refused < MOST_REFUSED
        answer = _answer(problem.status, _status(problem, encoding), encoding, keep_alive=keep_alive)
        connection.unsent += answer.partition(HEAD_END)[0] + HEAD_END if problem.is_head else answer
        connection.is_ending = not keep_alive

    # What is said of it.

    def _say(self, event: str, log: Log, *, reason: str, **fields: object) -> None:
        seen = self._said[reason] = self._said.get(reason, 0) + 1
        say = log.warning if seen <= MOST_LINES else log.debug
        extra = {"further_lines": "at debug only"} if seen == MOST_LINES else {}
        say(event, reason=reason, **fields, **extra)

    def _follow(self, event: str, log: Log, export: Export, items: int, since_ns: int) -> None:
        if log.is_debug:
            log.debug(
                event,
                end=self._writer.end,
                path=export.path.decode("ascii", "replace"),
                items=items,
                body_bytes=len(export.body),
                took_us=(time.perf_counter_ns() - since_ns) // 1000,
            )


def _kept_by_predecessor(writer: Writer) -> Iterator[tuple[int, int]]:
    """Where the requests end that wait already, and their sizes."""
    try:
        for frame in writer.frames():
            if frame.form is not None:
                yield frame.end, len(frame.payload)
    except BrokenFrameError:
        return  # the shipper says it


def _form(export: Export) -> OtlpForm:
    """What a request says it holds.

    Raises:
        BadExportError: Nothing that is taken.
    """
    signal = SIGNALS.get(export.path)
    encoding = ENCODINGS.get(export.content_type)
    if signal is None:
        raise BadExportError("not_found", 404, _shown(export.path), "/v1/traces, /v1/metrics or /v1/logs")
    if encoding is None:
        raise BadExportError("bad_type", 415, _shown(export.content_type), "application/x-protobuf or application/json")
    if export.content_encoding not in (b"", b"identity", b"gzip"):
        raise BadExportError("bad_encoding", 415, _shown(export.content_encoding), "gzip, or no encoding")
    return OtlpForm(signal, encoding, export.content_encoding == b"gzip")


def _shown(text: bytes) -> str:
    """Text of somebody else's, for a line."""
    return text[:100].decode("ascii", "replace") or "none"


def _answer(status: int, body: bytes, encoding: str, *, keep_alive: bool) -> bytes:
    allow = "Allow: POST\r\n" if status == 405 else ""  # noqa: PLR2004 - RFC 9110, 15.5.6
    head = (
        f"HTTP/1.1 {status} {_PHRASES[status]}\r\n{allow}Content-Type: {CONTENT_TYPES[encoding]}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: {'keep-alive' if keep_alive else 'close'}\r\n\r\n"
    )
    return head.encode() + body


def _partial(form: OtlpForm, items: int) -> bytes:
    """The answer to a request of which nothing was taken, and nothing is to come again."""
    if form.encoding == JSON:
        return msgspec.json.encode({"partialSuccess": {_REJECTED[form.signal]: str(items), "errorMessage": FULL}})
    return _text_field(1, b"\x08" + _varint(items) + _text_field(2, FULL.encode()))


def _status(problem: Problem, encoding: str) -> bytes:
    """A google.rpc.Status, which is what an error is answered with."""
    code = _NOT_FOUND if problem.reason == "not_found" else _INVALID
    text = f"{problem.reason}: got {problem.got}, expected {problem.expected}"
    if encoding == JSON:
        return msgspec.json.encode({"code": code, "message": text})
    return b"\x08" + _varint(code) + _text_field(2, text.encode())


def _text_field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | LENGTH) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > _SEVEN_BITS:
        written.append(number & _SEVEN_BITS | ~_SEVEN_BITS & 0xFF)
        number >>= 7
    written.append(number)
    return bytes(written)
