"""Exceptions in lines: type, message and stack trace, where a runtime's or a language's form tells them.

Slow and seldom: `may_hold_exception` and the names of a JSON line's members sort out nearly every line first. What is
an ordinary word in a member of that name is none: a stack trace looks like one, and so does a type.

Only what a runtime itself writes of an exception that nothing caught says that the invocation failed, and it says so in
a form of its own. Sources: the runtimes' own code, which AWS publishes for every language.
"""

import msgspec

from lifecycle.contract import late
from shipper.model.events import Event
from shipper.model.log_record import ExceptionInfo, LogRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    ErrorNames = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...]]
else:
    Any = object

# Every repetition is bounded, and so is what is looked at: no line of any shape may take long.
MOST_EXAMINED = 32_768

# Of a member that is an object, or a list; what is larger stays as it is.
_MOST_VALUE_BYTES = 65_536

_TYPE = r"(?P<type>(?:[A-Za-z_$][\w$]{0,80}(?:\.|::)){0,20}[A-Za-z_$][\w$]{0,80})"
_TRACEBACK = "Traceback (most recent call last):"
_GROUP = "+ Exception Group "

# What Go's and Rust's exceptions are called.
PANIC = "panic"

# Python's runtime, of an exception that nothing caught. Its lines end in \r, or in \n where it hands them over framed.
_PYTHON_UNCAUGHT = late.pattern(
    r"(?s)\[ERROR\] " + _TYPE + r"(?:: (?P<message>.*?))?[\r\n]{1,2}(?P<stack>Traceback \(most recent call last\):.*)"
)
# All of them are frames, and nothing follows: who prints a traceback has the exception itself behind it.
_PYTHON_NO_FRAME = late.pattern(r"[\r\n][^\s]")
# What Python's runtime has no frames for.
_PYTHON_FAULT = late.pattern(r"(?s)\[ERROR\] (?P<type>Runtime\.[A-Z]\w{1,80})(?:: (?P<message>.*))?\Z")
# A traceback's last line, or of several lines the first.
_PYTHON_NAMED = late.pattern(r"(?P<type>[A-Za-z_][^\s:]{0,400})(?:: ?(?P<message>.*))?\Z")
# Between an exception and one that it led to, which follows.
_PYTHON_CHAINED = (
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)
# What the logging library puts behind a traceback where it is asked for the stack, too.
_PYTHON_STACK = "\nStack (most recent call last):"
# Node.js's runtime, of what nothing caught; and Bref's for PHP, which writes the same.
_NODE_UNCAUGHT = late.pattern(
    r"(?s)(?:\S{1,40}\t)?\S{1,40}\t(?:ERROR\t)?(?:Invoke Error|Uncaught Exception|Unhandled Promise Rejection) ?\t"
    r"(?P<json>\{.*)",
)
# Ruby's.
_RUBY_UNCAUGHT = late.pattern(r"(?s)(?:^|: )Error raised from handler method\s+(?P<json>\{.*)")
# Go's, of an error that a handler returned or a panic in it: by the standard library's logger, with what it may be told
# to put before a line.
_GO_UNCAUGHT = late.pattern(
    r"(?s)(?:\S{1,64} )?(?:\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})? (?:[^\s{]{1,200}\.go:\d{1,6}: )?"
    r"|[^\s{]{1,200}\.go:\d{1,6}: )"
    r'(?P<json>\{"errorMessage":.*\})\s*\Z',
)
# The members of that, in its order: as JSON alone, without anything before it, other languages may print them, too.
_GO_MEMBERS = (("errorMessage", "errorType"), ("errorMessage", "errorType", "stackTrace"))
_GO_FRAME = frozenset(("path", "line", "label"))
# What Go runs on, as the platform names it.
_GO_RUNTIMES = ("provided", "go")
# Those of what Python's runtime writes in Lambda's JSON format: of what is logged there is a message beside them.
_PYTHON_MEMBERS = frozenset(("errorMessage", "errorType", "requestId", "stackTrace", "timestamp"))
# Its level, by either name, and what its logger's lines have where there is any.
_PYTHON_BESIDE = frozenset(("level", "log_level", "location", "tenantId"))
# Those of Lambda's JSON format round a line that was text: a logger of the user's has others.
_ENVELOPE = frozenset(("timestamp", "level", "message", "requestId", "AWSRequestId", "tenantId", "type"))
# Frames of .NET's runtime are part of a stack trace only where nothing below them caught the exception.
_DOTNET_RUNTIME = "at Amazon.Lambda.RuntimeSupport."
# Java, .NET and JavaScript: a line with a type that ends like one, then indented lines that begin with `at`. Node.js
# has the code of its own errors behind the type, and of a DOMException the name.
_FRAMES = late.pattern(r"[\r\n]{1,2}[ \t]{1,16}at ")
_NAMED = late.pattern(
    r"(?:^|[\t ])(?P<type>(?:[\w$]{1,80}\.){0,20}[\w$]{0,80}?(?:Error|Exception|Throwable)[\w$]{0,80})"
    r"(?: \[[A-Z]\w{0,80}\])?(?:: (?P<message>.*))?$"
)
# Such a line may be some above the frames: a message can have lines of its own, and .NET names the inner exceptions
# between the outer one and the frames.
_MOST_ABOVE = 16
_INNER = "--->"
# Ruby, of an exception that is logged.
_RUBY_LOGGED = late.pattern(r"\((?P<type>[A-Z][\w:]{0,200})\)[\r\n]{1,2}(?P<stack>[^\s:]{1,400}:\d{1,7}:in [`'])")
# A line that no logger wrote.
_ONE_LINE = late.pattern(r"(?!\[?[A-Z]{4,8}\b|\[?\d\d)[^\r\n]{1,4096}")
# What Go prints below the line that names a panic. Looked for first: there are few, and each has one line above it.
_GO_STACK = late.pattern(r"[\r\n]{1,4}(?P<stack>(?:\[signal|goroutine) )")
_GO_NAMED = late.pattern(r"(?s)(?P<type>panic|fatal error): (?P<message>.*)")
# Where each line is a record of its own, that line is alone.
_GO_ALONE = late.pattern(r"(?P<type>panic|fatal error): (?P<message>[^\r\n]*)\s*\Z")
# Rust: where, and behind it what; until 1.72 what, and behind it where.
_RUST = late.pattern(
    r"thread '[^'\r\n]{0,200}'(?: \(\d{1,20}\))? panicked at (?:(?P<place>[^'\r\n]{1,400}):[\r\n]{1,2}|')"
)
_RUST_SAYS = " panicked at "
_RUST_ENDS = ("stack backtrace:", "note: run with `RUST_BACKTRACE")
# PHP's engine.
_PHP = late.pattern(r"(?:PHP )?Fatal error: {1,2}Uncaught (?P<type>[A-Za-z_\\][\w\\]{0,200})(?:: )?")
_PHP_SAYS = "Fatal error: "
_PHP_STACK = "Stack trace:"
# What a frame that is an object may have for it to be written as a line: nothing of it is lost then.
_FRAME = frozenset(("path", "file", "source", "line", "lineNumber", "label", "methodName", "func"))
# What every stack trace has, and nothing else: a frame of Java, .NET or JavaScript, of Python, of PHP, of Go, or a
# place in a file of source.
_STACK = late.pattern(
    r"(?:^|[\r\n])[ \t]{0,16}at \S{1,400}[.(:]|[\r\n][ \t]{1,16}at \S"
    r"|(?:^|[\r\n])[ \t]{0,16}(?:File \"|#\d{1,5} |goroutine \d)"
    r"|Traceback \(most recent call last\)"
    r"|\((?:Unknown Source|Native Method)\)"
    r"|\.(?:java|kts?|scala|groovy|cljs?|[cm]?[jt]sx?|py|rb|go|rs|cs|fs|vb|php|cc|cpp|c|h|exs?|erl|swift|dart)"
    r"(?::|\(|:line )\d{1,7}"
)
# What a type looks like; one that ends like one needs nothing beside it. Words in its place that are none.
_TYPE_LIKE = late.pattern(r"[A-Za-z_$*][\w$.:\\<>`+/-]{0,400}")
_TYPE_END = late.pattern(r"(?:Error|Exception|Throwable|Panic|Fault|Failure|Interrupt)\Z")
_NO_MESSAGE = frozenset(("none", "null", "nil", "undefined", "n/a", "na", "-"))
_NO_ERROR = _NO_MESSAGE | {"no", "false", "true", "ok", "success", "0"}
# Of what libraries write of an exception as an object, `{"type", "message", "stack"}` under many names.
_OBJECT_TYPES = ("errorType", "type", "exc_type", "name", "class", "Type")
_OBJECT_MESSAGES = ("errorMessage", "message", "exc_value", "Message")
_OBJECT_STACKS = ("stackTrace", "stack", "stack_trace", "stacktrace", "extendedStackTrace", "trace", "StackTrace")
# Names that nobody gives anything else.
_SURE_TYPES = frozenset(("errorType", "exc_type"))
_SURE_MESSAGES = frozenset(("exception.message", "error.message"))
_OUT_OF_MEMORY = late.pattern(
    r"heap out of memory|java\.lang\.OutOfMemoryError|\bMemoryError\b|NoMemoryError|OutOfMemoryException"
    r"|runtime: out of memory|signal: killed|Runtime\.OutOfMemory|memory allocation of \d+ bytes failed"
)
_TIMED_OUT = late.pattern(r"\S{1,40} [0-9a-fA-F-]{36} Task timed out after [\d.]{1,20} seconds")


