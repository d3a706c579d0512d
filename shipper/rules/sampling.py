"""Which invocations are shipped: a share of them, drawn by request id, and every one that failed.

Whether one failed is known when it ends, and its lines come before: so the rest of the stream is looked at first. Where
the end is not there yet, nothing from the invocation's first line on is cut, until it is or there is no room to wait.
"""

import zlib
from collections.abc import Iterator

import msgspec

from lifecycle.contract.quick import suppress
from shipper.invocations.invocation import failure
from shipper.model.context import NOTHING, Context, Past
from shipper.model.events import AnyEvent, Event
from shipper.model.platform_records import Ended, PhaseStarted, Started, record_of
from shipper.parse.exceptions import failure_in
from shipper.parse.log_parser import LogParser
from shipper.parse.text_formats import may_tell_failure

# On Managed Instances so many may run at a time.
_MOST_KNOWN = 256


class Sample:
    """Draws.

    Args:
        ratio: Share of invocations, from 0 to 1.
    """

    def __init__(self, ratio: float) -> None:
        self._below = int(ratio * 2**32)
        self._failed: set[str] = set()
        self._ended: set[str] = set()
        self._is_final = False
        self._parser = LogParser()
        self._context = NOTHING

    def look_ahead(self, events: Iterator[AnyEvent], context: Context, *, is_final: bool, is_report: bool) -> None:
        """Finds out how the invocations in a part of the stream went.

        Args:
            events: What is to be shipped next.
            context: Before it.
            is_final: Nothing can be waited for: what has no end in them counts as failed.
            is_report: Only platform.report tells an end, as on Managed Instances.
        """
        self._context, self._is_final = context, is_final
        # What was told before is not told again.
        self._ended = {one.request_id for one in context.recent} - {one.request_id for one in context.open}
        self._failed = {one.request_id for one in context.open if failure(one)}
        running = "" if is_report else context.request_id
        for event in events:
            if isinstance(event, Event):
                with suppress(Exception):  # no record may take the shipper down: it says nothing then
                    running = self._followed(event, running, is_report=is_report)

    def _followed(self, event: Event, running: str, *, is_report: bool) -> str:
        """Which invocation is running after an event; how it went is noted."""
        raw = bytes(event.record)
        if event.type.startswith("platform."):
            return self._note(event.type, raw, running, is_report=is_report)
        if event.type == "function" and may_tell_failure(raw):
            record = self._parser.record(event, 0, self._context)
            if failure_in(record, self._context.runtime) is not None:
                self._failed.add(record.origin.request_id or running)
        return running

    def _note(self, kind: str, raw: bytes, running: str, *, is_report: bool) -> str:
        record = record_of(kind, raw)
        if isinstance(record, Started):
            # One at a time: the one before is over, whether its end was told or not.
            if running:
                self._ended.add(running)
            self._ended.discard(record.request_id)  # it is tried again
            # Whose a line is must be told here as it will be when it is shipped.
            known = (*(Past(one.request_id) for one in self._context.known), Past(record.request_id))
            running = "" if is_report else record.request_id
            runtime = self._context.runtime
            self._context = Context(request_id=running, recent=known[-_MOST_KNOWN:], runtime=runtime)
            return running
        if isinstance(record, PhaseStarted) and record.runtime:
            self._context = msgspec.structs.replace(self._context, runtime=record.runtime)
        if isinstance(record, Ended) and kind != "platform.end":
            if record.error_type or record.status not in ("", "success"):
                self._failed.add(record.request_id)
            elif kind == "platform.report" or not is_report:
                self._ended.add(record.request_id)
        return running

    def takes(self, request_id: str) -> bool:
        """Whether an invocation is drawn, however it went."""
        return not request_id or zlib.crc32(request_id.encode()) < self._below

    def verdict(self, request_id: str) -> bool | None:
        """Whether an invocation that is not drawn is shipped; None while that cannot be told."""
        if request_id in self._failed:
            return True
        if request_id in self._ended:
            return False
        return True if self._is_final else None
