"""Exceptions in lines: type, message and stack trace, where a runtime's or a language's form tells them.

Slow and seldom: `log_parser.may_hold_exception` sorts out nearly every line first.
"""

import re

import msgspec

from shipper.model.events import Event
from shipper.model.log_record import ExceptionInfo, LogRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
else:
    Any = object

# Every repetition is bounded, and so is what is looked at: no line of any shape may take long.
MOST_EXAMINED = 32_768
_MOST_TAIL = 4096

_TYPE = r"(?P<type>(?:[A-Za-z_$][\w$]{0,80}(?:\.|::)){0,20}[A-Za-z_$][\w$]{0,80})"
_MESSAGE = r"(?:: (?P<message>[^\r\n]*))?"
_TRACEBACK = "Traceback (most recent call last):"

# What Go's exceptions are called, and its failures of the runtime itself.
PANIC = "panic"

# Python's runtime, of an exception that nothing caught; its lines end in \r.
_PYTHON_UNCAUGHT = re.compile(
    r"\[ERROR\] " + _TYPE + r"(?:: (?P<message>.*?))?[\r\n]{1,2}(?P<stack>" + re.escape(_TRACEBACK) + r".*)", re.DOTALL
)
# The last line of a Python traceback, at the line's beginning.
_PYTHON_LAST = re.compile(r"(?:^|[\r\n])" + _TYPE + _MESSAGE + r"\s*\Z")
# Node.js's runtime, of what nothing caught.
_NODE_UNCAUGHT = re.compile(
    r"\t(?:Invoke Error|Uncaught Exception|Unhandled Promise Rejection) \t(?P<json>\{.*)", re.DOTALL
)
# Ruby's.
_RUBY_UNCAUGHT = re.compile(r"(?:^|: )Error raised from handler method\s+(?P<json>\{.*)", re.DOTALL)
# Java, .NET and JavaScript: a line with a type that ends like one, then indented lines that begin with `at`.
_FRAMES = re.compile(r"[\r\n]{1,2}[ \t]{1,16}at ")
_NAMED = re.compile(
    r"(?:^|[\t ])(?P<type>(?:[\w$]{1,80}\.){0,20}[\w$]{0,80}?(?:Error|Exception|Throwable)[\w$]{0,80})"
    r"(?:: (?P<message>.*))?$"
)
# Such a line may be some above the frames: a message can have lines of its own, and .NET names the inner exceptions
# between the outer one and the frames.
_MOST_ABOVE = 16
_INNER = "--->"
# Ruby, of an exception that is logged.
_RUBY_LOGGED = re.compile(r"\((?P<type>[A-Z][\w:]{0,200})\)[\r\n]{1,2}(?P<stack>[^\s:]{1,400}:\d{1,7}:in [`'])")
# Java's runtime names the type, then prints the exception.
_JAVA_UNCAUGHT = re.compile(r"[^\r\n]{0,4096}: (?P<type>[\w.$]{1,200})[\r\n]{1,2}(?P=type)")
# What Go prints below the line that names a panic. Looked for first: there are few, and each has one line above it.
_GO_STACK = re.compile(r"[\r\n]{1,4}(?P<stack>(?:\[signal|goroutine) )")
_GO_NAMED = re.compile(r"(?P<type>panic|fatal error): (?P<message>.*)", re.DOTALL)
# What a frame that is an object may have for it to be written as a line: nothing of it is lost then.
_FRAME = frozenset(("path", "file", "line", "lineNumber", "label", "methodName"))
_OUT_OF_MEMORY = re.compile(
    r"heap out of memory|java\.lang\.OutOfMemoryError|\bMemoryError\b|NoMemoryError|OutOfMemoryException"
    r"|runtime: out of memory|signal: killed|Runtime\.OutOfMemory|memory allocation of \d+ bytes failed"
)
_TIMED_OUT = re.compile(r"\S{1,40} [0-9a-fA-F-]{36} Task timed out after [\d.]{1,20} seconds")


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


_jsons = msgspec.json.Decoder(_Json)
_text = msgspec.json.Decoder(str)