class Failure(msgspec.Struct, frozen=True):
    """How an invocation fails, as a line tells it.

    Attributes:
        error: The exception's type; "" when none ended it.
        is_timeout: Whether the platform says that it takes too long.
        is_out_of_memory: Whether the line says what runtimes say when memory is exhausted.
    """

    error: str = ""
    is_timeout: bool = False
    is_out_of_memory: bool = False


class _Json(msgspec.Struct):
    """What Lambda's runtimes say of an error, as JSON."""

    errorType: str = ""  # noqa: N815 - the runtimes' names, here and below
    errorMessage: str = ""  # noqa: N815
    stack: Any = None
    stackTrace: Any = None  # noqa: N815


class _GoJson(msgspec.Struct, forbid_unknown_fields=True):
    """What Go's runtime says of one."""

    errorMessage: str  # noqa: N815
    errorType: str  # noqa: N815
    stackTrace: Any = None  # noqa: N815


_jsons = msgspec.json.Decoder(_Json)
_go_jsons = msgspec.json.Decoder(_GoJson)
_text = msgspec.json.Decoder(str)
_anything = msgspec.json.Decoder()


def in_text(text: str) -> ExceptionInfo | None:
    """The exception that a line tells, if it does so in a known form."""
    whole, text = text, text[:MOST_EXAMINED]
    found = _uncaught(text, whole)
    if found is not None:
        return found
    at = text.find(_TRACEBACK)
    if at >= 0:
        return _of_python(whole, at)
    frames = _FRAMES.search(text)
    if frames:
        above = _above(text, frames.start(), whole)
        if above is not None:
            return above
    ruby = _RUBY_LOGGED.search(text)
    if ruby:
        begin = _line_begin(text, ruby.start())
        head = text[begin : ruby.start()]
        message = head.partition(" -- ")[2].partition(": ")[2] if " -- " in head else head
        return ExceptionInfo(ruby["type"], message.strip(), whole[ruby.start("stack") :].strip())
    return _of_go(text, whole) or _of_rust(text, whole) or _of_php(text, whole)


