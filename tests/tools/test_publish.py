"""Publishing, against a stand-in for AWS: what is published, once, and what is printed."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped]
from botocore.stub import Stubber  # type: ignore[import-untyped]
from moto import mock_aws

from tests.tools.test_makefile import made
from tools import contents, publish
from tools.contents import Contents

REGIONS = ("eu-central-1", "us-east-1")
ACCOUNT = "123456789012"


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An account without layers, and no credentials but made-up ones."""
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        yield


def arn(region: str, version: int, name: str = "tailrace") -> str:
    """A layer version's."""
    return f"arn:aws:lambda:{region}:{ACCOUNT}:layer:{name}:{version}"


def versions(region: str, name: str = "tailrace") -> list[dict[str, Any]]:
    """What AWS has, oldest first."""
    found: list[dict[str, Any]] = boto3.client("lambda", region_name=region).list_layer_versions(LayerName=name)[
        "LayerVersions"
    ]
    return sorted(found, key=lambda version: int(version["Version"]))


def run(zip_path: Path, *arguments: str, regions: str = ",".join(REGIONS)) -> int:
    """Publishes."""
    return publish.main(["--zip", str(zip_path), "--regions", regions, *arguments])


def changed(zip_path: Path, copy: Path) -> Path:
    """Another zip, that differs by one file."""
    copy.write_bytes(zip_path.read_bytes())
    with zipfile.ZipFile(copy, "a") as packed:
        packed.writestr("tailrace/more", "more")
    return copy


