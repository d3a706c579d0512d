"""A record's fields, as pairs of name and raw JSON value: what destinations that take JSON objects have in common.

A destination says how it names the fields that every record may have (`FieldNames`). What a line says beside those
keeps its own name, and gets `log.` before it where the name is taken: a line's `status` is no status of ours.
"""

import time
from collections.abc import Iterable

import msgspec

from lifecycle.contract.json_text import as_text, one_line
from lifecycle.contract.settings import Settings
from shipper.model import semconv
from shipper.model.log_record import EVENT_TYPE, LogRecord, Origin
from shipper.model.resource import attributes

Pairs = list[tuple[str, bytes]]

# Origins remembered, one for all lines of an invocation in a frame, and names.
_MOST_REMEMBERED = 512
_MOST_NAME_BYTES = 128

_NS_PER_S = 1_000_000_000

# Of a resource, what is the same for everybody, or there twice.
_NOISE = (
    semconv.CLOUD_PLATFORM,
    semconv.SERVICE_INSTANCE_ID,
    semconv.TELEMETRY_DISTRO_NAME,
    semconv.TELEMETRY_DISTRO_VERSION,
)

_to_json = msgspec.json.Encoder().encode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_names: dict[str, bytes] = {}
_seconds: dict[int, bytes] = {}


class FieldNames(msgspec.Struct, frozen=True, kw_only=True):
    """How a destination names what every record may say; "" for what it takes elsewhere, or not at all."""

    level: str = "level"
    logger: str = "logger"
    event_type: str = EVENT_TYPE
    request_id: str = semconv.FAAS_INVOCATION_ID
    trace_id: str = "trace_id"
    span_id: str = "span_id"
    error_type: str = semconv.EXCEPTION_TYPE
    error_message: str = semconv.EXCEPTION_MESSAGE
    error_stack: str = semconv.EXCEPTION_STACKTRACE
    uid: str = semconv.LOG_RECORD_UID


class Fields:
    """The fields of a record, its body and time aside.

    Args:
        names: How they are called.
        reserved: Further names that no member of a line may have.
    """

    def __init__(self, names: FieldNames, reserved: Iterable[str] = ()) -> None:
        self._names = names
        self._reserved = frozenset(reserved) | {name for name in msgspec.structs.astuple(names) if name}
        self._origins: dict[Origin, Pairs] = {}

    def __call__(self, record: LogRecord) -> Pairs:
        """What Tailrace knows of a record."""
        names = self._names
        found = [(names.level, _to_json(record.severity_text))] if record.severity_text and names.level else []
        known = self._origins.get(record.origin)
        found += self._of_origin(record.origin) if known is None else known
        if names.uid:
            found.append((names.uid, b'"%b"' % record.uid.encode()))
        if record.scope and names.logger:
            found.append((names.logger, _to_json(record.scope)))
        if record.exception is not None:
            of_error = (
                (names.error_type, record.exception.type),
                (names.error_message, record.exception.message),
                (names.error_stack, record.exception.stack),
            )
            found += [(name, _to_json(text)) for name, text in of_error if text and name]
        return found

    def of_line(self, record: LogRecord) -> Pairs:
        """What the line says beside its message: of a body that is an object, its members."""
        pairs = [*record.attributes]
        if record.body[:1] == b"{":
            try:
                pairs += [(name, bytes(raw)) for name, raw in _members.decode(record.body).items()]
            except (msgspec.MsgspecError, ValueError, RecursionError):  # then the message is all there is to read
                return pairs
        names = {name for name, _ in pairs}
        if len(names) == len(pairs) and self._reserved.isdisjoint(names):
            return pairs
        taken = names - self._reserved
        given: set[str] = set()
        found: Pairs = []
        for own, raw in pairs:
            name = own
            while name in self._reserved or name in given or (name != own and name in taken):
                name = f"log.{name}"
            given.add(name)
            found.append((name, raw))
        return found

    def _of_origin(self, origin: Origin) -> Pairs:
        names = self._names
        texts = (
            (names.event_type, origin.event_type if origin.event_type != "function" else ""),
            (names.request_id, origin.request_id),
            (names.trace_id, origin.trace_id),
            (names.span_id, origin.span_id),
        )
        pairs = [(name, _to_json(text)) for name, text in texts if text and name]
        if len(self._origins) >= _MOST_REMEMBERED:
            self._origins.clear()
        self._origins[origin] = pairs
        return pairs


def message_of(record: LogRecord) -> bytes:
    """The body as a JSON string, without a runtime's prefix; what is no text is there as JSON text."""
    if record.prefix_bytes:
        return b'"%b' % record.body[1 + record.prefix_bytes :]
    return text_of(record.body)


def text_of(raw: bytes) -> bytes:
    """A raw JSON value as a JSON string."""
    return raw if raw[:1] == b'"' else as_text(raw)


def members_of(pairs: Iterable[tuple[str, bytes]]) -> bytes:
    """Pairs as members of a JSON object on one line, without its braces."""
    return b",".join([b"%b:%b" % (_names.get(name) or _name(name), one_line(raw)) for name, raw in pairs])


def _name(name: str) -> bytes:
    """A name as JSON has it; remembered, since they are the same from record to record."""
    written = _to_json(name)
    if len(_names) < _MOST_REMEMBERED and len(written) <= _MOST_NAME_BYTES:
        _names[name] = written
    return written


def moment_of(record: LogRecord) -> bytes:
    """When it was written, else when it was collected, to the nanosecond (RFC 3339)."""
    second, ns = divmod(record.time_ns or record.origin.observed_ns, _NS_PER_S)
    text = _seconds.get(second)
    if text is None:
        _seconds.clear()  # lines come in the order of their times, more or less
        text = _seconds[second] = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second)).encode()
    return b"%b%09dZ" % (text, ns)


def resource_fields(settings: Settings) -> dict[str, str | int]:
    """What is known of the function, by OpenTelemetry's names, less what tells nothing."""
    return {name: value for name, value in attributes(settings).items() if name not in _NOISE}
