"""Requests of the function's own SDK, on their way out: from frames to rows of a batch.

To a receiver of OTLP they are passed as they came, several in one request, with what the extension knows of the
resource added. They are decoded only where a rule has to look at them, and for destinations that take log records
alone: those get logs and spans as such. A request is one row of as many items as it has, unless some of them stay
behind; `Position.skip` counts its items in the order of the document.

A request neither reads nor moves the context: it belongs to the invocation that it names, or whose trace it is in.
"""

import zlib

import msgspec

from lifecycle.contract.frames import Frame, OtlpForm
from lifecycle.contract.log import Log
from lifecycle.contract.otlp_wire import NAMES
from lifecycle.contract.schemes import JSON
from lifecycle.contract.wire import DAMAGED, NO_SIGNAL, UNMAPPABLE, UNREDACTABLE, UNSUPPORTED
from shipper.delivery.interfaces import Several
from shipper.model.context import Context
from shipper.model.log_record import Encoder, LogRecord, Origin
from shipper.model.semconv import FAAS_INVOCATION_ID
from shipper.model.signals import LOGS, METRICS, TRACES, Selection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from shipper.delivery.batch import BatchLimits
    from shipper.delivery.interfaces import Passing, Shapes
    from shipper.rules.rule_set import Rules

else:
    Any = object

# The collector takes a quarter of this, and no more of it inflated.
MOST_INFLATED_BYTES = 16_777_216

# As much is decoded at once: it takes ten times as much then.
DECODED_BYTES = 65_536

# zlib's way to say: gzip (RFC 1952).
_GZIP_WBITS = 31

_UNREADABLE = (ValueError, msgspec.MsgspecError, RecursionError, TypeError, AttributeError, zlib.error)


class ItemRow(msgspec.Struct):
    """What items of a request come to, one after another in it.

    Attributes:
        signal: What they are.
        items: How many.
        body_bytes: Their share of the request as received.
        record: What is sent of them; b"" for nothing.
        sent_as: The signal that it is sent as.
        key: What records of a request must have in common with it; "" for nothing.
        reason: Why they are given up; "" when they are not.
        is_undecided: They can only be judged once more of the stream is there.
        is_blanked: Something of them could not be redacted, and is blanked whole.
    """

    signal: str
    items: int
    body_bytes: int
    record: bytes = b""
    sent_as: str = ""
    key: str = ""
    reason: str = ""
    is_undecided: bool = False
    is_blanked: bool = False


