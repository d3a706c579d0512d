"""A layer under AWS's own emulator: the helper that the layer's own tests will use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sandbox.realparts import UnavailableError
from tests.sandbox.rie import Emulator

if TYPE_CHECKING:
    from tests.sandbox.conftest import Stage


@pytest.fixture(autouse=True)
def _available() -> None:
    try:
        Emulator.check()
    except UnavailableError as exc:
        pytest.skip(str(exc))


def test_classic_mode_runs_layer_and_handler(stage: Stage) -> None:
    """INVOKE and SHUTDOWN arrive, telemetry is refused with 202, what lies beside extensions/ is in /opt."""
    extension = stage.extension()
    beside = stage.layer / "tailrace"
    beside.mkdir()
    (beside / "module.py").write_text("x = 1")
    (stage.task_root / "look.py").write_text(
        "import os\ndef handler(event, context): return os.listdir('/opt/tailrace')\n"
    )
    with Emulator(layer=stage.layer, task_root=stage.task_root, handler="look.handler") as emulator:
        assert emulator.invoke({"n": 1}) == ["module.py"]
    assert extension.answers("/telemetry")[0][0] == 202
    kinds = [text.split('"')[3] for _, text in extension.answers("/next")]
    assert kinds == ["INVOKE", "SHUTDOWN"]


def test_an_error_of_the_handler_comes_back(stage: Stage) -> None:
    """The runtime's error document is the answer."""
    stage.extension()
    with Emulator(layer=stage.layer, task_root=stage.task_root) as emulator:
        assert emulator.invoke({"raise": "no"})["errorType"] == "ValueError"
        assert emulator.invoke({"n": 2}) == {"got": {"n": 2}}


@pytest.mark.parametrize("protocol", ["HTTP", "TCP"])
def test_managed_instances_mode_delivers_telemetry(stage: Stage, protocol: str) -> None:
    """Real events of a real emulator reach an extension that is not root."""
    extension = stage.extension(events=["SHUTDOWN"], schema="2025-01-29", protocol=protocol)
    with Emulator(layer=stage.layer, task_root=stage.task_root, concurrency=2) as emulator:
        assert emulator.invoke({"say": "hello"}) == {"got": {"say": "hello"}}
        emulator.wait_for_output("REPORT RequestId")
    types = extension.types()
    assert types[0] == "platform.initStart"
    assert [t for t in types if t in ("platform.start", "platform.report")] == [
        "platform.start",
        "platform.report",
    ]
    assert [event["record"] for event in extension.events("function")] == ["hello"]
    assert extension.seen("started")[0]["uid"] != 0
    assert any("SHUTDOWN" in text for _, text in extension.answers("/next"))
