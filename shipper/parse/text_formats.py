r"""Text lines as Lambda's runtimes and common libraries write them: level, time and request id, read from its start.

Looks at the raw JSON string, in which a tab is `\t` (two characters), so nothing is decoded. A line of no known format
says nothing; what is recognised is only read, the body stays what was written.
"""

from lifecycle.contract import late
from shipper.model.severity import NUMBERS, number_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Callable

_ID = rb"(?P<id>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"
_LEVEL = rb"(?P<level>[A-Z]{3,11})"
_WORD = rb"(?P<level>[A-Za-z]{3,11})"
# Go's slog: `INFO`, and `INFO+2` for what lies between its levels.
_SLOG = rb"(?P<level>[A-Za-z]{4,11}(?:[+-]\d{1,2})?)"
# npm's and syslog's levels, as winston writes them; but `http`, which is how Go's server begins its lines, too.
_NPM = rb"error|warn(?:ing)?|info|verbose|debug|silly|emerg|alert|crit|notice|fatal|trace"
# .NET's own words, before a category and a number.
_DOTNET = rb"(?:trce|dbug|fail)(?=: [\w.+`<>]{1,120}\[-?\d{1,10}\])"
_WORD_STARTS = (b"er", b"wa", b"in", b"ve", b"de", b"si", b"em", b"al", b"cr", b"no", b"fa", b"tr", b"db")
# Only a time with a fraction and a zone is better than the platform's own.
_EXACT = rb"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}(?:Z|[+-]\d\d:\d\d))"
_INEXACT = rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
_TIME = rb"(?:" + _EXACT + rb"|" + _INEXACT + rb")"

# What Lambda's own runtimes put before what a function logs; all that is in it is told by `text_head`.
_LEVEL_FIRST = (
    rb"\["
    + _LEVEL
    # Behind a blank it may be what Python's runtime says of a function that it cannot load, without a stack trace.
    + rb" {0,2}\](?: (?=(?P<error>Runtime\.[A-Z])?)|\\t(?:"
    + _TIME
    + rb"\\t"
    + _ID
    + rb"?\\t)?)"
)
_TIME_FIRST = _TIME + rb"\\t(?:(?:undefined|" + _ID + rb")?\\t)?" + _WORD + rb"\\t"

