"""How an invocation went: its status, what it counts as, and what is made of one that nobody reports."""

from typing import Any

import pytest

from tests.shipper.following import attributes, followed, only
from tests.shipper.story import R1, SPAN_ID, at, done, line, ns, report, start, tracing


def raised(kind: str, message: str, *frames: str) -> dict[str, Any]:
    """What runtimes say of an exception in JSON, without what each has around it."""
    return {"errorMessage": message, "errorType": kind, "stackTrace": list(frames)}


@pytest.mark.parametrize(
    ("end", "error", "counted"),
    [
        ([done(10), report(12)], None, "faas.invocations"),
        ([done(3000, status="timeout", took_ms=3000), report(3001, status="timeout")], "timeout", "faas.timeouts"),
        ([done(3000, status="error", errorType="Sandbox.Timedout")], "Sandbox.Timedout", "faas.timeouts"),
        ([line(3000, f"{at(3000)} {R1} Task timed out after 3.00 seconds\n\n")], "timeout", "faas.timeouts"),
        ([done(10, status="error", errorType="Runtime.ExitError"), report(12)], "Runtime.ExitError", "faas.errors"),
        ([done(10, status="failure"), report(12, status="failure")], "failure", "faas.errors"),
        (
            [line(8, "[ERROR] KeyError: 'x'\rTraceback (most recent call last):\r"), done(10), report(12)],
            *("KeyError", "faas.errors"),
        ),
        (
            [
                line(8, {"timestamp": at(8), "level": "ERROR", **raised("KeyError", "'x'"), "requestId": R1}),
                *(done(10), report(12)),
            ],
            *("KeyError", "faas.errors"),
        ),
        (
            [line(8, {"errorType": "KeyError", "errorMessage": "x", "logger": "shop"}), done(10), report(12)],
            *(None, "faas.invocations"),
        ),
        (
            # As Node.js's and .NET's runtimes write what a function logs with an error beside its words.
            [line(8, {"errorType": "E", "errorMessage": "x", "message": "caught E", "level": "ERROR"}), done(10)],
            *(None, "faas.invocations"),
        ),
        (
            [line(8, {"level": "ERROR", "message": "no: a.E\na.BError: no\n\tat c.D"}), done(10)],
            None,
            "faas.invocations",
        ),
        (
            [line(8, {"level": "ERROR", "message": "no: a.BError\na.BError: no\n\tat c.D(E.java:1)"}), done(10)],
            *("a.BError", "faas.errors"),
        ),
    ],
    ids=[
        *(
            "success",
            "timeout",
            "timeout, by its type",
            "timeout, told by the line alone",
            "crash",
            "failure",
            "raised, text",
            "raised, JSON",
            "logged by the function itself",
        ),
        *("logged with words", "logged with a stack trace", "raised, Java's JSON"),
    ],
)
def test_status_tells_how_it_went(end: list[Any], error: str | None, counted: str) -> None:
    """From status, error type, and what the runtime itself says of an exception that nothing caught."""
    seen = followed([start(0), *end], is_final=True)
    span = only(seen)
    assert attributes(span).get("error.type") == error
    # That it went well is the user's to say.
    assert span.get("status", {}).get("code") == ("STATUS_CODE_ERROR" if error else None)
    counters = {name: seen.metric(name) for name in ("faas.invocations", "faas.errors", "faas.timeouts")}
    assert counters == {name: 1 if name == counted else None for name in counters}


def test_an_invocation_that_is_never_reported_gets_its_span_at_the_end() -> None:
    """Not before: its report may be late."""
    story = [start(0), line(5), done(3000, status="timeout", took_ms=3000)]
    waiting = followed(story)
    assert waiting.spans == []
    assert len(waiting.context.open) == 1
    last = followed([], context=waiting.context, is_final=True)
    span = only(last)
    assert (span["startTimeUnixNano"], span["endTimeUnixNano"]) == (ns(0), ns(3000))
    assert span["status"]["code"] == "STATUS_CODE_ERROR"
    assert last.metric("faas.timeouts") is None  # it was counted when it was told
    assert last.context.open == ()


def test_an_invocation_that_is_tried_again_under_its_id_is_two() -> None:
    """As Lambda does with asynchronous ones, though the first has not been reported."""
    again: dict[str, Any] = {"tracing": tracing(span_id="1111111111111111")}
    first = [start(0), done(10, status="error", errorType="Runtime.ExitError")]
    seen = followed([*first, start(60_000, sampled=None, **again), done(60_010), report(60_012)])
    told = [(span["spanId"], attributes(span).get("error.type")) for span in seen.servers()]
    assert told == [(SPAN_ID, "Runtime.ExitError"), ("1111111111111111", None)]
    assert (seen.metric("faas.errors"), seen.metric("faas.invocations")) == (1, 1)


def test_an_invocation_of_which_only_the_start_is_known_failed() -> None:
    """The environment ended under it."""
    seen = followed([start(0), line(5)], is_final=True)
    assert attributes(only(seen))["error.type"] == "unreported"
    assert seen.metric("faas.errors") == 1


def test_a_report_that_comes_to_the_next_environment_makes_the_same_span_and_counts_nothing_twice() -> None:
    """After a reset: the ids are the same, so a backend knows the two for one."""
    before = followed([start(0), done(10, status="timeout")], is_final=True)
    after = followed([report(12, status="timeout", tracing=tracing(), took_ms=12)])
    assert [span["spanId"] for span in after.servers()] == [span["spanId"] for span in before.servers()]
    assert only(after)["startTimeUnixNano"] == ns(0)
    assert (before.metric("faas.timeouts"), after.metric("faas.timeouts")) == (1, None)
    assert after.metric("aws.lambda.billed_duration") == (1, 0.012)


@pytest.mark.parametrize(
    "story",
    [
        [done(10, status="error", errorType="Runtime.OutOfMemory"), report(12, status="error")],
        [
            done(10, status="error", errorType="Runtime.ExitError"),
            report(12, status="error", metrics={"maxMemoryUsedMB": 128}),
        ],
        [line(8, "[ERROR] MemoryError\rTraceback (most recent call last):\r"), done(10), report(12)],
        [
            line(8, "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n"),
            *(done(10, status="error"), report(12, status="error")),
        ],
        [line(8, "fatal error: runtime: out of memory\n"), done(10, status="error"), report(12, status="error")],
        [
            line(8, "x: java.lang.OutOfMemoryError\njava.lang.OutOfMemoryError: Java heap space\n\tat a.b.C(D.java)\n"),
            *(done(10), report(12)),
        ],
        [
            line(8, f"RequestId: {R1} Error: Runtime exited with error: signal: killed\nRuntime.ExitError\n"),
            *(done(10, status="error"), report(12, status="error")),
        ],
    ],
    ids=["error type", "memory used equals size", "Python", "Node.js", "Go", "Java", "killed"],
)
def test_out_of_memory_is_told_by_whatever_sign_there_is(story: list[Any]) -> None:
    seen = followed([start(0), *story])
    assert seen.metric("aws.lambda.out_of_memory") == 1
    assert seen.metric("faas.errors") == 1
    assert attributes(only(seen))["aws.lambda.out_of_memory"] is True


def test_a_success_that_used_all_memory_is_not_out_of_memory() -> None:
    seen = followed(
        [start(0), line(5, "no memory left, almost\n"), done(10), report(12, metrics={"maxMemoryUsedMB": 128})]
    )
    assert seen.metric("aws.lambda.out_of_memory") is None
