r"""Plain text lines of a frame, many at once: cut out of its JSON where they stand, without an event for each.

Most of what a function prints has no escape in it but a runtime's tabs and the line's end. Its event is
`{"time":"…","type":"function","record":"…\n"}`, of which all is known but the moment and the text, and where there is
no backslash between two quotes there is nothing to decode. What is otherwise is decoded as any event. That there are no
control characters within strings the collector has seen to.
"""

from operator import itemgetter

from lifecycle.contract.json_text import is_utf8
from shipper.model.context import NOTHING
from shipper.model.events import Run
from shipper.model.log_record import Origin, Records
from shipper.parse.log_parser import BRACE, UNPLAIN, LogParser, is_unplain
from shipper.parse.text_formats import BEGINNINGS, FORMATS, SMALL, likely_head, text_head, told_whole
from shipper.parse.times import NEAR_NS, unix_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.model.context import Context

    # Level, request id and time of a line, as its head tells them.
    Told = tuple[str, str, int | None]

    # Texts, times and levels of lines, and whose they are.
    Lines = tuple[list[bytes], list[int], list[str], Origin | None]

_OPEN = b'{"time":"'
_CLOSE = b'"}'
_BETWEEN = _CLOSE + b"," + _OPEN
_LAST = _CLOSE + b"]"
_KIND = b'","type":"function","record":"'
_TIME_BYTES = len("2024-05-20T16:29:45.008Z")
_HEAD_BYTES = _TIME_BYTES + len(_KIND)

# Split at once: less where lines that follow one another are few. From 30,000 bytes on Python's search prepares itself
# anew for each piece that it finds.
_LEAST_BYTES, _MOST_BYTES = 2048, 28_672

# So many such parts are read together: what is done for all of their lines takes as long as some dozens of them. With
# more of them, what is written is so large that malloc(3) has it from the kernel, and back there, each time.
_PARTS = 2

# Fewer lines take less by themselves, or where what was looked at has others in it, too.
LEAST_LINES, LEAST_AMONG_OTHERS = 16, 64

# Most lines of a burst share their moment with others, and what they begin with but for that.
_MOST_REMEMBERED = 512

_TAB, _NEWLINE = rb"\t", rb"\n"
_QUOTE, _BACKSLASH, _END_BRACE = b'"\\}'

_head_of = itemgetter(slice(_HEAD_BYTES))
_text_of = itemgetter(slice(_HEAD_BYTES, None))
_begin_of = itemgetter(slice(2))


class TextRun(Run, kw_only=True, gc=False):
    """Plain text lines that follow one another and are of one origin.

    Attributes:
        texts: Without what JSON has around them, and without a final newline.
        times_ns: When each was written, in nanoseconds since the epoch.
        levels: As written; "" for none.
        origin: Where they come from.
        between_bytes: How many stand between what was found of two.
    """

    texts: list[bytes]
    times_ns: list[int]
    levels: list[str]
    origin: Origin
    between_bytes: int

    def keep(self, count: int) -> None:
        """Leaves all but the first to be looked for again."""
        if count < len(self.rows):
            self.rows = self.rows[:count]
            self.size = sum(map(len, self.rows)) + count * self.between_bytes

    def records(self, index: int) -> Records:
        """What they mean.

        Args:
            index: Place of the first in the batch.
        """
        count = len(self.rows)
        some = slice(count)
        return Records(index, self.origin, self.texts[some], self.times_ns[some], self.levels[some], (), ("",) * count)


