"""Text lines as each of Lambda's runtimes writes them, and what is told from them."""

import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.destinations.fields import message_of
from shipper.model.context import NOTHING
from shipper.model.events import Event
from shipper.model.log_record import ExceptionInfo
from shipper.model.severity import NUMBERS, number_of
from shipper.parse.exceptions import failure_in, in_text
from shipper.parse.log_parser import LogParser
from shipper.parse.text_formats import BEGINNINGS, FORMATS, UNTOLD, may_hold_exception, may_tell_failure, text_head
from tests.shipper.following import attributes, followed
from tests.shipper.support import REQUEST_ID, TIME, event, frame

AT = "2024-05-20T16:29:44.123Z"
AT_NS = "1716222584123000000"
EVENT_NS = "1716222585008000000"

# What a handler of each runtime writes when it logs once at INFO or above: line, level, number, whether it names the
# request, whether its own time is used.
RUNTIMES = [
    pytest.param(f"[INFO]\t{AT}\t{REQUEST_ID}\thello\n", "INFO", 9, True, True, id="Python, logging"),
    pytest.param(f"[WARNING]\t{AT}\t\tloading\n", "WARNING", 13, False, True, id="Python, logging, in init"),
    pytest.param("INFO:root:hello\n", "INFO", 9, False, False, id="Python, logging.basicConfig"),
    pytest.param("hello\n", "", 0, False, False, id="Python, print"),
    pytest.param(f"{AT}\t{REQUEST_ID}\tWARN\thello\n", "WARN", 13, True, True, id="Node.js, console.warn"),
    pytest.param(f"{AT}\tundefined\tINFO\tloading\n", "INFO", 9, False, True, id="Node.js, in init"),
    pytest.param(f"{AT}\t{REQUEST_ID}\tfail\thello\n", "fail", 17, True, True, id=".NET, LogError"),
    pytest.param(f"{AT}\t{REQUEST_ID}\tdbug\thello\n", "dbug", 5, True, True, id=".NET, LogDebug"),
    pytest.param("[ERROR] hello\n", "ERROR", 17, False, False, id="Java, LambdaLogger with a level"),
    pytest.param(
        f"2024-05-20 16:29:44 {REQUEST_ID} INFO  Handler:25 - hello\n", "INFO", 9, True, False, id="Java, log4j2"
    ),
    pytest.param(
        "2024-05-20 16:29:44,123 [main] ERROR c.e.Handler - no\n", "ERROR", 17, False, False, id="Java, logback"
    ),
    pytest.param(
        f"W, [2024-05-20T16:29:44.123456 #8]  WARN -- {REQUEST_ID}: hello\n", "WARN", 13, True, False, id="Ruby, Logger"
    ),
    pytest.param(
        f'time={AT} level=ERROR msg="no" requestId={REQUEST_ID}\n', "ERROR", 17, True, True, id="Go, slog as text"
    ),
    pytest.param('time="2024-05-20T16:29:44Z" level=warning msg=no\n', "warning", 13, False, False, id="Go, logrus"),
    pytest.param("2024/05/20 16:29:44 INFO hello\n", "INFO", 9, False, False, id="Go, slog by default"),
    pytest.param("2024/05/20 16:29:44 hello\n", "", 0, False, False, id="Go, log"),
    pytest.param(f"time={AT} level=INFO+2 msg=x\n", "INFO+2", 11, False, True, id="Go, slog between two levels"),
    pytest.param(
        "2024-05-20T16:29:44.123+0200\tERROR\tshop/main.go:3\tno\n", "ERROR", 17, False, False, id="Go, zap for people"
    ),
    pytest.param("16:29:44.123 [main] WARN  c.e.Handler - x\n", "WARN", 13, False, False, id="Java, logback unset"),
    pytest.param("[INFO ] 2024-05-20 16:29:44 x\n", "INFO", 9, False, False, id="Java, a level in a column"),
    pytest.param("info: Shop.Function[0]\n      hello\n", "info", 9, False, False, id=".NET, console logger"),
    pytest.param(
        "2024-05-20 16:29:44,123 - shop - DEBUG - x\n", "DEBUG", 5, False, False, id="Python, as its manual formats"
    ),
    pytest.param("2024-05-20T16:29:44.123Z  INFO shop: hello\n", "INFO", 9, False, True, id="Rust, tracing"),
    pytest.param("ERROR: no\n", "ERROR", 17, False, False, id="by hand"),
    pytest.param(f"{AT} {REQUEST_ID} Task timed out after 3.00 seconds\n\n", "ERROR", 17, True, True, id="a timeout"),
    pytest.param(
        f"RequestId: {REQUEST_ID} Error: Runtime exited with error: exit status 1\nRuntime.ExitError\n",
        *("ERROR", 17, True, False),
        id="a crash",
    ),
]


