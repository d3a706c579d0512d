"""What an environment's life was, as its log tells it: spans and moments on lanes, the backlog's fill, the ledger."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tools.timeline.lines import MS_PER_S, Line

FUNCTION, SUPERVISOR, COLLECTOR, BACKEND = "function", "supervisor", "collector", "backend"
SHIPPER = "shipper"

# Which moments are shown, and as what: trouble, the end of it, or plain.
TROUBLES = {
    *("worker.exited", "worker.failed", "worker.kept_dying", "worker.stuck", "worker.not_started", "breaker.opened"),
    *("shipper.delivery_failing", "shipper.record_dropped", "shipper.records_rejected", "shipper.request_crashed"),
    *("shipper.signal_unsupported", "shipper.signal_deferred", "shipper.frame_broken", "route.lagging", "next.failed"),
    *("next.refused", "rules.redaction_unreadable", "shipper.secret_refused", "settings.value_ignored"),
    "shipper.answers_late",
}
RECOVERIES = {
    *("breaker.closed", "shipper.delivery_recovered", "shipper.answers_timely", "lifecycle.restored"),
    "collector.spool_recovered",
}
PLAIN = {"worker.started", "shipper.retry_planned", "shipper.connection_opened", "shipper.connection_replaced"}


@dataclass
class Span:
    """Something that took time on a lane, milliseconds since the epoch; `kind` is how it is drawn."""

    lane: str
    kind: str
    since: float
    until: float
    label: str
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def ms(self) -> float:
        """How long it took."""
        return self.until - self.since


@dataclass
class Moment:
    """Something that happened on a lane."""

    lane: str
    kind: str
    at: float
    label: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class Life:
    """One environment's life.

    Attributes:
        since: When it began, milliseconds since the epoch.
        until: When its last line was said.
        spans: In the order in which they ended.
        moments: In the order in which they happened.
        fill: Moments, and the bytes of the backlog that waited from then on.
        ledger: The last line's fields, if there was one.
        is_detailed: Whether it was said at `debug`: otherwise there are troubles and the ledger, and little else.
    """

    since: float
    until: float
    spans: list[Span] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    fill: list[tuple[float, int]] = field(default_factory=list)
    ledger: dict[str, Any] = field(default_factory=dict)
    is_detailed: bool = False

    def of(self, kind: str) -> list[Span]:
        """The spans of a kind."""
        return [span for span in self.spans if span.kind == kind]


def lives(lines: Iterable[Line]) -> Iterator[Life]:
    """Each environment's life: one begins with `lifecycle.booted`, or with the first line that there is."""
    said: list[Line] = []
    supervisor: int | None = None
    for line in lines:
        pid = line.fields.get("pid")
        if said and line.process == "lifecycle" and supervisor not in (None, pid):
            yield _Reader().read(said)
            said = []
        if line.process == "lifecycle":
            supervisor = pid
        said.append(line)
    if said:
        yield _Reader().read(said)


