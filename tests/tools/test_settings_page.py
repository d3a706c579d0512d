"""docs/settings.md: up to date, complete and readable."""

import re

import pytest

from lifecycle.contract.settings import Settings
from tests.tools.conftest import ROOT
from tools import settings_page


def test_page_is_up_to_date() -> None:
    """Run `make docs` when this fails."""
    assert (ROOT / settings_page.PAGE).read_text(encoding="utf-8") == settings_page.page()


def test_every_setting_has_one_row() -> None:
    """In the table's order, with as many cells as the head has."""
    rows = re.findall(r"^\| `(\w+)` \|.*", settings_page.page(), re.MULTILINE)
    assert rows == [setting.variable for setting in Settings.table()]
    lines = [line for line in settings_page.page().splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {5}


def test_chapter_that_no_longer_begins_anywhere_is_an_error() -> None:
    """A renamed setting does not silently move its chapter's rows to another."""
    gone = settings_page.Chapter("Gone", "TAILRACE_GONE")
    with pytest.raises(settings_page.PageError, match="TAILRACE_GONE"):
        settings_page.page((*settings_page.CHAPTERS, gone))
    with pytest.raises(settings_page.PageError, match="expected TAILRACE_GONE"):
        settings_page.page((gone,))


@pytest.mark.parametrize(("size_bytes", "spoken"), [(8_388_608, "8 MiB"), (262_144, "256 KiB")])
def test_sizes_are_spoken_in_the_unit_that_makes_them_short(size_bytes: int, spoken: str) -> None:
    """Nobody reads 8388608 as eight of anything."""
    assert settings_page.spoken_size(size_bytes) == spoken


def test_names_of_settings_are_marked_in_text() -> None:
    """Punctuation after a name stays outside."""
    marked = "".join(settings_page.marked_names("0: OTEL_EXPORTER_OTLP_TIMEOUT, else 5000."))
    assert marked == "0: `OTEL_EXPORTER_OTLP_TIMEOUT`, else 5000."
