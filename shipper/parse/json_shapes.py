"""Lines of JSON that have the same members in the same order: taken apart by what is known of their shape.

A logger writes the same few shapes over and over. What a shape's members mean is decided once; a line of it is then
matched, and its values are where they were. It is only for what takes no second look: values that are texts without
an escape, numbers or words, none of which may tell an exception, a trace or another logger's line. All else, and what
is not as it usually is, goes the long way, `json_lines.line_of`, and both ways say the same.

Of lines that follow one another most is the same from line to line: the names, the punctuation, often the level and
the logger. They are split at what stands between the values that differ (`Plan`), in half the time that a pattern
takes; a pattern finds them where that is not known yet, or has changed.
"""

import re
from operator import itemgetter

import msgspec

from lifecycle.contract import late
from shipper.model.events import Run
from shipper.parse.times import unix_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
_OPEN = b'{"time":"'
_KIND = b'","type":"function","record":'
_TIME_BYTES = len("2024-05-20T16:29:45.008Z")

# Looked at at once: less where lines that follow one another are few. From 30,000 bytes on Python's search prepares
# itself anew for each piece that it finds.
_LEAST_RUN_BYTES, _MOST_RUN_BYTES = 2048, 28_672

# So many such parts are read together: see `text_lines`.
_PARTS = 3

# Fewer lines take less by themselves.
LEAST_LINES = 16

# So many lines tell which of their values are the same in all of them.
_LEAST_FOR_PLAN = 8

# Timestamps remembered; what is longer is no timestamp that anybody writes.
_MOST_TIMES = 256
_MOST_TIME_BYTES = 40

# What a value may consist of that is no text.
_OF_OTHERS = b"0123456789+-.eEtrufalsn"

