"""OTLP, JSON over HTTP: a request for each signal, and what its answer means.

Source: OpenTelemetry protocol 1.x, "OTLP/HTTP" and "JSON Protobuf Encoding".
"""

import functools
from collections.abc import Callable, Sequence
from itertools import groupby

import msgspec

from shipper.delivery.interfaces import NO_LIMITS, Request
from shipper.delivery.outcome import DONE, UNKNOWN_PATH, Outcome, Verdict
from shipper.destinations.http import Post
from shipper.destinations.otlp.json_values import any_value, key_value
from shipper.destinations.otlp.logs import LogRecords, Scoped
from shipper.model.context import Meters
from shipper.model.resource import VERSION
from shipper.model.signals import LOGS, METRICS, TRACES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.model.span import Span
    from shipper.transport.response import Answer

__all__ = ["CONTENT_TYPE", "PATHS", "LogRecords", "Otlp", "rejected_in"]

PATHS = {LOGS: "/v1/logs", TRACES: "/v1/traces", METRICS: "/v1/metrics"}
CONTENT_TYPE = "application/json"

# By signal: what the request, its scopes and its records are called.
_NAMES = {
    LOGS: (b"resourceLogs", b"scopeLogs", b"logRecords"),
    TRACES: (b"resourceSpans", b"scopeSpans", b"spans"),
    METRICS: (b"resourceMetrics", b"scopeMetrics", b"metrics"),
}

# Names of loggers remembered.
_MOST_SCOPES = 256

_to_json = msgspec.json.Encoder().encode


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


class OtlpEndpoint:
    """Where one signal goes.

    Args:
        otlp: The receiver.
        signal: Which one.
        post: Takes requests to its address.
    """

    limits = NO_LIMITS

    def __init__(self, otlp: "Otlp", signal: str, post: Post) -> None:
        self.label = post.label
        self._otlp = otlp
        self._signal = signal
        self._post = post

    def build(self, items: Sequence[bytes], key: str = "") -> Request:
        """An Export…ServiceRequest."""
        del key
        return self._otlp.build(self._signal, items)

    def send(self, request: Request) -> Outcome:
        """Makes one request and reads what of it was rejected."""
        return self._otlp.read(self._signal, *self._post.send(request.body))

    def begin(self, request: Request, within_s: float) -> Callable[[], Outcome] | None:
        """Sends a request ahead."""
        answered = self._post.begin(request.body, within_s)
        return None if answered is None else lambda: self._otlp.read(self._signal, *answered())


class Otlp:
    """A receiver of OTLP.

    Args:
        posts: Take requests, by signal, to its address.
        resource: Attributes of the resource.
    """

    def __init__(self, posts: dict[str, Post], resource: dict[str, str | int]) -> None:
        self.label = next(iter(posts.values())).label
        self.encoder = LogRecords()
        self.untaken: set[str] = set()
        self._posts = posts
        self.endpoints = {signal: OtlpEndpoint(self, signal, post) for signal, post in posts.items()}
        self._taken: set[str] = set()
        pairs = b",".join([key_value(name, any_value(_to_json(value))) for name, value in resource.items()])
        self._heads = {
            signal: b'{"%b":[{"resource":{"attributes":[%b]},"%b":[' % (outer, pairs, inner)
            for signal, (outer, inner, _) in _NAMES.items()
        }
        self._scopes: dict[tuple[str, str], bytes] = {}

    @property
    def shapes(self) -> "Otlp":
        """It takes every signal."""
        return self

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

    def build(self, signal: str, records: Sequence[bytes]) -> Request:
        """An Export…ServiceRequest."""
        post, head = self._posts[signal], self._heads[signal]
        if Scoped not in set(map(type, records)):
            return post.request(head + self._scope(signal, ""), records, b",", b"]}]}]}")
        # Nothing is joined before it is compressed: only the first and the last record of a scope are written anew.
        pieces: list[bytes] = []
        for scope, group in groupby(records, _scope_of):
            first = len(pieces)
            pieces += group
            pieces[first] = self._scope(signal, scope) + pieces[first]
            pieces[-1] += b"]}"
        return post.request(head, pieces, b",", b"]}]}")

    def read(self, signal: str, outcome: Outcome, answer: "Answer | None") -> Outcome:
        """What became of a request of a signal, by its answer."""
        if outcome.verdict is Verdict.DONE:
            self._taken.add(signal)
        elif outcome.reason in UNKNOWN_PATH and self._is_unknown(signal):
            self.untaken.add(signal)
            return Outcome(verdict=Verdict.UNSUPPORTED, reason=outcome.reason)
        if outcome.verdict is not Verdict.DONE or answer is None:
            return outcome
        rejected = rejected_in(answer.body)
        return Outcome(verdict=Verdict.DONE, rejected=rejected) if rejected else DONE

    def _is_unknown(self, signal: str) -> bool:
        """Whether an address that is not there means that the signal is not known: others are. Logs once taken are."""
        return bool(self._taken - {signal}) and (signal != LOGS or LOGS not in self._taken)

    def close(self) -> None:
        """Hangs up."""
        for post in self._posts.values():
            post.close()

    def _scope(self, signal: str, name: str) -> bytes:
        """How the records of a scope begin."""
        head = self._scopes.get((signal, name))
        if head is None:
            records = _NAMES[signal][2]
            version = b'"version":"%b"' % VERSION.encode()
            scope = b'{"name":%b}' % _to_json(name) if name else b'{"name":"tailrace",%b}' % version
            head = b'{"scope":%b,"%b":[' % (scope, records)
            if len(self._scopes) < _MOST_SCOPES:
                self._scopes[signal, name] = head
        return head


def _scope_of(record: bytes) -> str:
    return record.scope if type(record) is Scoped else ""


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
