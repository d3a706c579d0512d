"""Timestamps as telemetry and logging libraries write them (RFC 3339, ISO 8601) to nanoseconds since the epoch.

Never guesses: what is not such a timestamp, or does not fit OTLP's unsigned 64 bits, is None.
"""

from lifecycle.contract import late

TYPE_CHECKING = False
if TYPE_CHECKING:
    import datetime as dt
else:  # all of it that is used, without the module that would do the same in Python (see `lean`)
    import _datetime as dt

# After the seconds: a fraction of any length, then Z or an offset. With a comma and without a colon, as ISO 8601 allows
# and Python's logging libraries write it.
_REST = late.pattern(r"(?:[.,]([0-9]+))?(?:([Zz])|([+-])([01][0-9]|2[0-3]):?([0-5][0-9]))")

_SECONDS_LENGTH = len("2024-05-20T16:29:45")
_MS_LENGTH = len("2024-05-20T16:29:45.008Z")
_MOST_NS = 2**63 - 1

_NS_PER_S, _NS_PER_MS = 1_000_000_000, 1_000_000

# A line is written when its event is made, or by who collects what it has to say until it returns: in a quarter of an
# hour at most. A time that is further away is that of something else.
NEAR_NS = 15 * 60 * 1_000_000_000

# A year; not even a durable function takes longer.
_MOST_DURATION_MS = 366 * 86_400_000

# Distinct timestamps and seconds remembered: a batch seldom spans more. What is longer is none that anybody writes.
_MOST_REMEMBERED = 512
_MOST_LENGTH = 40

# What some timestamps came to: most of a burst share theirs with others. To be looked into where a call is too dear.
KNOWN: dict[str, int] = {}
_seconds: dict[str, int] = {}


def unix_ns(text: str) -> int | None:
    """Nanoseconds since the epoch; None when `text` is not a timestamp."""
    known = KNOWN.get(text)
    if known is not None:
        return known
    head = text[:_SECONDS_LENGTH]
    seconds = _seconds.get(head)
    if seconds is None:
        seconds = _parsed(head)
    if seconds is None:
        return None
    is_usual = len(text) == _MS_LENGTH and text[-1] == "Z" and text[_SECONDS_LENGTH] == "." and text.isascii()
    if is_usual and (ms := text[-4:-1]).isdigit():
        # As the platform, the runtimes and most loggers write it.
        found = seconds * _NS_PER_S + int(ms) * _NS_PER_MS
    else:
        rest = _REST.fullmatch(text, _SECONDS_LENGTH)
        if rest is None:
            return None
        fraction, zulu, sign, hours, minutes = rest.groups()
        if not zulu:
            offset_s = int(hours) * 3600 + int(minutes) * 60
            seconds += offset_s if sign == "-" else -offset_s
        found = seconds * _NS_PER_S + (int(fraction[:9].ljust(9, "0")) if fraction else 0)
    if not 0 <= found <= _MOST_NS:
        return None
    if len(text) <= _MOST_LENGTH:
        if len(KNOWN) >= _MOST_REMEMBERED:
            KNOWN.clear()
        KNOWN[text] = found
    return found


def _parsed(head: str) -> int | None:
    # fromisoformat alone takes more forms than RFC 3339 has.
    if len(head) != _SECONDS_LENGTH or head[10] not in "Tt " or not head.isascii():
        return None
    try:
        moment = dt.datetime.fromisoformat(head + "+00:00")
    except ValueError:
        return None
    if len(_seconds) >= _MOST_REMEMBERED:
        _seconds.clear()
    seconds = _seconds[head] = int(moment.timestamp())
    return seconds


def duration_ns(duration_ms: float | None) -> int:
    """Nanoseconds of a duration; 0 for one that is none, or longer than anything here lasts."""
    return int(duration_ms * _NS_PER_MS) if duration_ms is not None and 0 <= duration_ms < _MOST_DURATION_MS else 0
