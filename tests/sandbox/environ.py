"""The environment variables Lambda gives a runtime and, fewer, an extension."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox.model import Function, Platform

# Documented as absent in an extension's environment.
_RUNTIME_ONLY = ("_HANDLER", "AWS_EXECUTION_ENV", "LAMBDA_RUNTIME_DIR", "LAMBDA_TASK_ROOT")
_RUNTIME_ONLY_PREFIXES = ("AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_XRAY_", "_AWS_XRAY_")


def for_runtime(function: Function, platform: Platform, api: str, layer: Path | None) -> dict[str, str]:
    """Everything the runtime finds; nothing of the sandbox's own environment leaks in."""
    python_bin = os.path.realpath(function.python)
    environ = {
        "PATH": f"{os.path.dirname(python_bin)}:/usr/local/bin:/usr/bin:/bin:/opt/bin",  # noqa: PTH120
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "AWS_REGION": function.region,
        "AWS_DEFAULT_REGION": function.region,
        "AWS_ACCESS_KEY_ID": "ASIASANDBOXSANDBOX00",
        "AWS_SECRET_ACCESS_KEY": "sandbox-secret",
        "AWS_SESSION_TOKEN": "sandbox-session",
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": function.version,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_INITIALIZATION_TYPE": platform.flavour,
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": f"2026/01/01/[{function.version}]5ad50c0f",
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "169.254.79.129:2000",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.sandbox",
        "LAMBDA_TASK_ROOT": str(function.task_root),
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "_HANDLER": function.handler,
        **function.environ,
        "AWS_LAMBDA_RUNTIME_API": api,
    }
    if function.log_format == "JSON":
        environ["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
        environ.setdefault("AWS_LAMBDA_LOG_LEVEL", "INFO")
    if platform.managed:
        environ["AWS_LAMBDA_MAX_CONCURRENCY"] = str(platform.concurrency)
    if layer is not None and (layer / "python").is_dir():
        environ.setdefault("PYTHONPATH", str(layer / "python"))
    return environ


def for_extension(function: Function, platform: Platform, api: str) -> dict[str, str]:
    """What an extension finds: the runtime's variables less those Lambda withholds."""
    return {
        name: value
        for name, value in for_runtime(function, platform, api, None).items()
        if name not in _RUNTIME_ONLY and not name.startswith(_RUNTIME_ONLY_PREFIXES)
    }
