"""What is done to the function, as data."""

from dataclasses import dataclass
from typing import Any

# Short, so that nobody waits long for the timeout; a start inside an invocation must fit in it, too.
TIMEOUT_S = 3.0

# The spans of one that traces itself.
OWN_SPANS = 4

# Long enough to be seen, and for late reports to be written while everything is frozen.
IDLE_S = 1.5


@dataclass(frozen=True, kw_only=True)
class Scene:
    """An invocation, or the time between two when there is no payload."""

    title: str
    payload: dict[str, Any] | None = None
    expected: str = "returned"


SCENES = (
    Scene(title="invocation, text logs", payload={"order": 1001, "logs": ["text"]}),
    Scene(title="invocation, JSON logs", payload={"order": 1002, "logs": ["json"]}),
    Scene(title=f"idle for {IDLE_S} s"),
    Scene(title="invocation, after thaw", payload={"order": 1003, "logs": ["text", "json"]}),
    Scene(title="invocation, own spans", payload={"order": 1007, "logs": ["text"], "is_traced": True}),
    Scene(
        title="invocation, raises",
        payload={"order": 1004, "logs": ["json"], "card": "declined"},
        expected="raised CardDeclinedError",
    ),
    Scene(
        title="invocation, hangs",
        payload={"order": 1005, "logs": ["text"], "bank": "silent"},
        expected="timed out, was reset",
    ),
    Scene(title="invocation, new start", payload={"order": 1006, "logs": ["text", "json"]}),
)
