"""What a line means, in no destination's form: found once, by `parse`, and written by every encoder."""

import msgspec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.model.events import AnyEvent
else:
    AnyEvent = object


class ExceptionInfo(msgspec.Struct, frozen=True, gc=False):
    """An exception that a line tells of.

    Attributes:
        type: Its class; "" when the line does not say.
        message: What it says.
        stack: Its stack trace, as text.
        is_uncaught: Whether the runtime itself tells of it: the invocation failed.
    """

    type: str = ""
    message: str = ""
    stack: str = ""
    is_uncaught: bool = False


class LogRecord(msgspec.Struct, gc=False, kw_only=True):
    """What one event means.

    Attributes:
        time_ns: When it was written, in nanoseconds since the epoch; None when nothing says so.
        observed_ns: When the collector took the batch, likewise.
        severity_number: OpenTelemetry's; 0 for unknown.
        severity_text: The level as written; "" for none.
        body: What is to be read first, a raw JSON value: a text without its final newline, a message, or an object.
        attributes: What stands beside the body, by name, as raw JSON values; not what has a field of its own here.
        request_id: The invocation it belongs to; "" for none.
        trace_id: Of that invocation's trace, or the one that the line names; "" for none.
        span_id: Likewise.
        flags: Trace flags (W3C Trace Context); None when they are not known.
        exception: The exception that it tells of.
        scope: The logger's name; "" for none.
        uid: Tells it from every other one (`log.record.uid`), also when it is sent twice.
        event_type: The event's type, as the platform names it; "" for what is no event.
        event: As it came.
    """

    time_ns: int | None = None
    observed_ns: int = 0
    severity_number: int = 0
    severity_text: str = ""
    body: bytes
    attributes: tuple[tuple[str, bytes], ...] = ()
    request_id: str = ""
    trace_id: str = ""
    span_id: str = ""
    flags: int | None = None
    exception: ExceptionInfo | None = None
    scope: str = ""
    uid: str = ""
    event_type: str = ""
    event: AnyEvent
