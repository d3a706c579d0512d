"""The list of events in the docs is the source's, and the symptoms name events that there are."""

import re
from pathlib import Path

from tools import events_page

ROOT = Path(__file__).parents[2]
SOURCE = """
class Says:
    def plainly(self):
        self._log.warning("worker.exited", worker=1, exit_status=2)
        self._log.debug("worker.exited", worker=1, **more)

    def either(self, again):
        say = self._log.debug if again else self._log.error
        say("shipper.request_crashed", signal=1)

    def nothing(self):
        self.read("settings.py"); self.read("shipper.check.main")
"""


def test_levels_and_fields_are_read_from_the_calls(tmp_path: Path) -> None:
    for package in events_page.PACKAGES:
        (tmp_path / package).mkdir()
    (tmp_path / "shipper" / "says.py").write_text(SOURCE)
    crashed, exited = events_page.events(tmp_path).values()
    assert (crashed.name, crashed.levels, [*crashed.fields]) == (
        "shipper.request_crashed",
        {"debug", "error"},
        ["signal"],
    )
    assert (exited.levels, [*exited.fields], exited.is_open) == ({"warning", "debug"}, ["worker", "exit_status"], True)


PASSED_ON = """
class Problem:
    def explained(self):
        return {"variable": 1, **({"used": 2} if self.used else {})}

class Says:
    def fails(self, problem, outcome, unknown):
        self.reason = {"status": 1}
        fields = {"reason": 1} | {"detail": 2}
        if outcome.said:
            fields["said"] = 3
        self._log.debug("shipper.request_failed", failures=1, **fields)
        self._log.warning("settings.value_ignored", **problem.explained())
        self._log.info("lifecycle.idled", **self.reason)
        self._log.warning("worker.exited", **unknown)
"""


def test_names_of_fields_that_are_passed_on_are_found_where_they_are_given(tmp_path: Path) -> None:
    """In the function, in what a method returns, in an attribute; what is nowhere to be found is said to be there."""
    for package in events_page.PACKAGES:
        (tmp_path / package).mkdir()
    (tmp_path / "shipper" / "says.py").write_text(PASSED_ON)
    found = events_page.events(tmp_path)
    assert {name: [*event.fields] for name, event in found.items()} == {
        "lifecycle.idled": ["status"],
        "settings.value_ignored": ["variable", "used"],
        "shipper.request_failed": ["failures", "reason", "detail", "said"],
        "worker.exited": [],
    }
    assert [name for name, event in found.items() if event.is_open] == ["worker.exited"]


def test_the_page_is_what_the_source_says() -> None:
    """Written by `make docs`."""
    page = (ROOT / events_page.PAGE).read_text(encoding="utf-8")
    assert page == events_page.written(page, ROOT)
    assert page.count("| `") > 40


def test_a_line_without_structlog_is_an_event_like_any() -> None:
    said = events_page.events(ROOT)["log.lines_lost"]
    assert (said.levels, [*said.fields]) == ({"warning"}, ["lines"])


def test_of_every_event_it_is_told_what_it_is_about() -> None:
    """Each in one row, and none that is not said any more."""
    told = [name for names in events_page.OF.values() for name in names.split()]
    assert sorted(told) == sorted(events_page.events(ROOT))
    assert set(events_page.OF) == set(events_page.BOUND)


def test_symptoms_name_events_that_there_are() -> None:
    page = (ROOT / events_page.PAGE).read_text(encoding="utf-8")
    symptoms, _, _ = page.partition("## Every event")
    named = set(re.findall(rf"`({events_page.NAME.pattern})`", symptoms))
    assert len(named) > 15
    assert named - set(events_page.events(ROOT)) == set()
