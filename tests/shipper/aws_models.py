"""Requests to AWS held against the models that botocore has of its services: the same that AWS makes its own of."""

import base64
import functools
from typing import Any

import botocore.loaders  # type: ignore[import-untyped]
import botocore.model  # type: ignore[import-untyped]
import botocore.validate  # type: ignore[import-untyped]

SERVICES = ("firehose", "kinesis", "secretsmanager", "ssm")


@functools.cache
def _models() -> dict[str, Any]:
    """Models by what stands before an operation in X-Amz-Target."""
    loader = botocore.loaders.Loader()
    models = [botocore.model.ServiceModel(loader.load_service_model(name, "service-2"), name) for name in SERVICES]
    return {model.metadata["targetPrefix"]: model for model in models}


def problems(target: str, asked: dict[str, Any]) -> list[str]:
    """What is wrong with a request in JSON, by the model of its operation; nothing where all is right.

    Args:
        target: Its X-Amz-Target.
        asked: Its body, decoded.
    """
    prefix, _, operation = target.partition(".")
    shape = _models()[prefix].operation_model(operation).input_shape
    report = botocore.validate.ParamValidator().validate(_decoded(asked, shape), shape)
    return report.generate_report().splitlines()  # type: ignore[no-any-return]


def _decoded(value: Any, shape: Any) -> Any:
    """A value as whoever reads it has it: base64 where the model wants bytes is bytes."""
    if shape.type_name == "structure":
        return {
            name: _decoded(item, shape.members[name]) if name in shape.members else item for name, item in value.items()
        }
    if shape.type_name == "list":
        return [_decoded(item, shape.member) for item in value]
    return base64.b64decode(value, validate=True) if shape.type_name == "blob" else value
