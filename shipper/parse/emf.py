"""Metrics that a function prints as lines: CloudWatch's Embedded Metric Format, which Powertools and others write.

CloudWatch makes a distribution of every metric, which has a sum, a count, a least and a most. What is counted becomes
a sum here, everything else a histogram, whose buckets are those of durations where it is one; where a backend wants
values since the environment began, which nobody could keep for names and dimensions without bound, a gauge.

Source: CloudWatch user guide, "Specification: Embedded metric format"; UCUM for units.
"""

import math

import msgspec

from shipper.model.meters import SECONDS
from shipper.model.metrics import DELTA, Export, Histogram, Metric, Point
from shipper.parse.json_lines import members_of, members_within, object_of
from shipper.parse.text_formats import object_behind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any
else:
    Any = object

METADATA = "_aws"

# Of an attribute; CloudWatch tells metrics of the same name apart by it.
NAMESPACE = "aws.cloudwatch.namespace"

# The format's own limits.
_MOST_METRICS, _MOST_VALUES, _MOST_DIMENSIONS = 100, 100, 30
_MOST_TEXT = 1024

_COUNT = "Count"
_TIMES = {"Seconds": 1.0, "Milliseconds": 1e3, "Microseconds": 1e6}
_UNITS = {
    _COUNT: "1",
    "None": "1",
    "Seconds": "s",
    "Milliseconds": "ms",
    "Microseconds": "us",
    "Percent": "%",
    **{f"{name}ytes": f"{sign}By" for name, sign in (("B", ""), ("Kilob", "k"), ("Megab", "M"), ("Gigab", "G"))},
    "Terabytes": "TBy",
    **{f"{name}its": f"{sign}bit" for name, sign in (("B", ""), ("Kilob", "k"), ("Megab", "M"), ("Gigab", "G"))},
    "Terabits": "Tbit",
}
_PER_SECOND = "/Second"
_NS_PER_MS = 1_000_000
_MOST_NS = 2**63 - 1
_MOST_INT = 2**63 - 1


class Definition(msgspec.Struct):
    """One of `Metrics`."""

    Name: str
    Unit: str = "None"


class Directive(msgspec.Struct):
    """One of `CloudWatchMetrics`."""

    Namespace: str
    Metrics: list[Definition]
    Dimensions: list[list[str]] = []


class _Metadata(msgspec.Struct):
    """`_aws`."""

    CloudWatchMetrics: list[Directive]
    Timestamp: int = 0


_metadata = msgspec.json.Decoder(_Metadata)
_anything = msgspec.json.Decoder()
_to_json = msgspec.json.Encoder().encode


class Found(msgspec.Struct, frozen=True):
    """What a line in this format says.

    Attributes:
        metrics: Each with its dimensions.
        at_ns: When; 0 where it does not say.
        used: Members that are told by the metrics: their values, and the format's own.
        dimensions: Members that are told by them, and say more of the line's others, too.
    """

    metrics: list[Metric]
    at_ns: int
    used: frozenset[str]
    dimensions: frozenset[str]


def members_in(raw: bytes) -> "tuple[dict[str, bytes], Callable[[bytes], bytes]] | None":
    """The members that a record has or holds, and what makes a record of others in their place; None for no members.

    They may stand behind what a runtime writes before each message, and be the message of a runtime's own JSON.
    """
    behind = object_behind(raw) if raw[:1] == b'"' else b""
    members = members_of(behind or raw)
    if members is None:
        return None
    if behind:
        head = raw[: len(raw) + 1 - len(behind)]
        return members, lambda rest: head + _to_json(rest.decode())[1:]
    within = members_within(members)
    if within is None:
        return members, bytes
    return within, lambda rest: object_of({**members, "message": rest})


