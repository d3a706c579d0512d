"""The sandbox against AWS's own emulator: the same conversations, the same statuses and error types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.conversations import CLASSIC, MANAGED, Said, Turn, heard, write_talker
from tests.sandbox.realparts import UnavailableError
from tests.sandbox.rie import Emulator

if TYPE_CHECKING:
    from tests.sandbox.conftest import Stage

# Where the text of an error is a parser's or a validator's own words, only its type is compared.
FREE_TEXT = ("InvalidRequestFormat", "ValidationError")


def told(answers: dict[str, Said]) -> dict[str, tuple[Any, ...]]:
    """What must be the same: status, error type, and the text where it is not free."""
    return {
        claim: (
            said.status,
            said.error_type,
            said.error_message if said.error_type not in FREE_TEXT else None,
        )
        for claim, said in answers.items()
    }


def with_emulator(stage: Stage, turns: list[Turn], concurrency: int | None) -> dict[str, Said]:
    """Hold a conversation with the emulator."""
    said = write_talker(stage.layer, turns)
    emulator = Emulator(layer=stage.layer, task_root=stage.task_root, concurrency=concurrency)
    try:
        with emulator:
            emulator.invoke()
    except UnavailableError as exc:
        pytest.skip(str(exc))
    return heard(said, turns)


def with_sandbox(stage: Stage, turns: list[Turn], **platform: Any) -> dict[str, Said]:
    """Hold a conversation with the sandbox."""
    said = write_talker(stage.layer, turns)
    said.write_text("")
    env = stage.environment(**platform)
    env.invoke()
    env.shutdown()
    return heard(said, turns)


@pytest.mark.parametrize("name", CLASSIC)
def test_extensions_api_answers_as_the_emulator_does(stage: Stage, name: str) -> None:
    """Every row of the table of refusals, and what is allowed around them."""
    turns = CLASSIC[name]
    theirs = told(with_emulator(stage, turns, None))
    ours = told(with_sandbox(stage, turns, subscribe_fault=202))
    assert len(theirs) == len(turns)
    assert ours == theirs


@pytest.mark.parametrize("name", MANAGED)
def test_telemetry_api_answers_as_the_emulator_does(stage: Stage, name: str) -> None:
    """On managed instances the emulator knows the Telemetry API: same statuses, same error types."""
    turns = MANAGED[name]
    theirs = told(with_emulator(stage, turns, 1))
    ours = told(with_sandbox(stage, turns, flavour="lambda-managed-instances", concurrency=1))
    assert len(theirs) == len(turns)
    assert ours == theirs
