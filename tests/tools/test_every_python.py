"""The universal zip on every Python that is at hand: from /opt, read-only, everything delivered, nothing compiled."""

import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import HANDLER, NAME
from tests.sandbox import Destination, Environment, Function, Platform, Status
from tests.tools import slash_opt
from tools import contents, pythons
from tools.target import VERSIONS, Target, Version, dotted

pytestmark = pytest.mark.e2e

AARCH64 = sorted(pythons.FETCHED.glob("*/bin/aarch64-python3.*"))

# As slow as an emulated processor is that somebody else uses too, everything is in time.
ON_DEMAND = Platform(init_timeout_s=60.0, shutdown_ms=20_000)
PROVISIONED = Platform(flavour="provisioned-concurrency", shutdown_ms=20_000)


@pytest.fixture(scope="session")
def opt(universal_zip: Path) -> Path:
    """The zip unpacked to what becomes /opt."""
    if slash_opt.why_not():
        pytest.skip(slash_opt.why_not())
    return slash_opt.unpacked(universal_zip, universal_zip.with_name("universal"))


# No machine must have every Python, but the one that runs this is there.
OTHER = pytest.mark.optional
RUNNING = Target.running().version


@pytest.fixture(
    params=[pytest.param(version, id=dotted(version), marks=[OTHER] * (version != RUNNING)) for version in VERSIONS]
)
def target(request: pytest.FixtureRequest) -> Target:
    """A Python of this machine."""
    version: Version = request.param
    interpreter = pythons.found(version)
    if interpreter is None:
        pytest.skip(f"no Python {dotted(version)} on this machine")
    return Target(version, platform.machine(), interpreter)


def prefix(target: Target) -> Path:
    """The interpreter's installation."""
    assert target.interpreter
    return target.interpreter.parents[1]


def compiled_here(lines: list[str]) -> list[str]:
    """Modules of the layer that `-v` says were compiled rather than loaded from bytecode."""
    return re.findall(r"^# code object from '?(/opt/\S+\.py)'?$", "\n".join(lines), re.MULTILINE)


def written(lines: list[str]) -> list[str]:
    """Files of the layer that `-v` says were written, or were to be."""
    return [line for line in lines if line.startswith(("# wrote", "# could not create")) and "/opt/" in line]


def life(extensions: Path, flavoured: Platform) -> list[str]:
    """A whole life: TLS, a backend that fails twice, text, JSON, an exception, shutdown. Everything must arrive.

    Returns:
        What the extension printed.
    """
    with Destination(tls=True) as backend:
        backend.faults.script([Status(503)] * 2)
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": backend.url,
            "SSL_CERT_FILE": str(backend.ca_path),
            "TAILRACE_LOG_LEVEL": "debug",
            "TAILRACE_FLUSH": "end",
            "TAILRACE_PLATFORM_LOGS": "1",  # each event is a record then, and can be counted
            "TAILRACE_FLUSH_BUDGET_MS": "30000",  # what is asked is whether, not how soon
        }
        function = Function(handler="app.handler", task_root=HANDLER, timeout_s=60.0, environ=environ)
        with Environment(extensions_dir=extensions, function=function, platform=flavoured) as env:
            env.start()
            assert env.invoke({"lines": 5, "say": "first"}).status == "success"
            env.idle(0.2)
            assert env.invoke({"json": {"level": "WARN", "message": "structured"}}).status == "success"
            assert env.invoke({"raise": "on purpose"}).error["errorMessage"] == "on purpose"  # type: ignore[index]
            ending = env.shutdown()
            assert ending.clean, ending
            assert len(env.telemetry(NAME).emitted) == len(backend.unique()) > 10
            said = env.printed(NAME)
    assert any('"event":"shipper.retry_planned"' in line for line in said), "the retry library was not loaded"
    assert not any('"level":"error"' in line for line in said)
    return said


