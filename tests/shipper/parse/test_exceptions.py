"""Exceptions in lines: those that are, whole; those that are none, left alone; and which of them ended something."""

from typing import Any

import pytest

from tests.shipper.following import attributes, followed, only
from tests.shipper.parse.exception_tables import (
    BARE,
    FAILURES,
    GO_ERROR,
    LAMBDA,
    MEMBERS,
    ORDINARY,
    PAGE,
    PRINTED,
    TEXTS,
    page,
)
from tests.shipper.story import done, init, line, report, start

# In JSON a line alone is a message like any other.
IN_JSON: list[tuple[Any, ...]] = [
    (f"{name}, in a message", {"level": "ERROR", "message": text}, *told) for name, text, *told in TEXTS if "\n" in text
]


@pytest.mark.parametrize(
    ("sent", "kind", "message", "stack"),
    [case[1:] for case in (*TEXTS, *IN_JSON)],
    ids=[case[0] for case in (*TEXTS, *IN_JSON)],
)
def test_an_exception_in_text_is_whole(sent: str | dict[str, str], kind: str, message: str, stack: str | None) -> None:
    """Type, message and stack trace, and ERROR where the line says no other level; the body stays as it was written."""
    text = sent if isinstance(sent, str) else sent["message"]
    (log,) = followed([line(0, sent + "\n" if isinstance(sent, str) else sent)]).logs
    found = attributes(log)
    told = found.get("exception.stacktrace")
    assert (found["exception.type"], found.get("exception.message", "")) == (kind, message)
    assert told == stack or (
        told is not None and stack is not None and told.startswith(stack.removesuffix("…").rstrip())
    )
    assert log["severityNumber"] == 17
    assert log["body"] == {"stringValue": text}


@pytest.mark.parametrize(("sent", "told", "kept"), [case[1:] for case in MEMBERS], ids=[case[0] for case in MEMBERS])
def test_an_exception_in_members_is_found(
    sent: dict[str, Any], told: tuple[str, str, str], kept: tuple[str, ...]
) -> None:
    """Under the names that libraries give it; no member is lost."""
    (log,) = followed([line(0, {"level": "error", "message": "refused", "order": 7, **sent})]).logs
    found = attributes(log)
    assert tuple(found.get(f"exception.{name}", "") for name in ("type", "message", "stacktrace")) == told
    assert {name for name in found if not name.startswith(("exception.", "log."))} == {"order", *kept}
    assert all(found[name] == sent[name] for name in kept)


@pytest.mark.parametrize("sent", ORDINARY, ids=str)
def test_an_ordinary_member_is_no_exception(sent: dict[str, Any]) -> None:
    """It stays what it is."""
    (log,) = followed([line(0, {"level": "INFO", "message": "done", **sent})]).logs
    found = attributes(log)
    del found["log.record.uid"]
    assert found == sent


@pytest.mark.parametrize(("record", "error"), [case[1:] for case in FAILURES], ids=[case[0] for case in FAILURES])
def test_what_a_runtime_itself_writes_is_a_failure(record: Any, error: str) -> None:
    """Lambda calls such an invocation a success: only the line tells."""
    record = f"{record}\n" if isinstance(record, str) else record
    seen = followed([start(0), line(5, record), done(10), report(12)])
    assert attributes(only(seen)).get("error.type") == error
    assert (seen.metric("faas.errors"), seen.metric("faas.invocations")) == (1, None)
    assert (seen.logs[0]["severityNumber"], attributes(seen.logs[0])["exception.type"]) == (17, error)


@pytest.mark.parametrize("record", [case[1] for case in PRINTED], ids=[case[0] for case in PRINTED])
def test_what_a_function_prints_is_none(record: Any) -> None:
    """However much it looks like what a runtime says."""
    record = f"{record}\n" if isinstance(record, str) else record
    seen = followed([start(0), line(5, record), done(10), report(12)])
    assert "error.type" not in attributes(only(seen))
    assert (seen.metric("faas.errors"), seen.metric("faas.invocations")) == (None, 1)


@pytest.mark.parametrize(
    ("runtime", "has_failed"),
    [("provided:al2023.v9", True), (None, True), ("python:3.13.v1", False), ("java:21.v9", False)],
)
@pytest.mark.parametrize(
    "record", [GO_ERROR + "\n", BARE, {**LAMBDA, "message": BARE}], ids=["text", "object", "message"]
)
def test_what_only_gos_runtime_means_counts_where_go_may_run(
    runtime: str | None, record: Any, *, has_failed: bool
) -> None:
    """Its logger without a time before the line: a function in another language may print the same."""
    begun, *rest = init(-200)
    begun["record"]["runtimeVersion"] = runtime
    cold = [begun, *rest] if runtime else []
    seen = followed([*cold, start(0), line(5, record), done(10), report(12)])
    assert seen.metric("faas.errors") == (1 if has_failed else None)


def test_the_page_prints_these_tables() -> None:
    """`make docs` writes them into it."""
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text
