"""Lines that are JSON: which member is the message, the level, the time, and so on, whatever library wrote it.

Covers Lambda's own JSON log format in every runtime, Powertools, structlog, pino, winston, zap, zerolog, slog, logback
and Serilog. A member that has a place of its own in a log record is taken out; every other one stays, as it is.
"""

import msgspec

from lifecycle.contract import late
from lifecycle.contract.json_text import has_more_members, with_valid_escapes
from lifecycle.contract.quick import cache
from shipper.model.context import NOTHING, Context
from shipper.model.log_record import RESERVED, ExceptionInfo
from shipper.model.severity import name_of, number_of, own_name_of, syslog_name_of
from shipper.model.trace_ids import SPAN_DIGITS, hex_id, trace_context
from shipper.parse.json_shapes import Meanings
from shipper.parse.text_formats import may_hold_exception
from shipper.parse.times import NEAR_NS, unix_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterator
    from typing import Any

    Take = Callable[["Line", bytes], bool]
    Named = tuple["Invocations", "Invocations"]
    Roles = tuple[tuple[Take, tuple[str, ...]], ...]

# What a member may be, by the names that libraries give it; of several the first named here is taken.
_NAMES = {
    "time": (
        *("timestamp", "time", "@timestamp", "ts", "@t", "Timestamp", "Time", "datetime", "instant", "timeMillis"),
        "eventTime",
    ),
    "level": (
        *("severityText", "severity_text", "SeverityText", "level", "severity", "log_level", "levelname", "log.level"),
        *("lvl", "@l", "Level", "Severity", "LogLevel", "logLevel", "loglevel", "level_name", "levelName"),
    ),
    "number": ("severityNumber", "severity_number", "SeverityNumber"),
    "message": (
        *("message", "msg", "@m", "@message", "event", "@mt", "Message", "Msg", "RenderedMessage", "MessageTemplate"),
        "short_message",
    ),
    "logger": ("logger", "logger_name", "loggerName", "log.logger", "Logger", "SourceContext"),
    # Names that nobody gives another id, and names that many ids have: API Gateway's, S3's, a user's own.
    "invocation": (
        *("function_request_id", "functionRequestId", "FunctionRequestId", "aws_request_id", "awsRequestId"),
        *("AWSRequestId", "AwsRequestId", "awsRequestID", "AWSRequestID", "AWS_REQUEST_ID", "aws.request_id"),
        *("aws.requestId", "aws.lambda.request_id", "lambda_request_id", "lambdaRequestId", "LambdaRequestId"),
        *("lambdaRequestID", "lambda.request_id", "lambda.requestId", "faas.invocation_id", "faas.execution"),
        "faas_execution",
    ),
    "request": (
        *("requestId", "request_id", "RequestId", "requestID", "RequestID", "request.id", "requestid", "reqId"),
        *("invocationId", "invocation_id", "InvocationId"),
    ),
    "trace": (
        *("trace_id", "traceId", "TraceId", "traceID", "otelTraceID", "otelTraceId", "trace.id", "@tr"),
        *("xray_trace_id", "xRayTraceId", "xrayTraceId", "XRayTraceId", "XrayTraceId", "AWS-XRAY-TRACE-ID"),
        *("X-Amzn-Trace-Id", "x-amzn-trace-id", "_X_AMZN_TRACE_ID", "traceparent", "traceParent", "TraceParent"),
    ),
    "span": ("span_id", "spanId", "SpanId", "spanID", "otelSpanID", "otelSpanId", "span.id", "@sp", "transaction.id"),
    "flags": ("trace_flags", "traceFlags", "TraceFlags", "otelTraceSampled", "otelTraceFlags", "trace.flags"),
}
_TYPES = ("errorType", "exception.type", "exception_name", "error.type")
_MESSAGES = ("errorMessage", "exception.message", "error.message")
_STACKS = (
    *("stackTrace", "exception.stacktrace", "stack_trace", "stacktrace", "exc_info", "exception", "stack"),
    *("error.stack_trace", "error.stack", "@x", "Exception"),
)
# Members that may hold an exception as an object, or as a list of objects with its causes behind it.
_OBJECTS = ("err", "error", "exception", "thrown", "Exception")
_ROLES = {name: (role, rank) for role, names in _NAMES.items() for rank, name in enumerate(names)}
# Names that mean so only beside one of others: OpenTelemetry's records, Rust's tracing, .NET's console, Monolog.
_BESIDE = {
    "body": ("message", frozenset(_NAMES["number"])),
    "Body": ("message", frozenset(_NAMES["number"])),
    "target": ("logger", frozenset(("fields",))),
    "Category": ("logger", frozenset(("LogLevel",))),
    "channel": ("logger", frozenset(("level_name",))),
}
_LAST_RANK = 1000
# Members that hold what others have beside each other, and what of it is taken: the Elastic Common Schema nested,
# Rust's tracing, loguru, whose record has the logger's name as `name`.
_PARTS = {"log": ("level", "logger"), "fields": ("message",), "record": ("time", "level", "message", "logger")}
# What the runtimes' own JSON formats consist of; what is their message may be another logger's line.
_ENVELOPE = frozenset(("timestamp", "level", "message", "requestId", "AWSRequestId", "logger", "traceId", "tenantId"))
_OF_ENVELOPE = frozenset(("timestamp", "level", "message"))
# GELF, in which levels are syslog's; Serilog's compact form, in which no level is Information.
_OF_GELF, _OF_SERILOG = "short_message", frozenset(("@t", "@i", "@m", "@mt"))
_INFORMATION = "Information"
_MOST_WRAPPED = 3
# What an attribute gets before its name that cannot have it, and what one is called that has none.
_PREFIX, _UNNAMED = "log.", "unnamed"
# What says whose line it is.
_OF_IDS = ("invocation", "request", "trace", "span", "flags")
# Members in which loggers put what they were told for all lines: Rust's tracing, Log4j, Logback, Monolog and loguru,
# Serilog, .NET's console, and the Elastic Common Schema.
_HOLDERS = (
    *("trace", "span", "spans", "contextMap", "context_map", "mdc", "MDC", "context", "ctx", "extra", "record"),
    *("Properties", "properties", "Scopes", "scopes", "labels", "transaction", "faas", "lambda", "aws"),
    *("lambda_context", "lambdaContext", "lambdaRequest", "fields", "attributes", "Attributes", "meta"),
)
# Of these, members are named as if they stood beside them, too: `{"trace": {"id": …}}` is `trace.id`.
_PREFIXES = frozenset(("trace", "span", "transaction", "faas", "lambda", "aws"))
_MOST_NESTED = 2
_MOST_HELD = 16
_ERROR_NAMES = (_TYPES, _MESSAGES, _STACKS, _OBJECTS)
_OF_ERRORS = frozenset((*_TYPES, *_MESSAGES, *_STACKS, *_OBJECTS))

