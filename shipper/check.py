"""Where telemetry would go, and whether that takes it: what a person may ask of the shipper.

Makes the very destination that the extension would make, and one request of one record for each signal, which says what
it is, so that nobody takes it for a function's. Never loaded by the extension.
"""

import math
import os
import select
import time
from collections.abc import Iterator

import msgspec

from lifecycle.contract.frames import DIGEST_BYTES, Frame
from lifecycle.contract.log import Log
from lifecycle.contract.setting_types import FIRST_ROUTE
from lifecycle.contract.settings import Settings
from shipper.delivery.outcome import Outcome, Verdict
from shipper.destinations.destination import Destination, Endpoint
from shipper.destinations.registry import create, kind_of
from shipper.model.context import NOTHING, Meters
from shipper.model.events import Event
from shipper.model.metrics import export_of
from shipper.model.resource import service_name
from shipper.model.semconv import SERVICE_NAME
from shipper.model.signals import LOGS, METRICS, SIGNALS, TRACES
from shipper.model.span import Span
from shipper.model.trace_ids import SPAN_DIGITS, TRACE_DIGITS
from shipper.parse.log_parser import LogParser
from shipper.transport.quoting import HIDDEN, Quoting
from shipper.transport.response import Response

RECORDS = {LOGS: "log record", TRACES: "span", METRICS: "metric"}

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.destinations.http import Place

PAGE = (
    "Nothing that takes telemetry answers so: is that the address of a site, or of a gate that wants people to log in?"
)

_SUCCESS = range(200, 300)

TEXT = "A test record from Tailrace: lifecycle.check --send"
SPAN_NAME = "tailrace.check"
# The metric is that of the extension's own requests, of which this is one.
LEDGER = {"requests": 1}

_NS_PER_S = 1_000_000_000