class TextLines:
    """Finds them.

    Args:
        parser: Knows whose they are.
    """

    def __init__(self, parser: LogParser) -> None:
        self._parser = parser
        self._most_bytes = _MOST_BYTES
        self._moments = _Moments()
        self._heads: dict[bytes, Told] = {}
        # What lines begin with that say nothing but their text.
        self._plain: set[bytes] = set()
        # Whose lines they are, by the invocation that they name; in which context.
        self._origins: dict[str, Origin] = {}
        self._context = NOTHING
        # What stands behind each text of what is looked at.
        self._ending = b""

    def begin(self) -> None:
        """Another frame is begun: its lines are of other origins."""
        self._origins = {}

    def run(self, payload: memoryview, at: int, context: "Context") -> TextRun | None:
        """The plain text lines that a frame goes on with; None where it goes on with another event.

        Args:
            payload: The frame's, which the parser has begun.
            at: Where the event begins.
            context: Before it.
        """
        begin = bytes(payload[at : at + len(_OPEN) + _HEAD_BYTES + 1])
        if begin[:9] != _OPEN or begin[-len(_KIND) - 1 : -1] != _KIND or begin[-1] == BRACE:
            return None
        if context is not self._context:
            self._context, self._origins = context, {}
        pieces, end = self._pieces(payload, at + len(_OPEN))
        if not pieces:
            return None
        texts, times_ns, levels, origin = self._alike(pieces) or self._one_by_one(pieces)
        count, between_bytes = len(texts), len(self._ending) + len(_BETWEEN)
        is_whole = count == len(pieces)
        self._most_bytes = min(2 * self._most_bytes, _MOST_BYTES) if is_whole else max(_LEAST_BYTES, 256 * count)
        if origin is None or count < (LEAST_LINES if is_whole else LEAST_AMONG_OTHERS):
            return None
        size = end - at
        run = TextRun(
            size, pieces, texts=texts, times_ns=times_ns, levels=levels, origin=origin, between_bytes=between_bytes
        )
        run.keep(count)
        return run

    def _pieces(self, payload: memoryview, at: int) -> tuple[list[bytes], int]:
        """Events that a frame goes on with, and where those end: each without what stands between two like them.

        Args:
            payload: The frame's.
            at: Where the first one's time begins.
        """
        pieces: list[bytes] = []
        size = len(payload)
        for _ in range(_PARTS if self._most_bytes == _MOST_BYTES else 1):
            part = bytes(payload[at : at + self._most_bytes])
            if not pieces:
                first = part.find(_CLOSE, _HEAD_BYTES)
                self._ending = _NEWLINE if part.endswith(_NEWLINE, 0, max(0, first)) else b""
            found = part.split(self._ending + _BETWEEN)
            rest = found.pop()
            is_last = at + len(part) == size and rest.endswith(self._ending + _LAST)
            if is_last:
                found.append(rest[: -len(self._ending + _LAST)])
                rest = b""
            if not found or not (part.isascii() or is_utf8(part[: len(part) - len(rest)])):
                break
            pieces += found
            at += len(part) - len(rest)
            if is_last:
                return pieces, size
        return pieces, at - len(_OPEN)

    def _alike(self, pieces: list[bytes]) -> "Lines | None":
        """Lines that say nothing but their text; None where there is another among them."""
        texts = list(map(_text_of, pieces))
        joined = b"".join(texts)
        if _QUOTE in joined or _BACKSLASH in joined:
            return None
        if not self._plain.issuperset(map(_begin_of, texts)) and not self._are_plain(texts):
            return None
        origin = self._origins.get("") or self._origin("")
        times = [*filter(None, map(self._moments.__getitem__, map(_head_of, pieces)))]
        if len(times) < len(texts) or origin.tenant:
            return None
        return texts, times, [""] * len(texts), origin

    def _are_plain(self, texts: list[bytes]) -> bool:
        for begin in set(map(_begin_of, texts)):
            if not begin or begin[0] in UNPLAIN or (begin[0] in FORMATS and (begin[0] < SMALL or begin in BEGINNINGS)):
                return False
            if len(self._plain) >= _MOST_REMEMBERED:
                self._plain.clear()
            self._plain.add(begin)
        return True

    def _one_by_one(self, pieces: list[bytes]) -> "Lines":
        """The plain text lines that follow each other from the first on and are of one origin."""
        moments, origins = self._moments, self._origins
        texts: list[bytes] = []
        times: list[int] = []
        levels: list[str] = []
        found = None
        for piece in pieces:
            event_ns = moments[piece[:_HEAD_BYTES]]
            if not event_ns:
                break
            text = piece[_HEAD_BYTES:]
            if not text or _QUOTE in text:
                break
            begin = text[0]
            if begin in UNPLAIN and (begin in (BRACE, _BACKSLASH) or is_unplain(b'"' + text, begin)):
                break
            time_ns, level, request_id = event_ns, "", ""
            if begin in FORMATS and (begin < SMALL or text[:2] in BEGINNINGS):
                told = self._told(text)
                if told is None:
                    break
                level, request_id, written_ns = told
                if written_ns and -NEAR_NS <= written_ns - event_ns <= NEAR_NS:
                    time_ns = written_ns
            if _BACKSLASH in text:
                text = text.replace(_TAB, b"\t")
                if _BACKSLASH in text or text.find(b"rrorType") >= 0:
                    break
            origin = origins.get(request_id) or self._origin(request_id)
            if origin is not found:
                if found is not None or origin.tenant:
                    break
                found = origin
            texts.append(text)
            times.append(time_ns)
            levels.append(level)
        return texts, times, levels, found

    def _told(self, text: bytes) -> "Told | None":
        """What a line begins with; None where it is to be looked at more closely."""
        if text[-1] == _END_BRACE:  # there may be an object behind
            return None
        head = likely_head(text)
        told = self._heads.get(head)
        if told is not None:
            return told
        whole = told_whole(head)
        level, request_id, written, is_error = whole or text_head(b'"%b%b"' % (text, self._ending))
        if is_error:
            return None
        told = level, request_id, unix_ns(written) if written else None
        if whole is not None:
            if len(self._heads) >= _MOST_REMEMBERED:
                self._heads.clear()
            self._heads[head] = told
        return told

    def _origin(self, request_id: str) -> "Origin":
        """Whose line it is that names an invocation, or none; the same object for all that are the same's."""
        origin = self._parser.origin_of_text(request_id, self._context)
        if request_id:
            other = self._origins.get("") or self._origin("")
            origin = other if origin.is_as(other) else origin
        if len(self._origins) >= _MOST_REMEMBERED:
            self._origins.clear()
        self._origins[request_id] = origin
        return origin


class _Moments(dict[bytes, "int | None"]):
    """When an event was made, by what it begins with; None where that is no line's of the function."""

    def __missing__(self, head: bytes) -> int | None:
        if head[_TIME_BYTES:] != _KIND or not head.isascii():
            return None
        found = unix_ns(head[:_TIME_BYTES].decode())
        if found is not None:
            if len(self) >= _MOST_REMEMBERED:
                self.clear()
            self[head] = found
        return found
