"""Exceptions in lines: type, message and stack trace, where a runtime's or a language's form tells them.

Slow and seldom: `strings.may_hold_exception` sorts out nearly every line first.
"""

import re

import msgspec

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
# Java's runtime names the type, then prints the exception.
_JAVA_UNCAUGHT = re.compile(r"[^\r\n]{0,4096}: (?P<type>[\w.$]{1,200})[\r\n]{1,2}(?P=type)")
_GO_PANIC = re.compile(r"panic: (?P<message>[^\r\n]*)[\r\n]{1,4}(?P<stack>(?:\[signal|goroutine) )")
_OUT_OF_MEMORY = re.compile(
    r"heap out of memory|java\.lang\.OutOfMemoryError|\bMemoryError\b|NoMemoryError|OutOfMemoryException"
    r"|runtime: out of memory|signal: killed|Runtime\.OutOfMemory|memory allocation of \d+ bytes failed"
)


class Told(msgspec.Struct, frozen=True):
    """An exception.

    Attributes:
        is_uncaught: Whether the runtime itself tells it: the invocation failed.
    """

    type: str = ""
    message: str = ""
    stack: str = ""
    is_uncaught: bool = False


class _Json(msgspec.Struct):
    """What Lambda's runtimes say of an error, as JSON."""

    errorType: str = ""  # noqa: N815 - the runtimes' names, here and below
    errorMessage: str = ""  # noqa: N815
    stack: Any = None
    stackTrace: Any = None  # noqa: N815


_jsons = msgspec.json.Decoder(_Json)


def in_text(text: str) -> Told | None:
    """The exception that a line tells, if it does so in a known form."""
    whole, text = text, text[:MOST_EXAMINED]
    found = _PYTHON_UNCAUGHT.match(text)
    if found:
        stack = whole[found.start("stack") :].replace("\r", "\n").replace("\u00a0", " ").strip()
        return Told(found["type"], found["message"] or "", stack, is_uncaught=True)
    found = _NODE_UNCAUGHT.search(text) or _RUBY_UNCAUGHT.search(text)
    if found:
        return _from_json(whole[found.start("json") :])
    at = text.find(_TRACEBACK)
    if at >= 0:
        stack = whole[at:].strip()
        last = _PYTHON_LAST.search(stack[-_MOST_TAIL:])
        return Told(last["type"] if last else "", (last["message"] or "") if last else "", stack)
    found = _FRAMES.search(text)
    if found:
        begin = max(text.rfind("\n", 0, found.start()), text.rfind("\r", 0, found.start())) + 1
        named = _NAMED.search(text[begin : found.start()])
        if named:
            stack = whole[begin + named.start("type") :].strip()
            return Told(named["type"], named["message"] or "", stack, is_uncaught=bool(_JAVA_UNCAUGHT.match(text)))
    found = _GO_PANIC.search(text)
    if found:
        return Told("panic", found["message"], whole[found.start("stack") :].strip(), is_uncaught=True)
    return None


def is_out_of_memory(text: str) -> bool:
    """Whether a line says what runtimes say when memory is exhausted."""
    return _OUT_OF_MEMORY.search(text[:MOST_EXAMINED]) is not None


def stack_of(value: Any) -> str:
    """A stack trace however it is written: text, lines, or frames as objects."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return ""
    lines = []
    for frame in value:
        if isinstance(frame, dict):
            place = f"{frame.get('path', frame.get('file', ''))}:{frame.get('line', frame.get('lineNumber', ''))}"
            lines.append(f"{place} {frame.get('label', frame.get('methodName', ''))}".strip())
        else:
            lines.append(str(frame).removesuffix("\n"))
    return "\n".join(lines)


def _from_json(text: str) -> Told | None:
    try:
        told = _jsons.decode(text.strip())
    except (msgspec.MsgspecError, RecursionError):
        return None
    return Told(told.errorType, told.errorMessage, stack_of(told.stack or told.stackTrace), is_uncaught=True)