# Of refusals, those that may be about the form of the request.
_ABOUT_FORM = ("status_400", "status_415")

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
        advice: What to look at; "" if nothing comes to mind.
    """

    signal: str
    is_well: bool
    said: str
    took_ms: float
    body: str = ""
    advice: str = ""


def route(settings: Settings) -> Route:
    """Where telemetry would go."""
    lines: list[bytes] = []
    quoting = Quoting(settings.secrets())
    destination = create(settings, _Unhurried(), Log("check", "warning", settings.secrets(), lines.append))
    destination.warm()  # files that cannot be used are found then
    _ask(destination)
    destination.close()
    endpoints = destination.endpoints
    labels = {signal: quoting.blanked(endpoint.label) for signal, endpoint in endpoints.items()}
    details = {SERVICE_NAME: service_name(settings)}
    places = {signal: endpoint.place for signal, endpoint in endpoints.items() if endpoint.place is not None}
    if places:
        details = {
            "encoding": _each({signal: _forms(settings, endpoint) for signal, endpoint in endpoints.items()}),
            "compression": _each({signal: "gzip" if at.is_compressed else "none" for signal, at in places.items()}),
            "timeout": _each({signal: f"{at.timeout_s:g} s a request" for signal, at in places.items()}),
            "headers": _each({signal: _names(at.headers) for signal, at in places.items()}),
            **({"secrets": _secrets(destination)} if destination.secrets else {}),
            **details,
        }
    return Route(labels, details, [_in_words(line) for line in lines])


def send(settings: Settings) -> Iterator[Answered]:
    """Delivers one record of each signal, once; tells of each as soon as its answer is there."""
    responses: list[Response] = []
    log = Log("check", "error", settings.secrets(), lambda _line: None)
    destination = create(settings, _Unhurried(), log, responses.append)
    _ask(destination)
    # What references stand for is blanked as well, now that it is known.
    quoting = Quoting((*settings.secrets(), *log.secrets))
    is_cumulative = settings.metrics_temporality == "cumulative"
    try:
        for signal in SIGNALS:
            endpoint = destination.endpoints.get(signal)
            if endpoint is None:
                continue
            forms = endpoint.forms()
            answers: dict[str, Answered] = {}
            for form, alone in forms.items():
                responses.clear()
                text = f"{TEXT}, {form}" if len(forms) > 1 else TEXT
                request = alone.build(record_of(destination, signal, text, is_cumulative=is_cumulative))
                started = time.monotonic()
                outcome = alone.send(request)
                took_ms = (time.monotonic() - started) * 1000
                response = responses[-1] if responses else None
                asked_as = Asked(settings, signal, form, has_others=len(forms) > 1, place=alone.place)
                answers[form] = _answered(asked_as, outcome, response, took_ms, quoting)
                # What is refused for another reason than its form is refused in every one.
                if outcome.verdict is not Verdict.DONE and outcome.reason not in _ABOUT_FORM:
                    break
            yield from _alike(answers)
    finally:
        destination.close()


def _ask(destination: Destination) -> None:
    """Asks for secrets and credentials, which the extension does between shipments."""
    for one in destination.secrets:
        if one.due_in_s() <= 0:
            one.refresh()


def _secrets(destination: Destination) -> str:
    return "known" if all(one.is_known for one in destination.secrets) else "not known: nothing could be sent"


def _alike(answers: dict[str, Answered]) -> Iterator[Answered]:
    """What was answered to one record in several forms: one that is taken is enough, the extension finds it out."""
    is_well = any(answered.is_well for answered in answers.values())
    for form, answered in answers.items():
        said = f"{answered.said} to {form}" if len(answers) > 1 else answered.said
        yield msgspec.structs.replace(answered, said=said, is_well=is_well)


def _is_asked_for(settings: Settings, signal: str) -> bool:
    """Whether a setting names the signal, so that it is missed where it is not taken."""
    own = {LOGS: True, TRACES: settings.otlp_traces_endpoint, METRICS: settings.otlp_metrics_endpoint}
    return signal in settings.signals or bool(own[signal])


def _each(found: dict[str, str]) -> str:
    """What is found of every signal: once, where they are alike."""
    texts = list(found.values())
    if len(set(texts)) == 1:
        return texts[0]
    return "; ".join(f"{signal}: {text}" for signal, text in found.items())


def _forms(settings: Settings, endpoint: Endpoint) -> str:
    forms = [name for name in endpoint.forms() if name]
    return f"{kind_of(settings).takes}, {', or else '.join(forms)}" if forms else kind_of(settings).takes


def _names(fields: dict[str, str]) -> str:
    return ", ".join(f"{name}: {HIDDEN}" for name in fields) or "none beside the usual"


def _in_words(line: bytes) -> str:
    """A line of the log as a person reads it: the event and its own fields."""
    fields = msgspec.json.decode(line)
    own = [f"{name} {value}" for name, value in fields.items() if name not in _OF_EVERY_LINE]
    return f"{fields['event']}: {', '.join(own)}."


class _Unhurried:
    """The timing of a program that a person waits for."""

    is_final = False

    def time_left_s(self) -> float:
        """As long as a request may take."""
        return math.inf

    def wait(self, fd: int, events: int, until: float) -> int:
        """Waits for a descriptor, or for time alone."""
        poll = select.poll()
        if fd >= 0:
            poll.register(fd, events)
        while True:
            left_ms = max(0, int((until - time.monotonic()) * 1000 + 0.999))
            ready = dict(poll.poll(left_ms))
            if fd in ready or not left_ms:
                return ready.get(fd, 0)


class Asked:
    """What was sent, and how.

    Args:
        settings: Of the route.
        signal: Whose record it was.
        form: In which it was written; "" where there is one only.
        has_others: Whether it is sent in the others, too.
        place: Where to, if that is behind HTTP.
    """

    def __init__(self, settings: Settings, signal: str, form: str, *, has_others: bool, place: "Place | None") -> None:
        self.settings = settings
        self.signal = signal
        self.kind = kind_of(settings)
        self.form = form
        self.has_others = has_others
        self.is_compressed = place is not None and place.is_compressed

    @property
    def compression(self) -> str:
        """The variable by which the route's requests are not compressed."""
        own = f"OTEL_EXPORTER_OTLP_{self.signal.upper()}_COMPRESSION"
        if self.settings.values.get(f"otlp_{self.signal}_compression") and not self.settings.compression:
            return own
        is_otlp = self.kind.paths and self.settings.route == FIRST_ROUTE and not self.settings.compression
        suffix = "" if self.settings.route == FIRST_ROUTE else f"_{self.settings.route.upper()}"
        return "OTEL_EXPORTER_OTLP_COMPRESSION" if is_otlp else f"TAILRACE_COMPRESSION{suffix}"


