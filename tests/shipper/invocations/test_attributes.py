"""What a record says beside what is known of it, as attributes."""

import json

import msgspec

from shipper.invocations.attributes import MOST_BYTES, attributes_of, bounded, snake
from shipper.model.platform_records import Metrics, Started, record_of


def test_members_are_named_like_aws_own_attributes() -> None:
    """What the conventions have a name for has that; what has no value or a place of its own is left out."""
    raw = json.dumps({"requestId": "r", "version": "1", "functionArn": "arn:x", "durable": {"a": 1}}).encode()
    record = record_of("platform.start", raw)
    assert isinstance(record, Started)
    assert dict(attributes_of(record, "request_id")) == {
        "aws.lambda.version": "1",
        "aws.lambda.invoked_arn": "arn:x",
        "aws.lambda.durable": {"a": 1},
    }


def test_counts_are_whole_and_durations_fractions() -> None:
    """So that an attribute has one type, whatever its value happens to be."""
    found = dict(attributes_of(Metrics(duration_ms=3.0, memory_size_mb=128.0)))
    assert found == {"aws.lambda.duration_ms": 3.0, "aws.lambda.memory_size_mb": 128}
    assert [type(value) for value in found.values()] == [float, int]


def test_no_more_is_kept_than_may_travel() -> None:
    """From the first on; a number of more than 64 bits travels as text."""
    many = {f"name{number}": "x" * 50 for number in range(100)}
    kept = bounded({"large": 2**70, **many})
    assert kept["large"] == str(2**70)
    assert [*kept] == ["large", *many][: len(kept)]
    assert MOST_BYTES - 70 < sum(len(msgspec.msgpack.encode(pair)) for pair in kept.items()) <= MOST_BYTES


def test_snake() -> None:
    """Also where a name begins with a capital."""
    assert (snake("tenantId"), snake("Phase"), snake("x")) == ("tenant_id", "phase", "x")
