"""Which place of OTLP's AnyValue a JSON value has, in either encoding.

Source: opentelemetry/proto/common/v1/common.proto.
"""

import math

# protobuf's parsers stop at 100 nested messages, and a level here is three of them; what lies deeper stays JSON
# text.
MOST_DEPTH = 20

MOST_INT64 = 2**63 - 1
LEAST_INT64 = -(2**63)
_INT64_DIGITS = 19


def number_of(raw: bytes) -> int | float | None:
    """A JSON number as int64 or double; None for what neither can hold, which stays text."""
    if raw.isdigit() and len(raw) < _INT64_DIGITS:
        return int(raw)
    if raw.isdigit() or (raw[:1] == b"-" and raw[1:].isdigit()):
        # int() refuses more than 4300 digits.
        if len(raw) <= len(str(LEAST_INT64)) and LEAST_INT64 <= int(raw) <= MOST_INT64:
            return int(raw)
        return None
    number = float(raw)
    return number if math.isfinite(number) else None
