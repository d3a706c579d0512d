"""`tailrace/wrap`: the function's own SDK says it is what the layer says it is, and the runtime runs unchanged."""

import ast
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import LAYER, NAME
from tests.sandbox import Destination, Environment, Function
from tests.tools.conftest import ROOT
from tests.tools.test_every_python import ON_DEMAND

WRAP = LAYER / "tailrace" / "wrap"
HANDLER = Path(__file__).parent / "handler"

FUNCTION = {
    "AWS_LAMBDA_FUNCTION_NAME": "shop-api",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_REGION": "eu-central-1",
}

SHELLS = [shell for shell in ("dash", "bash", "busybox", "ksh", "zsh") if shutil.which(shell)]


def wrapped(environ: dict[str, str], shell: str = "sh") -> dict[str, str]:
    """The environment that the wrapped program gets."""
    command: list[str | Path] = [str(shutil.which(shell)), *(["sh"] if shell == "busybox" else []), WRAP]
    done = subprocess.run(
        [*command, sys.executable, "-IS", "-c", "import os; print(repr(dict(os.environ)))"],
        env=environ,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    found: dict[str, str] = eval(done.stdout)  # noqa: S307 - the repr of a dict of our own
    # What shells set by themselves.
    shells = {"PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE", "PATH"} - set(environ)
    return {name: value for name, value in found.items() if name not in shells}


def attributes(environ: dict[str, str]) -> list[str]:
    """The resource's attributes, in order."""
    return environ["OTEL_RESOURCE_ATTRIBUTES"].split(",")


@pytest.mark.parametrize("shell", SHELLS)
def test_every_posix_shell_says_the_same(shell: str) -> None:
    """Lambda's images have several."""
    assert wrapped(FUNCTION, shell) == {
        **FUNCTION,
        "OTEL_SERVICE_NAME": "shop-api",
        "OTEL_RESOURCE_ATTRIBUTES": "cloud.provider=aws,cloud.platform=aws_lambda,faas.name=shop-api,"
        "cloud.region=eu-central-1,faas.version=%24LATEST",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_PYTHON_LOG_CORRELATION": "true",
    }


def test_what_the_function_sets_stays() -> None:
    """Its attributes come last, where they win; everything else is left alone."""
    own = {
        "OTEL_SERVICE_NAME": "shop",
        "OTEL_RESOURCE_ATTRIBUTES": "cloud.region=mars,team=a b",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_PYTHON_LOG_CORRELATION": "false",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://example.com",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_PROPAGATORS": "b3",
    }
    found = wrapped({**FUNCTION, **own})
    assert attributes(found)[-2:] == ["cloud.region=mars", "team=a b"]
    assert {name: value for name, value in found.items() if name in own} == {
        **own,
        "OTEL_RESOURCE_ATTRIBUTES": found["OTEL_RESOURCE_ATTRIBUTES"],
    }


@pytest.mark.parametrize("named", ["service.name=shop", "team=a,service.name=shop", "team=a, service.name=shop"])
def test_service_named_among_the_attributes_keeps_its_name(named: str) -> None:
    """OTEL_SERVICE_NAME would be stronger."""
    assert "OTEL_SERVICE_NAME" not in wrapped({**FUNCTION, "OTEL_RESOURCE_ATTRIBUTES": named})


def test_protocol_is_named_only_with_an_endpoint() -> None:
    """Without one, a collector beside the function may well speak gRPC."""
    assert "OTEL_EXPORTER_OTLP_PROTOCOL" not in wrapped(FUNCTION)
    found = wrapped({**FUNCTION, "OTEL_EXPORTER_OTLP_ENDPOINT": "https://example.com"})
    assert found["OTEL_EXPORTER_OTLP_PROTOCOL"] == "http/protobuf"


@pytest.fixture
def intake() -> Iterator[dict[str, str]]:
    """The variables of a function beside whose runtime an intake listens, at another port than the one asked for."""
    with socket.create_server(("127.0.0.1", 0)) as asked:
        port = asked.getsockname()[1]
        told = Path(f"/tmp/tailrace-otlp-{port}")
        told.write_text("http://127.0.0.1:54321\n", encoding="utf-8")
        yield {**FUNCTION, "TAILRACE_OTLP_PORT": str(port)}
        told.unlink()


OTLP = "OTEL_EXPORTER_OTLP_"
PER_SIGNAL = [f"{OTLP}{signal}" for signal in ("", "TRACES_", "METRICS_", "LOGS_")]
INTAKE = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:54321",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
}
LOOPBACK = "127.0.0.1,localhost,::1"