# Remembered, of sets of members and of spellings of levels.
_MOST_PLANS = 256
_MOST_LEVELS = 64

# Remembered of sets of members, together.
_MOST_NAMES_BYTES = 2048

_BRACE = b"{"[0]

# What is larger is not looked into.
_MOST_VALUE_BYTES = 65_536

# What is longer is none.
_MOST_WORD = 64
_MOST_MOMENT = 128
_MOST_LOGGER = 512
_MOST_HEAD_BYTES = 4096

# An id, with its quotes and what may be escaped in it; what is longer names no invocation. How many are remembered.
_MOST_ID_BYTES = 256
_MOST_IDS = 512

# A line with more members than this is not taken apart: each of them costs more than its text.
MOST_MEMBERS = 1024
_LEVEL_NUMBER = late.pattern(rb"(\d{1,2})(?:\.0{1,6})?")
# How a terminal is told of a colour.
_COLOUR = late.pattern(r"\x1b\[[0-9;]{0,16}m")

# What may stand around an object; what Python's JSON has that JSON has not, outside of strings.
_AROUND = " \t\r\n\ufeff"
_NOT_FINITE = late.pattern(rb'(?s)"(?:[^"\\]|\\.)*(?:"|\\?\Z)|-?Infinity|NaN')
# Strings, and what stands between the parts of an object.
_MARKS = late.pattern(rb'(?s)"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[{}\[\],]')
_MOST_EXAMINED = 32_768
_MOST_OBJECTS = 16

_SEVERITY_DIGITS = 2
_NS_DIGITS = 9
_NS_PER_S = 1_000_000_000

# Between these, a number is a time: from 2001 on, in seconds, milliseconds, microseconds or nanoseconds.
_UNITS_NS = ((10**9, 10**9), (10**12, 10**6), (10**15, 10**3), (10**18, 1))
_NUMBER = late.pattern(rb"(\d{10,19})(?:\.(\d+))?")
_MOST_NS = 2**63 - 1

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_values = msgspec.json.Decoder(list[msgspec.Raw])
_text = msgspec.json.Decoder(str)
_to_json = msgspec.json.Encoder().encode


