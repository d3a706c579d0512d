"""The platform's records, typed.

Telemetry API schemas 2022-07-01, 2022-12-13 and 2025-01-29, Logs API 2020-08-15 and 2021-03-18. Read leniently: every
field is optional, numbers may be strings, and what a type does not know or what is not of its type stands in
`others`, so that nothing of a record is lost.
"""

import msgspec

from lifecycle.contract.quick import lru_cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    _P = TypeVar("_P", bound="Part")
else:
    Any = object

# Of a runtime's name.
_MOST_NAME = 16

_ANYTHING = msgspec.json.Decoder()
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[msgspec.Raw])


class Part(msgspec.Struct, forbid_unknown_fields=True, rename="camel", gc=False):
    """A record, or an object in one.

    Attributes:
        others: Members that the type has no place for, by their names.
    """

    others: dict[str, Any] = msgspec.field(default_factory=dict, name="")


class Tracing(Part, gc=False):
    """`tracing`: X-Ray's context of an invocation."""

    span_id: str = ""
    type: str = ""
    value: str = ""


class ChildSpan(Part, gc=False):
    """One of `spans`: a part of a phase."""

    name: str = ""
    start: str = ""
    duration_ms: float = 0.0


class Metrics(Part, gc=False):
    """`metrics` of any record."""

    duration_ms: float | None = None
    billed_duration_ms: float | None = None
    memory_size_mb: float | None = msgspec.field(default=None, name="memorySizeMB")
    max_memory_used_mb: float | None = msgspec.field(default=None, name="maxMemoryUsedMB")
    init_duration_ms: float | None = None
    restore_duration_ms: float | None = None
    billed_restore_duration_ms: float | None = None
    produced_bytes: float | None = None


class Started(Part, gc=False):
    """platform.start."""

    request_id: str = ""
    version: str = ""
    tracing: Tracing | None = None
    tenant_id: str = ""
    function_arn: str = ""


class Ended(Part, gc=False):
    """platform.runtimeDone, platform.report, and the Logs API's platform.end."""

    request_id: str = ""
    status: str = ""
    error_type: str = ""
    metrics: Metrics | None = None
    spans: list[ChildSpan] = []
    tracing: Tracing | None = None
    tenant_id: str = ""


class PhaseStarted(Part, gc=False):
    """platform.initStart and platform.restoreStart."""

    initialization_type: str = ""
    phase: str = ""
    runtime_version: str = ""
    runtime_version_arn: str = ""
    function_name: str = ""
    function_version: str = ""
    function_arn: str = ""
    instance_id: str = ""
    instance_max_memory: float | None = None
    tracing: Tracing | None = None

    @property
    def runtime(self) -> str:
        """The runtime's name: `python`, `nodejs`, `provided`, …; "" where that is not told."""
        return self.runtime_version.partition(":")[0][:_MOST_NAME]


class PhaseEnded(Part, gc=False):
    """platform.initRuntimeDone, platform.initReport, platform.restoreRuntimeDone and platform.restoreReport."""

    initialization_type: str = ""
    phase: str = ""
    status: str = ""
    error_type: str = ""
    metrics: Metrics | None = None
    spans: list[ChildSpan] = []
    tracing: Tracing | None = None


class Announced(Part, gc=False):
    """platform.extension, platform.telemetrySubscription and platform.logsSubscription."""

    name: str = ""
    state: str = ""
    events: list[str] = []
    types: list[str] = []
    error_type: str = ""


class Dropped(Part, gc=False):
    """platform.logsDropped."""

    dropped_bytes: float = 0
    dropped_records: float = 0
    reason: str = ""


Record = Started | Ended | PhaseStarted | PhaseEnded | Announced | Dropped
KINDS: dict[str, type[Record]] = {
    "platform.start": Started,
    "platform.runtimeDone": Ended,
    "platform.report": Ended,
    "platform.end": Ended,
    "platform.initStart": PhaseStarted,
    "platform.initRuntimeDone": PhaseEnded,
    "platform.initReport": PhaseEnded,
    "platform.restoreStart": PhaseStarted,
    "platform.restoreRuntimeDone": PhaseEnded,
    "platform.restoreReport": PhaseEnded,
    "platform.extension": Announced,
    "platform.telemetrySubscription": Announced,
    "platform.logsSubscription": Announced,
    "platform.logsDropped": Dropped,
}
_MOST_TEXT = 1000

# The platform's own have some dozens; each is an object in memory.
_MOST_VALUES = 1024
_decoders = {kind: msgspec.json.Decoder(kind, strict=False) for kind in set(KINDS.values())}


@lru_cache(maxsize=1)
def record_of(kind: str, raw: bytes) -> Record | None:
    """The record of an event of type `kind`; None for an unknown type, and for what is no object.

    The last one is remembered: what follows from an event and what is shipped of it begin with the same.
    """
    known = KINDS.get(kind)
    if known is None or raw[:1] != b"{" or raw.count(b",") > _MOST_VALUES:
        return None
    try:
        found: Record = _decoders[known].decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        return leniently(known, raw)
    return found


def leniently(kind: "type[_P]", raw: bytes) -> "_P":
    """An object member by member: one that does not fit harms no other."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind) if field.encode_name}
    values: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for name, member in _members.decode(raw).items():
        field = fields.get(name)
        if field is None:
            others[name] = _any(bytes(member))
            continue
        try:
            values[field.name] = msgspec.json.decode(member, type=field.type, strict=False)
        except (msgspec.MsgspecError, RecursionError):
            text = bytes(member)
            if field.type is str and text[:1] in b"-0123456789":
                values[field.name] = text.decode()
            elif name == "metrics" and text[:1] == b"{":
                values[field.name] = leniently(Metrics, text)
            elif name == "tracing" and text[:1] == b"{":
                values[field.name] = leniently(Tracing, text)
            elif name == "spans" and text[:1] == b"[":
                values[field.name] = [
                    leniently(ChildSpan, bytes(item)) for item in _items.decode(text) if bytes(item)[:1] == b"{"
                ]
            elif text != b"null":
                others[name] = _any(text)
    return kind(others=others, **values)


def _any(raw: bytes) -> Any:
    """A member's value; its text where Python has no value for it, such as 1e400."""
    try:
        return _ANYTHING.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        return raw[:_MOST_TEXT].decode("utf-8", "replace")
