"""The page, in a real browser."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.tools.timeline.logs import life, line
from tools.timeline.__main__ import NOTHING_FOUND, OK, main

BROWSER = shutil.which("chromium") or ""

# README: a log of 50,000 lines opens within two seconds.
MANY = 50_000
OPENS_WITHIN_MS = 2000

needs_browser = [
    pytest.mark.optional,
    pytest.mark.skipif(not BROWSER, reason="no chromium on this machine: apt-get install chromium"),
]

# What a user does, and what he then sees; run in the page once it is drawn.
USED = """
<script>
{
const seen = {};
const picture = document.getElementById("picture"), facts = () => document.getElementById("facts").textContent;
const box = picture.getBoundingClientRect();
const key = (name) => picture.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
seen.answers = document.getElementById("answers").textContent;
seen.lanes = life.lanes;
seen.drawn = +document.documentElement.dataset.drawn;
const [left, top, right, bottom, item] = shown.find(([, , , , index]) => life.spans[index]?.[1] === "held");
const over = { clientX: box.left + (left + right) / 2, clientY: box.top + (top + bottom) / 2, bubbles: true };
picture.dispatchEvent(new PointerEvent("pointermove", over));
seen.hovered = facts();
const whole = to - from;
key("+");
seen.zoomed = (to - from) / whole;
key("Home");
seen.back = (to - from) / whole;
key("n"); key("n");
seen.stepped = facts();
document.getElementById("theme").click();
seen.dark = document.documentElement.classList.contains("dark");
const pixels = pen.getImageData(0, 0, picture.width, picture.height).data;
seen.colours = new Set(new Uint32Array(pixels.buffer)).size;
seen.wide = document.documentElement.scrollWidth <= innerWidth;
const result = document.createElement("pre");
result.id = "seen"; result.textContent = JSON.stringify(seen);
document.body.append(result);
}
</script>
"""


def used(page: Path, size: str = "1200,900") -> dict[str, object]:
    """What a user sees who opens a page and uses it."""
    text = page.read_text(encoding="utf-8")
    page.write_text(text + USED, encoding="utf-8")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={size}", "--dump-dom"]
    done = subprocess.run(
        [*command, f"--user-data-dir={page.parent / 'profile'}", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    (found,) = re.findall(r'<pre id="seen">(.*?)</pre>', done.stdout)
    seen: dict[str, object] = json.loads(html.unescape(found))
    return seen


def page_of(tmp_path: Path, lines: list[str]) -> Path:
    """The page for a log."""
    log, page = tmp_path / "a.log", tmp_path / "life.html"
    log.write_text("\n".join(lines), encoding="utf-8")
    assert main([str(log), "-o", str(page)]) == OK
    return page


def test_it_is_one_file_that_asks_for_no_other(tmp_path: Path) -> None:
    """And nothing in a log becomes part of it."""
    text = page_of(
        tmp_path, [*life(), line(9, "shipper", "shipper.delivery_failing", detail="</script><img src=x>")]
    ).read_text(encoding="utf-8")
    assert not re.search(r"(?:src|href)=|@import|url\(|https?://(?!b/)", text.replace("img src=x", ""))
    assert (text.count("</script>"), text.count("<img")) == (2, 0)


def test_a_log_without_our_lines_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "life.html"
    assert main(["-o", str(page)], ["somebody else's line\n"]) == NOTHING_FOUND
    assert "expected JSON with a logger that begins with tailrace" in capsys.readouterr().err
    assert not page.exists()


class TestInChromium:
    """What a user sees and does."""

    pytestmark = needs_browser

    def test_items_are_told_by_pointer_and_by_keys(self, tmp_path: Path) -> None:
        """It zooms, and goes dark."""
        seen = used(page_of(tmp_path, life()))
        assert seen["lanes"] == ["function", "supervisor", "collector", "shipper", "backend"]
        assert "Functions were held for 240 ms in all" in str(seen["answers"])
        assert "held after its return, delivered" in str(seen["hovered"])
        assert "80 ms" in str(seen["hovered"])
        assert (seen["zoomed"], seen["back"]) == (0.5, 1)
        assert seen["stepped"] != seen["hovered"]
        assert seen["dark"] is True
        assert int(str(seen["colours"])) > 5

    def test_it_is_legible_on_a_phone(self, tmp_path: Path) -> None:
        """Nothing is wider than the screen."""
        assert used(page_of(tmp_path, life()), "500,900")["wide"] is True

    def test_a_log_of_many_lines_opens_soon(self, tmp_path: Path) -> None:
        """Within two seconds, where the machine has nothing else to do: three tries at most."""
        lines = life(MANY // 8)
        assert len(lines) >= MANY - 11
        took_ms: list[float] = []
        while len(took_ms) < 3 and (not took_ms or took_ms[-1] >= OPENS_WITHIN_MS):
            took_ms.append(float(str(used(page_of(tmp_path, lines))["drawn"])))
        assert took_ms[-1] < OPENS_WITHIN_MS, took_ms