class Line(msgspec.Struct):
    """A line that is JSON, taken apart.

    Attributes:
        message: What is to be the body, raw; None when no member is.
        level: As written.
        time_ns: When, in nanoseconds since the epoch; None when no member tells.
        is_exact: Whether that is finer than a second.
        logger: Name of the logger.
        request_id: Of the invocation that the line names, if that is believed.
        trace_id: Likewise.
        span_id: Likewise.
        parent_id: The span that the trace's context names, beside its trace.
        flags: Of that trace; None when the line does not say.
        exception: Its type, message and stack trace.
        rest: Members without a place of their own, raw.
        event_ns: When its event was made, in nanoseconds since the epoch; None when that is not known.
        is_wrapped: Whether it stood within another one, and has of that what it does not say itself.
    """

    message: bytes | None = None
    level: str = ""
    time_ns: int | None = None
    is_exact: bool = False
    logger: str = ""
    request_id: str = ""
    trace_id: str = ""
    span_id: str = ""
    parent_id: str = ""
    flags: int | None = None
    exception: ExceptionInfo | None = None
    rest: dict[str, bytes] = {}
    event_ns: int | None = None
    is_wrapped: bool = False


class _Ids(msgspec.Struct, frozen=True):
    """Where a line may say whose it is.

    Attributes:
        invocations: Names of members that may hold a request id, with whether nobody gives another id such a name.
        has_more: Whether there is any of what follows.
        traces: Likewise of a trace.
        spans: Likewise of a span.
        flags: Likewise of a trace's flags.
        holders: Members that may hold such members.
    """

    invocations: tuple[tuple[str, bool], ...] = ()
    has_more: bool = False
    traces: tuple[str, ...] = ()
    spans: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    holders: tuple[str, ...] = ()


class _Plan(msgspec.Struct, frozen=True):
    """How lines with the same members are taken apart.

    Attributes:
        roles: What takes a member, and the names of those it is offered, in turn, until one is taken.
        ids: Where it may be told whose line it is; None where no member tells.
        may_tell_error: Whether a member is there that may hold an exception.
        has_more: Whether there are ids or parts.
        parts: Members that may hold parts of a line, and the roles that are taken from them.
        level: That of a line that tells none.
        is_envelope: Whether it is what a runtime writes around a message.
        renamed: Members that cannot be attributes by their names, and what they are called then.
    """

    roles: "Roles"
    ids: _Ids | None
    may_tell_error: bool
    has_more: bool
    parts: tuple[str, ...]
    level: str
    is_envelope: bool
    renamed: tuple[tuple[str, str], ...]


class Invocations(dict[bytes, str]):
    """Which invocation a raw value names, "" for none: looked up in far fewer steps than it is found out.

    Args:
        context: Knows the invocations.
        is_sure: The value stands where nobody writes another id.
    """

    def __init__(self, context: Context, *, is_sure: bool) -> None:
        self._context, self._is_sure = context, is_sure

    def __missing__(self, raw: bytes) -> str:
        """What a value names that was not looked up before."""
        if len(raw) > _MOST_ID_BYTES:
            return ""
        if len(self) >= _MOST_IDS:
            self.clear()
        found = self[raw] = self._context.invocation_named(_str(raw), is_sure=self._is_sure)
        return found


def invocations_of(context: Context) -> "Named":
    """What says which invocation is named: where it may be any request's id, and where it is no other."""
    return Invocations(context, is_sure=False), Invocations(context, is_sure=True)


# What lines say that name a trace, by that value: those of one invocation name the same.
_traced: dict[bytes, Line] = {}
_MOST_TRACED = 64
_TRACE_ALONE = _Ids(traces=("",))

# A function's lines have the same few sets of members, over and over.
_plans: dict[tuple[str, ...], _Plan] = {}
# What raw values are of levels, "" for none.
LEVELS: dict[bytes, str] = {}


