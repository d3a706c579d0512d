"""What leaves: least severity, patterns kept and dropped, redaction, sampling; each counted under its name."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shipper.delivery.batch import Position
from shipper.rules.patterns import BLANK
from tests.shipper.following import attributes, followed
from tests.shipper.story import R1, R2, done, invocation, line, report, start
from tests.shipper.support import event

ROOT = Path(__file__).parents[3]

CARD, CARD_NUMBER = "4111 1111 1111 1111", "4111111111111111"


def log(text: Any) -> dict[str, object]:
    return event(text)


@pytest.mark.parametrize(("least", "left"), [("trace", 6), ("info", 5), ("warn", 4), ("error", 3), ("fatal", 2)])
def test_least_severity(least: str, left: int) -> None:
    """What tells no severity is shipped: nobody can say that it does not matter."""
    lines = ["[DEBUG] a", "[INFO] b", {"level": "warn", "message": "c"}, "[ERROR] d", "[FATAL] e", "plain"]
    seen = followed([log(one) for one in lines], TAILRACE_MIN_LEVEL=least)
    assert len(seen.logs) == left
    assert seen.dropped == ({"min_level": 6 - left} if left < 6 else {})
    assert seen.events == left


def test_patterns_dropped_and_kept() -> None:
    """On the body as it is read, be it text or a JSON line's message; drop has the last word."""
    lines = ["health check\n", "order 1\n", {"message": "health of order 2"}, {"message": "order 3", "x": "health"}]
    events = [log(one) for one in lines]
    assert followed(events, TAILRACE_DROP="^health").bodies() == ["order 1", "order 3"]
    assert followed(events, TAILRACE_KEEP=r"order \d").bodies() == ["order 1", "health of order 2", "order 3"]
    both = followed(events, TAILRACE_KEEP=r"order \d;nothing", TAILRACE_DROP="health")
    assert both.bodies() == ["order 1", "order 3"]
    assert both.dropped == {"keep": 1, "drop": 1}


@pytest.mark.parametrize("told", [{"path": "/health"}, {"path": "/health", "errorType": "E", "errorMessage": "no"}])
@pytest.mark.parametrize("is_text", [False, True], ids=["object", "text"])
def test_json_without_a_message_is_looked_at_as_it_was_printed(told: dict[str, str], *, is_text: bool) -> None:
    """Also where the line is a text, in which all of it is escaped once more."""
    events = [log(json.dumps(told) + "\n" if is_text else told)]
    assert followed(events, TAILRACE_DROP='"path": ?"/health"').dropped == {"drop": 1}
    assert followed(events, TAILRACE_KEEP='"path": ?"/health"').dropped == {}


def test_rules_are_for_other_extensions_and_for_the_platforms_lines_too() -> None:
    events = [event("health\n", "extension"), event({"requestId": R1}, "platform.start")]
    seen = followed(events, TAILRACE_PLATFORM_LOGS="1", TAILRACE_DROP="health;^START")
    assert seen.logs == []
    # A start is still part of a span, and leaves with it.
    assert (seen.dropped, seen.events) == ({"drop": 1}, 1)


REDACTED = [
    ("card", f"paid with {CARD} today", f"paid with {BLANK} today"),
    ("card", "order 1234567890123456", "order 1234567890123456"),
    ("card", f"It is {CARD}.", f"It is {BLANK}."),
    ("card", "v.4111111111111111, 4111111111111111.00", f"v.{BLANK}, {BLANK}.00"),
    ("card", "0.4111111111111111 4111111111111111.25", "0.4111111111111111 4111111111111111.25"),
    ("card", f"card {CARD_NUMBER} 12/27", f"card {BLANK} 12/27"),
    ("card", f"{CARD} 123", f"{BLANK} 123"),
    ("card", f"7 {CARD_NUMBER}", f"7 {BLANK}"),
    ("card", f"2024-05-20 {CARD_NUMBER} 12.50", f"2024-05-20 {BLANK} 12.50"),
    ("card", f"{CARD_NUMBER} 378282246310005 3782-822463-10005", f"{BLANK} {BLANK} {BLANK}"),
    ("card", "5 5 0 0-0 0 0 0-0 0 0 0-0 0 0 4", BLANK),
    ("card", "2024-05-20 1716222586001 12 200 1024", "2024-05-20 1716222586001 12 200 1024"),
    ("email", "sent to jane.doe+x@mail.example.com.", f"sent to {BLANK}."),
    ("bearer", "Authorization: Bearer abc.def-ghi_123==", f"Authorization: Bearer {BLANK}"),
    ("bearer", "the bearer of news", "the bearer of news"),
    ("aws_key", "key AKIAIOSFODNN7EXAMPLE used", f"key {BLANK} used"),
    (
        "aws_key",
        "aws_secret_access_key=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        f"aws_secret_access_key={BLANK}",
    ),
    ("jwt", "token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", f"token {BLANK}"),
    (r"ssn=\d+", "ssn=123 ok", f"{BLANK} ok"),
    (r"(user)=\w+=>\1=someone", "user=jane", "user=someone"),
    ("secret=>", "a secret b", "a  b"),
]


