"""Telemetry batches out of the bytes of one HTTP connection: sans-I/O, on httptools.

Requests may be pipelined, split at any byte, sized or chunked; the path is ignored (AWS's own emulator drops
it). Items come out in the order their answers must be sent. After an item with `keep_alive=False` nothing more
is read of the connection: whatever follows is discarded.

Source: RFC 9110 and RFC 9112; lambda-apis.md, section 2.
"""

import _weakref

import httptools

from collector.messages import Batch, Body, Continue, Item, Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

METHOD = b"POST"

# Everything a request may carry beside its body: the platform sends five short headers; nginx allows 8 KiB.
HEADER_LIMIT_BYTES = 16_384

# Read at once where it may be many requests: the smallest has 18 bytes and takes 30 µs to refuse, and a turn of the
# loop serves every connection once. The platform's headers and the beginning of its body fit.
PORTION_BYTES = 2048

# Likewise within chunks, which do not say how much is to come.
CHUNKED_PORTION_BYTES = 8192

# From this length on a body is read where it stays: smaller ones come from the heap without a page of their own.
ROOM_FROM_BYTES = 16_384

# The largest room: a batch of the platform's default size and the event that completes it. A page that is new costs as
# much as reading, checking and keeping what fits it.
KEPT_ROOM_BYTES = 320 * 1024


class Rooms:
    """Memory that bodies are read into, one at a time: it is kept and used again and again.

    There is one, and no larger than what the platform sends: nobody gets memory for what he has but announced.

    Args:
        least_bytes: Length of the smallest body for which there is room.

    Attributes:
        least_bytes: As given.
    """

    def __init__(self, least_bytes: int = ROOM_FROM_BYTES) -> None:
        self.least_bytes = least_bytes
        self._kept = bytearray()
        self._lent: Callable[[], memoryview | None] = lambda: None

    def take(self, body_bytes: int) -> memoryview | None:
        """Room for one body, free again when nobody has this view of it any more; None where there is none."""
        if body_bytes > KEPT_ROOM_BYTES or self._lent() is not None:
            return None
        if len(self._kept) < body_bytes:
            self._kept = bytearray(body_bytes)
        room = memoryview(self._kept)[:body_bytes]
        self._lent = _weakref.ref(room)
        return room