class _Reader:
    """Reads one life, line by line."""

    def __init__(self) -> None:
        self._life = Life(0.0, 0.0)
        self._invoked: tuple[str, float] | None = None
        self._finished_at: float | None = None
        self._told_ends: dict[str, float] = {}
        self._state: tuple[str, float] | None = None
        self._fetched_at: float | None = None
        self._stalls: dict[str, dict[str, Any]] = {}
        self._requests: dict[tuple[str, str], list[tuple[float, dict[str, Any]]]] = {}
        self._batches: list[tuple[float, dict[str, Any]]] = []
        self._reached: dict[str, int] = {}
        self._workers: dict[str, tuple[float, dict[str, Any]]] = {}

    def read(self, said: list[Line]) -> Life:
        """The life that these lines tell of."""
        life = self._life
        life.since, life.until = said[0].at, said[-1].at
        for line in said:
            life.is_detailed |= line.level == "debug"
            reader = getattr(self, "_" + line.event.replace(".", "_"), None)
            if reader is not None:
                reader(line)
            self._note(line)
        self._end()
        return life

    def _span(
        self, lane: str, kind: str, since: float, until: float, label: str, facts: dict[str, Any] | None = None
    ) -> None:
        facts = {name: value for name, value in (facts or {}).items() if name != "pid"}
        self._life.spans.append(Span(lane, kind, since, max(since, until), label, facts))

    def _note(self, line: Line) -> None:
        """A moment, where a line is one."""
        for names, kind in ((TROUBLES, "trouble"), (RECOVERIES, "recovery"), (PLAIN, "plain")):
            if line.event in names:
                lane = SUPERVISOR if line.process == "lifecycle" else line.process
                self._life.moments.append(Moment(lane, kind, line.at, line.event, line.fields))

    def _lifecycle_booted(self, line: Line) -> None:
        asked_ms = line.fields.get("asked_ms") or line.fields.get("subscribed_ms") or 0.0
        self._life.since = min(self._life.since, line.at - asked_ms)
        self._span(SUPERVISOR, "boot", line.at - asked_ms, line.at, "boot", line.fields)

    def _lifecycle_ended(self, line: Line) -> None:
        self._life.ledger = line.fields

    def _close_state(self, at: float) -> None:
        if self._state is not None:
            state, since = self._state
            self._span(SUPERVISOR, "state", since, at, state)

    def _machine_handled(self, line: Line) -> None:
        fields = line.fields
        if "waiting_bytes" in fields:
            self._life.fill.append((line.at, fields["waiting_bytes"]))
        if "after" in fields:
            self._close_state(line.at)
            self._state = fields["after"], line.at
        match fields.get("what"):
            case "Invoked":
                self._close_invocation(line.at)
                if self._fetched_at is not None:
                    self._span(FUNCTION, "frozen", self._fetched_at, line.at, "between invocations")
                self._fetched_at = None
                self._invoked, self._finished_at = (fields["request_id"], line.at), None
            case "BatchStored" if self._invoked and self._finished_at is None and "finished_age_s" in fields:
                age_ms = fields["finished_age_s"] * MS_PER_S
                request_id, began = self._invoked
                self._finished_at = max(began, line.at - age_ms)
                self._span(FUNCTION, "invocation", began, self._finished_at, request_id)
            case "OffsetCommitted":
                self._arrived(line)
            case "ShutdownRequested":
                self._close_invocation(line.at)
                self._span(SUPERVISOR, "shutdown", line.at, self._life.until, "shutdown", fields)

    def _machine_ordered(self, line: Line) -> None:
        if line.fields.get("what") != "FetchNext":
            return
        held_s = line.fields.get("held_s") or 0.0
        facts = {"reason": line.fields.get("reason", ""), "request_id": self._invoked[0] if self._invoked else ""}
        if held_s:
            self._span(FUNCTION, "held", line.at - held_s * MS_PER_S, line.at, facts["reason"], facts)
        self._fetched_at = line.at

    def _close_invocation(self, at: float) -> None:
        """One whose end was never told lasted until the next event."""
        if self._invoked and self._finished_at is None:
            request_id, began = self._invoked
            if request_id in self._told_ends:
                until, facts = self._told_ends[request_id], {}
            else:
                until = self._fetched_at if self._fetched_at and self._fetched_at > began else at
                facts = {"end": "not told before the next event"}
            self._span(FUNCTION, "invocation", began, until, request_id, facts)
            self._fetched_at = until
        self._invoked = None

    def _collector_batch_stored(self, line: Line) -> None:
        self._batches.append((line.at, line.fields))
        self._told_ends |= dict.fromkeys(line.fields.get("finished", ()), line.at)

    def _arrived(self, line: Line) -> None:
        """Batches before the offset that every shipper has got to were delivered, wherever they go."""
        self._reached[line.fields.get("worker", SHIPPER)] = line.fields["through"]
        shippers = {*self._reached, *(worker for worker in self._workers if worker != COLLECTOR)}
        through = min(self._reached.get(worker, 0) for worker in shippers)
        rest = []
        for at, batch in self._batches:
            if batch["end"] <= through:
                self._span(COLLECTOR, "batch", at, line.at, f"{batch['events']} events", batch)
            else:
                rest.append((at, batch))
        self._batches = rest

    def _shipper_shipment_stalled(self, line: Line) -> None:
        self._stalls[line.process] = line.fields

    def _shipper_shipment_ended(self, line: Line) -> None:
        stall = self._stalls.pop(line.process, None)
        label = "delivered" if stall is None else stall.get("reason", "")
        since = line.at - line.fields.get("took_ms", 0.0)
        kind = "shipped" if stall is None else "stalled"
        self._span(line.process, kind, since, line.at, label, (stall or {}) | line.fields)

    def _shipper_request_sent(self, line: Line) -> None:
        self._requests.setdefault(_whose(line), []).append((line.at, line.fields))

    _shipper_request_begun = _shipper_request_sent

    def _shipper_answer_received(self, line: Line) -> None:
        status = line.fields.get("status", 0)
        self._close_request(line, "answered" if status < 300 else "refused", f"{status}")  # noqa: PLR2004 - success

    def _shipper_request_failed(self, line: Line) -> None:
        self._close_request(line, "failed", line.fields.get("reason", "failed"))

    def _close_request(self, line: Line, kind: str, label: str) -> None:
        waiting = self._requests.get(_whose(line))
        if waiting:
            since, sent = waiting.pop(0)
            self._span(BACKEND, kind, since, line.at, label, sent | line.fields)

    def _worker_started(self, line: Line) -> None:
        self._workers[line.fields["worker"]] = line.at, line.fields

    def _worker_exited(self, line: Line) -> None:
        since, _ = self._workers.pop(line.fields["worker"], (self._life.since, {}))
        self._span(_lane_of(line.fields["worker"]), "alive", since, line.at, "died", line.fields)

    def _end(self) -> None:
        """What was still under way with the last line."""
        until = self._life.until
        self._close_state(until)
        self._close_invocation(until)
        for worker, (since, _) in self._workers.items():
            self._span(_lane_of(worker), "alive", since, until, "alive")
        for at, batch in self._batches:
            self._span(COLLECTOR, "waiting", at, until, f"{batch['events']} events", batch)
        for (worker, _), requests in self._requests.items():
            for since, sent in requests:
                self._span(BACKEND, "failed", since, until, "no answer", sent | {"worker": worker})


def _whose(line: Line) -> tuple[str, str]:
    """Which requests are answered in order: a route's of one signal."""
    return line.process, line.fields.get("signal", "")


def _lane_of(worker: str) -> str:
    return COLLECTOR if worker == COLLECTOR else worker
