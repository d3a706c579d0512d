"""The rows of the table of refusals that a conversation does not reach, and the table itself."""

from __future__ import annotations

import pytest

from tests.sandbox.agents import EXTENSION_LIMIT, MOVES, RefusedError, Registry, State
from tests.sandbox.changes import Changes


@pytest.fixture
def registry() -> Registry:
    """A registry that expects one external extension."""
    made = Registry(Changes(), managed=False)
    made.expect("outer")
    return made


def test_every_state_has_a_row() -> None:
    """The table is total."""
    assert set(MOVES) == set(State)


def test_there_is_a_limit_to_extensions(registry: Registry) -> None:
    """The eleventh is refused."""
    for number in range(1, EXTENSION_LIMIT):
        registry.register(f"inner{number}", ["INVOKE"])
    with pytest.raises(RefusedError, match=r"^Extension limit \(10\) reached$") as refusal:
        registry.register("one more", [])
    assert refusal.value.error_type == "Extension.TooManyExtensions"


def test_a_refusal_changes_nothing(registry: Registry) -> None:
    """An extension that erred may still register."""
    with pytest.raises(RefusedError):
        registry.register("outer", ["BOGUS"])
    assert registry.register("outer", ["INVOKE", "INVOKE"]).events == ["INVOKE"]
    with pytest.raises(RefusedError, match="from Registered to Registered"):
        registry.register("outer", ["SHUTDOWN"])
    assert [agent.events for agent in registry.registered] == [["INVOKE"]]


def test_an_extension_that_has_not_registered_has_no_identifier(registry: Registry) -> None:
    """Its identifier exists, but nobody knows it."""
    with pytest.raises(RefusedError, match="Unknown extension"):
        registry.identified(registry.agents["outer"].identifier)
