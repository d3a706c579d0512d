"""Frames to events, events to records, records to batches: read, followed, judged by the rules, encoded.

A generator: no more than one batch and one decoded piece of a frame exist at a time. What only some runs need, the
platform's events and the rules, is loaded when it is needed.
"""

from collections.abc import Callable, Generator, Iterator
from itertools import islice

import msgspec

from lifecycle.contract.backlog import ALL_OF_IT, SEVERAL, UnderWay
from lifecycle.contract.frames import Frame
from lifecycle.contract.json_text import is_utf8
from lifecycle.contract.log import Log
from lifecycle.contract.wire import DAMAGED, NO_SIGNAL, UNMAPPABLE, UNREDACTABLE, UNSUPPORTED
from shipper.delivery.batch import Batch, BatchLimits, Position
from shipper.model.context import NOTHING, Context, Meters
from shipper.model.events import (
    DECODED_BYTES,
    AnyEvent,
    BrokenEvent,
    Event,
    Run,
    as_text,
    events,
    events_and_runs,
    is_own,
    size_of,
    unread_events,
)
from shipper.model.log_record import Encoder, LogRecord
from shipper.model.signals import AUTO, LOGS, METRICS, TRACES, Selection
from shipper.parse.log_parser import LogParser
from shipper.parse.text_formats import TELLING, may_tell_failure
from shipper.parse.text_lines import TextLines, TextRun
from shipper.parse.times import unix_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from shipper.delivery.interfaces import Shapes
    from shipper.invocations.phases import Phases
    from shipper.model.log_record import WriteText
    from shipper.model.span import Span
    from shipper.otlp_requests import ItemRow, Requests
    from shipper.rules.rule_set import Rules

    LineOf = Callable[[Event, int, Context, WriteText], bytes | LogRecord]
    Adding = Generator[Batch, None, tuple[Batch, Position, Position]]

# Further reasons, as the ledger has them; those that are settings are the settings' names.
OWN_LINE = "own_line"
NO_PLATFORM_LOGS = "platform_logs"
UNSAMPLED = "unsampled"

# What a line has in it that is metrics in CloudWatch's Embedded Metric Format.
_MEASURES = b"CloudWatchMetrics"

# In a frame of less there are too few lines for it to be worth looking for several that can be read together: what that
# takes, some thirty functions, is fetched from memory anew after each wait.
LEAST_FOR_RUNS_BYTES = 8192

# After so much of what was made somebody else may have a turn: some dozen lines, or a long one.
_LOOK_BYTES = 4096

# So much of a frame, twice as much each time, is read event by event where there are no lines that are read together.
_READ_BYTES = 256

# Batches of less end within what is looked at, and the rest of that would be looked for anew, with each of them.
LEAST_BATCH_BYTES, LEAST_BATCH_RECORDS = 131_072, 1000

# Where it was in vain so often, more and more of a frame is passed by, up to a megabyte, before it is tried again.
_MISSES_TO_PASS, _MOST_MISSES = 8, 12


class Row:
    """What one event comes to.

    Attributes:
        context: After it.
        record: Its log record; b"" without one.
        reason: Why it is given up; "" when it is not.
        key: What records of a request must have in common with it; "" for nothing.
        spans: Complete with it.
        metrics: That it tells.
        is_part: It is nothing by itself, and part of a span or a metric to come.
        is_undecided: It can only be judged once more of the stream is there.
        is_unmapped: It was not understood, and is passed through as text.
        is_blanked: Something of it could not be redacted, and is blanked whole.
    """

    __slots__ = (
        *("context", "is_blanked", "is_part", "is_undecided", "is_unmapped"),
        *("key", "metrics", "reason", "record", "spans"),
    )

    def __init__(self, context: Context) -> None:
        self.context = context
        self.record = b""
        self.key = ""
        self.reason = ""
        self.spans: tuple[bytes, ...] = ()
        self.metrics: list[bytes] = []
        self.is_part = self.is_undecided = self.is_unmapped = self.is_blanked = False


