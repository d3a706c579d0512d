"""What the origin of telemetry is called."""

from pathlib import Path

from shipper.model import resource
from tests.shipper.support import settings_of

ROOT = Path(__file__).parents[3]


def test_the_resource_says_which_function_it_is() -> None:
    settings = settings_of(
        AWS_LAMBDA_FUNCTION_NAME="hello",
        AWS_LAMBDA_FUNCTION_VERSION="7",
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE="256",
        AWS_REGION="us-gov-west-1",
        OTEL_RESOURCE_ATTRIBUTES="service.name=named,team=a,cloud.platform=mine",
    )
    settings.function.account_id = "123456789012"
    settings.function.instance_id = "00aa"
    assert resource.attributes(settings) == {
        "service.name": "named",
        "service.version": "7",
        "service.instance.id": "00aa",
        "faas.name": "hello",
        "faas.version": "7",
        "faas.instance": "00aa",
        "faas.max_memory": 268435456,
        "cloud.provider": "aws",
        "cloud.platform": "mine",
        "cloud.region": "us-gov-west-1",
        "cloud.account.id": "123456789012",
        "cloud.resource_id": "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:hello",
        "telemetry.distro.name": "tailrace",
        "telemetry.distro.version": resource.VERSION,
        "team": "a",
    }


def test_the_service_has_a_name_whatever_is_known() -> None:
    named = {"OTEL_RESOURCE_ATTRIBUTES": "service.name=b", "AWS_LAMBDA_FUNCTION_NAME": "c"}
    assert resource.service_name(settings_of(OTEL_SERVICE_NAME="a", **named)) == "a"
    assert resource.service_name(settings_of(**named)) == "b"
    assert resource.service_name(settings_of(AWS_LAMBDA_FUNCTION_NAME="c")) == "c"
    assert resource.service_name(settings_of()) == "unknown_service"


def test_the_version_is_the_projects() -> None:
    assert f'version = "{resource.VERSION}"' in (ROOT / "pyproject.toml").read_text()
