"""Records in Firehose and Kinesis: packed within limits, what failed sent again alone."""

import base64
import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.delivery.batch import Batch, BatchLimits, Position
from shipper.delivery.delivery import Delivery
from shipper.delivery.outcome import Outcome, Verdict
from shipper.destinations import firehose, kinesis
from shipper.destinations.registry import create
from shipper.destinations.streams import PackedRequest, Packs, read
from shipper.errors import HeldError
from shipper.model.context import Context
from shipper.model.signals import selected_by
from shipper.pipeline import Pipeline
from shipper.transport.response import Response
from tests.shipper.destinations.stream_server import StreamServer
from tests.shipper.moto_server import Aws
from tests.shipper.support import Lines, Timing, Waits, event, frame, settings_of, start

SCHEMES = ("firehose", "kinesis")
KEYS = {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}


def delivered(scheme: str, events: Sequence[object], **environ: str) -> tuple[Batch, Lines]:
    """Delivers events as the shipper would."""
    settings = settings_of(TAILRACE_DESTINATION=f"{scheme}://stream", **environ)
    settings.function.instance_id = "00112233aabbccdd"
    lines = Lines()
    destination = create(settings, Waits(), lines.log)
    limits = BatchLimits(8_000_000, 5000)
    pipeline = Pipeline(destination.encoder, limits, lines.log, selected_by(settings))
    (batch,) = pipeline.batches(iter([frame(*events)]), Position(0, 0, Context()))
    delivery = Delivery(destination, Timing(), limits, base_s=0.01, most_s=0.01, log=lines.log)
    try:
        delivery.deliver([batch], lambda _batch: None)
    except HeldError as exc:
        lines.log.debug("held", reason=exc.reason)
    finally:
        destination.close()
    return batch, lines


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_row_arrives_once_within_the_limits(scheme: str) -> None:
    """Five thousand of them, some large: several requests, of few records."""
    events = [
        start(),
        *(event({"level": "INFO", "message": f"{n} " + "x" * (n % 7) ** 4, "n": n}) for n in range(4500)),
    ]
    with StreamServer() as server:
        batch, _ = delivered(scheme, events, **KEYS, AWS_ENDPOINT_URL=server.url)
        assert batch.is_done
        assert not server.complaints
        assert [row["attributes"]["n"] for row in server.rows] == [str(n) for n in range(4500)]
        assert len({row["uid"] for row in server.rows}) == 4500
        assert sum(server.requests) < 450
        if scheme == "kinesis":
            assert {key for key, _ in server.taken} == {"459921b5-681c-4a96-beb0-81e0aa586026"}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_failed_is_sent_again_alone(scheme: str) -> None:
    """What was taken is not."""
    seen: set[bytes] = set()

    def fails(data: bytes) -> str:
        is_first = data not in seen
        seen.add(data)
        return "ProvisionedThroughputExceededException" if is_first and b"odd" in data else ""

    pad = "x" * 30_000
    events = [event(f"{'odd' if n % 2 else 'even'} {n} {pad}") for n in range(10)]
    with StreamServer(fails=fails) as server:
        batch, _ = delivered(scheme, events, **KEYS, AWS_ENDPOINT_URL=server.url)
        assert batch.is_done
        assert not batch.lost
        assert sorted(int(row["message"].split()[1]) for row in server.rows) == list(range(10))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, "ThrottlingException"),
        (400, "KMSThrottlingException"),
        (503, "ServiceUnavailableException"),
        (500, "InternalFailure"),
    ],
)
def test_a_request_that_is_too_much_comes_again(scheme: str, status: int, error: str) -> None:
    """Whatever the status."""
    with StreamServer(trouble=lambda number: (status, error) if number == 1 else None) as server:
        batch, _ = delivered(scheme, [event("one")], **KEYS, AWS_ENDPOINT_URL=server.url)
        assert batch.is_done
        assert len(server.rows) == 1


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("ResourceNotFoundException", "ResourceNotFoundException"),
        ("AccessDeniedException", "unauthorised"),
        ("KMSDisabledException", "KMSDisabledException"),
        ("KMSInvalidStateException", "KMSInvalidStateException"),
        ("KMSOptInRequired", "KMSOptInRequired"),
        ("InvalidKMSResourceException", "InvalidKMSResourceException"),
        ("SubscriptionRequiredException", "SubscriptionRequiredException"),
    ],
)
def test_what_somebody_has_to_mend_is_said_and_records_wait(scheme: str, error: str, reason: str) -> None:
    """As a stream that is not there, a role that may not, or a key that is disabled."""
    with StreamServer(trouble=lambda _number: (400, error)) as server:
        batch, lines = delivered(scheme, [event("one")], **KEYS, AWS_ENDPOINT_URL=server.url)
    assert not batch.is_done
    assert not batch.lost
    assert lines.written[-1]["reason"] == reason
    (warning,) = [line for line in lines.written if line["level"] == "warning"]
    assert warning["said"] == "as told"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_line_that_no_record_can_hold_is_dropped_and_counted(scheme: str) -> None:
    """It is not even sent."""
    with StreamServer() as server:
        batch, _ = delivered(scheme, [event("x" * 1_100_000), event("small")], **KEYS, AWS_ENDPOINT_URL=server.url)
        assert batch.lost == {0: "too_large"}
        assert [row["message"] for row in server.rows] == ["small"]
        assert not server.complaints


