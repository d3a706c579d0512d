"""Log records in OTLP's protobuf.

A plain text line is the common case: its text is spliced between two pieces that it shares with the lines around it,
and every length is looked up.

Fields stand in the order in which they compress best, which readers of protobuf do not mind ("Encoding", "Field
order"): first what differs from line to line, lengths and text, then what a line shares with the one before, and last
its index. So gzip finds one long repetition in each line, where fields in the order of their numbers had four.

Source: opentelemetry/proto/logs/v1/logs.proto; semantic conventions, "Exceptions in logs".
"""

from functools import partial
from itertools import groupby
from operator import add, itemgetter

import msgspec

from shipper.delivery.interfaces import Joined
from shipper.destinations.otlp.protobuf_values import (
    LARGE_BYTES,
    any_value,
    field,
    fixed32,
    fixed64,
    key_value,
    large_value,
    member,
    members,
    text_field,
    unescaped,
    varint,
)
from shipper.destinations.otlp.values import (
    DIGITS,
    HUNDRED,
    LAST_DIGITS,
    TEN,
    Remembered,
    by_scope,
    class_of,
    exception_attributes,
    hundreds,
    remember,
    scope_of,
    scoped,
)
from shipper.model import semconv
from shipper.model.log_record import EVENT_TYPE, RESERVED, Encoder, LogRecord, Origin, Records
from shipper.model.severity import number_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MOST_WORD_BYTES = 64

# What is longer is not kept for the next line.
_MOST_END_BYTES = 1024

# A byte is found in bytes in a tenth of the time that bytes are.
_QUOTE, _BACKSLASH, _N, _NEWLINE = b'"\\n\n'

_STAMP_BYTES = 9

# Sizes of what follows a text, of which there are as many as origins and levels take differently many bytes.
_MOST_SIZES = 16


class Tail(msgspec.Struct, gc=False):
    """What records share that are of one origin and level, and whose indexes differ in their last digits alone.

    Attributes:
        origin: Theirs.
        least: The least of these indexes.
        most: One more than the greatest.
        end: What follows the timestamp, up to the last digits of the index.
        digits: Those, by the last two digits of the index.
        heads: What stands before a text, by its length.
    """

    origin: Origin
    least: int
    most: int
    end: bytes
    digits: "Sequence[bytes]"
    heads: Remembered[int]


_NO_TAIL = Tail(Origin(), 0, 0, b"", (), Remembered(bytes))


class Fields(Joined):
    """Log records in protobuf, each a field of its scope."""

    def each(self) -> "list[bytes]":
        """These, by themselves."""
        from lifecycle.contract.otlp_wire import fields

        return [scoped(self[begin:end], scope_of(self)) for _, begin, _, end in fields(self)]

    def divided(self) -> "tuple[bytes, ...]":
        """Both halves."""
        records = self.each()
        middle = len(records) // 2
        return tuple(_joined(half) for half in (records[:middle], records[middle:]) if middle)


