"""What of a line stands beside its text in a log record: a JSON line's members, an exception."""

from lifecycle.contract.json_text import without_newline
from shipper.destinations.otlp.json_values import any_value, key_value, object_value, plain_value, text_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from shipper.parse.exceptions import Told
    from shipper.parse.json_lines import Line

# Ours alone, in a record's attributes.
_RESERVED = frozenset(
    (
        *("aws.lambda.event.type", "faas.invocation_id", "log.record.uid"),
        *("exception.type", "exception.message", "exception.stacktrace"),
    )
)


def body_of(line: "Line", raw: bytes) -> tuple[bytes, bytes]:
    """A JSON line's body, and the attributes beside it: no member is lost. `raw` is all of the line."""
    if line.message is not None:
        return any_value(without_newline(line.message)), _attributes(line.rest)
    if line.exception is not None and line.exception.message:
        return text_value(line.exception.message.encode()), _attributes(line.rest)
    if line.rest:
        return object_value(line.rest), b""
    from shipper.parse.json_lines import members_of

    return object_value(members_of(raw) or {}), b""


def _attributes(members: dict[str, bytes]) -> bytes:
    """Members of a line as attributes; one that is called like one of ours gets another name."""
    pairs = [key_value(f"log.{name}" if name in _RESERVED else name, any_value(raw)) for name, raw in members.items()]
    return b",".join([*pairs, b""])


def exception_attributes(exception: "Told") -> bytes:
    """OpenTelemetry semantic conventions, "Exceptions in logs"."""
    pairs: tuple[tuple[str, Any], ...] = (
        ("exception.type", exception.type),
        ("exception.message", exception.message),
        ("exception.stacktrace", exception.stack),
    )
    return b"".join(key_value(name, plain_value(value)) + b"," for name, value in pairs if value)