NO_TIME = -1

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
        trace: What may name the trace.
        unsaid_level: The level where no member tells one.
    """

    time: str = ""
    level: str = ""
    message: str
    logger: str = ""
    invocations: tuple[tuple[str, bool], ...] = ()
    trace: str = ""
    unsaid_level: str = ""


class Times(dict[bytes, int]):
    """Nanoseconds since the epoch by a timestamp as it is written; `NO_TIME` for what is none.

    Args:
        find: Finds it.
    """

    def __init__(self, find: "Callable[[bytes], int]") -> None:
        self._find = find

    def __missing__(self, raw: bytes) -> int:
        if len(raw) > _MOST_TIME_BYTES:
            return NO_TIME
        if len(self) >= _MOST_TIMES:
            self.clear()
        found = self[raw] = self._find(raw)
        return found


def time_of(raw: bytes) -> int:
    """When a timestamp is, in nanoseconds since the epoch; `NO_TIME` for what is none."""
    found = unix_ns(raw.decode("utf-8", "replace"))
    return NO_TIME if found is None else found


times = Times(time_of)


class _Heads(dict[bytes, int]):
    """When an event was made, by what its line begins with; `NO_TIME` where it is another's.

    Args:
        ending: What stands behind the timestamp.
    """

    def __init__(self, ending: bytes) -> None:
        self._ending = ending

    def __missing__(self, head: bytes) -> int:
        if head[_TIME_BYTES:] != self._ending:
            return NO_TIME
        if len(self) >= _MOST_TIMES:
            self.clear()
        found = self[head] = times[head[:_TIME_BYTES]]
        return found


class Plan:
    """How lines of a shape that follow one another are split: at what stands between the values that differ.

    Args:
        literals: What stands before each value, and between the last and the next event's time.
        same: Values that are taken to be the same in all lines, by place.

    Attributes:
        same: These.
        text: The same as one text.
    """

    def __init__(self, literals: "Sequence[bytes]", same: "dict[int, bytes]") -> None:
        self.same = same
        self.text = b" ".join(same.values())
        self._places: list[int] = []
        between: list[bytes] = []
        literal = literals[0]
        for place, following in enumerate(literals[1:]):
            if place in same:
                literal += same[place] + following
            else:
                self._places.append(place)
                between.append(literal)
                literal = following
        first, *self._between = between
        self._last = literal
        self._heads = _Heads(first)
        self._head_of = itemgetter(slice(_TIME_BYTES + len(first)))
        self._value_of = itemgetter(slice(_TIME_BYTES + len(first), None))

    def columns(self, times_ns: list[int], changing: list[list[bytes]]) -> "list[Sequence[bytes]]":
        """The values of lines by place.

        Args:
            times_ns: Of each line.
            changing: The values that differ, of as many lines.
        """
        count = len(times_ns)
        columns: dict[int, Sequence[bytes]] = {place: [value] * count for place, value in self.same.items()}
        columns.update(zip(self._places, changing, strict=True))
        return [columns[place] for place in range(len(columns))]

    def split(self, text: bytes) -> "tuple[list[int], list[list[bytes]], int, bool]":
        """The lines that a part of a frame begins with, from its first event's time on.

        What is found is put together again, and is what was there: so nothing need be known of what else may stand
        there, but that no value has a quote or a backslash in it.

        Args:
            text: The part.

        Returns:
            When their events were made, the values that differ, how many bytes they are, and whether they are all that
            end there.
        """
        last, width = self._last, len(self._places)
        parts = text
        for literal in self._between:
            parts = parts.replace(literal, last)
        pieces = parts.split(last)
        count = (len(pieces) - 1) // width
        del pieces[count * width :]
        firsts = pieces[::width]
        times_ns = list(map(self._heads.__getitem__, map(self._head_of, firsts)))
        is_whole = NO_TIME not in times_ns
        if not is_whole:
            count = times_ns.index(NO_TIME)
            del times_ns[count:], firsts[count:], pieces[count * width :]
        again = [last] * (2 * width * count)
        again[:: 2 * width] = firsts
        columns = [list(map(self._value_of, firsts))]
        for at in range(1, width):
            column = again[2 * at :: 2 * width] = pieces[at::width]
            again[2 * at - 1 :: 2 * width] = [self._between[at - 1]] * count
            columns.append(column)
        written = b"".join(again)
        if not text.startswith(written):
            return [], [], 0, False
        return times_ns, columns, len(written), is_whole


class Shape(msgspec.Struct, kw_only=True):
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
        trace: What may name the trace.
        unsaid_level: The level where no member tells one.
        rests: What stays of the members, name, place and whether it is a text, by the place of the one that named the
            invocation.
        names: Of all members.
        others: Places of what is no text.
        levels: What was found of levels, by value.
        loggers: Likewise of loggers' names.
        literals: What stands before each value in lines that follow one another, and behind the last.
        changing: Places of values that were the same in many lines, and then others.
        plan: How such lines are split, once it is known.
    """

    match: "Callable[[bytes], re.Match[bytes] | None]"
    events: "re.Pattern[bytes]"
    is_text: bool
    texts: tuple[bool, ...]
    time: int
    level: int
    message: int
    logger: int
    trace: int
    unsaid_level: str
    invocations: tuple[tuple[int, bool], ...]
    rests: dict[int, tuple[tuple[str, int, bool], ...]]
    names: bytes
    others: tuple[int, ...]
    levels: dict[bytes, str]
    loggers: dict[bytes, str]
    literals: tuple[bytes, ...]
    changing: set[int]
    plan: Plan | None = None

    def raw(self, values: "Sequence[bytes]", place: int) -> bytes:
        """A value as JSON."""
        return self.raw_of(values[place], place)

    def raw_of(self, value: bytes, place: int) -> bytes:
        """The value at a place as JSON."""
        return b'"%b"' % value if self.texts[place] else value

    def planned(self, columns: "Sequence[Sequence[bytes]]") -> None:
        """Has lines to come split as those were in which these values stood."""
        if len(columns[0]) < _LEAST_FOR_PLAN:
            return
        same = {place: column[0] for place, column in enumerate(columns) if column.count(column[0]) == len(column)}
        if self.plan is not None:
            before = self.plan.same
            self.changing.update(place for place, value in before.items() if same.get(place) != value)
        for place in (self.message, *self.changing):
            same.pop(place, None)
        if self.plan is None or same != self.plan.same:
            self.plan = Plan(self.literals, same)