class HttpParser:
    """Reads one connection.

    Args:
        body_limit_bytes: Largest body that is taken.
        rooms: For bodies whose length is known; None: each is put together of its pieces.

    Attributes:
        is_within: A request has begun and is not complete.
        is_over: Nothing more is read of this connection.
    """

    def __init__(self, body_limit_bytes: int, rooms: Rooms | None = None) -> None:
        self._limit = body_limit_bytes
        self._rooms = rooms
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._items: list[Item] = []
        self.is_over = False
        self._quiet_bytes = 0
        self._begin(within=False)

    def _begin(self, *, within: bool) -> None:
        self.is_within = within
        self._method = METHOD
        self._is_headed = False
        self._header_bytes = 0
        self._length = 0
        self._body_bytes = 0
        self._expects = False
        self._continue_is_due = False
        self._is_chunked = False
        self._room: memoryview | None = None
        self._keeps_alive = False
        self._body: bytes | bytearray = b""  # grown in place: joining would cost another copy and its page faults

    @property
    def buffered_bytes(self) -> int:
        """Bytes kept of the body that is not complete."""
        return len(self._body) if self._room is None else self._body_bytes

    @property
    def room(self) -> memoryview | None:
        """Where what comes next is to be read to, as much of it as fits, and then `received`; None: `receive` takes it.

        It is the rest of a body and nothing else, and is neither copied nor looked at by the parser.
        """
        return None if self._room is None else self._room[self._body_bytes :]

    def received(self, count: int) -> list[Item]:
        """So many bytes were read to `room`; returns what they complete."""
        room, items = self._room, list[Item]()
        self._body_bytes += count
        if room is not None and self._body_bytes == len(room):
            items.append(self._request(room, keep_alive=self._keeps_alive))
            self.is_over = not self._keeps_alive
            self._begin(within=False)
        return items

    @property
    def read_bytes(self) -> int:
        """How much to read at once: what is one request's body for certain, and little beside."""
        if self._length:
            return max(self._length - self._body_bytes, 0) + PORTION_BYTES
        return CHUNKED_PORTION_BYTES if self._body_bytes else PORTION_BYTES

    def receive(self, data: memoryview | bytes) -> list[Item]:
        """Takes what the peer sent; returns what it completes."""
        if self._parser is None or self.is_over:
            return []
        at = 0
        while at < len(data) and not self.is_over:
            if (room := self.room) is not None:
                portion = data[at : at + len(room)]
                room[: len(portion)] = portion
                self._items += self.received(len(portion))
            else:
                portion = data[at : at + self.read_bytes]
                self._feed(self._parser, portion)
                self._make_room()
            at += len(portion)
        if self._continue_is_due and not self.is_over:
            self._continue_is_due = False
            self._items.append(Continue())
        items, self._items = self._items, []
        return items

    def _feed(self, parser: httptools.HttpRequestParser, portion: memoryview | bytes) -> None:
        self._quiet_bytes += len(portion)
        try:
            parser.feed_data(portion)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as exc:
            self._refuse("bad_request", 400, f"{exc}", "an HTTP/1.1 request")
        if self._quiet_bytes > HEADER_LIMIT_BYTES:
            self._refuse_headers(self._quiet_bytes)

    def _make_room(self) -> None:
        """Once the head is read, for a body of which most is still to come: from here on it needs no parser.

        What follows it does, another one, since this one knows nothing of what it did not see.
        """
        length, parser = self._length, self._parser
        if self._rooms is None or parser is None or self.is_over or self._room is not None:
            return
        if not self._is_headed or length < self._rooms.least_bytes or self._is_chunked or self._method != METHOD:
            return
        if parser.should_upgrade() or (room := self._rooms.take(length)) is None:
            return
        self._keeps_alive = parser.should_keep_alive()
        self._room = room
        room[: len(self._body)] = self._body
        self._body = b""
        self._quiet_bytes = 0
        self._parser = httptools.HttpRequestParser(self)

    def finish(self) -> list[Item]:
        """The peer sends no more; returns what that leaves incomplete."""
        if self.is_within:
            self._refuse("cut_off", 400, f"{self.buffered_bytes} bytes of a body", "a complete request")
        items, self._items = self._items, []
        return items

    def expire(self) -> list[Item]:
        """The peer was too slow; returns the problem to answer."""
        self._refuse("slow", 408, f"{self.buffered_bytes} bytes of a body", "a complete request in time")
        items, self._items = self._items, []
        return items

    def close(self) -> None:
        """Lets go of the parser, which refers back to this object."""
        self.is_over = True
        self._parser = None

    def on_message_begin(self) -> None:
        """httptools: the first byte of a request."""
        if not self.is_over:
            self._begin(within=True)

    def on_url(self, url: bytes) -> None:
        """httptools: a piece of the target, which counts among the headers and means nothing."""
        self._header_bytes += len(url)
        if self._header_bytes > HEADER_LIMIT_BYTES:
            self._refuse_headers(self._header_bytes)

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: a header, or a trailer after a chunked body."""
        self._quiet_bytes -= len(name) + len(value)
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > HEADER_LIMIT_BYTES:
            self._refuse_headers(self._header_bytes)
            return
        match name.lower():
            case b"content-length":
                self._length = int(value)  # digits: the parser has seen to it
            case b"transfer-encoding":
                self._is_chunked = True
            case b"expect":
                self._expects = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        """httptools: the body, if any, begins."""
        if self._parser is None or self.is_over:
            return
        self._is_headed = True
        self._method = self._parser.get_method()
        if self._length > self._limit:
            self._refuse_body(self._length)
        elif self._expects and self._method != METHOD:
            self._refuse_method(keep_alive=False)  # whether the body still follows is the peer's choice
        elif self._expects:  # of HTTP/1.0 it is to be ignored (RFC 9110, 10.1.1)
            self._continue_is_due = self._parser.get_http_version() != "1.0"

    def on_body(self, piece: bytes) -> None:
        """httptools: a piece of the body."""
        self._quiet_bytes = 0
        self._body_bytes += len(piece)
        if self.is_over or self._method != METHOD:
            return
        self._continue_is_due = False
        if self.buffered_bytes + len(piece) > self._limit:
            self._refuse_body(self.buffered_bytes + len(piece))
        elif not self._body:
            self._body = piece
        elif isinstance(self._body, bytearray):
            self._body += piece
        else:
            self._body = bytearray(self._body)
            self._body += piece

    def on_message_complete(self) -> None:
        """httptools: the last byte of a request."""
        if self._parser is None or self.is_over:
            return
        self._quiet_bytes = 0
        keep_alive = self._parser.should_keep_alive()
        if self._method != METHOD:
            self._refuse_method(keep_alive=keep_alive and self._method != b"CONNECT")
        elif self._parser.should_upgrade():  # the parser takes what follows for another protocol
            self._refuse("bad_request", 400, "an Upgrade", "an HTTP/1.1 request")
        else:
            self._items.append(self._request(self._body, keep_alive=keep_alive))
            self.is_over = not keep_alive
        self._begin(within=False)

    def _request(self, body: Body, *, keep_alive: bool) -> Batch:
        """A request that is complete, as an item."""
        return Batch(body, keep_alive)

    def _refuse_body(self, body_bytes: int) -> None:
        self._refuse(
            "too_large", 413, f"a body of {body_bytes} bytes", f"no more than {self._limit}", min(body_bytes, 2**63)
        )

    def _refuse_headers(self, header_bytes: int) -> None:
        self._refuse("headers_too_large", 431, f"{header_bytes} bytes of headers", f"no more than {HEADER_LIMIT_BYTES}")

    def _refuse_method(self, *, keep_alive: bool) -> None:
        got = self._method.decode("ascii", "replace")
        self._refuse("bad_method", 405, got, METHOD.decode(), keep_alive=keep_alive)

    def _refuse(
        self, reason: str, status: int, got: str, expected: str, body_bytes: int = 0, *, keep_alive: bool = False
    ) -> None:
        """Adds a problem; unless the connection is kept, it is the last item."""
        if self.is_over:
            return
        size = body_bytes or self.buffered_bytes
        is_head = self._method == b"HEAD"
        self._items.append(Problem(reason, status, got, expected, size, keep_alive, is_head))
        self.is_over = not keep_alive
        self._begin(within=False)
