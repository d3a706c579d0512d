"""What arrives, as events: the platform's answers to /next, read leniently, and the workers' reports."""

from time import monotonic, time

import msgspec

from lifecycle.boot import STATUS_OK
from lifecycle.contract import wire
from lifecycle.contract.log import Log
from lifecycle.extensions_api import Answer
from lifecycle.machine.deadlines import Deadlines
from lifecycle.machine.events import (
    BatchStored,
    Event,
    IntakeHeld,
    Invoked,
    NextFailed,
    OffsetCommitted,
    ShipmentStalled,
    ShutdownRequested,
    UnknownEventReceived,
)


class NextEvent(msgspec.Struct, rename="camel"):
    """What /next answers, read leniently (Extensions API reference): a member of another type is a missing one."""

    event_type: object = ""
    deadline_ms: object = 0
    request_id: object = ""
    shutdown_reason: object = ""


_next_event = msgspec.json.Decoder(NextEvent)


class NextReader:
    """Reads answers to /next.

    Args:
        log: Where odd ones are said.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._deadlines = Deadlines()
        self._is_refused = False

    def event(self, answer: Answer) -> Event:
        """The event that an answer is."""
        if answer.status != STATUS_OK:
            said = answer.body[:300].decode("utf-8", "replace")
            say = self._log.debug if self._is_refused else self._log.error  # once, however often it is asked
            say("next.refused", status=answer.status, answer=said, effect="it is asked again, with pauses")
            self._is_refused = True
            return NextFailed(answer.status)
        self._is_refused = False
        try:
            event = _next_event.decode(answer.body)
        except msgspec.MsgspecError as exc:
            self._log.warning("next.unknown", error=str(exc), effect="the next event is asked for")
            return UnknownEventReceived()
        deadline_ms = event.deadline_ms if isinstance(event.deadline_ms, int | float) else 0
        match event.event_type:
            case "INVOKE":
                deadline = self._deadlines.of_invocation(deadline_ms, epoch_s=time(), now=monotonic())
                return Invoked(_text(event.request_id), deadline)
            case "SHUTDOWN":
                deadline = self._deadlines.of_shutdown(deadline_ms, epoch_s=time(), now=monotonic())
                return ShutdownRequested(_text(event.shutdown_reason).lower(), deadline)
            case unknown:
                self._log.warning("next.unknown", event_type=_text(unknown)[:100], effect="the next event is asked for")
                return UnknownEventReceived()


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def event_of(report: wire.Report, log: Log) -> Event | None:
    """What a worker's report is to the machine; None when it is only counted."""
    match report:
        case wire.Stored():
            if report.lost_events or report.lost_bytes:
                log.warning(
                    "platform.logs_dropped",
                    events=report.lost_events,
                    lost_bytes=report.lost_bytes,
                    effect="the platform gave them up before they were delivered to us",
                )
            # An age, since the two clocks may jump apart later.
            age_s = time() - report.finished_epoch_s if report.finished_epoch_s else None
            return BatchStored(report.start, report.end, report.finished, report.reported, age_s)
        case wire.Shipped():
            return OffsetCommitted(report.through, report.skip, report.owes, report.waits)
        case wire.Stalled():
            return ShipmentStalled(report.reason, report.retry_after_s, report.deadline)
        case wire.Refused():
            return IntakeHeld() if report.reason == "full" else None
        case wire.Repeated():
            return None


def fields(message: msgspec.Struct) -> dict[str, object]:
    """A message as fields of a log line, named by its type."""
    line = {"what": type(message).__name__}
    line |= {name: getattr(message, name) for name in message.__struct_fields__ if name != "context"}
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in line.items()}
