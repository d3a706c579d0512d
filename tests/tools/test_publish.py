"""Publishing, against a stand-in for AWS: what is published, once, and what is printed."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from botocore.stub import Stubber  # type: ignore[import-untyped]
from moto import mock_aws

from tools import publish

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


def test_version_is_published_to_every_region(universal_zip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what it runs on, and its ARN printed."""
    assert run(universal_zip) == 0
    assert capsys.readouterr().out.splitlines() == [arn(region, 1) for region in REGIONS]
    for region in REGIONS:
        (version,) = versions(region)
        assert version["CompatibleRuntimes"] == [f"python3.{minor}" for minor in range(10, 15)]
        assert version["CompatibleArchitectures"] == ["x86_64", "arm64"]
        assert version["Description"].startswith("Tailrace 0.1.0 sha256:")
        assert version["LicenseInfo"] == "Apache-2.0"


def test_what_is_published_is_the_zip(universal_zip: Path) -> None:
    """By the hash that AWS tells."""
    run(universal_zip)
    told = boto3.client("lambda", region_name=REGIONS[0]).get_layer_version(LayerName="tailrace", VersionNumber=1)
    assert told["Content"]["CodeSha256"] == publish.read(universal_zip).sha256


def test_same_zip_is_published_once(universal_zip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second time the version that is there is named."""
    run(universal_zip)
    capsys.readouterr()
    assert run(universal_zip) == 0
    told = capsys.readouterr()
    assert told.out.splitlines() == [arn(region, 1) for region in REGIONS]
    assert told.err.splitlines() == [f"{region}: published before" for region in REGIONS]
    assert len(versions(REGIONS[0])) == 1


def test_earlier_version_is_found_again(universal_zip: Path, tmp_path: Path) -> None:
    """Back to an older state: no third version."""
    run(universal_zip)
    run(changed(universal_zip, tmp_path / "other.zip"))
    run(universal_zip)
    assert len(versions(REGIONS[0])) == 2


def test_region_that_lacks_it_gets_it(universal_zip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each region is looked at by itself."""
    run(universal_zip, regions=REGIONS[0])
    capsys.readouterr()
    run(universal_zip)
    assert capsys.readouterr().err.splitlines() == [f"{REGIONS[0]}: published before"]


def test_description_alone_is_not_believed(universal_zip: Path, tmp_path: Path) -> None:
    """Somebody else's zip under our description is not ours."""
    content = publish.read(universal_zip)
    other = changed(universal_zip, tmp_path / "other.zip")
    boto3.client("lambda", region_name=REGIONS[0]).publish_layer_version(
        LayerName="tailrace", Description=content.description, Content={"ZipFile": other.read_bytes()}
    )
    run(universal_zip)
    assert len(versions(REGIONS[0])) == 2


def test_name_is_the_users(universal_zip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever LAYER_NAME says."""
    run(universal_zip, "--name", "ours", regions=REGIONS[0])
    assert capsys.readouterr().out == arn(REGIONS[0], 1, "ours") + "\n"


def test_one_region_that_fails_does_not_keep_the_others(
    universal_zip: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named, and the exit status tells."""
    real = publish.publish

    def failing(client: Any, name: str, content: publish.Content) -> tuple[str, bool]:
        if client.meta.region_name == REGIONS[0]:
            client.get_layer_version(LayerName="none", VersionNumber=1)
        return real(client, name, content)

    monkeypatch.setattr(publish, "publish", failing)
    assert run(universal_zip) == 1
    told = capsys.readouterr()
    assert told.err.startswith(f"{REGIONS[0]}: An error occurred")
    assert told.out.splitlines() == [arn(REGIONS[1], 1)]


def test_narrowed_zip_says_so(real_zip: Path) -> None:
    """One Python, one architecture."""
    content = publish.read(real_zip)
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
    universal_zip: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    """In one line, each."""
    assert publish.main(["--zip", str(universal_zip), *arguments]) == 1
    assert said in capsys.readouterr().err.splitlines()[0]


def test_names_are_ones_that_lambda_knows_and_no_more_than_it_takes(universal_zip: Path) -> None:
    """By AWS's own model of the call; a list may grow with every Python."""
    shapes = boto3.client("lambda", region_name=REGIONS[0]).meta.service_model
    content = publish.read(universal_zip)
    assert set(content.runtimes) <= set(shapes.shape_for("Runtime").enum)
    assert set(content.architectures) <= set(shapes.shape_for("Architecture").enum)
    assert len(content.runtimes) <= shapes.shape_for("CompatibleRuntimes").metadata["max"]
    assert len(content.architectures) <= shapes.shape_for("CompatibleArchitectures").metadata["max"]
    assert len(content.description) <= shapes.shape_for("Description").metadata["max"]
    assert len(publish.LICENCE) <= shapes.shape_for("LicenseInfo").metadata["max"]


def test_call_is_valid_by_awss_own_model(universal_zip: Path) -> None:
    """A stand-in may take what AWS would not."""
    client = boto3.client("lambda", region_name=REGIONS[0])
    with Stubber(client) as stub:
        stub.add_response("list_layer_versions", {"LayerVersions": []})
        stub.add_response("publish_layer_version", {"LayerVersionArn": arn(REGIONS[0], 1)})
        assert publish.publish(client, "tailrace", publish.read(universal_zip)) == (arn(REGIONS[0], 1), True)
        stub.assert_no_pending_responses()


def test_version_on_a_later_page_is_found(universal_zip: Path) -> None:
    """AWS lists 50 versions at a time."""
    content = publish.read(universal_zip)
    client = boto3.client("lambda", region_name=REGIONS[0])
    other = {"Version": 60, "Description": "Tailrace 0.1.0 sha256:other", "LayerVersionArn": arn(REGIONS[0], 60)}
    ours = {"Version": 2, "Description": content.description, "LayerVersionArn": arn(REGIONS[0], 2)}
    with Stubber(client) as stub:
        stub.add_response("list_layer_versions", {"LayerVersions": [other], "NextMarker": "more"})
        stub.add_response("list_layer_versions", {"LayerVersions": [ours]})
        stub.add_response("get_layer_version", {"Content": {"CodeSha256": content.sha256}})
        assert publish.publish(client, "tailrace", content) == (arn(REGIONS[0], 2), False)


def test_without_credentials_each_region_says_so(
    universal_zip: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a line, and nothing is printed that could be taken for an ARN."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert run(universal_zip) == 1
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
    with pytest.raises(publish.PublishError, match="is no layer of Tailrace"):
        publish.read(tmp_path / "x.zip")
