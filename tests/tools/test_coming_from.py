"""docs/coming-from.md: what it names is there, and every vendor's page can be found."""

import re

import pytest

from lifecycle.contract.settings import Settings
from tests.tools.conftest import ROOT

COMING_FROM = ROOT / "docs" / "coming-from.md"
PAGES = (COMING_FROM, ROOT / "docs" / "cloudwatch-logs.md")

# A variable of ours, or of OpenTelemetry's.
NAME = re.compile(r"\b(?:TAILRACE|OTEL)_[A-Z0-9_]+")


@pytest.mark.parametrize("page", [page.stem for page in PAGES])
def test_every_setting_that_is_named_is_one(page: str) -> None:
    """And there are enough of them that the pattern has found what it is for."""
    named = set(NAME.findall((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")))
    assert named <= {setting.variable for setting in Settings.table()}
    assert "TAILRACE_TYPES" in named


def test_every_row_says_what_to_do() -> None:
    """A table for each of the three, and no cell that is empty."""
    text = COMING_FROM.read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| there")]
    assert len(rows) > 40
    assert all(re.fullmatch(r"\| [^|]+ \| [^|]+ \|", row) for row in rows), rows
    for word in ("opentelemetry-lambda", "Datadog", "New Relic"):
        assert re.search(rf"^## .*{word}", text, re.MULTILINE)
    assert text.count("**Without a counterpart:**") == text.count("**On the bill:**") == 3


def test_values_that_are_shown_can_be_used() -> None:
    """Each `NAME=value` of a table, read as the extension reads it."""
    shown = re.findall(rf"`({NAME.pattern})=([^`]+)`", COMING_FROM.read_text(encoding="utf-8"))
    assert len(shown) > 10
    for name, value in shown:
        keys = {"TAILRACE_HEADERS": "DD-API-KEY=k,Api-Key=k", "TAILRACE_DESTINATION": "stdout:"}
        usable = value.replace("SITE", "datadoghq.eu").replace("MS", "1000").replace("HOST", "h")
        problems = Settings({**keys, name: usable}).problems
        assert not [problem.explained() for problem in problems if problem.variable == name], (name, usable)


def test_every_destinations_page_is_linked() -> None:
    """From README's recipes, by vendor."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    recipes = readme.partition("## Recipes by vendor")[2].partition("\n## ")[0]
    for page in (ROOT / "docs" / "destinations").glob("*.md"):
        assert f"(docs/destinations/{page.name}" in recipes, page.name
    for page in PAGES:
        assert f"(docs/{page.name})" in readme
