"""Rows for archives and streams: the same columns in each line."""

import json

from shipper.destinations.rows import Rows, moment_of, uid_of
from tests.shipper.destinations.stub import record
from tests.shipper.support import settings_of

FUNCTION = {"AWS_LAMBDA_FUNCTION_NAME": "hello", "AWS_REGION": "eu-west-1", "OTEL_SERVICE_NAME": "shop"}


def test_lines_differ_in_no_column() -> None:
    """What one says beside its message is text in one map, whatever its type was."""
    rows = Rows(settings_of(TAILRACE_DESTINATION="s3://bucket", **FUNCTION))
    said = (("status", b"200"), ("of", b'{"a":[1]}'))
    written = [rows.log(record(attributes=said)), rows.log(record())]
    found = [json.loads(row) for row in written]
    assert all(row.endswith(b"}\n") for row in written)
    assert [row["message"] for row in found] == ["hello", "hello"]
    assert found[0]["attributes"] == {"status": "200", "of": '{"a":[1]}'}
    assert found[1]["attributes"] == {}
    assert all((row["service"], row["function"], row["region"]) == ("shop", "hello", "eu-west-1") for row in found)


def test_id_and_time_are_read_from_a_row() -> None:
    """What a request is named by stands where it is looked for."""
    row = Rows(settings_of(TAILRACE_DESTINATION="s3://bucket", **FUNCTION)).log(record())
    found = json.loads(row)
    assert uid_of(row) == found["uid"]
    assert found["time"].startswith(moment_of(row))
    assert len(moment_of(row)) == len("2026-01-02T03:04:05.123")
