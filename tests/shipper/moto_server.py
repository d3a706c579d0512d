"""moto's server, which stands in for AWS: it holds requests to their signatures, and a user to what it may do.

What it does not hold them to, limits and partial answers, is for stubs of our own.
"""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3  # type: ignore[import-untyped]
from moto.server import ThreadedMotoServer

REGION = "eu-west-1"

# More requests than any test makes.
UNCHECKED = 1_000_000

# What the function's role may do: what destinations are documented to need, and of secrets those of one kind.
ACTIONS = ["secretsmanager:GetSecretValue", "s3:PutObject", "firehose:PutRecordBatch", "kinesis:PutRecords"]


class Aws:
    """AWS on loopback, and a user of it with an access key."""

    def __init__(self) -> None:
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.url = f"http://{host}:{port}"
        self._keys = {"aws_access_key_id": "root", "aws_secret_access_key": "root"}
        iam = self.client("iam")
        iam.create_user(UserName="function")
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": ACTIONS, "Resource": "*"},
            ],
        }
        iam.put_user_policy(UserName="function", PolicyName="all", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName="function")["AccessKey"]
        self.environ = {
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
            "AWS_ENDPOINT_URL": self.url,
        }
        self._check(after=0)

    def client(self, service: str) -> Any:
        """A client of AWS's own library, which may do anything."""
        return boto3.client(service, endpoint_url=self.url, region_name=REGION, **self._keys)

    @contextmanager
    def unchecked(self) -> Iterator[None]:
        """For a while anybody may do anything, as who sets the scene."""
        self._check(after=UNCHECKED)
        yield
        self._check(after=0)

    def _check(self, after: int) -> None:
        """Holds requests to their signatures, and users to their policies, after so many."""
        headers = {"Content-Type": "text/plain"}
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{self.url}/moto-api/reset-auth", data=str(after).encode(), headers=headers
        )
        with urllib.request.urlopen(request, timeout=10):  # noqa: S310 - likewise
            pass

    def close(self) -> None:
        """Ends it; whoever uses moto in this process after it is not checked."""
        self._check(after=UNCHECKED)
        self._server.stop()
