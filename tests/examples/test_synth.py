"""The examples through the very tools they are for: CDK, the Serverless Framework, Terraform.

Run by `make -f layer.mk examples`, not with the other tests: the tools are large and come from the network.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.examples.support import EXAMPLES, ROOT, ZIP, check_resources, linted

pytestmark = pytest.mark.synth

TOOLS = ROOT / "build" / "examples"

# The free fork of the framework's third version, which packages without an account.
OSLS = "3.77.1"

# Credentials that are none: nothing is deployed.
ENVIRON = {**os.environ, "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "CDK_DISABLE_VERSION_CHECK": "1"}


def run(*command: "str | Path", cwd: Path) -> None:
    """Runs a tool that is expected to end well."""
    done = subprocess.run(command, cwd=cwd, env=ENVIRON, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples beside the built zip, where tools may leave what they like."""
    root = tmp_path_factory.mktemp("checkout")
    shutil.copytree(EXAMPLES, root / "examples")
    (root / "build").mkdir()
    shutil.copyfile(ZIP, root / "build" / ZIP.name)
    return root / "examples"


@pytest.fixture(scope="session")
def node(checkout: Path) -> Path:
    """CDK and the Serverless Framework, installed once for their versions."""
    if not shutil.which("npm"):
        pytest.skip("no npm on this machine")
    package = json.loads((EXAMPLES / "cdk-typescript/package.json").read_text(encoding="utf-8"))
    package["devDependencies"]["osls"] = OSLS
    text = json.dumps(package)
    where = TOOLS / f"node-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    if not (where / "installed.stamp").exists():
        where.mkdir(parents=True, exist_ok=True)
        (where / "package.json").write_text(text, encoding="utf-8")
        run("npm", "install", "--no-audit", "--no-fund", cwd=where)
        (where / "installed.stamp").touch()
    (checkout / "cdk-typescript/node_modules").symlink_to(where / "node_modules")
    return where / "node_modules" / ".bin"


@pytest.fixture(scope="session")
def cdk_python() -> Path:
    """A Python with CDK, installed once for its version."""
    requirements = EXAMPLES / "cdk-python/requirements.txt"
    where = TOOLS / f"python-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]}"
    if not (where / "installed.stamp").exists():
        run(sys.executable, "-m", "venv", where, cwd=ROOT)
        run(where / "bin/python", "-m", "pip", "install", "--quiet", "--requirement", requirements, cwd=ROOT)
        (where / "installed.stamp").touch()
    return where / "bin" / "python"


def resources(template: Path) -> dict[str, dict[str, Any]]:
    """What a template would make; fails if cfn-lint does not like it."""
    assert linted(template) == ""
    found: dict[str, dict[str, Any]] = json.loads(template.read_text(encoding="utf-8"))["Resources"]
    return {name: row for name, row in found.items() if row["Type"] != "AWS::CDK::Metadata"}


def test_both_cdk_examples_are_valid_and_the_same(checkout: Path, node: Path, cdk_python: Path) -> None:
    """`cdk synth` in Python and in TypeScript."""
    templates = []
    for language, app in (("python", ["--app", f"{cdk_python} app.py"]), ("typescript", [])):
        run(node / "cdk", "synth", "--quiet", "--output", f"out-{language}", *app, cwd=checkout / f"cdk-{language}")
        templates.append(resources(checkout / f"cdk-{language}" / f"out-{language}" / "Hello.template.json"))
        check_resources(templates[-1])
        assert [row["Properties"]["LicenseInfo"] for row in templates[-1].values() if "LayerVersion" in row["Type"]]
    assert templates[0] == templates[1]


def test_serverless_example_is_valid(checkout: Path, node: Path) -> None:
    """`serverless package`."""
    run(node / "osls", "package", "--package", "out", cwd=checkout / "serverless")
    found = resources(checkout / "serverless/out/cloudformation-template-update-stack.json")
    check_resources(found)


@pytest.mark.optional
def test_terraform_example_is_valid(checkout: Path, tmp_path: Path) -> None:
    """`terraform validate`, with the provider's own schema."""
    if not shutil.which("terraform"):
        pytest.skip("no terraform on this machine")
    work = tmp_path / "terraform"
    shutil.copytree(checkout / "terraform", work)
    environ = {name: value for name, value in ENVIRON.items() if name != "TF_CLI_CONFIG_FILE"}
    command = ["terraform", "init", "-backend=false", "-input=false", "-no-color"]
    ready = subprocess.run(command, cwd=work, env=environ, check=False, capture_output=True, text=True, timeout=120)
    if ready.returncode:
        pytest.skip(f"Terraform's AWS provider is not to be had: {ready.stderr.strip().splitlines()[-1]}")
    for command in (["terraform", "validate", "-json"], ["terraform", "fmt", "-check"]):
        done = subprocess.run(command, cwd=work, env=environ, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