@pytest.mark.parametrize(("rule", "before", "after"), REDACTED)
def test_what_is_redacted_is_nowhere_in_the_record(rule: str, before: str, after: str) -> None:
    """Neither in the body nor in attributes, however deep, however the line is written; names are left alone."""
    nested = {"message": "m", "a": {"b": [before, 1]}}
    seen = followed(
        [log(before + "\n"), log({"message": before}), log(nested), log(json.dumps(nested))], TAILRACE_REDACT=rule
    )
    text, message, attribute, attribute_of_text = seen.logs
    assert [record["body"]["stringValue"] for record in (text, message)] == [after, after]
    assert [attributes(record)["a"] for record in (attribute, attribute_of_text)] == [{"b": [after, 1]}] * 2


def test_a_number_is_redacted_as_well() -> None:
    seen = followed([log({"message": "m", "card": 4111111111111111, "order": 7})], TAILRACE_REDACT="card")
    assert attributes(seen.logs[0])["card"] == BLANK
    assert attributes(seen.logs[0])["order"] == 7


def test_exceptions_and_what_is_no_event_are_redacted_too() -> None:
    lines = [log(f"[ERROR] ValueError: {CARD}\rTraceback (most recent call last):\r  raise\r"), {"odd": CARD}]
    seen = followed(lines, TAILRACE_REDACT="card")
    assert CARD not in json.dumps(seen.logs)
    assert attributes(seen.logs[0])["exception.message"] == BLANK


def test_a_pattern_that_does_not_compile_is_said_and_ignored() -> None:
    seen = followed([log("a(\n"), log("b\n")], TAILRACE_DROP="(;^b", TAILRACE_KEEP="[;.")
    assert seen.bodies() == ["a("]
    assert seen.said == ["rules.pattern_ignored"] * 2


# Sampling.


def requests(seen: Any) -> list[str]:
    return [attributes(one).get("faas.invocation_id", "") for one in seen.logs]


def test_an_invocation_is_whole_or_absent() -> None:
    """Lines and span go together; metrics count all of them; what belongs to no invocation is shipped."""
    ids = [f"{n:08}-0000-0000-0000-000000000000" for n in range(200)]
    story = [line(-1)]
    for n, request_id in enumerate(ids):
        story += [start(n, request_id, sampled=None), line(n), line(n), done(n, request_id), report(n, request_id)]
    seen = followed(story, TAILRACE_SAMPLE="0.3")
    taken = requests(seen)
    assert taken[0] == ""
    assert 30 < len(set(taken)) - 1 < 90
    assert all(taken.count(request_id) == 2 for request_id in set(taken) - {""})
    assert {attributes(span)["faas.invocation_id"] for span in seen.servers()} == set(taken) - {""}
    assert seen.metric("faas.invocations") == 200
    assert seen.dropped["sample"] == 400 - len(taken) + 1
    again = followed(story, TAILRACE_SAMPLE="0.3")
    assert requests(again) == taken


