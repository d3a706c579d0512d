"""Records in S3: one object a shipment, which overwrites itself, in partitions that DuckDB reads as one table."""

import datetime as dt
import gzip
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from shipper.delivery.batch import BatchLimits, Position
from shipper.delivery.delivery import Delivery
from shipper.delivery.outcome import Verdict
from shipper.destinations.registry import create
from shipper.destinations.s3 import read
from shipper.model.context import Context
from shipper.model.signals import LOGS, selected_by
from shipper.pipeline import Pipeline
from shipper.transport.response import Response
from tests.shipper.moto_server import REGION, Aws
from tests.shipper.support import TIME, Lines, Server, Timing, Waits, event, frame, http, settings_of, start

NAME = "tailrace-archive"
PLAIN = "2024-05-20T16:29:44.001Z\t459921b5-681c-4a96-beb0-81e0aa586026\tINFO\tplain"
EVENTS = [
    start(),
    event(f"{PLAIN}\n"),
    event({"level": "ERROR", "message": "two\nlines", "count": 3, "nested": {"a": [1, None]}, "flag": True}),
    event({"level": "info", "message": "other type", "count": "three", "nested": "text"}),
    event("umlaut ä and \U0001f600\n", time="2024-05-20T17:00:00.000Z"),
]


class Archive:
    """A bucket, the destination and what came of a delivery."""

    def __init__(self, aws: Aws, bucket: str, prefix: str = "/logs/all", **environ: str) -> None:
        self.client = aws.client("s3")
        self.bucket = bucket
        with aws.unchecked():
            self.client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.settings = settings_of(
            **{
                **aws.environ,
                "TAILRACE_DESTINATION": f"s3://{bucket}{prefix}",
                "AWS_LAMBDA_FUNCTION_NAME": "hello",
                "OTEL_RESOURCE_ATTRIBUTES": "team=a b",
                **environ,
            }
        )
        self.settings.function.instance_id = "00112233aabbccdd"
        self.lines = Lines()
        self.destination = create(self.settings, Waits(), self.lines.log)

    def deliver(self, *events: object) -> None:
        """Delivers events as the shipper would."""
        limits = BatchLimits(1_000_000, 1000)
        pipeline = Pipeline(self.destination.encoder, limits, self.lines.log, selected_by(self.settings))
        (batch,) = pipeline.batches(iter([frame(*events)]), Position(0, 0, Context()))
        delivery = Delivery(self.destination, Timing(), limits, base_s=0.01, most_s=0.01, log=self.lines.log)
        delivery.deliver([batch], lambda _batch: None)
        assert batch.is_done
        assert not [reason for reason in batch.lost.values() if reason != "platform_logs"]

    def objects(self, aws: Aws) -> dict[str, bytes]:
        """What is in the bucket, by name."""
        with aws.unchecked():
            found = self.client.list_objects_v2(Bucket=self.bucket).get("Contents", [])
            return {
                one["Key"]: self.client.get_object(Bucket=self.bucket, Key=one["Key"])["Body"].read() for one in found
            }


def test_rows_are_read_back_as_one_table(aws: Aws, tmp_path: Path) -> None:
    """By DuckDB, whatever lines disagree about; partitions are columns."""
    archive = Archive(aws, "tailrace-table")
    archive.deliver(*EVENTS)
    archive.destination.close()
    found = archive.objects(aws)
    for name, body in found.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    rows = duckdb.sql(
        f"""SELECT service, dt, hour, level, message, attributes['count'], attributes['nested'], resource['team'], time
        FROM read_json('{tmp_path}/logs/all/**/*.ndjson.gz', hive_partitioning = true, columns = {{
            uid: 'VARCHAR', time: 'TIMESTAMP', level: 'VARCHAR', message: 'VARCHAR', request_id: 'VARCHAR',
            attributes: 'MAP(VARCHAR, VARCHAR)', resource: 'MAP(VARCHAR, VARCHAR)'}})
        ORDER BY hour, uid"""  # noqa: S608 - a table of our own
    ).fetchall()
    day = dt.date(2024, 5, 20)
    assert [row[:8] for row in rows] == [
        ("hello", day, 16, "INFO", "plain", None, None, "a b"),
        ("hello", day, 16, "ERROR", "two\nlines", "3", '{"a": [1, null]}', "a b"),
        ("hello", day, 16, "info", "other type", "three", "text", "a b"),
        ("hello", day, 17, None, "umlaut ä and \U0001f600", None, None, "a b"),
    ]
    assert rows[0][8] == dt.datetime(2024, 5, 20, 16, 29, 44, 1000)  # noqa: DTZ001 - DuckDB's have none
    assert sorted(name.rpartition("/")[0] for name in found) == [
        "logs/all/service=hello/dt=2024-05-20/hour=16",
        "logs/all/service=hello/dt=2024-05-20/hour=17",
    ]
    # And as DuckDB guesses it.
    ((count,),) = duckdb.sql(f"SELECT count(DISTINCT uid) FROM '{tmp_path}/logs/all/**/*.ndjson.gz'").fetchall()  # noqa: S608
    assert count == 4


