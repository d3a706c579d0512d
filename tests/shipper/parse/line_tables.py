"""Lines as tables: what runtimes and libraries write, and what is found in it.

The tests read them, and docs/telemetry.md prints them: `python -m tests.shipper.parse.line_tables` writes it. The forms
are the libraries' own, as their manuals describe them; the words are ours.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[3] / "docs" / "telemetry.md"
BEGIN, END = "<!-- Written by `make docs` from tests/shipper/parse/line_tables.py. -->\n", "<!-- To here. -->\n"
MOST_SHOWN = 150

TIME = "2024-05-20T16:29:44.123Z"
ID = "459921b5-681c-4a96-beb0-81e0aa586026"
ROOT, PARENT = "1-5b8efff7-98038103d269b633813fc60c", "eee19b7ec3c1b174"
ESCAPE = "\x1b"


@dataclass(frozen=True)
class KnownLine:
    """A line that a library writes, and what is found in it.

    Attributes:
        library: Who writes it.
        form: Which of its forms.
        line: The line, or the object that it is.
        level: As found; "" for none.
        number: OpenTelemetry's number for it.
        body: What is to be read first; None for the line as it was written.
        request: Whether the invocation is told.
        time: Whether the time is the line's own.
        logger: Its name.
        trace: Whether a trace of its own is told.
        rest: Names of the attributes that the others become.
    """

    library: str
    form: str
    line: str | dict[str, Any]
    level: str = ""
    number: int = 0
    body: Any = None
    request: bool = False
    time: bool = False
    logger: str = ""
    trace: bool = False
    rest: tuple[str, ...] = ()


TEXT = (
    KnownLine("Python's runtime", "logging", f"[INFO]\t{TIME}\t{ID}\thello\n", "INFO", 9, request=True, time=True),
    KnownLine("Node.js's runtime", "console", f"{TIME}\t{ID}\tWARN\thello\n", "WARN", 13, request=True, time=True),
    KnownLine(".NET's runtime", "ILambdaLogger", f"{TIME}\t{ID}\tfail\tno\n", "fail", 17, request=True, time=True),
    KnownLine("Java's runtime", "LambdaLogger", "[ERROR] no\n", "ERROR", 17),
    KnownLine(
        "Ruby's runtime",
        "Logger",
        f"W, [2024-05-20T16:29:44.123456 #8]  WARN -- {ID}: hello\n",
        *("WARN", 13),
        request=True,
    ),
    KnownLine("Log4j", "pattern", f"2024-05-20 16:29:44 {ID} INFO  Handler:25 - hello\n", "INFO", 9, request=True),
    KnownLine("Logback", "default", "16:29:44.123 [main] WARN  com.example.Handler - hello\n", "WARN", 13),
    KnownLine("slf4j-simple", "default", "[main] INFO com.example.Handler - hello\n", "INFO", 9),
    KnownLine(
        "java.util.logging",
        "SimpleFormatter",
        "May 20, 2024 4:29:44 PM com.example.Handler handle\nSEVERE: no\n",
        *("SEVERE", 17),
    ),
    KnownLine(
        "java.util.logging",
        "SimpleFormatter, Java 20 and later",
        "May 20, 2024 4:29:44\u202fPM com.example.Handler handle\nWARNING: hello\n",
        *("WARNING", 13),
    ),
    KnownLine("java.util.logging", "SimpleFormatter, its second line", "SEVERE: no\n", "SEVERE", 17),
    KnownLine("Python, logging", "basicConfig", "WARNING:root:hello\n", "WARNING", 13),
    KnownLine(
        "Python, logging", "as its manual has it", "2024-05-20 16:29:44,123 - shop - DEBUG - hello\n", "DEBUG", 5
    ),
    KnownLine("loguru", "default", "2024-05-20 16:29:44.123 | INFO     | shop:handle:3 - hello\n", "INFO", 9),
    KnownLine("loguru", "default", "2024-05-20 16:29:44.123 | SUCCESS  | shop:handle:3 - hello\n", "SUCCESS", 10),
    KnownLine(
        "loguru",
        "coloured",
        f"{ESCAPE}[32m2024-05-20 16:29:44.123{ESCAPE}[0m | {ESCAPE}[1mERROR   {ESCAPE}[0m | shop:f:3 - no\n",
        *("ERROR", 17),
    ),
    KnownLine("structlog", "console", "2024-05-20 16:29:44 [warning  ] hello                order=7\n", "warning", 13),
    KnownLine("structlog", "console, without a time", "[info     ] hello                order=7\n", "info", 9),
    KnownLine(
        "structlog",
        "console, coloured",
        f"{ESCAPE}[2m2024-05-20T16:29:44.123000Z{ESCAPE}[0m [{ESCAPE}[31m{ESCAPE}[1merror    {ESCAPE}[0m] no\n",
        *("error", 17),
        time=True,
    ),
    KnownLine("winston", "simple", 'info: hello {"order":7}\n', "info", 9),
    KnownLine("winston", "simple, coloured", f"{ESCAPE}[31merror{ESCAPE}[39m: no\n", "error", 17),
    KnownLine("winston", "with a time", f"{TIME} warn: hello\n", "warn", 13, time=True),
    KnownLine("winston", "with a time, in brackets", f"{TIME} [debug]: hello\n", "debug", 5, time=True),
    KnownLine("pino-pretty", "default", "[16:29:44.123] INFO (8): hello\n", "INFO", 9),
    KnownLine("Serilog", "console", "[16:29:44 WRN] hello\n", "WRN", 13),
    KnownLine("Serilog", "file", "2024-05-20 16:29:44.123 +00:00 [ERR] no\n", "ERR", 17),
    KnownLine(".NET", "console", "warn: Shop.Function[0]\n      hello\n", "warn", 13),
    KnownLine("Go, slog", "default", "2024/05/20 16:29:44 INFO hello order=7\n", "INFO", 9),
    KnownLine("Go, slog", "text", f'time={TIME} level=ERROR msg="no" requestId={ID}\n', "ERROR", 17, None, True, True),
    KnownLine("Go, logrus", "text", 'time="2024-05-20T16:29:44Z" level=warning msg=hello\n', "warning", 13),
    KnownLine("Go, zap", "console", "2024-05-20T16:29:44.123+0000\tINFO\tshop/main.go:3\thello\n", "INFO", 9),
    KnownLine("Go, zerolog", "console", "4:29PM WRN hello order=7\n", "WRN", 13),
    KnownLine(
        "Go, zerolog",
        "console, coloured",
        f"{ESCAPE}[90m4:29PM{ESCAPE}[0m {ESCAPE}[1m{ESCAPE}[31mFTL{ESCAPE}[0m{ESCAPE}[0m no\n",
        *("FTL", 21),
    ),
    KnownLine("Go, klog", "default", "E0520 16:29:44.123456       8 main.go:12] no\n", "E", 17),
    KnownLine("Rust, tracing", "full", "2024-05-20T16:29:44.123456Z  INFO shop: hello\n", "INFO", 9, time=True),
    KnownLine(
        "Monolog", "line", '[2024-05-20T16:29:44.123456+00:00] app.ERROR: no {"order":7} []\n', "ERROR", 17, time=True
    ),
    KnownLine("anybody", "by hand", "ERROR: no\n", "ERROR", 17),
)

JSON = (
    KnownLine(
        "Python's runtime",
        "JSON",
        {"timestamp": TIME, "level": "WARNING", "message": "hello", "logger": "shop", "requestId": ID},
        *("WARNING", 13, "hello", True, True, "shop"),
    ),
    KnownLine(
        "Node.js's runtime",
        "JSON",
        {"timestamp": TIME, "level": "INFO", "requestId": ID, "message": "hello"},
        *("INFO", 9, "hello", True, True),
    ),
    KnownLine(
        "Node.js's runtime",
        "JSON, another logger's text as its message",
        {"timestamp": TIME, "level": "INFO", "requestId": ID, "message": '{"level":"error","msg":"no","order":7}'},
        *("error", 17, "no", True, True),
        rest=("order",),
    ),
    KnownLine(
        "Node.js's runtime",
        "JSON, another logger's object as its message",
        {"timestamp": TIME, "level": "INFO", "requestId": ID, "message": {"level": 50, "msg": "no", "order": 7}},
        *("ERROR", 17, "no", True, True),
        rest=("order",),
    ),
    KnownLine(
        "Node.js's runtime",
        "text, another logger's JSON as its message",
        f'{TIME}\t{ID}\tINFO\t{{"level":"error","msg":"no","order":7}}\n',
        *("error", 17, "no", True, True),
        rest=("order",),
    ),
    KnownLine(
        "Python's runtime",
        "text, another logger's JSON as its message",
        f'[INFO]\t{TIME}\t{ID}\t{{"level": "error", "message": "no"}}\n',
        *("error", 17, "no", True, True),
    ),
    KnownLine(
        ".NET's runtime",
        "text, another logger's JSON as its message",
        f'{TIME}\t{ID}\tinfo\t{{"Level":"Error","Message":"no"}}\n',
        *("Error", 17, "no", True, True),
    ),
    KnownLine(
        ".NET's runtime",
        "JSON",
        {
            "timestamp": TIME,
            "level": "Information",
            "requestId": ID,
            "traceId": f"Root={ROOT};Parent={PARENT};Sampled=0",
            "message": "hello",
        },
        *("Information", 9, "hello", True, True, "", True),
    ),
    KnownLine(
        "Java's runtime",
        "JSON",
        {"timestamp": TIME, "message": "hello", "level": "ERROR", "AWSRequestId": ID},
        *("ERROR", 17, "hello", True, True),
    ),
    KnownLine(
        "Rust, tracing",
        "JSON",
        {
            "timestamp": "2024-05-20T16:29:44.123456Z",
            "level": "INFO",
            "fields": {"message": "hello", "order": 7},
            "target": "shop",
            "span": {"name": "Lambda runtime invoke", "requestId": ID, "xrayTraceId": f"Root={ROOT};Sampled=1"},
        },
        *("INFO", 9, "hello", True, True, "shop", True),
        rest=("fields", "span"),
    ),
    KnownLine(
        "Rust, tracing",
        "JSON, in a span of one's own",
        {
            "timestamp": "2024-05-20T16:29:44.123456Z",
            "level": "WARN",
            "fields": {"message": "hello"},
            "target": "shop",
            "span": {"name": "order"},
            "spans": [{"name": "Lambda runtime invoke", "requestId": ID}, {"name": "order"}],
        },
        *("WARN", 13, "hello", True, True, "shop"),
        rest=("span", "spans"),
    ),
    KnownLine(
        "Powertools for Python",
        "Logger",
        {
            "level": "ERROR",
            "location": "handle:3",
            "message": "no",
            "timestamp": "2024-05-20 16:29:44,123+0000",
            "service": "shop",
            "function_request_id": ID,
            "xray_trace_id": ROOT,
        },
        *("ERROR", 17, "no", True, True, "", True),
        rest=("location", "service"),
    ),
    KnownLine(
        "Powertools for TypeScript",
        "Logger",
        {
            "level": "WARN",
            "message": "hello",
            "timestamp": TIME,
            "service": "shop",
            "function_request_id": ID,
            "xray_trace_id": ROOT,
        },
        *("WARN", 13, "hello", True, True, "", True),
        rest=("service",),
    ),
    KnownLine(
        "Powertools for .NET",
        "Logger, PascalCase",
        {
            "FunctionRequestId": ID,
            "XRayTraceId": ROOT,
            "Timestamp": "2024-05-20T16:29:44.1234567Z",
            "Level": "Error",
            "Service": "shop",
            "Message": "no",
        },
        *("Error", 17, "no", True, True, "", True),
        rest=("Service",),
    ),
    KnownLine(
        "Powertools for .NET",
        "Logger, camelCase",
        {
            "functionRequestId": ID,
            "xrayTraceId": ROOT,
            "timestamp": "2024-05-20T16:29:44.1234567Z",
            "level": "Error",
            "message": "no",
        },
        *("Error", 17, "no", True, True, "", True),
    ),
    KnownLine(
        "pino, bunyan",
        "numbers",
        {"level": 40, "time": 1716222584123, "pid": 8, "msg": "hello"},
        *("WARN", 13, "hello", False, True),
        rest=("pid",),
    ),
    KnownLine("pino, bunyan", "a level of one's own", {"level": 35, "msg": "hello"}, "35", 11, "hello"),
    KnownLine("pino, bunyan", "a number as text", {"level": "30", "msg": "hello"}, "30", 9, "hello"),
    KnownLine("winston", "JSON", {"level": "silly", "message": "hello", "a": 1}, "silly", 1, "hello", rest=("a",)),
    KnownLine("winston", "JSON", {"level": "http", "message": "hello"}, "http", 8, "hello"),
    KnownLine(
        "winston", "JSON, coloured", {"level": f"{ESCAPE}[31merror{ESCAPE}[39m", "message": "no"}, "error", 17, "no"
    ),
    KnownLine(
        "structlog",
        "JSON",
        {"event": "hello", "level": "warning", "timestamp": "2024-05-20T16:29:44.123456Z"},
        *("warning", 13, "hello", False, True),
    ),
    KnownLine(
        "loguru",
        "serialized",
        {
            "text": "2024-05-20 16:29:44.123 | INFO | hello\n",
            "record": {
                "extra": {"aws_request_id": ID},
                "level": {"icon": "i", "name": "INFO", "no": 20},
                "message": "hello",
                "name": "shop",
                "time": {"repr": "2024-05-20 16:29:44.123000+00:00", "timestamp": 1716222584.123},
            },
        },
        *("INFO", 9, "hello", True, True, "shop"),
        rest=("record", "text"),
    ),
    KnownLine(
        "Python, python-json-logger",
        "default",
        {"asctime": "2024-05-20 16:29:44,123", "levelname": "CRITICAL", "levelno": 50, "message": "no"},
        *("CRITICAL", 21, "no"),
        rest=("asctime", "levelno"),
    ),
    KnownLine(
        "Log4j",
        "JsonLayout",
        {
            "instant": {"epochSecond": 1716222584, "nanoOfSecond": 123000000},
            "level": "WARN",
            "loggerName": "com.example.Handler",
            "message": "hello",
            "contextMap": {"AWSRequestId": ID},
        },
        *("WARN", 13, "hello", True, True, "com.example.Handler"),
    ),
    KnownLine(
        "Log4j",
        "JsonLayout, properties as a list, with OpenTelemetry's agent",
        {
            "timeMillis": 1716222584123,
            "level": "WARN",
            "message": "hello",
            "contextMap": [
                {"key": "AWSRequestId", "value": ID},
                {"key": "trace_id", "value": "5b8efff798038103d269b633813fc60c"},
            ],
        },
        *("WARN", 13, "hello", True, True, "", True),
        rest=("contextMap",),
    ),
    KnownLine(
        "Logback",
        "JsonLayout",
        {
            "timestamp": "1716222584123",
            "level": "WARN",
            "logger": "com.example.Handler",
            "message": "hello",
            "mdc": {"AWSRequestId": ID},
        },
        *("WARN", 13, "hello", True, False, "com.example.Handler"),
        rest=("timestamp",),
    ),
    KnownLine(
        "Elastic Common Schema",
        "flat",
        {
            "@timestamp": TIME,
            "log.level": "warn",
            "log.logger": "shop",
            "message": "hello",
            "trace.id": "5b8efff798038103d269b633813fc60c",
            "transaction.id": "eee19b7ec3c1b174",
            "faas.execution": ID,
        },
        *("warn", 13, "hello", True, True, "shop", True),
    ),
    KnownLine(
        "Elastic Common Schema",
        "nested",
        {
            "@timestamp": TIME,
            "log": {"level": "warn", "logger": "shop"},
            "message": "hello",
            "trace": {"id": "5b8efff798038103d269b633813fc60c"},
            "span": {"id": "eee19b7ec3c1b174"},
            "faas": {"execution": ID},
        },
        *("warn", 13, "hello", True, True, "shop", True),
    ),
    KnownLine(
        "Serilog",
        "compact",
        {"@t": "2024-05-20T16:29:44.1234567Z", "@mt": "left {Left}", "@l": "Warning", "Left": 2},
        *("Warning", 13, "left {Left}", False, True),
        rest=("Left",),
    ),
    KnownLine(
        "Serilog",
        "compact, Information",
        {"@t": "2024-05-20T16:29:44.1234567Z", "@m": "hello", "@i": "a1b2"},
        *("Information", 9, "hello", False, True),
        rest=("@i",),
    ),
    KnownLine(
        "Serilog",
        "JSON",
        {
            "Timestamp": "2024-05-20T16:29:44.1234567+00:00",
            "Level": "Warning",
            "MessageTemplate": "left {Left}",
            "RenderedMessage": "left 2",
            "Properties": {"Left": 2, "AwsRequestId": ID},
        },
        *("Warning", 13, "left 2", True, True),
        rest=("MessageTemplate", "Properties"),
    ),
    KnownLine(
        ".NET",
        "JSON console",
        {
            "EventId": 0,
            "LogLevel": "Warning",
            "Category": "Shop.Function",
            "Message": "hello",
            "Scopes": [{"AwsRequestId": ID}],
        },
        *("Warning", 13, "hello", True, False, "Shop.Function"),
        rest=("EventId", "Scopes"),
    ),
    KnownLine(
        "Go, zap",
        "JSON",
        {"level": "dpanic", "ts": 1716222584.123, "logger": "shop", "msg": "no"},
        *("dpanic", 18, "no", False, True, "shop"),
    ),
    KnownLine(
        "Go, slog",
        "JSON",
        {"time": TIME, "level": "INFO+2", "msg": "hello", "requestId": ID},
        *("INFO+2", 11, "hello", True, True),
    ),
    KnownLine("Go, zerolog", "JSON", {"level": "warn", "message": "hello"}, "warn", 13, "hello"),
    KnownLine(
        "Monolog",
        "JSON",
        {
            "message": "no",
            "context": {"order": 7},
            "level": 400,
            "level_name": "ERROR",
            "channel": "app",
            "datetime": "2024-05-20T16:29:44.123456+00:00",
            "extra": {"aws_request_id": ID},
        },
        *("ERROR", 17, "no", True, True, "app"),
        rest=("context", "level"),
    ),
    KnownLine(
        "GELF",
        "1.1",
        {"version": "1.1", "host": "h", "short_message": "hello", "level": 4, "timestamp": 1716222584.123},
        *("WARNING", 13, "hello", False, True),
        rest=("host", "version"),
    ),
    KnownLine(
        "OpenTelemetry for Python",
        "injected into JSON",
        {
            "levelname": "INFO",
            "message": "hello",
            "otelTraceID": "5b8efff798038103d269b633813fc60c",
            "otelSpanID": "eee19b7ec3c1b174",
            "otelTraceSampled": True,
            "otelServiceName": "shop",
        },
        *("INFO", 9, "hello"),
        trace=True,
        rest=("otelServiceName",),
    ),
    KnownLine(
        "OpenTelemetry for Node.js",
        "injected into pino's",
        {
            "level": 30,
            "msg": "hello",
            "trace_id": "5b8efff798038103d269b633813fc60c",
            "span_id": "eee19b7ec3c1b174",
            "trace_flags": "01",
        },
        *("INFO", 9, "hello"),
        trace=True,
    ),
    KnownLine(
        "Datadog",
        "injected into JSON: its ids are decimal",
        {"level": "info", "msg": "hello", "dd": {"trace_id": "1234567890123456789", "span_id": "987654321"}},
        *("info", 9, "hello"),
        rest=("dd",),
    ),
    KnownLine(
        "W3C Trace Context",
        "traceparent",
        {"level": "info", "msg": "hello", "traceparent": "00-5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174-01"},
        *("info", 9, "hello"),
        trace=True,
    ),
    KnownLine(
        "OpenTelemetry",
        "a record as JSON",
        {"severityNumber": 18, "severityText": "ERROR", "body": "no"},
        *("ERROR", 17, "no"),
        rest=("severityNumber",),
    ),
    KnownLine(
        "OpenTelemetry", "a record as JSON, its number alone", {"severity_number": 18, "body": "no"}, "ERROR2", 18, "no"
    ),
    KnownLine(
        "anybody", "a level with its name in it", {"level": {"name": "WARN"}, "msg": "hello"}, "WARN", 13, "hello"
    ),
    KnownLine("anybody", "a letter", {"severity": "E", "msg": "no"}, "E", 17, "no"),
    KnownLine("anybody", "spaced", {"level": " info ", "msg": "hello"}, "info", 9, "hello"),
)


def shown(line: KnownLine) -> str:
    """A line as one would see it, on one line; what is long as its beginning."""
    text = line.line if isinstance(line.line, str) else json.dumps(line.line, ensure_ascii=False)
    text = text.strip().replace(TIME, "TIME").replace(ID, "ID")
    for character, name in ((ESCAPE, r"\e"), ("\t", r"\t"), ("\n", r"\n"), ("\u202f", " ")):
        text = text.replace(character, name)
    text = text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"
    return f"`{text}`".replace("|", r"\|")


def told(line: KnownLine) -> str:
    """What is found beside the level, in words."""
    is_told = {
        "message": line.body is not None,
        "time": line.time,
        "invocation": line.request,
        "trace": line.trace,
        "logger": bool(line.logger),
    }
    words = ", ".join(name for name, is_there in is_told.items() if is_there)
    rest = " ".join(f"`{name}`" for name in line.rest)
    return "; ".join(part for part in (words, rest and f"attributes {rest}") if part)


def tables() -> Iterator[str]:
    """What the page says."""
    for title, lines in (("In text", TEXT), ("In JSON, as an object or as text that holds one", JSON)):
        yield f"**{title}**, these are found:\n"
        yield "| written by | in its form | line | level | beside it |\n|---|---|---|---|---|"
        for line in lines:
            yield f"| {line.library} | {line.form} | {shown(line)} | `{line.level}` {line.number} | {told(line)} |"
        yield ""


def page(text: str) -> str:
    """The page with the tables as they are now."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + "\n" + "\n".join(tables()) + "\n" + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"Wrote {PAGE}")