def _answered(asked: Asked, outcome: Outcome, answer: Response | None, took_ms: float, quoting: Quoting) -> Answered:
    settings, signal = asked.settings, asked.signal
    outcome = next(iter(outcome.items.values()), outcome)  # there is one record
    is_well = outcome.verdict is Verdict.DONE and not outcome.rejected
    encoding = answer.headers.get(b"content-encoding", b"").strip().lower() if answer else b""
    body = outcome.said or (quoting.quoted(answer.body, encoding) if answer else "")
    said, what_next = (f"answered {answer.status}" if answer else "no answer"), ""
    if is_well:
        said = said if answer else "written"
    elif outcome.verdict is Verdict.DONE and outcome.rejected:
        said, what_next = f"{said}, and rejected the {RECORDS[signal]}", _of_temporality(asked, body)
    elif outcome.reason == "page":
        said, what_next = f"{said} with a page of HTML", PAGE
    elif outcome.verdict is Verdict.UNSUPPORTED and not _is_asked_for(settings, signal):
        is_well = True
        said = f"{said}: {signal} are not known there, and would be switched off"
    else:
        # A status is said already, unless it is that of a success.
        is_status = answer is not None and answer.status not in _SUCCESS
        why = "" if is_status else f": {outcome.reason}" + (f" ({outcome.detail})" if outcome.detail else "")
        moved_to = quoting.quoted(answer.headers.get(b"location", b"")) if answer else ""
        said = f"{said}{why}" + (f", moved to {moved_to}" if moved_to else "")
        what_next = _of_temporality(asked, body) or advice(outcome, answer, asked)
    return Answered(signal=signal, is_well=is_well, said=said, took_ms=took_ms, body=body, advice=what_next)


def record_of(destination: Destination, signal: str, text: str, *, is_cumulative: bool) -> list[bytes]:
    """The test record of a signal, as the destination's requests have it.

    Args:
        destination: Writes it.
        signal: One that the destination takes.
        text: What it says, if it is no metric.
        is_cumulative: What a metric counts from.
    """
    now_ns = time.time_ns()
    if signal == LOGS or destination.shapes is None:
        return [_line(destination, text, now_ns)]
    if signal == TRACES:
        return [destination.shapes.span(_span(text, now_ns))]
    meters = Meters(since_ns=now_ns - _NS_PER_S, until_ns=now_ns)
    return destination.shapes.metrics(export_of(meters, LEDGER, is_cumulative=is_cumulative))


def _line(destination: Destination, text: str, now_ns: int) -> bytes:
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now_ns // _NS_PER_S))
    event = Event(f"{moment}.000Z", "function", msgspec.Raw(msgspec.json.encode(text)))
    payload = memoryview(msgspec.json.encode([event]))
    parser = LogParser()
    parser.begin(Frame(0, len(payload), 1, now_ns, os.urandom(DIGEST_BYTES), payload))
    return destination.encoder.log(parser.record(event, 0, NOTHING))


