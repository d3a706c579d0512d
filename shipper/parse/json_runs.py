"""Lines of one shape that follow one another: what they mean, found by column.

A line by itself takes four times the steps: here each is taken for a whole column of values, in the interpreter's C.
What a line of a shape means is decided where one of them is read (`LogParser`), and both ways say the same; a run of
which one line is not as it usually is is read line by line.
"""

from operator import sub

import msgspec

from shipper.model.log_record import Column, Records
from shipper.parse.json_lines import LEVELS, logger_of, moment_of
from shipper.parse.json_shapes import NO_TIME, Times, time_of
from shipper.parse.times import NEAR_NS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shipper.model.log_record import Origin
    from shipper.parse.json_lines import Named
    from shipper.parse.json_shapes import JsonRun, Shape

    # By an event's type, an invocation's id and the raw value that names a trace; None where it names none.
    OriginOf = Callable[[str, str, bytes], Origin | None]
    Rest = tuple[tuple[str, int, bool], ...]

_NS_PER_S = 1_000_000_000

# Words remembered.
_MOST_WORDS = 64

_values = msgspec.json.Decoder(list[msgspec.Raw])
_ints = msgspec.json.Decoder(list[int])


def _exact_time_of(raw: bytes) -> int:
    """When a timestamp is that is finer than a second."""
    return time_of(raw) if b"." in raw or b"," in raw else NO_TIME


_exact_times = Times(_exact_time_of)


def records_of(run: "JsonRun", index: int, named: "Named", origin_of: "OriginOf") -> Records | None:
    """What the lines of a run mean; None where they have to be read one by one.

    Args:
        run: Of a shape's lines.
        index: Place of the first in the batch.
        named: Says which invocation a value names.
        origin_of: Says of an event's type and such an invocation where its lines come from.

    Raises:
        msgspec.DecodeError: One of the values is no JSON.
    """
    shape, values = run.shape, run.columns
    times_ns: Sequence[int] = run.rows
    if NO_TIME in times_ns:
        return None
    numbers = {place: _numbers_in(values[place]) for place in shape.others}
    levels, loggers = _levels(values, shape), _loggers(values, shape)
    if shape.time >= 0:
        times_ns = _moments(values[shape.time], times_ns, shape)
    origin, rest = _whose(values, shape, named, origin_of)
    if not levels or not loggers or not times_ns or origin is None:
        return None
    attributes = [Column(name, is_text, values[place], numbers.get(place, ())) for name, place, is_text in rest]
    return Records(index, origin, values[shape.message], times_ns, levels, attributes, loggers)


def _numbers_in(column: "Sequence[bytes]") -> "Sequence[int]":
    """Values that are no texts as whole numbers from 0 on, if they are all such; nothing else.

    Raises:
        msgspec.DecodeError: One of them is no JSON.
    """
    if column.count(column[0]) == len(column):
        column = column[:1]
    array = b"[%b]" % b",".join(column)
    if b"".join(column).isdigit():
        return _ints.decode(array)
    _values.decode(array)
    return ()


def _whose(
    values: "Sequence[Sequence[bytes]]", shape: "Shape", named: "Named", origin_of: "OriginOf"
) -> "tuple[Origin | None, Rest]":
    """Where lines come from, and what stays of their members; None where that is not the same for all of them."""
    request_id, rest = "", shape.rests[-1]
    for place, is_sure in shape.invocations:
        column = values[place]
        if column.count(column[0]) != len(column):
            return None, ()
        request_id = named[is_sure][shape.raw_of(column[0], place)]
        if request_id:
            rest = shape.rests[place]
            break
    trace = b""
    if shape.trace >= 0:
        column = values[shape.trace]
        if column.count(column[0]) != len(column):
            return None, ()
        trace = shape.raw_of(column[0], shape.trace)
    origin = origin_of("function", request_id, trace)
    return (None if origin is None or origin.tenant else origin), rest


def _levels(values: "Sequence[Sequence[bytes]]", shape: "Shape") -> "Sequence[str]":
    """How severe lines are; nothing where one of them does not say."""
    place = shape.level
    if place < 0:
        return (shape.unsaid_level,) * len(values[0])
    return _said(values[place], shape.levels, lambda value: LEVELS.get(shape.raw_of(value, place), ""))


def _loggers(values: "Sequence[Sequence[bytes]]", shape: "Shape") -> "Sequence[str]":
    """Whose they are, likewise."""
    place = shape.logger
    if place < 0:
        return ("",) * len(values[0])
    return _said(values[place], shape.loggers, lambda value: logger_of(shape.raw_of(value, place)))


def _said(column: "Sequence[bytes]", known: dict[bytes, str], find: "Callable[[bytes], str]") -> "Sequence[str]":
    """What values say of which there are few; nothing where one of them says nothing."""
    if column.count(column[0]) == len(column):
        word = known.get(column[0]) or find(column[0])
        if word and len(known) < _MOST_WORDS:
            known[column[0]] = word
        return [word] * len(column) if word else ()
    try:
        return list(map(known.__getitem__, column))
    except KeyError:
        for value in set(column).difference(known):
            word = find(value)
            if word and len(known) < _MOST_WORDS:
                known[value] = word
    words = [known.get(value) or find(value) for value in column]
    return words if "" not in words else ()


def _moments(column: "Sequence[bytes]", events_ns: "Sequence[int]", shape: "Shape") -> "Sequence[int]":
    """When lines were written, by what they say and by their events; nothing where one of them does not say."""
    if shape.texts[shape.time]:
        found = list(map(_exact_times.__getitem__, column))
        if found == events_ns:
            return events_ns
        if NO_TIME not in found:
            away = list(map(sub, found, events_ns))
            return found if min(away) >= -NEAR_NS and max(away) <= NEAR_NS else ()
    moments: list[int] = []
    for value, event_ns in zip(column, events_ns, strict=True):
        written_ns, is_exact = moment_of(shape.raw_of(value, shape.time), event_ns)
        if written_ns is None:
            return ()
        moments.append(written_ns if is_exact or not 0 <= event_ns - written_ns < _NS_PER_S else event_ns)
    return moments
