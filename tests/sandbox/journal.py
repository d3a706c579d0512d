"""The record of every API call, with monotonic times: what the tests of boot and holding read."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass
class Call:
    """One request to the platform: who, what, when it came and when it was answered."""

    name: str
    api: str
    """register, next, init_error, exit_error, telemetry, logs, or runtime_… for the runtime's calls."""
    generation: int
    """1 for the first environment; one more after every reset."""
    received_s: float
    answered_s: float | None = None
    status: int | None = None
    body: bytes = b""
    answer: bytes = b""


@dataclass(frozen=True)
class Timeline:
    """One extension's life in one generation, in monotonic seconds."""

    exec_s: float | None
    register_received_s: float | None
    register_answered_s: float | None
    subscribe_received_s: float | None
    subscribe_answered_s: float | None
    next_received_s: list[float]
    next_answered_s: list[float]

    @property
    def register_ms(self) -> float:
        """From exec to the register request: what the extension adds to every cold start."""
        if self.exec_s is None or self.register_received_s is None:
            raise LookupError("the extension has not registered")
        return (self.register_received_s - self.exec_s) * 1000

    @property
    def first_next_ms(self) -> float:
        """From exec to the first /next: when init no longer waits for this extension."""
        if self.exec_s is None or not self.next_received_s:
            raise LookupError("the extension has not asked for an event")
        return (self.next_received_s[0] - self.exec_s) * 1000


@dataclass
class Journal:
    """Every call and every exec."""

    calls: list[Call] = field(default_factory=list)
    execs: dict[tuple[str, int], float] = field(default_factory=dict)
    generation: int = 1

    def started(self, name: str) -> None:
        """Note that a process is about to be executed."""
        self.execs[name, self.generation] = time.monotonic()

    def received(self, name: str, api: str, body: bytes) -> Call:
        """Note a request; the caller fills in the answer."""
        call = Call(name, api, self.generation, time.monotonic(), body=body)
        self.calls.append(call)
        return call

    def timeline(self, name: str, generation: int) -> Timeline:
        """Gather one extension's calls of one generation."""
        mine = [call for call in self.calls if call.name == name and call.generation == generation]
        registers = [call for call in mine if call.api == "register" and call.status == 200]
        subscribes = [call for call in mine if call.api in ("telemetry", "logs")]
        nexts = [call for call in mine if call.api == "next"]
        return Timeline(
            exec_s=self.execs.get((name, generation)),
            register_received_s=registers[0].received_s if registers else None,
            register_answered_s=registers[0].answered_s if registers else None,
            subscribe_received_s=subscribes[0].received_s if subscribes else None,
            subscribe_answered_s=subscribes[0].answered_s if subscribes else None,
            next_received_s=[call.received_s for call in nexts],
            next_answered_s=[call.answered_s for call in nexts if call.answered_s is not None],
        )
