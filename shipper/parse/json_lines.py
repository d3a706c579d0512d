"""Lines that are JSON: which member is the message, the level, the time, and so on, whatever library wrote it.

Covers Lambda's own JSON log format in every runtime, Powertools, structlog, pino, winston, zap, zerolog, slog, logback
and Serilog. A member that has a place of its own in a log record is taken out; every other one stays, as it is.
"""

import operator
import re

import msgspec

from lifecycle.contract.json_text import has_more_members, with_valid_escapes
from shipper.model.log_record import ExceptionInfo
from shipper.model.severity import name_of, number_of
from shipper.model.trace_ids import SPAN_DIGITS, hex_id, trace_id_of
from shipper.parse.text_formats import may_hold_exception
from shipper.parse.times import unix_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Roles = tuple[tuple[Callable[["Line", bytes], bool], tuple[str, ...]], ...]

# What a member may be, by the names that libraries give it; of several the first named here is taken.
_NAMES = {
    "time": ("timestamp", "time", "@timestamp", "ts", "@t"),
    "level": ("level", "severity", "log_level", "levelname", "log.level", "lvl", "@l"),
    "message": ("message", "msg", "@m", "@message", "event", "@mt"),
    "logger": ("logger", "logger_name", "loggerName", "log.logger"),
    "request": (
        *("requestId", "request_id", "AWSRequestId", "aws_request_id", "awsRequestId", "function_request_id"),
        "faas.invocation_id",
    ),
    "trace": ("trace_id", "traceId", "otelTraceID", "xray_trace_id", "xRayTraceId"),
    "span": ("span_id", "spanId", "otelSpanID"),
}
_TYPES = ("errorType", "exception.type", "exception_name", "error.type")
_ERRORS = ("errorMessage", "exception.message", "error.message")
_STACKS = (
    *("stackTrace", "exception.stacktrace", "stack_trace", "stacktrace", "exc_info", "exception", "stack"),
    *("error.stack_trace", "error.stack", "@x"),
)
# Members that may hold an exception as an object, or as a list of objects with its causes behind it.
_OBJECTS = ("err", "error", "exception", "thrown")
_ROLES = {name: (role, rank) for role, names in _NAMES.items() for rank, name in enumerate(names)}
_OF_ERRORS = frozenset((*_TYPES, *_ERRORS, *_STACKS, *_OBJECTS))

# Remembered, of sets of members and of spellings of levels.
_MOST_PLANS = 256
_MOST_LEVELS = 64

# Remembered of sets of members, together.
_MOST_NAMES_BYTES = 2048

# What is longer is none.
_MOST_ID = 128
_MOST_WORD = 64
_MOST_LOGGER = 512

# Of an exception that is an object, or a list; what is larger stays as it is.
_MOST_VALUE_BYTES = 65_536

# A line with more members than this is not taken apart: each of them costs more than its text.
MOST_MEMBERS = 1024
_LEVEL_DIGITS = 2
_NS_PER_S = 1_000_000_000

# Between these, a number is a time: from 2001 on, in seconds, milliseconds, microseconds or nanoseconds.
_UNITS_NS = ((10**9, 10**9), (10**12, 10**6), (10**15, 10**3), (10**18, 1))
_NUMBER = re.compile(rb"(\d{10,19})(?:\.(\d+))?")
_MOST_NS = 2**63 - 1

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text = msgspec.json.Decoder(str)
_anything = msgspec.json.Decoder()
_to_json = msgspec.json.Encoder().encode


class Line(msgspec.Struct):
    """A line that is JSON, taken apart.

    Attributes:
        message: What is to be the body, raw; None when no member is.
        level: As written.
        time_ns: When, in nanoseconds since the epoch; None when no member tells.
        is_exact: Whether that is finer than a second.
        logger: Name of the logger.
        request_id: Of the invocation that the line names.
        trace_id: Likewise.
        span_id: Likewise.
        exception: Its type, message and stack trace.
        rest: Members without a place of their own, raw.
    """

    message: bytes | None = None
    level: str = ""
    time_ns: int | None = None
    is_exact: bool = False
    logger: str = ""
    request_id: str = ""
    trace_id: str = ""
    span_id: str = ""
    exception: ExceptionInfo | None = None
    rest: dict[str, bytes] = {}


class _Plan(msgspec.Struct, frozen=True):
    """How lines with the same members are taken apart.

    Attributes:
        roles: What takes a member, and the names of those it is offered, in turn, until one is taken.
        may_tell_error: Whether a member is there that may hold an exception.
    """

    roles: "Roles"
    may_tell_error: bool


# A function's lines have the same few sets of members, over and over.
_plans: dict[tuple[str, ...], _Plan] = {}
_levels: dict[bytes, str] = {}


