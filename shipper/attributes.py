"""What a record says beside what is known of it, as attributes, in no more than may travel with a report."""

import msgspec

from shipper.records import Part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

# Packed, for one invocation, init or restore.
MOST_BYTES = 400

# Where the semantic conventions have a name for it.
_NAMES = {
    "function_arn": "aws.lambda.invoked_arn",
    "duration_ms": "aws.lambda.duration_ms",
}


def attributes_of(part: Part, *but: str) -> "Iterator[tuple[str, Any]]":
    """Members of a record by name, those without a value or with a place of their own left out."""
    for name in part.__struct_fields__:
        value = getattr(part, name)
        if name == "others":
            yield from ((f"aws.lambda.{snake(other)}", held) for other, held in value.items())
        elif name not in but and value not in ("", None, []):
            # What is counted is whole; a duration is a fraction even where it happens to be whole.
            is_whole = isinstance(value, float) and value.is_integer() and not name.endswith("duration_ms")
            yield _NAMES.get(name, f"aws.lambda.{name}"), int(value) if is_whole else value


def bounded(attributes: "dict[str, Any]") -> "dict[str, Any]":
    """As many of them, from the first, as may travel with a report."""
    left = MOST_BYTES
    kept = {}
    for name, value in attributes.items():
        left -= len(msgspec.msgpack.encode((name, value)))
        if left >= 0:
            kept[name] = value
    return kept


def snake(name: str) -> str:
    """`tenantId` as `tenant_id`."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
