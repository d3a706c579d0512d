"""The table of lines that runtimes and libraries write, which the documentation prints."""

import json
import re
from typing import Any

import pytest

from shipper.model.context import Context, Past
from tests.sandbox.received import value_of
from tests.shipper.following import attributes, followed
from tests.shipper.parse.line_tables import ID, JSON, PAGE, TEXT, KnownLine, page, tables
from tests.shipper.support import event

AT_NS = 1716222584123000000
EVENT_NS = 1716222585008000000
MOST_LATER_NS = 1_000_000

KNOWN = Context(recent=(Past(ID),))


def name_of(line: KnownLine) -> str:
    return f"{line.library}, {line.form}: {str(line.line)[:40]}"


def log_of(sent: Any) -> dict[str, Any]:
    (log,) = followed([event(sent)], context=KNOWN).logs
    return log


def assert_found(line: KnownLine, log: dict[str, Any], whole: str = "") -> None:
    """What a backend sees is what the table says."""
    assert (log.get("severityText", ""), log.get("severityNumber", 0)) == (line.level, line.number)
    assert value_of(log["body"]) == (whole if line.body is None else line.body)
    found = attributes(log)
    assert (found.pop("faas.invocation_id", None) == ID) == line.request
    assert found.pop("log.record.uid")
    at_ns = int(log["timeUnixNano"])
    assert (AT_NS <= at_ns < AT_NS + MOST_LATER_NS) if line.time else at_ns == EVENT_NS
    assert log.get("scope", "").removeprefix("tailrace") == line.logger
    assert ("traceId" in log) == line.trace
    assert tuple(sorted(found)) == tuple(sorted(line.rest))


@pytest.mark.parametrize("line", TEXT, ids=map(name_of, TEXT))
def test_what_is_found_in_a_line_of_text(line: KnownLine) -> None:
    """The body stays what was written."""
    assert isinstance(line.line, str)
    assert_found(line, log_of(line.line), line.line.removesuffix("\n"))


@pytest.mark.parametrize("line", JSON, ids=map(name_of, JSON))
def test_what_is_found_in_a_line_of_json(line: KnownLine) -> None:
    """As an object as well as as text that holds one, with what may stand around it."""
    assert_found(line, log_of(line.line))
    if isinstance(line.line, dict):
        for text in (json.dumps(line.line) + "\n", "\ufeff" + json.dumps(line.line), "  \n" + json.dumps(line.line)):
            assert_found(line, log_of(text))


def test_page_is_up_to_date() -> None:
    """Run `make docs` when this fails."""
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text


def test_every_line_has_one_row() -> None:
    """On one line of the page, with as many cells as the head has."""
    rows = [line for text in tables() for line in text.split("\n") if line.startswith("|")]
    assert len(rows) == 4 + len(TEXT) + len(JSON)
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}
    assert all(row.isprintable() and row.count("`") % 2 == 0 for row in rows)
