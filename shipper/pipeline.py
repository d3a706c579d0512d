"""Frames to events, events to records, records to batches: read, followed, judged by the rules, encoded.

A generator: no more than one batch and one decoded piece of a frame exist at a time. What only some runs need, the
platform's events and the rules, is loaded when it is needed.
"""

from collections.abc import Callable, Iterator

import msgspec

from lifecycle.contract.frames import Frame
from lifecycle.contract.log import Log
from shipper.delivery.batch import Batch, Limits, Position
from shipper.model.context import Context
from shipper.model.events import AnyEvent, BrokenEvent, Event, OddEvent, events, is_own, size_of
from shipper.model.log_record import Encoder, LogRecord, TextLine
from shipper.model.signals import LOGS, METRICS, TRACES, Selection
from shipper.parse.log_parser import LogParser
from shipper.parse.text_formats import may_tell_failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.delivery.interfaces import Shapes
    from shipper.invocations.phases import Phases
    from shipper.model.span import Span
    from shipper.rules.rules import Rules

_to_json = msgspec.json.Encoder().encode

# Reasons, as the ledger has them; those that are settings are the settings' names.
OWN_LINE = "own_line"
UNMAPPABLE = "unmappable"
DAMAGED = "damaged"
NO_PLATFORM_LOGS = "platform_logs"
NO_LOGS = "signals"
UNTAKEN = "untaken"


class Row:
    """What one event comes to.

    Attributes:
        context: After it.
        record: Its log record; b"" without one.
        reason: Why it is given up; "" when it is not.
        spans: Complete with it.
        is_undecided: It can only be judged once more of the stream is there.
    """

    __slots__ = ("context", "is_undecided", "reason", "record", "spans")

    def __init__(self, context: Context) -> None:
        self.context = context
        self.record = b""
        self.reason = ""
        self.spans: tuple[bytes, ...] = ()
        self.is_undecided = False


