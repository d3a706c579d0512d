"""What is under way at a point of the stream: the running invocation, those not yet reported, the init, the meters.

Values only; `phases` moves them on. The state at an offset travels with every report, packed, so a replaced shipper
goes on as if nothing had happened and loses neither a span nor a count.
"""

import msgspec

from lifecycle.contract import late

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
else:
    Any = object

# A request id is 36 characters; what is much longer is not one, and must not fill a packet.
MOST_ID = 128

# Of those that were reported, as many are remembered: a line may come after the report of its invocation.
MOST_RECENT = 8

_UUID = late.pattern("[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

# Of an invocation that is for one tenant of a function that keeps them apart; in spans and lines alike.
TENANT_ID = "aws.lambda.tenant_id"

# A report is one packet of 4096 bytes, all in all.
MOST_PACKED = 2048


class Child(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A part of a phase, as the platform timed it.

    Attributes:
        attributes: What else was said of it.
    """

    name: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any] = {}


class Invocation(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """An invocation that has started and is not yet reported.

    Attributes:
        request_id: Its id.
        trace_id: Of the trace it belongs to; "" when the platform named none.
        span_id: Of its own span; "" likewise.
        parent_id: Of the span that called it; "" likewise.
        sampled: X-Ray's decision; None when it made none.
        start_ns: When it started.
        is_cold: Whether it is the first after an init on demand or a restore.
        error: Type of the error that the runtime told in a line of its own; "" so far.
        is_oom: Whether a line spoke of exhausted memory.
        status: As platform.runtimeDone has it; "" before.
        error_type: Likewise.
        done_ns: When it was done; 0 before.
        done_ms: How long the function took, by platform.runtimeDone; None when it did not say.
        children: Parts told so far.
        attributes: What else the records said.
    """

    request_id: str
    trace_id: str = ""
    span_id: str = ""
    parent_id: str = ""
    sampled: bool | None = None
    start_ns: int = 0
    is_cold: bool = False
    error: str = ""
    is_oom: bool = False
    status: str = ""
    error_type: str = ""
    done_ns: int = 0
    done_ms: float | None = None
    children: tuple[Child, ...] = ()
    attributes: dict[str, Any] = {}

    @property
    def flags(self) -> int:
        """Trace flags: 1 unless the trace is decided not to be sampled, or there is none."""
        return 1 if self.trace_id and self.sampled is not False else 0


class Past(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An invocation that was reported a short while ago.

    Attributes:
        request_id: Its id.
        trace_id: Of its span; "" for none.
        span_id: Likewise.
        flags: Trace flags.
    """

    request_id: str
    trace_id: str = ""
    span_id: str = ""
    flags: int = 0


class Phase(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """An init or a restore that has begun and is not yet reported.

    Attributes:
        kind: `init` or `restore`.
        seed: What its ids are made from, where the platform names none.
        start_ns: When it began.
        initialization_type: on-demand, provisioned-concurrency, …
        status: As its runtimeDone record has it; "" before.
        error_type: Likewise.
        is_stale: Whether it is an old one that a restored snapshot told again.
        children: Parts told so far.
        attributes: What else the records said.
        trace_id: Of the trace that the platform ties it to; "" when it named none.
        span_id: Of its own span; "" likewise.
        parent_id: Of the span that it is part of; "" likewise.
        sampled: X-Ray's decision; None when it made none.
    """

    kind: str
    seed: str
    start_ns: int
    initialization_type: str = ""
    status: str = ""
    error_type: str = ""
    is_stale: bool = False
    children: tuple[Child, ...] = ()
    attributes: dict[str, Any] = {}
    trace_id: str = ""
    span_id: str = ""
    parent_id: str = ""
    sampled: bool | None = None


class Meters(msgspec.Struct, frozen=True, array_like=True):
    """What was counted and measured.

    Attributes:
        since_ns: When the present counts began: at the last export, or with the environment. 0 before anything.
        until_ns: When the last measurement was taken.
        values: By instrument's number, its value so far: a sum, or a histogram's count, sum, least, most and buckets.
        ledger: The supervisor's counts as last exported.
        exported_ns: When that was.
    """

    since_ns: int = 0
    until_ns: int = 0
    values: dict[int, list[int | float]] = {}
    ledger: dict[str, int] = {}
    exported_ns: int = 0


class Context(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What is under way at a point of the stream.

    Attributes:
        request_id: The invocation that lines belong to; "" during init, and where invocations interleave.
        trace_id: Of that invocation's span.
        span_id: Likewise.
        flags: Trace flags (W3C Trace Context): 1 when the trace is sampled.
        is_cold: Whether the next invocation is the first after an init on demand or a restore.
        has_init: Whether the platform told of an init or a restore; the Logs API never does.
        link: Trace and span id of the last init or restore, for the first invocation after it to point to.
        open: Invocations not yet reported, oldest first.
        recent: Some that were reported, latest last.
        phase: The init or restore under way.
        meters: What was counted.
        kept: The invocation outside the sample whose lines were shipped before its outcome was known.
        learnt: What was found out of where each signal goes, as of the report that the context travels with.
        is_sampling: Whether X-Ray was seen to sample in this environment.
        runtime: The function's, as the platform names it: `python`, `nodejs`, `provided`, …; "" before it does.
        forgotten: How many further ones are under way, for which there was no room on a journey with a report.
    """

    request_id: str = ""
    trace_id: str = ""
    span_id: str = ""
    flags: int = 0
    is_cold: bool = False
    has_init: bool = False
    link: tuple[str, str] = ("", "")
    open: tuple[Invocation, ...] = ()
    recent: tuple[Past, ...] = ()
    phase: Phase | None = None
    meters: Meters = Meters()
    kept: str = ""
    learnt: dict[str, str] = {}
    is_sampling: bool = False
    runtime: str = ""
    forgotten: int = 0

    def with_meters(self, meters: Meters) -> "Context":
        """The same with other meters."""
        return msgspec.structs.replace(self, meters=meters)

    @property
    def known(self) -> "tuple[Invocation | Past, ...]":
        """Invocations that lines may come of."""
        return *self.open, *self.recent

    def trace_of(self, request_id: str) -> tuple[str, str, int]:
        """Trace id, span id and flags of an invocation's own span; "" for one that is not known."""
        if request_id == self.request_id:
            return self.trace_id, self.span_id, self.flags
        for one in self.known:
            if one.request_id == request_id:
                return one.trace_id, one.span_id, one.flags
        return "", "", 0

    def invocation_named(self, text: str, *, is_sure: bool) -> str:
        """The id of the invocation that a line names; "" where it names none that can be believed.

        Believed are ids of invocations that are under way or were reported a short while ago, in either case of
        letters. Where the stream does not say what is running, so is what looks like a request id in a place where
        nobody writes any other.

        Args:
            text: What stands there.
            is_sure: Whether it is such a place.
        """
        if not 0 < len(text) <= MOST_ID:
            return ""
        lowered = text.lower()
        if lowered == self.request_id.lower():
            return self.request_id
        for one in self.known:
            if one.request_id.lower() == lowered:
                return one.request_id
        return lowered if is_sure and not self.request_id and _UUID.fullmatch(text) else ""

    def closed(self, request_id: str) -> "Context":
        """The context after an invocation's report."""
        one = self.invocation(request_id)
        past = Past(request_id, one.trace_id, one.span_id, one.flags) if one else Past(request_id)
        recent = (*(other for other in self.recent if other.request_id != request_id), past)
        open_ = tuple(other for other in self.open if other is not one)
        forgotten = self.forgotten if one or not self.forgotten else self.forgotten - 1
        return msgspec.structs.replace(self, open=open_, recent=recent[-MOST_RECENT:], forgotten=forgotten)

    def tenant_of(self, request_id: str) -> str:
        """The tenant that an invocation is for; "" for none, or for one that is not known."""
        one = self.invocation(request_id) if request_id and self.open else None
        return str(one.attributes.get(TENANT_ID, "")) if one else ""

    def invocation(self, request_id: str) -> Invocation | None:
        """The open invocation of that id."""
        for one in self.open:
            if one.request_id == request_id:
                return one
        return None


class RequestRecord(msgspec.Struct):
    """A record that may name its request."""

    requestId: str = ""  # noqa: N815 - the platform's name


class _RawRequestRecord(msgspec.Struct):
    requestId: msgspec.Raw = msgspec.Raw(b'""')  # noqa: N815 - the platform's name


NOTHING = Context()
_DIGITS = b"-0123456789"
_requests = msgspec.json.Decoder(RequestRecord)
_raw_requests = msgspec.json.Decoder(_RawRequestRecord)
_contexts = msgspec.msgpack.Decoder(Context)
_encoder = msgspec.msgpack.Encoder()


def packed(context: Context) -> bytes:
    """A context as `Shipped.context` carries it: opaque, below `MOST_PACKED` bytes.

    Where too much is open, the invocations lose their parts, then those that were reported are forgotten, then the
    oldest of the others: their spans will then be made from their reports alone. How many of these nothing has counted
    yet is known still.
    """
    if context is NOTHING or context == NOTHING:
        return b""
    data = _encoder.encode(context)
    if len(data) > MOST_PACKED:
        bare = tuple(msgspec.structs.replace(one, children=(), attributes={}) for one in context.open)
        data = _encoder.encode(msgspec.structs.replace(context, open=bare))
        context = context if len(data) <= MOST_PACKED else msgspec.structs.replace(context, recent=())
        while len(data) > MOST_PACKED and bare:
            data = _encoder.encode(_forgetting(context, bare))
            bare = bare[1:]
    if len(data) > MOST_PACKED:
        data = _encoder.encode(msgspec.structs.replace(_forgetting(context, ()), recent=(), phase=None))
    return data if len(data) <= MOST_PACKED else b""


def _forgetting(context: Context, open_: tuple[Invocation, ...]) -> Context:
    """A context with these alone of the invocations that are open."""
    forgotten = context.open[: len(context.open) - len(open_)]
    uncounted = sum(not one.done_ns for one in forgotten)
    return msgspec.structs.replace(context, open=open_, forgotten=context.forgotten + uncounted)


def unpacked(data: bytes) -> Context:
    """The context that `packed` made; bytes of any other origin mean that nothing is known."""
    try:
        return _contexts.decode(data) if data else NOTHING
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return NOTHING


def request_id_of(record: bytes) -> str:
    """The `requestId` of a record that is an object, also a number; "" without one."""
    if not record.startswith(b"{"):
        return ""
    try:
        request_id = _requests.decode(record).requestId
    except msgspec.ValidationError:
        request_id = _number_in(record)
    except msgspec.MsgspecError:
        return ""
    return request_id if len(request_id) <= MOST_ID else ""


def _number_in(record: bytes) -> str:
    try:
        raw = bytes(_raw_requests.decode(record).requestId)
    except msgspec.MsgspecError:
        return ""
    return raw.decode() if raw[0] in _DIGITS else ""
