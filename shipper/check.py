"""Where telemetry would go, and whether that takes a record: what a person may ask of the shipper.

Makes the very destination that the extension would make, and one request of one record. Never loaded by it.
"""

import os
import select
import time

import msgspec

from lifecycle.frames import DIGEST_BYTES, Frame
from lifecycle.log import Log
from lifecycle.settings import Settings
from shipper.correlate import NOTHING
from shipper.destinations.base import Destination
from shipper.destinations.choose import chosen, timeout_s
from shipper.destinations.resource import service_name
from shipper.outcome import Outcome, Verdict
from shipper.telemetry import Event

TEXT = "A test record from Tailrace: lifecycle.check --send"

# The signal that the test record is of.
_LOGS = "logs"

_GZIP_MAGIC = b"\x1f\x8b"

_OF_EVERY_LINE = ("logger", "level", "event", "time", "pid")

# What a person can do about it, by the reason that the log would name.
_HINTS = {
    "resolve": "No address is known for that host: is its name right, and can it be reached from here?",
    "connect": "Nothing accepts connections there: are host and port right, and is the way there open?",
    "timeout": "No answer in time: is a firewall or a missing route in the way?",
    "certificate": "The server's certificate is not trusted here. SSL_CERT_FILE may name a private authority's.",
    "tls": "That is not TLS: should the address begin with http:// rather than https://?",
    "unauthorised": "The key is missing or wrong: see the headers above.",
    "status_404": "There is nothing at that path.",
    "status_405": "Nothing there takes POST: is the path right?",
    "status_400": "It is understood and refused: does that address take this encoding?",
    "status_415": "It does not take this encoding: does that address take OTLP as JSON?",
}


class Route(msgspec.Struct, frozen=True):
    """Where telemetry would go.

    Attributes:
        label: Scheme, host and path, or the file's name: nothing secret.
        details: By what they are called: encoding, compression, timeout, the names of headers, the service.
        warnings: What the shipper's log would warn of.
    """

    label: str
    details: dict[str, str]
    warnings: list[str]


class Answered(msgspec.Struct, frozen=True):
    """What became of the test record.

    Attributes:
        is_taken: The destination has it.
        said: In words: what was answered, or why there was no answer.
        hint: What to look at; "" if nothing comes to mind.
    """

    is_taken: bool
    said: str
    hint: str = ""


def route(settings: Settings) -> Route:
    """Where telemetry would go."""
    lines: list[bytes] = []
    destination = chosen(settings, _wait, Log("check", "warning", settings.secrets(), lines.append))
    try:
        details = {"service.name": service_name(settings)}
        if not destination.label.startswith(("file:", "stdout")):
            is_otlp = not settings.destination.startswith(("http:", "https:"))
            groups = (settings.otlp_headers, settings.otlp_logs_headers) if is_otlp else ()
            names = dict.fromkeys(name for group in (*groups, settings.headers) for name, _ in group)
            is_compressed = destination.prepare(_LOGS, [_record(destination)]).startswith(_GZIP_MAGIC)
            details = {
                "encoding": "OTLP logs as JSON" if is_otlp else "a JSON object a line",
                "compression": "gzip" if is_compressed else "none",
                "timeout": f"{timeout_s(settings):g} s a request",
                "headers": ", ".join(f"{name}: (hidden)" for name in names) or "none beside the usual",
                **details,
            }
        return Route(destination.label, details, [_in_words(line) for line in lines])
    finally:
        destination.close()


def send(settings: Settings) -> Answered:
    """Delivers one record, once."""
    lines: list[bytes] = []
    destination = chosen(settings, _wait, Log("check", "debug", settings.secrets(), lines.append))
    started = time.monotonic()
    try:
        body = destination.prepare(_LOGS, [_record(destination)])
        outcome = destination.send(_LOGS, body)
    finally:
        destination.close()
    return _answered(outcome, _status(lines), (time.monotonic() - started) * 1000)


def _in_words(line: bytes) -> str:
    """A line of the log as a person reads it: the event and its own fields."""
    fields = msgspec.json.decode(line)
    own = [f"{name} {value}" for name, value in fields.items() if name not in _OF_EVERY_LINE]
    return f"{fields['event']}: {', '.join(own)}."


def _wait(fd: int, events: int, until: float) -> int:
    """Waits for a descriptor, or for time alone, as the shipper's orders do."""
    poll = select.poll()
    if fd >= 0:
        poll.register(fd, events)
    while True:
        left_ms = max(0, int((until - time.monotonic()) * 1000 + 0.999))
        ready = dict(poll.poll(left_ms))
        if fd in ready or not left_ms:
            return ready.get(fd, 0)


def _record(destination: Destination) -> bytes:
    """The test record as the destination's requests have it."""
    now_ns = time.time_ns()
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now_ns // 1_000_000_000))
    event = Event(f"{moment}.000Z", "function", msgspec.Raw(msgspec.json.encode(TEXT)))
    payload = memoryview(msgspec.json.encode([event]))
    frame = Frame(0, len(payload), 1, now_ns, os.urandom(DIGEST_BYTES), payload)
    destination.encoder.begin(frame)
    return destination.encoder.encode(event, 0, NOTHING)


def _status(lines: list[bytes]) -> int:
    """The status that the log tells of; 0 if there was no answer."""
    for line in reversed(lines):
        fields = msgspec.json.decode(line)
        if fields["event"] == "shipper.answer_received":
            return int(fields["status"])
    return 0


def _answered(outcome: Outcome, status: int, took_ms: float) -> Answered:
    answer = f"answered {status} in {took_ms:.0f} ms" if status else "no answer"
    if outcome.verdict is Verdict.DONE and not outcome.rejected:
        return Answered(is_taken=True, said=answer if status else f"written in {took_ms:.0f} ms")
    if outcome.verdict is Verdict.DONE:
        return Answered(is_taken=False, said=f"{answer}, and rejected the record")
    detail = f" ({outcome.detail})" if outcome.detail else ""
    return Answered(is_taken=False, said=f"{answer}: {outcome.reason}{detail}", hint=_HINTS.get(outcome.reason, ""))