# By the byte that a line begins with, the formats it may be of, tried in turn; by two where it is a small letter.
_SOURCES: tuple[tuple[bytes | tuple[bytes, ...], bytes], ...] = (
    # Python: `[INFO]\t2024-05-20T16:29:45.008Z\t<request id>\tmessage`. Java's LambdaLogger, and what Python's runtime
    # says of an uncaught exception: `[INFO] message`.
    (b"[", _LEVEL_FIRST),
    # Serilog's console: `[16:29:45 INF] message`. structlog's, without a time: `[info     ] message`.
    (b"[", rb"\[(?:\d\d:\d\d:\d\d )?" + _WORD + rb" {0,8}\] "),
    # slf4j-simple: `[main] INFO com.example.Handler - message`.
    (b"[", rb"\[[^\]\\]{1,60}\] " + _LEVEL + rb" [\w.$]{1,200} - "),
    # Monolog: `[2024-05-20T16:29:45.008123+00:00] channel.ERROR: message {"a":1} []`.
    (b"[", rb"\[" + _TIME + rb"\] [\w-]{1,60}\." + _LEVEL + rb": "),
    # pino-pretty: `[16:29:45.008] INFO (8): message`.
    (b"[", rb"\[[\d:. +-]{8,40}\] " + _LEVEL + rb"(?: \(|: )"),
    # Node.js: `2024-05-20T16:29:45.008Z\t<request id or undefined>\tINFO\tmessage`. .NET: the same, `info`.
    # Go's zap: the same without a request id.
    (b"2", _TIME_FIRST),
    # What the platform says of a timeout.
    (b"2", _TIME + rb" " + _ID + rb" (?P<error>Task timed out)"),
    # Serilog's file: `2024-05-20 16:29:45.008 +00:00 [INF] message`. structlog's console: `2024-05-20 16:29:45 [info
    # ] message`. By hand, as winston's manual has it: `2024-05-20T16:29:45.008Z [info]: message`.
    (b"2", _TIME + rb"(?: [+-]\d\d:\d\d)? \[" + _WORD + rb" {0,8}\][ :]"),
    # loguru: `2024-05-20 16:29:45.008 | INFO     | module:function:3 - message`.
    (b"2", _TIME + rb" \| " + _LEVEL + rb" {0,8} \| "),
    # winston, with a time: `2024-05-20T16:29:45.008Z info: message`.
    (b"2", _TIME + rb" (?P<level>" + _NPM + rb"): "),
    # Java: `2024-05-20 16:29:45 <request id> INFO  Handler:25 - message`, `… [main] INFO  Handler - message`. Rust:
    # `2024-05-20T16:29:45.008123Z  INFO handler: message`.
    (b"2", _TIME + rb" +(?:\[[^\]\\]{0,60}\] +)?(?:" + _ID + rb" +)?" + _LEVEL + rb"[ :]"),
    # Logback, unset: `16:29:45.008 [main] INFO  com.example.Handler - message`.
    (b"012", rb"\d\d:\d\d:\d\d[.,]\d{3} \[[^\]\\]{0,60}\] +" + _LEVEL + rb" "),
    # zerolog's console: `4:29PM INF message a=1`.
    (b"123456789", rb"\d{1,2}:\d\d[AP]M " + _LEVEL + rb" "),
    # java.util.logging: `May 20, 2024 4:29:45 PM com.example.Handler handle`, the level and the message in the next
    # line. From Java 20 on the blank before PM is a narrow one.
    (
        b"JFMASOND",
        rb"[A-Z][a-z]{2} \d{1,2}, \d{4},? \d{1,2}:\d\d:\d\d(?: |\xe2\x80\xaf|\\u202[fF])[AP]M [^\\\"]{1,300}(?:\\r)?\\n"
        + _LEVEL
        + rb": ",
    ),
    # klog and glog: `I0520 16:29:45.008123       8 main.go:12] message`.
    (b"IWEF", rb"(?P<level>[IWEF])\d{4} \d\d:\d\d:\d\d\.\d{6} +\d{1,9} [\w./-]{1,120}:\d{1,6}\] "),
    # Go's slog without a handler of its own: `2024/05/20 16:29:45 INFO message`.
    (b"2", rb"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?:\.\d+)? " + _SLOG + rb" "),
    # As Python's manual has it: `2024-05-20 16:29:45,008 - name - INFO - message`.
    (b"2", _TIME + rb" - [\w.]{1,80} - " + _LEVEL + rb" - "),
    # Ruby: `I, [2024-05-20T16:29:45.008123 #8]  INFO -- <request id>: message`.
    (b"DIWEFA", rb"[DIWEFA], \[[0-9T:. #-]{20,60}\] +" + _LEVEL + rb" -- " + _ID + rb"?"),
    # Python's logging, unset: `INFO:root:message`. By hand: `ERROR: message`.
    (b"ACDEFINSTVW", _LEVEL + rb"(?::[ \w]|\\t| - | \| )"),
    # winston's simple form: `info: message {"a":1}`. .NET's console: `info: Shop.Function[0]`, then a line of message.
    (_WORD_STARTS, rb"(?P<level>" + _NPM + rb"|" + _DOTNET + rb"): "),
    # Go's slog and logrus, logfmt: `time=2024-05-20T16:29:45.008Z level=INFO msg=…`.
    ((b"ti", b"ts"), rb'(?:time|ts)=(?:\\")?' + _TIME + rb'(?:[+-]\d\d:\d\d)?(?:\\")? level=' + _SLOG + rb"[ \"]"),
    ((b"le",), rb"level=" + _SLOG + rb"[ \"]"),
    # What the platform says of a runtime that exited; with a status as the Logs API's fault.
    (b"R", rb"RequestId: " + _ID + rb"(?P<error> Error: | Process exited|\\tStatus: )"),
    # What Go's runtime and Rust's say of a panic; where each line is a record, the first of it.
    ((b"pa",), rb"(?P<error>panic: )"),
    ((b"fa",), rb"(?P<error>fatal error: )"),
    ((b"th",), rb"(?P<error>thread '[^'\\]{0,200}'(?: \(\d{1,20}\))? panicked at )"),
    # What emulators print among a function's lines.
    (b"SER", rb"(?:START|END|REPORT) RequestId: " + _ID),
)


