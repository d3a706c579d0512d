"""OTLP over HTTP: where each signal goes, how its requests are written, and what its answers mean.

Here is the precedence among the variables that may say the same thing: TAILRACE's own over OpenTelemetry's for one
signal over OpenTelemetry's for all.

Source: OpenTelemetry protocol 1.x, "OTLP/HTTP"; OTLP exporter specification.
"""

from collections.abc import Callable, Mapping

import msgspec

from lifecycle.contract.log import Log
from lifecycle.contract.quick import cached_property
from lifecycle.contract.schemes import JSON, PROTOBUF, otlp_endpoint
from lifecycle.contract.setting_types import GRPC
from lifecycle.contract.settings import DEFAULT_OTLP_ENDPOINT, GRPC_PORT, HTTP_PORT, Settings
from shipper.delivery.interfaces import Request
from shipper.delivery.outcome import Outcome, Verdict
from shipper.destinations.destination import Destination
from shipper.destinations.http import DEFAULT_TIMEOUT_MS, OnResponse, Place, Senders, TlsFiles, outcome_of, user_for
from shipper.destinations.otlp.encodings import Encoding, Encodings, Form, Negotiation
from shipper.model.log_record import Encoder, LogRecord
from shipper.model.resource import attributes
from shipper.model.signals import LOGS, METRICS, TRACES
from shipper.transport import address
from shipper.transport.request import merged
from shipper.transport.response import Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.destinations.otlp.passing import Passing
    from shipper.model.metrics import Export
    from shipper.model.span import Span
    from shipper.transport.interfaces import Timing

PATHS = {LOGS: "/v1/logs", TRACES: "/v1/traces", METRICS: "/v1/metrics"}

# A server that answers so at one signal's address, and takes another's, does not know this signal.
_UNKNOWN_PATH = ("status_404", "status_405", "status_501")


def create(settings: Settings, timing: "Timing", log: Log, on_response: OnResponse | None = None) -> Destination:
    """The receiver that OTLP's variables, or an address like otlp+https://…, name; see `registry.create`."""
    senders = Senders(settings, timing, log, on_response)
    resource = attributes(settings)
    encodings = Encodings(resource)
    negotiations: dict[str, Negotiation] = {}

    def encoding_of(signal: str) -> Encoding:
        return negotiations[signal].encoding if signal in negotiations else encodings[PROTOBUF]

    for signal in settings.exported_signals() or (LOGS,):
        place = place_of(settings, signal)
        sender = senders.sender(place, outcome_of_export).of(signal)
        forms, variable = forms_of(settings, signal)
        negotiations[signal] = Negotiation(signal, forms, place, encodings, sender, log, variable=variable)
    logs = Logs(encoding_of)
    if LOGS in negotiations:
        negotiations[LOGS].changed = logs.refresh
    return Destination(logs, negotiations, Shapes(encoding_of, resource), lambda: _load(negotiations))


def _load(negotiations: Mapping[str, Negotiation]) -> None:
    if TRACES in negotiations:
        _ = negotiations[TRACES].encoding.span
    if METRICS in negotiations:
        _ = negotiations[METRICS].encoding.metrics


def forms_of(settings: Settings, signal: str) -> tuple[list[Form], str]:
    """How requests of a signal may be written, in the order in which they are tried, and the variable that says it."""
    own = _Own(settings, signal)
    is_said = settings.compression or own.compression or settings.otlp_compression
    compressions = (is_said == "gzip",) if is_said else (True, False)
    variable = f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL" if own.protocol else "OTEL_EXPORTER_OTLP_PROTOCOL"
    protocol = own.protocol or settings.otlp_protocol
    if protocol and protocol != GRPC:
        return [Form(protocol, compressions[0])], variable
    return [Form(one, is_compressed) for is_compressed in compressions for one in (PROTOBUF, JSON)], variable


def place_of(settings: Settings, signal: str) -> Place:
    """Where OTLP of a signal goes, and how."""
    own = _Own(settings, signal)
    found = _address(settings, own, PATHS[signal])
    return Place(
        address=found,
        user=user_for(settings, found),
        headers=merged(settings.otlp_headers, own.headers, settings.headers),
        is_compressed=(settings.compression or own.compression or settings.otlp_compression or "gzip") == "gzip",
        timeout_s=(settings.request_timeout_ms or own.timeout_ms or settings.otlp_timeout_ms or DEFAULT_TIMEOUT_MS)
        / 1000,
        tls_files=TlsFiles(
            authorities=_file(settings, signal, "certificate"),
            certificate=_file(settings, signal, "client_certificate"),
            key=_file(settings, signal, "client_key"),
        ),
    )