def members_of(raw: bytes) -> dict[str, bytes] | None:
    """The members of a raw JSON object, or of one that stands in a raw JSON string; None when it is neither."""
    text = _object_in(raw)
    if text is None or has_more_members(text, MOST_MEMBERS):
        return None
    try:
        return {name: bytes(value) for name, value in _members.decode(text).items()}
    except (msgspec.MsgspecError, RecursionError):
        pass
    mended = with_finite_numbers(text)
    if mended == text:
        return None
    try:
        return {name: bytes(value) for name, value in _members.decode(mended).items()}
    except (msgspec.MsgspecError, RecursionError):
        return None


def with_finite_numbers(text: bytes) -> bytes:
    """JSON, each number that JSON has not as a text: Python writes NaN and Infinity."""
    return _NOT_FINITE.sub(_as_string, text) if b"NaN" in text or b"Infinity" in text else text


def _as_string(found: "re.Match[bytes]") -> bytes:
    return found[0] if found[0][:1] == b'"' else b'"%b"' % found[0]


def _object_in(raw: bytes) -> bytes | None:
    """What may be a JSON object: all of `raw`, or the text that it is."""
    if raw[:1] == b"{":
        return raw
    text = _text.decode(raw).strip(_AROUND).encode()
    # An escape within the string was an escaped escape so far.
    return with_valid_escapes(text) if text.endswith(b"}") else None


NOBODY = invocations_of(NOTHING)


def line_of(
    members: dict[str, bytes], named: "Named" = NOBODY, event_ns: int | None = None, wraps: int = _MOST_WRAPPED
) -> Line:
    """A line's parts.

    Args:
        members: Of the object; used up.
        named: Says which invocation a raw value names; see `invocations_of`.
        event_ns: When its event was made.
        wraps: In so many others it may stand.
    """
    names = tuple(members)
    plan = _plans.get(names) or _planned(names)
    line = Line(level=plan.level, rest=members, event_ns=event_ns)
    for take, candidates in plan.roles:
        for name in candidates:
            if take(line, members[name]):
                del members[name]
                break
    if plan.has_more:
        for holder in plan.parts:
            _take_parts(line, members, holder)
        if plan.ids is not None:
            _take_ids(line, members, plan.ids, named, _MOST_NESTED)
    if plan.is_envelope and line.message is not None and wraps and may_hold_object(line.message):
        within = line_within(line.message, named, event_ns, wraps - 1)
        if within is not None:
            return _wrapped(within, line)
    message = line.message
    # Nearly no message has a backslash or is an object.
    if message is not None and not ((message[0] == _BRACE or message.find(b"\\") >= 0) and _may_tell_error(message)):
        message = None
    if message is not None or plan.may_tell_error:
        from shipper.parse.exceptions import in_json_line

        line.exception = in_json_line(members, message, names, _ERROR_NAMES)
    if plan.renamed:
        _rename(members, plan.renamed)
    return line


def _rename(members: dict[str, bytes], names: tuple[tuple[str, str], ...]) -> None:
    for name, other in names:
        if name in members:
            members[other] = members.pop(name)


def _may_tell_error(message: bytes) -> bool:
    """Whether a message is worth a closer look: Node.js's runtime has exceptions there as objects, Java's as text."""
    return b"rrorType" in message if message[:1] == b"{" else message[:1] == b'"' and may_hold_exception(message)


def head_of(raw: "msgspec.Raw | bytes", named: "Named" = NOBODY, event_ns: int | None = None) -> Line:
    """What a raw JSON object says of itself, and nothing of what it says: for one that is not taken apart."""
    decoder, fields = _heads()
    try:
        found = decoder.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        return Line(event_ns=event_ns)
    members = {}
    for name, field in fields:
        member = getattr(found, field)
        if member is not _NO_MEMBER and len(member) <= _MOST_HEAD_BYTES:
            members[name] = bytes(member)
    line = line_of(members, named, event_ns)
    line.rest = {}
    return line


def may_hold_object(raw: bytes) -> bool:
    """Whether a raw value may be an object, or text that holds one."""
    return raw[0] == _BRACE or (raw.startswith(b'"{') and raw.find(b"}", -4) > 0)


def line_within(
    raw: bytes, named: "Named" = NOBODY, event_ns: int | None = None, wraps: int = _MOST_WRAPPED
) -> Line | None:
    """The line of another logger that a raw value is, an object or text that holds one; None when it is none.

    A logger's has a message or a level: what has neither is what somebody had to say.
    """
    members = members_of(raw)
    if not members:
        return None
    line = line_of(members, named, event_ns, wraps)
    is_loggers = bool(line.level) or (line.message is not None and line.message[:1] == b'"')
    return line if is_loggers else None