@pytest.mark.parametrize(("line", "level", "number", "names", "is_timed"), RUNTIMES)
def test_a_line_of_each_runtime(line: str, level: str, number: int, *, names: bool, is_timed: bool) -> None:
    """Severity, request and time are the line's where it carries them; the body is what was written."""
    (log,) = followed([event(line)]).logs
    assert log["body"] == {"stringValue": line.removesuffix("\n")}
    assert (log.get("severityText", ""), log.get("severityNumber", 0)) == (level, number)
    assert attributes(log).get("faas.invocation_id", "") == (REQUEST_ID if names else "")
    assert log["timeUnixNano"] == (AT_NS if is_timed else EVENT_NS)


@pytest.mark.parametrize(
    "line",
    [
        *(
            "INFO x",
            "x [INFO]\t",
            "[INFO]",
            "[]\t",
            "[INFO",
            "2024 INFO",
            "",
            "I, you",
            "ERRORS: 5",
            "t",
            "level=",
            "[",
        ),
        *("time=now level=INFO x", "Information desk", "[WHATEVER] x", "level=odd msg=x", "2024-05-20 16:29:44 WHAT x"),
    ],
)
def test_no_level_is_guessed(line: str) -> None:
    """What only looks a little like one says nothing."""
    assert text_head(msgspec.json.encode(line)) == UNTOLD


@given(st.text())
def test_any_text_is_read_without_harm(line: str) -> None:
    """And a level that is told is one."""
    level, request_id, _, _ = text_head(msgspec.json.encode(line))
    assert not level or number_of(level)
    assert len(request_id) in (0, 36)


# OpenTelemetry logs data model, "SeverityNumber example mappings": by number, what runtimes and libraries call it.
SEVERITIES = {
    1: ("TRACE", "FINEST", "trce"),
    5: ("DEBUG", "FINER", "Verbose", "dbug"),
    6: ("FINE", "DEBUG+1"),
    7: ("CONFIG",),
    9: ("INFO", "Information", "Informational"),
    10: ("NOTICE", "INFO+1"),
    13: ("WARN", "WARNING", "ERROR-4"),
    17: ("ERROR", "SEVERE", "fail"),
    18: ("DPANIC",),
    19: ("PANIC", "ALERT"),
    21: ("FATAL", "EMERGENCY", "CRITICAL", "crit"),
    24: ("ERROR+99",),
    0: ("", "LOUD", "INFO+", "INFO+x", "+1", "CONFIG+1"),
}


@pytest.mark.parametrize(("number", "levels"), SEVERITIES.items())
def test_severity_numbers_are_those_of_the_table(number: int, levels: tuple[str, ...]) -> None:
    """.NET's and Python's CRITICAL is as severe as can be; syslog's is another."""
    assert {level: number_of(level) for level in levels} == dict.fromkeys(levels, number)


@pytest.mark.parametrize("level", sorted(NUMBERS))
def test_a_level_is_known_however_it_is_written(level: str) -> None:
    assert number_of(level) == number_of(level.lower()) == number_of(level.capitalize()) == NUMBERS[level]


PYTHON = 'Traceback (most recent call last):\n  File "/var/task/app.py", line 3, in handler\n    raise ValueError("no")'
JAVA = "java.lang.IllegalStateException: no\n\tat com.example.Handler.handle(Handler.java:3)\n\t... 2 more"
NODE = "TypeError: x is not a function\n    at Runtime.handler (file:///var/task/index.mjs:2:9)"
DOTNET = "System.InvalidOperationException: no\n   at Shop.Function.Handler() in /src/Function.cs:line 7"
NODE_JSON = msgspec.json.encode(
    {"errorType": "TypeError", "errorMessage": "x is not a function", "stack": NODE.split("\n")}
).decode()

