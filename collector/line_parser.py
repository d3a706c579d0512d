"""Telemetry out of the bytes of one TCP connection: newline-delimited JSON objects, sans-I/O.

Source: lambda-apis.md, section 2: over TCP the platform sends one JSON object and a newline per event.
"""

from collector.messages import Item, Lines, Problem

# An event's members alone take 60 bytes. A read full of shorter lines is full of nonsense, and each takes its time.
SHORT_LINE_BYTES = 32

# Read at once from a peer that is not known yet, or sends such lines; and from all others.
PORTION_BYTES = 2048
MOST_BYTES = 65_536


class LineParser:
    """Reads one connection.

    Args:
        line_limit_bytes: Longest line that is taken.

    Attributes:
        read_bytes: How much to read at once.
        room: There is none: it is all read by `receive`.
    """

    def __init__(self, line_limit_bytes: int) -> None:
        self.read_bytes = PORTION_BYTES
        self._limit = line_limit_bytes
        self._partial = bytearray()
        self._skipped_bytes = 0

    @property
    def is_within(self) -> bool:
        """Whether a line has begun and is not complete."""
        return bool(self._partial)

    @property
    def buffered_bytes(self) -> int:
        """Bytes kept of the line that is not complete."""
        return len(self._partial)

    room = None

    def received(self, count: int) -> list[Item]:
        """Nothing is read elsewhere: lines have no length that is known before."""
        del count
        return []

    def receive(self, data: memoryview | bytes) -> list[Item]:
        """Takes what the peer sent; returns the lines it completes."""
        *complete, rest = bytes(data).split(b"\n")
        items: list[Item] = []
        self.read_bytes = PORTION_BYTES if len(complete) * SHORT_LINE_BYTES > len(data) else MOST_BYTES
        if complete:
            if self._skipped_bytes:
                items.append(self._too_long(self._skipped_bytes + len(complete.pop(0))))
                self._skipped_bytes = 0
            elif self._partial:
                complete[0] = bytes(self._partial) + complete[0]
                self._partial = bytearray()
            if complete:
                items += self._measured(complete)
        if self._skipped_bytes:
            self._skipped_bytes += len(rest)
        elif len(self._partial) + len(rest) > self._limit:
            self._skipped_bytes = len(self._partial) + len(rest)
            self._partial = bytearray()
        else:
            self._partial += rest
        return items

    def finish(self) -> list[Item]:
        """The peer sends no more: a last line needs no newline."""
        if self._skipped_bytes:
            items: list[Item] = [self._too_long(self._skipped_bytes)]
        else:
            items = [Lines([bytes(self._partial)])] if self._partial else []
        self._partial = bytearray()
        self._skipped_bytes = 0
        return items

    def expire(self) -> list[Item]:
        """The peer was too slow for what it makes us keep; returns the problem."""
        size = len(self._partial)
        self._partial = bytearray()
        return [Problem("slow", 0, f"{size} bytes of a line", "a complete line in time", size, keep_alive=False)]

    def close(self) -> None:
        """Lets go of what is kept."""
        self._partial = bytearray()

    def _measured(self, lines: list[bytes]) -> list[Item]:
        """The lines, those beyond the limit refused."""
        if max(map(len, lines)) <= self._limit:
            return [Lines(lines)]
        items: list[Item] = [self._too_long(len(line)) for line in lines if len(line) > self._limit]
        kept = [line for line in lines if len(line) <= self._limit]
        return [*items, Lines(kept)] if kept else items

    def _too_long(self, line_bytes: int) -> Problem:
        return Problem("too_large", 0, f"a line of {line_bytes} bytes", f"no more than {self._limit}", line_bytes)