class JsonRun(Run, kw_only=True, gc=False):
    """Lines of a shape that follow one another.

    Attributes:
        rows: When the event of each was made, in nanoseconds since the epoch; `NO_TIME` where that is not told.
        raw: Their events as they came, with what follows each.
        shape: What they have in common.
        columns: Their values, by place.
    """

    raw: bytes
    shape: Shape
    columns: "Sequence[Sequence[bytes]]"

    def keep(self, count: int) -> None:
        """Leaves all but the first to be looked for again."""
        if count < len(self.rows):
            end = -1
            for _ in range(count):
                end = self.raw.find(_BETWEEN, end + 1)
            self.size = end + len(b"},")
            self.raw, self.rows = self.raw[: self.size], self.rows[:count]
            self.columns = [column[:count] for column in self.columns]


class KnownShapes:
    """The shapes that are known, and how often a line of none came.

    Attributes:
        known: These, the last used first.
    """

    def __init__(self) -> None:
        self.known: list[Shape] = []
        self._counts: dict[tuple[str, ...], int] = {}
        self._most_bytes = _MOST_RUN_BYTES

    @property
    def is_any_known(self) -> bool:
        """Whether there is any."""
        return bool(self.known)

    def of(self, raw: bytes) -> "tuple[Shape | None, Sequence[bytes]]":
        """The shape of a raw JSON object, or of one in a raw JSON string, and its values; None where none is known."""
        if raw[0] == _BRACE and _BACKSLASH in raw:
            return None, ()
        known = self.known
        for at, shape in enumerate(known):
            found = shape.match(raw)
            if found is not None:
                if at:
                    known.insert(0, known.pop(at))
                return shape, found.groups()
        return None, ()

    def run(self, payload: memoryview, at: int, telling: "Sequence[bytes]") -> JsonRun | None:
        """The lines of one shape that a frame goes on with; None where it goes on with another event.

        Args:
            payload: The frame's.
            at: Where the event begins.
            telling: Words of lines that have to be looked at one by one.
        """
        known, most = self.known, self._most_bytes
        for place, shape in enumerate(known):
            if any(shape.names.find(word) >= 0 for word in telling):
                continue
            found = _split(shape, payload, at, most, telling) or _found(shape, payload, at, most, telling)
            if found is None:
                continue
            if place:
                known.insert(0, known.pop(place))
            run, is_whole = found
            count = len(run.rows)
            wider = min(2 * self._most_bytes, _MOST_RUN_BYTES)
            self._most_bytes = wider if is_whole else max(_LEAST_RUN_BYTES, min(wider, 256 * count))
            return run if count >= LEAST_LINES else None
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
            self.known.insert(0, shape)
            del self.known[_MOST_SHAPES:]


def _split(
    shape: Shape, payload: memoryview, at: int, most_bytes: int, telling: "Sequence[bytes]"
) -> "tuple[JsonRun, bool] | None":
    """Lines of a shape that a frame goes on with, and whether they are all that were looked at, by its plan."""
    plan = shape.plan
    if plan is None or payload[at : at + len(_OPEN)] != _OPEN or any(plan.text.find(word) >= 0 for word in telling):
        return None
    begin, is_whole = at, True
    times_ns: list[int] = []
    columns: list[list[bytes]] = []
    for _ in range(_PARTS if most_bytes == _MOST_RUN_BYTES else 1):
        text = bytes(payload[at + len(_OPEN) : at + most_bytes])
        is_last = at + most_bytes >= len(payload)
        if is_last and text.endswith(b"]"):
            text = text[:-1] + _BETWEEN[1:]
        some, found, size, is_whole = plan.split(text)
        if not some:
            break
        times_ns += some
        columns = columns or [[] for _ in found]
        for column, more in zip(columns, found, strict=True):
            column.extend(more)
        at += size
        if is_last or not is_whole:
            break
    if not times_ns:
        return None
    raw = bytes(payload[begin:at])
    run = JsonRun(len(raw), times_ns, raw=raw, shape=shape, columns=plan.columns(times_ns, columns))
    return run, _keep_plain(run, telling) and is_whole


