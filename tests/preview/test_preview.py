"""A function of one's own, from the built layer: what is shown of it."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from tests.preview.__main__ import FAILED, OK, main

pytestmark = pytest.mark.e2e

CODE = """
import json
print("loaded")

def handler(event, context):
    print(json.dumps({"level": "WARN", "message": "mail to bob@example.com", "order": event.get("order")}))
    print("chatty" * 3)
    if event.get("fails"):
        raise LookupError("nothing there")
    return "done"
"""


def played(tmp_path: Path, *arguments: str, code: str = CODE) -> tuple[int, str, str]:
    """Exit status, what the terminal shows, and the page."""
    (tmp_path / "src").mkdir(exist_ok=True)
    (tmp_path / "src" / "app.py").write_text(code)
    written, page = io.StringIO(), tmp_path / "preview.html"
    console = Console(file=written, width=300, highlight=False)
    status = main([f"{tmp_path / 'src'}/app.handler", "-o", str(page), *arguments], console)
    return status, written.getvalue(), page.read_text(encoding="utf-8") if page.exists() else ""


def test_records_spans_metrics_and_what_was_charged_are_shown(tmp_path: Path) -> None:
    """In the terminal, and with every field on the page."""
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"order": 7}))
    status, shown, page = played(tmp_path, "--event", str(event), "--env", "TAILRACE_REDACT=email")
    assert status == OK
    for word in ("mail to ", "WARN", "order=7", "chattychattychatty", "Spans", "server", "faas.invocations"):
        assert word in shown, word
    assert "charged" in shown
    assert "lifecycle.ended" in shown
    assert "bob@example.com" not in shown
    assert '"title":"Log records"' in page
    assert "observedTimeUnixNano" in page
    assert "bob@example.com" not in page


def test_a_function_that_fails_is_shown_as_it_will_arrive(tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"fails": True}))
    status, shown, _ = played(tmp_path, "--event", str(event), "--no-sampled")
    assert status == OK
    assert "error: LookupError" in shown
    assert "exception.type=LookupError" in shown


def test_what_rules_drop_is_told(tmp_path: Path) -> None:
    _, shown, _ = played(tmp_path, "--env", "TAILRACE_DROP=chatty", "--env", "TAILRACE_DESTINATION=stdout:")
    assert "TAILRACE_DESTINATION is left out" in shown
    assert "What did not arrive" in shown
    assert "chattychattychatty" not in shown


def test_a_function_that_does_not_start_is_said(tmp_path: Path) -> None:
    """With what its runtime printed."""
    status, shown, page = played(tmp_path, code="raise RuntimeError('no table')")
    assert (status, page) == (FAILED, "")
    assert "The function does not start" in shown
    assert "no table" in shown


@pytest.mark.parametrize("arguments", [["nowhere/app.handler"], ["tests/app.handler", "--event", "none.json"]])
def test_wrong_usage_names_what_was_expected(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2
    assert "expected" in capsys.readouterr().err
