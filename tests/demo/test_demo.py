"""The demo as a person runs it: what it prints, what it writes, how it ends."""

import json
import logging
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.demo import __main__ as demo
from tests.demo.handler import app
from tests.demo.scenes import OWN_SPANS, SCENES

pytestmark = pytest.mark.e2e

# What a record has beside what the handler said.
OF_TAILRACE = {"faas.invocation_id", "log.record.uid"}

# From the run on an idle machine, times twelve.
LIMIT_S = 60


@pytest.fixture(scope="module")
def finished() -> subprocess.CompletedProcess[str]:
    """The demo, run once."""
    if not (demo.EXTENSIONS / "tailrace").exists():
        pytest.fail("There is no built layer in build/layer. Build it with: make layer")
    return subprocess.run(
        [sys.executable, "-m", "tests.demo"],
        cwd=demo.ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "80", "PYTHONIOENCODING": "utf-8"},
    )


def records(signal: str = "logs") -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (demo.ROOT / demo.RECORDS).read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["signal"] == signal]


def test_it_ends_well_and_says_so(finished: subprocess.CompletedProcess[str]) -> None:
    """Exit status 0, and the last line counts what arrived and what was lost."""
    last = finished.stdout.splitlines()[-1]
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stderr == ""
    count = len(records())
    assert last == f"Everything the platform delivered arrived: {count} of {count} records, lost 0."


def test_it_tells_the_story_and_shows_every_table(finished: subprocess.CompletedProcess[str]) -> None:
    """Each step has its line, each table its heading, and nothing is wider than 80 columns."""
    shown = finished.stdout
    for step in ("cold start", *(scene.title for scene in SCENES), "shutdown"):
        assert f"\n {step} " in shown
    for table in ("Logs at the backend", "Traces at the backend", "Metrics at the backend", "Some records as"):
        assert f"\n {table}" in shown
    for table in ("Trace ", "Ledger: what became", "What the function is charged"):
        assert f"\n {table}" in shown
    for row in ("bare interpreter", "to register", "to ready", "held after return", "(PSS), idle", "(PSS), at the end"):
        assert row in shown
    assert max(len(line) for line in shown.splitlines()) <= 80


def test_the_file_holds_every_line_the_handler_printed(
    finished: subprocess.CompletedProcess[str],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The handler is asked again, here, for what it prints; each line is in the file as often as it was printed."""
    assert finished.returncode == 0
    monkeypatch.setattr(app, "time", SimpleNamespace(sleep=lambda _seconds: None))
    caplog.set_level(logging.INFO)
    for scene in SCENES:
        if scene.payload is not None:
            try:
                app.handler({**scene.payload, "is_traced": False}, None)
            except app.CardDeclinedError:
                continue
    lines = capsys.readouterr().out.splitlines()
    lines_shipped = [record for record in records() if "aws.lambda.event.type" not in record["attributes"]]
    text = [record["body"] for record in lines_shipped if record["attributes"].keys() <= OF_TAILRACE]
    structured = [
        {"message": record["body"], **{k: v for k, v in record["attributes"].items() if k not in OF_TAILRACE}}
        for record in lines_shipped
        if not record["attributes"].keys() <= OF_TAILRACE
    ]
    known = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}
    said = [
        {"message": record.getMessage(), **{k: v for k, v in record.__dict__.items() if k not in known}}
        for record in caplog.records
    ]
    assert Counter(text) == Counter(lines)
    assert [body for body in structured if "exception.type" not in body] == said
    assert [body["exception.type"] for body in structured if "exception.type" in body] == ["CardDeclinedError"]


def test_each_invocation_has_a_span_and_is_counted(finished: subprocess.CompletedProcess[str]) -> None:
    """Once, whatever became of it; each start of the environment, too."""
    assert finished.returncode == 0
    spans = records("traces")
    invoked = sum(scene.payload is not None for scene in SCENES)
    assert len({span["attributes"].get("faas.invocation_id") for span in spans} - {None}) == invoked
    assert [span["body"] for span in spans].count("checkout init") == 2
    assert {"faas.invocations", "faas.timeouts", "faas.errors"} <= {metric["body"] for metric in records("metrics")}


def test_a_trace_has_the_functions_own_spans_beside_the_invocations(
    finished: subprocess.CompletedProcess[str],
) -> None:
    """As a tree, each span told by whom it is known by."""
    lines = finished.stdout.splitlines()
    first = next(at for at, line in enumerate(lines) if line.startswith(" Trace "))
    table = [line.rstrip() for line in lines[first : first + 14]]
    for depth, name in enumerate(("check out", "charge the card", "POST /charges")):
        assert any(line.startswith(f" {'   ' * depth}└─ {name} ") for line in table), table
    assert any(line.startswith(" └─ checkout ") for line in table), table
    assert sum(line.endswith("the function's own SDK") for line in table) == OWN_SPANS


def test_the_file_names_each_record_once(finished: subprocess.CompletedProcess[str]) -> None:
    """Every line is a record of its own: with a uid nobody else has, a signal and a time."""
    assert finished.returncode == 0
    found = records()
    assert len({record["attributes"]["log.record.uid"] for record in found}) == len(found) > 0
    assert all(int(record["time_unix_nano"]) > 0 for record in found)


def test_a_missing_layer_is_answered_with_the_command_that_builds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And with an exit status of its own."""
    monkeypatch.setattr(demo, "EXTENSIONS", tmp_path)
    assert demo.main([]) == demo.NO_LAYER
    assert "make layer" in capsys.readouterr().out


def test_a_layer_that_does_not_start_is_told_kindly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the extension printed last is shown, not a traceback of ours."""
    launcher = tmp_path / "tailrace"
    launcher.write_text("#!/bin/sh\necho no such module\nexit 3\n")
    launcher.chmod(0o755)
    monkeypatch.setattr(demo, "EXTENSIONS", tmp_path)
    assert demo.main([]) == demo.FAILED
    shown = capsys.readouterr().out
    assert "exit status 3" in shown
    assert "The extension said: no such module" in shown