def _found(
    shape: Shape, payload: memoryview, at: int, most_bytes: int, telling: "Sequence[bytes]"
) -> "tuple[JsonRun, bool] | None":
    """The same by its pattern."""
    chunk = bytes(payload[at : at + most_bytes])
    if at + len(chunk) < len(payload) and chunk.endswith(b"]"):
        chunk = chunk[:-1]
    # A backslash would be an escape in a value.
    end = -1 if shape.is_text else chunk.find(b"\\")
    part = chunk if end < 0 else chunk[:end]
    rows = shape.events.findall(part)
    rest = rows[-1][-1] if rows else b""
    if rest:
        rows.pop()
    if not rows:
        return None
    written, *columns, _ = zip(*rows, strict=False)
    shape.planned(columns)
    raw = part[: len(part) - len(rest)] if rest else part
    run = JsonRun(len(raw), list(map(times.__getitem__, written)), raw=raw, shape=shape, columns=columns)
    return run, _keep_plain(run, telling) and end < 0 and _BETWEEN not in rest


def _keep_plain(run: JsonRun, telling: "Sequence[bytes]") -> bool:
    """Leaves those lines that have to be looked at one by one, and what follows them; whether there are none."""
    count, words = len(run.rows), (b'"', b"\\", *telling)
    for column, is_text in zip(run.columns, run.shape.texts, strict=True):
        is_same = column[0] is column[-1] and column.count(column[0]) == len(column)
        values = column[:1] if is_same else column
        if is_text:
            text = b"\0".join(values)
            if any(word in text for word in words):
                tells = [place for place, value in enumerate(column) if any(word in value for word in words)]
                count = min(count, *tells)
        elif b"".join(values).strip(_OF_OTHERS):
            count = min(count, next(place for place, value in enumerate(column) if value.strip(_OF_OTHERS)))
    is_whole = count == len(run.rows)
    run.keep(count)
    return is_whole


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
    literals, literal = [], _KIND + (b'"{' if is_text else b"{")
    mark = b'\\"' if is_text else b'"'
    while at < len(text):
        found = _MEMBER.match(text, at)
        if found is None or len(names) >= _MOST_MEMBERS:
            return None
        names.append(found[2].decode())
        texts.append(found[3] is not None)
        before, behind = re.escape(found[1]).replace(b'"', quote), re.escape(found[5])
        pattern += (before, value if texts[-1] else _OTHER, behind)
        events += (before, value if texts[-1] else _ANY_OTHER, behind)
        around = mark if texts[-1] else b""
        literals.append(literal + found[1].replace(b'"', mark) + around)
        literal, at = around + found[5], found.end()
    literals.append(literal + raw[raw.rfind(b"}") + 1 :] + _BETWEEN)
    places = {name: place for place, name in enumerate(names)}
    if len(places) < len(names) or not texts[places[meanings.message]]:
        return None
    taken = {meanings.time, meanings.level, meanings.message, meanings.logger, meanings.trace}
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
        trace=places[meanings.trace] if meanings.trace else -1,
        unsaid_level=meanings.unsaid_level,
        invocations=invocations,
        rests={-1: rest, **{one: tuple(kept for kept in rest if kept[1] != one) for one, _ in invocations}},
        names=" ".join(names).encode(),
        others=tuple(place for place, is_text in enumerate(texts) if not is_text),
        levels={},
        loggers={},
        literals=tuple(literals),
        changing=set(),
    )