class Requests:
    """Makes rows of requests.

    Args:
        encoder: Writes log records.
        limits: Of batches.
        log: Says what could not be read.
        selection: What is made.
        shapes: The destination's, if it takes more than log records.
        rules: What leaves; None for everything.
    """

    def __init__(
        self,
        encoder: Encoder,
        limits: "BatchLimits",
        log: Log,
        selection: Selection,
        shapes: "Shapes | None",
        rules: "Rules | None",
    ) -> None:
        self._encoder = encoder
        self._limits = limits
        self._log = log
        self._selection = selection
        self._shapes = shapes
        self._rules = rules

    def rows(self, frame: Frame, skip: int, context: Context, *, is_deadly: bool = False) -> "Iterator[ItemRow]":
        """What a frame's request comes to.

        Args:
            frame: It.
            skip: Items of it that are past.
            context: At this point of the stream.
            is_deadly: Shippers died of it: it is given up unread.
        """
        form = frame.form
        if form is None:
            raise TypeError("got a batch of the platform's, expected a request")
        done, error = skip, "deadly" if is_deadly else ""
        reason = DAMAGED if frame.damaged_bytes else UNMAPPABLE if is_deadly else self._reason(form.signal)
        if not reason and frame.events:
            try:
                for row in self._found(frame, form, skip, context):
                    yield row
                    done += row.items
            except _UNREADABLE as exc:
                reason, error = UNMAPPABLE, type(exc).__name__
        left = frame.events - done
        if reason and left > 0:
            if error:
                self._log.error(
                    "shipper.export_unmappable", error=error, signal=form.signal, items=left, effect="they are given up"
                )
            yield self._row(frame, form, left, reason=reason)

    def _reason(self, signal: str) -> str:
        """Why no item of a signal leaves; "" if any may."""
        selection, shapes = self._selection, self._shapes
        if self._rules is not None and self._rules.sends_nothing:
            return UNREDACTABLE
        if shapes is not None and signal in shapes.unsupported:
            return UNSUPPORTED
        is_selected = {LOGS: selection.logs, TRACES: selection.traces, METRICS: selection.metrics}
        if shapes is not None and shapes.passing is not None:
            return "" if is_selected[signal] else NO_SIGNAL
        if signal == METRICS:
            return UNSUPPORTED
        is_asked = not selection.asked or signal in selection.asked
        return "" if is_asked and (is_selected[signal] or is_selected[LOGS]) else NO_SIGNAL

    def _row(self, frame: Frame, form: OtlpForm, items: int, **more: Any) -> ItemRow:
        size = (len(frame.payload) + frame.damaged_bytes) * items // max(1, frame.events)
        return ItemRow(form.signal, items, size, **more)

    def _found(self, frame: Frame, form: OtlpForm, skip: int, context: Context) -> "Iterator[ItemRow]":
        from shipper.destinations.otlp.passing import cut, taken

        body = _inflated(frame.payload) if form.is_gzip else bytes(frame.payload)
        request = taken(form.signal, body, frame.events, is_json=form.encoding == JSON)
        del body
        if skip:
            request = cut(request, skip, frame.events)
        passing = None if self._shapes is None else self._shapes.passing
        leaves = self._rules is None or self._rules.leaves_requests(form.signal)
        if passing is not None and leaves and passing.is_taken(request):
            for part in _fitting(request, self._limits.batch_bytes):
                yield self._row(frame, form, part.items, record=passing.passed(part), sent_as=form.signal)
            return
        first = skip
        for part in _fitting(request, DECODED_BYTES):
            yield from self._decoded(RequestPart(frame, form, part, first, context), passing)
            first += part.items

    def _decoded(self, part: "RequestPart", passing: "Passing | None") -> "Iterator[ItemRow]":
        """What a part of a request comes to that is decoded."""
        if passing is None:
            yield from self._as_records(part)
        elif self._rules is None or self._rules.leaves_requests(part.form.signal):
            yield from self._passed(part.frame, part.form, passing.passed(part.request))
        else:
            yield from self._judged(part, passing, self._rules)

    def _passed(
        self, frame: Frame, form: OtlpForm, passed: Several, *, is_blanked: bool = False
    ) -> "Iterator[ItemRow]":
        """What is passed, in parts that fit in a batch."""
        for part in _fitting(passed, self._limits.batch_bytes):
            yield self._row(frame, form, part.items, record=part, sent_as=form.signal, is_blanked=is_blanked)

    def _judged(self, part: "RequestPart", passing: "Passing", rules: "Rules") -> "Iterator[ItemRow]":
        """What the rules leave of a request: neighbours that share their lot are a row."""
        from shipper.destinations.otlp.passing import cut, taken
        from shipper.destinations.otlp.transcode import encoded

        frame, form, request = part.frame, part.form, part.request
        message = part.decoded(is_known=rules.redacts)
        verdicts, blanked = self._verdicts(part, message, rules)
        if rules.redacts:
            is_json = form.encoding == JSON
            body = encoded(form.signal, message, is_json=is_json)
            request = taken(form.signal, body, request.items, is_json=is_json)
        first, items = 0, request.items
        while first < items:
            verdict = verdicts[first]
            last = next((at for at in range(first, items) if verdicts[at] != verdict), items)
            if verdict is None:
                yield self._row(frame, form, last - first, is_undecided=True)
                return
            if verdict:
                yield self._row(frame, form, last - first, reason=verdict)
            else:
                kept = request if last - first == items else cut(request, first, last)
                is_blanked = not blanked.isdisjoint(range(first, last))
                yield from self._passed(frame, form, passing.passed(kept), is_blanked=is_blanked)
            first = last

    def _verdicts(
        self, part: "RequestPart", message: dict[str, Any], rules: "Rules"
    ) -> "tuple[list[str | None], set[int]]":
        """Judges the items of a request, and redacts it in place.

        Returns:
            Of each item why it is given up, "" when it is not, None when that cannot be told yet; and the places of
            those of which something could not be redacted, and is blanked.
        """
        from shipper.parse.otlp_items import containers_of, items_of
        from shipper.rules.rule_set import UnredactableError

        signal, count = part.form.signal, part.request.items
        if signal == METRICS:
            verdicts: list[str | None] = [""] * count
        else:
            judge = rules.judged if signal == LOGS else rules.judged_span
            found = [judge(record, part.context) for record in _records(part, message)]
            verdicts = [None if judged.is_undecided else judged.reason for judged in found]
        if len(verdicts) != count:
            raise ValueError(f"got {len(verdicts)} items, expected {count}")
        names = NAMES[signal]
        items = [item for item, _, _ in items_of(message, names)]
        blanked: set[int] = set()
        try:
            for container in containers_of(message, names):
                if rules.redact_message(container):
                    blanked.update(range(count))
            for place, item in enumerate(items):
                if signal == METRICS:
                    blanked.update(range(count) if rules.redact_message(item) else ())
                elif verdicts[place] == "":
                    verdicts[place] = _redacted(rules, item, place, blanked)
        except UnredactableError:
            return [UNREDACTABLE] * count, set()
        return verdicts, blanked

    def _as_records(self, part: "RequestPart") -> "Iterator[ItemRow]":
        """Items as log records."""
        frame, form = part.frame, part.form
        message = part.decoded(is_known=self._rules is not None and self._rules.redacts)
        verdicts: list[str | None] = [""] * part.request.items
        blanked: set[int] = set()
        if self._rules is not None:
            verdicts, blanked = self._verdicts(part, message, self._rules)
        # Where spans are asked for, records of spans go where our own do.
        is_traced = self._shapes is not None and form.signal == TRACES and self._selection.traces
        sent_as = TRACES if is_traced else LOGS
        for place, record in enumerate(_records(part, message)):
            verdict = verdicts[place]
            if verdict or verdict is None:
                yield self._row(frame, form, 1, reason=verdict or "", is_undecided=verdict is None)
                continue
            key = "" if self._encoder.key is None else self._encoder.key(record)
            written, is_blanked = self._encoder.log(record), place in blanked
            yield self._row(frame, form, 1, record=written, sent_as=sent_as, key=key, is_blanked=is_blanked)