class Pipeline:
    """Makes batches of frames.

    Args:
        encoder: Writes log records.
        limits: Looked at anew for every record.
        log: Says what could not be written.
        selection: What is made.
        shapes: Writes spans and metrics; None where the destination takes none.
        rules: What leaves; None for everything.

    Attributes:
        ledger: The supervisor's counts, which are exported with the metrics.
        is_final: No further event will come.
        waits: The last run ended before the end of its frames, where the outcome of an invocation has to be known.
    """

    def __init__(
        self,
        encoder: Encoder,
        limits: Limits,
        log: Log,
        selection: Selection | None = None,
        shapes: "Shapes | None" = None,
        rules: "Rules | None" = None,
    ) -> None:
        self._encoder = encoder
        self._limits = limits
        self._log = log
        self._selection = selection or Selection()
        self._shapes = shapes
        self._rules = rules
        self._parser = LogParser()
        self._phases: Phases | None = None
        self._seed = ""
        self._observed_ns = 0
        self._is_damaged = False
        self.ledger: dict[str, int] = {}
        self.is_final = False
        self.waits = False

    def batches(self, frames: Iterator[Frame], start: Position) -> Iterator[Batch]:
        """The events of `frames` from `start` on; the first frame is that at `start.through`."""
        # A shipper before us may have sent these metrics and died before it said so: what is sent again is the same.
        closing = self._closing(start, is_beginning=True)
        if closing is not None:
            yield closing
            start = closing.end
        yield from self._batches(frames, start)

    def _batches(self, frames: Iterator[Frame], start: Position) -> Iterator[Batch]:
        limits, row_of, quick_item = self._limits, self._row, self._quick()
        is_plain = self._rules is None and self._selection.logs and not self._is_untaken(LOGS)
        self.waits = False
        context, skip = start.context, start.skip
        end = last = start
        batch = Batch()
        for frame in frames:
            self.begin(frame)
            batch.mark(Position(frame.start, skip, context))
            index = -1
            for index, event in enumerate(events(frame)):
                if index < skip:
                    continue
                if is_plain and type(event) is Event and event.type == "function" and batch.rows < limits.batch_records:
                    # The common case, in as few steps as there can be.
                    try:
                        item = quick_item(event, index, context)
                    except Exception:  # noqa: BLE001 - it is tried again, and said
                        item = b""
                    if item and batch.body_bytes + len(item) <= limits.batch_bytes:
                        batch.add(LOGS, item)
                        batch.rows += 1
                        continue
                row = row_of(event, index, context)
                if row.is_undecided:
                    self.waits = True
                    break
                size = len(row.record) + sum(map(len, row.spans))
                if batch.rows and (batch.body_bytes + size > limits.batch_bytes or batch.rows >= limits.batch_records):
                    batch.close(Position(frame.start, index, context))
                    yield batch
                    quick_item = self._quick()  # delivery may have found out that another encoding is taken
                    batch = Batch()
                    batch.mark(Position(frame.start, index, context))
                _add(batch, row, event)
                if row.context is not context:
                    context = row.context
                    batch.mark(Position(frame.start, index + 1, context))
            else:
                skip = 0
                last, end = Position(frame.start, index + 1, context), Position(frame.end, 0, context)
                continue
            end = Position(frame.start, index, context)
            break
        closing = None if self.waits else self._closing(end)
        # Past the last event, but not yet at the end: that is reached once what goes with it is delivered, too.
        batch.close(end if closing is None else last)
        if not batch.is_empty or batch.end.context is not start.context:
            yield batch
        if closing is not None:
            yield closing

    def _quick(self) -> Callable[[Event, int, Context], bytes]:
        """What makes an encoded log record of a line in few steps; b"" where more may follow from it than that."""
        encode, text_line, encode_event = self._encoder.log, self._encoder.text_line, self._encoder.event
        parser, may_fail = self._parser, self._may_fail
        line_of = parser.line

        def of_event(event: Event, index: int, context: Context) -> bytes:
            if may_fail(event, context):
                return b""
            if encode_event is None:
                return encode(parser.record(event, index, context))
            return encode_event(event, parser.origin(event, context), index)

        def of_line(event: Event, index: int, context: Context) -> bytes:
            line = line_of(event, index, context)
            if isinstance(line, TextLine):
                return write_text(line, index)
            return b"" if may_fail(event, context) else encode(line)

        if text_line is None:
            return of_event
        write_text = text_line
        return of_line

    def _may_fail(self, event: Event, context: Context) -> bool:
        """Whether a line of the function may tell that its invocation fails, and anybody has to know."""
        return self._shapes is not None and bool(context.open) and may_tell_failure(bytes(event.record))

    def look_ahead(self, frames: Iterator[Frame], *, is_pressed: bool) -> None:
        """Lets the rules see what is to be shipped next, where one of them has to know how an invocation went.

        Args:
            frames: What is to be shipped.
            is_pressed: There is no room to wait for more.
        """
        if self._rules is not None and self._rules.looks_ahead:
            self._rules.look_ahead(frames, is_final=self.is_final or is_pressed, is_report=self._selection.interleaved)

    def begin(self, frame: Frame) -> None:
        """Takes what a frame says of all its events."""
        self._parser.begin(frame)
        self._seed = frame.digest.hex()
        self._observed_ns = frame.observed_ns
        self._is_damaged = frame.damaged_bytes > 0

    def _closing(self, end: Position, *, is_beginning: bool = False) -> Batch | None:
        """What goes with the end of a shipment: metrics that are due and, at the very end, what is still open.

        Made from the context at `end` alone, so that another shipper that goes on from there makes the very same.

        Args:
            end: Where the batch stands that is made.
            is_beginning: It is the end of the shipment before, which was not reported.
        """
        context, selection, shapes = end.context, self._selection, self._shapes
        if shapes is None:
            return None
        batch = Batch()
        if self.is_final and not is_beginning and (context.open or context.phase):
            context, spans = self._following.finished(context, max(self._observed_ns, context.meters.until_ns))
            for span in spans:
                if TRACES not in shapes.untaken and self._is_in_sample(span, context):
                    batch.add(TRACES, shapes.span(span))
        meters = context.meters
        if selection.metrics and METRICS not in shapes.untaken and meters.values:
            from shipper.model.meters import exported, is_due

            if is_due(meters, selection.interval_ns) or (self.is_final and not is_beginning):
                for record in shapes.metrics(meters, self.ledger, is_cumulative=selection.is_cumulative):
                    batch.add(METRICS, record)
                context = context.with_meters(exported(meters, self.ledger, is_cumulative=selection.is_cumulative))
        batch.close(Position(end.through, end.skip, context))
        return batch if context is not end.context else None

    def _row(self, event: AnyEvent, index: int, context: Context) -> Row:
        row = Row(context)
        try:
            if type(event) is Event and event.type == "function":
                self._line(event, index, row)
            elif is_own(event):
                row.reason = OWN_LINE
            elif self._is_damaged:
                row.reason = DAMAGED
            elif isinstance(event, Event) and event.type.startswith("platform."):
                self._of_platform(event, index, row)
            else:
                self._line(event, index, row)
        except Exception as exc:  # noqa: BLE001 - no record may take the shipper down
            self._log.debug("shipper.record_not_understood", error=type(exc).__name__, index=index)
            row.context, row.spans = context, ()
            self._as_it_came(event, index, row)
        return row

    def _as_it_came(self, event: AnyEvent, index: int, row: Row) -> None:
        """What the mapping fails at is shipped with its JSON intact."""
        if isinstance(event, Event):
            head = b'{"time":%b,"type":%b,"record":' % (_to_json(event.time), _to_json(event.type))
            event = OddEvent(event.time, head + bytes(event.record) + b"}")
        try:
            record = self._parser.record(event, index, row.context)
            row.record, row.reason = self._encoder.log(record), ""
        except Exception as exc:  # noqa: BLE001 - as above
            self._log.error("shipper.record_unmappable", error=type(exc).__name__, index=index)
            row.record, row.reason = b"", UNMAPPABLE

    def _line(self, event: AnyEvent, index: int, row: Row) -> None:
        """A line of the function or of an extension, or what is no event at all."""
        is_shipped = self._selection.logs and not self._is_untaken(LOGS)
        may_fail = isinstance(event, Event) and event.type == "function" and self._may_fail(event, row.context)
        if not is_shipped:
            row.reason = UNTAKEN if self._selection.logs else NO_LOGS
            if not may_fail:
                return
        record = self._parser.record(event, index, row.context)
        if may_fail:
            row.context = self._following.noticed(record, row.context)
        if is_shipped:
            self._write_judged(record, index, row)

    def _write_judged(self, record: LogRecord, index: int, row: Row) -> None:
        """A log record as the rules leave it."""
        if self._rules is not None:
            judged = self._rules.judged(record, row.context)
            row.reason, row.context, row.is_undecided = judged.reason, judged.context, judged.is_undecided
            if row.reason or row.is_undecided:
                return
            if judged.event is not record.event:
                # Read anew: nothing that is written was found in what may not be shown.
                record = self._parser.record(judged.event, index, row.context)
        row.record = self._encoder.log(record)

    def _of_platform(self, event: Event, index: int, row: Row) -> None:
        moved = self._following.moved(event, f"{self._seed}-{index}", self._observed_ns, row.context)
        before, row.context = row.context, moved.context
        selection, shapes = self._selection, self._shapes
        if shapes is not None and TRACES not in shapes.untaken:
            row.spans = tuple(shapes.span(span) for span in moved.spans if self._is_in_sample(span, before))
        if selection.logs and not self._is_untaken(LOGS) and (selection.platform_logs or moved.is_strange):
            record = self._parser.record(event, index, row.context)
            if self._rules is not None:
                judged = self._rules.judged_of_platform(record, event, before)
                row.reason, row.is_undecided = judged.reason, judged.is_undecided
                if judged.context.kept != row.context.kept:
                    row.context = msgspec.structs.replace(row.context, kept=judged.context.kept)
                if judged.event is not event:
                    record = self._parser.record(judged.event, index, row.context)
            if row.is_undecided:
                return
            if not row.reason:
                row.record = self._encoder.log(record)
                return
        # What a span or a metric is made of has left once those have.
        if moved.is_part and shapes is not None and (selection.traces or selection.metrics):
            row.reason = ""
        else:
            row.reason = row.reason or NO_PLATFORM_LOGS

    def _is_untaken(self, signal: str) -> bool:
        return self._shapes is not None and signal in self._shapes.untaken

    def _is_in_sample(self, span: "Span", context: Context) -> bool:
        return self._rules is None or self._rules.takes_span(span, context)

    @property
    def _following(self) -> "Phases":
        if self._phases is None:
            from shipper.invocations.phases import Phases

            self._phases = Phases(self._selection)
        return self._phases


def _add(batch: Batch, row: Row, event: AnyEvent) -> None:
    if row.reason:
        batch.lost[batch.rows] = row.reason
        batch.lost_bytes[batch.rows] = size_of(event)
    elif row.record:
        batch.add(LOGS, row.record)
    for span in row.spans:
        batch.add(TRACES, span)
    if type(event) is BrokenEvent:
        batch.weights[batch.rows] = event.events
    batch.rows += 1
