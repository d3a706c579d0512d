"""Every destination and every backend that is known has a page, and each says what there is to know beforehand."""

import re
from pathlib import Path

import pytest

from lifecycle.contract.schemes import PRESETS, SCHEMES

DOCS = Path(__file__).parents[3] / "docs/destinations"
PAGES = sorted(DOCS.glob("*.md"))

# OTLP has its own page and one for each backend; a file and standard output are what others pick up.
ELSEWHERE = {"otlp", "file", "stdout"}
BY_OTHER_NAMES = {"opensearch": "elasticsearch", "http": "https"}

# What becomes of each of these.
TOLD = ("time", "level", "attributes", "exception", "span", "metrics", "resource|function|service")
BODIES, IDS = r"body|message|`line`|\| line \|", r"trace_id|trace\.id|traceid|trace and span id|, ids,"


def whole(page: Path) -> str:
    """A page's text, and that of another page whose table it goes by."""
    text = page.read_text()
    return text + "".join((DOCS / name).read_text() for name in re.findall(r"\]\((\w+\.md)#what-arrives\)", text))


def test_there_is_one_for_each() -> None:
    """By the scheme's name, or the backend's."""
    schemes = {scheme.partition("+")[0] for scheme in SCHEMES} - ELSEWHERE
    wanted = {BY_OTHER_NAMES.get(scheme, scheme) for scheme in schemes}
    wanted |= {preset.name.lower().replace(" ", "-") for preset in PRESETS} - {"new-relic"}
    assert wanted | {"cloudwatch"} == {page.stem for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_says_what_becomes_of_everything(page: Path) -> None:
    """What arrives, what can be lost or doubled, and what it was tested against, and was not."""
    text = whole(page)
    for what in (*TOLD, BODIES, IDS):
        assert re.search(what, text, re.IGNORECASE), what
    assert re.search(r"^## (Answers|.*answers)$", text, re.MULTILINE)
    last = text.partition("\n## What can be lost or doubled\n")[2]
    assert "- **Doubled**: " in last
    assert "- **Lost**: " in last
    assert re.search(r"[Tt]ested against|are compared with", last)
    assert re.search(r"not\s+against|[Nn]ot\s+tested\s+against|not\s+run", last)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_where_a_secret_is_pasted_a_reference_is_offered(page: Path) -> None:
    """No key need stand in a configuration."""
    (block,) = re.findall(r"```\n(.*?)```", page.read_text(), re.DOTALL)[:1]
    has_secret = re.search(r"TOKEN|PASSWORD|LICENSE|BASE64|=KEY", block)
    assert not has_secret or "](../secrets.md)" in page.read_text()