def members_of(raw: bytes) -> dict[str, bytes] | None:
    """The members of a raw JSON object, or of one that stands in a raw JSON string; None when it is neither."""
    text = _object_in(raw)
    if text is None or has_more_members(text, MOST_MEMBERS):
        return None
    try:
        return {name: bytes(value) for name, value in _members.decode(text).items()}
    except (msgspec.MsgspecError, RecursionError):
        return None


def _object_in(raw: bytes) -> bytes | None:
    """What may be a JSON object: all of `raw`, or the text that it is."""
    if raw[:1] == b"{":
        return raw
    text = _text.decode(raw).strip().encode()
    # An escape within the string was an escaped escape so far.
    return with_valid_escapes(text) if text.endswith(b"}") else None


def line_of(members: dict[str, bytes]) -> Line:
    """A line's parts. `members` is used up."""
    line = Line(rest=members)
    names = tuple(members)
    plan = _plans.get(names) or _planned(names)
    for take, candidates in plan.roles:
        for name in candidates:
            if take(line, members[name]):
                del members[name]
                break
    if plan.may_tell_error and not _OF_ERRORS.isdisjoint(members):
        # What the runtimes themselves say of an error has its type and its text, and nothing that a logger adds.
        is_bare = not line.logger and line.message is None
        line.exception = _exception(
            members, is_uncaught=is_bare and "errorType" in members and "errorMessage" in members
        )
    elif line.message is not None:
        line.exception = _in_message(line.message, has_logger=bool(line.logger))
    return line


def head_of(raw: "msgspec.Raw | bytes") -> Line:
    """What a raw JSON object says of itself, and nothing of what it says: for one that is not taken apart."""
    line = Line()
    try:
        named = _heads.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        return line
    for take, candidates_of in _HEAD_FIELDS:
        for member in candidates_of(named):
            if member is not _NO_MEMBER and len(member) <= _MOST_LOGGER and take(line, bytes(member)):
                break
    return line


def ids_in(raw: bytes) -> tuple[str, str, str]:
    """Request, trace and span id that a line names, as `line_of` finds them, and nothing else of it.

    Args:
        raw: A raw JSON object, or one that stands in a raw JSON string.
    """
    text = _object_in(raw)
    try:
        named = _ids.decode(text) if text is not None else None
    except (msgspec.MsgspecError, RecursionError):
        named = None
    line = Line()
    if named is not None:
        for take, candidates_of in _FIELDS:
            for member in candidates_of(named):
                if member is not _NO_MEMBER and take(line, bytes(member)):
                    break
    return line.request_id, line.trace_id, line.span_id


def object_of(members: dict[str, bytes]) -> bytes:
    """Members as a raw JSON object."""
    return b"{%b}" % b",".join([b"%b:%b" % (_to_json(name), value) for name, value in members.items()])


def _planned(names: tuple[str, ...]) -> _Plan:
    """What is looked for in which members of a line with these."""
    found: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        role = _ROLES.get(name)
        if role is not None:
            found.setdefault(role[0], []).append((role[1], name))
    roles = tuple((_TAKERS[role], tuple(name for _, name in sorted(ranked))) for role, ranked in found.items())
    plan = _Plan(roles, not _OF_ERRORS.isdisjoint(names))
    if len(_plans) < _MOST_PLANS and sum(map(len, names)) <= _MOST_NAMES_BYTES:
        _plans[names] = plan
    return plan


def _take_time(line: Line, raw: bytes) -> bool:
    if len(raw) > _MOST_WORD:
        return False
    if raw[:1] == b'"':
        text = _text.decode(raw)
        line.time_ns = unix_ns(text)
        line.is_exact = "." in text or "," in text
    else:
        line.time_ns = _epoch_ns(raw)
        line.is_exact = line.time_ns is not None and line.time_ns % _NS_PER_S != 0
    return line.time_ns is not None


def _take_level(line: Line, raw: bytes) -> bool:
    if len(raw) > _MOST_WORD:
        return False
    level = _levels.get(raw)
    if level is None:
        level = _str(raw) or (name_of(int(raw)) if raw.isdigit() and len(raw) <= _LEVEL_DIGITS else "")
        level = level if number_of(level) else ""
        if len(_levels) < _MOST_LEVELS:
            _levels[raw] = level
    line.level = level
    return bool(level)


def _take_message(line: Line, raw: bytes) -> bool:
    line.message = None if raw == b"null" else raw
    return line.message is not None


def _take_logger(line: Line, raw: bytes) -> bool:
    line.logger = _str(raw) if len(raw) <= _MOST_LOGGER else ""
    return bool(line.logger)


def _take_request(line: Line, raw: bytes) -> bool:
    line.request_id = _str(raw) if len(raw) <= _MOST_ID else ""
    return bool(line.request_id)


def _take_trace(line: Line, raw: bytes) -> bool:
    line.trace_id = "" if len(raw) > _MOST_LOGGER else trace_id_of(_str(raw).partition(";")[0].removeprefix("Root="))
    return bool(line.trace_id)