@pytest.mark.parametrize("shell", SHELLS)
def test_sdk_exports_to_the_intake_whatever_it_was_told_of_the_backend(intake: dict[str, str], shell: str) -> None:
    """Keys and certificates of the backend among it, and what is told for one signal, which would win."""
    names = (
        "ENDPOINT",
        "PROTOCOL",
        "HEADERS",
        "COMPRESSION",
        "INSECURE",
        "CERTIFICATE",
        "CLIENT_KEY",
        "CLIENT_CERTIFICATE",
    )
    backend = {f"{prefix}{name}": "the backend's" for prefix in PER_SIGNAL for name in names}
    kept = {"OTEL_EXPORTER_OTLP_TIMEOUT": "3000", "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"}
    for told in ({}, backend):
        found = wrapped({**intake, **told, **kept}, shell)
        assert {name: value for name, value in found.items() if name.startswith(OTLP)} == {**INTAKE, **kept}
        assert found["NO_PROXY"] == found["no_proxy"] == LOOPBACK
        assert found["OTEL_LOGS_EXPORTER"] == "none"
        assert not any(name.startswith("tailrace_") for name in found)


@pytest.mark.parametrize(
    ("environ", "upper", "lower"),
    [
        ({"NO_PROXY": "a,b"}, f"a,b,{LOOPBACK}", f"a,b,{LOOPBACK}"),
        ({"no_proxy": "a"}, f"a,{LOOPBACK}", f"a,{LOOPBACK}"),
        ({"NO_PROXY": "a", "no_proxy": "b"}, f"a,{LOOPBACK}", f"b,{LOOPBACK}"),
        ({"NO_PROXY": "*"}, "*", None),
    ],
)
def test_loopback_is_reached_without_a_proxy(
    intake: dict[str, str], environ: dict[str, str], upper: str, lower: str | None
) -> None:
    """One of the two variables is not to hide what the other says."""
    found = wrapped({**intake, **environ})
    assert (found["NO_PROXY"], found.get("no_proxy")) == (upper, lower)


# By their documentation, the variables by which each SDK learns where to export to by HTTP, and what it takes as their
# values:
# Java: opentelemetry.io/docs/languages/java/configuration, properties of the OTLP exporter.
# .NET: OpenTelemetry.Exporter.OpenTelemetryProtocol, README, "Environment Variables"; the protocol's default is gRPC.
# Ruby: opentelemetry-exporter-otlp, README; it compresses unless told otherwise.
SDKS = {
    "java": ({"ENDPOINT", "PROTOCOL"}, {"http/protobuf"}, {"none"}),
    "dotnet": ({"ENDPOINT", "PROTOCOL"}, {"http/protobuf"}, {"none"}),
    "ruby": ({"ENDPOINT"}, {"http/protobuf"}, {"none"}),
}