class Format:
    """One format, compiled when the first line of its kind comes.

    Attributes:
        match: Its pattern's.
        level: Number of the group that tells the level; 0 for none.
        request_id: Likewise.
        time: Likewise.
        error: Of a group that says the line tells an error.
    """

    def __init__(self, pattern: "re.Pattern[bytes]") -> None:
        self.source = pattern.pattern
        self._pattern = pattern
        self.level = self.request_id = self.time = self.error = 0
        self.match: Callable[[bytes], re.Match[bytes] | None] = self._first_match

    def _first_match(self, line: bytes) -> "re.Match[bytes] | None":
        groups = self._pattern.groupindex
        self.level, self.request_id, self.time = groups.get("level", 0), groups.get("id", 0), groups.get("time", 0)
        self.error = groups.get("error", 0)
        self.match = self._pattern.match
        return self.match(line)


# By a line's second byte, after the quote. What begins with an escape may begin with a colour.
_ESCAPED = b"\\"[0]
FORMATS: dict[int, tuple[Format, ...]] = {_ESCAPED: ()}
# Most text begins with a small letter, and few of these have a second one as a format begins with.
SMALL = b"a"[0]
BEGINNINGS = frozenset(start for starts, _ in _SOURCES if isinstance(starts, tuple) for start in starts)
_PATTERNS = tuple([(starts, late.pattern(b'"' + source)) for starts, source in _SOURCES])
for _starts, _pattern in _PATTERNS:
    for _start in _starts if isinstance(_starts, bytes) else {start[0] for start in _starts}:
        FORMATS[_start] = (*FORMATS.get(_start, ()), Format(_pattern))

_PREFIXES = {ord("["): Format(late.pattern(b'"' + _LEVEL_FIRST)), ord("2"): Format(late.pattern(b'"' + _TIME_FIRST))}

# `[INFO]` or `INFO`, with what the longest level takes; a tab, time, another one and an id, between which these stand.
_OPENING, _TAB, _MOST_WORD = b"["[0], rb"\t", 16
_BEFORE_LEVEL = len(rb"2024-05-20T16:29:45.008Z\t00000000-0000-0000-0000-000000000000\t")
_AFTER_LEVEL = len("]") + len(_TAB) + _BEFORE_LEVEL

_LEVELS = {spelt.encode(): spelt for name in NUMBERS for spelt in (name, name.lower(), name.capitalize())}
# Go's log package; what its runtime library says of a failed handler is an exception, and no line in a line.
_GO_HEAD = late.pattern(rb'"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?:\.\d{1,9})? ')
# How a terminal is told of colours, and within how much of a line that is looked for.
_COLOUR = late.pattern(rb"\\u001[bB]\[[0-9;]{0,16}m")
_MOST_COLOURED = 256
_LOGFMT_ID = late.pattern(rb'(?i)\b(?:aws_?)?request_?id=(?:\\")?' + _ID)

# Level, request id and time, each "" where the line does not say it plainly; whether it tells of an error.
TextHead = tuple[str, str, str, bool]
UNTOLD: TextHead = ("", "", "", False)


def text_head(line: bytes) -> TextHead:
    """What a raw JSON string begins with."""
    first = line[1]
    if first == _ESCAPED:
        line = _uncoloured(line)
        first = line[1]
    for form in FORMATS.get(first, ()):
        found = form.match(line)
        if found is None:
            continue
        is_error = form.error > 0 and found[form.error] is not None
        level = "ERROR" if is_error else ""
        if form.level:
            word = found[form.level]
            level = _LEVELS.get(word) or str(word, "ascii")
            if word not in _LEVELS and not number_of(level):
                continue
        break
    else:
        return UNTOLD
    request_id = found[form.request_id] if form.request_id else None
    time = found[form.time] if form.time else None
    if request_id is None and first in b"tl":
        named = _LOGFMT_ID.search(line)
        request_id = named["id"] if named else None
    return level, str(request_id, "ascii") if request_id else "", str(time, "ascii") if time else "", is_error