def _wrapped(line: Line, outer: Line) -> Line:
    """A line with what it does not say itself of the one around it."""
    line.is_wrapped = True
    line.level = line.level or outer.level
    if line.time_ns is None:
        line.time_ns, line.is_exact = outer.time_ns, outer.is_exact
    line.logger = line.logger or outer.logger
    line.request_id = line.request_id or outer.request_id
    if not line.trace_id:
        line.trace_id, line.parent_id, line.flags = outer.trace_id, outer.parent_id, outer.flags
        line.span_id = line.span_id or outer.span_id
    for name, value in outer.rest.items():
        if line.rest.get(name) != value:
            line.rest[f"log.{name}" if name in line.rest else name] = value
    if line.exception is not None and line.exception.is_uncaught:
        line.exception = msgspec.structs.replace(line.exception, is_uncaught=False)
    return line


def beginning_of(text: str, named: "Named" = NOBODY, event_ns: int | None = None) -> Line:
    """What a text says of itself that begins like an object and is none: several of them, or one that was cut off.

    Time and ids are the first's, the level is that of the most severe.
    """
    lines = []
    for part in _objects_at_beginning(text.strip(_AROUND)[:_MOST_EXAMINED].encode("utf-8", "replace")):
        members = members_of(part)
        if members is None:
            break
        lines.append(line_of(members, named, event_ns, 0))
    if not lines:
        return Line(event_ns=event_ns)
    line = lines[0]
    line.level = max((one.level for one in lines), key=number_of)
    line.rest, line.message, line.exception = {}, None, None
    return line


def _objects_at_beginning(text: bytes) -> "Iterator[bytes]":
    """The objects that a text begins with; one that is cut off up to its last whole member."""
    depth = begin = end = count = 0
    comma = -1
    for found in _MARKS.finditer(text):
        at = found.start()
        mark = text[at : at + 1]
        if not depth and (text[end:at].strip() or mark != b"{"):
            return
        if mark in b"{[":
            if not depth:
                begin, comma = at, -1
            depth += 1
        elif mark in b"}]":
            depth -= 1
            if not depth:
                end = at + 1
                yield text[begin:end]
                count += 1
                if count >= _MOST_OBJECTS:
                    return
        elif mark == b"," and depth == 1:
            comma = at
    if depth and comma > 0:
        yield text[begin:comma] + b"}"


def members_within(members: dict[str, bytes]) -> dict[str, bytes] | None:
    """Those of the object, or of the text of one, that is the message of what a runtime writes; None for none."""
    names = members.keys()
    is_envelope = names >= _OF_ENVELOPE and names <= _ENVELOPE
    return members_of(members["message"]) if is_envelope and may_hold_object(members["message"]) else None


def ids_of(members: dict[str, bytes], named: "Named" = NOBODY) -> Line:
    """Whose line it is, as `line_of` finds it, and nothing else."""
    names = tuple(members)
    plan = _plans.get(names) or _planned(names)
    if plan.is_envelope and may_hold_object(members["message"]):
        return line_of(members, named)
    line = Line()
    if plan.ids is not None:
        _take_ids(line, members, plan.ids, named, _MOST_NESTED)
    return line


def object_of(members: dict[str, bytes]) -> bytes:
    """Members as a raw JSON object."""
    return b"{%b}" % b",".join([b"%b:%b" % (_to_json(name), value) for name, value in members.items()])


def _planned(names: tuple[str, ...]) -> _Plan:
    """What is looked for in which members of a line with these."""
    found: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        role, rank = _ROLES.get(name, ("", _LAST_RANK))
        if name in _BESIDE and not _BESIDE[name][1].isdisjoint(names):
            role = _BESIDE[name][0]
        if role:
            found.setdefault(role, []).append((rank, name))
    found = {role: sorted(ranked) for role, ranked in found.items()}
    roles = tuple((take, tuple(name for _, name in found[role])) for role, take in _TAKERS.items() if role in found)
    if _OF_GELF in names:
        roles = tuple((_take_syslog if take is _take_level else take, several) for take, several in roles)
    is_compact = "@t" in names and "level" not in found and len(_OF_SERILOG.intersection(names)) > 1
    ids = _ids_among(names, found)
    parts = tuple(name for name in _PARTS if name in names)
    is_envelope = _ENVELOPE.issuperset(names) and _OF_ENVELOPE.issubset(names)
    plan = _Plan(
        roles,
        ids,
        may_tell_error=not _OF_ERRORS.isdisjoint(names),
        has_more=ids is not None or bool(parts),
        parts=parts,
        level=_INFORMATION if is_compact else "",
        is_envelope=is_envelope,
        renamed=_renamed(names),
    )
    if len(_plans) < _MOST_PLANS and sum(map(len, names)) <= _MOST_NAMES_BYTES:
        _plans[names] = plan
    return plan