class Pipeline:
    """Makes batches of frames.

    Args:
        encoder: Writes log records.
        limits: Looked at anew for every record.
        log: Says what could not be written.
        selection: What is made.
        shapes: Writes spans and metrics; None where the destination takes none.
        rules: What leaves; None for everything.
        under_way: Where a successor finds which event this shipper was at, and where it is found which its
            predecessors died of.

    Attributes:
        between: Called between events, so that nobody is forgotten while a batch is made. Whether what is made so far
            is to be a batch; it may also raise.
        ledger: The supervisor's counts, which are exported with the metrics.
        is_final: No further event will come.
        waits: The last run ended before the end of its frames, where the outcome of an invocation has to be known.
    """

    def __init__(
        self,
        encoder: Encoder,
        limits: BatchLimits,
        log: Log,
        selection: Selection | None = None,
        shapes: "Shapes | None" = None,
        rules: "Rules | None" = None,
        under_way: UnderWay | None = None,
    ) -> None:
        self._encoder = encoder
        self._limits = limits
        self._log = log
        self._selection = selection or Selection()
        self._shapes = shapes
        self._rules = rules
        self._takes_emf = shapes is not None and self._selection.emf and self._selection.metrics
        self._sends_nothing = rules is not None and rules.sends_nothing
        self._parser = LogParser() if rules is None else LogParser(rules.shown)
        self._texts = TextLines(self._parser)
        # How many places of a frame in a row began with no lines that are read together, and how many of the next are
        # not looked at for that.
        self._misses = self._passes = 0
        self._phases: Phases | None = None
        self._seed = ""
        self._observed_ns = 0
        self._context = NOTHING
        self._is_damaged = self._said_unmapped = self._said_unsampled = False
        self._under_way = under_way or UnderWay()
        self._deadly = self._under_way.places()
        self._deadly_here: set[int] = set()
        self.between: Callable[[], bool] = _go_on
        self.ledger: dict[str, int] = {}
        self.is_final = False
        self.waits = False
        self._requests: Requests | None = None
        # How large the batch is when others have their turn next.
        self._look_at = 0

    def batches(self, frames: Iterator[Frame], start: Position) -> Iterator[Batch]:
        """The events of `frames` from `start` on; the first frame is that at `start.through`."""
        # A shipper before us may have sent these metrics and died before it said so: what is sent again is the same.
        closing = self._closing(start, is_beginning=True)
        if closing is not None:
            yield closing
            start = closing.end
        yield from self._batches(frames, start)

    def passed(self, frames: Iterator[Frame], start: Position) -> Iterator[Batch]:
        """The events of frames that are given up: as `batches`, but that nothing is made of the context."""
        yield from self._batches(frames, start, closes=False)

    def _batches(self, frames: Iterator[Frame], start: Position, *, closes: bool = True) -> Iterator[Batch]:
        self._look_at = _LOOK_BYTES
        self.waits = False
        position, end = start, start
        batch = Batch()
        for frame in frames:
            add = self._add_events if frame.form is None else self._add_request
            begin = Position(frame.start, start.skip if end is start else 0, end.context)
            adding = add(batch, frame, begin)
            del batch  # or it would be in memory beside the next one of the same frame, though it has left
            batch, position, end = yield from adding
            self._under_way.leave()
            if self.waits:
                break
        closing = self._closing(end) if closes and not self.waits else None
        # Past the last event, but not yet at the end: that is reached once what goes with it is delivered, too.
        batch.close(end if closing is None else position)
        if not batch.is_empty or batch.end.context is not start.context:
            yield batch
        if closing is not None:
            yield closing

    def _add_events(self, batch: Batch, frame: Frame, start: Position) -> "Adding":
        """Adds the events of a frame to a batch and, when it is full, to others.

        Returns:
            The last batch; the position past the last event, and that of the end: of the frame, or of where it
            waits.
        """
        limits, words, says_more = self._limits, self._under_way.words, self._says_more
        encode: Callable[[Any], bytes] = self._encoder.log
        context, look_at = start.context, self._look_at
        batch.mark(start)
        index = start.skip - 1
        self._context = context
        found = self._events(frame, start.skip)
        line_of, write = self._quick()
        for event in found:
            index += 1
            filled = batch.body_bytes
            if filled >= look_at:
                look_at = filled + _LOOK_BYTES
                if self._is_enough() and batch.rows:
                    batch.close(Position(frame.start, index, context))
                    yield batch
                    batch, filled, look_at = self._begun(batch.end), 0, _LOOK_BYTES
                    line_of, write = self._quick()
            words[1] = index + 1
            item, row = b"", None
            if type(event) is Event and event.type == "function":
                # The common case, in as few steps as there can be.
                try:
                    line = line_of(event, index, context, write)
                    # Asking a struct's class otherwise takes as long as reading a line.
                    item = line if type(line) is bytes else b"" if says_more(event, context) else encode(line)
                except Exception:  # noqa: BLE001 - it is tried again, and said
                    item = b""
                size = len(item)
            elif isinstance(event, Run):
                index += self._add_run(batch, event, index, context) - 1
                continue
            if not item:
                row = self._row(event, index, context)
                if self.waits:
                    end = Position(frame.start, index, context)
                    return batch, end, end
                size = len(row.record) + sum(map(len, row.spans)) + sum(map(len, row.metrics))
            if batch.rows and (filled + size > limits.batch_bytes or batch.rows >= limits.batch_records):
                batch.close(Position(frame.start, index, context))
                self._under_way.leave()
                yield batch
                batch = self._begun(batch.end)
                line_of, write = self._quick()
            if row is None:
                batch.add_line(item)
                continue
            _add(batch, row, event)
            look_at = 0
            if row.context is not context:
                context = self._context = row.context
                batch.mark(Position(frame.start, index + 1, context))
        self._look_at = look_at
        return batch, Position(frame.start, index + 1, context), Position(frame.end, 0, context)

    def _add_run(self, batch: Batch, run: Run, index: int, context: Context) -> int:
        """Adds lines that are read together, if they can be, as many as there is room for; how many."""
        limits = self._limits
        room = limits.batch_records - batch.rows
        run.read_bytes = 1
        if room <= 0:
            return 0
        self._under_way.words[1] = SEVERAL + 1
        run.keep(room)
        try:
            lines = self._written(run, index, context)
        except Exception:  # noqa: BLE001 - each of them is tried again, and said
            lines = []
        if not lines:
            self._missed()
            run.read_bytes = 0
            return 0
        self._misses = 0
        count = batch.add_lines(lines, limits.batch_bytes)
        run.keep(count)
        run.is_taken = count > 0
        return count

    def _written(self, run: Run, index: int, context: Context) -> list[bytes]:
        """The lines of a run as they are written; none where each has to be read by itself."""
        several = self._encoder.several
        if several is None:
            return []
        records = run.records(index) if isinstance(run, TextRun) else self._parser.records(run, index, context)
        if records is None or (self._rules is not None and not self._rules.are_severe(records.levels)):
            return []
        return several(records)

    def _run(self, payload: memoryview, at: int) -> Run | int:
        """Lines that are read together, at a place of a frame; else how much of it is read event by event."""
        limits = self._limits
        if self._passes or limits.batch_bytes < LEAST_BATCH_BYTES or limits.batch_records < LEAST_BATCH_RECORDS:
            self._passes = max(0, self._passes - 1)
            return DECODED_BYTES
        self._under_way.words[1] = SEVERAL + 1
        run = self._texts.run(payload, at, self._context) or self._json_run(payload, at)
        if run is not None:
            return run
        self._missed()
        return min(_READ_BYTES << self._misses, DECODED_BYTES)

    def _missed(self) -> None:
        """Has lines that are read together looked for in fewer and fewer places, as long as there are none."""
        self._misses = min(self._misses + 1, _MOST_MISSES)
        self._passes = (1 << max(0, self._misses - _MISSES_TO_PASS)) - 1

    def _json_run(self, payload: memoryview, at: int) -> Run | None:
        """Such that are JSON of one shape."""
        shapes = self._parser.shapes
        if shapes is None:
            return None
        run = shapes.run(payload, at, self._telling(self._context))
        return run if run is not None and is_utf8(run.raw) else None

    def _telling(self, context: Context) -> tuple[bytes, ...]:
        """What stands in a line of one shape with others that has to be looked at by itself: see `_says_more`."""
        if self._shapes is None:
            return ()
        return ((_MEASURES,) if self._takes_emf else ()) + (TELLING if context.open else ())

    def _add_request(self, batch: Batch, frame: Frame, start: Position) -> "Adding":
        """Adds a request of the function's own SDK; as `_add_events`."""
        if self._requests is None:
            from shipper.otlp_requests import Requests

            self._requests = Requests(
                self._encoder, self._limits, self._log, self._selection, self._shapes, self._rules
            )
        limits, position = self._limits, start
        is_deadly = (frame.start, ALL_OF_IT) in self._deadly
        self._under_way.enter(frame.start, start.skip)
        for row in self._requests.rows(frame, start.skip, start.context, is_deadly=is_deadly):
            if row.is_undecided:
                self.waits = True
                return batch, position, position
            is_full = batch.body_bytes + len(row.record) > limits.batch_bytes or batch.rows >= limits.batch_records
            if batch.rows and (is_full or self._is_enough()):
                batch.close(position)
                self._under_way.leave()
                yield batch
                batch = self._begun(batch.end)
            batch.mark(position)
            _add_items(batch, row)
            position = Position(frame.start, position.skip + row.items, start.context)
            self._under_way.enter(frame.start, position.skip)
        self._look_at = 0
        return batch, position, Position(frame.end, 0, start.context)

    def _begun(self, position: Position) -> Batch:
        """A batch that goes on where the last one ended."""
        batch = Batch()
        batch.mark(position)
        return batch

    def _events(self, frame: Frame, skip: int) -> "Iterator[AnyEvent | Run]":
        """The events of a frame, but for some from the first."""
        self.begin(frame)
        self._under_way.enter(frame.start, skip)
        self._deadly_here = {index for offset, index in self._deadly if offset == frame.start}
        if ALL_OF_IT in self._deadly_here:
            return islice(unread_events(frame), skip, None)
        if len(frame.payload) >= LEAST_FOR_RUNS_BYTES and self._encoder.several is not None and self._has_runs:
            return events_and_runs(frame, skip, self._run)
        return islice(events(frame), skip, None)

    def _is_enough(self) -> bool:
        """Lets others have their turn; whether what is made so far is to leave."""
        self._under_way.leave()
        return self.between()

    def _quick(self) -> "tuple[LineOf, WriteText]":
        """What makes an encoded log record of a line in few steps, or its record; b"" where it may take more than that.

        To be asked for every batch: delivery may have found out that another encoding is taken.

        Returns:
            It, and what it is to be given to write with.
        """
        encoder, says_more, origin_of = self._encoder, self._says_more, self._parser.origin
        if not self._is_plain:
            return _no_item, _no_item
        if encoder.text_line is not None:
            return self._parser.line, encoder.text_line
        write_event = encoder.event
        if write_event is None:
            record_of = self._parser.record
            return lambda event, index, context, _: record_of(event, index, context), _no_item

        def of_event(event: Event, index: int, context: Context, _: object) -> bytes:
            return b"" if says_more(event, context) else write_event(event, origin_of(event, context), index)

        return of_event, _no_item

    @property
    def _is_plain(self) -> bool:
        """Whether a line that says nothing else is a log record without further ado."""
        return self._rules is None and self._is_simple

    @property
    def _has_runs(self) -> bool:
        """Whether lines may be read together: of these no more is known to the rules than their levels."""
        return self._is_simple and (self._rules is None or self._rules.asks_levels_alone)

    @property
    def _is_simple(self) -> bool:
        """The same, but for what the rules say of it."""
        is_simple = self._encoder.key is None and self._selection.logs
        return is_simple and not self._deadly_here and not self._is_unsupported(LOGS)

    def _says_more(self, event: Event, context: Context) -> bool:
        """Whether a line of the function may be more than a log record, and anybody has to know."""
        if self._shapes is None:
            return False
        raw = bytes(event.record)
        return (self._takes_emf and raw.find(_MEASURES) >= 0) or (bool(context.open) and may_tell_failure(raw))

    def look_ahead(self, frames: Iterator[Frame], position: Position, *, is_pressed: bool) -> None:
        """Lets the rules see what is to be shipped next, where one of them has to know how an invocation went.

        Args:
            frames: What is to be shipped.
            position: Where to begin, in the first of them.
            is_pressed: There is no room to wait for more.
        """
        if self._rules is not None and self._rules.looks_ahead:
            is_final, is_report = self.is_final or is_pressed, self._selection.interleaved
            found = self._watched(frames, position.skip)
            self._rules.look_ahead(found, position.context, is_final=is_final, is_report=is_report)

    def _watched(self, frames: Iterator[Frame], skip: int) -> "Iterator[AnyEvent]":
        """The platform's events, between whose frames others have their turn."""
        for frame in frames:
            self._is_enough()
            if frame.form is None:
                yield from islice(events(frame), skip, None)
            skip = 0

    def begin(self, frame: Frame) -> None:
        """Takes what a frame says of all its events."""
        self._parser.begin(frame)
        self._texts.begin()
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
        if shapes is None or self._sends_nothing:
            return None
        is_last = self.is_final and not is_beginning
        has_open = is_last and bool(context.open or context.phase)
        if not has_open and not self._has_metrics_due(context.meters, is_last=is_last):
            return None  # as nearly always: no batch is made for it
        batch = Batch()
        if has_open:
            context, spans = self._following.finished(context, max(self._observed_ns, context.meters.until_ns))
            for span in spans:
                if TRACES not in shapes.unsupported and self._is_in_sample(span, context):
                    try:
                        batch.add(TRACES, shapes.span(self._shown(span)))
                    except Exception as exc:  # noqa: BLE001 - what one event said must not end all the others
                        self._log.error("shipper.span_unmappable", error=type(exc).__name__)
        meters = context.meters
        if self._has_metrics_due(meters, is_last=is_last):
            from shipper.model.meters import exported
            from shipper.model.metrics import export_of

            export = export_of(meters, self.ledger, is_cumulative=selection.is_cumulative)
            for record in shapes.metrics(export if self._rules is None else self._rules.redacted_export(export)):
                batch.add(METRICS, record)
            context = context.with_meters(exported(meters, self.ledger, is_cumulative=selection.is_cumulative))
        batch.close(Position(end.through, end.skip, context))
        return batch if context is not end.context else None

    def _has_metrics_due(self, meters: Meters, *, is_last: bool) -> bool:
        """Whether metrics go with the end of a shipment, which is the last of all or not."""
        selection, shapes = self._selection, self._shapes
        if not (meters.values and selection.metrics) or shapes is None or METRICS in shapes.unsupported:
            return False
        if is_last:
            return True
        from shipper.model.meters import is_due

        return is_due(meters, selection.interval_ns)

    def _row(self, event: AnyEvent, index: int, context: Context) -> Row:
        row = Row(context)
        if self._sends_nothing:
            row.reason = OWN_LINE if is_own(event) else UNREDACTABLE
            return row
        if index in self._deadly_here or ALL_OF_IT in self._deadly_here:
            self._pass_through(event, index, row, "deadly")
            return row
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
            row.context, row.spans, row.metrics = context, (), []
            self._pass_through(event, index, row, type(exc).__name__)
        self.waits = row.is_undecided
        return row

    def _pass_through(self, event: AnyEvent, index: int, row: Row, error: str) -> None:
        """What cannot be mapped is shipped as text, and counted."""
        row.is_undecided, row.reason, row.is_unmapped, row.is_blanked = False, "", True, False
        # Of many only the first is said: a function may write what cannot be mapped line after line.
        say = self._log.debug if self._said_unmapped else self._log.warning
        self._said_unmapped = True
        say("shipper.record_unmapped", error=error, index=index, effect="it is shipped as text, and counted")
        if not self._selection.logs or self._is_unsupported(LOGS):
            row.reason = UNSUPPORTED if self._selection.logs else NO_SIGNAL
            return
        shown = event if self._rules is None else self._rules.blanked(event)
        row.is_blanked = shown is not event
        for text in (shown, as_text(shown)):
            try:
                self._write(self._parser.unread(text, index, row.context), row)
            except Exception as exc:  # noqa: BLE001 - as above
                error = type(exc).__name__
            else:
                return
        self._log.error("shipper.record_unmappable", error=error, index=index)
        row.record, row.reason = b"", UNMAPPABLE

    def _write(self, record: LogRecord, row: Row) -> None:
        row.record = self._encoder.log(record)
        if self._encoder.key is not None:
            row.key = self._encoder.key(record)

    def _line(self, event: AnyEvent, index: int, row: Row) -> None:
        """A line of the function or of an extension, or what is no event at all."""
        is_shipped = self._selection.logs and not self._is_unsupported(LOGS)
        says_more = isinstance(event, Event) and event.type == "function" and self._says_more(event, row.context)
        if says_more and self._takes_emf and type(event) is Event and not self._is_unsupported(METRICS):
            rest = self._measured(event, row)
            if rest is None or (row.metrics and not is_shipped):
                return
            event = rest
        if not is_shipped:
            row.reason = UNSUPPORTED if self._selection.logs else NO_SIGNAL
            if not says_more:
                return
        record = self._parser.record(event, index, row.context)
        if says_more:
            told = record if self._rules is None else self._rules.noticed(record)
            row.context = self._following.noticed(told, row.context)
        if is_shipped:
            self._write_judged(record, index, row)

    def _measured(self, event: Event, row: Row) -> Event | None:
        """What a line says beside the metrics that it is, if any; None for nothing. They are noted in the row."""
        raw, rules, context = bytes(event.record), self._rules, row.context
        if raw.find(_MEASURES) < 0:
            return event
        from shipper.parse import emf

        said = emf.members_in(raw)
        shown = said if rules is None else emf.members_in(rules.redacted_json(raw))
        is_cumulative = self._selection.is_cumulative
        found = emf.found_in(said[0], is_cumulative=is_cumulative) if said else None
        told = found if shown is said else emf.found_in(shown[0] if shown else {}, is_cumulative=is_cumulative)
        if self._shapes is None or said is None or found is None or told is None:
            return event
        members, record_of_rest = said
        one = context.invocation(context.request_id)
        since_ns = one.start_ns if one is not None else context.meters.since_ns
        export = emf.export_of(told, since_ns=since_ns, event_ns=unix_ns(event.time) or self._observed_ns)
        row.metrics = self._shapes.metrics(export)
        rest = emf.beside(members, found)
        return Event(event.time, event.type, msgspec.Raw(record_of_rest(rest))) if rest else None

    def _write_judged(self, record: LogRecord, index: int, row: Row) -> None:
        """A log record as the rules leave it."""
        if self._rules is not None:
            judged = self._rules.judged(record, row.context)
            row.reason, row.context, row.is_undecided = judged.reason, judged.context, judged.is_undecided
            row.is_blanked = judged.is_blanked
            if row.reason or row.is_undecided:
                return
            blanked = self._rules.blanked_so_far
            if judged.event is not record.event:
                # Read anew: nothing that is written was found in what may not be shown.
                record = self._parser.record(judged.event, index, row.context)
            record = self._rules.as_read(record)
            row.is_blanked = row.is_blanked or self._rules.blanked_so_far > blanked
        self._write(record, row)

    def _of_platform(self, event: Event, index: int, row: Row) -> None:
        rules = self._rules
        blanked = 0 if rules is None else rules.blanked_so_far
        told = event if rules is None else rules.followed(event)
        moved = self._following.moved(told, f"{self._seed}-{index}", self._observed_ns, row.context)
        before, row.context = row.context, moved.context
        selection, shapes = self._selection, self._shapes
        if moved.is_unsampled:
            self._say_unsampled()
        if shapes is not None and TRACES not in shapes.unsupported:
            row.spans = tuple(shapes.span(self._shown(one)) for one in moved.spans if self._is_in_sample(one, before))
        row.is_blanked = rules is not None and rules.blanked_so_far > blanked
        if (
            selection.logs
            and not self._is_unsupported(LOGS)
            and (event.type in selection.platform_logs or moved.is_strange)
        ):
            record = self._parser.record(event, index, row.context)
            if self._rules is not None:
                judged = self._rules.judged_of_platform(record, event, before)
                row.reason, row.is_undecided = judged.reason, judged.is_undecided
                row.is_blanked = row.is_blanked or judged.is_blanked
                if judged.context.kept != row.context.kept:
                    row.context = msgspec.structs.replace(row.context, kept=judged.context.kept)
                if judged.event is not event:
                    record = self._parser.record(judged.event, index, row.context)
            if row.is_undecided:
                return
            if not row.reason:
                self._write(record, row)
                return
        if moved.is_part and shapes is not None and (selection.traces or selection.metrics):
            is_nothing = moved.is_unsampled and not row.spans
            row.reason, row.is_part = UNSAMPLED if is_nothing else "", not row.spans and not is_nothing
        else:
            row.reason = row.reason or NO_PLATFORM_LOGS

    def _say_unsampled(self) -> None:
        """Says once that spans are left out: nobody else would."""
        if self._said_unsampled:
            return
        self._said_unsampled = True
        # Who asked for it knows.
        say = self._log.warning if self._selection.unsampled == AUTO else self._log.info
        say(
            "shipper.spans_unsampled",
            setting="TAILRACE_TRACE_UNSAMPLED",
            used=self._selection.unsampled,
            effect="an invocation that X-Ray does not sample gets no span; each is counted as dropped: unsampled",
            hint="TAILRACE_TRACE_UNSAMPLED=1 makes a span of every invocation",
        )

    def _is_unsupported(self, signal: str) -> bool:
        return self._shapes is not None and signal in self._shapes.unsupported

    def _is_in_sample(self, span: "Span", context: Context) -> bool:
        return self._rules is None or self._rules.takes_span(span, context)

    def _shown(self, span: "Span") -> "Span":
        """A span as a reader may see it."""
        return span if self._rules is None else self._rules.redacted_span(span)

    @property
    def _following(self) -> "Phases":
        if self._phases is None:
            from shipper.invocations.phases import Phases

            self._phases = Phases(self._selection)
        return self._phases