EXCEPTIONS: list[Any] = [
    pytest.param(
        "[ERROR] ValueError: no\r" + PYTHON.replace("\n", "\r").replace("  ", "\u00a0\u00a0") + "\n",
        ExceptionInfo("ValueError", "no", PYTHON, is_uncaught=True),
        id="Python's runtime, of what nothing caught",
    ),
    pytest.param(
        f"[ERROR]\t{AT}\t{REQUEST_ID}\tit failed\n{PYTHON}\nshop.errors.CardError: no: really\n",
        ExceptionInfo("shop.errors.CardError", "no: really", f"{PYTHON}\nshop.errors.CardError: no: really"),
        id="Python, logging.exception",
    ),
    pytest.param(
        f"{AT}\t{REQUEST_ID}\tERROR\tInvoke Error \t{NODE_JSON}\n",
        ExceptionInfo("TypeError", "x is not a function", NODE, is_uncaught=True),
        id="Node.js's runtime",
    ),
    pytest.param(
        f"{AT}\t{REQUEST_ID}\tERROR\t{NODE}\n",
        ExceptionInfo("TypeError", "x is not a function", NODE),
        id="Node.js, console.error",
    ),
    pytest.param(
        f"no: java.lang.IllegalStateException\n{JAVA}\n",
        ExceptionInfo("java.lang.IllegalStateException", "no", JAVA, is_uncaught=True),
        id="Java's runtime",
    ),
    pytest.param(
        f"2024-05-20 16:29:44 {REQUEST_ID} ERROR Handler:3 - it failed\n{JAVA}\n",
        ExceptionInfo("java.lang.IllegalStateException", "no", JAVA),
        id="Java, log4j2",
    ),
    pytest.param(
        f"{AT}\t{REQUEST_ID}\tfail\t{DOTNET}\n",
        ExceptionInfo("System.InvalidOperationException", "no", DOTNET),
        id=".NET",
    ),
    pytest.param(
        'Error raised from handler method\n{\n  "errorMessage": "no",\n  "errorType": "Function<RuntimeError>",\n'
        '  "stackTrace": ["/var/task/app.rb:3"]\n}\n',
        ExceptionInfo("Function<RuntimeError>", "no", "/var/task/app.rb:3", is_uncaught=True),
        id="Ruby's runtime",
    ),
    pytest.param(
        f"{AT}\t{REQUEST_ID}\tfail\tSystem.AggregateException: two\n ---> {DOTNET}\n   --- End of inner exception\n",
        ExceptionInfo(
            "System.AggregateException",
            "two",
            f"System.AggregateException: two\n ---> {DOTNET}\n   --- End of inner exception",
        ),
        id=".NET, one in another",
    ),
    pytest.param(
        f"{AT}\t{REQUEST_ID}\tERROR\tTypeError: one\ntwo\n    at Runtime.handler (index.mjs:2:9)\n",
        ExceptionInfo("TypeError", "one\ntwo", "TypeError: one\ntwo\n    at Runtime.handler (index.mjs:2:9)"),
        id="Node.js, a message of two lines",
    ),
    pytest.param(
        "E, [2024-05-20T16:29:44.123456 #8] ERROR -- : it: no (ShopError)\n/var/task/app.rb:3:in `handler'\n",
        ExceptionInfo("ShopError", "it: no", "/var/task/app.rb:3:in `handler'"),
        id="Ruby, Logger",
    ),
    pytest.param(
        "fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 [select]:\n",
        ExceptionInfo(
            "fatal error", "all goroutines are asleep - deadlock!", "goroutine 1 [select]:", is_uncaught=True
        ),
        id="Go, a failure of the runtime",
    ),
    pytest.param(
        "panic: no\n\ngoroutine 1 [running]:\nmain.handle()\n",
        ExceptionInfo("panic", "no", "goroutine 1 [running]:\nmain.handle()", is_uncaught=True),
        id="Go, a panic",
    ),
]


@pytest.mark.parametrize(("line", "exception"), EXCEPTIONS)
def test_an_exception_of_each_runtime(line: str, exception: ExceptionInfo) -> None:
    """Type, message and stack trace under their names; the body stays whole; told at ERROR."""
    assert in_text(line) == exception
    assert may_hold_exception(msgspec.json.encode(line))
    (log,) = followed([event(line)]).logs
    found = attributes(log)
    assert log["body"] == {"stringValue": line.removesuffix("\n")}
    assert found["exception.type"] == exception.type
    assert found["exception.message"] == exception.message
    assert found["exception.stacktrace"] == exception.stack
    assert log["severityNumber"] == 17


