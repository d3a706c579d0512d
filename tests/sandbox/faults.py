"""What the platform regards as the failure of an environment: who died or complained, and its error type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.sandbox.agents import State

if TYPE_CHECKING:
    from tests.sandbox.world import World


@dataclass(frozen=True)
class Fault:
    """Why an init or an invocation cannot go on."""

    error_type: str
    message: str
    status: str = "error"

    def as_error(self, request_id: str) -> dict[str, str]:
        """The error a caller of the function sees."""
        text = f"RequestId: {request_id} Error: {self.message}"
        return {"errorType": self.error_type, "errorMessage": text}


def timed_out(seconds: float) -> Fault:
    """The invocation (or init) took longer than it may."""
    return Fault("Sandbox.Timedout", f"Task timed out after {seconds:.2f} seconds", "timeout")


def present(world: World) -> Fault | None:
    """The first failure that can be seen now; None in a healthy environment."""
    for agent in world.registry.agents.values():
        if agent.has_failed:
            kind = "InitError" if agent.state is State.INIT_ERROR else "ExitError"
            return Fault(f"Extension.{kind}", f"extension {agent.name}: {agent.error_type}")
    for name, child in world.extensions.items():
        if not child.running:
            return Fault("Extension.Crash", f"extension {name} exited: {_how(child.exit_code)}")
    error = world.runtime_api.init_error
    if error is not None:
        return Fault(error["errorType"], str(error.get("errorMessage", "")))
    if world.runtime is not None and not world.runtime.running:
        how = _how(world.runtime.exit_code)
        return Fault("Runtime.ExitError", f"Runtime exited with error: {how}")
    return None


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {-code}"
    return f"exit status {code}"