def _uncaught(text: str, whole: str) -> ExceptionInfo | None:
    """What the runtimes of Python, Node.js, Ruby and Go write of an exception that nothing caught."""
    found = _PYTHON_UNCAUGHT.match(text)
    if found:
        stack = whole[found.start("stack") :].replace("\u00a0", " ").strip()
        if _PYTHON_NO_FRAME.search(stack) is None:
            return ExceptionInfo(found["type"], found["message"] or "", stack.replace("\r", "\n"), is_uncaught=True)
        return None
    found = _PYTHON_FAULT.match(text)
    if found:
        return ExceptionInfo(found["type"], (found["message"] or "").strip(), is_uncaught=True)
    found = _NODE_UNCAUGHT.match(text) or _RUBY_UNCAUGHT.search(text)
    if found:
        return _from_json(whole[found.start("json") :], _jsons)
    found = _GO_UNCAUGHT.match(text)
    return _from_json(whole[found.start("json") :], _go_jsons) if found else None


def _of_python(whole: str, at: int) -> ExceptionInfo:
    """The exception at the end of a traceback, or of the last of several; of a group the group.

    Args:
        whole: The text.
        at: Where the first traceback is.
    """
    line = _line_begin(whole, at)
    stack = whole[line if whole[line:at].strip() == _GROUP.strip() else at :].rstrip()
    last = stack.replace("\r\n", "\n").replace("\r", "\n").partition(_PYTHON_STACK)[0]
    last = last[max(last.rfind(sentence) for sentence in _PYTHON_CHAINED) + 1 :]
    first, is_group, group = last.partition(_GROUP)
    lines = (group if is_group else last[max(0, last.find(_TRACEBACK)) :]).split("\n")[1:]
    if is_group:
        # A group's lines stand behind a bar each, and end where its exceptions begin.
        bar = first.rpartition("\n")[2] + "| "
        count = next((number for number, one in enumerate(lines) if not one.startswith(bar.rstrip())), len(lines))
        lines = [one[len(bar) :] for one in lines[:count]]
    for number, one in enumerate(lines):
        named = _PYTHON_NAMED.match(one)
        if named:
            message = "\n".join((named["message"] or "", *lines[number + 1 :]))
            return ExceptionInfo(named["type"], message.strip(), stack)
    return ExceptionInfo(stack=stack)


