"""What a line says: whose words count where one stands in another, when it was written, how severe it is."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.contract.setting_types import Level
from shipper.destinations.lines import Lines
from shipper.model.context import Context, Past
from shipper.model.events import Event, events
from shipper.model.log_record import LogRecord, Origin
from shipper.model.severity import NUMBERS, number_of
from shipper.parse.log_parser import LogParser
from shipper.parse.text_formats import UNTOLD, text_head
from tests.sandbox.received import value_of
from tests.shipper.following import attributes, followed
from tests.shipper.support import REQUEST_ID, TIME, TIME_NS, event, frame, settings_of

OTHER_ID = "0c5b2a7e-9d1f-4a3b-8c6d-1e2f3a4b5c6d"
RUNNING = Context(request_id=REQUEST_ID, recent=(Past(OTHER_ID),))
AT = "2024-05-20T16:29:44.123Z"
AT_NS = 1716222584123000000


def log_of(sent: object, **environ: str) -> dict[str, Any]:
    (log,) = followed([event(sent)], context=RUNNING, more=environ).logs
    return log


def as_text(sent: object) -> str:
    return json.dumps(sent)


# What a runtime writes around a message, and how it writes the message.
AROUND: dict[str, Any] = {
    "Python": lambda text: f"[INFO]\t{TIME}\t{REQUEST_ID}\t{text}\n",
    "Node.js": lambda text: f"{TIME}\t{REQUEST_ID}\tINFO\t{text}\n",
    ".NET": lambda text: f"{TIME}\t{REQUEST_ID}\tinfo\t{text}\n",
    "Java": lambda text: f"[INFO] {text}\n",
    "Ruby": lambda text: f"I, [2024-05-20T16:29:45.008123 #8]  INFO -- {REQUEST_ID}: {text}\n",
    "Go": lambda text: f"2024/05/20 16:29:45 {text}\n",
    "by hand": lambda text: f"INFO: {text}\n",
    "Node.js, JSON": lambda text: {"timestamp": TIME, "level": "INFO", "requestId": REQUEST_ID, "message": text},
    "Python, JSON": lambda text: as_text(
        {"timestamp": TIME, "level": "INFO", "message": text, "logger": "root", "requestId": REQUEST_ID}
    ),
    "Java, JSON": lambda text: {"timestamp": TIME, "message": text, "level": "INFO", "AWSRequestId": REQUEST_ID},
    "twice": lambda text: {
        "timestamp": TIME,
        "level": "INFO",
        "message": as_text({"timestamp": TIME, "level": "WARN", "message": text}),
    },
}


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
def test_the_innermost_loggers_level_message_and_members_are_meant(around: Any) -> None:
    """Whatever the runtime says around it."""
    inner = {"level": "error", "time": AT, "logger": "shop", "msg": "no", "order": 7, "aws_request_id": OTHER_ID}
    log = log_of(around(as_text(inner)))
    assert (log["severityText"], log["severityNumber"], value_of(log["body"])) == ("error", 17, "no")
    assert (log["timeUnixNano"], log["scope"]) == (str(AT_NS), "shop")
    found = attributes(log)
    assert found.pop("log.record.uid")
    assert found == {"order": 7, "faas.invocation_id": OTHER_ID}


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
def test_a_least_severity_goes_by_the_innermost_logger(around: Any) -> None:
    """An error is kept that the runtime calls INFO, and what it calls so at the most is dropped."""
    sent = [event(around(as_text({"level": level, "msg": level}))) for level in ("error", 50, "info", "debug")]
    seen = followed(sent, context=RUNNING, more={"TAILRACE_MIN_LEVEL": "warn"})
    assert seen.bodies() == ["error", 50]
    assert seen.dropped == {"min_level": 2}


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
def test_what_is_around_it_counts_where_the_innermost_logger_does_not_say(around: Any) -> None:
    log = log_of(around(as_text({"msg": "hello", "order": 7})))
    level = "WARN" if around is AROUND["twice"] else {"Go": "", ".NET": "info"}
    assert value_of(log["body"]) == "hello"
    if isinstance(level, dict):
        name = next(name for name, one in AROUND.items() if one is around)
        level = level.get(name, "INFO")
    assert log.get("severityText", "") == level
    assert attributes(log)["order"] == 7
    assert attributes(log)["faas.invocation_id"] == REQUEST_ID


@pytest.mark.parametrize("message", [{"order": 7}, {"a": [1, {"level": "ERROR"}]}, {}, {"message": {"x": 1}}])
@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
def test_what_somebody_has_to_say_is_no_line_of_a_logger(around: Any, message: object) -> None:
    """An object without a level or a message is what is said, and stays it."""
    sent = around(as_text(message))
    log = log_of(sent)
    assert as_text(message) in json.dumps(value_of(log["body"])).replace('\\"', '"').replace('\\\\"', '"')
    assert "exception.type" not in attributes(log)


def test_a_structured_message_of_a_logger_that_is_no_runtime_stays_one() -> None:
    """Powertools take an object for a message."""
    sent = {"level": "INFO", "message": {"level": "ERROR", "message": "x"}, "service": "shop", "timestamp": AT}
    log = log_of(sent)
    assert (log["severityText"], value_of(log["body"])) == ("INFO", {"level": "ERROR", "message": "x"})


def test_of_what_both_say_nothing_is_lost() -> None:
    sent = {
        "timestamp": TIME,
        "level": "INFO",
        "message": as_text({"level": "warn", "msg": "x", "tenantId": "b", "requestId": "c"}),
        "tenantId": "a",
        "requestId": "somebody's",
    }
    found = attributes(log_of(sent))
    assert (found["tenantId"], found["log.tenantId"]) == ("b", "a")
    assert (found["requestId"], found["log.requestId"]) == ("c", "somebody's")


# Text that begins like JSON and is none: level, time, id and body.
BROKEN: dict[str, tuple[str, str, bool, bool, str | None]] = {
    "NaN": (
        f'{{"level": "ERROR", "message": "m", "timestamp": "{AT}", "r": NaN, "aws_request_id": "{OTHER_ID}"}}\n',
        *("ERROR", True, True, "m"),
    ),
    "Infinity": (
        f'{{"hi": Infinity, "level": "ERROR", "timestamp": "{AT}", "message": "is NaN", "lo": [-Infinity]}}',
        *("ERROR", True, False, "is NaN"),
    ),
    "two objects": (
        f'{{"level":"INFO","timestamp":"{AT}","aws_request_id":"{OTHER_ID}"}}{{"level":"ERROR"}}\n',
        *("ERROR", True, True, None),
    ),
    "two objects, two lines": (
        f'{{"level":"ERROR","timestamp":"{AT}"}}\n{{"level":"INFO","aws_request_id":"{OTHER_ID}"}}\n',
        *("ERROR", True, False, None),
    ),
    "cut off in a text": (
        f'{{"level":"ERROR","timestamp":"{AT}","aws_request_id":"{OTHER_ID}","message":"in the mid\n',
        *("ERROR", True, True, None),
    ),
    "cut off in an object": (f'{{"level":"ERROR","timestamp":"{AT}","a":{{"b":[1,{{"c":', "ERROR", True, False, None),
    "cut off after a backslash": ('{"level":"ERROR","a":"b\\', "ERROR", False, False, None),
    "something behind it": ('{"level":"WARN"} and more\n', "WARN", False, False, None),
    "a dictionary of Python's": ("{'level': 'ERROR', 'message': 'm'}\n", "", False, False, None),
    "braces": ("{{{{ }}}}", "", False, False, None),
    "a level that is somebody else's": ('{"a":{"level":"ERROR"},"b":', "", False, False, None),
}


@pytest.mark.parametrize("before", ["", " ", "\n", "\ufeff", "\ufeff \t"])
@pytest.mark.parametrize(("line", "level", "is_timed", "is_named", "body"), BROKEN.values(), ids=BROKEN)
def test_what_nearly_is_json_says_what_it_says(
    before: str, line: str, level: str, body: str | None, *, is_timed: bool, is_named: bool
) -> None:
    """Level, time and ids are found; of what is no object at all the text stays whole."""
    log = log_of(before + line)
    assert log.get("severityText", "") == level
    assert int(log["timeUnixNano"]) == (AT_NS if is_timed else TIME_NS)
    assert attributes(log)["faas.invocation_id"] == (OTHER_ID if is_named else REQUEST_ID)
    assert value_of(log["body"]) == ((before + line).removesuffix("\n") if body is None else body)


def test_numbers_that_json_has_not_become_text() -> None:
    found = attributes(log_of('{"message": "NaN", "a": NaN, "b": [Infinity, -Infinity], "c": {"d": NaN}}'))
    assert (found["a"], found["b"], found["c"]) == ("NaN", ["Infinity", "-Infinity"], {"d": "NaN"})


# Members that tell a time, and whether it is when the line was written.
TIMES = {
    "the event's own": (TIME, True),
    "a second before": (AT, True),
    "ten minutes before, collected until the end": ("2024-05-20T16:19:45.000Z", True),
    "in another zone": ("2024-05-20T18:29:44.123+02:00", True),
    "milliseconds": (1716222584123, True),
    "seconds": (1716222584.123, True),
    "nanoseconds": (1716222584123000000, True),
    "Log4j's": ({"epochSecond": 1716222584, "nanoOfSecond": 123000000}, True),
    "years before": ("2019-01-01T00:00:00.000Z", False),
    "an order's": (1546300800, False),
    "an hour later, for want of a zone": ("2024-05-20T17:29:45.008Z", False),
    "no offset": ("2024-05-20T16:29:45.008+25:99", False),
    "no minutes": ("2024-05-20T16:29:45.008+01:60", False),
    "no zone": ("2024-05-20 16:29:45,008", False),
    "a duration": (250, False),
    "a word": ("noon", False),
    "an object": ({"hour": 7}, False),
}


@pytest.mark.parametrize("name", ["time", "timestamp", "@timestamp", "ts", "Timestamp"])
@pytest.mark.parametrize(("value", "is_taken"), TIMES.values(), ids=TIMES)
def test_only_a_time_near_the_events_own_is_when_a_line_was_written(
    name: str, value: object, *, is_taken: bool
) -> None:
    """Any other stays an attribute."""
    log = log_of({"message": "x", name: value})
    assert (name in attributes(log)) != is_taken
    assert is_taken or int(log["timeUnixNano"]) == TIME_NS


def test_of_several_times_the_one_that_is_near_is_taken() -> None:
    log = log_of({"message": "x", "timestamp": "2019-01-01T00:00:00.000Z", "time": AT})
    assert (log["timeUnixNano"], attributes(log)["timestamp"]) == (str(AT_NS), "2019-01-01T00:00:00.000Z")


@pytest.mark.parametrize("at", ["2019-01-01T00:00:00.000Z", "2024-05-20T16:29:45.008+25:99"])
def test_a_runtimes_head_with_another_time_tells_everything_else(at: str) -> None:
    log = log_of(f"{at}\t{OTHER_ID}\tWARN\tx\n")
    assert (int(log["timeUnixNano"]), log["severityText"]) == (TIME_NS, "WARN")
    assert attributes(log)["faas.invocation_id"] == OTHER_ID


LEVELS: dict[int, tuple[Any, ...]] = {
    1: ("TRC", "trc", "silly", "T", 10),
    3: (15,),
    5: ("DBG", "VRB", "verbose", "D", 20),
    8: ("http", 29),
    9: ("INF", "i", 30, "30"),
    10: ("success", "notice", "NOTICE", "INFO2"),
    11: (35,),
    13: ("WRN", "warning", "Warning", "W", 40),
    15: (45,),
    17: ("ERR", "err", "E", "error ", " ERROR", "\x1b[31merror\x1b[39m", {"name": "ERROR"}, 50, 50.0),
    18: ("ERROR2",),
    21: ("FTL", "emerg", "EMERG", "F", "crit", 60),
    0: (
        "",
        "loud",
        "X",
        0,
        7,
        9,
        70,
        99,
        100,
        400,
        -10,
        30.5,
        True,
        None,
        [],
        {"name": 7},
        {"a": "ERROR"},
        "ERROR!",
        "3",
    ),
}


@pytest.mark.parametrize(("number", "level"), [(number, level) for number, all_ in LEVELS.items() for level in all_])
@pytest.mark.parametrize("name", ["level", "severity", "Level", "LogLevel", "log.level"])
def test_a_level_is_found_however_it_is_written(name: str, number: int, level: object) -> None:
    """What is none stays a member."""
    log = log_of({"message": "x", name: level})
    assert log.get("severityNumber", 0) == number
    assert (name in attributes(log)) != (number > 0)


def test_a_least_severity_may_be_set_by_any_name() -> None:
    """What the settings take is what the parser knows."""
    setting = Level("")
    assert {name.lower() for name in NUMBERS} == Level.OTHERS | set(setting.options)
    for name in NUMBERS:
        assert number_of(setting.read(name.capitalize())) == NUMBERS[name]


def test_a_notice_is_less_than_a_warning_and_more_than_information() -> None:
    sent = [event({"level": level, "msg": level}) for level in ("info", "notice", "warn")]
    for least, left in (("notice", ["notice", "warn"]), ("warning", ["warn"]), ("wrn", ["warn"])):
        assert followed(sent, more={"TAILRACE_MIN_LEVEL": least}).bodies() == left


@pytest.mark.parametrize(
    "line",
    [
        *("[main] hello", "[2024-05-20] hello", "http: TLS handshake error", "information: x", "Error: no", "erro: x"),
        *("12:30 lunch", "4:29PM tea", "1234", "May 20, 2024 hello", "E0520 hello", "I am", "Ives", "notes: x"),
        *("[16:29:45 ABC] x", "2024-05-20 16:29:44 | hello | x", "[a] ERROR x", "\x1b[31mhello\x1b[0m", "\x1b[", "\\"),
        *("info:x", "info", "infos: x", "[2024-05-20T16:29:45Z] app.LOUD: x", "2024-05-20T16:29:45Z hello: x"),
    ],
)
def test_nothing_is_guessed_that_does_not_stand_there(line: str) -> None:
    assert text_head(json.dumps(line).encode()) == UNTOLD


HEADS = st.sampled_from(
    ["", f"[INFO]\t{TIME}\t{OTHER_ID}\t", f"{TIME}\tundefined\tERROR\t", "INFO: ", "\ufeff", " ", "{"]
)
VALUES = st.sampled_from(
    ["x", "error", 50, None, REQUEST_ID, OTHER_ID, AT, {"level": "warn", "msg": "y"}, "{}", "{", "}"]
)
OBJECTS = st.dictionaries(
    st.sampled_from(["level", "message", "msg", "timestamp", "requestId", "aws_request_id", "trace_id", "a"]), VALUES
)
INNER = OBJECTS | st.builds(
    lambda outer, inner: {**outer, "timestamp": AT, "level": "INFO", "message": json.dumps(inner)}, OBJECTS, OBJECTS
)
TAILS = st.sampled_from(["", "\n", "}", "{", "}\n", ' {"level":"ERROR"}', "NaN", "\\"])
SENT = st.builds(lambda head, inner, tail: head + json.dumps(inner) + tail, HEADS, INNER, TAILS)
CUT = st.builds(lambda text, at: text[: at % (len(text) + 1)], SENT, st.integers(0, 10_000))


@given(SENT | CUT | INNER, st.sampled_from([RUNNING, Context()]))
def test_every_destination_and_every_way_says_the_same(sent: object, context: Context) -> None:
    """Whatever stands within what, and wherever it ends."""
    found = frame(event(sent))
    parser, lines = LogParser(), Lines(settings_of())
    parser.begin(found)
    (one,) = events(found)
    assert isinstance(one, Event)
    record = parser.record(one, 0, context)
    assert lines.event(one, parser.origin(one, context), 0) == lines.log(record)
    said: list[tuple[int | None, str, Origin]] = []

    def write(_raw: bytes, time_ns: int, level: str, origin: Origin, _index: int) -> bytes:
        said.append((time_ns, level, origin))
        return b"written"

    line = parser.line(one, 0, context, write)
    if isinstance(line, LogRecord):
        said.append((line.time_ns, line.severity_text, line.origin))
    ((time_ns, level, origin),) = said
    assert (time_ns, level) == (record.time_ns, record.severity_text)
    origins = [[getattr(one, name) for name in one.__struct_fields__] for one in (origin, record.origin)]
    assert origins[0] == origins[1]


@settings(deadline=None, max_examples=40)
@given(
    st.dictionaries(
        st.sampled_from(["", "log.unnamed", "log.log.unnamed", *(f"{'log.' * n}log.record.uid" for n in range(3))])
        | st.sampled_from(["faas.invocation_id", "log.faas.invocation_id", "exception.type", "log.exception.type"]),
        st.text(min_size=1, max_size=3),
    )
)
def test_every_attribute_has_a_name_and_none_is_there_twice(members: dict[str, str]) -> None:
    """OpenTelemetry, "Attribute"; and the record's own are told from the line's."""
    log = log_of({"message": "x", "b": "c", **members})
    names = [attribute["key"] for attribute in log["attributes"]]
    assert "" not in names
    assert len(set(names)) == len(names)
    assert attributes(log)["faas.invocation_id"] == REQUEST_ID
    found = list(attributes(log).values())
    assert all(found.count(value) >= list(members.values()).count(value) for value in members.values())
