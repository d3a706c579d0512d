"""Lines of JSON that have the same members in the same order: one pattern takes them apart, made once for their shape.

A logger writes the same few shapes over and over. What a shape's members mean is decided once; a line of it is then
matched, and its values are where they were. It is only for what takes no second look: values that are texts without
an escape, numbers or words, none of which may tell an exception, a trace or another logger's line. All else, and what
is not as it usually is, goes the long way, `json_lines.line_of`, and both ways say the same.
"""

import re
from itertools import chain

import msgspec

from lifecycle.contract import late
from shipper.model.events import Run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

# Shapes that are known at a time, the last used first; how many members and bytes one has at most.
_MOST_SHAPES = 8
_MOST_MEMBERS = 32
_MOST_BYTES = 2048

# A pattern costs as much as a hundred lines: it is made when a shape was seen so often, and again if it did not match.
_SEEN = frozenset((8, 64, 512))
_MOST_COUNTED = 256

_BRACE, _BACKSLASH = b"{\\"

# A member, its value a text without an escape or what is no text, and what follows it.
_OTHER = rb"(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)"
_MEMBER = late.pattern(
    rb'([ \t\r\n]*"([^"]*)"[ \t\r\n]*:[ \t\r\n]*)(?:"([^"]*)"|' + _OTHER + rb")([ \t\r\n]*,|[ \t\r\n]*\}\Z)"
)

# The same value in fewer steps, of which is found out later whether it is one.
_ANY_OTHER = rb'([^][{}",:\\\x00-\x20]+)'

# What stands between two events and nowhere else, if what is in them has no quote in it.
_BETWEEN = b'},{"time":"'

# One event of a frame whose record is given, or all that follows.
_EVENT = rb'\{"time":"([^"]*)","type":"function","record":%b\}(?:,|\]\Z)|(.+)'


class Meanings(msgspec.Struct, frozen=True, kw_only=True):
    """Which member of a shape is what, by its name; "" for none.

    Attributes:
        time: When.
        level: How severe.
        message: What is to be read first.
        logger: Whose.
        invocations: Those that may name the invocation, with whether nobody writes another id there.
    """

    time: str = ""
    level: str = ""
    message: str
    logger: str = ""
    invocations: tuple[tuple[str, bool], ...] = ()


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """The same by place among the values; -1 for none.

    Attributes:
        match: Its pattern's. Values that are texts are found without their quotes.
        events: Finds, of events that follow one another, their times and values, a tuple for each. The last is of the
            rest alone, which is no event of this shape. A quote may stand in a value of a line that stands in a string,
            where none can; what is no text may be anything.
        is_text: Whether its lines stand in strings.
        texts: Whether a value is a text, by place.
        time: When.
        level: How severe.
        message: What is to be read first, a text.
        logger: Whose.
        invocations: Those that may name the invocation, with whether nobody writes another id there.
        rests: What stays of the members, name, place and whether it is a text, by the place of the one that named the
            invocation.
        names: Of all members.
        free: Places of the texts that stay texts.
        others: Places of what is no text.
        levels: What was found of levels, by value.
        loggers: Likewise of loggers' names.
    """

    match: "Callable[[bytes], re.Match[bytes] | None]"
    events: "re.Pattern[bytes]"
    is_text: bool
    texts: tuple[bool, ...]
    time: int
    level: int
    message: int
    logger: int
    invocations: tuple[tuple[int, bool], ...]
    rests: dict[int, tuple[tuple[str, int, bool], ...]]
    names: bytes
    free: tuple[int, ...]
    others: tuple[int, ...]
    levels: dict[bytes, str]
    loggers: dict[bytes, str]

    def raw(self, values: "Sequence[bytes]", place: int) -> bytes:
        """A value as JSON."""
        return self.raw_of(values[place], place)

    def raw_of(self, value: bytes, place: int) -> bytes:
        """The value at a place as JSON."""
        return b'"%b"' % value if self.texts[place] else value


class JsonRun(Run, gc=False):
    """Lines of a shape that follow one another."""

    def keep(self, count: int) -> None:
        """Leaves all but the first to be looked for again."""
        if count < len(self.rows):
            end = -1
            for _ in range(count):
                end = self.raw.find(_BETWEEN, end + 1)
            self.raw, self.rows = self.raw[: end + len(b"},")], self.rows[:count]