def in_text(text: str) -> ExceptionInfo | None:
    """The exception that a line tells, if it does so in a known form."""
    whole, text = text, text[:MOST_EXAMINED]
    found = _PYTHON_UNCAUGHT.match(text)
    if found:
        stack = whole[found.start("stack") :].replace("\r", "\n").replace("\u00a0", " ").strip()
        return ExceptionInfo(found["type"], found["message"] or "", stack, is_uncaught=True)
    found = _NODE_UNCAUGHT.search(text) or _RUBY_UNCAUGHT.search(text)
    if found:
        return _from_json(whole[found.start("json") :])
    at = text.find(_TRACEBACK)
    if at >= 0:
        stack = whole[at:].strip()
        last = _PYTHON_LAST.search(stack[-_MOST_TAIL:])
        return ExceptionInfo(last["type"] if last else "", (last["message"] or "") if last else "", stack)
    found = _FRAMES.search(text)
    if found:
        above = _above(text, found.start(), whole)
        if above is not None:
            return above
    found = _RUBY_LOGGED.search(text)
    if found:
        begin = max(text.rfind("\n", 0, found.start()), text.rfind("\r", 0, found.start())) + 1
        head = text[begin : found.start()]
        message = head.partition(" -- ")[2].partition(": ")[2] if " -- " in head else head
        return ExceptionInfo(found["type"], message.strip(), whole[found.start("stack") :].strip())
    return _of_go(text, whole)


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
    return None


def _above(text: str, end: int, whole: str) -> ExceptionInfo | None:
    """The exception that is named above its frames, which begin at `end`."""
    message_end = line_end = end
    for above in range(_MOST_ABOVE):
        begin = max(text.rfind("\n", 0, line_end), text.rfind("\r", 0, line_end)) + 1
        line = text[begin:line_end]
        named = None
        if line.lstrip().startswith(_INNER):
            message_end = max(0, begin - 1)
        else:
            named = _NAMED.search(line)
        if named and (above == 0 or named["message"] is not None):
            message = text[begin + named.start("message") : message_end] if named["message"] is not None else ""
            stack = whole[begin + named.start("type") :].strip()
            is_uncaught = _JAVA_UNCAUGHT.match(text) is not None
            return ExceptionInfo(named["type"], message.strip("\r\n"), stack, is_uncaught)
        if begin == 0:
            break
        line_end = begin - 1
    return None


def failure_in(record: LogRecord) -> Failure | None:
    """How an invocation fails, if a line of the function tells of it."""
    raw = bytes(record.event.record) if isinstance(record.event, Event) else b""
    if raw[:1] == b"{" or raw[:2] == b'"{':
        text = raw[:MOST_EXAMINED].decode("utf-8", "replace")
    elif raw[:1] == b'"':
        text = _text.decode(raw)[:MOST_EXAMINED]
    else:
        return None
    exception = record.exception
    error = exception.type if exception is not None and exception.is_uncaught else ""
    is_timeout = _TIMED_OUT.match(text) is not None
    is_out_of_memory = _OUT_OF_MEMORY.search(text) is not None
    if not (error or is_timeout or is_out_of_memory):
        return None
    return Failure(error, is_timeout, is_out_of_memory)


def stack_of(value: Any) -> str:
    """A stack trace however it is written: text, lines, or frames as objects; "" for what is none, or more than one."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return ""
    lines = []
    for frame in value:
        if isinstance(frame, dict) and _FRAME.issuperset(frame):
            place = f"{frame.get('path', frame.get('file', ''))}:{frame.get('line', frame.get('lineNumber', ''))}"
            lines.append(f"{place} {frame.get('label', frame.get('methodName', ''))}".strip())
        elif isinstance(frame, str):
            lines.append(frame.removesuffix("\n"))
        else:
            return ""
    return "\n".join(lines)


def _from_json(text: str) -> ExceptionInfo | None:
    try:
        found = _jsons.decode(text.strip())
    except (msgspec.MsgspecError, RecursionError):
        return None
    stack = stack_of(found.stack or found.stackTrace)
    return ExceptionInfo(found.errorType, found.errorMessage, stack, is_uncaught=True)