@pytest.mark.parametrize(
    "story",
    [
        [start(0), line(1), done(10, status="error", errorType="Runtime.ExitError"), report(12)],
        [start(0), line(1), done(10, status="timeout"), report(12)],
        [start(0), line(1), line(2, "[ERROR] KeyError: 1\rTraceback (most recent call last):\r"), done(10), report(12)],
        [start(0), line(1), done(10), report(12, status="error", errorType="Extension.Crash")],
    ],
    ids=["crash", "timeout", "raised", "told by the report"],
)
def test_one_that_failed_is_always_shipped_whole(story: list[Any]) -> None:
    """Also the lines it wrote before it failed."""
    seen = followed(story, TAILRACE_SAMPLE="0")
    assert len(seen.logs) == sum(one["type"] == "function" for one in story)
    assert len(seen.servers()) == 1


def test_the_platforms_lines_are_part_of_an_invocation_too() -> None:
    """Where they are asked for: START, END and REPORT are there with the lines of one, or absent with them."""
    asked = {"TAILRACE_PLATFORM_LOGS": "1", "TAILRACE_SAMPLE": "0"}
    failed = [start(20, R2), line(21), done(30, R2, status="error"), start(40, R1), line(41), done(50, R1)]
    seen = followed([*invocation(0), *failed], [report(32, R2), report(52, R1)], more=asked)
    assert requests(seen) == [R2] * 4
    assert [attributes(log).get("aws.lambda.event.type") for log in seen.logs] == [
        *("platform.start", None, "platform.runtimeDone", "platform.report"),
    ]
    assert seen.events + sum(seen.dropped.values()) == 12
    waiting = followed([*invocation(0), start(20, R2)], more=asked)
    assert (waiting.waits, waiting.logs) == (True, [])
    late = followed(
        [report(32, R2)], context=followed([start(20, R2), done(30, R2, status="error")]).context, more=asked
    )
    assert requests(late) == [R2]


@pytest.mark.parametrize("name", ["requestId", "AWSRequestId", "function_request_id"])
@pytest.mark.parametrize("is_text", [False, True], ids=["object", "text"])
def test_a_json_line_belongs_to_the_invocation_it_names(name: str, *, is_text: bool) -> None:
    """By whatever name, also where invocations interleave and nothing else tells."""
    managed = {"AWS_LAMBDA_INITIALIZATION_TYPE": "lambda-managed-instances", "TAILRACE_SAMPLE": "0"}
    told = {"message": "x", name: R1}
    story = [start(0, R1), line(1, json.dumps(told) if is_text else told), report(9, R1)]
    assert followed(story, more=managed).dropped == {"sample": 1}


def test_what_cannot_be_told_yet_waits() -> None:
    """From the first line of an invocation whose end is not there: everything before it leaves."""
    running = [*invocation(0), start(20, R2), line(21), line(22)]
    seen = followed(running, TAILRACE_SAMPLE="0")
    assert seen.waits
    assert (seen.logs, seen.dropped["sample"], seen.position.skip) == ([], 1, 5)
    ended = followed(running, [done(30, R2, status="error")], TAILRACE_SAMPLE="0", since=seen.position)
    assert not ended.waits
    assert requests(ended) == [R2, R2]


@pytest.mark.parametrize(
    ("before", "after", "dropped"),
    [
        (invocation(0), [start(20, R2), line(21, {"message": "late", "requestId": R1}), done(30, R2)], 1),
        ([start(0)], [line(1), *invocation(20, R2)], 2),
    ],
    ids=["late line", "end lost"],
)
def test_nothing_waits_for_what_is_over(before: list[Any], after: list[Any], dropped: int) -> None:
    """It is as in one shipment."""
    seen = followed(before, TAILRACE_SAMPLE="0")
    later = followed(after, TAILRACE_SAMPLE="0", context=seen.context)
    assert (later.waits, later.logs, later.dropped) == (False, [], {"sample": dropped})


def test_one_that_is_tried_again_waits_for_its_new_end() -> None:
    """It has the id of the first try."""
    seen = followed(invocation(0), TAILRACE_SAMPLE="0")
    again = [start(20), line(21)]
    waiting = followed(again, TAILRACE_SAMPLE="0", context=seen.context)
    assert (waiting.waits, waiting.dropped) == (True, {})
    failed = followed(again, [done(30, status="error")], TAILRACE_SAMPLE="0", context=seen.context)
    assert requests(failed) == [R1]