def _go_on() -> bool:
    return False


def _no_item(*_: object) -> bytes:
    return b""


def _add(batch: Batch, row: Row, event: AnyEvent) -> None:
    if row.reason:
        batch.lost[batch.rows] = row.reason
        batch.lost_bytes[batch.rows] = size_of(event)
    elif row.record:
        batch.add(LOGS, row.record, row.key)
    for span in row.spans:
        batch.add(TRACES, span)
    for metric in row.metrics:
        batch.add(METRICS, metric)
    if row.is_unmapped:
        batch.unmapped.add(batch.rows)
    if row.is_blanked:
        batch.unredactable.add(batch.rows)
    if row.is_part:
        batch.parts[batch.rows] = size_of(event)
    if type(event) is BrokenEvent:
        batch.weights[batch.rows] = event.events
    batch.rows += 1


def _add_items(batch: Batch, row: "ItemRow") -> None:
    if row.reason:
        batch.lost[batch.rows] = row.reason
    else:
        batch.add(row.sent_as, row.record, row.key)
    batch.lost_bytes[batch.rows] = row.body_bytes
    batch.weights[batch.rows] = row.items
    batch.exported[batch.rows] = row.signal
    if row.is_blanked:
        batch.unredactable.add(batch.rows)
    batch.rows += 1