def test_what_is_sent_again_overwrites_itself(aws: Aws) -> None:
    """Also by another shipper, which may cut it otherwise: with more behind the same first record."""
    archive = Archive(aws, "tailrace-again")
    archive.deliver(EVENTS[1])
    once = archive.objects(aws)
    archive.deliver(EVENTS[1])
    assert archive.objects(aws).keys() == once.keys()
    archive.deliver(EVENTS[1], EVENTS[2])
    archive.destination.close()
    (body,) = archive.objects(aws).values()
    assert len(gzip.decompress(body).splitlines()) == 2
    assert archive.objects(aws).keys() == once.keys()


def test_names_and_headers_are_as_s3_and_those_who_read_it_want_them(aws: Aws) -> None:
    """Signed with what is sent; a bucket with dots, a service and a prefix with characters that paths do not have."""
    archive = Archive(aws, "tailrace.with.dots", "/a+b/c=d", OTEL_SERVICE_NAME="Zoë/x", TAILRACE_COMPRESSION="none")
    archive.deliver(EVENTS[1])
    archive.destination.close()
    ((name, body),) = archive.objects(aws).items()
    assert name.startswith("a+b/c=d/service=Zo%C3%AB%2Fx/dt=2024-05-20/hour=16/20240520T162944.001Z-00112233aabbccdd-")
    assert name.endswith(".ndjson")
    assert json.loads(body)["service"] == "Zoë/x"
    with aws.unchecked():
        head = archive.client.head_object(Bucket=archive.bucket, Key=name)
    assert head["ContentType"] == "application/x-ndjson"


def target_of(destination: str, **environ: str) -> tuple[str, str]:
    """Host and path of an object."""
    settings = settings_of(TAILRACE_DESTINATION=destination, AWS_REGION=REGION, **environ)
    made = create(settings, Waits(), Lines().log)
    endpoint = made.endpoints[LOGS]
    assert endpoint.place is not None
    request = endpoint.build([b'{"uid":"00-1","time":"2026-01-02T03:04:05.123456789Z","message":"x"}\n'])
    assert request.method == "PUT"
    return endpoint.place.address.authority, request.target


@pytest.mark.parametrize(
    ("destination", "host", "path"),
    [
        ("s3://bucket", "bucket.s3.eu-west-1.amazonaws.com", "/service%3Dunknown_service/"),
        ("s3://bucket/a/b/", "bucket.s3.eu-west-1.amazonaws.com", "/a/b/service%3D"),
        ("s3://bucket/a?region=us-east-2", "bucket.s3.us-east-2.amazonaws.com", "/a/service%3D"),
        ("s3://bucket?region=cn-north-1", "bucket.s3.cn-north-1.amazonaws.com.cn", "/service%3D"),
        ("s3://b.c.d/a", "s3.eu-west-1.amazonaws.com", "/b.c.d/a/service%3D"),
    ],
)
def test_a_bucket_is_where_its_certificate_fits(destination: str, host: str, path: str) -> None:
    """In the host's name, but for dots."""
    found = target_of(destination)
    assert found[0] == host
    assert found[1].startswith(path)
    assert "/dt%3D2026-01-02/hour%3D03/20260102T030405.123Z-" in found[1]


