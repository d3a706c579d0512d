"""What became of every record: `accepted = shipped + waiting + dropped`, at every moment.

Fed with what the workers report; a report counts whole or not at all, so the equation cannot be caught between
two halves.
"""

from lifecycle.contract.counts import Taken
from lifecycle.contract.wire import (
    NO_SIGNAL,
    UNDELIVERED,
    UNSUPPORTED,
    Overflowed,
    Refused,
    Repeated,
    Report,
    Shipped,
    Stalled,
    Stored,
    folded,
)

# What is dropped because a setting says so, under the setting's name, and our own lines that came back.
INTENDED = frozenset(("own_line", "platform_logs", NO_SIGNAL, "min_level", "keep", "drop", "sample", "unsampled"))

# A batch answered 503 is still the platform's, and comes again.
KEPT_BY_PLATFORM = frozenset(("full",))

# What a span or a metric that nobody took was made of, and why there was none.
GIVEN_UP = (UNDELIVERED, UNSUPPORTED)

# An OTLP request for which there was no room when it came.
INTAKE_FULL = "intake_full"

# What waits although nothing went wrong with the last shipment: there was no time for another, or no shipper.
NOT_TRIED = "not_tried"


class Ledger:
    """Counts for one environment's life and one route. Records unless the name says otherwise.

    Attributes:
        accepted: Stored in the backlog.
        shipped: Acknowledged by the destination.
        dropped: Given up here, by reason.
        dropped_bytes: Likewise, bytes of the events as the platform delivered them.
        repeated: Came again and were not stored twice.
        lost_by_platform: What platform.logsDropped said the platform gave up before us.
        lost_by_platform_bytes: Likewise, in bytes.
        batches: Stored.
        requests: Made to the destination.
        retried: Requests among them that repeated a failed one.
        wire_bytes: Request bodies as sent.
        unmapped: Not understood, and passed through as text.
        unredactable: Not to be redacted, and blanked; those that were dropped for it are among the dropped.
        refused: Batches answered with an error, by reason; the platform still has those answered 503.
        refused_bytes: Likewise, as much of them as was read.
        parts: Past the backlog as part of a span or a metric that is not delivered yet: they wait with the others.
        parts_bytes: Likewise, bytes of the events as the platform delivered them.
        left_for: Why the last shipment was not delivered; "" since one was.
        held_ms: Time that finished invocations were held, as far as known.
        otlp: What of it came in OTLP requests, by signal: spans, points or log records accepted, shipped and dropped.
    """

    def __init__(self) -> None:
        self.accepted = self.shipped = self.repeated = 0
        self.lost_by_platform = self.lost_by_platform_bytes = 0
        self.batches = self.requests = self.retried = self.wire_bytes = self.unmapped = self.unredactable = 0
        self.held_ms = 0.0
        self.left_for = ""
        self.parts = self.parts_bytes = 0
        self._has_completed = False
        self.dropped: dict[str, int] = {}
        self.dropped_bytes: dict[str, int] = {}
        self.refused: dict[str, int] = {}
        self.refused_bytes: dict[str, int] = {}
        self.otlp: dict[str, dict[str, int]] = {}

    @property
    def waiting(self) -> int:
        """In the backlog, or part of what is not delivered."""
        return self.accepted - self.shipped - sum(self.dropped.values())

    def note(self, report: Report) -> None:
        """Counts what a worker reported."""
        match report:
            case Stored():
                self.accepted += report.events
                self.batches += 1
                self.lost_by_platform += report.lost_events
                self.lost_by_platform_bytes += report.lost_bytes
                if report.signal:
                    self._note_otlp("accepted", {report.signal: report.events})
            case Overflowed():
                self.accepted += report.items
                _add(self.dropped, {INTAKE_FULL: report.items})
                _add(self.dropped_bytes, {INTAKE_FULL: report.body_bytes})
                self._note_otlp("accepted", {report.signal: report.items})
                self._note_otlp("dropped", {report.signal: report.items})
            case Repeated():
                self.repeated += report.events
            case Refused():
                _add(self.refused, {report.reason: 1})
                _add(self.refused_bytes, {report.reason: report.body_bytes})
            case Shipped():
                self.shipped += report.events
                self.unmapped += report.unmapped
                self.unredactable += report.unredactable
                self.parts += report.parts
                self.parts_bytes += report.parts_bytes
                if report.completes:
                    self.shipped += self.parts
                    self.parts = self.parts_bytes = 0
                    self._has_completed = True
                elif not report.dropped.keys().isdisjoint(GIVEN_UP):
                    self._has_completed = False
                self.left_for = "" if report.events or report.completes else self.left_for
                if report.dropped:
                    _add(self.dropped, report.dropped)
                    _add(self.dropped_bytes, report.dropped_bytes)
                if report.otlp_shipped or report.otlp_dropped:
                    self._note_otlp("shipped", report.otlp_shipped)
                    self._note_otlp("dropped", report.otlp_dropped)
                self._note_requests(report.requests, report.retries, report.wire_bytes)
            case Stalled():
                self.left_for = report.reason
                self._note_requests(report.requests, report.retries, report.wire_bytes)

    def _note_otlp(self, what: str, items: dict[str, int]) -> None:
        for signal, count in items.items():
            _add(self.otlp.setdefault(signal, {}), {what: count})

    def _note_requests(self, requests: int, retries: int, wire_bytes: int) -> None:
        self.requests += requests
        self.retried += retries
        self.wire_bytes += wire_bytes

    def note_unreported(self, counted: Taken) -> None:
        """Counts what a shipper counted and did not live to report."""
        self._note_requests(counted.requests, counted.retries, counted.wire_bytes)

    def close(self) -> None:
        """Nothing more comes: what is part of a span or a metric that nobody took is not delivered.

        What came after the last one that was taken, and was to become no other, has done its part.
        """
        if self._has_completed:
            self.shipped += self.parts
        elif self.parts:
            _add(self.dropped, {UNDELIVERED: self.parts})
            _add(self.dropped_bytes, {UNDELIVERED: self.parts_bytes})
        self.parts = self.parts_bytes = 0

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost or left but what a setting says."""
        dropped, refused = self.dropped.keys() - INTENDED, self.refused.keys() - KEPT_BY_PLATFORM
        return not (self.waiting or dropped or refused or self.lost_by_platform)

    def counts(self) -> dict[str, int]:
        """The counts by name, as the shipper may export them."""
        counts = {
            "accepted": self.accepted,
            "shipped": self.shipped,
            "repeated": self.repeated,
            "lost_by_platform": self.lost_by_platform,
            "lost_by_platform_bytes": self.lost_by_platform_bytes,
            "requests": self.requests,
            "retried": self.retried,
            "wire_bytes": self.wire_bytes,
            "unmapped": self.unmapped,
            "unredactable": self.unredactable,
            "held_ms": round(self.held_ms),
        }
        if self.dropped:
            counts |= {f"dropped.{reason}": events for reason, events in folded(self.dropped).items()}
            counts |= {f"dropped_bytes.{reason}": size for reason, size in folded(self.dropped_bytes).items()}
        return counts

    def own_line(self) -> dict[str, object]:
        """What became of the records on this route, as fields of a log line."""
        return {
            "shipped": self.shipped,
            "waiting": self.waiting,
            "left": {self.left_for or NOT_TRIED: self.waiting} if self.waiting else {},
            "dropped": self.dropped,
            "dropped_bytes": self.dropped_bytes,
            "requests": self.requests,
            "retried": self.retried,
            "wire_bytes": self.wire_bytes,
            "unmapped": self.unmapped,
            "unredactable": self.unredactable,
            **({"otlp": self.otlp} if self.otlp else {}),
        }

    def common_line(self) -> dict[str, object]:
        """What came, whatever became of it: the same for every route."""
        return {
            "accepted": self.accepted,
            "repeated": self.repeated,
            "lost_by_platform": self.lost_by_platform,
            "lost_by_platform_bytes": self.lost_by_platform_bytes,
            "refused": self.refused,
            "refused_bytes": self.refused_bytes,
            "batches": self.batches,
            "held_ms": round(self.held_ms, 1),
        }


def line_of(ledgers: dict[str, Ledger]) -> dict[str, object]:
    """The ledgers of all routes, by their names, as fields of one log line: of one alone without its name."""
    first, *others = ledgers.values()
    if not others:
        return {"accepted": first.accepted} | first.own_line() | first.common_line()
    return first.common_line() | {"routes": {name: ledger.own_line() for name, ledger in ledgers.items()}}


def _add(counts: dict[str, int], more: dict[str, int]) -> None:
    for reason, count in more.items():
        counts[reason] = counts.get(reason, 0) + count