class Shapes:
    """The shapes that are known, and how often a line of none came."""

    def __init__(self) -> None:
        self._known: list[Shape] = []
        self._counts: dict[tuple[str, ...], int] = {}

    @property
    def is_any_known(self) -> bool:
        """Whether there is any."""
        return bool(self._known)

    def of(self, raw: bytes) -> "tuple[Shape | None, Sequence[bytes]]":
        """The shape of a raw JSON object, or of one in a raw JSON string, and its values; None where none is known."""
        if raw[0] == _BRACE and _BACKSLASH in raw:
            return None, ()
        known = self._known
        for at, shape in enumerate(known):
            found = shape.match(raw)
            if found is not None:
                if at:
                    known.insert(0, known.pop(at))
                return shape, found.groups()
        return None, ()

    def run(self, chunk: bytes, telling: "Sequence[bytes]") -> JsonRun | None:
        """The lines of one shape that a part of a frame begins with; None where it begins with another event.

        Args:
            chunk: The part.
            telling: Words of lines that have to be looked at one by one.
        """
        known = self._known
        for at, shape in enumerate(known):
            if any(shape.names.find(word) >= 0 for word in telling):
                continue
            # A backslash would be an escape in a value.
            end = -1 if shape.is_text else chunk.find(b"\\")
            part = chunk if end < 0 else chunk[:end]
            rows = shape.events.findall(part)
            rest = rows[-1][-1] if rows else b""
            if rest:
                rows.pop()
            if not rows:
                continue
            if at:
                known.insert(0, known.pop(at))
            found = JsonRun(part[: len(part) - len(rest)] if rest else part, rows, shape)
            if _tells(chain.from_iterable(rows), telling):
                found.keep(next(place for place, row in enumerate(rows) if _tells(row, telling)))
            return found if found.rows else None
        return None

    def is_due(self, names: tuple[str, ...]) -> bool:
        """Whether a shape is to be made of a line with these members, which went the long way."""
        count = self._counts.get(names, 0) + 1
        if count > 1 or (len(self._counts) < _MOST_COUNTED and sum(map(len, names)) <= _MOST_BYTES):
            self._counts[names] = count
        return count in _SEEN

    def learn(self, raw: bytes, meanings: Meanings) -> None:
        """Makes a shape of a line, if it can be one."""
        shape = _shape_of(raw, meanings)
        if shape is not None:
            self._known.insert(0, shape)
            del self._known[_MOST_SHAPES:]


def _tells(values: "Iterable[bytes]", telling: "Sequence[bytes]") -> bool:
    text = b"\0".join(values)
    return any(text.find(word) >= 0 for word in telling)


def _shape_of(raw: bytes, meanings: Meanings) -> Shape | None:
    """The shape of a line; None if it has none of use."""
    is_text = raw[0] != _BRACE
    text = (raw[1:-3] if raw.endswith(b'\\n"') else raw[1:-1]).replace(b'\\"', b'"') if is_text else raw
    if len(text) > _MOST_BYTES or _BACKSLASH in text or text[0] != _BRACE:
        return None
    quote, end = (rb"\\" + b'"', rb"(?:\\n)?" + b'"') if is_text else (b'"', b"")
    value = quote + (rb"([^\\]*)" if is_text else b'([^"]*)') + quote
    names: list[str] = []
    texts: list[bool] = []
    pattern, at = [b'"' if is_text else b"", rb"\{"], 1
    events = pattern.copy()
    while at < len(text):
        found = _MEMBER.match(text, at)
        if found is None or len(names) >= _MOST_MEMBERS:
            return None
        names.append(found[2].decode())
        texts.append(found[3] is not None)
        before, behind = re.escape(found[1]).replace(b'"', quote), re.escape(found[5])
        pattern += (before, value if texts[-1] else _OTHER, behind)
        events += (before, value if texts[-1] else _ANY_OTHER, behind)
        at = found.end()
    places = {name: place for place, name in enumerate(names)}
    if len(places) < len(names) or not texts[places[meanings.message]]:
        return None
    taken = {meanings.time, meanings.level, meanings.message, meanings.logger}
    rest = tuple((name, place, texts[place]) for name, place in places.items() if name not in taken)
    invocations = tuple((places[name], is_sure) for name, is_sure in meanings.invocations)
    return Shape(
        match=re.compile(b"".join((*pattern, end))).fullmatch,
        events=late.pattern(b"(?s)" + _EVENT % b"".join((*events, end))),
        is_text=is_text,
        texts=tuple(texts),
        time=places[meanings.time] if meanings.time else -1,
        level=places[meanings.level] if meanings.level else -1,
        message=places[meanings.message],
        logger=places[meanings.logger] if meanings.logger else -1,
        invocations=invocations,
        rests={-1: rest, **{one: tuple(kept for kept in rest if kept[1] != one) for one, _ in invocations}},
        names=" ".join(names).encode(),
        others=tuple(place for place, is_text in enumerate(texts) if not is_text),
        free=(places[meanings.message], *(place for _, place, is_text in rest if is_text)),
        levels={},
        loggers={},
    )
