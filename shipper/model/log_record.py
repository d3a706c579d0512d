"""What a line means, in no destination's form: found once, by `parse`, and written by every encoder."""

import msgspec

from shipper.model import semconv
from shipper.model.severity import number_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    from shipper.model.events import AnyEvent, Event

    WriteText = Callable[[bytes, int, str, "Origin", int], bytes]
else:
    AnyEvent = Protocol = object

# The attribute that says of which type of event something is a record.
EVENT_TYPE = "aws.lambda.event.type"

# Ours alone, in a log record's attributes: what a line has under such a name gets `log.` before it.
RESERVED = frozenset(
    (
        *(EVENT_TYPE, semconv.FAAS_INVOCATION_ID, semconv.LOG_RECORD_UID),
        *(semconv.EXCEPTION_TYPE, semconv.EXCEPTION_MESSAGE, semconv.EXCEPTION_STACKTRACE),
    )
)


class ExceptionInfo(msgspec.Struct, frozen=True, gc=False):
    """An exception that a line tells of.

    Attributes:
        type: Its class; "" when the line does not say.
        message: What it says.
        stack: Its stack trace, as text.
        is_uncaught: Whether the runtime itself tells of it: the invocation failed.
        may_be_printed: Whether that holds for Go alone: functions in other languages may print the same.
    """

    type: str = ""
    message: str = ""
    stack: str = ""
    is_uncaught: bool = False
    may_be_printed: bool = False


class Origin(msgspec.Struct, eq=False, gc=False):
    """Where a line comes from: what it shares with others of its frame. One object for all of them, as a rule.

    Attributes:
        event_type: The event's type, as the platform names it; "" for what is no event.
        request_id: The invocation it belongs to; "" for none.
        trace_id: Of that invocation's trace, or the one that the line names; "" for none.
        span_id: Likewise.
        flags: Trace flags (W3C Trace Context); None when they are not known.
        observed_ns: When the collector took the batch, in nanoseconds since the epoch.
        batch_id: With a dash and its index in the batch, the record's uid.
        tenant: The tenant that the invocation is for, as a raw JSON value; b"" for none.
    """

    event_type: str = ""
    request_id: str = ""
    trace_id: str = ""
    span_id: str = ""
    flags: int | None = None
    observed_ns: int = 0
    batch_id: str = ""
    tenant: bytes = b""

    def is_as(self, other: "Origin") -> bool:
        """Whether what comes from there comes from the same place."""
        return msgspec.structs.astuple(self) == msgspec.structs.astuple(other)


class LogRecord(msgspec.Struct, gc=False):
    """What one event means.

    Attributes:
        event: As it came.
        index: Its place in the batch.
        origin: Where it comes from.
        body: What is to be read first, a raw JSON value: a text without its final newline, a message, or an object.
        time_ns: When it was written, in nanoseconds since the epoch; None when nothing says so.
        severity_text: The level as written; "" for none.
        attributes: What stands beside the body, by name, as raw JSON values; not what has a field of its own here.
        exception: The exception that it tells of.
        scope: The logger's name; "" for none.
        prefix_bytes: What of a body that is a text, from its quote on, is no more than what is said here already: the
            time, id and level that Lambda's own runtimes put before it.
    """

    event: AnyEvent
    index: int
    origin: Origin
    body: bytes
    time_ns: int | None = None
    severity_text: str = ""
    attributes: tuple[tuple[str, bytes], ...] = ()
    exception: ExceptionInfo | None = None
    scope: str = ""
    prefix_bytes: int = 0

    @property
    def severity_number(self) -> int:
        """OpenTelemetry's; 0 for unknown."""
        return number_of(self.severity_text) if self.severity_text else 0

    @property
    def uid(self) -> str:
        """Tells it from every other one (`log.record.uid`), also when it is sent twice."""
        return f"{self.origin.batch_id}-{self.index}"


class Column(msgspec.Struct, frozen=True, gc=False):
    """An attribute of several records.

    Attributes:
        name: Its name.
        is_text: Whether its values are texts without an escape, which stand here without their quotes; else they are
            raw JSON values that are no texts.
        values: By record.
        numbers: The values as whole numbers, if they are all such from 0 on; a single one where they are the same.
            Nothing where that is not known.
    """

    name: str
    is_text: bool
    values: "Sequence[bytes]"
    numbers: "Sequence[int]" = ()


class Records(msgspec.Struct, frozen=True, gc=False):
    """Log records of one origin that follow one another and have the same attributes: what they mean, by column.

    Attributes:
        index: Place in the batch of the first.
        origin: Where they come from.
        bodies: Texts, not as JSON has them but themselves, in UTF-8; of all that JSON escapes they have tabs alone.
        times_ns: When each was written, in nanoseconds since the epoch.
        levels: As written; "" for none.
        attributes: What stands beside the bodies.
        scopes: The loggers' names; "" for none.
    """

    index: int
    origin: Origin
    bodies: "Sequence[bytes]"
    times_ns: "Sequence[int]"
    levels: "Sequence[str]"
    attributes: "Sequence[Column]"
    scopes: "Sequence[str]"


class Encoder(Protocol):
    """A destination's way to write log records.

    Attributes:
        text_line: Writes a plain text line, one without an exception and with a time, without a record: the same bytes
            that `log` makes of it. Given are the JSON string as it came, when it was written, in nanoseconds since the
            epoch, the level as written ("" for none), its origin and its index. None where there is no shorter way.
        event: Writes an event, given where it comes from and its index: the same bytes that `log` makes of its record,
            for a destination that writes events as they came. None where that is not so.
        several: Writes records by column: of each the same bytes that `log` makes of it, of some that follow one
            another together where they are joined. None where there is no such way.
        key: What records of a request must have in common, for a destination that groups them. None where it does not.
    """

    text_line: "WriteText | None" = None
    event: "Callable[[Event, Origin, int], bytes] | None" = None
    several: "Callable[[Records], list[bytes]] | None" = None
    key: "Callable[[LogRecord], str] | None" = None

    def log(self, record: LogRecord) -> bytes:
        """One record as the destination's request body has it."""