def _of_go(text: str, whole: str) -> ExceptionInfo | None:
    """A panic, or a failure of the runtime itself, and the goroutines below it."""
    last = 0
    for found in _GO_STACK.finditer(text):
        end = found.start()
        begin = max(text.rfind("\n", last, end) + 1, text.rfind("\r", last, end) + 1, last)
        last = found.end()
        named = _GO_NAMED.search(text[begin:end])
        if named:
            stack = whole[found.start("stack") :].strip()
            return ExceptionInfo(named["type"], named["message"], stack, is_uncaught=True)
    # Not uncaught by itself: the platform tells of a runtime that exited, and anybody may write such a line.
    alone = _GO_ALONE.match(text)
    return ExceptionInfo(alone["type"], alone["message"]) if alone else None


def _of_rust(text: str, whole: str) -> ExceptionInfo | None:
    """A panic. Whether it was caught, by a web framework say, it does not tell."""
    found = _RUST.match(text, _line_begin(text, text.find(_RUST_SAYS)))
    if found is None:
        return None
    ends = [at for at in (whole.find(end, found.end()) for end in _RUST_ENDS) if at >= 0]
    said = whole[found.end() : min(ends, default=len(whole))].strip()
    place = found["place"]
    if place is None:
        said, _, place = said.rpartition("', ")
    stack = whole[ends[0] :].strip() if ends and whole.startswith(_RUST_ENDS[0], ends[0]) else place
    return ExceptionInfo(PANIC, said, stack)


def _of_php(text: str, whole: str) -> ExceptionInfo | None:
    """What PHP's engine says. It ends a request; whether that is an invocation it does not tell."""
    found = _PHP.match(text, _line_begin(text, text.find(_PHP_SAYS)))
    at = text.find(_PHP_STACK, found.end()) if found else -1
    if found is None or at < 0:
        return None
    message, _, place = text[found.end() : at].rstrip().rpartition(" in ")
    return ExceptionInfo(found["type"], message, f"{place}\n{whole[at:].strip()}")


def _line_begin(text: str, at: int) -> int:
    """Where the line begins that `at` is in."""
    return max(text.rfind("\n", 0, max(at, 0)), text.rfind("\r", 0, max(at, 0))) + 1


def _above(text: str, end: int, whole: str) -> ExceptionInfo | None:
    """The exception that is named above its frames, which begin at `end`."""
    message_end = line_end = end
    for above in range(_MOST_ABOVE):
        begin = _line_begin(text, line_end)
        line = text[begin:line_end]
        named = None
        if line.lstrip().startswith(_INNER):
            message_end = max(0, begin - 1)
        else:
            named = _NAMED.search(line)
        if named and (above == 0 or named["message"] is not None):
            message = text[begin + named.start("message") : message_end] if named["message"] is not None else ""
            stack = whole[begin + named.start("type") :].strip()
            is_uncaught = _is_javas(text[:begin], named["type"], message) or _DOTNET_RUNTIME in stack
            return ExceptionInfo(named["type"], message.strip("\r\n"), stack, is_uncaught)
        if begin == 0:
            break
        line_end = begin - 1
    return None


