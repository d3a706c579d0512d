"""OTLP in protobuf: records, and the requests around them.

Source: opentelemetry/proto/collector/{logs,trace,metrics}/v1, whose messages have the same numbers for all signals.
"""

from collections.abc import Callable, Mapping, Sequence

from lifecycle.contract.quick import cached_property
from shipper.destinations.otlp.protobuf_logs import LogRecords
from shipper.destinations.otlp.protobuf_values import attribute, field, text_field, varint
from shipper.destinations.otlp.values import Passed, Scoped, by_scope
from shipper.model.resource import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.model.log_record import Encoder
    from shipper.model.metrics import Export
    from shipper.model.span import Span

# Our own scope.
_OURS = field(b"\x0a", text_field(b"\x0a", "tailrace") + text_field(b"\x12", VERSION))


class ProtobufEncoding:
    """See `encodings.Encoding`."""

    content_type = "application/x-protobuf"
    mark = 0x12

    def __init__(self, resource: Mapping[str, str | int]) -> None:
        self.logs: Encoder = LogRecords()
        pairs = b"".join([attribute(b"\x0a", name, value) for name, value in resource.items()])
        self._resource = field(b"\x0a", pairs)

    @cached_property
    def span(self) -> Callable[["Span"], bytes]:
        """Loaded with the first span."""
        from shipper.destinations.otlp.protobuf_spans import encoded

        return encoded

    @cached_property
    def metrics(self) -> Callable[["Export"], list[bytes]]:
        """Loaded with the first metrics."""
        from shipper.destinations.otlp.protobuf_metrics import encoded

        return encoded

    def request(self, signal: str, items: Sequence[bytes]) -> tuple[bytes, Sequence[bytes], bytes, bytes]:
        """See `encodings.Encoding`."""
        types = set(map(type, items))
        if Passed in types:
            # Requests of the same type, one after another, are one request.
            own = [item for item in items if type(item) is not Passed]
            passed = [item for item in items if type(item) is Passed]
            head, written, _, _ = self.request(signal, own) if own else (b"", own, b"", b"")
            return head, [*written, *passed], b"", b""
        if not any(issubclass(kind, Scoped) for kind in types):
            size = sum(map(len, items))
            start = _scope("", size)
            return self._head(len(start) + size) + start, items, b"", b""
        pieces: list[bytes] = []
        for scope, group in by_scope(items):
            first = len(pieces)
            pieces += group
            pieces[first] = _scope(scope, sum(map(len, pieces[first:]))) + pieces[first]
        return self._head(sum(map(len, pieces))), pieces, b"", b""

    def _head(self, size: int) -> bytes:
        """How a request begins, whose scopes are so many bytes."""
        return b"\x0a%b%b" % (varint(len(self._resource) + size), self._resource)


def _scope(name: str, size: int) -> bytes:
    """How a scope begins, whose items are so many bytes."""
    scope = field(b"\x0a", text_field(b"\x0a", name)) if name else _OURS
    return b"\x12%b%b" % (varint(len(scope) + size), scope)
