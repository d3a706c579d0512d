"""What a run of the demo came to: plain values, gathered by the story, read by the summary and by the screen."""

from dataclasses import dataclass, field
from typing import Any

from tests.sandbox import Ending, Received


@dataclass(frozen=True, kw_only=True)
class Told:
    """One step of the story, as it went.

    Attributes:
        title: What was done.
        outcome: What became of it.
        request_id: The invocation's; "" for other steps.
        generation: Which environment it happened in, from 1.
        billed_ms: Charged for the invocation.
        held_ms: The part of it after the function was done; None where it never was.
        arrived: Log records at the backend when the step had ended.
        emitted: Events the platform had for the extension by then.
        surprise: What should not have happened; "" if all is well.
    """

    title: str
    outcome: str
    request_id: str = ""
    generation: int = 1
    billed_ms: int | None = None
    held_ms: float | None = None
    arrived: int = 0
    emitted: int = 0
    surprise: str = ""


@dataclass(frozen=True, kw_only=True)
class Start:
    """One start of the extension, in milliseconds from exec."""

    register_ms: float
    ready_ms: float


@dataclass(frozen=True, kw_only=True)
class Run:
    """A whole run.

    Attributes:
        steps: In order.
        emitted: Every event the platform had for the extension, as it went over the wire.
        arrived: Every record the backend took, copies included.
        printed: Lines of the extension, over all environments.
        endings: How each environment ended.
        starts: One for each environment.
        bare_ms: The interpreter alone, from exec to exit.
        idle_pss_bytes: Memory of the extension's processes after the cold start.
        own_spans: Made by the function itself, with an SDK.
        last_pss_bytes: The same after the last step an environment survived, by generation.
    """

    steps: list[Told] = field(default_factory=list)
    emitted: list[bytes] = field(default_factory=list)
    arrived: list[Received] = field(default_factory=list)
    printed: list[str] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    bare_ms: float = 0.0
    idle_pss_bytes: int = 0
    own_spans: int = 0
    last_pss_bytes: dict[int, int] = field(default_factory=dict)


def record_line(record: Received) -> dict[str, Any]:
    """A record as the file of records has it."""
    return {
        "signal": record.signal,
        "severity": severity(record),
        "body": record.body,
        "attributes": record.attributes,
        "resource": record.resource,
        "time_unix_nano": record.raw.get("timeUnixNano"),
    }


def severity(record: Received) -> str | None:
    """A log record's severity, where it has one."""
    text = record.raw.get("severityText")
    return None if text is None else str(text)