def _is_javas(before: str, kind: str, message: str) -> bool:
    """Whether what stands before an exception is what Java's runtime has there: its message and its type."""
    before = before.rstrip("\r\n")
    if before in (f"{message}: {kind}", f"{kind}: {kind}"):
        return True
    # Of a class that cannot be loaded the message is the runtime's own; what a logger writes has a time or a level.
    return before.endswith(f": {kind}") and _ONE_LINE.fullmatch(before) is not None


def in_json_line(
    members: dict[str, bytes], message: bytes | None, named: tuple[str, ...], names: "ErrorNames"
) -> ExceptionInfo | None:
    """The exception that a JSON line tells.

    Args:
        members: Those without another place, raw; those that have one in an exception are taken out.
        message: Raw; None where it is of no interest.
        named: The names of all the line's members, in order.
        names: Which of them may tell an exception's type, its message, its stack trace, and all of it as an object.
    """
    frames = members.get("stackTrace", b"")
    found = _in_members(members, names)
    if found is not None:
        is_pythons = set(named) - _PYTHON_BESIDE == _PYTHON_MEMBERS
        told = _as_gos(found, named, frames and _value(frames))
        return msgspec.structs.replace(told, is_uncaught=True) if is_pythons or _DOTNET_RUNTIME in told.stack else told
    if message is None:
        return None
    is_wrapped = _ENVELOPE.issuperset(named)
    if message[:1] == b"{":
        value = _value(message)
        found = _of_object(value)
        return _as_gos(found, tuple(value), value.get("stackTrace")) if found is not None and is_wrapped else found
    found = in_text(_text.decode(message)) if message[:1] == b'"' else None
    if found is not None and found.is_uncaught and not is_wrapped:
        # A panic that is logged was recovered from, and an exception was caught.
        return msgspec.structs.replace(found, is_uncaught=False)
    return found


def _as_gos(found: ExceptionInfo, named: tuple[str, ...], frames: Any) -> ExceptionInfo:
    """The same, known to be what Go's runtime says of an error or a panic, if it is written so."""
    if named not in _GO_MEMBERS:
        return found
    are_gos = isinstance(frames, list) and bool(frames) and all(_is_go_frame(frame) for frame in frames)
    return msgspec.structs.replace(found, is_uncaught=True, may_be_printed=not are_gos)


def _is_go_frame(frame: Any) -> bool:
    return isinstance(frame, dict) and frame.keys() == _GO_FRAME


def _in_members(members: dict[str, bytes], names: "ErrorNames") -> ExceptionInfo | None:
    """What a line's own members say, which are taken out if it is an exception."""
    types, messages, stacks, objects = names
    type_name, kind = _first_text(members, types)
    message_name, message = _first_text(members, messages)
    stack_name, stack = _first_stack(members, stacks)
    is_type = _is_type(kind)
    # A word in the place of a type is one if something is said beside it, or if it can be nothing else.
    if not (stack or (is_type and (_is_said(message) or _TYPE_END.search(kind)))):
        held = _in_objects(members, objects)
        if held is not None:
            return held
        if message_name in _SURE_MESSAGES and _is_said(message):
            del members[message_name]
            return ExceptionInfo("", message)
        return None
    for name in (type_name if is_type else "", message_name, stack_name):
        if name:
            del members[name]
    kind = kind if is_type else ""
    held = None if kind else _in_objects(members, objects)
    if held is not None:  # it stays as it is: there may be more in it
        kind, message, stack = held.type, message or held.message, stack or held.stack
    elif not (kind and message):
        told = in_text(stack)
        if told is not None and told.type.endswith(kind):
            kind, message = kind or told.type, message or told.message
        # Go's loggers have the error as text, and the stack beside it.
        message = message or _first_text(members, objects)[1]
    return ExceptionInfo(kind, message, stack)


def _in_objects(members: dict[str, bytes], names: tuple[str, ...]) -> ExceptionInfo | None:
    """The first of some members that is an exception as an object."""
    for name in names:
        raw = members.get(name, b"")
        held = _of_object(_value(raw)) if raw[:1] in (b"{", b"[") else None
        if held is not None:
            return held
    return None


