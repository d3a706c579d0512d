"""Where telemetry would go, and whether that takes it: what a person may ask of the shipper.

Makes the very destination that the extension would make, and one request of one record for each signal. Never loaded by
it.
"""

import select
import time
from collections.abc import Callable, Iterator

import msgspec

from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings
from shipper.check_records import specimen
from shipper.delivery.outcome import Outcome, Verdict
from shipper.destinations.registry import chosen, headers, is_compressed, otlp_address, timeout_s
from shipper.hints import hint
from shipper.model.resource import service_name
from shipper.model.signals import LOGS, METRICS, SIGNALS, TRACES
from shipper.transport.quoting import HIDDEN, Quoting
from shipper.transport.response import Answer

RECORDS = {LOGS: "log record", TRACES: "span", METRICS: "metric"}

PAGE = "No receiver of OTLP answers so: is that the address of a site, or of a gate that wants people to log in?"

_OF_EVERY_LINE = ("logger", "level", "event", "time", "pid")


class Route(msgspec.Struct, frozen=True):
    """Where telemetry would go.

    Attributes:
        labels: Scheme, host and path, or the file's name, by signal: nothing secret.
        details: By what they are called: encoding, compression, timeout, the names of headers, the service.
        warnings: What the shipper's log would warn of.
    """

    labels: dict[str, str]
    details: dict[str, str]
    warnings: list[str]


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one test record.

    Attributes:
        signal: Which one's.
        is_well: The destination has it, or need not: it knows no such signal, and none was asked for by name.
        said: In words: what was answered, or why there was no answer.
        took_ms: How long that took.
        body: What else the answer says, as it may be shown; "" if nothing.
        hint: What to look at; "" if nothing comes to mind.
    """

    signal: str
    is_well: bool
    said: str
    took_ms: float
    body: str = ""
    hint: str = ""


def route(settings: Settings) -> Route:
    """Where telemetry would go."""
    lines: list[bytes] = []
    quoting = Quoting(settings.secrets())
    destination = chosen(settings, _wait, Log("check", "warning", settings.secrets(), lines.append))
    label = destination.label
    destination.close()
    details = {"service.name": service_name(settings)}
    labels = {LOGS: quoting.blanked(label)}
    if not label.startswith(("file:", "stdout")):
        signals = _signals(settings) if _is_otlp(settings) else ("",)
        if _is_otlp(settings):
            labels = {signal: otlp_address(settings, signal).label for signal in signals}
        details = {
            "encoding": "OTLP as JSON" if _is_otlp(settings) else "a JSON object a line",
            "compression": _each(signals, lambda signal: "gzip" if is_compressed(settings, signal=signal) else "none"),
            "timeout": _each(signals, lambda signal: f"{timeout_s(settings, signal=signal):g} s a request"),
            "headers": _each(signals, lambda signal: _names(headers(settings, signal=signal))),
            **details,
        }
    return Route(labels, details, [_in_words(line) for line in lines])


def send(settings: Settings) -> Iterator[Answered]:
    """Delivers one record of each signal, once; tells of each as soon as its answer is there."""
    answers: list[Answer] = []
    quoting = Quoting(settings.secrets())
    log = Log("check", "error", settings.secrets(), lambda _line: None)
    destination = chosen(settings, _wait, log, answers.append)
    is_cumulative = settings.metrics_temporality == "cumulative"
    try:
        for signal in _signals(settings):
            answers.clear()
            endpoint = destination.endpoints[signal]
            request = endpoint.build(specimen(destination, signal, is_cumulative=is_cumulative))
            started = time.monotonic()
            outcome = endpoint.send(request)
            took_ms = (time.monotonic() - started) * 1000
            yield _answered(settings, signal, outcome, answers[-1] if answers else None, took_ms, quoting)
    finally:
        destination.close()


def _is_otlp(settings: Settings) -> bool:
    return not settings.destination or settings.destination.startswith("otlp")


def _signals(settings: Settings) -> tuple[str, ...]:
    """What would be shipped, in the order in which it would be."""
    wanted = settings.exported_signals()
    return tuple(signal for signal in SIGNALS if signal in wanted)


def _is_asked_for(settings: Settings, signal: str) -> bool:
    """Whether a setting names the signal, so that it is missed where it is not taken."""
    own = {LOGS: True, TRACES: settings.otlp_traces_endpoint, METRICS: settings.otlp_metrics_endpoint}
    return signal in settings.signals or bool(own[signal])


def _each(signals: tuple[str, ...], told: Callable[[str], str]) -> str:
    """What is told of every signal: once, where they are alike."""
    found = {signal: told(signal) for signal in signals}
    if len(set(found.values())) == 1:
        return found[signals[0]]
    return "; ".join(f"{signal}: {text}" for signal, text in found.items())


def _names(fields: dict[str, str]) -> str:
    return ", ".join(f"{name}: {HIDDEN}" for name in fields) or "none beside the usual"


def _in_words(line: bytes) -> str:
    """A line of the log as a person reads it: the event and its own fields."""
    fields = msgspec.json.decode(line)
    own = [f"{name} {value}" for name, value in fields.items() if name not in _OF_EVERY_LINE]
    return f"{fields['event']}: {', '.join(own)}."


def _wait(fd: int, events: int, until: float) -> int:
    """Waits for a descriptor, or for time alone, as the shipper's commands do."""
    poll = select.poll()
    if fd >= 0:
        poll.register(fd, events)
    while True:
        left_ms = max(0, int((until - time.monotonic()) * 1000 + 0.999))
        ready = dict(poll.poll(left_ms))
        if fd in ready or not left_ms:
            return ready.get(fd, 0)


def _answered(
    settings: Settings, signal: str, outcome: Outcome, answer: Answer | None, took_ms: float, quoting: Quoting
) -> Answered:
    is_page = answer is not None and answer.headers.get(b"content-type", b"").lower().startswith(b"text/html")
    is_well = outcome.verdict is Verdict.DONE and not outcome.rejected and not (is_page and _is_otlp(settings))
    said, what_next = (f"answered {answer.status}" if answer else "no answer"), ""
    if is_well:
        said = said if answer else "written"
    elif outcome.verdict is Verdict.DONE and outcome.rejected:
        said = f"{said}, and rejected the {RECORDS[signal]}"
    elif outcome.verdict is Verdict.DONE:
        # The extension would take it for an acknowledgement, as any client of OTLP.
        said, what_next = f"{said} with a page of HTML", PAGE
    elif outcome.verdict is Verdict.UNSUPPORTED and not _is_asked_for(settings, signal):
        is_well = True
        said = f"{said}: {signal} are not known there, and would be switched off"
    else:
        # A status is said already.
        why = "" if answer else f": {outcome.reason}" + (f" ({outcome.detail})" if outcome.detail else "")
        moved_to = quoting.quoted(answer.headers.get(b"location", b"")) if answer else ""
        said = f"{said}{why}" + (f", moved to {moved_to}" if moved_to else "")
        what_next = hint(outcome, answer, is_otlp=_is_otlp(settings))
    encoding = answer.headers.get(b"content-encoding", b"").strip().lower() if answer else b""
    body = quoting.quoted(answer.body, encoding) if answer else ""
    return Answered(signal=signal, is_well=is_well, said=said, took_ms=took_ms, body=body, hint=what_next)
