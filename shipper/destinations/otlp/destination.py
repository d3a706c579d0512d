"""OTLP, JSON over HTTP: a request for each signal, and what its answer means.

Here is the precedence among the variables that may say the same thing: TAILRACE's own over OpenTelemetry's for one
signal over OpenTelemetry's for all.

Source: OpenTelemetry protocol 1.x, "OTLP/HTTP" and "JSON Protobuf Encoding".
"""

import functools
from collections.abc import Callable, Collection, Sequence
from itertools import groupby

import msgspec

from lifecycle.contract.log import Log
from lifecycle.contract.settings import DEFAULT_OTLP_ENDPOINT, Settings
from shipper.delivery.interfaces import Request
from shipper.delivery.outcome import DONE, Outcome, Verdict
from shipper.destinations.destination import Destination, Endpoint
from shipper.destinations.http import DEFAULT_TIMEOUT_MS, Bodies, Listener, Place, Senders, outcome_of
from shipper.destinations.otlp.json_values import any_value, key_value
from shipper.destinations.otlp.logs import LogRecords, Scoped
from shipper.model.context import Meters
from shipper.model.resource import VERSION, attributes
from shipper.model.signals import LOGS, METRICS, TRACES
from shipper.transport import address
from shipper.transport.request import merged
from shipper.transport.response import Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.model.span import Span
    from shipper.transport.interfaces import Timing

PATHS = {LOGS: "/v1/logs", TRACES: "/v1/traces", METRICS: "/v1/metrics"}
CONTENT_TYPE = "application/json"

# By signal: what the request, its scopes and its records are called.
_NAMES = {
    LOGS: (b"resourceLogs", b"scopeLogs", b"logRecords"),
    TRACES: (b"resourceSpans", b"scopeSpans", b"spans"),
    METRICS: (b"resourceMetrics", b"scopeMetrics", b"metrics"),
}

# A server that answers so at one signal's address, and takes another's, does not know this signal.
_UNKNOWN_PATH = ("status_404", "status_405", "status_501")

# Names of loggers remembered.
_MOST_SCOPES = 256

_to_json = msgspec.json.Encoder().encode


def made(settings: Settings, timing: "Timing", log: Log, heard: Listener | None = None) -> Destination:
    """The receiver that OTLP's variables, or an address like otlp+https://…, name; see `registry.chosen`."""
    senders = Senders(settings, timing, log, heard)
    resource = attributes(settings)
    endpoints = {}
    for signal in settings.exported_signals() or (LOGS,):
        place = place_of(settings, signal)
        sender = senders.sender(place, outcome_of_export)
        endpoints[signal] = Endpoint(Exports(signal, resource, place), sender)
    return Destination(LogRecords(), endpoints, Shapes(), lambda: _load(endpoints))


def _load(signals: Collection[str]) -> None:
    if TRACES in signals:
        from shipper.destinations.otlp import spans  # noqa: F401
    if METRICS in signals:
        from shipper.destinations.otlp import metrics  # noqa: F401


def place_of(settings: Settings, signal: str) -> Place:
    """Where OTLP of a signal goes, and how."""
    own = _Own(settings, signal)
    return Place(
        address=_address(settings, own.endpoint, PATHS[signal]),
        headers=merged(settings.otlp_headers, own.headers, settings.headers),
        is_compressed=(settings.compression or own.compression or settings.otlp_compression or "gzip") == "gzip",
        timeout_s=(settings.request_timeout_ms or own.timeout_ms or settings.otlp_timeout_ms or DEFAULT_TIMEOUT_MS)
        / 1000,
    )


class _Own:
    """OpenTelemetry's variables for one signal."""

    def __init__(self, settings: Settings, signal: str) -> None:
        values = settings.values
        self.endpoint: str = values[f"otlp_{signal}_endpoint"]
        self.headers: tuple[tuple[str, str], ...] = values[f"otlp_{signal}_headers"]
        self.compression: str = values[f"otlp_{signal}_compression"]
        self.timeout_ms: int = values[f"otlp_{signal}_timeout_ms"]


def _address(settings: Settings, own: str, path: str) -> address.Address:
    """The address of a signal (OTLP exporter specification, "Endpoint URLs for OTLP/HTTP").

    A base that is given as the address of one signal is the base of all.
    """
    _, plus, url = settings.destination.partition("+")
    if own and not plus:
        return address.parse(own)
    base = url if plus else settings.otlp_endpoint or DEFAULT_OTLP_ENDPOINT
    return address.parse(base, suffix=path, instead_of=tuple(PATHS.values()))


