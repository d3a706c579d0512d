"""Which invocation a line belongs to, told from the stream alone.

The state at an offset travels with every report, so a replaced shipper goes on as if nothing had happened.
"""

import msgspec

from shipper.telemetry import AnyEvent, Event

# A request id is 36 characters; what is much longer is not one, and must not fill a packet.
MOST_ID = 128


class Context(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is running at a point of the stream.

    Attributes:
        request_id: The invocation's; "" during init.
    """

    request_id: str = ""


class RequestRecord(msgspec.Struct):
    """A record that may name its request."""

    requestId: str = ""  # noqa: N815 - the platform's name


NOTHING = Context()
_requests = msgspec.json.Decoder(RequestRecord)
_contexts = msgspec.msgpack.Decoder(Context)
_encoder = msgspec.msgpack.Encoder()


def packed(context: Context) -> bytes:
    """A context as `Shipped.context` carries it: opaque, below 1 KB."""
    return _encoder.encode(context) if context != NOTHING else b""


def unpacked(data: bytes) -> Context:
    """The context that `packed` made; bytes of any other origin mean that nothing is known."""
    try:
        return _contexts.decode(data) if data else NOTHING
    except msgspec.MsgspecError:
        return NOTHING


def request_id_of(record: bytes) -> str:
    """The `requestId` of a record that is an object; "" without one."""
    if not record.startswith(b"{"):
        return ""
    try:
        request_id = _requests.decode(record).requestId
    except msgspec.MsgspecError:
        return ""
    return request_id if len(request_id) <= MOST_ID else ""


def after(context: Context, event: AnyEvent) -> Context:
    """The context once `event` has passed; the same object when it changes nothing.

    A start begins an invocation, an init begins none. The end of one changes nothing: what is logged between
    two invocations belongs to the one before.
    """
    if not isinstance(event, Event):
        return context
    if event.type == "platform.start":
        return Context(request_id=request_id_of(bytes(event.record)))
    if event.type == "platform.initStart":
        return NOTHING
    return context
