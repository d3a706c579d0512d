"""Exceptions and failures as tables: who writes them, what, and what is found in it.

The tests read them, and docs/telemetry.md prints them: `python -m tests.shipper.parse.exception_tables` writes it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.shipper.story import R1, at

PAGE = Path(__file__).parents[3] / "docs" / "telemetry.md"
BEGIN, END = "<!-- Written by `make docs` from tests/shipper/parse/exception_tables.py. -->\n", "<!-- To here. -->\n"
MOST_SHOWN = 160

HEAD = f"{at(0)}\t{R1}\tERROR\t"
PYTHON = 'Traceback (most recent call last):\n  File "/var/task/shop.py", line 9, in pay\n    charge(card)\n'
JAVA = "\tat shop.Till.pay(Till.java:9)\n\tat shop.Handler.handle(Handler.java:3)"
NODE = "    at pay (/var/task/till.js:9:3)\n    at async Runtime.handler (/var/task/index.js:3:1)"
DOTNET = "   at Shop.Till.Pay() in /src/Till.cs:line 9\n   at Shop.Function.Handler(String order)"
DOTNET_RUNTIME = "\n   at Amazon.Lambda.RuntimeSupport.LambdaBootstrap.InvokeOnceAsync(CancellationToken token)"
GO = "goroutine 1 [running]:\nmain.pay(...)\n\t/app/main.go:9 +0x1d"
RUBY = "/var/task/till.rb:9:in `pay'"
GROUP = (
    "  + Exception Group Traceback (most recent call last):\n"
    '  |   File "/var/task/shop.py", line 9, in pay\n'
    "  |     raise ExceptionGroup('tills', [a, b])\n"
    "  | ExceptionGroup: tills\n"
    "  | that are shut (2 sub-exceptions)\n"
    "  +-+---------------- 1 ----------------\n"
    "    | ValueError: a\n"
    "    +---------------- 2 ----------------\n"
    "    | KeyError: 'b'\n"
    "    +------------------------------------"
)
LED_TO = "\nThe above exception was the direct cause of the following exception:\n\n"
DURING = "\nDuring handling of the above exception, another exception occurred:\n\n"

# Who writes it, the line, and the exception's type, message and stack trace.
TEXTS: list[tuple[Any, ...]] = [
    (
        "Python, logged",
        f"[ERROR]\t{at(0)}\t{R1}\tno\n{PYTHON}ValueError: no card",
        "ValueError",
        "no card",
        f"{PYTHON}…",
    ),
    (
        "Python, a message of several lines",
        f"{PYTHON}shop.Refused: no\n\n  card\nat all",
        "shop.Refused",
        "no\n\n  card\nat all",
        f"{PYTHON}…",
    ),
    ("Python, no message", f"{PYTHON}KeyboardInterrupt", "KeyboardInterrupt", "", f"{PYTHON}…"),
    (
        "Python, a class within a function",
        f"{PYTHON}shop.pay.<locals>.Refused: no",
        "shop.pay.<locals>.Refused",
        "no",
        f"{PYTHON}…",
    ),
    (
        "Python, a message that is a traceback",
        f"{PYTHON}Remote: told\n{PYTHON}KeyError: 'x'",
        "Remote",
        f"told\n{PYTHON}KeyError: 'x'",
        f"{PYTHON}…",
    ),
    (
        "Python, with a cause",
        f"{PYTHON}KeyError: 'x'\n{LED_TO}{PYTHON}ValueError: no\ncard",
        "ValueError",
        "no\ncard",
        f"{PYTHON}…",
    ),
    (
        "Python, while handling another",
        f"{PYTHON}KeyError: 'x'\n{DURING}{PYTHON}ValueError: no",
        "ValueError",
        "no",
        f"{PYTHON}…",
    ),
    (
        "Python, a syntax error",
        f'{PYTHON}  File "x.py", line 1\n    x =\n       ^\nSyntaxError: invalid syntax',
        "SyntaxError",
        "invalid syntax",
        f"{PYTHON}…",
    ),
    (
        "Python, the stack of who logged it behind it",
        f"{PYTHON}KeyError: 'x'\nStack (most recent call last):\n  File",
        "KeyError",
        "'x'",
        f"{PYTHON}…",
    ),
    ("Python, a group", GROUP, "ExceptionGroup", "tills\nthat are shut (2 sub-exceptions)", GROUP),
    (
        "Python, a group within words",
        f"no\n{GROUP}",
        "ExceptionGroup",
        "tills\nthat are shut (2 sub-exceptions)",
        GROUP,
    ),
    (
        "Python, a group that a group led to",
        f"{GROUP}\n{DURING}{GROUP.replace('tills', 'shops')}",
        "ExceptionGroup",
        "shops\nthat are shut (2 sub-exceptions)",
        f"{GROUP}…",
    ),
    (
        "Python, what cannot be loaded",
        "[ERROR] Runtime.HandlerNotFound: Handler 'pay' missing on module 'shop'",
        "Runtime.HandlerNotFound",
        "Handler 'pay' missing on module 'shop'",
        None,
    ),
    (
        "Node.js",
        f"{HEAD}no TypeError: no card\n{NODE}".replace("\n", "\r"),
        "TypeError",
        "no card",
        f"TypeError: no card\r{NODE}".replace("\n", "\r"),
    ),
    (
        "Node.js, a code",
        f"{HEAD}TypeError [ERR_INVALID_ARG_TYPE]: no card\n{NODE}",
        "TypeError",
        "no card",
        f"TypeError [ERR_INVALID_ARG_TYPE]: no card\n{NODE}",
    ),
    (
        "Node.js, a name",
        f"{HEAD}DOMException [AbortError]: no card\n{NODE}",
        "DOMException",
        "no card",
        f"DOMException [AbortError]: no card\n{NODE}",
    ),
    (
        "Node.js, a code and no message",
        f"{HEAD}RangeError [ERR_OUT_OF_RANGE]\n{NODE}",
        "RangeError",
        "",
        f"RangeError [ERR_OUT_OF_RANGE]\n{NODE}",
    ),
    (
        "Node.js, a message of several lines",
        f"{HEAD}Error: no\ncard\n{NODE}",
        "Error",
        "no\ncard",
        f"Error: no\ncard\n{NODE}",
    ),
    (
        "Java",
        f"shop.Refused$NoCardException: no card\n{JAVA}\nCaused by: a.BError: c\n\t... 3 more",
        "shop.Refused$NoCardException",
        "no card",
        f"shop.Refused$NoCardException: no card\n{JAVA}…",
    ),
    (
        "Java, of a thread",
        f'Exception in thread "main" a.BError: no\n{JAVA}',
        "a.BError",
        "no",
        f"a.BError: no\n{JAVA}",
    ),
    (
        ".NET, an inner one",
        f"{at(0)}\t{R1}\tfail\tA.BException: no\n ---> C.DException: why\n{DOTNET}",
        "A.BException",
        "no",
        f"A.BException: no\n ---> C.DException: why\n{DOTNET}",
    ),
    (
        "Ruby",
        f"E, [2024-05-20T16:29:45.008123 #8] ERROR -- {R1}: no card (Refused)\n{RUBY}",
        "Refused",
        "no card",
        RUBY,
    ),
    ("Go, a panic", f"panic: no card [recovered]\n\n{GO}", "panic", "no card [recovered]", GO),
    ("Go, a panic's first line alone", "panic: no card", "panic", "no card", None),
    (
        "Rust",
        "thread 'main' panicked at src/main.rs:9:5:\nno\ncard\nnote: run with `RUST_BACKTRACE=1` …",
        "panic",
        "no\ncard",
        "src/main.rs:9:5",
    ),
    (
        "Rust, with a backtrace",
        "\nthread 'tokio-rt' (42) panicked at src/main.rs:9:5:\nno\nstack backtrace:\n   0: rust_begin_unwind",
        "panic",
        "no",
        "stack backtrace:\n   0: rust_begin_unwind",
    ),
    (
        "Rust, before 1.72",
        "thread 'main' panicked at 'no card', src/main.rs:9:5",
        "panic",
        "no card",
        "src/main.rs:9:5",
    ),
    (
        "PHP",
        "PHP Fatal error:  Uncaught Shop\\Refused: no in /var/task/till.php:9\nStack trace:\n#0 {main}\n  thrown in …",
        "Shop\\Refused",
        "no",
        "/var/task/till.php:9\nStack trace:\n#0 {main}\n  thrown in …",
    ),
]

# What a library writes beside its message, and what is made of it: type, message, stack trace. What is not one of these
# stays as it is.
MEMBERS = [
    (
        "Powertools for Python",
        {"exception": f"{PYTHON}ValueError: no", "exception_name": "ValueError"},
        ("ValueError", "no", f"{PYTHON}ValueError: no"),
        (),
    ),
    (
        "ECS",
        {"error.type": "a.BError", "error.message": "no", "error.stack_trace": f"a.BError: no\n{JAVA}"},
        ("a.BError", "no", f"a.BError: no\n{JAVA}"),
        (),
    ),
    ("ECS, a message alone", {"error.message": "no card"}, ("", "no card", ""), ()),
    (
        "Lambda's JSON formats",
        {"errorType": "Refused", "errorMessage": "no", "stackTrace": [RUBY]},
        ("Refused", "no", RUBY),
        (),
    ),
    ("a type that says what it is", {"errorType": "NoCardError"}, ("NoCardError", "", ""), ()),
    (
        "pino",
        {"err": {"type": "Error", "message": "no", "stack": f"Error: no\n{NODE}"}},
        ("Error", "no", f"Error: no\n{NODE}"),
        ("err",),
    ),
    (
        "JavaScript, an error's own members",
        {"error": {"code": "E1", "message": "no", "stack": f"TypeError: no\n{NODE}"}},
        ("TypeError", "no", f"TypeError: no\n{NODE}"),
        ("error",),
    ),
    (
        "bunyan, a type of one's own",
        {"err": {"name": "Refused", "message": "no", "stack": f"Refused: no\n{NODE}"}},
        ("Refused", "no", f"Refused: no\n{NODE}"),
        ("err",),
    ),
    (
        "Powertools for TypeScript",
        {"error": {"name": "TypeError", "message": "no", "location": "x"}},
        ("TypeError", "no", ""),
        ("error",),
    ),
    (
        "Monolog",
        {"exception": {"class": "Shop\\RefusedException", "message": "no", "file": "/t.php:9"}},
        ("Shop\\RefusedException", "no", ""),
        ("exception",),
    ),
    (
        "structlog",
        {"exception": [{"exc_type": "Refused", "exc_value": "no", "frames": []}]},
        ("Refused", "no", ""),
        ("exception",),
    ),
    ("Serilog", {"@x": f"A.BException: no\n{DOTNET}"}, ("A.BException", "no", f"A.BException: no\n{DOTNET}"), ()),
    (
        ".NET, by names in PascalCase",
        {"Exception": f"A.BException: no\n{DOTNET}"},
        ("A.BException", "no", f"A.BException: no\n{DOTNET}"),
        (),
    ),
    (
        "Powertools for .NET, by names in PascalCase",
        {"Exception": {"Type": "A.BException", "Message": "no", "StackTrace": DOTNET}},
        ("A.BException", "no", DOTNET),
        ("Exception",),
    ),
    (
        "zap",
        {"error": "no card", "stacktrace": "main.pay\n\t/app/main.go:9"},
        ("", "no card", "main.pay\n\t/app/main.go:9"),
        ("error",),
    ),
    (
        "zerolog",
        {"error": "no card", "stack": [{"func": "pay", "line": "9", "source": "main.go"}]},
        ("", "no card", "main.go:9 pay"),
        ("error",),
    ),
]

# Ordinary members in places where an exception might be.
ORDINARY: list[dict[str, Any]] = [
    {"stack": "billing-prod"},
    {"stack": "arn:aws:cloudformation:eu-north-1:123456789012:stack/shop/1"},
    {"stack": "db.internal:5432"},
    {"stack": ["a", "b"]},
    {"stack": [{"name": "a"}]},
    {"stack_trace": ""},
    {"stacktrace": "off"},
    {"exception": "none"},
    {"exception": ""},
    {"exception": "see below"},
    {"Exception": "none"},
    {"exception": True},
    {"exc_info": "False"},
    {"exc_info": True},
    {"errorType": "NONE"},
    {"errorType": ""},
    {"errorType": "none", "errorMessage": "none"},
    {"errorType": "validation"},
    {"errorType": "ok", "errorMessage": "all is well"},
    {"errorType": "two words", "errorMessage": "no"},
    {"errorMessage": "none"},
    {"errorMessage": "no card"},
    {"error": "none", "errorType": "", "errorMessage": ""},
    {"error": "no card"},
    {"error": {"name": "email", "message": "is fine"}},
    {"error": {"type": "card", "message": "no", "stack": "billing-prod"}},
    {"error": {"code": 7}},
    {"error": None},
    {"err": ["a"]},
    {"thrown": {"name": "ball", "message": "far"}},
]

GO_ERROR = '{"errorMessage":"no card","errorType":"Refused"}'
GO_FRAMES = [{"path": "main.go", "line": 9, "label": "pay"}]
GO_PANIC = '{"errorMessage":"no card","errorType":"Refused","stackTrace":[{"path":"main.go","line":9,"label":"pay"}]}'
LAMBDA = {"timestamp": at(0), "level": "ERROR", "requestId": R1}
BARE = {"errorMessage": "no card", "errorType": "Refused"}

# What a runtime writes of an exception that nothing caught, and what it is called.
FAILURES: list[tuple[str, Any, str]] = [
    (
        "Python",
        f"[ERROR] ValueError: no\n  card\r{PYTHON}".replace("\n", "\r").replace("  ", "\u00a0\u00a0"),
        "ValueError",
    ),
    ("Python, handed over framed", f"[ERROR] ValueError: no\n{PYTHON}", "ValueError"),
    ("Python, no message", "[ERROR] KeyError\rTraceback (most recent call last):\r", "KeyError"),
    ("Python, in Lambda's JSON format", {**LAMBDA, **BARE, "stackTrace": ['  File "shop.py", line 9']}, "Refused"),
    (
        "Python, before",
        {"timestamp": at(0), "log_level": "ERROR", **BARE, "requestId": R1, "stackTrace": []},
        "Refused",
    ),
    (
        "Python, with what its logger has beside",
        {**LAMBDA, **BARE, "stackTrace": [], "location": "/var/task/shop.py:pay:9", "tenantId": "blue"},
        "Refused",
    ),
    (
        "Node.js",
        HEAD + 'Invoke Error \t{"errorType":"TypeError","errorMessage":"no","stack":["TypeError: no"]}',
        "TypeError",
    ),
    (
        "Node.js, outside of the handler",
        HEAD + 'Uncaught Exception \t{"errorType":"Refused","errorMessage":"no","stack":[]}',
        "Refused",
    ),
    (
        "Node.js, a promise",
        HEAD + 'Unhandled Promise Rejection \t{"errorType":"Runtime.UnhandledPromiseRejection"}',
        "Runtime.UnhandledPromiseRejection",
    ),
    (
        "Bref, PHP",
        R1 + '\tInvoke Error\t{"errorType":"Shop\\\\Refused","errorMessage":"no","stack":["#0 {main}"]}',
        "Shop\\Refused",
    ),
    (
        "Ruby",
        'Error raised from handler method\n{\n  "errorMessage": "no",\n  "errorType": "Function<Refused>"\n}',
        "Function<Refused>",
    ),
    ("Java", f"no card: shop.NoCardException\nshop.NoCardException: no card\n{JAVA}", "shop.NoCardException"),
    ("Java, a message of several lines", f"no\ncard: a.BError\na.BError: no\ncard\n{JAVA}", "a.BError"),
    ("Java, no message", f"a.BError: a.BError\na.BError\n{JAVA}", "a.BError"),
    (
        "Java, in Lambda's JSON format",
        {"timestamp": at(0), "level": "ERROR", "AWSRequestId": R1, "message": f"no: a.BError\na.BError: no\n{JAVA}"},
        "a.BError",
    ),
    (".NET", f"{at(0)}\t{R1}\tfail\tA.BException: no\n{DOTNET}{DOTNET_RUNTIME}", "A.BException"),
    (
        ".NET, in Lambda's JSON format",
        {
            **LAMBDA,
            "message": "no",
            "errorType": "A.BException",
            "errorMessage": "no",
            "stackTrace": (DOTNET + DOTNET_RUNTIME).split("\n"),
        },
        "A.BException",
    ),
    ("Go", f"2024/05/20 16:29:45 {GO_ERROR}", "Refused"),
    ("Go, to the microsecond, with the place", f"2024/05/20 16:29:45.008123 invoke_loop.go:120: {GO_ERROR}", "Refused"),
    ("Go, a place alone", f"/src/lambda/invoke_loop.go:120: {GO_ERROR}", "Refused"),
    ("Go, a prefix", f"shop: 2024/05/20 16:29:45 {GO_ERROR}", "Refused"),
    ("Go, a panic in the handler", f"2024/05/20 16:29:45 {GO_PANIC}", "Refused"),
    ("Go, a panic in the handler, its logger bare", GO_PANIC, "Refused"),
    ("Go, a panic elsewhere", f"panic: no card\n\n{GO}", "panic"),
    (
        "Go, a panic in the handler, in Lambda's JSON format",
        {**LAMBDA, "message": {**BARE, "stackTrace": GO_FRAMES}},
        "Refused",
    ),
    ("Go, a panic elsewhere, in Lambda's JSON format", {**LAMBDA, "message": f"panic: no card\n\n{GO}"}, "panic"),
    ("Go, in Lambda's JSON format", {**LAMBDA, "message": f"2024/05/20 16:29:45 {GO_ERROR}"}, "Refused"),
]

# What a function printed, and then went on.
PRINTED: list[tuple[str, Any]] = [
    ("an error as an object", {"errorType": "Refused", "errorMessage": "no card", "statusCode": 402}),
    ("an error as an object, as text", '{"errorType":"Refused","errorMessage":"no card","statusCode":402}'),
    ("an error of two members", {"errorType": "Refused", "errorMessage": "no card"}),
    ("an error with a stack trace", {"errorType": "Refused", "errorMessage": "no card", "stackTrace": [RUBY]}),
    ("an error by a logger", {**LAMBDA, **BARE, "message": "refused", "logger": "shop", "stackTrace": [RUBY]}),
    (
        "Node.js, an error that was logged",
        {**LAMBDA, "message": {"errorType": "Refused", "errorMessage": "no", "stackTrace": [NODE]}},
    ),
    ("Node.js, an error in its words", f"{HEAD}TypeError: no card\n{NODE}"),
    ("Node.js, the runtime's words", f"{HEAD}Invoke Error: no card"),
    ("another function's answer", f"2024/05/20 16:29:45 till said: {GO_ERROR}"),
    (
        "another function's answer, beside words",
        {**LAMBDA, "message": "till refused", "error": {**BARE, "stackTrace": GO_FRAMES}},
    ),
    ("Python, logged", f"[ERROR] ValueError: no\n{PYTHON}ValueError: no"),
    ("Python, printed", f"{PYTHON}ValueError: no"),
    ("Java, by Log4j", f"2024-05-20 16:29:45 {R1} ERROR Handler:9 - no: a.BError\na.BError: no\n{JAVA}"),
    ("Java, printed", f"a.BError: no\n{JAVA}"),
    (".NET, caught", f"{at(0)}\t{R1}\tfail\tA.BException: no\n{DOTNET}"),
    ("Go, recovered and logged", {"time": at(0), "level": "ERROR", "msg": f"panic: no card\n\n{GO}"}),
    ("Rust, caught by a framework", "thread 'main' panicked at src/main.rs:9:5:\nno card\n"),
    ("words", "panic: said the cashier, and went on"),
]


def shown(value: Any) -> str:
    """A cell: what may be long as its beginning, on one line."""
    text = json.dumps(value, ensure_ascii=False).replace("\u00a0", " ").replace(at(0), "TIME").replace(R1, "ID")
    text = text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "…"
    mark = "``" if "`" in text else "`"
    return f"{mark}{text}{mark}".replace("|", r"\|")


def tables() -> Iterator[str]:
    """What the page says."""
    yield "**An invocation failed** where its runtime itself writes one of these:\n"
    yield "| written by | line, as JSON | `error.type` |\n|---|---|---|"
    yield from (f"| {name} | {shown(record)} | `{error}` |" for name, record, error in FAILURES)
    yield "\n**It has not** where the function printed something that looks like it, and went on:\n"
    yield "| printed | line, as JSON |\n|---|---|"
    yield from (f"| {name} | {shown(record)} |" for name, record in PRINTED)
    yield "\n**Exceptions in text**, and in the message of a JSON line:\n"
    yield "| written by | text, as JSON | `exception.type` | `exception.message` |\n|---|---|---|---|"
    yield from (f"| {name} | {shown(text)} | {shown(kind)} | {shown(said)} |" for name, text, kind, said, _ in TEXTS)
    yield "\n**In the members of a JSON line**, beside its message:\n"
    yield "| written by | members | `exception.type` | `exception.message` |\n|---|---|---|---|"
    yield from (f"| {name} | {shown(sent)} | {shown(told[0])} | {shown(told[1])} |" for name, sent, told, _ in MEMBERS)
    yield "\n**Ordinary members** stay what they are:\n"
    yield ", ".join(shown(sent) for sent in ORDINARY) + "."


def page(text: str) -> str:
    """The page with the tables as they are now."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + "\n" + "\n".join(tables()) + "\n\n" + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"Wrote {PAGE}")
