"""Publishes a zip as layer versions, one a region: `python -m tools.publish`.

Idempotent by content: where the layer's newest version, or any earlier one, is this very zip, that version's ARN is
printed and nothing is published. What the layer runs on is read from the zip itself.
"""

import argparse
import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from tools import contents
from tools.contents import Contents

LICENCE = "Apache-2.0"

# Every region that the account has.
ALL = "all"

# Who is asked for them, where the configuration names no region.
REGION_THAT_KNOWS = "us-east-1"

# What lets anybody attach a version: the statement's name, and what AWS says if it is there already.
PUBLIC = "public"
CONFLICT = "ResourceConflictException"


class PublishError(Exception):
    """Nothing can be published from what was given."""


def description(content: Contents) -> str:
    """What the list of a layer's versions shows; at most 256 characters."""
    return f"Tailrace {content.version} sha256:{hashlib.sha256(content.data).hexdigest()}"


def publish(client: Any, name: str, content: Contents) -> tuple[str, bool]:
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
        Description=description(content),
        Content={"ZipFile": content.data},
        CompatibleArchitectures=list(content.architectures),
        LicenseInfo=LICENCE,
        **asked,
    )
    return str(answer["LayerVersionArn"]), True


def published(client: Any, name: str, content: Contents) -> str:
    """The ARN of the version that is this very zip; "" if there is none."""
    for page in client.get_paginator("list_layer_versions").paginate(LayerName=name):
        for version in page["LayerVersions"]:
            # A description can be anyone's; the hash that Lambda tells is what counts.
            if version.get("Description") != description(content):
                continue
            told = client.get_layer_version(LayerName=name, VersionNumber=version["Version"])
            if told["Content"]["CodeSha256"] == content.sha256:
                return str(version["LayerVersionArn"])
    return ""


def share(client: Any, name: str, arn: str) -> None:
    """Lets anybody attach a version; nothing else is allowed by it."""
    try:
        client.add_layer_version_permission(
            LayerName=name,
            VersionNumber=int(arn.rpartition(":")[2]),
            StatementId=PUBLIC,
            Action="lambda:GetLayerVersion",
            Principal="*",
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != CONFLICT:
            raise


def publish_to(
    regions: Iterable[str], profile: str, name: str, content: Contents, *, is_public: bool = False
) -> tuple[dict[str, str], int]:
    """Publishes to several regions, each whatever becomes of the others.

    Returns:
        The ARN in each region, and how many failed.
    """
    session = boto3.Session(profile_name=profile or None)
    arns: dict[str, str] = {}
    failed = 0
    for region in regions:
        try:
            client = session.client("lambda", region_name=region)
            arn, is_new = publish(client, name, content)
            if is_public:
                share(client, name, arn)
        except (BotoCoreError, ClientError) as error:
            failed += 1
            print(f"{region}: {error}", file=sys.stderr)
        else:
            arns[region] = arn
            print(arn, flush=True)
            if not is_new:
                print(f"{region}: published before", file=sys.stderr)
    return arns, failed


def read_regions(text: str, profile: str) -> list[str]:
    """The regions named in a list separated by commas or spaces; `all`: those the account has.

    Raises:
        PublishError: None is named, or AWS does not say which there are.
    """
    regions = text.replace(",", " ").split()
    if regions != [ALL]:
        if not regions:
            raise PublishError(f"no region is named: REGIONS=eu-central-1,us-east-1, or REGIONS={ALL}")
        return regions
    session = boto3.Session(profile_name=profile or None)
    client = session.client("ec2", region_name=session.region_name or REGION_THAT_KNOWS)
    try:
        # Those that are not enabled are left out: nothing could be published there.
        return sorted(region["RegionName"] for region in client.describe_regions()["Regions"])
    except ClientError as error:
        raise PublishError(f"which regions the account has: {error}") from error


def table(name: str, content: Contents, arns: dict[str, str]) -> str:
    """The ARNs as Markdown."""
    rows = [f"| {region} | `{arn}` |" for region, arn in sorted(arns.items())]
    return "\n".join([f"### {name}: {content.runs_on}", "", "| region | ARN |", "|---|---|", *rows, "", ""])


def main(arguments: list[str] | None = None) -> int:
    """Publishes what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tools.publish", description="Publishes the layer.")
    parser.add_argument("--zip", type=Path, required=True)
    parser.add_argument("--name", default="tailrace", help="the layer's")
    parser.add_argument("--regions", required=True, help=f"such as eu-central-1,us-east-1; {ALL}: the account's")
    parser.add_argument("--profile", default="", help="of the AWS configuration; else as the environment says")
    parser.add_argument("--public", action="store_true", help="let every account attach it")
    parser.add_argument("--table", type=Path, metavar="FILE", help="add the ARNs to a file, as a table in Markdown")
    parser.add_argument("--force", action="store_true", help="publish also what is not compiled for all it runs on")
    asked = parser.parse_args(arguments)
    try:
        regions = read_regions(asked.regions, asked.profile)
        content = contents.read(asked.zip)
        if content.lack and not asked.force:
            raise PublishError(  # noqa: TRY301 - one way out
                f"{asked.zip} has {content.lack}. Take a released zip, build it where those Pythons are, narrow it "
                "(make layer PYTHONS=3.13), or publish it as it is: FORCE=1"
            )
        arns, failed = publish_to(regions, asked.profile, asked.name, content, is_public=asked.public)
        if asked.table:
            with asked.table.open("a", encoding="utf-8") as file:
                file.write(table(asked.name, content, arns))
    except (PublishError, contents.ContentsError, BotoCoreError) as error:
        print(f"tools.publish: {error}", file=sys.stderr)
        return 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