@pytest.mark.parametrize(
    ("destination", "environ", "said", "host"),
    [
        (
            "s3://bucket?region=b@d/x",
            {"AWS_REGION": REGION},
            "shipper.region_ignored",
            "bucket.s3.eu-west-1.amazonaws.com",
        ),
        ("s3://bucket", {}, "shipper.region_missing", "bucket.s3..amazonaws.com"),
    ],
)
def test_a_region_that_is_none_is_said(destination: str, environ: dict[str, str], said: str, host: str) -> None:
    """And the function's is used."""
    lines = Lines("warning")
    made = create(settings_of(TAILRACE_DESTINATION=destination, **environ), Waits(), lines.log)
    place = made.endpoints[LOGS].place
    assert place is not None
    assert place.address.host == host
    assert lines.events() == [said]


@pytest.mark.parametrize(
    ("status", "headers", "verdict", "reason"),
    [
        (200, {}, Verdict.DONE, ""),
        (200, {b"etag": b'"x"', b"content-type": b"text/html"}, Verdict.DONE, ""),
        (200, {b"content-type": b"text/html"}, Verdict.HELD, "page"),
        (409, {}, Verdict.RETRY, "status_409"),
        (503, {}, Verdict.RETRY, "status_503"),
        (403, {}, Verdict.HELD, "unauthorised"),
        (404, {}, Verdict.HELD, "status_404"),
        (301, {b"x-amz-bucket-region": b"us-east-2"}, Verdict.HELD, "other_region"),
        (400, {b"x-amz-bucket-region": b"us-east-2"}, Verdict.HELD, "other_region"),
    ],
)
def test_answers(status: int, headers: dict[bytes, bytes], verdict: Verdict, reason: str) -> None:
    """No record is at fault in any of them."""
    endpoint_request: Any = None
    outcome = read(endpoint_request, Response(status=status, headers=headers), region=REGION)
    assert (outcome.verdict, outcome.reason) == (verdict, reason)


def test_a_refusal_by_a_bucket_of_the_same_region_is_not_blamed_on_that() -> None:
    endpoint_request: Any = None
    response = Response(status=400, headers={b"x-amz-bucket-region": REGION.encode()})
    outcome = read(endpoint_request, response, region=REGION)
    assert (outcome.verdict, outcome.reason) == (Verdict.REFUSED, "status_400")


def test_lines_that_name_a_time_far_off_are_filed_under_when_they_came() -> None:
    """They would have objects of their own, where nobody looks."""
    settings = settings_of(TAILRACE_DESTINATION="s3://bucket", AWS_REGION=REGION)
    destination = create(settings, Waits(), Lines().log)
    pipeline = Pipeline(destination.encoder, BatchLimits(1_000_000, 1000), Lines().log)
    far = event({"timestamp": "1999-01-01T00:00:00Z", "message": "x"})
    (batch,) = pipeline.batches(iter([frame(far, event("y"))]), Position(0, 0, Context()))
    assert [parcel.key for parcel in batch.parcels.values()] == [TIME[:13]]


@pytest.mark.parametrize(
    ("status", "field", "name", "message", "said"),
    [
        (404, "X: y", "NoSuchBucket", "The specified bucket does not exist", "The specified bucket does not exist"),
        (
            301,
            "x-amz-bucket-region: us-east-2",
            "PermanentRedirect",
            "The bucket must be addressed using the specified endpoint.",
            "the bucket is in us-east-2: add ?region=us-east-2",
        ),
    ],
)
def test_what_is_wrong_with_a_bucket_is_shown(
    server: Server, status: int, field: str, name: str, message: str, said: str
) -> None:
    """In AWS's words, unless these do not tell where it is. Records wait."""
    body = f"<?xml version='1.0'?><Error><Code>{name}</Code><Message>{message}</Message></Error>".encode()
    server.behaviours = [server.answering(http(status, body, field))]
    settings = settings_of(
        TAILRACE_DESTINATION="s3://bucket",
        AWS_REGION=REGION,
        AWS_ACCESS_KEY_ID="AKIA",
        AWS_SECRET_ACCESS_KEY="s",  # noqa: S106 - none
        AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{server.port}",
    )
    destination = create(settings, Waits(), Lines().log)
    endpoint = destination.endpoints[LOGS]
    outcome = endpoint.send(endpoint.build([b'{"uid":"00-1","time":"2026-01-02T03:04:05.123456789Z"}\n']))
    destination.close()
    assert (outcome.verdict, outcome.reason, outcome.said) == (Verdict.HELD, name, said)
    ((head, _),) = server.requests
    assert b"x-amz-content-sha256: " in head.lower()
    assert b"Credential=AKIA/" in head