class LogRecords(Encoder):
    """Writes log records, each as a field of its scope."""

    def __init__(self) -> None:
        self._stamps = Remembered(_stamp)
        self._severities = Remembered(_severity)
        # By origin, and how many digits the indexes have.
        self._shared = Remembered(self._shared_by)
        # Attributes by name and text that several origins share: types of events, and ids of requests.
        self._words = Remembered(_word)
        # What the attribute of a name was last, and what that is written as: most repeat from record to record.
        self._attributes: dict[str, tuple[bytes, bytes]] = {}
        # By level, as the last line of it had it.
        self._tails: dict[str, Tail] = {}
        # What stands before a text, by the size of what follows it, and by its length.
        self._heads: dict[int, Remembered[int]] = {}
        self._bodies = Remembered(_body)
        self._lengths = Remembered(_length)

    def log(self, record: LogRecord) -> bytes:
        """One LogRecord."""
        time_ns, origin, level, index = record.time_ns, record.origin, record.severity_text, record.index
        tail = self._tails.get(level, _NO_TAIL)
        if origin is not tail.origin or not tail.least <= index < tail.most:
            tail = self._tail_of(origin, level, index)
        body = record.body
        is_large = len(body) > LARGE_BYTES
        if body[0] == _QUOTE and not is_large and _BACKSLASH not in body:
            text = body[1:-1]
            pieces: list[bytes | memoryview] = [self._bodies[len(text)], text]
        else:
            value = large_value(body) if is_large else (any_value(body),)
            pieces = [b"\x2a", varint(sum(map(len, value))), *value]
        known = self._attributes
        for name, raw in record.attributes:
            if raw[0] != _QUOTE:  # numbers seldom repeat
                pieces.append(member(b"\x32", name if name not in RESERVED else f"log.{name}", raw))
                continue
            pair = known.get(name)
            if pair is None or pair[0] != raw:
                pair = raw, member(b"\x32", name if name not in RESERVED else f"log.{name}", raw)
                if len(raw) <= _MOST_WORD_BYTES and len(name) <= _MOST_WORD_BYTES:
                    remember(known, name, pair)
            pieces.append(pair[1])
        if record.exception is not None:
            pieces += [_text_attribute(name, text) for name, text in exception_attributes(record.exception)]
        if time_ns is not None:
            pieces.append(self._stamps[time_ns])
        pieces += (tail.end, tail.digits[index % HUNDRED])
        if is_large:  # it is copied once
            written = b"".join((b"\x12", varint(sum(map(len, pieces))), *pieces))
        else:
            content = b"".join(pieces)
            written = b"\x12" + varint(len(content)) + content
        return scoped(written, record.scope) if record.scope else written

    def text_line(self, raw: bytes, time_ns: int, level: str, origin: Origin, index: int) -> bytes:
        """The same of a plain text line."""
        tail = self._tails.get(level, _NO_TAIL)
        if origin is not tail.origin or not tail.least <= index < tail.most:
            tail = self._tail_of(origin, level, index)
        has_newline = raw[-2] == _N and raw[-3] == _BACKSLASH
        text = raw[1:-3] if has_newline else raw[1:-1]
        if _BACKSLASH in text:
            text = unescaped(raw)
            if has_newline and text[-1] == _NEWLINE:
                text = text[:-1]
        return b"".join(
            (
                tail.heads[len(text)],
                text,
                self._stamps[time_ns],
                tail.end,
                tail.digits[index % HUNDRED],
            )
        )

    def several(self, records: Records) -> list[bytes]:
        """Records by column: what they share is found once, and the rest without a loop."""
        bodies, levels, count = records.bodies, records.levels, len(records.bodies)
        columns: list[bytes | Iterable[bytes]] = [bodies]
        size, sizes = _STAMP_BYTES, list[list[int]]()
        for attribute in records.attributes:
            name = attribute.name if attribute.name not in RESERVED else f"log.{attribute.name}"
            some, each = members(b"\x32", name, attribute.values, attribute.numbers, is_text=attribute.is_text)
            columns += some
            if isinstance(each, int):
                size += each
            else:
                sizes.append(each)
        columns.append(map(self._stamps.__getitem__, records.times_ns))
        severity = b""
        if levels.count(levels[0]) == count:
            severity = self._severities[levels[0]]
        else:
            severities = list(map(self._severities.__getitem__, levels))
            columns.append(severities)
            sizes.append(list(map(len, severities)))
        ends: list[bytes] = []
        digits: list[bytes] = []
        spans: list[tuple[int, int]] = []
        for known, last in hundreds(records.index, count):
            end = severity + self._shared[records.origin, len(known) + len(last[0])] + known
            spans.append((len(last), size + len(end) + len(last[0])))
            ends += [end] * len(last)
            digits += last
        columns += (ends, digits)
        columns.insert(0, self._heads_of(list(map(len, bodies)), spans, sizes))
        return _written(columns, count, records.scopes)

    def _heads_of(self, lengths: list[int], spans: list[tuple[int, int]], sizes: list[list[int]]) -> list[bytes]:
        """What stands before texts.

        Args:
            lengths: Theirs.
            spans: Of how many that follow one another how many bytes follow each.
            sizes: How many more follow each.
        """
        if not sizes:
            heads: list[bytes] = []
            for size, group in groupby(spans, itemgetter(1)):
                at = len(heads)
                some = lengths[at : at + sum(map(itemgetter(0), group))]
                heads += map(self._heads_by(size).__getitem__, some)
            return heads
        bodies = list(map(self._bodies.__getitem__, lengths))
        contents: Iterable[int] = map(add, lengths, map(len, bodies))
        for more in ([size for count, size in spans for _ in range(count)], *sizes):
            contents = map(add, contents, more)
        return list(map(add, map(self._lengths.__getitem__, contents), bodies))

    def _heads_by(self, size: int) -> Remembered[int]:
        """What stands before a text, by its length, that so many bytes follow."""
        heads = self._heads.get(size)
        if heads is None:
            if len(self._heads) >= _MOST_SIZES:
                self._heads.clear()
            heads = self._heads[size] = Remembered(partial(self._head, size))
        return heads

    def _tail_of(self, origin: Origin, level: str, index: int) -> Tail:
        known = b"%d" % (index // HUNDRED) if index >= HUNDRED else b""
        digits = DIGITS if index < TEN else LAST_DIGITS
        least = index - index % len(digits)
        end = b"%b%b%b" % (self._severities[level], self._shared[origin, len(known) + len(digits[0])], known)
        size = _STAMP_BYTES + len(end) + len(digits[0])
        most = least + len(digits)
        least = TEN if TEN <= index < HUNDRED else least
        tail = Tail(origin, least, most, end, digits, self._heads_by(size))
        if len(end) <= _MOST_END_BYTES:
            remember(self._tails, level, tail)
        return tail

    def _head(self, size: int, length: int) -> bytes:
        """What stands before a text of some length that so many bytes follow."""
        body = self._bodies[length]
        return b"\x12%b%b" % (varint(size + len(body) + length), body)

    def _shared_by(self, key: tuple[Origin, int]) -> bytes:
        """What records share that are of one origin, and whose indexes have so many digits: all that precedes these."""
        origin, digits = key
        trace_id, span_id, event_type, request_id = (
            origin.trace_id,
            origin.span_id,
            origin.event_type,
            origin.request_id,
        )
        pieces = [b"\x45%b" % fixed32(origin.flags)] if trace_id and origin.flags else []
        if trace_id:
            pieces.append(field(b"\x4a", bytes.fromhex(trace_id)))
        if span_id:
            pieces.append(field(b"\x52", bytes.fromhex(span_id)))
        pieces.append(b"\x59%b" % fixed64(origin.observed_ns))
        if event_type not in ("", "function"):
            pieces.append(self._words[EVENT_TYPE, event_type])
        if request_id:
            pieces.append(self._words[semconv.FAAS_INVOCATION_ID, request_id])
        pieces.append(_text_attribute(semconv.LOG_RECORD_UID, f"{origin.batch_id}-{'0' * digits}")[:-digits])
        return b"".join(pieces)


def _stamp(time_ns: int) -> bytes:
    return b"\x09%b" % fixed64(time_ns)


def _severity(level: str) -> bytes:
    return b"\x10%b%b" % (varint(number_of(level)), text_field(b"\x1a", level)) if level else b""


def _body(length: int) -> bytes:
    """What stands before a text of some length that is a body."""
    text = b"\x0a" + varint(length)
    return b"\x2a%b%b" % (varint(len(text) + length), text)


def _length(length: int) -> bytes:
    """What stands before a record of some length."""
    return b"\x12" + varint(length)


def _word(attribute: tuple[str, str]) -> bytes:
    """What an attribute is written as that origins share."""
    return _text_attribute(*attribute)


def _text_attribute(name: str, text: str) -> bytes:
    return key_value(b"\x32", name, field(b"\x0a", text.encode("utf-8", "replace")))


def _written(columns: "Sequence[bytes | Iterable[bytes]]", count: int, scopes: "Sequence[str]") -> list[bytes]:
    """Log records in protobuf, those of one scope that follow one another joined.

    Args:
        columns: What they consist of, one value where it is that of all.
        count: How many they are.
        scopes: Of each.
    """
    width = len(columns)
    pieces = [b""] * (width * count)
    for place, column in enumerate(columns):
        pieces[place::width] = [column] * count if isinstance(column, bytes) else column
    if scopes.count(scopes[0]) == count:
        return [_fields_of(b"".join(pieces), count, scopes[0])]
    items = [scoped(b"".join(pieces[at * width : (at + 1) * width]), scope) for at, scope in enumerate(scopes)]
    groups = [(scope, list(group)) for scope, group in by_scope(items)]
    return [_fields_of(b"".join(group), len(group), scope) for scope, group in groups]


def _joined(records: "Sequence[bytes]") -> bytes:
    """Log records of one scope in protobuf as one."""
    if len(records) == 1:
        return records[0]
    return _fields_of(b"".join(records), len(records), scope_of(records[0]))


def _fields_of(content: bytes, count: int, scope: str = "") -> Fields:
    """So many that stand one behind the other."""
    found = class_of(scope, Fields)(content)
    found.items = count
    return found