def test_started_by_the_kernel_everything_is_delivered(opt: Path, target: Target, tmp_path: Path) -> None:
    """The zip's own launcher, whose first line names Lambda's Python."""
    before = slash_opt.state(opt)
    life(slash_opt.entered(tmp_path / "extensions", opt, prefix(target)), ON_DEMAND)
    assert slash_opt.state(opt) == before


@pytest.mark.parametrize("flavoured", [ON_DEMAND, PROVISIONED], ids=lambda kind: kind.flavour)
def test_nothing_is_compiled_and_nothing_written(
    opt: Path, target: Target, tmp_path: Path, flavoured: Platform
) -> None:
    """In all three processes, TLS, log and retries included, `-v` tells of bytecode alone."""
    command = ("/var/lang/bin/python3", "-ISv", "/opt/extensions/tailrace")
    said = life(slash_opt.entered(tmp_path / "extensions", opt, prefix(target), *command), flavoured)
    bundle = f"/opt/{contents.bundle_of(target.version)}"
    found = [match[1] for line in said if (match := re.search(rf"{bundle} matches /opt/tailrace/(\S+)", line))]
    loaded = {module.partition("/")[0] for module in found}
    packages = {"lifecycle", "collector", "shipper", "httptools", "msgspec", "structlog", "tenacity"}
    assert loaded - {"typing_extensions.py"} == packages
    assert compiled_here(said) == []
    assert written(said) == []


def test_a_layer_without_bytecode_would_be_noticed(opt: Path, tmp_path: Path) -> None:
    """The checks above see a module that is compiled at cold start."""
    bare = tmp_path / "bare"
    shutil.copytree(opt, bare, ignore=shutil.ignore_patterns("*.bundle"))
    command = ("/var/lang/bin/python3", "-ISv", "/opt/extensions/tailrace")
    said = life(slash_opt.entered(tmp_path / "extensions", bare, prefix(Target.running()), *command), ON_DEMAND)
    assert "/opt/tailrace/lifecycle/machine/machine.py" in compiled_here(said)
    assert "/opt/tailrace/shipper/delivery/delivery.py" in compiled_here(said)
    assert written(said) != []


def test_no_module_of_ours_brings_typing_in(opt: Path, target: Target) -> None:
    """It is the dearest of all that could be loaded, and each Python's msgspec looks for it in other places."""
    library = opt / "tailrace"
    modules = [
        ".".join(path.relative_to(library).with_suffix("").parts)
        for package in ("lifecycle", "collector", "shipper")
        for path in sorted((library / package).rglob("*.py"))
    ]
    program = f"""
import sys
sys.path.insert(0, {str(library)!r})
from lifecycle.contract import lean
lean.load()
import {", ".join(modules)}
print("typing" in sys.modules)
"""
    done = subprocess.run([target.interpreter or "", "-IS", "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"


@pytest.mark.optional
@pytest.mark.skipif(not AARCH64, reason="no Python for aarch64: make pythons fetches one on Debian")
@pytest.mark.parametrize("interpreter", AARCH64, ids=lambda path: path.name)
def test_on_an_emulated_aarch64_everything_is_delivered(opt: Path, interpreter: Path, tmp_path: Path) -> None:
    """The same zip, its aarch64 half, instruction by instruction."""
    told = subprocess.run(
        [interpreter, "-IS", "-c", "import os; print(os.uname().machine)"], check=True, capture_output=True, text=True
    )
    assert told.stdout == "aarch64\n"
    command = (str(interpreter), "-ISv", "/opt/extensions/tailrace")
    said = life(slash_opt.entered(tmp_path / "extensions", opt, tmp_path, *command), ON_DEMAND)
    modules = {match[1] for line in said if (match := re.search(r"/opt/tailrace/(\S+aarch64-linux-gnu\.so)", line))}
    assert {name.partition("/")[0] for name in modules} == {"httptools", "msgspec"}
    assert compiled_here(said) == []
    assert written(said) == []