def meanings_of(names: tuple[str, ...]) -> Meanings | None:
    """What is what in lines with these members, where that takes one look at each; None where it may take more."""
    plan = _plans.get(names) or _planned(names)
    ids = plan.ids or _Ids()
    if plan.may_tell_error or plan.parts or plan.renamed:
        return None
    if ids.spans or ids.flags or ids.holders or len(ids.traces) > 1:
        return None
    found = {_ROLE_OF[take]: candidates for take, candidates in plan.roles}
    if (
        "message" not in found
        or _OF_GELF in names
        or "number" in found
        or any(len(some) > 1 for some in found.values())
    ):
        return None
    named = {role: some[0] for role, some in found.items()}
    trace = ids.traces[0] if ids.traces else ""
    return Meanings(**named, unsaid_level=plan.level, invocations=ids.invocations, trace=trace)


def _renamed(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """New names of members that have none, or the one that a member will get which has a name of ours.

    OpenTelemetry, "Attribute": a key is not empty, and none is there twice.
    """
    found = []
    for name in names:
        if not name or (name.startswith(_PREFIX) and name.removeprefix(_PREFIX) in RESERVED):
            other = f"{_PREFIX}{name or _UNNAMED}"
            while other in names:
                other = _PREFIX + other
            found.append((name, other))
    return tuple(found)


def _ids_among(names: tuple[str, ...], found: "dict[str, list[tuple[int, str]]]") -> _Ids | None:
    """Where a line with these members may say whose it is."""
    holders = tuple(name for name in _HOLDERS if name in names)
    if not holders and found.keys().isdisjoint(_OF_IDS):
        return None
    invocations = [(name, True) for _, name in found.get("invocation", ())]
    invocations += [(name, False) for _, name in found.get("request", ())]
    traces, spans, flags = (tuple(name for _, name in found.get(role, ())) for role in ("trace", "span", "flags"))
    return _Ids(tuple(invocations), bool(traces or spans or flags or holders), traces, spans, flags, holders)


def _take_ids(line: Line, members: dict[str, bytes], ids: _Ids, named: "Named", depth: int) -> None:
    """Takes what says whose line it is, first from the members themselves, then from what they hold."""
    if not line.request_id:
        for name, is_sure in ids.invocations:
            request_id = named[is_sure][members[name]]
            if request_id:
                line.request_id = request_id
                del members[name]
                break
    if not ids.has_more:
        return
    if not line.trace_id and ids.traces:
        _take_trace(line, members, ids)
    if ids.spans and not line.span_id and (line.trace_id or not ids.traces):
        _take_span(line, members, ids)
    if ids.flags and line.trace_id and line.flags is None:
        _take_flags(line, members, ids)
    if depth and not (line.request_id and line.trace_id):
        for name in ids.holders:
            if name in members:
                _take_held(line, members, name, named, depth - 1)


def _take_trace(line: Line, members: dict[str, bytes], ids: _Ids) -> None:
    for name in ids.traces:
        raw = members[name]
        text = _str(raw) if len(raw) <= _MOST_LOGGER else ""
        found = trace_context(text)
        if found.trace_id:
            line.trace_id = found.trace_id
            if "=" in text:  # X-Ray's header: it names the span that called, not the one that writes
                line.parent_id = found.parent_id
            else:
                line.span_id = found.parent_id
            line.flags = None if found.sampled is None else int(found.sampled)
            del members[name]
            break


def traced_by(raw: bytes) -> Line | None:
    """What a line says with the raw value that names its trace, and nothing else; None where that names none."""
    told = _traced.get(raw)
    if told is None:
        told = Line()
        _take_trace(told, {"": raw}, _TRACE_ALONE)
        if not told.trace_id:
            return None
        if len(_traced) >= _MOST_TRACED:
            _traced.clear()
        _traced[raw] = told
    return told


def _take_span(line: Line, members: dict[str, bytes], ids: _Ids) -> None:
    for name in ids.spans:
        raw = members[name]
        span_id = hex_id(_str(raw), SPAN_DIGITS) if len(raw) <= _MOST_WORD else ""
        # Without a trace beside it, digits alone are as likely one of Datadog's, which are decimal.
        if span_id and (line.trace_id or not span_id.isdigit()):
            line.span_id = span_id
            del members[name]
            break


def _take_flags(line: Line, members: dict[str, bytes], ids: _Ids) -> None:
    for name in ids.flags:
        line.flags = _FLAGS.get(members[name])
        if line.flags is not None:
            del members[name]
            break


def _take_held(line: Line, members: dict[str, bytes], holder: str, named: "Named", depth: int) -> None:
    """Takes what a member holds of ids: an object, or several."""
    raw = members[holder]
    for held in _objects_in(raw):
        inner = _as_beside(held, holder) if holder in _PREFIXES else held
        names, count = tuple(inner), len(inner)
        ids = (_plans.get(names) or _planned(names)).ids
        if ids is None:
            continue
        _take_ids(line, inner, ids, named, depth)
        if len(inner) < count and raw[:1] == b"{":
            members[holder] = object_of({name.removeprefix(f"{holder}."): value for name, value in inner.items()})
            if not inner:
                del members[holder]


def _as_beside(held: dict[str, bytes], holder: str) -> dict[str, bytes]:
    """What a member holds, by the names that it would have beside it, where these mean something."""
    if any(name.startswith(f"{holder}.") for name in held):
        return held
    return {f"{holder}.{name}" if f"{holder}.{name}" in _ROLES else name: value for name, value in held.items()}


def _objects_in(raw: bytes) -> list[dict[str, bytes]]:
    """The objects that a raw value is: itself, or those in a list, which may be of names and values."""
    if len(raw) > _MOST_VALUE_BYTES or raw[:1] not in (b"{", b"["):
        return []
    try:
        values = [raw] if raw[:1] == b"{" else [bytes(value) for value in _values.decode(raw)]
        found = [_members.decode(value) for value in values[:_MOST_HELD] if value[:1] == b"{"]
    except (msgspec.MsgspecError, RecursionError):
        return []
    objects = [{name: bytes(value) for name, value in one.items()} for one in found]
    if objects and all(one.keys() == {"key", "value"} for one in objects):
        return [{_str(one["key"]): one["value"] for one in objects}]
    return objects


def _take_parts(line: Line, members: dict[str, bytes], holder: str) -> None:
    """Takes parts of the line out of what a member holds."""
    raw = members[holder]
    held = _objects_in(raw) if raw[:1] == b"{" else []
    if not held:
        return
    inner = held[0]
    is_loguru = holder == "record" and "logger" not in inner
    if is_loguru:
        inner = {"logger" if name == "name" else name: value for name, value in inner.items()}
    names = tuple(inner)
    for take, candidates in (_plans.get(names) or _planned(names)).roles:
        role = _ROLE_OF[take]
        if role not in _PARTS[holder] or getattr(line, _PLACES[role]) not in (None, ""):
            continue
        for name in candidates:
            if take(line, inner[name]):
                del inner[name]
                break
    if len(inner) < len(names):
        if is_loguru and "logger" in inner:
            inner["name"] = inner.pop("logger")
        members[holder] = object_of(inner)
        if not inner:
            del members[holder]


def _take_time(line: Line, raw: bytes) -> bool:
    time_ns, line.is_exact = moment_of(raw, line.event_ns)
    if time_ns is None:
        return False
    line.time_ns = time_ns
    return True


def moment_of(raw: bytes, event_ns: int | None) -> tuple[int | None, bool]:
    """When a raw value says that its line was written, and whether that is finer than a second; None if it is no time.

    Nor is it one that is far from the event's.
    """
    if len(raw) > _MOST_MOMENT:
        return None, False
    mark = raw[:1]
    if mark == b'"':
        text = _text.decode(raw)
        time_ns = unix_ns(text)
        is_exact = "." in text or "," in text
    else:
        time_ns = _moment_ns(raw) if mark == b"{" else _epoch_ns(raw)
        is_exact = time_ns is not None and time_ns % _NS_PER_S != 0
    if time_ns is None or (event_ns is not None and not -NEAR_NS <= time_ns - event_ns <= NEAR_NS):
        return None, is_exact
    return time_ns, is_exact


def _moment_ns(raw: bytes) -> int | None:
    """A moment that is an object: Log4j's, loguru's."""
    (held,) = _objects_in(raw)[:1] or ({},)
    ns = held.get("nanoOfSecond", b"0")
    if not ns.isdigit() or len(ns) > _NS_DIGITS:
        return None
    second_ns = _epoch_ns(held.get("epochSecond", held.get("timestamp", b"")))
    return second_ns + int(ns) if second_ns is not None else None


def _take_level(line: Line, raw: bytes) -> bool:
    if line.level:
        return False
    level = LEVELS.get(raw)
    if level is None:
        if len(raw) > _MOST_WORD or raw[0] == _BRACE:
            return _take_level_object(line, raw)
        level = _level_of(raw)
        if len(LEVELS) < _MOST_LEVELS:
            LEVELS[raw] = level
    line.level = level
    return bool(level)


def _level_of(raw: bytes) -> str:
    """The level that a raw value is, as written but for colours and spaces; "" for none."""
    if raw[:1] == b'"':
        level = _text.decode(raw)
        level = level if number_of(level) else _COLOUR.sub("", level).strip()
    else:
        found = _LEVEL_NUMBER.fullmatch(raw)
        level = name_of(int(found[1])) if found else ""
    return level if number_of(level) else ""


def _take_level_object(line: Line, raw: bytes) -> bool:
    """A level that is an object with its name in it: taken if there is nothing else in it."""
    found = _objects_in(raw) if raw[:1] == b"{" and len(raw) <= _MOST_LOGGER else []
    held = found[0] if found else {}
    for name in ("name", "standardLevel", "levelStr"):
        if name in held and len(held[name]) <= _MOST_WORD:
            line.level = _level_of(held[name])
            break
    return bool(line.level) and len(held) == 1


def _take_syslog(line: Line, raw: bytes) -> bool:
    """A level as GELF has it: one of syslog's."""
    line.level = syslog_name_of(int(raw)) if raw.isdigit() and len(raw) == 1 else ""
    return bool(line.level) or _take_level(line, raw)


def _take_number(line: Line, raw: bytes) -> bool:
    """A severity's number in OpenTelemetry's records, where its name is not told."""
    if line.level or not raw.isdigit() or len(raw) > _SEVERITY_DIGITS:
        return False
    line.level = own_name_of(int(raw))
    return bool(line.level)


def _take_message(line: Line, raw: bytes) -> bool:
    line.message = None if raw == b"null" else raw
    return line.message is not None


def _take_logger(line: Line, raw: bytes) -> bool:
    line.logger = logger_of(raw)
    return bool(line.logger)


def logger_of(raw: bytes) -> str:
    """The logger's name that a raw value is; "" for none."""
    return _str(raw) if len(raw) <= _MOST_LOGGER else ""


# Each takes a member if it is what its name says.
_TAKERS = {
    "time": _take_time,
    "level": _take_level,
    "number": _take_number,
    "message": _take_message,
    "logger": _take_logger,
}


_ROLE_OF: "dict[Take, str]" = {**{take: role for role, take in _TAKERS.items()}, _take_syslog: "level"}
# Where of a line what was taken for a role is.
_PLACES = {"time": "time_ns", "level": "level", "number": "level", "message": "message", "logger": "logger"}

# What libraries write of a trace's flags.
_FLAGS = {
    **{b'"%02d"' % flags: flags for flags in range(4)},
    **{b"%d" % flags: flags for flags in range(4)},
    **{b'"%d"' % flags: flags for flags in range(4)},
    b"true": 1,
    b'"true"': 1,
    b'"True"': 1,
    b"false": 0,
    b'"false"': 0,
    b'"False"': 0,
}
_NO_MEMBER = msgspec.Raw()


@cache
def _heads() -> "tuple[msgspec.json.Decoder[Any], tuple[tuple[str, str], ...]]":
    """What reads the members that tell something of a line and passes over all others; their names and fields."""
    names = [name for name, (role, _) in _ROLES.items() if role != "message"]
    fields = {f"field_{number}": name for number, name in enumerate((*names, *_HOLDERS))}
    kind = msgspec.defstruct("_Head", [(field, msgspec.Raw, _NO_MEMBER) for field in fields], rename=fields, gc=False)
    return msgspec.json.Decoder(kind), tuple((name, field) for field, name in fields.items())


def _str(raw: bytes | None) -> str:
    return _text.decode(raw) if raw is not None and raw[:1] == b'"' else ""


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
