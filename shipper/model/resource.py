"""What a record's origin is called: OpenTelemetry's resource attributes for a Lambda function.

Source: semantic conventions, "FaaS resource attributes", "Cloud" and "Telemetry".
"""

from lifecycle.contract.settings import Settings
from shipper.model import semconv

VERSION = "0.1.0"

# What a server is told of who asks.
USER_AGENT = f"tailrace/{VERSION}"

# Where an ARN of another partition begins with a region like these.
_PARTITIONS = (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov"))

_BYTES_IN_MB = 1024 * 1024


def service_name(settings: Settings) -> str:
    """`service.name` (OpenTelemetry specification, "General SDK configuration")."""
    named = dict(settings.resource_attributes).get(semconv.SERVICE_NAME, "")
    return readable(settings.service_name or named or settings.function.name or "unknown_service")


def attributes(settings: Settings) -> dict[str, str | int]:
    """The attributes by name, those without a value left out."""
    function = settings.function
    found: dict[str, str | int] = {
        semconv.SERVICE_NAME: "",
        semconv.SERVICE_VERSION: function.version,
        semconv.SERVICE_INSTANCE_ID: function.instance_id,
        semconv.FAAS_NAME: function.name,
        semconv.FAAS_VERSION: function.version,
        semconv.FAAS_INSTANCE: function.instance_id,
        semconv.FAAS_MAX_MEMORY: int(function.memory_mb) * _BYTES_IN_MB if function.memory_mb.isdecimal() else "",
        semconv.CLOUD_PROVIDER: "aws",
        semconv.CLOUD_PLATFORM: "aws_lambda",
        semconv.CLOUD_REGION: function.region,
        semconv.CLOUD_ACCOUNT_ID: function.account_id,
        semconv.CLOUD_RESOURCE_ID: _arn(settings),
        semconv.TELEMETRY_DISTRO_NAME: "tailrace",
        semconv.TELEMETRY_DISTRO_VERSION: VERSION,
    }
    found.update(settings.resource_attributes)
    found[semconv.SERVICE_NAME] = service_name(settings)
    return {
        readable(name): readable(value) if isinstance(value, str) else value
        for name, value in found.items()
        if value != ""
    }


def readable(text: str) -> str:
    """`text` as UTF-8 can have it: a variable that is not UTF-8 comes with surrogates in it (PEP 383)."""
    return text.encode("utf-8", "replace").decode()


def _arn(settings: Settings) -> str:
    function = settings.function
    if not (function.region and function.account_id and function.name):
        return ""
    partition = next((name for start, name in _PARTITIONS if function.region.startswith(start)), "aws")
    return f"arn:{partition}:lambda:{function.region}:{function.account_id}:function:{function.name}"