def test_firehose_takes_it_as_moto_plays_it(aws: Aws) -> None:
    """Its signature is checked, and what it writes to its bucket is what was logged."""
    with aws.unchecked():
        aws.client("s3").create_bucket(
            Bucket="tailrace-firehose", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        to = {"RoleARN": "arn:aws:iam::123456789012:role/f", "BucketARN": "arn:aws:s3:::tailrace-firehose"}
        aws.client("firehose").create_delivery_stream(
            DeliveryStreamName="stream", ExtendedS3DestinationConfiguration=to
        )
    batch, _ = delivered("firehose", [event(f"line {n}") for n in range(3)], **aws.environ)
    assert batch.is_done
    with aws.unchecked():
        client = aws.client("s3")
        names = [one["Key"] for one in client.list_objects_v2(Bucket="tailrace-firehose")["Contents"]]
        text = b"".join(client.get_object(Bucket="tailrace-firehose", Key=name)["Body"].read() for name in names)
    assert [json.loads(line)["message"] for line in text.splitlines()] == ["line 0", "line 1", "line 2"]


def test_kinesis_takes_it_as_moto_plays_it(aws: Aws) -> None:
    """Its signature is checked; a shard is read back."""
    with aws.unchecked():
        aws.client("kinesis").create_stream(StreamName="stream", ShardCount=1)
    batch, _ = delivered("kinesis", [start(), *(event(f"line {n}") for n in range(3))], **aws.environ)
    assert batch.is_done
    with aws.unchecked():
        client = aws.client("kinesis")
        shard = client.list_shards(StreamName="stream")["Shards"][0]["ShardId"]
        at = client.get_shard_iterator(StreamName="stream", ShardId=shard, ShardIteratorType="TRIM_HORIZON")
        records = client.get_records(ShardIterator=at["ShardIterator"])["Records"]
    assert [record["PartitionKey"] for record in records] == ["459921b5-681c-4a96-beb0-81e0aa586026"]
    lines = b"".join(record["Data"] for record in records).splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["line 0", "line 1", "line 2"]


@given(
    st.lists(
        st.tuples(st.sampled_from([b"a", b"b"]), st.binary(max_size=9000).map(lambda raw: raw.replace(b"\n", b""))),
        min_size=1,
    )
)
def test_records_hold_every_row_in_order_and_none_twice(rows: list[tuple[bytes, bytes]]) -> None:
    """Each knows how many are in it; those of another key are in another."""
    items = [b"%b\n%b\n" % row for row in rows]
    request = Packs(kinesis.STREAM, "s", "/")(items)
    assert isinstance(request, PackedRequest)
    records = json.loads(request.body)["Records"]
    assert sum(request.packed) == len(items)
    at = 0
    for count, record in zip(request.packed, records, strict=True):
        own = rows[at : at + count]
        assert {key.decode() for key, _ in own} == {record["PartitionKey"]}
        assert base64.b64decode(record["Data"]) == b"".join(row + b"\n" for _, row in own)
        at += count


@given(st.integers(100, 599), st.binary(), st.sampled_from(["application/json", "text/html"]))
def test_whatever_is_answered_means_something(status: int, body: bytes, kind: str) -> None:
    """A success that says nothing of records is none."""
    request = Packs(firehose.STREAM, "s", "/")([b"{}\n"])
    outcome = read(request, Response(status=status, headers={b"content-type": kind.encode()}, body=body))
    assert isinstance(outcome, Outcome)
    assert outcome.verdict is not Verdict.DONE or b"Failed" in body