@pytest.mark.parametrize(
    "line", ["two\nlines\n", "an Error\nand more", "look at\n  at home", "Exception\n", "an Error\nor two\n  at home"]
)
def test_lines_that_tell_no_exception_get_none(line: str) -> None:
    (log,) = followed([event(line)]).logs
    assert not [name for name in attributes(log) if name.startswith("exception.")]


@pytest.mark.parametrize(
    "line",
    [
        *("a." * 200_000 + "\n at ", "Error" * 100_000 + "\n at ", "\n" * 400_000, ": " * 200_000 + "\n x"),
        *("Error: " * 60_000 + "\n at ", "[ERROR] A: " + "\r" * 300_000, " Error\n" * 60_000, "panic: \n" * 60_000),
        "Traceback (most recent call last):" + " " * 300_000 + "\n" * 1000,
        *("2" * 400_000, "time=" * 100_000, "[" * 400_000, "I, [" + "2" * 400_000),
    ],
)
def test_no_line_takes_long_to_look_at(line: str) -> None:
    """However it is made."""
    raw = msgspec.json.encode(line)
    started = time.process_time()
    in_text(line)
    text_head(raw)
    assert time.process_time() - started < 0.1


TRACEBACK = "KeyError: 'x'\nTraceback (most recent call last):\n  File \"a.py\", line 1, in f\nKeyError: 'x'"


@pytest.mark.parametrize(
    ("line", "rest"),
    [
        (f"[INFO]\t{AT}\t{REQUEST_ID}\thello\n", "hello"),
        (f"[WARNING]\t{AT}\t\tloading", "loading"),
        (f"{AT}\t{REQUEST_ID}\tWARN\tno\tstock\nnone\n", "no\tstock\nnone"),
        (f"{AT}\tundefined\tINFO\t\\", "\\"),
        (f"[ERROR] {TRACEBACK}\n", TRACEBACK),
        (f"[CUSTOM] {TRACEBACK}\n", None),
        ("[INFO] \n", "[INFO] "),
        (f"2024-05-20 16:29:44 {REQUEST_ID} INFO  Handler:25 - hello\n", None),
        ("INFO:root:hello\n", None),
        ("hello\n", None),
    ],
)
def test_what_a_runtime_puts_before_a_line_is_told_apart(line: str, rest: str | None) -> None:
    """Where all that is in it is told by other means; of any other line all is its message."""
    parser = LogParser()
    parser.begin(frame(event(line)))
    found = parser.record(Event(TIME, "function", msgspec.Raw(msgspec.json.encode(line))), 0, NOTHING)
    assert msgspec.json.decode(message_of(found)) == (line.removesuffix("\n") if rest is None else rest)
    assert (found.prefix_bytes > 0) is (rest is not None and rest != line.removesuffix("\n"))


def test_no_line_that_a_format_takes_is_passed_over_for_its_second_letter() -> None:
    """The parser asks for a small letter's formats only where both letters are a format's."""
    words = (
        "trce",
        "dbug",
        "fail",
        *(name.lower() for name in NUMBERS),
        "level=info",
        "time=",
        "ts=",
        "thread",
        "panic",
    )
    for word in words:
        line = msgspec.json.encode(f"{word}: Shop.Function[0] x")
        if text_head(line) != UNTOLD:
            assert line[1:3] in BEGINNINGS
    for forms in FORMATS.values():
        for form in forms:
            first = form.source[1:2]
            assert not first.islower() or form.source[1:3] in BEGINNINGS


@pytest.mark.parametrize(
    "said",
    [
        *("FATAL ERROR: JavaScript heap out of memory", "java.lang.OutOfMemoryError: Java heap space", "MemoryError"),
        *("failed to allocate memory (NoMemoryError)", "System.OutOfMemoryException", "runtime: out of memory: x"),
        *("Runtime.OutOfMemory", "memory allocation of 8 bytes failed", "signal: killed"),
    ],
)
def test_a_line_that_says_that_memory_is_exhausted_is_looked_at(said: str) -> None:
    """And none that only speaks of memory, as Powertools' logger does in every line."""
    assert may_tell_failure(b'"%b\\n"' % said.encode())
    failure = failure_in(LogParser().record(Event(TIME, "function", msgspec.Raw(b'"%b"' % said.encode())), 0, NOTHING))
    assert failure is not None
    assert failure.is_out_of_memory


def test_a_line_that_speaks_of_memory_is_none() -> None:
    assert not may_tell_failure(b'{"message":"placed","function_memory_size":"128","max_memory_used":44}')