def _file(settings: Settings, signal: str, what: str) -> tuple[str, str]:
    """A file, after the variable that names it: the signal's own, else that of all."""
    for variable, attribute in ((f"{signal}_{what}", f"otlp_{signal}_{what}"), (what, f"otlp_{what}")):
        if settings.values[attribute]:
            return f"OTEL_EXPORTER_OTLP_{variable.upper()}", settings.values[attribute]
    return ("", "")


class _Own:
    """OpenTelemetry's variables for one signal."""

    def __init__(self, settings: Settings, signal: str) -> None:
        values = settings.values
        self.endpoint: str = values[f"otlp_{signal}_endpoint"]
        self.headers: tuple[tuple[str, str], ...] = values[f"otlp_{signal}_headers"]
        self.compression: str = values[f"otlp_{signal}_compression"]
        self.protocol: str = values[f"otlp_{signal}_protocol"]
        self.timeout_ms: int = values[f"otlp_{signal}_timeout_ms"]


def _address(settings: Settings, own: _Own, path: str) -> address.Address:
    """The address of a signal (OTLP exporter specification, "Endpoint URLs for OTLP/HTTP").

    A base that is given as the address of one signal is the base of all. What was meant for gRPC has no path, and a
    port at which HTTP is not spoken.
    """
    endpoint = otlp_endpoint(settings.destination)
    is_grpc = (own.protocol or settings.otlp_protocol) == GRPC and not endpoint
    if own.endpoint and not endpoint:
        found = address.parse(own.endpoint)
        if is_grpc and found.target == "/":
            found = address.parse(own.endpoint, suffix=path)
    else:
        base = endpoint or settings.otlp_endpoint or DEFAULT_OTLP_ENDPOINT
        found = address.parse(base, suffix=path, instead_of=tuple(PATHS.values()))
    return msgspec.structs.replace(found, port=HTTP_PORT) if is_grpc and found.port == GRPC_PORT else found


class Logs(Encoder):
    """Writes log records in the encoding that is taken now.

    Args:
        encoding_of: That of a signal.
    """

    def __init__(self, encoding_of: Callable[[str], Encoding]) -> None:
        self._encoding_of = encoding_of
        self.refresh()

    def refresh(self) -> None:
        """Takes note of another encoding."""
        logs = self._encoding_of(LOGS).logs
        self.text_line, self.several, self._log = logs.text_line, logs.several, logs.log

    def log(self, record: LogRecord) -> bytes:
        """One LogRecord."""
        return self._log(record)


class Shapes:
    """Writes spans and metrics in the encoding that is taken now.

    Args:
        encoding_of: That of a signal.
        resource: Attributes of the resource.

    Attributes:
        unsupported: Signals that the receiver turned out not to know.
    """

    def __init__(self, encoding_of: Callable[[str], Encoding], resource: Mapping[str, str | int]) -> None:
        self.unsupported: set[str] = set()
        self._encoding_of = encoding_of
        self._resource = resource

    @cached_property
    def passing(self) -> "Passing":
        """Loaded with the first request."""
        from shipper.destinations.otlp.passing import Passing

        return Passing(lambda signal: self._encoding_of(signal).mark == ord("{"), self._resource)

    def span(self, span: "Span") -> bytes:
        """A span as a record."""
        return self._encoding_of(TRACES).span(span)

    def metrics(self, export: "Export") -> list[bytes]:
        """What was measured as records."""
        return self._encoding_of(METRICS).metrics(export)


def outcome_of_export(request: Request, response: Response) -> Outcome:
    """What an answer means: a success may have rejected records, a 404 mean that the signal is not known."""
    del request
    outcome = outcome_of(response)
    is_success = outcome.verdict is Verdict.DONE
    if outcome.reason in _UNKNOWN_PATH:
        outcome = Outcome(verdict=Verdict.UNSUPPORTED, reason=outcome.reason)
    if not response.body:
        return outcome
    from shipper.destinations.otlp.answers import NOTHING, answer_of

    answer = answer_of(response.body, is_success=is_success)
    if answer == NOTHING:
        return outcome
    return msgspec.structs.replace(outcome, rejected=answer.rejected, said=answer.message)
