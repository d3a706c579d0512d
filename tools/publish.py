"""Publishes a zip as layer versions, one a region: `python -m tools.publish`.

Idempotent by content: where the layer's newest version, or any earlier one, is this very zip, that version's ARN is
printed and nothing is published. What the layer runs on is read from the zip itself.
"""

import argparse
import base64
import hashlib
import re
import sys
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from tools import sbom
from tools.layer import LAUNCHER, first_line_of
from tools.target import dotted

# Lambda's names of the architectures.
ARCHITECTURES = {"x86_64": "x86_64", "aarch64": "arm64"}

LICENCE = "Apache-2.0"

COMPILED = re.compile(r"\.cpython-3(\d+)-(\w+)-linux-gnu\.so$")


class PublishError(Exception):
    """Nothing can be published from what was given."""


@dataclass(frozen=True)
class Content:
    """A zip, and what it runs on.

    Attributes:
        data: The zip.
        version: Tailrace's.
        runtimes: Lambda's names; empty: any.
        architectures: Lambda's names.
    """

    data: bytes
    version: str
    runtimes: tuple[str, ...]
    architectures: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """As Lambda tells it."""
        return base64.b64encode(hashlib.sha256(self.data).digest()).decode()

    @property
    def description(self) -> str:
        """What the version's list shows; at most 256 characters."""
        return f"Tailrace {self.version} sha256:{hashlib.sha256(self.data).hexdigest()}"


def read(path: Path) -> Content:
    """Reads a zip that `make layer` or `make layer-standalone` built.

    Raises:
        PublishError: It is none.
    """
    try:
        with zipfile.ZipFile(path) as packed:
            names = packed.namelist()
            launcher = packed.read(LAUNCHER).decode()
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise PublishError(f"{path} is no layer of Tailrace: {error}") from error
    found = [
        match.groups() for name in names if name.startswith("tailrace/msgspec/") and (match := COMPILED.search(name))
    ]
    brings_python = first_line_of(launcher).startswith("#!/opt/")
    versions = sorted({int(minor) for minor, _ in found})
    return Content(
        path.read_bytes(),
        sbom.own_version(path),
        () if brings_python else tuple(f"python{dotted((3, minor))}" for minor in versions),
        tuple(sorted({ARCHITECTURES[architecture] for _, architecture in found}, reverse=True)),
    )


def publish(client: Any, name: str, content: Content) -> tuple[str, bool]:
    """Publishes to one region, unless the zip is there already.

    Args:
        client: boto3's for Lambda.
        name: The layer's.
        content: The zip.

    Returns:
        The version's ARN, and whether it was published just now.
    """
    arn = published(client, name, content)
    if arn:
        return arn, False
    asked: dict[str, Any] = {"CompatibleRuntimes": list(content.runtimes)} if content.runtimes else {}
    answer = client.publish_layer_version(
        LayerName=name,
        Description=content.description,
        Content={"ZipFile": content.data},
        CompatibleArchitectures=list(content.architectures),
        LicenseInfo=LICENCE,
        **asked,
    )
    return str(answer["LayerVersionArn"]), True


def published(client: Any, name: str, content: Content) -> str:
    """The ARN of the version that is this very zip; "" if there is none."""
    for page in client.get_paginator("list_layer_versions").paginate(LayerName=name):
        for version in page["LayerVersions"]:
            # A description can be anyone's; the hash that Lambda tells is what counts.
            if version.get("Description") != content.description:
                continue
            told = client.get_layer_version(LayerName=name, VersionNumber=version["Version"])
            if told["Content"]["CodeSha256"] == content.sha256:
                return str(version["LayerVersionArn"])
    return ""


def publish_to(regions: Iterable[str], profile: str, name: str, content: Content) -> int:
    """Publishes to several regions, each whatever becomes of the others.

    Returns:
        How many failed.
    """
    session = boto3.Session(profile_name=profile or None)
    failed = 0
    for region in regions:
        try:
            arn, is_new = publish(session.client("lambda", region_name=region), name, content)
        except (BotoCoreError, ClientError) as error:
            failed += 1
            print(f"{region}: {error}", file=sys.stderr)
        else:
            print(arn, flush=True)
            if not is_new:
                print(f"{region}: published before", file=sys.stderr)
    return failed


def main(arguments: list[str] | None = None) -> int:
    """Publishes what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tools.publish", description="Publishes the layer.")
    parser.add_argument("--zip", type=Path, required=True)
    parser.add_argument("--name", default="tailrace", help="the layer's")
    parser.add_argument("--regions", required=True, help="such as eu-central-1,us-east-1")
    parser.add_argument("--profile", default="", help="of the AWS configuration; else as the environment says")
    asked = parser.parse_args(arguments)
    regions = asked.regions.replace(",", " ").split()
    try:
        if not regions:
            raise PublishError("no region is named: REGIONS=eu-central-1,us-east-1")  # noqa: TRY301 - one way out
        return 1 if publish_to(regions, asked.profile, asked.name, read(asked.zip)) else 0
    except (PublishError, BotoCoreError) as error:
        print(f"tools.publish: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