def _of_object(value: Any) -> ExceptionInfo | None:
    """What libraries write of an exception as an object."""
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return None
    name, kind = next(
        ((name, value[name]) for name in _OBJECT_TYPES if isinstance(value.get(name), str) and _is_type(value[name])),
        ("", ""),
    )
    message = next((value[name] for name in _OBJECT_MESSAGES if isinstance(value.get(name), str)), "")
    is_sure = name in _SURE_TYPES or _TYPE_END.search(kind) is not None
    stacks = ((_joined if is_sure else stack_of)(value.get(name)) for name in _OBJECT_STACKS)
    stack = next((stack for stack in stacks if stack), "")
    if stack and not kind:  # JavaScript's errors have their name there alone
        told = in_text(stack)
        kind, message = (told.type, message or told.message) if told is not None else ("", message)
    return ExceptionInfo(kind, message, stack) if kind and (is_sure or stack) else None


def _first_text(members: dict[str, bytes], names: tuple[str, ...]) -> tuple[str, str]:
    """The first of some members that is text and says something, and its text; "" for none."""
    for name in names:
        raw = members.get(name, b"")
        if raw[:1] == b'"' and raw != b'""':
            return name, _text.decode(raw)
    return "", ""


def _first_stack(members: dict[str, bytes], names: tuple[str, ...]) -> tuple[str, str]:
    """Likewise, the first that is a stack trace."""
    for name in names:
        raw = members.get(name, b"")
        stack = stack_of(_value(raw)) if raw[:1] in (b'"', b"[") else ""
        if stack:
            return name, stack
    return "", ""


def _value(raw: bytes) -> Any:
    if len(raw) > _MOST_VALUE_BYTES:
        return None
    try:
        return _anything.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        return None


def _is_type(text: str) -> bool:
    return text.lower() not in _NO_ERROR and _TYPE_LIKE.fullmatch(text) is not None


def _is_said(text: str) -> bool:
    return bool(text) and text.lower() not in _NO_MESSAGE


def failure_in(record: LogRecord, runtime: str = "") -> Failure | None:
    """How an invocation fails, if a line of the function tells of it.

    Args:
        record: What the line means.
        runtime: The function's, as the platform names it; "" where that is not known.
    """
    raw = bytes(record.event.record) if isinstance(record.event, Event) else b""
    if raw[:1] == b"{" or raw[:2] == b'"{':
        text = raw[:MOST_EXAMINED].decode("utf-8", "replace")
    elif raw[:1] == b'"':
        text = _text.decode(raw)[:MOST_EXAMINED]
    else:
        return None
    exception = record.exception
    error = exception.type if exception is not None and exception.is_uncaught else ""
    if exception is not None and exception.may_be_printed and runtime and not runtime.startswith(_GO_RUNTIMES):
        error = ""
    is_timeout = _TIMED_OUT.match(text) is not None
    is_out_of_memory = _OUT_OF_MEMORY.search(text) is not None
    if not (error or is_timeout or is_out_of_memory):
        return None
    return Failure(error, is_timeout, is_out_of_memory)


def stack_of(value: Any) -> str:
    """A stack trace however it is written: text, lines, or frames as objects; "" for what is none, or more than one."""
    stack = _joined(value)
    return stack if _STACK.search(stack[:MOST_EXAMINED]) else ""


def _joined(value: Any) -> str:
    """What stands where a stack trace may stand, as text."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return ""
    lines = []
    for frame in value:
        if isinstance(frame, dict) and frame and _FRAME.issuperset(frame):
            file = frame.get("path", frame.get("file", frame.get("source", "")))
            place = f"{file}:{frame.get('line', frame.get('lineNumber', ''))}"
            lines.append(f"{place} {frame.get('label', frame.get('methodName', frame.get('func', '')))}".strip())
        elif isinstance(frame, str):
            lines.append(frame.removesuffix("\n"))
        else:
            return ""
    return "\n".join(lines)


def _from_json(text: str, decoder: "msgspec.json.Decoder[Any]") -> ExceptionInfo | None:
    """What a runtime says of an exception that nothing caught."""
    try:
        found = decoder.decode(text.strip())
    except (msgspec.MsgspecError, RecursionError):
        return None
    stack = _joined(getattr(found, "stack", None) or found.stackTrace)
    return ExceptionInfo(found.errorType, found.errorMessage, stack, is_uncaught=True)
