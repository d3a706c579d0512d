"""What a receiver of OTLP answers, in either encoding: records that it rejected, and its own words.

Source: OTLP specification, "OTLP/HTTP Response"; opentelemetry/proto/collector/logs/v1; google/rpc/status.proto.
"""

import msgspec


class Answer(msgspec.Struct, frozen=True):
    """What an answer says beside its status.

    Attributes:
        rejected: Records that were not taken of a request that otherwise was.
        message: Why, in words that are not fit to be shown yet; "" for none.
    """

    rejected: int = 0
    message: str = ""


class PartialSuccess(msgspec.Struct):
    """What of a request was not taken."""

    # The protocol's names; int64 is a string in protobuf's JSON.
    rejectedLogRecords: int | str | None = 0  # noqa: N815
    rejectedSpans: int | str | None = 0  # noqa: N815
    rejectedDataPoints: int | str | None = 0  # noqa: N815
    errorMessage: str | None = ""  # noqa: N815


class Body(msgspec.Struct):
    """An Export…ServiceResponse, or the google.rpc.Status of a request that failed."""

    partialSuccess: PartialSuccess | None = None  # noqa: N815
    message: str | None = ""


NOTHING = Answer()

# Tags of fields: of a response and of its partial success, and of a Status.
_PARTIAL_SUCCESS, _REJECTED, _ERROR_MESSAGE = 0x0A, 0x08, 0x12
_MESSAGE = 0x12

# A negative int64 is larger.
_MOST = 2**63

_bodies = msgspec.json.Decoder(Body)


def answer_of(body: bytes, *, is_success: bool) -> Answer:
    """What an answer's body says; nothing, if it is none of OTLP's.

    Args:
        body: As received. It says itself in which encoding it is: no message of protobuf's begins with a brace.
        is_success: Of a request that was taken.
    """
    if not body:
        return NOTHING
    try:
        return (
            _in_json(body, is_success=is_success)
            if body.lstrip()[:1] == b"{"
            else _in_protobuf(body, is_success=is_success)
        )
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return NOTHING


def _in_json(body: bytes, *, is_success: bool) -> Answer:
    found = _bodies.decode(body)
    if not is_success:
        return Answer(0, found.message or "")
    partial = found.partialSuccess
    if partial is None:
        return NOTHING
    counts = (partial.rejectedLogRecords, partial.rejectedSpans, partial.rejectedDataPoints)
    return Answer(max(0, *(int(count or 0) for count in counts)), partial.errorMessage or "")


def _in_protobuf(body: bytes, *, is_success: bool) -> Answer:
    from lifecycle.contract.otlp_wire import fields, varint_at

    found = {tag: body[start:end] for tag, _, start, end in fields(body)}
    if not is_success:
        return Answer(0, _text(found, _MESSAGE))
    partial = found.get(_PARTIAL_SUCCESS, b"")
    inner = {tag: partial[start:end] for tag, _, start, end in fields(partial)}
    rejected = varint_at(inner.get(_REJECTED, b"\0"), 0)[0]
    return Answer(rejected if rejected < _MOST else 0, _text(inner, _ERROR_MESSAGE))


def _text(found: dict[int, bytes], tag: int) -> str:
    return found.get(tag, b"").decode("utf-8", "replace")