def found_in(members: dict[str, bytes], *, is_cumulative: bool) -> Found | None:
    """The metrics that a line's members say; None where it is not of this format.

    Args:
        members: Raw.
        is_cumulative: Whether the backend wants values since the environment began.
    """
    try:
        said = _metadata.decode(members.get(METADATA, b""))
    except (msgspec.MsgspecError, RecursionError):
        return None
    metrics: list[Metric] = []
    used, dimensions = {METADATA}, set[str]()
    for directive in said.CloudWatchMetrics:
        names = dict.fromkeys(name for one in directive.Dimensions for name in one)
        pairs = [(name, _text(members.get(name))) for name in list(names)[:_MOST_DIMENSIONS]]
        attributes = {NAMESPACE: directive.Namespace[:_MOST_TEXT], **{name: text for name, text in pairs if text}}
        for one in directive.Metrics[:_MOST_METRICS]:
            values = _numbers(members.get(one.Name)) if one.Name else []
            if values and len(metrics) < _MOST_METRICS:
                metrics.append(_metric(one, values, attributes, is_cumulative=is_cumulative))
                used.add(one.Name)
        dimensions.update(name for name, text in pairs if text)
    at_ns = said.Timestamp * _NS_PER_MS if 0 < said.Timestamp <= _MOST_NS // _NS_PER_MS else 0
    return Found(metrics, at_ns, frozenset(used), frozenset(dimensions)) if metrics else None


def export_of(found: Found, *, since_ns: int, event_ns: int) -> Export:
    """What is exported of it.

    Args:
        found: What the line says.
        since_ns: When what is counted began: the invocation, as a rule; 0 for unknown.
        event_ns: The line's time.
    """
    until_ns = found.at_ns or event_ns
    since_ns = since_ns if 0 < since_ns < until_ns else until_ns
    return Export(since_ns=since_ns, until_ns=until_ns, temporality=DELTA, metrics=found.metrics)


def beside(members: dict[str, bytes], found: Found) -> bytes:
    """What else the line says, as a raw JSON object; b"" where that is nothing but the dimensions."""
    rest = {name: value for name, value in members.items() if name not in found.used}
    if found.dimensions.issuperset(rest):
        return b""
    return object_of(rest)


def _metric(one: Definition, values: list[int | float], attributes: dict[str, str], *, is_cumulative: bool) -> Metric:
    name, unit = one.Name[:_MOST_TEXT], _unit(one.Unit)
    if one.Unit == _COUNT:
        total = sum(values)
        point = Point(total if isinstance(total, float) or abs(total) <= _MOST_INT else float(total), attributes)
        return Metric(name, unit, "", [point], is_gauge=is_cumulative, is_monotonic=min(values) >= 0)
    if is_cumulative:
        return Metric(name, unit, "", [Point(values[-1], attributes)], is_gauge=True)
    scale = _TIMES.get(one.Unit)
    bounds = tuple(bound * scale for bound in SECONDS) if scale else ()
    buckets = [0] * (len(bounds) + 1)
    for value in values:
        buckets[next((at for at, bound in enumerate(bounds) if value <= bound), len(bounds))] += 1
    histogram = Histogram(
        count=len(values),
        total=float(sum(values)),
        least=float(min(values)),
        most=float(max(values)),
        buckets=buckets,
        bounds=bounds,
    )
    return Metric(name, unit, "", [Point(histogram, attributes)])


def _unit(unit: str) -> str:
    """A unit of CloudWatch's by UCUM; one that it does not have as it is."""
    of, per, rest = unit.partition(_PER_SECOND)
    known = _UNITS.get(of)
    if known is None or rest:
        return unit[:_MOST_TEXT]
    return f"{known}/s" if per else known


def _numbers(raw: bytes | None) -> list[int | float]:
    """The values of a metric: a number, or a list of them; none where it is anything else."""
    value = _value(raw)
    values = value if isinstance(value, list) else [value]
    if not 0 < len(values) <= _MOST_VALUES or not all(_is_number(one) for one in values):
        return []
    return values if math.isfinite(sum(values)) else []


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (type(value) is int and abs(value) <= _MOST_INT)


def _text(raw: bytes | None) -> str:
    """The value of a dimension; "" for none."""
    value = _value(raw)
    text = value if isinstance(value, str) else raw.decode() if raw and type(value) in (int, float, bool) else ""
    return text[:_MOST_TEXT]


def _value(raw: bytes | None) -> Any:
    if not raw or len(raw) > _MOST_TEXT * 8:
        return None
    try:
        return _anything.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        return None