@pytest.mark.parametrize("sdk", SDKS)
def test_documented_variables_of_other_sdks_point_at_the_intake(intake: dict[str, str], sdk: str) -> None:
    """No value is one that the SDK does not know, and none of a signal's own is left to win over it."""
    needed, protocols, compressions = SDKS[sdk]
    grpc = {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://example.com:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    headers = {
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=secret",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://other.example",
    }
    found = wrapped({**intake, **grpc, **headers})
    assert needed <= {name.removeprefix(OTLP) for name in found if name.startswith(OTLP)}
    # The base of all three signals: each SDK appends /v1/traces and so on to it (OTLP exporter specification).
    assert found["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:54321"
    assert found["OTEL_EXPORTER_OTLP_PROTOCOL"] in protocols
    assert found["OTEL_EXPORTER_OTLP_COMPRESSION"] in compressions
    assert not any(name.startswith(prefix) for name in found for prefix in PER_SIGNAL[1:])
    assert "secret" not in str(found)


def test_where_no_intake_is_written_down_the_sdk_is_left_alone() -> None:
    """`TAILRACE_OTLP_INTAKE=0`, and whenever the layer does nothing."""
    own = {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://example.com", "OTEL_EXPORTER_OTLP_HEADERS": "api-key=secret"}
    found = wrapped({**FUNCTION, **own, "TAILRACE_OTLP_PORT": "1"})
    assert {name: value for name, value in found.items() if name in own} == own
    assert "NO_PROXY" not in found


def test_propagator_is_named_only_where_its_package_lies(tmp_path: Path) -> None:
    """An SDK fails on a name it does not know."""
    environ = {**FUNCTION, "LAMBDA_TASK_ROOT": str(tmp_path)}
    assert "OTEL_PROPAGATORS" not in wrapped(environ)
    (tmp_path / "opentelemetry/propagators/aws").mkdir(parents=True)
    assert wrapped(environ)["OTEL_PROPAGATORS"] == "tracecontext,baggage,xray"


def test_without_lambdas_variables_the_program_runs_all_the_same() -> None:
    """Nothing here keeps a runtime from starting."""
    assert wrapped({}) == {"OTEL_LOGS_EXPORTER": "none", "OTEL_PYTHON_LOG_CORRELATION": "true"}


def test_arguments_status_and_process_are_the_programs_own() -> None:
    """The wrapper is gone when the runtime runs."""
    program = "import os, sys; print(os.getpid(), sys.argv[1:]); sys.exit(7)"
    arguments = ["a b", "*", "", "$HOME", "-n"]
    with subprocess.Popen(
        [WRAP, sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True, env={"HOME": "/"}
    ) as process:
        told, _ = process.communicate()
    assert told == f"{process.pid} {arguments}\n"
    assert process.returncode == 7


@pytest.mark.parametrize("shell", SHELLS)
def test_it_works_where_the_shell_forgives_nothing(shell: str, tmp_path: Path) -> None:
    """Unset variables and failing steps end a shell that was told so; a value may hold whatever a value may hold."""
    odd = {"OTEL_RESOURCE_ATTRIBUTES": "a=$(touch x) `touch y` ; 'b' \\ * \"c\"", "LAMBDA_TASK_ROOT": "/no such/place"}
    command: list[str | Path] = [str(shutil.which(shell)), *(["sh"] if shell == "busybox" else []), "-eu", WRAP]
    program = "import os, sys; print([sys.argv[1:], os.environ['OTEL_RESOURCE_ATTRIBUTES']])"
    for environ in ({}, odd, {**FUNCTION, **odd}):
        done = subprocess.run(
            [*command, sys.executable, "-IS", "-c", program, "a b", "", "*"],
            env={"OTEL_RESOURCE_ATTRIBUTES": "a=b", **environ},
            cwd=tmp_path,
            check=True,
            capture_output=True,
            text=True,
        )
        arguments, attributes = ast.literal_eval(done.stdout)
        assert arguments == ["a b", "", "*"]
        assert attributes.endswith(environ.get("OTEL_RESOURCE_ATTRIBUTES", "a=b"))
        assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_another_wrapper_runs_after_it_as_the_documentation_says(tmp_path: Path) -> None:
    """Lambda takes one: a script of the user's own names both, and each does its part."""
    text = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
    (line,) = re.findall(r'`(exec /opt/tailrace/wrap /opt/other-wrapper "\$@")`', text)
    other = tmp_path / "other wrapper"
    other.write_text('#!/bin/sh\nexport OTHER="$OTEL_SERVICE_NAME"\nexec "$@"\n', encoding="utf-8")
    own = tmp_path / "own"
    line = line.replace("/opt/tailrace/wrap", shlex.quote(str(WRAP))).replace(
        "/opt/other-wrapper", shlex.quote(str(other))
    )
    own.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
    for path in (other, own):
        path.chmod(0o755)
    program = "import os, sys; print([sys.argv[1:], os.environ['OTHER'], os.environ['OTEL_LOGS_EXPORTER']])"
    environ = {**FUNCTION, "AWS_LAMBDA_EXEC_WRAPPER": str(own)}
    done = subprocess.run(
        [own, sys.executable, "-IS", "-c", program, "a b"], env=environ, check=True, capture_output=True, text=True
    )
    assert ast.literal_eval(done.stdout) == [["a b"], "shop-api", "none"]


def test_it_starts_no_program(tmp_path: Path) -> None:
    """With nothing on the path it works the same: it takes a shell's own words, and little time."""
    done = subprocess.run(
        [WRAP, sys.executable, "-IS", "-c", "import os; print(os.environ['OTEL_SERVICE_NAME'])"],
        env={**FUNCTION, "PATH": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "shop-api\n"


def test_it_is_executable_and_no_extension() -> None:
    """Lambda starts every executable in /opt/extensions, and this is not one."""
    assert os.access(WRAP, os.X_OK)
    assert [path.name for path in (LAYER / "extensions").iterdir()] == [NAME]


def life(
    tmp_path: Path, event: dict[str, Any], *, wraps: bool, **environ: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """One invocation under the real runtime client.

    Returns:
        What the function returned, and the resource of the layer's records.
    """
    real = [sys.executable, "-m", "awslambdaric", "app.handler"]
    task = tmp_path / "task"
    shutil.copytree(HANDLER, task)
    # As where the function's package brings the propagator along.
    (task / "opentelemetry/propagators/aws").mkdir(parents=True)
    with Destination() as backend:
        function = Function(
            handler="app.handler",
            task_root=task,
            runtime_command=[str(WRAP), *real] if wraps else real,
            timeout_s=60.0,
            environ={"OTEL_EXPORTER_OTLP_ENDPOINT": backend.url, **environ},
        )
        with Environment(extensions_dir=LAYER / "extensions", function=function, platform=ON_DEMAND) as env:
            result = env.invoke(event)
            assert result.status == "success", result
            assert env.shutdown().clean
        resource = dict(backend.records()[0].resource)
    assert isinstance(result.payload, dict)
    return result.payload, resource


@pytest.mark.e2e
def test_real_runtime_and_real_sdk_agree_with_the_layer(tmp_path: Path) -> None:
    """One service, one function, one region; and a trace id that is Lambda's own."""
    trace_id = "5759e988bd862e3fe1be46a994272793"
    header = f"Root=1-{trace_id[:8]}-{trace_id[8:]};Parent=53995c3f42cd8ad8;Sampled=1"
    told, layers = life(tmp_path, {"trace": header}, wraps=True)
    common = ("service.name", "faas.name", "faas.version", "cloud.provider", "cloud.platform", "cloud.region")
    assert {name: told["resource"].get(name) for name in common} == {name: layers.get(name) for name in common}
    assert told["trace_id"] == trace_id
    assert told["strangers"] == []


@pytest.mark.e2e
def test_without_the_wrapper_they_would_not(tmp_path: Path) -> None:
    """The comparison above is not empty."""
    told, layers = life(tmp_path, {}, wraps=False)
    assert told["resource"]["service.name"].startswith("unknown_service")
    assert not layers["service.name"].startswith("unknown_service")
    assert "faas.name" not in told["resource"]
