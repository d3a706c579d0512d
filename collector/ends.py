"""When a function returned, as the platform says: a runtimeDone can be late by a restart, a pause or a cold start.

Source: lambda-apis.md, section 4: `time` is RFC 3339, milliseconds, UTC.
"""

from datetime import datetime

import msgspec

from collector.messages import Body

RUNTIME_DONE = "platform.runtimeDone"


class _Timed(msgspec.Struct, gc=False):
    type: str
    time: msgspec.Raw = msgspec.Raw()


_events = msgspec.json.Decoder(list[_Timed])
_moment = msgspec.json.Decoder(datetime)


def last_end_epoch_s(body: Body) -> float:
    """Epoch seconds of the last platform.runtimeDone in a batch; 0 when it does not say.

    Reads the batch a second time: one in many brings a runtimeDone, and the others need not pay for its time.
    """
    try:
        times = [event.time for event in _events.decode(body) if event.type == RUNTIME_DONE]
        return _moment.decode(times[-1]).timestamp() if times else 0.0
    except (msgspec.MsgspecError, RecursionError, ValueError, OverflowError):
        return 0.0