def _take_span(line: Line, raw: bytes) -> bool:
    line.span_id = hex_id(_str(raw), SPAN_DIGITS) if len(raw) <= _MOST_WORD else ""
    return bool(line.span_id)


# Each takes a member if it is what its name says.
_TAKERS = {
    "time": _take_time,
    "level": _take_level,
    "message": _take_message,
    "logger": _take_logger,
    "request": _take_request,
    "trace": _take_trace,
    "span": _take_span,
}


_NO_MEMBER = msgspec.Raw()


def _only(roles: tuple[str, ...]) -> "tuple[msgspec.json.Decoder[Any], tuple[tuple[Any, Any], ...]]":
    """What reads the members that may have a role and passes over all others; and, by role, who takes which."""
    fields = {role: [f"{role}_{rank}" for rank in range(len(_NAMES[role]))] for role in roles}
    kind = msgspec.defstruct(
        "_Named",
        [(field, msgspec.Raw, _NO_MEMBER) for role in roles for field in fields[role]],
        rename={field: name for role in roles for field, name in zip(fields[role], _NAMES[role], strict=True)},
        gc=False,
    )
    return msgspec.json.Decoder(kind), tuple((_TAKERS[role], operator.attrgetter(*fields[role])) for role in roles)


_ids, _FIELDS = _only(("request", "trace", "span"))
_heads, _HEAD_FIELDS = _only(("time", "level", "logger", "request", "trace", "span"))


def _exception(members: dict[str, bytes], *, is_uncaught: bool) -> ExceptionInfo | None:
    from shipper.parse.exceptions import in_text, stack_of

    kind, message, stack = _taken(members, _TYPES), _taken(members, _ERRORS), ""
    for name in _STACKS:
        raw = members.get(name)
        stack = stack_of(_value(raw)) if raw is not None else ""
        if stack:
            del members[name]
            break
    for name in _OBJECTS:
        raw = members.get(name)
        held = _of_object(_value(raw)) if raw is not None and raw[:1] in b"{[" and not kind else None
        if held is not None:  # it stays as it is: there may be more in it
            kind, message, stack = held.type, message or held.message, stack or held.stack
    if stack and not kind:
        held = in_text(stack)
        kind, message = (held.type, message or held.message) if held else (kind, message)
    return ExceptionInfo(kind, message, stack, is_uncaught) if kind or message or stack else None


def _in_message(raw: bytes, *, has_logger: bool) -> ExceptionInfo | None:
    """An exception that stands in the message: Node.js's runtime has it there as an object, Java's as text."""
    if raw[:1] == b"{" and b"rrorType" in raw:
        return _of_object(_value(raw))
    if raw[:1] == b'"' and b"\\" in raw and may_hold_exception(raw):
        from shipper.parse.exceptions import PANIC, in_text

        found = in_text(_text.decode(raw))
        # A panic that is logged was recovered from: the runtime tells one that was not as text.
        if found is not None and found.is_uncaught and (has_logger or found.type == PANIC):
            return msgspec.structs.replace(found, is_uncaught=False)
        return found
    return None


def _of_object(value: "Any") -> ExceptionInfo | None:
    """What libraries write of an exception: `{"type", "message", "stack"}` under many names."""
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return None
    kind = _first(value, "errorType", "type", "exc_type", "name")
    if not kind:
        return None
    from shipper.parse.exceptions import stack_of

    message = _first(value, "errorMessage", "message", "exc_value")
    stacks = (stack_of(value.get(name)) for name in ("stackTrace", "stack", "stack_trace", "extendedStackTrace"))
    return ExceptionInfo(kind, message, next((stack for stack in stacks if stack), ""))


def _first(value: "dict[str, Any]", *names: str) -> str:
    return next((value[name] for name in names if isinstance(value.get(name), str)), "")


def _taken(members: dict[str, bytes], names: tuple[str, ...], most: int = 10**9) -> str:
    """The first of these members that is text, which is taken out; "" when none is."""
    for name in names:
        text = _str(members.get(name))
        if text and len(text) <= most:
            del members[name]
            return text
    return ""


def _str(raw: bytes | None) -> str:
    return _text.decode(raw) if raw is not None and raw[:1] == b'"' else ""


def _value(raw: bytes) -> "Any":
    if len(raw) > _MOST_VALUE_BYTES:
        return None
    try:
        return _anything.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        return None


def _epoch_ns(raw: bytes) -> int | None:
    found = _NUMBER.fullmatch(raw)
    if found is None:
        return None
    whole = int(found[1])
    for least, unit_ns in _UNITS_NS:
        if least <= whole < least * 10:
            part = int(found[2][:9].ljust(9, b"0")) * unit_ns // 10**9 if found[2] else 0
            total = whole * unit_ns + part
            return total if total <= _MOST_NS else None
    return None
