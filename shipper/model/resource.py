"""What a record's origin is called: OpenTelemetry's resource attributes for a Lambda function.

Source: semantic conventions, "FaaS resource attributes", "Cloud" and "Telemetry".
"""

from lifecycle.contract.settings import Settings

VERSION = "0.1.0"

# Where an ARN of another partition begins with a region like these.
_PARTITIONS = (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov"))

_BYTES_IN_MB = 1024 * 1024


def service_name(settings: Settings) -> str:
    """`service.name` (OpenTelemetry specification, "General SDK configuration")."""
    named = dict(settings.resource_attributes).get("service.name", "")
    return readable(settings.service_name or named or settings.function.name or "unknown_service")


def attributes(settings: Settings) -> dict[str, str | int]:
    """The attributes by name, those without a value left out."""
    function = settings.function
    found: dict[str, str | int] = {
        "service.name": "",
        "service.version": function.version,
        "service.instance.id": function.instance_id,
        "faas.name": function.name,
        "faas.version": function.version,
        "faas.instance": function.instance_id,
        "faas.max_memory": int(function.memory_mb) * _BYTES_IN_MB if function.memory_mb.isdecimal() else "",
        "cloud.provider": "aws",
        "cloud.platform": "aws_lambda",
        "cloud.region": function.region,
        "cloud.account.id": function.account_id,
        "cloud.resource_id": _arn(settings),
        "telemetry.distro.name": "tailrace",
        "telemetry.distro.version": VERSION,
    }
    found.update(settings.resource_attributes)
    found["service.name"] = service_name(settings)
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
