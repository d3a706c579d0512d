"""The extension's lines, whatever they come in."""

import json

import pytest

from tests.tools.timeline.logs import life, line
from tools.timeline.lines import found

SAID = line(5, "shipper", "shipper.request_sent", wire_bytes=40)


@pytest.mark.parametrize(
    "raw",
    [
        SAID,
        f"2026-03-01T12:00:00.007Z\t{SAID}",
        f"1772366400007 2026/03/01/[$LATEST]abc {SAID} trailing",
        json.dumps({"timestamp": 1772366400007, "message": SAID + "\n"}),
        json.dumps({"events": [{"message": "START RequestId: x"}, {"message": SAID}]}),
    ],
    ids=["alone", "prefixed", "stream and trailer", "exported", "exported, all in one"],
)
def test_a_line_is_found_in_what_it_comes_in(raw: str) -> None:
    (only,) = found([raw])
    assert (only.event, only.process, only.level) == ("shipper.request_sent", "shipper", "debug")
    assert only.fields == {"pid": 10, "wire_bytes": 40}


@pytest.mark.parametrize(
    "raw", ["", "REPORT RequestId: x", '{"level":"info","event":"mine"}', SAID[:-30], '{"logger":"tailrace.x"}', "{}"]
)
def test_other_peoples_lines_and_halves_are_passed_over(raw: str) -> None:
    assert [*found([raw])] == []


def test_a_further_routes_shipper_is_one_of_its_own() -> None:
    said = [line(5, "shipper", "shipper.stopped", route=route) for route in ("default", "archive")]
    assert [one.process for one in found(said)] == ["shipper", "shipper-archive"]


def test_lines_come_in_the_order_of_their_times() -> None:
    times = [one.at for one in found(reversed(life()))]
    assert times == sorted(times)