def test_version_is_published_to_every_region(whole_zip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what it runs on, and its ARN printed."""
    assert run(whole_zip) == 0
    assert capsys.readouterr().out.splitlines() == [arn(region, 1) for region in REGIONS]
    for region in REGIONS:
        (version,) = versions(region)
        assert version["CompatibleRuntimes"] == [f"python3.{minor}" for minor in range(10, 15)]
        assert version["CompatibleArchitectures"] == ["x86_64", "arm64"]
        assert version["Description"].startswith("Tailrace 0.1.0 sha256:")
        assert version["LicenseInfo"] == "Apache-2.0"


def test_what_is_published_is_the_zip(whole_zip: Path) -> None:
    """By the hash that AWS tells."""
    run(whole_zip)
    told = boto3.client("lambda", region_name=REGIONS[0]).get_layer_version(LayerName="tailrace", VersionNumber=1)
    assert told["Content"]["CodeSha256"] == contents.read(whole_zip).sha256


def test_same_zip_is_published_once(whole_zip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second time the version that is there is named."""
    run(whole_zip)
    capsys.readouterr()
    assert run(whole_zip) == 0
    told = capsys.readouterr()
    assert told.out.splitlines() == [arn(region, 1) for region in REGIONS]
    assert told.err.splitlines() == [f"{region}: published before" for region in REGIONS]
    assert len(versions(REGIONS[0])) == 1


def test_earlier_version_is_found_again(whole_zip: Path, tmp_path: Path) -> None:
    """Back to an older state: no third version."""
    run(whole_zip)
    run(changed(whole_zip, tmp_path / "other.zip"))
    run(whole_zip)
    assert len(versions(REGIONS[0])) == 2


def test_region_that_lacks_it_gets_it(whole_zip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each region is looked at by itself."""
    run(whole_zip, regions=REGIONS[0])
    capsys.readouterr()
    run(whole_zip)
    assert capsys.readouterr().err.splitlines() == [f"{REGIONS[0]}: published before"]


def test_description_alone_is_not_believed(whole_zip: Path, tmp_path: Path) -> None:
    """Somebody else's zip under our description is not ours."""
    content = contents.read(whole_zip)
    other = changed(whole_zip, tmp_path / "other.zip")
    boto3.client("lambda", region_name=REGIONS[0]).publish_layer_version(
        LayerName="tailrace", Description=publish.description(content), Content={"ZipFile": other.read_bytes()}
    )
    run(whole_zip)
    assert len(versions(REGIONS[0])) == 2


def test_name_is_the_users(whole_zip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever LAYER_NAME says."""
    run(whole_zip, "--name", "ours", regions=REGIONS[0])
    assert capsys.readouterr().out == arn(REGIONS[0], 1, "ours") + "\n"


def test_one_region_that_fails_does_not_keep_the_others(
    whole_zip: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named, and the exit status tells."""
    real = publish.publish

    def failing(client: Any, name: str, content: Contents) -> tuple[str, bool]:
        if client.meta.region_name == REGIONS[0]:
            client.get_layer_version(LayerName="none", VersionNumber=1)
        return real(client, name, content)

    monkeypatch.setattr(publish, "publish", failing)
    assert run(whole_zip) == 1
    told = capsys.readouterr()
    assert told.err.startswith(f"{REGIONS[0]}: An error occurred")
    assert told.out.splitlines() == [arn(REGIONS[1], 1)]


def test_narrowed_zip_says_so(real_zip: Path) -> None:
    """One Python, one architecture."""
    content = contents.read(real_zip)
    assert len(content.runtimes) == len(content.architectures) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--regions", ""), "no region is named"),
        (("--regions", "eu-central-1", "--profile", "none"), "The config profile (none) could not be found"),
        (("--regions", "eu_central_1"), "Provided region_name 'eu_central_1' doesn't match a supported format"),
    ],
)
def test_what_cannot_be_done_is_said(
    whole_zip: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    """In one line, each."""
    assert publish.main(["--zip", str(whole_zip), *arguments]) == 1
    assert said in capsys.readouterr().err.splitlines()[0]


def test_names_are_ones_that_lambda_knows_and_no_more_than_it_takes(whole_zip: Path) -> None:
    """By AWS's own model of the call; a list may grow with every Python."""
    shapes = boto3.client("lambda", region_name=REGIONS[0]).meta.service_model
    content = contents.read(whole_zip)
    assert set(content.runtimes) <= set(shapes.shape_for("Runtime").enum)
    assert set(content.architectures) <= set(shapes.shape_for("Architecture").enum)
    assert len(content.runtimes) <= shapes.shape_for("CompatibleRuntimes").metadata["max"]
    assert len(content.architectures) <= shapes.shape_for("CompatibleArchitectures").metadata["max"]
    assert len(publish.description(content)) <= shapes.shape_for("Description").metadata["max"]
    assert len(publish.LICENCE) <= shapes.shape_for("LicenseInfo").metadata["max"]


def test_call_is_valid_by_awss_own_model(whole_zip: Path) -> None:
    """A stand-in may take what AWS would not."""
    client = boto3.client("lambda", region_name=REGIONS[0])
    with Stubber(client) as stub:
        stub.add_response("list_layer_versions", {"LayerVersions": []})
        stub.add_response("publish_layer_version", {"LayerVersionArn": arn(REGIONS[0], 1)})
        assert publish.publish(client, "tailrace", contents.read(whole_zip)) == (arn(REGIONS[0], 1), True)
        stub.assert_no_pending_responses()


def test_version_on_a_later_page_is_found(whole_zip: Path) -> None:
    """AWS lists 50 versions at a time."""
    content = contents.read(whole_zip)
    client = boto3.client("lambda", region_name=REGIONS[0])
    other = {"Version": 60, "Description": "Tailrace 0.1.0 sha256:other", "LayerVersionArn": arn(REGIONS[0], 60)}
    ours = {"Version": 2, "Description": publish.description(content), "LayerVersionArn": arn(REGIONS[0], 2)}
    with Stubber(client) as stub:
        stub.add_response("list_layer_versions", {"LayerVersions": [other], "NextMarker": "more"})
        stub.add_response("list_layer_versions", {"LayerVersions": [ours]})
        stub.add_response("get_layer_version", {"Content": {"CodeSha256": content.sha256}})
        assert publish.publish(client, "tailrace", content) == (arn(REGIONS[0], 2), False)


def test_without_credentials_each_region_says_so(
    whole_zip: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a line, and nothing is printed that could be taken for an ARN."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert run(whole_zip) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [f"{region}: Unable to locate credentials" for region in REGIONS]


def test_zip_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By its name."""
    assert run(tmp_path / "none.zip") == 1
    assert capsys.readouterr().err.startswith(f"tools.publish: {tmp_path}/none.zip is no layer of Tailrace: ")


def test_what_is_no_layer_is_refused(tmp_path: Path) -> None:
    """Before anything is asked of AWS."""
    (tmp_path / "x.zip").write_bytes(b"no zip")
    with pytest.raises(contents.ContentsError, match="is no layer of Tailrace"):
        contents.read(tmp_path / "x.zip")
    with zipfile.ZipFile(tmp_path / "y.zip", "w") as packed:
        packed.writestr("extensions/tailrace", "#!/bin/sh")
    with pytest.raises(contents.ContentsError, match="no compiled module"):
        contents.read(tmp_path / "y.zip")


class TestBytecode:
    """A zip that lacks the bytecode of a runtime that it would be published for."""

    @pytest.fixture
    def bare_zip(self, whole_zip: Path, tmp_path: Path) -> Path:
        """Like the whole one, without the bytecode for 3.12."""
        bare = tmp_path / "bare.zip"
        with zipfile.ZipFile(whole_zip) as whole, zipfile.ZipFile(bare, "w") as packed:
            for name in whole.namelist():
                if name != contents.bundle_of((3, 12)):
                    packed.writestr(name, whole.read(name))
        return bare

    def test_it_is_refused_and_nothing_is_published(self, bare_zip: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """With what that would cost, and what to do."""
        assert run(bare_zip) == 1
        told = capsys.readouterr()
        assert told.out == ""
        assert "no bytecode for Python 3.12: there it is compiled at every cold start" in told.err
        assert "FORCE=1" in told.err
        assert versions(REGIONS[0]) == []

    def test_it_is_published_where_one_insists(self, bare_zip: Path) -> None:
        """For all it runs on."""
        assert run(bare_zip, "--force") == 0
        (version,) = versions(REGIONS[0])
        assert "python3.12" in version["CompatibleRuntimes"]

    def test_it_is_described(self, bare_zip: Path, whole_zip: Path) -> None:
        """At the end of `make layer`, each time."""
        assert contents.read(whole_zip).described.endswith(
            "for Python 3.10 to 3.14 on x86_64 and arm64, all of it compiled"
        )
        assert contents.read(bare_zip).described.endswith(f"; no bytecode for Python 3.12: {contents.COST}")


class TestRegions:
    """Which regions are meant."""

    def test_all_are_those_that_the_account_has(self) -> None:
        """Asked of AWS, without those that are not enabled."""
        found = publish.read_regions("all", "")
        assert {*REGIONS} < {*found}
        assert found == sorted(found)

    def test_lists_take_commas_and_spaces(self) -> None:
        """As people write them."""
        assert publish.read_regions("eu-central-1, us-east-1", "") == [*REGIONS]

    def test_aws_may_not_say(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is said in a line, whatever AWS answered."""
        client = boto3.client("ec2", region_name=REGIONS[0])
        monkeypatch.setattr(boto3.Session, "client", lambda *_, **__: client)
        with Stubber(client) as stub:
            stub.add_client_error("describe_regions", "UnauthorizedOperation", "You may not.")
            with pytest.raises(publish.PublishError, match=r"which regions the account has: .*You may not"):
                publish.read_regions("all", "")


def test_public_version_may_be_attached_by_anybody_and_nothing_else() -> None:
    """A second time it is public already; by AWS's own model of the call."""
    client = boto3.client("lambda", region_name=REGIONS[0])
    expected = {
        "LayerName": "tailrace",
        "VersionNumber": 7,
        "StatementId": "public",
        "Action": "lambda:GetLayerVersion",
        "Principal": "*",
    }
    with Stubber(client) as stub:
        stub.add_response("add_layer_version_permission", {}, expected)
        stub.add_client_error("add_layer_version_permission", publish.CONFLICT)
        stub.add_client_error("add_layer_version_permission", "TooManyRequestsException")
        publish.share(client, "tailrace", arn(REGIONS[0], 7))
        publish.share(client, "tailrace", arn(REGIONS[0], 7))
        with pytest.raises(ClientError):
            publish.share(client, "tailrace", arn(REGIONS[0], 7))
        stub.assert_no_pending_responses()


def test_version_is_private_unless_asked(whole_zip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--public, or PUBLIC=1."""
    shared: list[str] = []
    monkeypatch.setattr(publish, "share", lambda _client, _name, arn: shared.append(arn))
    run(whole_zip)
    assert shared == []
    run(whole_zip, "--public")
    assert shared == [arn(region, 1) for region in REGIONS]


def test_table_names_every_arn_and_grows_by_layer(whole_zip: Path, tmp_path: Path) -> None:
    """Markdown, for a release's notes."""
    file = tmp_path / "layers.md"
    run(whole_zip, "--table", str(file))
    run(whole_zip, "--name", "other", "--table", str(file), regions=REGIONS[0])
    assert file.read_text(encoding="utf-8") == (
        "### tailrace: Python 3.10 to 3.14 on x86_64 and arm64\n\n| region | ARN |\n|---|---|\n"
        f"| {REGIONS[0]} | `{arn(REGIONS[0], 1)}` |\n| {REGIONS[1]} | `{arn(REGIONS[1], 1)}` |\n\n"
        "### other: Python 3.10 to 3.14 on x86_64 and arm64\n\n| region | ARN |\n|---|---|\n"
        f"| {REGIONS[0]} | `{arn(REGIONS[0], 1, 'other')}` |\n\n"
    )


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        ((), set()),
        (("PUBLIC=1", "FORCE=1"), {"--public", "--force"}),
        (("PUBLIC=0", "FORCE=0"), set()),
    ],
)
def test_makefile_passes_it_on(words: tuple[str, ...], flags: set[str], universal_zip: Path) -> None:
    """`make publish`."""
    done = made("--dry-run", "publish", "REGIONS=all", f"ZIP={universal_zip}", *words)
    line = next(line for line in done.stdout.splitlines() if "tools.publish" in line)
    assert f"--zip {universal_zip} --name 'tailrace'" in line
    assert "--regions 'all'" in line
    assert {word for word in line.split() if word in {"--public", "--force"}} == flags