class RequestPart(msgspec.Struct, frozen=True):
    """A part of a request that is decoded.

    Attributes:
        frame: That the request is in.
        form: Of the request.
        request: The part.
        first: Items of the request before it.
        context: At this point of the stream.
    """

    frame: Frame
    form: OtlpForm
    request: Several
    first: int
    context: Context

    def decoded(self, *, is_known: bool = False) -> dict[str, Any]:
        """The part as OTLP's JSON has it, decoded.

        Args:
            is_known: Only what is known of OTLP is to be in it, and each of its type. In protobuf it is always so.

        Raises:
            TranscodeError: It is no such request.
        """
        from shipper.destinations.otlp.passing import request_of
        from shipper.destinations.otlp.transcode import decoded, encoded

        signal, is_json = self.form.signal, self.form.encoding == JSON
        message = decoded(signal, request_of(self.request), is_json=is_json)
        if is_known and is_json:
            message = decoded(signal, encoded(signal, message, is_json=False), is_json=False)
        return message


def _records(part: RequestPart, message: dict[str, Any]) -> "Iterator[LogRecord]":
    """The items of a part as log records."""
    from shipper.parse.otlp_items import items_of, log_of, pairs_of, span_of

    signal, frame = part.form.signal, part.frame
    record_of, batch_id = log_of if signal == LOGS else span_of, frame.digest.hex()
    for index, (item, scope, resource) in enumerate(items_of(message, NAMES[signal]), part.first):
        named = pairs_of(item).get(FAAS_INVOCATION_ID) or pairs_of(resource).get(FAAS_INVOCATION_ID)
        request_id = str(named) if named else _invocation_in(part.context, str(item.get("traceId", "")))
        origin = Origin(request_id=request_id, observed_ns=frame.observed_ns, batch_id=batch_id)
        yield record_of(item, scope, origin, index)


def _redacted(rules: "Rules", item: dict[str, Any], place: int, blanked: set[int]) -> str:
    """Redacts an item; why it is given up, if it cannot be."""
    from shipper.rules.rule_set import UnredactableError

    try:
        if rules.redact_message(item):
            blanked.add(place)
    except UnredactableError:
        return UNREDACTABLE
    return ""


def _fitting(request: Several, most_bytes: int) -> "Iterator[Several]":
    """A request in parts that are no larger, as far as it can be divided."""
    if len(request) <= most_bytes:
        yield request
        return
    from shipper.destinations.otlp.passing import chunks

    for part in chunks(request, most_bytes):
        smaller = part.divided() if len(part) > 2 * most_bytes else ()
        if not smaller:
            yield part
        for half in smaller:
            yield from _fitting(half, most_bytes)


def _invocation_in(context: Context, trace_id: str) -> str:
    """The open invocation of a trace; "" for none."""
    if not trace_id:
        return ""
    if trace_id == context.trace_id:
        return context.request_id
    return next((one.request_id for one in context.open if one.trace_id == trace_id), "")


def _inflated(payload: memoryview) -> bytes:
    """What gzip made of it, one or several members.

    Raises:
        ValueError: It is none, or far more than is taken.
    """
    pieces: list[bytes] = []
    rest, left = bytes(payload), MOST_INFLATED_BYTES
    while rest:
        member = zlib.decompressobj(_GZIP_WBITS)
        pieces.append(member.decompress(rest, left + 1))
        left -= len(pieces[-1])
        if left < 0 or not member.eof:
            raise ValueError(f"got {len(payload)} bytes of gzip, expected {MOST_INFLATED_BYTES} inflated at most")
        rest = member.unused_data
    return b"".join(pieces) if len(pieces) > 1 else pieces[0]