def _span(text: str, now_ns: int) -> Span:
    return Span(
        name=SPAN_NAME,
        trace_id=os.urandom(TRACE_DIGITS // 2).hex(),
        span_id=os.urandom(SPAN_DIGITS // 2).hex(),
        start_ns=now_ns - _NS_PER_S,
        end_ns=now_ns,
        attributes={"tailrace.test": text},
    )


# By the first digits of the status: the longest that is known counts.
_ANSWERED = {
    "3": "It has moved: name the place it moved to.",
    "400": "It was understood and refused: is the address one for {takes}, and does it want other headers?{gzip}",
    "401": "The key is missing or wrong: are the headers the ones it wants, and is the key whole?",
    "403": "The key may not send here: is it one for ingestion, of this account and this region? A firewall before the "
    "backend answers so, too.",
    "404": "There is nothing at that path.{paths}",
    "405": "Nothing there takes POST: is the path right?{paths}",
    "413": "Even one record is too large for it: is the address one for {takes}?",
    "415": "It does not take this encoding{other}: is the address one for {takes}?{gzip}",
    "429": "It takes no more for now: is a quota used up?",
    "5": "That is the backend's own trouble, or that of a proxy before it: try again.",
}

_NO_HTTP = "What listens there does not speak HTTP: OTLP over HTTP is usually at port 4318, and gRPC at 4317."

_BY_REASON = {
    "page": PAGE,
    "no_bulk_answer": PAGE,
    "early_answer": "It answered before it had read the request: is there a gate before it?",
    "resolve": "No address is known for that host: is its name right, and can it be reached from here?",
    "connect": "Nothing accepts connections there: are host and port right, and is the way there open?",
    "timeout": "No answer in time: is a firewall or a missing route in the way?",
    "certificate": "The server's certificate is not trusted here: is the host's name right? SSL_CERT_FILE may name a "
    "private authority's certificate.",
    "tls": "That is not TLS, or not a version of it that is taken here: should the address begin with http:// rather "
    "than https://?",
    "proxy": "The proxy does not let it through: is HTTPS_PROXY right, user and password included?",
    "secret": "The secret that it needs could not be read, so nothing was sent: why is said above.",
    "broken_answer": _NO_HTTP,
    "closed": f"It hung up. {_NO_HTTP} A server that wants TLS needs https://.",
    "reset": f"It hung up. {_NO_HTTP} A server that wants TLS needs https://.",
    "file_eacces": "That file may not be written by this user.",
    "file_erofs": "That file lies where nothing can be written; on Lambda /tmp alone can.",
}


# It may be a server of TLS that is spoken to without, or the other way round.
_SILENT = "It took the connection and then said nothing: are the port and http:// or https:// the right ones?"


# What a backend says that does not count as we do.
_TEMPORALITY = ("temporality", "cumulative", "delta")
_OTHER_TEMPORALITY = {"delta": "cumulative", "cumulative": "delta", "lowmemory": "cumulative"}


def _of_temporality(asked: Asked, body: str) -> str:
    """What to set where a metric is refused for what it counts from; "" if it is not."""
    if asked.signal != METRICS or not any(word in body.lower() for word in _TEMPORALITY):
        return ""
    now = asked.settings.metrics_temporality
    return (
        f"It says something of temporality, which is {now}: "
        f"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE={_OTHER_TEMPORALITY[now]} is the other one."
    )


def advice(outcome: Outcome, answer: Response | None, asked: Asked) -> str:
    """What to look at; "" if nothing comes to mind."""
    if outcome.reason == "timeout" and outcome.detail.startswith("waiting for the answer"):
        return _SILENT
    if answer is None or outcome.reason in _BY_REASON:
        return _BY_REASON.get(outcome.reason, "")
    # A success that refuses the record says so in its own way.
    status = str(answer.status) if answer.status not in _SUCCESS else "400"
    text = _ANSWERED.get(status) or _ANSWERED.get(status[:1], "")
    kind = asked.kind
    gzip = f" If it cannot read gzip, {asked.compression}=none sends without." if asked.is_compressed else ""
    other = _OTHER_FORM.get(asked.form, "") if not asked.has_others else ""
    return text.format(
        takes=kind.takes,
        paths=f" {kind.paths}" if kind.paths else "",
        gzip=gzip,
        other=f", {asked.form}; {_variable(asked)}={other} is the other one" if other else "",
    )


_OTHER_FORM = {"http/protobuf": "http/json", "http/json": "http/protobuf"}


def _variable(asked: Asked) -> str:
    """The variable that says how the signal is written."""
    own = f"otlp_{asked.signal}_protocol"
    return f"OTEL_EXPORTER_{own.upper()}" if asked.settings.values[own] else "OTEL_EXPORTER_OTLP_PROTOCOL"
