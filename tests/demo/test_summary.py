"""The summary, with made-up records: what is counted, and what makes the demo fail."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.demo import summary
from tests.demo.facts import Run, Start, Told
from tests.demo.ledgers import complaints, ledgers, summed
from tests.sandbox import Ending, Received
from tests.sandbox.model import ExtensionEnding

FIRST, SECOND = "11111111-aaaa", "22222222-bbbb"

ENDED = {"logger": "tailrace.lifecycle", "level": "info", "event": "lifecycle.ended", "accepted": 6, "shipped": 6}


def event(kind: str, record: Any) -> bytes:
    return json.dumps({"time": "2026-01-01T00:00:00.000Z", "type": kind, "record": record}).encode()


def log(number: int, request_id: str = "", kind: str = "", body: Any = "x", level: str | None = None) -> Received:
    attributes = {"log.record.uid": f"uid-{number}"}
    if request_id:
        attributes[summary.REQUEST_ID] = request_id
    if kind:
        attributes[summary.EVENT_TYPE] = kind
    raw = {} if level is None else {"severityText": level}
    return Received("logs", body, attributes, {}, raw, 0)


def ending(exit_code: int = 0, *, killed: bool = False, orphans: tuple[str, ...] = ()) -> Ending:
    left = ExtensionEnding(exit_code=exit_code, exit_ms=5.0, killed=killed)
    return Ending(reason="spindown", extensions={"tailrace": left}, orphans=list(orphans), duration_ms=9.0)


# An init, a request with a line, and a request whose report comes when it is long over.
HEALTHY = Run(
    steps=[
        Told(title="cold start", outcome="ready"),
        Told(title="first", outcome="returned", request_id=FIRST, held_ms=20.0),
        Told(title="second", outcome="returned", request_id=SECOND, held_ms=0.0),
    ],
    emitted=[
        event("platform.initStart", {"phase": "init"}),
        event("platform.start", {"requestId": FIRST}),
        event("function", "a line\n"),
        event("platform.start", {"requestId": SECOND}),
        event("platform.report", {"requestId": FIRST}),
        event("function", {"message": "a line", "requestId": SECOND}),
    ],
    arrived=[
        log(1, kind="platform.initStart"),
        log(2, FIRST, "platform.start"),
        log(3, FIRST),
        log(4, SECOND, "platform.start"),
        log(5, FIRST, "platform.report"),
        log(6, SECOND),
    ],
    printed=[json.dumps(ENDED)],
    endings=[ending()],
    starts=[Start(register_ms=9.0, ready_ms=11.0)],
    bare_ms=7.0,
)


def test_records_are_counted_by_request() -> None:
    """A line belongs to the invocation started last, an event to the one it names."""
    rows = summary.by_request(HEALTHY)["logs"]
    counted = [(row.request_id, row.title, row.lines, row.events, row.arrived, row.emitted) for row in rows]
    assert counted == [
        ("", "init", 0, 1, 1, 1),
        (FIRST, "first", 1, 2, 3, 3),
        (SECOND, "second", 1, 1, 2, 2),
    ]


def test_a_healthy_run_succeeds() -> None:
    """Nothing lost, nothing wrong: exit status 0."""
    said = summary.verdict(HEALTHY)
    assert (said.arrived, said.emitted, said.lost, said.problems, said.exit_status) == (6, 6, 0, [], 0)


def test_a_lost_record_fails_the_demo() -> None:
    """It is counted, its request is named, and the exit status is 1."""
    said = summary.verdict(replace(HEALTHY, arrived=[*HEALTHY.arrived[:2], *HEALTHY.arrived[3:]]))
    assert (said.arrived, said.emitted, said.lost, said.exit_status) == (5, 6, 1, 1)
    assert said.problems == ["11111111: 2 of 3 records arrived"]


def test_a_copy_does_not_stand_in_for_a_lost_record() -> None:
    """Records are counted by uid."""
    said = summary.verdict(replace(HEALTHY, arrived=[*HEALTHY.arrived[:5], HEALTHY.arrived[0]]))
    assert (said.lost, said.exit_status) == (1, 1)


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        (replace(HEALTHY, endings=[ending(-11)]), "tailrace exited with -11 (spindown)"),
        (replace(HEALTHY, endings=[ending(-9, killed=True)]), "tailrace had to be killed at the end (spindown)"),
        (replace(HEALTHY, endings=[ending(orphans=("7 tr-shipper",))]), "left behind: 7 tr-shipper"),
        (replace(HEALTHY, printed=[]), "0 of 1 environments left a ledger"),
        (
            replace(HEALTHY, steps=[*HEALTHY.steps, Told(title="", outcome="", surprise="it crashed")]),
            "it crashed",
        ),
    ],
    ids=["crashed", "killed", "orphan", "silent", "surprise"],
)
def test_harm_by_the_extension_fails_the_demo(broken: Run, problem: str) -> None:
    """Also where every record arrived."""
    said = summary.verdict(broken)
    assert (said.lost, said.problems, said.exit_status) == (0, [problem], 1)


def test_spans_have_a_table_by_request_and_metrics_one_by_name() -> None:
    """A part of a span belongs to the request whose trace it is in; neither counts as a log record."""
    span = Received("traces", "invoke", {summary.REQUEST_ID: FIRST}, {}, {"traceId": "t"}, 0)
    part = Received("traces", "responseLatency", {}, {}, {"traceId": "t"}, 0)
    points = {"dataPoints": [{"count": "2", "sum": 3.0}, {"count": "1", "sum": 3.0}]}
    metric = Received("metrics", "faas.cpu", {}, {}, {"unit": "s", "histogram": points}, 0)
    count = Received("metrics", "faas.errors", {}, {}, {"unit": "{error}", "sum": {"dataPoints": [{"asInt": 4}]}}, 0)
    run = replace(HEALTHY, arrived=[*HEALTHY.arrived, span, part, metric, count])
    tables = summary.by_request(run)
    assert list(tables) == ["logs", "traces"]
    assert [(row.request_id, row.arrived, row.emitted) for row in tables["traces"]] == [(FIRST, 2, None)]
    assert sum(row.arrived for row in tables["logs"]) == 6
    assert summary.measurements(run) == [("faas.cpu", "2 on average of 3", "s"), ("faas.errors", "4", "{error}")]


def test_ledgers_are_read_from_the_log_and_summed() -> None:
    """One line an environment; reasons are added up, other lines are none."""
    second = {**ENDED, "level": "warning", "accepted": 5, "shipped": 3, "dropped": {"rejected": 2}, "retried": 1}
    second["dropped_bytes"] = {"rejected": 123}
    found = ledgers(["not JSON\n", '{"event":"worker.started"}\n', json.dumps(ENDED), json.dumps(second)])
    total = summed(found)
    assert len(found) == 2
    assert (total.accepted, total.shipped, total.dropped, total.retried) == (11, 9, {"rejected": 2}, 1)
    assert total.dropped_bytes == {"rejected": 123}


def test_what_the_extension_complains_of_is_shown() -> None:
    """Warnings, errors and tracebacks, not what it says by the way."""
    warning = json.dumps({"level": "warning", "event": "worker.exited"})
    assert complaints([json.dumps(ENDED), warning + "\n", "Traceback:\n"]) == [warning, "Traceback:"]


def test_samples_are_one_of_each_kind() -> None:
    """Text, JSON, an error, a report; what is not there is left out."""
    text, error = log(1, FIRST, body="[INFO] x", level="INFO"), log(3, FIRST, body="no", level="ERROR")
    structured = log(2, FIRST, body="x", level="INFO")
    structured.attributes["order"] = 7
    report = log(4, FIRST, "platform.report", "REPORT … Status: timeout")
    assert summary.samples([report, error, text, structured, text]) == [text, structured, error, report]
    assert summary.samples([error]) == [error]


def span(number: int, parent: str, name: str, *, language: str = "") -> Received:
    raw = {"traceId": "t", "spanId": str(number), "parentSpanId": parent, "kind": 2}
    raw |= {"startTimeUnixNano": str(number * 10**6), "endTimeUnixNano": str(number * 10**6 + 1_500_000)}
    return Received("traces", name, {}, {summary.LANGUAGE: language} if language else {}, raw, 0)


def test_a_trace_is_a_tree_of_what_lambda_and_the_function_tell() -> None:
    """What has the same caller stands side by side, in order; what is inside below it."""
    inner, outer = span(3, "2", "inner", language="python"), span(2, "c", "outer", language="python")
    run = replace(HEALTHY, arrived=[*HEALTHY.arrived, inner, outer, span(1, "c", "invocation")], own_spans=2)
    trace_id, caller, branches = summary.trace(run)
    assert (trace_id, caller) == ("t", "c")
    found = [(branch.depth, branch.name, branch.is_own, branch.took_ms) for branch in branches]
    assert found == [(0, "invocation", False, 1.5), (0, "outer", True, 1.5), (1, "inner", True, 1.5)]


def test_own_spans_that_are_missing_are_a_problem() -> None:
    """They are the function's, and the layer took them."""
    said = summary.verdict(replace(HEALTHY, own_spans=2))
    assert "0 of 2 spans of the function's own arrived" in said.problems
    assert summary.trace(HEALTHY) == ("", "", [])