def _uncoloured(line: bytes) -> bytes:
    """The beginning of a raw JSON string without its colours; the same one if it does not begin with one."""
    if line[:8].lower() != b'"\\u001b[':
        return line
    return _COLOUR.sub(b"", line[:_MOST_COLOURED]) + b'"'


def object_behind(line: bytes) -> bytes:
    r"""The JSON object that stands, as text, behind what a runtime writes before a message; b"" where there is none.

    Returns:
        It as a raw JSON string, which holds it.
    """
    for form in FORMATS.get(line[1], ()):
        found = form.match(line)
        if found is not None:
            break
    else:
        found = _GO_HEAD.match(line) if line.find(b"rrorType") < 0 else None
    if found is None:
        return b""
    at = found.end()
    if line.startswith(b": ", at):  # Ruby's
        at += 2
    return b'"' + line[at:] if line.startswith((b'{\\"', b"{}"), at) else b""


def likely_head(text: bytes) -> bytes:
    """As much of a text as what Lambda's own runtimes write before a message takes, quotes around it removed.

    Whether it is that, `told_whole` says, which costs more: most heads of a burst are alike.
    """
    if text[0] == _OPENING:
        return text[: text.find(b"]", 0, _MOST_WORD) + _AFTER_LEVEL]
    return text[: text.find(_TAB, _BEFORE_LEVEL, _BEFORE_LEVEL + _MOST_WORD) + len(_TAB)]


def told_whole(head: bytes) -> "TextHead | None":
    """What a text begins with whose beginning this is; None where more of it has to be seen for that."""
    form = _PREFIXES.get(head[0]) if head else None
    found = form.match(b'"' + head) if form is not None and head.endswith(_TAB) else None
    if found is None or found.end() <= len(head):
        return None
    told = text_head(b'"' + head)
    return told if told[0] else None


def prefix_bytes(line: bytes) -> int:
    """How much of a raw JSON string of which the level is known is a runtime's prefix, its quote aside."""
    form = _PREFIXES.get(line[1])
    found = form.match(line) if form is not None else None
    return found.end() - 1 if found is not None and line[found.end() : -1].removesuffix(b"\\n") else 0


def may_hold_exception(line: bytes) -> bool:
    """Whether a raw JSON string is worth a closer look: it has several lines, or speaks of errors as runtimes do."""
    # Python's `in` takes twice the time of `find`, on every version, and this looks at most lines.
    return line.find(b"\\n", 0, -3) >= 0 or line.find(b"\\r") >= 0 or line.find(b"rrorType") >= 0


# What runtimes say when memory is exhausted has the first of these in it, and one of the others. Not so the member
# `function_memory_size`, which Powertools' logger writes in every line.
_MEMORY = b"emory"
_EXHAUSTED = (b"f memory", b"fMemory", b"MemoryE", b"memory allocation of")

# What stands in a record of a single line that may tell that its invocation fails.
_ERROR_TYPE, _TRACEBACK, _KILLED, _TIMED_OUT = b"rrorType", b"raceback (m", b"signal: killed", b" Task timed out"
TELLING = (_ERROR_TYPE, _TRACEBACK, *_EXHAUSTED, _KILLED, _TIMED_OUT)


def may_tell_failure(line: bytes) -> bool:
    """Whether a record may tell that its invocation fails."""
    return (
        line.find(_ERROR_TYPE) >= 0
        or line.find(_TRACEBACK) >= 0
        or (line.find(_MEMORY) >= 0 and any(word in line for word in _EXHAUSTED))
        or line.find(_KILLED) >= 0
        or line.find(_TIMED_OUT) >= 0
        or (line.find(b"\\n", 0, -3) >= 0 and (b"tat " in line or b" at " in line or b"goroutine" in line))
    )
