"""The instruments: FaaS metrics of OpenTelemetry's semantic conventions, and what Lambda tells beyond them.

Source: semantic conventions 1.4x, "FaaS metrics": names, units, and that `faas.invocations` counts the successful ones,
so that invocations, errors and timeouts together are all there were.
"""

import math
from collections.abc import Iterable

import msgspec

from shipper.model import semconv
from shipper.model.context import Meters

# The conventions' bounds end at 10 s; a Lambda function may take 15 minutes, and a quick one a millisecond.
SECONDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    *(30.0, 60.0, 120.0, 300.0, 600.0, 900.0),
)
_MIB = 1024.0 * 1024.0
# Lambda gives a function 128 MB to 10 GB.
MEMORY = tuple(size * _MIB for size in (32, 64, 96, 128, 192, 256, 384, 512, 1024, 2048, 4096, 8192, 10240))
# A response is at most 6 MB, streamed 20 and more.
RESPONSE = (0.0, 128.0, 1024.0, 8192.0, 65536.0, 524_288.0, 1_048_576.0, 6_291_456.0, 20_971_520.0)

# count, sum, least, most; the buckets follow.
HEAD = 4


class Instrument(msgspec.Struct, frozen=True):
    """One metric.

    Attributes:
        bounds: Of a histogram's buckets; empty: it is a counter.
    """

    name: str
    unit: str
    about: str
    bounds: tuple[float, ...] = ()


# Positions in the table; they stand in packed contexts.
INVOCATIONS, ERRORS, TIMEOUTS, COLD_STARTS, INVOKE_DURATION, INIT_DURATION, MEMORY_USED = range(7)
BILLED_DURATION, RESTORE_DURATION, PRODUCED_BYTES, EXTENSION_OVERHEAD, OUT_OF_MEMORY = range(7, 12)

TABLE = (
    Instrument(semconv.FAAS_INVOCATIONS, "{invocation}", "Number of successful invocations"),
    Instrument(semconv.FAAS_ERRORS, "{error}", "Number of invocation errors"),
    Instrument(semconv.FAAS_TIMEOUTS, "{timeout}", "Number of invocation timeouts"),
    Instrument(semconv.FAAS_COLDSTARTS, "{coldstart}", "Number of invocation cold starts"),
    Instrument(semconv.FAAS_INVOKE_DURATION, "s", "Duration of the function's logic execution", SECONDS),
    Instrument(semconv.FAAS_INIT_DURATION, "s", "Duration of the function's initialization", SECONDS),
    Instrument(semconv.FAAS_MEM_USAGE, "By", "Most memory used, per invocation", MEMORY),
    Instrument("aws.lambda.billed_duration", "s", "Billed duration, per invocation", SECONDS),
    Instrument("aws.lambda.restore_duration", "s", "Duration of the restore of a SnapStart snapshot", SECONDS),
    Instrument("aws.lambda.produced_bytes", "By", "Size of the response, per invocation", RESPONSE),
    Instrument(
        "aws.lambda.extension_overhead", "s", "Time extensions took after the function, per invocation", SECONDS
    ),
    Instrument("aws.lambda.out_of_memory", "{invocation}", "Number of invocations that ran out of memory"),
)


def measured(meters: Meters, at_ns: int, *taken: tuple[int, float | None]) -> Meters:
    """The meters after some measurements; those without a sensible value are left out.

    Args:
        meters: As they stand; they are not changed.
        at_ns: When they were taken.
        taken: Instrument's position and value.
    """
    values = None
    for number, value in taken:
        if value is not None and 0 <= value < math.inf:
            if values is None:
                values = meters.values.copy()
            values[number] = _with(values.get(number), TABLE[number].bounds, value)
    if values is None:
        return meters
    # What is told late may be older than the counts: no point ends before it begins.
    until_ns = max(meters.since_ns, meters.until_ns, at_ns)
    return Meters(meters.since_ns or at_ns, until_ns, values, meters.ledger, meters.exported_ns)


def _with(state: list[int | float] | None, bounds: tuple[float, ...], value: float) -> list[int | float]:
    if not bounds:
        return [(state[0] if state else 0) + int(value)]
    if state is None:
        state = [0, 0.0, value, value, *(0 for _ in bounds), 0]
    bucket, above = 0, len(bounds)
    while bucket < above:  # as bisect.bisect_left does, which would be a module to load
        middle = (bucket + above) // 2
        if value <= bounds[middle]:
            above = middle
        else:
            bucket = middle + 1
    found = state.copy()
    found[0] += 1
    found[1] += value
    found[2] = min(found[2], value)
    found[3] = max(found[3], value)
    found[HEAD + bucket] += 1
    return found


def is_due(meters: Meters, interval_ns: int) -> bool:
    """Whether an export is worth its request by now."""
    return bool(meters.values) and meters.until_ns >= meters.exported_ns + interval_ns


def exported(meters: Meters, ledger: dict[str, int], *, is_cumulative: bool) -> Meters:
    """The meters once their values are on their way."""
    if is_cumulative:
        return msgspec.structs.replace(meters, ledger=ledger, exported_ns=meters.until_ns)
    return Meters(since_ns=meters.until_ns, until_ns=meters.until_ns, ledger=ledger, exported_ns=meters.until_ns)


def seconds(duration_ms: float | None) -> float | None:
    """Milliseconds in seconds."""
    return None if duration_ms is None else duration_ms / 1000


def total(values: Iterable[float | None]) -> float | None:
    """The sum of those that are known; None when none is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None
