"""Where lines are not read together, they cost no more than if nobody had tried."""

from collections.abc import Callable
from typing import Any

import pytest

from shipper import pipeline
from shipper.delivery.batch import BatchLimits, Position
from shipper.destinations.otlp.protobuf_logs import LogRecords
from shipper.parse import json_shapes, text_lines
from shipper.parse.text_lines import TextLines
from shipper.pipeline import Pipeline
from tests.shipper.parse.test_json_runs import Watched, backlog_of
from tests.shipper.support import REQUEST_ID, TIME, Lines, event

# As they are, and not as the tests have them.
LIMITS = [
    (pipeline, "LEAST_BATCH_BYTES", pipeline.LEAST_BATCH_BYTES),
    (pipeline, "LEAST_BATCH_RECORDS", pipeline.LEAST_BATCH_RECORDS),
    (json_shapes, "LEAST_LINES", json_shapes.LEAST_LINES),
    (text_lines, "LEAST_LINES", text_lines.LEAST_LINES),
    (text_lines, "LEAST_AMONG_OTHERS", text_lines.LEAST_AMONG_OTHERS),
]
OTHER_ID = REQUEST_ID.replace("4", "5")

Line = Callable[[int], Any]
ALIKE: dict[str, Line] = {
    "text": lambda n: f"GET /orders/{n} 200\n",
    "JSON": lambda n: {"level": "INFO", "message": f"order {n}", "order": n},
}
OF_MANY_KINDS: dict[str, Line] = {
    "two shapes": lambda n: {"level": "INFO", "message": f"order {n}", ("order" if n % 2 else "user"): n},
    "text and JSON": lambda n: ALIKE["text" if n % 2 else "JSON"](n),
    "with and without newline": lambda n: f"line {n}" + "\n" * (n % 2),
    "a quote in every ninth": lambda n: f'say "{n}"\n' if n % 9 == 0 else f"line {n}\n",
    "two requests": lambda n: f"[INFO]\t{TIME}\t{REQUEST_ID if n % 2 else OTHER_ID}\tline {n}\n",
    "an unknown level in every twentieth": lambda n: {**ALIKE["JSON"](n), "level": "what" if n % 20 == 0 else "INFO"},
}


def looks(line: Line, limits: BatchLimits, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """How often lines are looked for that can be read together, and how many are found."""
    for module, name, value in LIMITS:
        monkeypatch.setattr(module, name, value)
    looked = []
    run = TextLines.run

    def watched(*args: Any) -> Any:
        looked.append(1)
        return run(*args)

    monkeypatch.setattr(TextLines, "run", watched)
    encoder = Watched(LogRecords())
    backlog, end = backlog_of(*[[event(line(number)) for number in range(600)]] * 8)
    made = list(Pipeline(encoder, limits, Lines().log).batches(backlog.frames(0, end), Position(0)))
    assert sum(batch.rows for batch in made) == 4800
    return len(looked), encoder.together


@pytest.mark.parametrize("line", OF_MANY_KINDS.values(), ids=OF_MANY_KINDS)
def test_in_vain_they_are_looked_for_less_and_less_often(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    looked, together = looks(line, BatchLimits(10**6, 2000), monkeypatch)
    assert looked < 16
    assert together < 100


@pytest.mark.parametrize("line", ALIKE.values(), ids=ALIKE)
def test_lines_that_are_alike_are_read_together(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    _, together = looks(line, BatchLimits(10**6, 2000), monkeypatch)
    assert together > 4700


@pytest.mark.parametrize("limits", [BatchLimits(4096, 2000), BatchLimits(10**6, 10)])
def test_in_small_batches_nobody_looks_for_them(limits: BatchLimits, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one batch has no room for would be looked for again with the next."""
    assert looks(ALIKE["text"], limits, monkeypatch) == (0, 0)