class Shapes:
    """Writes spans and metrics.

    Attributes:
        untaken: Signals that the receiver turned out not to know.
    """

    def __init__(self) -> None:
        self.untaken: set[str] = set()

    def span(self, span: "Span") -> bytes:
        """A span as a record."""
        return self._encode_span(span)

    @functools.cached_property
    def _encode_span(self) -> Callable[["Span"], bytes]:
        """Loaded with the first span."""
        from shipper.destinations.otlp.spans import encoded

        return encoded

    def metrics(self, meters: Meters, ledger: dict[str, int], *, is_cumulative: bool) -> list[bytes]:
        """What was measured as records."""
        from shipper.destinations.otlp.metrics import encoded
        from shipper.model.metrics import export_of

        return encoded(export_of(meters, ledger, is_cumulative=is_cumulative))


class Exports:
    """Makes an Export…ServiceRequest of the records of one signal.

    Args:
        signal: Which one.
        resource: Attributes of the resource.
        place: Where requests go.
    """

    def __init__(self, signal: str, resource: dict[str, str | int], place: Place) -> None:
        outer, inner, self._records = _NAMES[signal]
        pairs = b",".join([key_value(name, any_value(_to_json(value))) for name, value in resource.items()])
        self._head = b'{"%b":[{"resource":{"attributes":[%b]},"%b":[' % (outer, pairs, inner)
        self._bodies = Bodies(place, CONTENT_TYPE)
        self._scopes: dict[str, bytes] = {}

    def __call__(self, items: Sequence[bytes], key: str = "") -> Request:
        """A request for some records, which stand in their scopes."""
        del key
        if Scoped not in set(map(type, items)):
            return self._bodies.enclosing(self._head + self._scope(""), items, b",", b"]}]}]}")
        # Nothing is joined before it is compressed: only the first and the last record of a scope are written anew.
        pieces: list[bytes] = []
        for scope, group in groupby(items, _scope_of):
            first = len(pieces)
            pieces += group
            pieces[first] = self._scope(scope) + pieces[first]
            pieces[-1] += b"]}"
        return self._bodies.enclosing(self._head, pieces, b",", b"]}]}")

    def _scope(self, name: str) -> bytes:
        """How the records of a scope begin."""
        head = self._scopes.get(name)
        if head is None:
            version = b'"version":"%b"' % VERSION.encode()
            scope = b'{"name":%b}' % _to_json(name) if name else b'{"name":"tailrace",%b}' % version
            head = b'{"scope":%b,"%b":[' % (scope, self._records)
            if len(self._scopes) < _MOST_SCOPES:
                self._scopes[name] = head
        return head


def _scope_of(record: bytes) -> str:
    return record.scope if type(record) is Scoped else ""


def outcome_of_export(request: Request, response: Response) -> Outcome:
    """What an answer means: a success may have rejected records, a 404 mean that the signal is not known."""
    del request
    outcome = outcome_of(response)
    if outcome.reason in _UNKNOWN_PATH:
        return Outcome(verdict=Verdict.UNSUPPORTED, reason=outcome.reason)
    if outcome.verdict is not Verdict.DONE:
        return outcome
    rejected = rejected_in(response.body)
    return Outcome(verdict=Verdict.DONE, rejected=rejected) if rejected else DONE


class PartialSuccess(msgspec.Struct):
    """What of a request was not taken."""

    # The protocol's names; int64 is a string in protobuf's JSON.
    rejectedLogRecords: int | str = 0  # noqa: N815
    rejectedSpans: int | str = 0  # noqa: N815
    rejectedDataPoints: int | str = 0  # noqa: N815


class ExportResponse(msgspec.Struct):
    """What every export is answered with."""

    partialSuccess: PartialSuccess | None = None  # noqa: N815 - the protocol's name


_responses = msgspec.json.Decoder(ExportResponse)


def rejected_in(body: bytes) -> int:
    """How many records an answer says were rejected; a body that is not such an answer says nothing."""
    try:
        partial = _responses.decode(body).partialSuccess
        if partial is None:
            return 0
        counts = (partial.rejectedLogRecords, partial.rejectedSpans, partial.rejectedDataPoints)
        return max(0, *(int(count) for count in counts))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return 0