def test_what_left_before_is_not_looked_at_again() -> None:
    """A shipper that begins in the middle of a batch would take a failure in it for one of what runs now."""
    raised = line(1, "[ERROR] KeyError: 1\rTraceback (most recent call last):\r")
    frames = [start(0)], [raised, done(10), report(12), start(20, R2), line(21)]
    seen = followed(*frames, TAILRACE_SAMPLE="0")
    assert (requests(seen), seen.position.skip) == ([R1], 4)
    ended = followed(*frames, [done(30, R2), report(32, R2)], TAILRACE_SAMPLE="0", since=seen.position)
    assert (ended.logs, ended.dropped) == ([], {"sample": 1})


def test_all_that_fail_at_a_time_stay_whole() -> None:
    """Also where the end of a shipment is between what told of it and other lines."""
    managed = {"AWS_LAMBDA_INITIALIZATION_TYPE": "lambda-managed-instances", "TAILRACE_SAMPLE": "0"}
    told = {"errorType": "TypeError", "errorMessage": "no", "stack": []}
    raised = [
        line(ms, f"2024-05-20T16:29:45.123Z\t{one}\tERROR\tInvoke Error \t{json.dumps(told)}")
        for ms, one in ((2, R1), (3, R2))
    ]
    seen = followed([start(0), start(1, R2), *raised], more=managed)
    more = [line(4, {"message": "more", "requestId": R1}), report(5), report(6, R2)]
    later = followed(more, more=managed, context=seen.context, is_final=True)
    assert (requests(seen), requests(later), later.dropped) == ([R1, R2], [R1], {})


def test_at_the_end_and_without_room_nothing_waits() -> None:
    """An invocation without an end has failed, as far as anyone knows; it stays whole once it was begun."""
    running = [start(0), line(1), line(2)]
    seen = followed(running, TAILRACE_SAMPLE="0", is_final=True)
    assert (requests(seen), seen.waits, seen.context.kept) == ([R1, R1], False, R1)
    later = followed([line(3), done(4), report(5)], TAILRACE_SAMPLE="0", context=seen.context)
    assert requests(later) == [R1]


def test_a_sample_of_all_and_of_none() -> None:
    assert len(followed(invocation(0), TAILRACE_SAMPLE="1").logs) == 1
    none = followed(invocation(0), TAILRACE_SAMPLE="0")
    assert (none.logs, none.spans, none.dropped) == ([], [], {"sample": 1})
    assert none.metric("faas.invocations") == 1


def test_without_rules_nothing_of_them_is_loaded() -> None:
    """Nor of what else a run of plain lines does not use."""
    script = """if True:
        import sys
        from lifecycle.contract.log import Log
        from lifecycle.contract.settings import Settings
        from shipper import worker
        from shipper.destinations.registry import create
        log = Log("x")
        settings = Settings({"TAILRACE_DESTINATION": "otlp"})
        create(settings, lambda *_: 0, log)
        assert worker._rules(settings, log) is None
        late = ["rules." + name for name in "rule_set patterns sampling redaction".split()]
        late += ["invocations.phases", "model.platform_records", "model.meters", "model.metrics"]
        late += ["parse." + name for name in "exceptions json_lines platform_lines".split()]
        import os
        there = {name[:-3] for name in os.listdir("shipper/destinations") if name.endswith(".py")}
        late += ["destinations." + name for name in there - {"__init__", "destination", "http", "registry"}]
        late += ["destinations.otlp.json_" + name for name in "encoding values logs spans metrics".split()]
        late += ["destinations.otlp.protobuf_" + name for name in "spans metrics".split()]
        late += ["destinations.otlp.transcode", "destinations.otlp.passing", "parse.otlp_items", "otlp_requests"]
        import importlib.util
        assert all(importlib.util.find_spec("shipper." + name) for name in late)
        print([name for name in late if "shipper." + name in sys.modules])
    """
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True
    )
    assert ran.stdout == "[]\n"


def test_a_position_within_a_shipment_is_one_to_go_on_from() -> None:
    """Rules change nothing about that."""
    story = [line(0, "a\n"), line(1, "b\n"), line(2, "a\n"), line(3, "c\n")]
    for skip, left in ((0, ["b", "c"]), (2, ["c"]), (4, [])):
        assert followed(story, TAILRACE_DROP="a", since=Position(0, skip)).bodies() == left
