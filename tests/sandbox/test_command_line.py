"""`python -m tests.sandbox`: what a user sees and what a script can rely on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.__main__ import main

if TYPE_CHECKING:
    from tests.sandbox.conftest import Stage


def options(stage: Stage, *more: str) -> list[str]:
    """The options every run here needs."""
    return ["--extensions", str(stage.layer / "extensions"), "--task-root", str(stage.task_root), *more]


def test_a_run_is_told_in_readable_lines(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """Init, invocations, output, shutdown, telemetry and backend, exit status 0."""
    stage.extension(print="I am up")
    arguments = options(stage, "--invocations", "2", "--payload", '{"say": "hi"}', "--destination")
    assert main(arguments) == 0
    out = capsys.readouterr().out
    lines = ("init       success", "invoke 2   success", "scripted | I am up", "runtime | hi", "exit 0 after")
    assert [line for line in lines if line not in out] == []
    assert "backend    0 requests" in out


def test_a_functions_own_failure_is_not_the_extensions(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 0, but said."""
    stage.extension()
    assert main(options(stage, "--payload", '{"exit": 1}')) == 0
    assert "Runtime.ExitError" in capsys.readouterr().out


@pytest.mark.parametrize("behaviour", [{"exit_at": "invoke"}, {"exit_at": "started"}, {"shutdown_s": 9}, {"hold_s": 9}])
def test_an_extensions_failure_is_the_exit_status(stage: Stage, behaviour: dict[str, Any]) -> None:
    """A crash, an overlong hold, a kill at the deadline: 1."""
    stage.extension(**behaviour)
    assert main(options(stage, "--timeout", "0.5", "--shutdown-ms", "200")) == 1


@pytest.mark.parametrize(
    "wrong", [("--payload", "{"), ("--env", "novalue"), ("--task-root", "/nowhere"), ("--flavour", "vanilla")]
)
def test_wrong_usage_is_explained(stage: Stage, wrong: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2 and the option's name."""
    stage.extension()
    with pytest.raises(SystemExit) as left:
        main(options(stage, *wrong))
    assert left.value.code == 2
    assert wrong[0] in capsys.readouterr().err
