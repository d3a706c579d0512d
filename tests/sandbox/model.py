"""What a user of the sandbox says and gets back: the function, the platform's traits, the results.

Plain values without behaviour beyond small derived numbers; the platform's rules live elsewhere.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

Flavour = Literal["on-demand", "provisioned-concurrency", "snap-start", "lambda-managed-instances"]
FLAVOURS: tuple[Flavour, ...] = (
    "on-demand",
    "provisioned-concurrency",
    "snap-start",
    "lambda-managed-instances",
)
SubscribeFault = Literal[202, 400, 403, 500, "drop"]
NextFault = Literal[403, 500, "drop", "unknown-event", "deep"]
Status = Literal["success", "error", "timeout"]


@dataclass(frozen=True, kw_only=True)
class Function:
    """The function under the sandbox: its code, its limits, its environment.

    `runtime_command` replaces the real Python runtime client (`python -m awslambdaric HANDLER`); it runs
    in `task_root` with the Runtime API's address in its environment. `hosts` are lines of an /etc/hosts that the
    extensions alone see, in a mount namespace of their own: names with several addresses.
    """

    handler: str = "app.handler"
    task_root: Path = field(default_factory=Path.cwd)
    timeout_s: float = 3.0
    memory_mb: int = 128
    name: str = "demo"
    version: str = "$LATEST"
    region: str = "us-east-1"
    account: str = "123456789012"
    environ: Mapping[str, str] = field(default_factory=dict)
    log_format: Literal["Text", "JSON"] = "Text"
    runtime_command: Sequence[str] | None = None
    hosts: Sequence[str] = ()
    python: Path = Path(sys.executable)

    @property
    def arn(self) -> str:
        """The function's ARN, as INVOKE carries it."""
        return f"arn:aws:lambda:{self.region}:{self.account}:function:{self.name}"


@dataclass(frozen=True, kw_only=True)
class Platform:
    """How this Lambda behaves: its flavour, its clockwork and, on request, its misbehaviour.

    Args:
        flavour: As `AWS_LAMBDA_INITIALIZATION_TYPE` names it.
        freeze: SIGSTOP everything between invocations (never on managed instances).
        init_timeout_s: None for the platform's own limit of the flavour.
        shutdown_ms: From SHUTDOWN to SIGKILL.
        report_delay_s: How long after runtimeDone `platform.report` is written, at the earliest
            (at once on managed instances).
        snapshot_s: How long a SnapStart snapshot lies frozen before it is restored.
        concurrency: `AWS_LAMBDA_MAX_CONCURRENCY` on managed instances.
        tracing: Whether events and INVOKE carry an X-Ray header.
        sampled: X-Ray's decision in it; without active tracing it is no, whoever calls.
        duplicate_every: Deliver every k-th batch a second time; 0 for never.
        buffer_bytes: What the platform holds for a subscriber before it drops (`platform.logsDropped`).
        delivery_timeout_s: How long one POST may go unanswered before it is tried again.
        retry_base_s: First pause after a failed delivery; doubles up to one second.
        refused_retries: How often a batch answered 4xx is tried again before it is dropped.
        chunked: Send telemetry with `Transfer-Encoding: chunked` and without a length.
        subscribe_fault: What a telemetry or logs subscription is answered with.
        next_faults: By number of the /next call (from 1, per extension): what it is answered with.
        runtime_done_lost: Invocations (from 1) whose platform.runtimeDone is never written.
        withheld: Invocations (from 1) during which nothing is delivered; it follows with the next one that is not.
        dials_anew: Deliver every batch by a connection of its own.
        line_bytes: Longer lines of a function or extension are several records.
    """

    flavour: Flavour = "on-demand"
    freeze: bool = True
    init_timeout_s: float | None = None
    shutdown_ms: int = 2000
    report_delay_s: float = 0.04
    snapshot_s: float = 0.2
    concurrency: int = 2
    tracing: bool = True
    sampled: bool = True
    duplicate_every: int = 0
    buffer_bytes: int = 64 * 1024 * 1024
    delivery_timeout_s: float = 10.0
    retry_base_s: float = 0.05
    refused_retries: int = 3
    chunked: bool = False
    subscribe_fault: SubscribeFault | None = None
    next_faults: Mapping[int, NextFault] = field(default_factory=dict)
    runtime_done_lost: Container[int] = ()
    withheld: Container[int] = ()
    dials_anew: bool = False
    line_bytes: int = 256 * 1024

    @property
    def managed(self) -> bool:
        """Whether this is Lambda Managed Instances."""
        return self.flavour == "lambda-managed-instances"

    @property
    def freezes(self) -> bool:
        """Whether the environment is frozen between invocations."""
        return self.freeze and not self.managed

    def init_limit_s(self, function: Function) -> float:
        """How long init may take: 10 s on demand, else 130 s or the function's timeout if longer."""
        if self.init_timeout_s is not None:
            return self.init_timeout_s
        if self.flavour == "on-demand":
            return 10.0
        return min(900.0, max(130.0, function.timeout_s))


@dataclass(frozen=True, kw_only=True)
class InitResult:
    """How an init (or a restore) went."""

    status: Status
    duration_ms: float
    error_type: str | None = None
    error_message: str | None = None


@dataclass(frozen=True, kw_only=True)
class InvokeResult:
    """What became of one invocation, for the caller and for the bill.

    `status` is `success` also when the handler raised: the runtime reported it, `error` says what, and
    `handled` is true. `error` with `handled` false is the platform's: a crash, a timeout, a failed init.
    """

    request_id: str
    status: Status
    payload: Any
    error: dict[str, Any] | None
    handled: bool
    response_ms: float | None
    """From the start of the invoke phase to the response; None when there was none."""
    latency_ms: float
    """From the call, an init inside it included, to the response or to the failure."""
    duration_ms: float
    """From the start of the invoke phase to its end, extensions included."""
    billed_ms: int
    held_ms: float
    """How long extensions kept the phase open after the runtime was done."""
    held_ms_by: dict[str, float]
    init_ms: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the handler returned."""
        return self.status == "success" and self.error is None


@dataclass(frozen=True, kw_only=True)
class ExtensionEnding:
    """How one extension left: its code (negative: the signal), after how long, and by whose hand."""

    exit_code: int | None
    exit_ms: float
    killed: bool


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a shutdown or a reset went."""

    reason: str
    extensions: dict[str, ExtensionEnding]
    orphans: list[str]
    """Processes of the environment still alive a moment after every extension had gone: `pid comm`."""
    duration_ms: float

    @property
    def clean(self) -> bool:
        """Whether every extension left by itself with 0 and nothing stayed behind."""
        return not self.orphans and all(
            ending.exit_code == 0 and not ending.killed for ending in self.extensions.values()
        )
