"""OTLP in JSON: records, and the requests around them. Source: OTLP specification, "JSON Protobuf Encoding"."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from lifecycle.contract.quick import cached_property
from shipper.destinations.otlp.json_logs import LogRecords
from shipper.destinations.otlp.json_values import any_value, key_value
from shipper.destinations.otlp.values import Passed, Scoped, by_scope
from shipper.model.resource import VERSION
from shipper.model.signals import LOGS, METRICS, TRACES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.model.log_record import Encoder
    from shipper.model.metrics import Export
    from shipper.model.span import Span

# By signal: what the request, its scopes and its items are called.
_NAMES = {
    LOGS: (b"resourceLogs", b"scopeLogs", b"logRecords"),
    TRACES: (b"resourceSpans", b"scopeSpans", b"spans"),
    METRICS: (b"resourceMetrics", b"scopeMetrics", b"metrics"),
}

# Names of loggers remembered.
_MOST_SCOPES = 256

_to_json = msgspec.json.Encoder().encode


class JsonEncoding:
    """See `encodings.Encoding`."""

    content_type = "application/json"
    mark = ord("{")

    def __init__(self, resource: Mapping[str, str | int]) -> None:
        self.logs: Encoder = LogRecords()
        pairs = b",".join([key_value(name, any_value(_to_json(value))) for name, value in resource.items()])
        self._heads = {
            signal: b'{"%b":[{"resource":{"attributes":[%b]},"%b":[' % (outer, pairs, inner)
            for signal, (outer, inner, _) in _NAMES.items()
        }
        self._scopes: dict[tuple[str, str], bytes] = {}

    @cached_property
    def span(self) -> Callable[["Span"], bytes]:
        """Loaded with the first span."""
        from shipper.destinations.otlp.json_spans import encoded

        return encoded

    @cached_property
    def metrics(self) -> Callable[["Export"], list[bytes]]:
        """Loaded with the first metrics."""
        from shipper.destinations.otlp.json_metrics import encoded

        return encoded

    def request(self, signal: str, items: Sequence[bytes]) -> tuple[bytes, Sequence[bytes], bytes, bytes]:
        """See `encodings.Encoding`."""
        head = self._heads[signal]
        types = set(map(type, items))
        if Passed in types:
            return self._beside_passed(signal, items)
        if not any(issubclass(kind, Scoped) for kind in types):
            return head + self._scope(signal, ""), items, b",", b"]}]}]}"
        # Nothing is joined before it is compressed: only the first and the last item of a scope are written anew.
        pieces: list[bytes] = []
        for scope, group in by_scope(items):
            first = len(pieces)
            pieces += group
            pieces[first] = self._scope(signal, scope) + pieces[first]
            pieces[-1] += b"]}"
        return head, pieces, b",", b"]}]}"

    def _beside_passed(self, signal: str, items: Sequence[bytes]) -> tuple[bytes, Sequence[bytes], bytes, bytes]:
        """A request of resources that others wrote, and of our own, if there is any item of it."""
        start = b'{"%b":[' % _NAMES[signal][0]
        pieces: list[bytes] = [item for item in items if type(item) is Passed]
        own = [item for item in items if type(item) is not Passed]
        if own:
            head, written, separator, tail = self.request(signal, own)
            pieces.insert(0, b"".join((head[len(start) :], separator.join(written), tail[: -len(b"]}")])))
        return start, pieces, b",", b"]}"

    def _scope(self, signal: str, name: str) -> bytes:
        """How the items of a scope begin."""
        head = self._scopes.get((signal, name))
        if head is None:
            version = b'"version":"%b"' % VERSION.encode()
            scope = b'{"name":%b}' % _to_json(name) if name else b'{"name":"tailrace",%b}' % version
            head = b'{"scope":%b,"%b":[' % (scope, _NAMES[signal][2])
            if len(self._scopes) < _MOST_SCOPES:
                self._scopes[signal, name] = head
        return head
