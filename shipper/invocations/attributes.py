"""What a record says beside what is known of it, as attributes, in no more than may travel with a report."""

import msgspec

from lifecycle.contract.quick import cache
from shipper.model.platform_records import Part
from shipper.model.semconv import AWS_LAMBDA_INVOKED_ARN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

# Packed, for one invocation, init or restore.
MOST_BYTES = 400

# Where the semantic conventions have a name for it.
_NAMES = {
    "function_arn": AWS_LAMBDA_INVOKED_ARN,
    "duration_ms": "aws.lambda.duration_ms",
}


def attributes_of(part: Part, *but: str) -> "Iterator[tuple[str, Any]]":
    """Members of a record by name, those without a value or with a place of their own left out."""
    for other, held in part.others.items():
        yield f"aws.lambda.{snake(other)}", held
    for name, attribute, is_duration in _members_of(type(part), but):
        value = getattr(part, name)
        # What is counted is whole; a duration is a fraction even where it happens to be whole.
        if type(value) is float and not is_duration and value.is_integer():
            yield attribute, int(value)
        elif value is not None and value not in ("", []):
            yield attribute, value


@cache
def _members_of(kind: type[Part], but: tuple[str, ...]) -> tuple[tuple[str, str, bool], ...]:
    """Of a kind of record, each member that is to be told: its name, its attribute's, and whether it is a duration."""
    return tuple(
        (name, _NAMES.get(name, f"aws.lambda.{name}"), name.endswith("duration_ms"))
        for name in kind.__struct_fields__
        if name != "others" and name not in but
    )


def bounded(attributes: "dict[str, Any]") -> "dict[str, Any]":
    """As many of them, from the first, as may travel with a report."""
    if not attributes:
        return attributes
    left = MOST_BYTES
    try:  # a few bytes more than one by one
        if len(msgspec.msgpack.encode(attributes)) + len(attributes) <= left:
            return attributes
    except OverflowError:
        pass
    kept = {}
    for name, value in attributes.items():
        try:
            packed = msgspec.msgpack.encode((name, value))
        except OverflowError:  # an integer of more than 64 bits
            import json

            value = json.dumps(value)  # noqa: PLW2901 - as text it travels
            packed = msgspec.msgpack.encode((name, value))
        left -= len(packed)
        if left >= 0:
            kept[name] = value
    return kept


def snake(name: str) -> str:
    """`tenantId` as `tenant_id`."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
